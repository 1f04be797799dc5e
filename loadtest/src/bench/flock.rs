//! Many plain clients that only connect, subscribe and count: they read alike from an edge and from the raw loop.

use std::{
    cell::RefCell,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Context, bail};
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
    time::{Instant, sleep, sleep_until, timeout},
};

use crate::{
    frame::{self, FrameReader, Incoming, Opcode, Violation},
    record::Distribution,
};

/// Stands once in the payload of each message that is counted.
pub(super) const MARK: u8 = b'|';
/// Longest wait for any one step.
pub(super) const STEP: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_micros(500);
const SCRATCH_BYTES: usize = 64 << 10;
/// First byte of a whole binary frame.
const BINARY: u8 = 0x82;
/// In every answer to a subscription, in every encoding.
const WORD: &[u8] = b"subscribed";

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH_BYTES].into_boxed_slice());
}

/// How clients connect.
#[derive(Debug, Clone)]
pub(super) struct Gathering {
    /// Where, in turn.
    pub(super) addresses: Vec<SocketAddr>,
    /// Everyone's token.
    pub(super) token: String,
    /// Everyone's channels, as the edge takes them: names or objects.
    pub(super) channels: Vec<serde_json::Value>,
    /// Further header lines of the upgrade, each with its end.
    pub(super) headers: &'static str,
    /// Commands are MessagePack, as the subprotocol in `headers` says.
    pub(super) is_msgpack: bool,
    /// Handshakes in progress at once.
    pub(super) at_once: usize,
    /// Connects a second; `None`: as soon as one is done.
    pub(super) rate_hz: Option<f64>,
}

impl Gathering {
    /// To an edge or the raw loop, on one channel, at most 256 at once.
    pub(super) fn new(addresses: Vec<SocketAddr>, channels: &[String]) -> anyhow::Result<Self> {
        let channels = channels.iter().map(|channel| serde_json::Value::from(channel.as_str())).collect();
        let token = super::servers::token()?;
        Ok(Self { addresses, token, channels, headers: "", is_msgpack: false, at_once: 256, rate_hz: None })
    }
}

/// Offers the subprotocol whose clients take several messages in a frame.
pub(super) const PACKED: &str = "Sec-WebSocket-Protocol: tickwire.v1.json\r\n";

#[derive(Debug, Default)]
struct Counters {
    messages: AtomicU64,
    frames: AtomicU64,
    bytes: AtomicU64,
    ended: AtomicU64,
}

/// Connected clients; dropping it cuts them all at once, without a close and without leaving ports in `TIME_WAIT`.
#[derive(Debug)]
pub(super) struct Flock {
    counters: Arc<Counters>,
    readers: Vec<JoinHandle<()>>,
    /// Connect begun to subscribed to everything.
    pub(super) connecting: Distribution,
}

impl Drop for Flock {
    fn drop(&mut self) {
        for reader in &self.readers {
            reader.abort();
        }
    }
}

impl Flock {
    /// Connects and subscribes `count` clients.
    pub(super) async fn gather(count: usize, gathering: &Gathering) -> anyhow::Result<Self> {
        let counters = Arc::new(Counters::default());
        let begun = Instant::now();
        let clients = stream::iter(0..count).map(|index| {
            let address = gathering.addresses[index % gathering.addresses.len()];
            async move {
                let due = gathering.rate_hz.map_or(begun, |rate| begun + Duration::from_secs_f64(index as f64 / rate));
                sleep_until(due).await;
                // What is late counts from when it was due.
                let from = if gathering.rate_hz.is_some() { due } else { Instant::now() };
                let stream = timeout(STEP, connect(address, gathering)).await.context("a client was not let in")??;
                anyhow::Ok((stream, from.elapsed()))
            }
        });
        let clients: Vec<_> = clients.buffer_unordered(gathering.at_once).try_collect().await?;
        let mut connecting = Distribution::new();
        let readers = clients.into_iter().map(|(stream, took)| {
            connecting.record_us(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
            tokio::spawn(count_messages(stream, Arc::clone(&counters)))
        });
        let readers = readers.collect();
        Ok(Self { counters, readers, connecting })
    }

    pub(super) fn messages(&self) -> u64 {
        self.counters.messages.load(Relaxed)
    }

    pub(super) fn frames(&self) -> u64 {
        self.counters.frames.load(Relaxed)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.counters.bytes.load(Relaxed)
    }

    /// Waits until `messages` have come in all.
    pub(super) async fn await_messages(&self, messages: u64) -> anyhow::Result<()> {
        let begun = Instant::now();
        while self.messages() < messages {
            let ended = self.counters.ended.load(Relaxed);
            if ended > 0 {
                bail!("{ended} clients were cut off");
            }
            if begun.elapsed() > STEP {
                bail!("{} of {messages} messages came", self.messages());
            }
            sleep(POLL).await;
        }
        Ok(())
    }

    /// Waits until nothing has come for `pause`.
    pub(super) async fn await_silence(&self, pause: Duration) {
        let mut before = self.bytes();
        loop {
            sleep(pause).await;
            let now = self.bytes();
            if now == before {
                return;
            }
            before = now;
        }
    }
}

async fn connect(address: SocketAddr, gathering: &Gathering) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    stream.set_zero_linger()?;
    let Gathering { token, headers, channels, .. } = gathering;
    let request = format!(
        "GET /ws HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let subscribe = serde_json::json!({"id": 1, "type": "subscribe", "channels": channels});
    let mut frame = Vec::new();
    if gathering.is_msgpack {
        frame::write(&mut frame, Opcode::Text, &rmp_serde::to_vec_named(&subscribe)?, 0);
        frame[0] = BINARY;
    } else {
        frame::write(&mut frame, Opcode::Text, subscribe.to_string().as_bytes(), 0);
    }
    stream.write_all(&frame).await?;
    // Each channel is answered by itself, whatever the encoding: the word stands there as text.
    let (mut seen, mut answered) = (Vec::new(), 0);
    let mut buffer = [0; 4_096];
    while answered < channels.len() {
        let read = stream.read(&mut buffer).await?;
        let kept = seen.len();
        seen.extend_from_slice(&buffer[..read]);
        if read == 0 || memchr::memmem::find(&seen, b"\"error\"").is_some() {
            bail!("refused: {}", String::from_utf8_lossy(&seen));
        }
        answered += memchr::memmem::find_iter(&seen, WORD).count();
        // The end of it may be the begin of a word.
        let whole = memchr::memmem::rfind(&seen, WORD).map_or(0, |at| at + WORD.len());
        seen.drain(..whole.max((kept + read).saturating_sub(WORD.len())));
    }
    Ok(stream)
}

async fn count_messages(stream: TcpStream, counters: Arc<Counters>) {
    let mut reader = Some(FrameReader::default());
    loop {
        if stream.readable().await.is_err() {
            break;
        }
        let step = SCRATCH.with_borrow_mut(|scratch| take(&stream, scratch, &mut reader, &counters));
        if !step {
            break;
        }
    }
    counters.ended.fetch_add(1, Relaxed);
}

/// Reads once; `false` at the end.
fn take(stream: &TcpStream, scratch: &mut [u8], reader: &mut Option<FrameReader>, counters: &Counters) -> bool {
    let read = match stream.try_read(scratch) {
        Ok(0) => return false,
        Ok(read) => read,
        Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
    };
    counters.bytes.fetch_add(read as u64, Relaxed);
    let Some(frames) = reader else { return true };
    let mut has_closed = false;
    let fed = frames.feed(&scratch[..read], |incoming| {
        match incoming {
            Incoming::Message(payload) => {
                let marks = memchr::memchr_iter(MARK, payload).count();
                counters.messages.fetch_add(marks as u64, Relaxed);
                counters.frames.fetch_add(u64::from(marks > 0), Relaxed);
            }
            Incoming::Ping(payload) => {
                let mut pong = Vec::new();
                frame::write(&mut pong, Opcode::Pong, payload, 0);
                // A pong that does not fit now is no loss: any message in counts as life.
                let _ = stream.try_write(&pong);
            }
            Incoming::Pong => {}
            Incoming::Close(_) => has_closed = true,
        }
        Ok::<_, Violation>(())
    });
    if fed.is_err() {
        // Compressed frames: of them only the bytes are counted.
        *reader = None;
    }
    !has_closed
}
