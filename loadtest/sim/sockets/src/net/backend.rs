//! What a simulated network has to offer.

use std::{
    fmt::Debug,
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::OnceLock,
    task::{Context, Poll},
};

use real::io::{AsyncRead, AsyncWrite};

/// An operation in progress.
pub type Pending<T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send>>;

/// A connected socket. Its `poll_read` and `poll_write` are tokio's.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + Debug {
    /// Ready once a read would not block.
    fn poll_read_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>>;
    /// Ready once a write would not block.
    fn poll_write_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>>;
    /// Reads what is there, or says `WouldBlock`.
    fn try_read(&mut self, room: &mut [u8]) -> io::Result<usize>;
    /// Copies what is there and leaves it there.
    fn peek(&self, room: &mut [u8]) -> usize;
    /// Writes as much as there is room for, or says `WouldBlock`.
    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize>;
    /// This end.
    fn local_addr(&self) -> io::Result<SocketAddr>;
    /// The other end.
    fn peer_addr(&self) -> io::Result<SocketAddr>;
}

/// A listening socket.
pub trait Listening: Send + Sync {
    /// The next connection.
    fn accept(&self) -> Pin<Box<dyn Future<Output = io::Result<(Box<dyn Stream>, SocketAddr)>> + Send + '_>>;
    /// Where it listens.
    fn local_addr(&self) -> io::Result<SocketAddr>;
}

/// The network, as seen by the host that runs just now.
pub trait Network: Send + Sync {
    /// Dials.
    fn connect(&self, address: SocketAddr) -> Pending<Box<dyn Stream>>;
    /// Listens.
    fn bind(&self, address: SocketAddr) -> Pending<Box<dyn Listening>>;
}

static NETWORK: OnceLock<Box<dyn Network>> = OnceLock::new();

/// Makes `network` this process's; the first one stays.
pub fn install(network: impl Network + 'static) {
    let _ = NETWORK.set(Box::new(network));
}

pub(super) fn network() -> io::Result<&'static dyn Network> {
    NETWORK.get().map(|network| &**network).ok_or_else(|| io::Error::other("no simulated network is installed"))
}
