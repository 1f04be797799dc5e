//! `tokio::net::TcpListener`.

use std::{
    fmt, io,
    net::SocketAddr,
    task::{Context, Poll},
};

use super::{Listening, TcpStream, ToSocketAddrs, backend::network, lookup_host};

/// A listening socket of the simulated network.
pub struct TcpListener(Box<dyn Listening>);

impl TcpListener {
    /// Listens at the first of `addresses`.
    pub async fn bind<A: ToSocketAddrs>(addresses: A) -> io::Result<Self> {
        let address = lookup_host(addresses).await?.next().ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Self(network()?.bind(address).await?))
    }

    /// Not on a simulated network.
    pub fn from_std(_: std::net::TcpListener) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// The next connection.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = self.0.accept().await?;
        Ok((TcpStream::new(stream), peer))
    }

    /// Accepts without waiting: for traits that want it, not used by what is simulated.
    pub fn poll_accept(&self, context: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        let accepted = std::pin::pin!(self.accept());
        accepted.poll(context)
    }

    /// Where it listens.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TcpListener").field(&self.0.local_addr()).finish()
    }
}
