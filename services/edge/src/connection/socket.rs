//! A client's socket, plain or TLS, with what the hub needs of it: nonblocking reads and gathered writes.

use std::{
    io::{self, IoSlice, Read, Write},
    pin::Pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use rustls::ServerConnection;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::server::TlsStream;

/// Encrypted bytes that may wait in a TLS session: a record's worth. What waits longer waits in the outbox.
const UNSENT_BYTES_MAX: usize = 16 * 1024;
/// Reads from the kernel that may bring no plaintext before others get their turn.
const EMPTY_READS_MAX: usize = 32;

/// See the module.
#[derive(Debug)]
pub(crate) enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsSocket>),
}

/// A socket and its session, which holds encrypted bytes that the kernel did not take, and incomplete records.
#[derive(Debug)]
pub(crate) struct TlsSocket {
    tcp: TcpStream,
    session: ServerConnection,
}

/// What HTTP is spoken on, before it becomes a [`Socket`].
pub(crate) trait Transport: AsyncRead + AsyncWrite + Unpin + 'static {
    /// The socket, and plaintext that was decrypted already.
    fn into_socket(self) -> (Socket, Bytes);
}

impl Transport for TcpStream {
    fn into_socket(self) -> (Socket, Bytes) {
        (Socket::Plain(self), Bytes::new())
    }
}

impl Transport for TlsStream<TcpStream> {
    fn into_socket(self) -> (Socket, Bytes) {
        let (tcp, mut session) = self.into_inner();
        session.set_buffer_limit(Some(UNSENT_BYTES_MAX));
        let mut early = Vec::new();
        // Ends with an error where there is no more: that is found again when the socket is read.
        let _ = session.reader().read_to_end(&mut early);
        (Socket::Tls(Box::new(TlsSocket { tcp, session })), early.into())
    }
}

impl Socket {
    /// The socket below.
    pub(crate) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => &tls.tcp,
        }
    }

    pub(crate) fn poll_read_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tcp().poll_read_ready(context)
    }

    pub(crate) fn poll_write_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tcp().poll_write_ready(context)
    }

    /// Reads what is there; 0 at the end. `Interrupted`: the peer keeps it busy with nothing, others should go first.
    /// `buffer` must have room for a TLS record (16 KB), so that none of it stays behind unseen.
    pub(crate) fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.try_read(buffer),
            Self::Tls(tls) => tls.read(buffer),
        }
    }

    /// Writes as many bytes as are taken now. With TLS they may wait in the session afterwards ([`Socket::has_unsent`]).
    pub(crate) fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match (self, slices) {
            (Self::Plain(tcp), [slice]) => tcp.try_write(slice),
            (Self::Plain(tcp), slices) => tcp.try_write_vectored(slices),
            (Self::Tls(tls), slices) => tls.write(slices),
        }
    }

    /// Whether bytes that `try_write` took wait for the kernel.
    pub(crate) fn has_unsent(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(tls) => tls.session.wants_write(),
        }
    }

    /// Gives the kernel what waits; `WouldBlock` if it did not take all.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(tls) => tls.flush(),
        }
    }

    /// Says that nothing more will be written.
    pub(crate) fn shutdown(&mut self) -> io::Result<()> {
        if let Self::Tls(tls) = self {
            tls.session.send_close_notify();
            match tls.flush() {
                // The end of the stream behind it says the same.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => outcome?,
            }
        }
        let tcp = match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => &mut tls.tcp,
        };
        // A TCP socket is shut at once: nobody has to be woken.
        match Pin::new(tcp).poll_shutdown(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => Ok(()),
        }
    }
}

impl TlsSocket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        for _ in 0..EMPTY_READS_MAX {
            match self.session.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => return outcome,
            }
            if self.session.read_tls(&mut Kernel(&self.tcp))? == 0 {
                return Ok(0);
            }
            let processed = self.session.process_new_packets();
            // Alerts and answers to key updates; what the kernel does not take now goes before the next message.
            match self.flush() {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                _ => {}
            }
            processed.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        }
        Err(io::ErrorKind::Interrupted.into())
    }

    fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.flush()?;
        let taken = self.session.writer().write_vectored(slices)?;
        match self.flush() {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(taken),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            if self.session.write_tls(&mut Kernel(&self.tcp))? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }
}

/// The nonblocking socket as `rustls` wants it.
struct Kernel<'a>(&'a TcpStream);

impl Read for Kernel<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl Write for Kernel<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
