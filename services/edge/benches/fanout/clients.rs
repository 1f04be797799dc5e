//! The client ends: they connect, subscribe, and count messages by their payload's end mark.

use std::{
    sync::Arc,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use anyhow::{Context, ensure};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use crate::{
    STEP,
    edge::{CHANNEL, token},
    process::{for_each_line, say},
};

/// Stands once in each message and nowhere else: no byte of a frame's header either.
pub(crate) const MARK: u8 = b'|';
/// Handshakes in progress at once.
pub(crate) const CONNECTING_MAX: usize = 64;

/// What each client end does.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// Channels to subscribe to.
    pub(crate) channels: usize,
    /// Handshakes in progress.
    pub(crate) at_once: usize,
    /// Offer the subprotocol that allows packed frames.
    pub(crate) packs: bool,
    /// The server's certificate, where it speaks TLS.
    pub(crate) trusted: Option<&'a str>,
}

/// Connects half of `count` ends to `address`, says so and waits for a line; connects the rest, then answers `await N` once
/// N messages in all have come.
pub(crate) fn run(address: &str, count: usize, wanted: Wanted<'_>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let received = Arc::new(AtomicUsize::new(0));
    let token = token()?;
    let tls = wanted.trusted.map(connector).transpose()?;
    let connect_all = async |mut left: usize| {
        while left > 0 {
            let wave = wanted.at_once.min(left);
            let streams =
                futures_util::future::try_join_all((0..wave).map(|_| connect(address, &token, tls.as_ref(), wanted)))
                    .await?;
            left -= wave;
            for stream in streams {
                tokio::spawn(count_marks(stream, Arc::clone(&received)));
            }
        }
        anyhow::Ok(())
    };
    runtime.block_on(connect_all(count / 2))?;
    say("half")?;
    std::io::stdin().read_line(&mut String::new())?;
    runtime.block_on(connect_all(count - count / 2))?;
    say("ready")?;
    for_each_line(|line| {
        let wanted: usize = line.strip_prefix("await ").context("await N")?.parse()?;
        runtime.block_on(async {
            let all = async {
                while received.load(Relaxed) < wanted {
                    tokio::time::sleep(Duration::from_micros(200)).await;
                }
            };
            tokio::time::timeout(STEP, all)
                .await
                .with_context(|| format!("{} of {wanted} came", received.load(Relaxed)))
        })?;
        say("received")
    })
}

/// A socket, or a TLS session on one.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

fn connector(trusted: &str) -> anyhow::Result<TlsConnector> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(trusted)?)?;
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    // Each is a client of its own: none has been here before.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(TlsConnector::from(Arc::new(config)))
}

async fn connect(
    address: &str,
    token: &str,
    tls: Option<&TlsConnector>,
    wanted: Wanted<'_>,
) -> anyhow::Result<Box<dyn Stream>> {
    let tcp = TcpStream::connect(address).await?;
    let mut stream: Box<dyn Stream> = match tls {
        None => Box::new(tcp),
        Some(tls) => Box::new(tls.connect("localhost".try_into()?, tcp).await?),
    };
    let subprotocol = if wanted.packs { "Sec-WebSocket-Protocol: tickwire.v1.json\r\n" } else { "" };
    let request = format!(
        "GET /ws?token={token} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{subprotocol}\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let channels: Vec<_> = (0..wanted.channels).map(|number| format!(r#""{CHANNEL}{number}""#)).collect();
    let subscribe = format!(r#"{{"id":1,"type":"subscribe","channels":[{}]}}"#, channels.join(","));
    // A zero mask leaves the payload as it is.
    let [high, low] = u16::try_from(subscribe.len())?.to_be_bytes();
    let mut frame = if high == 0 && low < 126 { vec![0x81, 0x80 | low] } else { vec![0x81, 0xFE, high, low] };
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(subscribe.as_bytes());
    stream.write_all(&frame).await?;
    // A TLS session may have kept some of it.
    stream.flush().await?;
    let mut seen = Vec::new();
    let mut buffer = [0; 1024];
    // The raw loop says it once, whatever is asked.
    let is_raw = |seen: &[u8]| seen.ends_with(b"\r\n\r\n\"subscribed\"");
    let subscribed = |seen: &[u8]| seen.windows(12).filter(|window| window == b"\"subscribed\"").count();
    while subscribed(&seen) < wanted.channels && !is_raw(&seen) {
        let read = tokio::time::timeout(STEP, stream.read(&mut buffer)).await.context("no subscribed frame")??;
        ensure!(read > 0 && seen.len() < 65_536, "refused: {}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&buffer[..read]);
    }
    Ok(stream)
}

async fn count_marks(mut stream: Box<dyn Stream>, received: Arc<AtomicUsize>) {
    let mut buffer = vec![0; 8_192];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        let marks = buffer[..read].split(|&byte| byte == MARK).count() - 1;
        received.fetch_add(marks, Relaxed);
    }
}
