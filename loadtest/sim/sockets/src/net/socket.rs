//! `tokio::net::TcpSocket`: dialling with settings that a simulated network does not have.

use std::{io, net::SocketAddr};

use super::{TcpStream, backend::network};

/// A socket that is not connected yet.
#[derive(Debug)]
pub struct TcpSocket(());

impl TcpSocket {
    /// A socket.
    pub fn new_v4() -> io::Result<Self> {
        Ok(Self(()))
    }

    /// A socket in place of that one.
    pub fn from_std_stream(_: std::net::TcpStream) -> Self {
        Self(())
    }

    /// Without effect.
    pub fn set_reuseaddr(&self, _: bool) -> io::Result<()> {
        Ok(())
    }

    /// Without effect.
    pub fn set_send_buffer_size(&self, _: u32) -> io::Result<()> {
        Ok(())
    }

    /// Without effect.
    pub fn set_recv_buffer_size(&self, _: u32) -> io::Result<()> {
        Ok(())
    }

    /// Dials.
    pub async fn connect(self, address: SocketAddr) -> io::Result<TcpStream> {
        Ok(TcpStream::new(network()?.connect(address).await?))
    }
}
