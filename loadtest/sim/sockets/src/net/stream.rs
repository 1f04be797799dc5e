//! `tokio::net::TcpStream`.

use std::{
    collections::HashMap,
    future::poll_fn,
    io::{self, IoSlice},
    net::SocketAddr,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
    pin::Pin,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use real::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, Ready};

use super::{Stream, ToSocketAddrs, backend::network, lookup_host};

/// Bytes of a vectored write that are taken at once.
const VECTORED_MAX: usize = 16 * 1024;

type Shared = Arc<Mutex<Box<dyn Stream>>>;

/// A connected socket of the simulated network.
#[derive(Debug)]
pub struct TcpStream(Shared);

/// Its reading half.
#[derive(Debug)]
pub struct OwnedReadHalf(TcpStream);

/// Its writing half.
#[derive(Debug)]
pub struct OwnedWriteHalf(TcpStream);

/// Sockets that went out as `std` ones, by the descriptor that stands for them.
static ABROAD: LazyLock<Mutex<HashMap<RawFd, Shared>>> = LazyLock::new(Mutex::default);
/// A real socket, never connected, that takes the options which a simulated one does not have.
static OPTIONS: LazyLock<socket2::Socket> = LazyLock::new(|| real_socket().expect("a socket"));

fn real_socket() -> io::Result<socket2::Socket> {
    socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, Some(socket2::Protocol::TCP))
}

fn abroad() -> MutexGuard<'static, HashMap<RawFd, Shared>> {
    ABROAD.lock().unwrap_or_else(PoisonError::into_inner)
}

impl TcpStream {
    pub(super) fn new(stream: Box<dyn Stream>) -> Self {
        Self(Arc::new(Mutex::new(stream)))
    }

    /// Dials the first of `addresses`.
    pub async fn connect<A: ToSocketAddrs>(addresses: A) -> io::Result<Self> {
        let address = lookup_host(addresses).await?.next().ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Self::new(network()?.connect(address).await?))
    }

    /// A `std` socket to set options on, which `from_std` turns back into this one.
    pub fn into_std(self) -> io::Result<std::net::TcpStream> {
        let stand_in: std::net::TcpStream = real_socket()?.into();
        abroad().insert(stand_in.as_raw_fd(), self.0);
        Ok(stand_in)
    }

    /// The reverse of [`Self::into_std`]; no other socket can be had.
    pub fn from_std(stand_in: std::net::TcpStream) -> io::Result<Self> {
        abroad().remove(&stand_in.as_raw_fd()).map(Self).ok_or_else(|| io::ErrorKind::Unsupported.into())
    }

    fn inner(&self) -> MutexGuard<'_, Box<dyn Stream>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This end.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner().local_addr()
    }

    /// The other end.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.inner().peer_addr()
    }

    /// Without effect.
    pub fn set_nodelay(&self, _: bool) -> io::Result<()> {
        Ok(())
    }

    /// Always so.
    pub fn nodelay(&self) -> io::Result<bool> {
        Ok(true)
    }

    /// Ready once a read would not block.
    pub fn poll_read_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_read_ready(context)
    }

    /// Ready once a write would not block.
    pub fn poll_write_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_write_ready(context)
    }

    /// Waits until it is readable.
    pub async fn readable(&self) -> io::Result<()> {
        poll_fn(|context| self.poll_read_ready(context)).await
    }

    /// Waits until it is writable.
    pub async fn writable(&self) -> io::Result<()> {
        poll_fn(|context| self.poll_write_ready(context)).await
    }

    /// Waits until it is what `interest` asks for, reading first.
    pub async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        if !interest.is_readable() {
            self.writable().await?;
            return Ok(Ready::WRITABLE);
        }
        self.readable().await?;
        let is_over = self.inner().peek(&mut [0]) == 0;
        Ok(if is_over { Ready::READABLE | Ready::READ_CLOSED } else { Ready::READABLE })
    }

    /// Copies what is there and leaves it there.
    pub fn poll_peek(&self, context: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<usize>> {
        let mut inner = self.inner();
        ready!(inner.poll_read_ready(context))?;
        let count = inner.peek(room.initialize_unfilled());
        room.advance(count);
        Poll::Ready(Ok(count))
    }

    /// The same, waiting for something to be there.
    pub async fn peek(&self, room: &mut [u8]) -> io::Result<usize> {
        self.readable().await?;
        Ok(self.inner().peek(room))
    }

    /// Reads what is there, or says `WouldBlock`.
    pub fn try_read(&self, room: &mut [u8]) -> io::Result<usize> {
        self.inner().try_read(room)
    }

    /// Writes as much as there is room for, or says `WouldBlock`.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.inner().try_write(bytes)
    }

    /// The same of several slices.
    pub fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut joined = Vec::with_capacity(VECTORED_MAX.min(slices.iter().map(|slice| slice.len()).sum()));
        for slice in slices {
            let room = VECTORED_MAX - joined.len();
            joined.extend_from_slice(&slice[..slice.len().min(room)]);
        }
        self.inner().try_write(&joined)
    }

    /// Two halves.
    pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        (OwnedReadHalf(Self(Arc::clone(&self.0))), OwnedWriteHalf(self))
    }
}

impl AsFd for TcpStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        OPTIONS.as_fd()
    }
}

impl AsRawFd for TcpStream {
    fn as_raw_fd(&self) -> RawFd {
        OPTIONS.as_raw_fd()
    }
}

impl AsyncRead for TcpStream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut **self.inner()).poll_read(context, room)
    }
}

impl AsyncWrite for TcpStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut **self.inner()).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut **self.inner()).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut **self.inner()).poll_shutdown(context)
    }
}

impl AsyncRead for OwnedReadHalf {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, room)
    }
}

impl AsyncWrite for OwnedWriteHalf {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
