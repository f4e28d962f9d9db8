//! Clients that are slow, loud or wrong, over real sockets.

use std::time::{Duration, Instant};

use fieldmark_serving::{Face, PoolOptions, ServerOptions, Stop, grpc, rest, serve};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::{Server, models, request};

struct Listening {
    _server: Server,
    address: std::net::SocketAddr,
    stop: Stop,
    ended: tokio::task::JoinHandle<()>,
}

async fn listening(options: ServerOptions, face: fn(&Server, &ServerOptions) -> Face) -> Listening {
    let server = Server::with(models::SQUARE, PoolOptions::default()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, face) = (Stop::default(), face(&server, &options));
    let told = stop.clone();
    let ended =
        tokio::spawn(async move { serve(listener, face, &options, told, Duration::from_secs(5)).await });
    Listening {
        _server: server,
        address,
        stop,
        ended,
    }
}

fn over_rest(server: &Server, options: &ServerOptions) -> Face {
    rest::face(&server.repository, options)
}

fn over_grpc(server: &Server, options: &ServerOptions) -> Face {
    grpc::face(&server.repository, options, &Stop::default())
}

/// Sends bytes and reads until the server closes.
async fn exchange(address: std::net::SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // A server that answers before everything was sent closes.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    // A reset after the answer is an end as well.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_gigabyte_is_refused_before_it_is_sent() {
    let listening = listening(ServerOptions::default(), over_rest).await;
    let head = "POST /v2/models/net/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1073741824\r\n\r\n";
    let answer = exchange(listening.address, head.as_bytes()).await;
    assert!(
        answer.starts_with("HTTP/1.1 413") && answer.contains("67108864 are taken"),
        "{answer}"
    );
    let head = "POST /v2/models/net/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999999\r\n\r\n";
    let answer = exchange(listening.address, head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
}

#[tokio::test]
async fn what_is_no_http_is_refused_and_others_are_served() {
    let listening = listening(ServerOptions::default(), over_rest).await;
    for nonsense in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"[..],
        b"GET\r\n\r\n",
        b"GET /v2 HTTP/1.1\r\nHost localhost\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let answer = exchange(listening.address, nonsense).await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 400"),
            "{answer}"
        );
    }
    let body = request(&[[1.0, 2.0]]).to_string();
    let good = format!(
        "POST /v2/models/net/infer HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = exchange(listening.address, good.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn slow_clients_lose_their_connection() {
    let options = ServerOptions {
        head_timeout: Duration::from_millis(300),
        body_timeout: Duration::from_millis(300),
        ..ServerOptions::default()
    };
    let listening = listening(options, over_rest).await;
    let answer = exchange(listening.address, b"POST /v2/models/net/infer HT").await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 408"),
        "{answer}"
    );
    let head = "POST /v2/models/net/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{";
    let answer = exchange(listening.address, head.as_bytes()).await;
    assert!(
        answer.starts_with("HTTP/1.1 408") && answer.contains("did not arrive"),
        "{answer}"
    );
}

/// A request for the squares of so many numbers, all binary, which is answered in binary too.
fn squares(numbers: usize) -> Vec<u8> {
    let shape = [numbers / 2, 2];
    let header = serde_json::json!({
        "inputs": [{ "name": "x", "datatype": "FP32", "shape": shape, "parameters": { "binary_data_size": numbers * 4 } }],
        "parameters": { "binary_data_output": true },
    });
    let header = header.to_string();
    let mut request = format!(
        "POST /v2/models/net/infer HTTP/1.1\r\nHost: localhost\r\nInference-Header-Content-Length: {}\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n{header}",
        header.len(),
        header.len() + numbers * 4
    )
    .into_bytes();
    request.resize(request.len() + numbers * 4, 0);
    request
}

/// Waits until a request is answered with a status.
async fn until_answered(address: std::net::SocketAddr, request: &[u8], status: &str) {
    for _ in 0..100 {
        let answer = exchange(address, request).await;
        if answer.starts_with(&format!("HTTP/1.1 {status}")) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("never answered with {status}");
}

#[tokio::test]
async fn what_has_arrived_counts_and_what_is_announced_does_not() {
    let options = ServerOptions {
        body_bytes_max: 1 << 20,
        bodies_bytes_max: 1 << 20,
        ..ServerOptions::default()
    };
    let listening = listening(options, over_rest).await;
    let large = squares(200_000);
    let mut announced = TcpStream::connect(listening.address).await.unwrap();
    announced.write_all(&large[..400]).await.unwrap();
    until_answered(listening.address, &large, "200").await;
    // All but the last byte.
    let mut arrived = TcpStream::connect(listening.address).await.unwrap();
    arrived.write_all(&large[..large.len() - 1]).await.unwrap();
    until_answered(listening.address, &large, "503").await;
    drop(arrived);
    until_answered(listening.address, &large, "200").await;
}

#[tokio::test]
async fn an_answer_that_is_not_read_counts_until_it_is() {
    let options = ServerOptions {
        bodies_bytes_max: 48 << 20,
        ..ServerOptions::default()
    };
    let listening = listening(options, over_rest).await;
    // More than sockets hold on their way.
    let (slow, other) = (squares(8 << 20), squares(5 << 20));
    until_answered(listening.address, &other, "200").await;
    let mut unread = TcpStream::connect(listening.address).await.unwrap();
    unread.write_all(&slow).await.unwrap();
    let mut first = [0; 12];
    unread.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    until_answered(listening.address, &other, "503").await;
    let mut left = Vec::new();
    unread.read_to_end(&mut left).await.unwrap();
    assert!(left.len() > 32 << 20);
    until_answered(listening.address, &other, "200").await;
}

#[tokio::test]
async fn a_grpc_client_that_says_nothing_loses_its_connection() {
    let options = ServerOptions {
        head_timeout: Duration::from_millis(300),
        ..ServerOptions::default()
    };
    let listening = listening(options, over_grpc).await;
    for partial in [
        &b""[..],
        b"PRI * HTTP/2.0\r\n",
        b"GET /v2 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ] {
        let answer = exchange(listening.address, partial).await;
        assert!(!answer.contains("200 OK"), "{answer}");
    }
}

#[tokio::test]
async fn a_server_that_stops_closes_idle_connections() {
    let listening = listening(ServerOptions::default(), over_rest).await;
    let mut idle = TcpStream::connect(listening.address).await.unwrap();
    idle.write_all(b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut seen = [0; 15];
    idle.read_exact(&mut seen).await.unwrap();
    assert_eq!(&seen, b"HTTP/1.1 200 OK");
    let asked = Instant::now();
    listening.stop.stop();
    listening.ended.await.unwrap();
    assert!(
        asked.elapsed() < Duration::from_secs(5),
        "the idle connection held the server up"
    );
    assert!(TcpStream::connect(listening.address).await.is_err());
}
