//! A TCP proxy that breaks on command: links are cut, reset, stalled in one direction, slowed or delayed.
//!
//! It holds at most [`HELD_BYTES_MAX`] a direction of a connection; beyond that it stops reading, so that the sender feels
//! the broken link as it would feel a broken network.

use std::{collections::VecDeque, io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::AsyncWriteExt,
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::{Semaphore, watch},
    task::AbortHandle,
    time::{Instant, sleep_until, timeout},
};

use super::translation::{Translation, Translator};

/// What one direction of a connection may hold back.
const HELD_BYTES_MAX: usize = 64 << 10;
/// Bytes moved at once, and at most this much of a slow link's budget.
const CHUNK_BYTES: usize = 16 << 10;
/// Connections through one proxy; one more is reset.
const CONNECTIONS_MAX: usize = 8_192;
/// How long the server behind may take to accept.
const DIAL_TIMEOUT: Duration = Duration::from_secs(2);

/// What happens to bytes of one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Flow {
    /// They pass.
    #[default]
    Open,
    /// Nothing passes and nobody is told: what a dropped route looks like.
    Stalled,
    /// They pass this much later.
    Delayed(Duration),
    /// At most this many a second pass.
    Slow {
        /// Bytes.
        bytes_per_s: u32,
    },
}

/// How connections end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Closed as a proxy closes.
    #[default]
    Close,
    /// Reset.
    Reset,
}

/// The state of a link.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Weather {
    up: Flow,
    down: Flow,
    /// Of the connections, by their numbers.
    percent: u64,
    refuses: bool,
    /// Counts; each ends `cut_percent` of the connections there are.
    cuts: u64,
    cut: Cut,
    cut_percent: u64,
}

/// A listener on loopback whose connections go to one address. Ends when dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    weather: watch::Sender<Weather>,
    accepting: AbortHandle,
}

impl Proxy {
    /// Binds a free port; the caller needs it before it knows what to translate.
    pub(crate) async fn bind() -> io::Result<Unrouted> {
        Ok(Unrouted(TcpListener::bind("127.0.0.1:0").await?))
    }

    /// Where to connect.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Sets both directions for `percent` of the connections, new ones included. `up` is from client to server.
    pub(crate) fn set(&self, up: Flow, down: Flow, percent: u64) {
        self.weather.send_modify(|weather| (weather.up, weather.down, weather.percent) = (up, down, percent));
    }

    /// Ends `percent` of the connections.
    pub(crate) fn cut(&self, cut: Cut, percent: u64) {
        self.weather.send_modify(|weather| {
            weather.cuts += 1;
            (weather.cut, weather.cut_percent) = (cut, percent);
        });
    }

    /// Resets new connections, or no longer.
    pub(crate) fn refuse(&self, refuses: bool) {
        self.weather.send_modify(|weather| weather.refuses = refuses);
    }

    /// Everything passes again.
    pub(crate) fn heal(&self) {
        self.set(Flow::Open, Flow::Open, 0);
        self.refuse(false);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut(Cut::Close, 100);
        self.accepting.abort();
    }
}

/// A port without a destination.
#[derive(Debug)]
pub(crate) struct Unrouted(TcpListener);

impl Unrouted {
    /// The port.
    pub(crate) fn port(&self) -> io::Result<u16> {
        Ok(self.0.local_addr()?.port())
    }

    /// Begins to accept for `target`; what it says about ports is translated.
    pub(crate) fn route(self, target: SocketAddr, translation: Option<Arc<Translation>>) -> io::Result<Proxy> {
        let address = self.0.local_addr()?;
        let (weather, watched) = watch::channel(Weather::default());
        let accepting = tokio::spawn(accept(self.0, target, watched, translation)).abort_handle();
        Ok(Proxy { address, weather, accepting })
    }
}

async fn accept(
    listener: TcpListener,
    target: SocketAddr,
    weather: watch::Receiver<Weather>,
    translation: Option<Arc<Translation>>,
) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    for number in 0_u64.. {
        let client = match listener.accept().await {
            Ok((client, _)) => client,
            Err(error) => {
                tracing::warn!(%error, "the proxy cannot accept");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&room).try_acquire_owned() else {
            reset(&client);
            continue;
        };
        if weather.borrow().refuses {
            reset(&client);
            continue;
        }
        let (weather, translation) = (weather.clone(), translation.clone());
        tokio::spawn(async move {
            if let Err(error) = carry(client, target, number, weather, translation).await {
                tracing::trace!(%error, %target, "a proxied connection ended");
            }
            drop(permit);
        });
    }
}

/// Makes the coming close a reset.
fn reset(stream: &TcpStream) {
    if let Err(error) = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO)) {
        tracing::debug!(%error, "a reset becomes a close");
    }
}

/// Moves bytes both ways until one side ends or the link is cut.
async fn carry(
    mut client: TcpStream,
    target: SocketAddr,
    number: u64,
    mut weather: watch::Receiver<Weather>,
    translation: Option<Arc<Translation>>,
) -> io::Result<()> {
    // Spreads neighbours: connections made in a row are not all hit, and the same run hits the same numbers.
    let slot = number.wrapping_mul(61) % 100;
    let cuts = weather.borrow().cuts;
    let mut server = timeout(DIAL_TIMEOUT, TcpStream::connect(target)).await??;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let up = Pump::new(weather.clone(), slot, |weather| weather.up, None);
    let down = Pump::new(weather.clone(), slot, |weather| weather.down, translation.map(Translator::new));
    let cut = tokio::select! {
        ended = up.run(from_client, to_server) => ended.map(|()| Cut::Close)?,
        ended = down.run(from_server, to_client) => ended.map(|()| Cut::Close)?,
        cut = weather.wait_for(|weather| weather.cuts > cuts && slot < weather.cut_percent) => {
            cut.map_or(Cut::Close, |weather| weather.cut)
        }
    };
    if cut == Cut::Reset {
        reset(&client);
        reset(&server);
    }
    Ok(())
}

/// One direction.
struct Pump {
    weather: watch::Receiver<Weather>,
    slot: u64,
    flow: fn(&Weather) -> Flow,
    translator: Option<Translator>,
    /// Read, with the time at which each part may go on.
    held: VecDeque<(Instant, Bytes)>,
    held_bytes: usize,
    /// When a slow link is free again.
    free_at: Instant,
}

impl Pump {
    fn new(
        weather: watch::Receiver<Weather>,
        slot: u64,
        flow: fn(&Weather) -> Flow,
        translator: Option<Translator>,
    ) -> Self {
        let (held, held_bytes, free_at) = (VecDeque::new(), 0, Instant::now());
        Self { weather, slot, flow, translator, held, held_bytes, free_at }
    }

    fn flow(&mut self) -> Flow {
        let weather = self.weather.borrow_and_update();
        if self.slot < weather.percent { (self.flow)(&weather) } else { Flow::Open }
    }

    async fn run(mut self, from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> io::Result<()> {
        let mut is_over = false;
        loop {
            let flow = self.flow();
            let may_read = !is_over && flow != Flow::Stalled && self.held_bytes < HELD_BYTES_MAX;
            let next_at = self.held.front().map(|&(at, _)| at).filter(|_| flow != Flow::Stalled);
            if is_over && self.held.is_empty() {
                return Ok(());
            }
            tokio::select! {
                changed = self.weather.changed() => {
                    // The proxy is gone.
                    if changed.is_err() {
                        return Ok(());
                    }
                }
                ready = from.readable(), if may_read => {
                    ready?;
                    // Only now: an idle connection holds no buffer.
                    let mut buffer = BytesMut::with_capacity(CHUNK_BYTES);
                    match from.try_read_buf(&mut buffer) {
                        Ok(count) => is_over = count == 0,
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                        Err(error) => return Err(error),
                    }
                    let bytes = self.translated(buffer.freeze(), is_over);
                    if flow == Flow::Open && self.held.is_empty() {
                        to.write_all(&bytes).await?;
                    } else {
                        self.hold(flow, bytes);
                    }
                }
                () = sleep_until(next_at.unwrap_or_else(Instant::now)), if next_at.is_some() => {
                    if let Some((_, bytes)) = self.held.pop_front() {
                        self.held_bytes -= bytes.len();
                        to.write_all(&bytes).await?;
                    }
                }
            }
        }
    }

    fn translated(&mut self, bytes: Bytes, is_last: bool) -> Bytes {
        match &mut self.translator {
            Some(translator) => translator.take(&bytes, is_last),
            None => bytes,
        }
    }

    fn hold(&mut self, flow: Flow, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        let now = Instant::now();
        let at = match flow {
            Flow::Open | Flow::Stalled => now,
            Flow::Delayed(by) => now + by,
            Flow::Slow { bytes_per_s } => {
                let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                let takes = Duration::from_secs(1) * length / bytes_per_s.max(1);
                self.free_at = self.free_at.max(now) + takes;
                self.free_at
            }
        };
        // A link that became quicker keeps its order.
        let at = self.held.back().map_or(at, |&(before, _)| at.max(before));
        self.held_bytes += bytes.len();
        self.held.push_back((at, bytes));
    }
}

#[cfg(test)]
mod tests;
