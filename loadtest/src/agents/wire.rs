//! How coordinator and agent speak: frames of JSON with a tag each, after both have proved that they know the token.

use std::{fmt, io, time::Duration};

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::Sha256;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::timeout,
};

use crate::{
    record::{RunRecord, Second},
    settings::Settings,
};

/// Longest frame: a record of a long run is some megabytes.
const FRAME_BYTES_MAX: usize = 64 << 20;
const TOKEN_BYTES_MIN: usize = 16;
const NONCE_BYTES: usize = 32;
const TAG_BYTES: usize = 32;
/// For both to prove who they are.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// A peer that takes nothing for this long is gone.
const SEND: Duration = Duration::from_secs(15);

/// Why a run over agents cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// The token could be guessed.
    #[error("the shared token has {0} bytes; it needs {TOKEN_BYTES_MIN} at least")]
    WeakToken(usize),
    /// More agents than clients, or none.
    #[error("{connections} connections cannot be split over {agents} agents")]
    Split {
        /// Connections asked for.
        connections: u32,
        /// Agents given.
        agents: usize,
    },
    /// It does not accept connections, or the connection broke.
    #[error("agent {agent} is lost: {source}")]
    Lost {
        /// Its address.
        agent: String,
        /// What the socket said.
        #[source]
        source: io::Error,
    },
    /// It did not prove that it knows the token, or refused ours.
    #[error("agent {0} does not share the token")]
    Stranger(String),
    /// Nothing came from it for too long.
    #[error("agent {agent} is lost: nothing came from it for {} s", patience.as_secs())]
    Silent {
        /// Its address.
        agent: String,
        /// How long was waited.
        patience: Duration,
    },
    /// It said that its part failed.
    #[error("agent {agent} failed: {reason}")]
    Failed {
        /// Its address.
        agent: String,
        /// What it said, without control characters.
        reason: String,
    },
    /// It spoke out of turn.
    #[error("agent {0} does not keep to the protocol; is it of the same version?")]
    Protocol(String),
    /// An agent could not do its own part.
    #[error("the agent cannot serve")]
    Serve(#[source] io::Error),
}

/// What coordinator and agents know and nobody else.
#[derive(Clone)]
pub struct SharedToken(Vec<u8>);

impl SharedToken {
    /// At least 16 bytes.
    pub fn new(token: &str) -> Result<Self, AgentError> {
        if token.len() < TOKEN_BYTES_MIN {
            return Err(AgentError::WeakToken(token.len()));
        }
        Ok(Self(token.as_bytes().to_vec()))
    }

    /// A value that only those can compute who know the token, for one purpose and one connection.
    fn derive(&self, purpose: &str, nonces: &[u8]) -> [u8; TAG_BYTES] {
        self.mac(purpose, nonces).finalize().into_bytes().into()
    }

    fn proves(&self, purpose: &str, nonces: &[u8], proof: &[u8]) -> bool {
        self.mac(purpose, nonces).verify_slice(proof).is_ok()
    }

    fn mac(&self, purpose: &str, nonces: &[u8]) -> Hmac<Sha256> {
        keyed(&self.0).chain_update(purpose).chain_update([0]).chain_update(nonces)
    }
}

impl fmt::Debug for SharedToken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("SharedToken(…)")
    }
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of every length")
}

/// What a coordinator says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Order {
    /// The agent's part of a run. Secrets are not in it.
    Prepare(Box<Settings>),
    /// All are ready: begin.
    Start,
}

/// What an agent says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Report {
    /// The settings are understood.
    Ready,
    /// Still there.
    Alive,
    /// A second of its part has ended.
    Second(Box<Second>),
    /// Its part has ended.
    Done(Box<RunRecord>),
    /// Its part cannot be done.
    Failed(String),
}

/// The sending half of a proven connection.
#[derive(Debug)]
pub(super) struct Sender {
    stream: OwnedWriteHalf,
    key: [u8; TAG_BYTES],
    sent: u64,
}

/// The receiving half of a proven connection.
#[derive(Debug)]
pub(super) struct Receiver {
    stream: OwnedReadHalf,
    key: [u8; TAG_BYTES],
    received: u64,
}

impl Sender {
    pub(super) async fn send(&mut self, message: &impl Serialize) -> io::Result<()> {
        let payload = serde_json::to_vec(message)?;
        let length = u32::try_from(payload.len()).map_err(io::Error::other)?;
        let tag = tag(&self.key, self.sent, &payload).finalize().into_bytes();
        self.sent += 1;
        let writing = async {
            self.stream.write_all(&length.to_be_bytes()).await?;
            self.stream.write_all(&tag).await?;
            self.stream.write_all(&payload).await
        };
        timeout(SEND, writing).await?
    }
}

impl Receiver {
    /// Waits for a frame. Not to be cancelled: a half-read frame is lost.
    pub(super) async fn receive<T: DeserializeOwned>(&mut self) -> io::Result<T> {
        let length = usize::try_from(self.stream.read_u32().await?).map_err(io::Error::other)?;
        if length > FRAME_BYTES_MAX {
            return Err(io::Error::other("a frame is too long"));
        }
        let mut expected = [0; TAG_BYTES];
        self.stream.read_exact(&mut expected).await?;
        let mut payload = Vec::new();
        // Grows with what comes, not with what is announced.
        (&mut self.stream).take(length as u64).read_to_end(&mut payload).await?;
        if payload.len() < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        tag(&self.key, self.received, &payload)
            .verify_slice(&expected)
            .map_err(|_| io::Error::other("a frame is not from the peer"))?;
        self.received += 1;
        Ok(serde_json::from_slice(&payload)?)
    }
}

fn tag(key: &[u8], number: u64, payload: &[u8]) -> Hmac<Sha256> {
    keyed(key).chain_update(number.to_be_bytes()).chain_update(payload)
}

/// The agent's side of the handshake; `None` where the other end does not know the token.
pub(super) async fn accept(stream: TcpStream, token: &SharedToken) -> io::Result<Option<(Sender, Receiver)>> {
    timeout(HANDSHAKE, async {
        stream.set_nodelay(true)?;
        let (mut reader, mut writer) = stream.into_split();
        let own: [u8; NONCE_BYTES] = rand::random();
        writer.write_all(&own).await?;
        let mut hello = [0; NONCE_BYTES + TAG_BYTES];
        reader.read_exact(&mut hello).await?;
        let (theirs, proof) = hello.split_at(NONCE_BYTES);
        let nonces = [&own[..], theirs].concat();
        if !token.proves("coordinator", &nonces, proof) {
            return Ok(None);
        }
        writer.write_all(&token.derive("agent", &nonces)).await?;
        Ok(Some(halves(writer, reader, token, &nonces, ["to coordinator", "to agent"])))
    })
    .await?
}

/// The coordinator's side of the handshake; `None` where the other end does not know the token.
pub(super) async fn connect(stream: TcpStream, token: &SharedToken) -> io::Result<Option<(Sender, Receiver)>> {
    timeout(HANDSHAKE, async {
        stream.set_nodelay(true)?;
        let (mut reader, mut writer) = stream.into_split();
        let mut theirs = [0; NONCE_BYTES];
        reader.read_exact(&mut theirs).await?;
        let own: [u8; NONCE_BYTES] = rand::random();
        let nonces = [theirs, own].concat();
        writer.write_all(&own).await?;
        writer.write_all(&token.derive("coordinator", &nonces)).await?;
        let mut proof = [0; TAG_BYTES];
        match reader.read_exact(&mut proof).await {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        };
        if !token.proves("agent", &nonces, &proof) {
            return Ok(None);
        }
        Ok(Some(halves(writer, reader, token, &nonces, ["to agent", "to coordinator"])))
    })
    .await?
}

fn halves(
    writer: OwnedWriteHalf,
    reader: OwnedReadHalf,
    token: &SharedToken,
    nonces: &[u8],
    [sending, receiving]: [&str; 2],
) -> (Sender, Receiver) {
    let sender = Sender { stream: writer, key: token.derive(sending, nonces), sent: 0 };
    let receiver = Receiver { stream: reader, key: token.derive(receiving, nonces), received: 0 };
    (sender, receiver)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dialled = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (dialled, listener.accept().await.unwrap().0)
    }

    fn token(text: &str) -> SharedToken {
        SharedToken::new(text).unwrap()
    }

    #[tokio::test]
    async fn those_who_share_a_token_understand_each_other() {
        let (one, other) = pair().await;
        let token = token("a token of some length");
        let (dialled, accepted) = tokio::join!(connect(one, &token), accept(other, &token));
        let (mut dialled, mut accepted) = (dialled.unwrap().unwrap(), accepted.unwrap().unwrap());
        for _ in 0..3 {
            dialled.0.send(&"order").await.unwrap();
            accepted.0.send(&"report").await.unwrap();
            assert_eq!(accepted.1.receive::<String>().await.unwrap(), "order");
            assert_eq!(dialled.1.receive::<String>().await.unwrap(), "report");
        }
    }

    #[tokio::test]
    async fn a_stranger_is_let_in_by_neither_side() {
        let (one, other) = pair().await;
        let (ours, theirs) = (token("a token of some length"), token("another of some length"));
        let (dialled, accepted) = tokio::join!(connect(one, &ours), accept(other, &theirs));
        assert!(dialled.unwrap().is_none() && accepted.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_frame_of_another_sender_is_refused() {
        let (one, other) = pair().await;
        let token = token("a token of some length");
        let (dialled, accepted) = tokio::join!(connect(one, &token), accept(other, &token));
        let ((mut sender, _kept), (_also_kept, mut receiver)) = (dialled.unwrap().unwrap(), accepted.unwrap().unwrap());
        sender.send(&"first").await.unwrap();
        assert_eq!(receiver.receive::<String>().await.unwrap(), "first");
        sender.sent = 0;
        sender.send(&"first").await.unwrap();
        let error = receiver.receive::<String>().await.unwrap_err();
        assert_eq!(error.to_string(), "a frame is not from the peer");
    }

    #[test]
    fn a_short_token_is_refused() {
        assert_eq!(
            SharedToken::new("short").unwrap_err().to_string(),
            "the shared token has 5 bytes; it needs 16 at least"
        );
    }
}
