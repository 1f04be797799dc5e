//! TLS on the edge's own port.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use serde_json::json;
use tickwire_backplane::testing::TlsFiles;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_tungstenite::{MaybeTlsStream, tungstenite::Message};

use crate::{
    support::{Client, Node, PATIENCE, numbers, token},
    wire::get_request,
};

/// An edge with a certificate, and clients that trust it.
struct Secure {
    node: Node,
    files: TlsFiles,
    connector: TlsConnector,
}

fn der(files: &TlsFiles) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(files.ca_file()).unwrap()
}

fn connector(trusted: &[CertificateDer<'static>]) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    for certificate in trusted {
        roots.add(certificate.clone()).unwrap();
    }
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    // A resumed session would show the certificate it began with.
    config.resumption = rustls::client::Resumption::disabled();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    TlsConnector::from(Arc::new(config))
}

impl Secure {
    fn start(adjust: impl FnOnce(&mut tickwire_edge::Config)) -> Self {
        let files = TlsFiles::generate();
        let node = Node::start_with(|config| {
            config.edge.tls_cert_file = Some(files.ca_file().to_owned());
            config.edge.tls_key_file = Some(files.key_file().to_owned());
            adjust(config);
        });
        let connector = connector(&[der(&files)]);
        Self { node, files, connector }
    }

    async fn connect(&self) -> TlsStream<TcpStream> {
        let tcp = TcpStream::connect(self.node.address).await.unwrap();
        self.handshake(tcp).await.unwrap()
    }

    async fn handshake(&self, tcp: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from("localhost").unwrap();
        timeout(PATIENCE, self.connector.connect(name, tcp)).await.unwrap()
    }

    async fn client(&self, user: &str) -> Client {
        self.client_on(TcpStream::connect(self.node.address).await.unwrap(), user).await
    }

    async fn client_on(&self, tcp: TcpStream, user: &str) -> Client {
        let stream = MaybeTlsStream::Rustls(self.handshake(tcp).await.unwrap());
        let mut client = Client::open_on_stream(stream, "/ws", Some("tickwire.v1.json"), Some(&token(user))).await;
        assert_eq!(client.next().await["type"], "connected");
        client
    }

    /// The certificate that a newcomer is shown.
    async fn shown(&self) -> CertificateDer<'static> {
        self.connect().await.get_ref().1.peer_certificates().unwrap()[0].clone()
    }

    /// `GET path` to the end of what is answered, or to what is wanted of it.
    async fn get(&self, path: &str, wanted: Option<&str>) -> String {
        let mut stream = self.connect().await;
        let authorization = format!("Bearer {}", token("7"));
        let request = get_request(path, &[("Authorization", &authorization)]);
        stream.write_all(request.as_bytes()).await.unwrap();
        let (mut answer, mut chunk) = (String::new(), [0; 4_096]);
        loop {
            let count = timeout(PATIENCE, stream.read(&mut chunk)).await.unwrap().unwrap();
            answer.push_str(&String::from_utf8_lossy(&chunk[..count]));
            if count == 0 || wanted.is_some_and(|wanted| answer.contains(wanted)) {
                return answer;
            }
        }
    }

    async fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics", None).await;
        // The sum of its series, as a labelled one has several.
        let series = text.lines().filter(|line| line.starts_with(name)).map(|line| line.rsplit(' ').next().unwrap());
        let values: Vec<f64> = series.map(|value| value.parse().unwrap()).collect();
        assert!(!values.is_empty(), "{name} in {text}");
        values.iter().sum()
    }

    async fn until_metric(&self, name: &str, wanted: f64) {
        timeout(PATIENCE, async {
            while self.metric(name).await < wanted {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await
        .unwrap_or_else(|_| panic!("{name} never came to {wanted}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_streams_polls_and_health_are_served_over_tls() {
    let secure = Secure::start(|_| ());
    assert_eq!(secure.connect().await.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let mut client = secure.client("7").await;
    client.subscribe(json!("system")).await;
    secure.node.publish("system", json!({"n": 1})).await;
    assert_eq!(client.next_of("message").await["data"]["n"], 1);
    assert_eq!(client.ask(json!({"type": "ping"})).await["type"], "pong");
    assert!(secure.get("/healthz", None).await.ends_with("ok\n"));
    let (stream, ()) = tokio::join!(secure.get("/sse?channels=system", Some(r#""n":2"#)), async {
        secure.node.until_subscribed("system", 2).await;
        secure.node.publish("system", json!({"n": 2})).await;
    });
    assert!(stream.contains("text/event-stream"), "{stream}");
    assert!(secure.get("/poll?channels=system&wait=0", None).await.contains("\"next\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_slow_reader_is_owed_comes_whole_and_in_order() {
    let secure = Secure::start(|config| config.limits.outbox_bytes = 64 << 20);
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut slow = secure.client_on(socket.connect(secure.node.address).await.unwrap(), "7").await;
    slow.subscribe(json!("system")).await;
    // From one byte to several records.
    let text = |n: u64| "x".repeat(usize::try_from(n * 7_919 % 40_000).unwrap());
    for n in 0..400 {
        secure.node.publish("system", json!({"n": n, "text": text(n)})).await;
    }
    let mut seen = Vec::new();
    while seen.len() < 400 {
        let message = slow.next_of("message").await;
        assert_eq!(message["data"]["text"].as_str().unwrap().len(), text(message["data"]["n"].as_u64().unwrap()).len());
        seen.push(message);
    }
    assert_eq!(numbers(&seen), (0..400).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_in_many_records_and_many_in_one_are_read() {
    let secure = Secure::start(|_| ());
    let mut client = secure.client("7").await;
    let data = "y".repeat(50_000);
    let publish = json!({"type": "publish", "channel": "room:1", "data": data});
    assert_eq!(client.ask(publish).await["type"], "published");
    for id in 1_000..1_060 {
        let text = json!({"type": "ping", "id": id}).to_string();
        futures_util::SinkExt::feed(&mut client.socket, Message::text(text)).await.unwrap();
    }
    futures_util::SinkExt::flush(&mut client.socket).await.unwrap();
    for id in 1_000..1_060 {
        assert_eq!(client.next().await["id"], id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_close_code_is_seen_and_the_stream_ended_by_both() {
    let secure = Secure::start(|config| config.limits.malformed_per_minute = 1);
    let mut client = secure.client("7").await;
    for _ in 0..5 {
        client.send(json!("no command")).await;
    }
    assert_eq!(client.closed().await, 4400);
    secure.until_metric("tickwire_edge_connections_opened_total", 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_certificate_is_shown_to_newcomers_and_connections_live_on() {
    let mut secure = Secure::start(|_| ());
    let (first, second) = (der(&secure.files), TlsFiles::generate());
    secure.connector = connector(&[first.clone(), der(&second)]);
    let mut old = secure.client("7").await;
    assert_eq!(secure.shown().await, first);

    // Half of it is no pair: the one before is shown, and the failure counted.
    std::fs::write(secure.files.ca_file(), std::fs::read(second.ca_file()).unwrap()).unwrap();
    secure.until_metric("tickwire_edge_tls_reload_failures_total", 1.0).await;
    assert_eq!(secure.shown().await, first);

    std::fs::write(secure.files.key_file(), std::fs::read(second.key_file()).unwrap()).unwrap();
    secure.until_metric("tickwire_edge_tls_reloads_total", 1.0).await;
    assert_eq!(secure.shown().await, der(&second));

    std::fs::write(secure.files.key_file(), "no key").unwrap();
    secure.until_metric("tickwire_edge_tls_reload_failures_total", 2.0).await;
    assert_eq!(secure.shown().await, der(&second));
    assert_eq!(old.ask(json!({"type": "ping"})).await["type"], "pong");
}

/// Reads until the edge has closed.
async fn ended(address: SocketAddr, bytes: &[u8]) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut rest = Vec::new();
    // A reset is an end too.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("the edge never closed");
}

/// The first bytes that a client sends.
fn hello() -> Vec<u8> {
    let roots = RootCertStore::empty();
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let mut session = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut bytes = Vec::new();
    session.write_tls(&mut bytes).unwrap();
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_and_broken_handshakes_end_while_others_are_served() {
    let secure = Secure::start(|config| {
        config.edge.shards = 1;
        config.edge.handshakes_max = 2;
        config.edge.handshake_timeout_ms = 800;
    });
    let hello = hello();
    // Sockets that hold no place: they say nothing, or not even a whole hello.
    let mut silent = Vec::new();
    for _ in 0..8 {
        silent.push(TcpStream::connect(secure.node.address).await.unwrap());
        let mut begun = TcpStream::connect(secure.node.address).await.unwrap();
        begun.write_all(&hello[..hello.len() / 2]).await.unwrap();
        silent.push(begun);
    }
    let mut client = secure.client("7").await;
    assert_eq!(client.ask(json!({"type": "ping"})).await["type"], "pong");
    // They go quiet behind the hello, send what is no TLS, or break off in the middle.
    let damaged: Vec<u8> = hello.iter().enumerate().map(|(at, byte)| if at > 40 { !byte } else { *byte }).collect();
    let plain = get_request("/ws", &[]);
    for bytes in [&hello[..], plain.as_bytes(), &damaged, &[0x16, 3, 1, 0xFF, 0xFF], &[0x80; 3_000], &hello[..30]] {
        ended(secure.node.address, bytes).await;
    }
    secure.until_metric("tickwire_edge_tls_failures_total", 4.0).await;
    assert_eq!(client.ask(json!({"type": "ping"})).await["type"], "pong");
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_inside_a_session_ends_just_this_connection() {
    let secure = Secure::start(|_| ());
    let mut client = secure.client("7").await;
    let (mut tcp, _) = secure.connect().await.into_inner();
    tcp.write_all(&[0x17, 3, 3, 0, 40]).await.unwrap();
    tcp.write_all(&[0xAB; 40]).await.unwrap();
    let mut rest = Vec::new();
    let _ = timeout(PATIENCE, tcp.read_to_end(&mut rest)).await.expect("the edge never closed");
    let MaybeTlsStream::Rustls(stream) = secure.client("8").await.socket.into_inner() else { unreachable!() };
    let (mut tcp, _) = stream.into_inner();
    tcp.write_all(&[0x17, 3, 3, 0, 40]).await.unwrap();
    tcp.write_all(&[0xCD; 40]).await.unwrap();
    let _ = timeout(PATIENCE, tcp.read_to_end(&mut rest)).await.expect("the edge never closed");
    assert_eq!(client.ask(json!({"type": "ping"})).await["type"], "pong");
}
