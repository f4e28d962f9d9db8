//! Webhooks against receivers on this machine.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use fieldmark_protocol::id::ContentHash;
use fieldmark_protocol::webhook::{self, Received};
use fieldmark_protocol::{PublicKey, SecretKey};

use super::*;

#[test]
fn addresses_of_machines_that_should_not_be_reached_are_not_public() {
    for special in [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "255.255.255.255",
        "224.0.0.1",
        "192.0.2.1",
        "198.18.0.1",
        "::1",
        "::",
        "fe80::1",
        "fc00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "2001:db8::1",
        "2002:a00:1::1",
        "2001::1",
    ] {
        assert!(!is_public(special.parse().unwrap()), "{special}");
    }
    for public in [
        "93.184.216.34",
        "1.1.1.1",
        "2606:4700::1111",
        "2a00:1450::1",
        "64:ff9b::101:101",
    ] {
        assert!(is_public(public.parse().unwrap()), "{public}");
    }
}

#[test]
fn addresses_are_refused_by_what_they_say() {
    let refused = |url: &str| check_address(url, false).unwrap_err();
    assert!(matches!(refused("ftp://example.org/"), AddressError::Scheme(_)));
    assert!(matches!(refused("example.org"), AddressError::Malformed(_)));
    assert!(matches!(
        refused("https://a:b@example.org/"),
        AddressError::Userinfo
    ));
    for private in [
        "http://127.0.0.1:80/x",
        "http://[::1]/",
        "https://LOCALHOST/",
        "http://10.0.0.1/",
        "http://a.localhost/",
    ] {
        assert!(matches!(refused(private), AddressError::Private(_)), "{private}");
        assert_eq!(check_address(private, true), Ok(()));
    }
    assert_eq!(check_address("https://example.org/hook?x=1", false), Ok(()));
}

pub(super) fn message(url: String, allow_private: bool) -> Post {
    let (key, body) = (SecretKey::from_seed(&[1; 32]), br#"{"kind":"issue"}"#.to_vec());
    Post {
        url,
        allow_private,
        key: key.public(),
        timestamp_ms: 5,
        signature: webhook::sign(&key, 5, &body),
        item: ContentHash::new([9; 32]),
        body,
    }
}

/// Answers one request with `answer`, and returns what was asked.
fn receiver(answer: &'static str) -> (String, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let served = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut text, mut buffer) = (String::new(), [0; 4096]);
        while !text.contains("\"}") {
            let read = stream.read(&mut buffer).unwrap();
            text.push_str(&String::from_utf8_lossy(&buffer[..read]));
        }
        stream.write_all(answer.as_bytes()).unwrap();
        text
    });
    (url, served)
}

#[tokio::test]
async fn a_message_arrives_as_it_was_signed() {
    let (url, served) = receiver("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
    assert_eq!(post(message(url, true), Arc::default()).await, Ok(()));
    let text = served.join().unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let header = |name: &str| {
        let mut fields = head.lines().filter_map(|line| line.split_once(": "));
        let found = fields.find(|(field, _)| field.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.to_owned()).unwrap()
    };
    let key: PublicKey = header(HEADER_KEY).parse().unwrap();
    let received = Received {
        key,
        timestamp_ms: header(HEADER_TIMESTAMP).parse().unwrap(),
        signature: &header(HEADER_SIGNATURE),
        body: body.as_bytes(),
    };
    assert_eq!(received.check(5, 0), Ok(()));
    assert_eq!(header(HEADER_EVENT), ContentHash::new([9; 32]).to_string());
}

#[tokio::test]
async fn a_redirect_is_no_acknowledgement_and_not_followed() {
    let (url, served) = receiver(
        "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    );
    let error = post(message(url, true), Arc::default()).await.unwrap_err();
    assert!(error.contains("302") && error.contains("not followed"), "{error}");
    served.join().unwrap();
}

#[tokio::test]
async fn a_name_that_resolves_to_this_machine_is_refused_before_it_is_connected_to() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let own = hosts
        .lines()
        .filter(|line| line.starts_with("127."))
        .flat_map(|line| line.split_whitespace().skip(1))
        .find(|name| *name != "localhost" && !name.starts_with("localhost."));
    for host in [Some("2130706433"), Some("0x7f000001"), own]
        .into_iter()
        .flatten()
    {
        let url = format!("http://{host}:{port}/");
        let error = post(message(url, false), Arc::default()).await.unwrap_err();
        assert!(!error.is_empty(), "{host}");
        assert!(listener.accept().is_err(), "{host} was connected to");
    }
}
