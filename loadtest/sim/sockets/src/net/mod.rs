//! tokio's `net` with the TCP types replaced.

mod backend;
mod listener;
mod socket;
mod stream;

pub use backend::{Listening, Network, Pending, Stream, install};
pub use listener::TcpListener;
pub use real::net::{ToSocketAddrs, UdpSocket, UnixDatagram, UnixListener, UnixSocket, UnixStream, lookup_host, unix};
pub use socket::TcpSocket;
pub use stream::{OwnedReadHalf, OwnedWriteHalf, TcpStream};

/// As in tokio.
pub mod tcp {
    pub use super::stream::{OwnedReadHalf, OwnedWriteHalf};
}
