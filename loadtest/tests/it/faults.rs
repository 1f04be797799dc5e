//! Faults between the server and the clients are found, and called what they are.

use std::net::SocketAddr;

use tickwire_loadtest::{
    frame::{FrameReader, Incoming, Violation},
    record::FaultKind,
    run,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
};

use crate::cluster::Cluster;

/// What a proxy does to the n-th message of each connection.
type Mischief = fn(u64, Vec<u8>, &mut Vec<Vec<u8>>);

/// Stands in front of `edge` and passes on what `mischief` leaves of the messages.
async fn proxy(edge: SocketAddr, mischief: Mischief) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(edge).await.unwrap();
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            tokio::spawn(forward(from_client, to_server));
            tokio::spawn(disturb(from_server, to_client, mischief));
        }
    });
    addr
}

async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    // Either end may go at any time.
    let _ = tokio::io::copy(&mut from, &mut to).await;
}

async fn disturb(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mischief: Mischief) {
    let (mut reader, mut bytes, mut seen) = (FrameReader::default(), vec![0; 65_536], 0);
    let mut head = Vec::new();
    while let Ok(length @ 1..) = from.read(&mut bytes).await {
        let mut out = Vec::new();
        let mut rest = &bytes[..length];
        if !head.ends_with(b"\r\n\r\n") {
            let before = head.len();
            head.extend_from_slice(rest);
            let end = head.windows(4).position(|four| four == b"\r\n\r\n").expect("a head in one piece") + 4;
            head.truncate(end);
            out.extend_from_slice(&head);
            rest = &rest[end - before..];
        }
        reader
            .feed(rest, |incoming| {
                let Incoming::Message(text) = incoming else { return Ok::<_, Violation>(()) };
                let mut passed = vec![text.to_vec()];
                if text.starts_with(br#"{"type":"message""#) {
                    seen += 1;
                    let message = passed.remove(0);
                    mischief(seen, message, &mut passed);
                }
                for text in &passed {
                    frame(&mut out, text);
                }
                Ok(())
            })
            .unwrap();
        if to.write_all(&out).await.is_err() {
            return;
        }
    }
}

/// A server's frame.
fn frame(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(&[0x81, 126]);
    out.extend_from_slice(&u16::try_from(text.len()).unwrap().to_be_bytes());
    out.extend_from_slice(text);
}

async fn faults(scenario: &str, mischief: Mischief) -> tickwire_loadtest::RunRecord {
    let cluster = Cluster::standalone().await;
    let target = proxy(cluster.edges[0], mischief).await;
    let flags = format!("--scenario {scenario} --connections 8 --duration 2 --rate 20 --unpacked");
    let mut settings = cluster.settings_at(&[target], &flags);
    settings.settle_s = 4.0;
    run(&settings, Vec::new(), |_| {}).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_changes_nothing_is_clean() {
    let record = faults("fanout", |_, message, out| out.push(message)).await;
    assert!(record.totals.is_clean(), "{:?}", record.totals);
    assert!(record.totals.delivered > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_drops_messages_loses_them() {
    let record = faults("fanout", |seen, message, out| {
        if seen != 5 {
            out.push(message);
        }
    })
    .await;
    assert_eq!(record.totals.lost, 8, "{:?}", record.totals);
    assert!(record.faults.iter().all(|fault| fault.kind == FaultKind::Lost && fault.number == 5));
    assert_eq!(record.faults.len(), 8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_swallows_the_end_loses_it() {
    let record = faults("fanout", |seen, message, out| {
        if seen <= 5 {
            out.push(message);
        }
    })
    .await;
    assert_eq!(record.totals.lost, (record.totals.published - 5) * 8, "{:?}", record.totals);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_repeats_messages_doubles_them() {
    let record = faults("fanout", |seen, message, out| {
        if seen == 5 {
            out.push(message.clone());
        }
        out.push(message);
    })
    .await;
    assert_eq!((record.totals.duplicated, record.totals.lost), (8, 0), "{:?}", record.totals);
    assert!(record.faults.iter().all(|fault| fault.kind == FaultKind::Duplicated));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_that_come_again_are_doubled_and_last_ones_that_do_not_come_are_lost() {
    let record = faults("ticks", |seen, message, out| {
        if seen == 5 {
            out.push(message.clone());
        }
        if seen <= 5 {
            out.push(message);
        }
    })
    .await;
    assert_eq!(record.totals.duplicated, 8, "{:?}", record.totals);
    assert!(record.totals.lost > 0, "{:?}", record.totals);
}
