//! Echoes text and binary messages over the edge's own handshake and framing, so that conformance suites such as Autobahn's
//! fuzzing client can be run against them:
//!
//! ```text
//! cargo run -p tickwire-edge --example echo -- --listen 127.0.0.1:9001 --bytes-max 33554432
//! ```

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use clap::Parser;
use http_body_util::Full;
use tickwire_edge::{
    accept::{Deadline, Upgrade, exchange},
    framing::{FrameLimits, FrameReader, Incoming, outgoing},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

#[derive(Debug, Parser)]
struct Options {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:9001")]
    listen: SocketAddr,
    /// Largest frame and message, bytes; the edge's limits if absent.
    #[arg(long)]
    bytes_max: Option<usize>,
}

#[tokio::main(flavor = "current_thread")]
#[allow(clippy::print_stdout, reason = "says where it listens to whoever started it")]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let mut limits = FrameLimits::default();
    if let Some(bytes_max) = options.bytes_max {
        limits = FrameLimits { frame_bytes_max: bytes_max, message_bytes_max: bytes_max, fragments_max: usize::MAX };
    }
    let listener = TcpListener::bind(options.listen).await?;
    println!("echo listening addr={}", listener.local_addr()?);
    tokio::task::LocalSet::new().run_until(serve(listener, limits)).await?;
    Ok(())
}

/// Serves every connection, until accepting fails. Runs inside a `LocalSet`.
pub(crate) async fn serve(listener: TcpListener, limits: FrameLimits) -> std::io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::task::spawn_local(async move {
            // A peer that goes away in the middle is its own affair.
            drop(connection(stream, limits).await);
        });
    }
}

async fn connection(stream: TcpStream, limits: FrameLimits) -> std::io::Result<()> {
    let deadline = Deadline::new(Duration::from_secs(10));
    let upgraded = std::cell::Cell::new(false);
    let answer = |request: http::Request<_>| {
        let (head, _) = request.into_parts();
        let response = match Upgrade::check(&head) {
            Ok(upgrade) => {
                upgraded.set(true);
                upgrade.response(None, None)
            }
            Err(refused) => {
                let mut response = http::Response::new(Full::from(refused.to_string()));
                *response.status_mut() = refused.status();
                response
            }
        };
        async { response }
    };
    match exchange(stream, &deadline, answer).await {
        Some((stream, early)) if upgraded.get() => echo(stream, &early, &limits).await,
        _ => Ok(()),
    }
}

async fn echo(mut stream: TcpStream, early: &[u8], limits: &FrameLimits) -> std::io::Result<()> {
    let mut reader = FrameReader::new();
    let mut scratch = vec![0; 64 * 1024];
    let mut answers = answers(&mut reader, early, limits);
    loop {
        stream.write_all(&answers).await?;
        if reader.is_ended() {
            break;
        }
        let count = stream.read(&mut scratch).await?;
        if count == 0 {
            return Ok(());
        }
        answers = self::answers(&mut reader, &scratch[..count], limits);
    }
    // The close frame is out. Reading on until the peer closes keeps the kernel from resetting what it has not read yet.
    stream.shutdown().await?;
    let rest = async { while stream.read(&mut scratch).await.is_ok_and(|count| count > 0) {} };
    drop(tokio::time::timeout(Duration::from_secs(1), rest).await);
    Ok(())
}

fn answers(reader: &mut FrameReader, bytes: &[u8], limits: &FrameLimits) -> Vec<u8> {
    let mut out = Vec::new();
    let mut put = |frame: Bytes| out.extend_from_slice(&frame);
    let outcome = reader.read(bytes, limits, None, |incoming| match incoming {
        Incoming::Message { text: true, payload } => put(outgoing::data(outgoing::DataKind::Text, payload)),
        Incoming::Message { text: false, payload } => put(outgoing::data(outgoing::DataKind::Binary, payload)),
        Incoming::Ping(payload) => put(outgoing::pong(payload)),
        Incoming::Pong => {}
        Incoming::Close { code, .. } => put(outgoing::close(code, "")),
    });
    if let Err(violation) = outcome {
        put(outgoing::close(Some(violation.close_code().as_u16()), &violation.to_string()));
    }
    out
}
