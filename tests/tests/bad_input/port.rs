//! Ports that something else holds.

use std::net::{TcpListener, UdpSocket};

use anyhow::Result;
use fieldmark_tests::{Node, NodeOptions};

use crate::{COMPANY, FAILED, LIMIT, alone, refused};

#[test]
fn a_port_in_use_is_named_and_another_one_asked_for() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let solo = alone(&folder, COMPANY)?;
    let stream = TcpListener::bind("127.0.0.1:0")?;
    let datagrams = UdpSocket::bind("127.0.0.1:0")?;
    let (stream_port, datagram_port) = (stream.local_addr()?.port(), datagrams.local_addr()?.port());
    let tcp = format!("127.0.0.1:{stream_port}");
    let udp = format!("127.0.0.1:{datagram_port}");
    let quic = format!("/ip4/127.0.0.1/udp/{datagram_port}/quic-v1");
    let listen = ["--listen", "/ip4/127.0.0.1/udp/0/quic-v1"];
    for (option, address, port) in [
        ("--api", &tcp, stream_port),
        ("--pages", &tcp, stream_port),
        ("--blobs", &udp, datagram_port),
    ] {
        let words = [&["node", "run", option, address][..], &listen].concat();
        refused(
            &solo.run_within(&words, LIMIT)?,
            FAILED,
            &[&port.to_string(), "another"],
        );
    }
    let answer = solo.run_within(&["node", "run", "--listen", &quic], LIMIT)?;
    refused(&answer, FAILED, &[&datagram_port.to_string(), "another"]);
    // Nothing of the failed starts is in the way.
    let (node, _) = Node::started(&solo, folder.path(), &NodeOptions::default())?;
    node.stop()
}
