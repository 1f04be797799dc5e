//! The simulated network behind tokio's socket types: turmoil's, with what tokio has beyond it.

use std::{
    fmt,
    future::Future,
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    task::{Context, Poll, Waker, ready},
};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{Listening, Network, Pending, Stream},
};

/// Bytes that a socket holds for its reader, as the kernel does.
const RECEIVE_MAX: usize = 32 * 1024;
/// Bytes of one connection and direction that have left their sender and are not read yet.
pub const UNDER_WAY_MAX: usize = SEGMENT_MAX * crate::world::SEGMENTS_MAX + RECEIVE_MAX;
/// Bytes of one segment. Segments are what turmoil counts, so this times its capacity is what a sender may have under way.
const SEGMENT_MAX: usize = 1_024;

/// turmoil's network, seen from the host that runs just now.
pub struct Turmoil;

impl Network for Turmoil {
    fn connect(&self, address: SocketAddr) -> Pending<Box<dyn Stream>> {
        Box::pin(async move {
            let stream = turmoil::net::TcpStream::connect(address).await?;
            Ok(Box::new(Socket::new(stream)) as Box<dyn Stream>)
        })
    }

    fn bind(&self, address: SocketAddr) -> Pending<Box<dyn Listening>> {
        Box::pin(async move {
            let listener = turmoil::net::TcpListener::bind(address).await?;
            Ok(Box::new(Listener(listener)) as Box<dyn Listening>)
        })
    }
}

struct Listener(turmoil::net::TcpListener);

impl Listening for Listener {
    fn accept(&self) -> Pin<Box<dyn Future<Output = io::Result<(Box<dyn Stream>, SocketAddr)>> + Send + '_>> {
        Box::pin(async move {
            let (stream, peer) = self.0.accept().await?;
            Ok((Box::new(Socket::new(stream)) as Box<dyn Stream>, peer))
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

struct Socket {
    stream: turmoil::net::TcpStream,
    received: BytesMut,
    is_over: bool,
    is_shut: bool,
    failure: Option<io::ErrorKind>,
    /// Who waits to read: a look without waiting must not make turmoil forget it.
    reader: Option<Waker>,
}

impl Socket {
    fn new(stream: turmoil::net::TcpStream) -> Self {
        Self { stream, received: BytesMut::new(), is_over: false, is_shut: false, failure: None, reader: None }
    }

    /// Takes over what has come, as far as there is room.
    fn fill(&mut self, context: &mut Context<'_>) {
        let mut room = [0; 4_096];
        while self.received.len() < RECEIVE_MAX && !self.is_over && self.failure.is_none() {
            let mut read = ReadBuf::new(&mut room);
            match Pin::new(&mut self.stream).poll_read(context, &mut read) {
                Poll::Pending => return,
                Poll::Ready(Err(error)) => self.failure = Some(error.kind()),
                Poll::Ready(Ok(())) if read.filled().is_empty() => self.is_over = true,
                Poll::Ready(Ok(())) => self.received.extend_from_slice(read.filled()),
            }
        }
    }

    fn take(&mut self, room: &mut [u8]) -> Option<io::Result<usize>> {
        if !self.received.is_empty() {
            let count = room.len().min(self.received.len());
            self.received.copy_to_slice(&mut room[..count]);
            return Some(Ok(count));
        }
        match self.failure {
            Some(kind) => Some(Err(kind.into())),
            None => self.is_over.then_some(Ok(0)),
        }
    }
}

impl Stream for Socket {
    fn poll_read_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.reader = Some(context.waker().clone());
        self.fill(context);
        match self.received.is_empty() && !self.is_over && self.failure.is_none() {
            true => Poll::Pending,
            false => Poll::Ready(Ok(())),
        }
    }

    fn poll_write_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_shut {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        pin!(self.stream.writable()).poll(context)
    }

    fn try_read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let reader = self.reader.clone().unwrap_or_else(|| Waker::noop().clone());
        self.fill(&mut Context::from_waker(&reader));
        self.take(room).unwrap_or_else(|| Err(io::ErrorKind::WouldBlock.into()))
    }

    fn peek(&self, room: &mut [u8]) -> usize {
        let count = room.len().min(self.received.len());
        room[..count].copy_from_slice(&self.received[..count]);
        count
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_shut {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let mut written = 0;
        for segment in bytes.chunks(SEGMENT_MAX) {
            match self.stream.try_write(segment) {
                Ok(count) => written += count,
                Err(_) if written > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(written)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }

    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.peer_addr()
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_read_ready(context))?;
        let count = self.take(room.initialize_unfilled()).unwrap_or(Ok(0))?;
        room.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            match self.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(self.poll_write_ready(context))?,
                written => return Poll::Ready(written),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if std::mem::replace(&mut self.is_shut, true) {
            return Poll::Ready(Ok(()));
        }
        // One that the peer has reset is shut as well.
        let _ = ready!(Pin::new(&mut self.stream).poll_shutdown(context));
        Poll::Ready(Ok(()))
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stream.fmt(f)
    }
}
