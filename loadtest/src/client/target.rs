//! Where clients connect to.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::net::{TcpSocket, TcpStream, lookup_host};

use crate::error::LoadError;

/// Receive buffer of clients that read slowly, bytes: the kernel must not read in their place.
const SLOW_BUFFER_BYTES: u32 = 4_096;

/// An edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// `host:port`, for the `Host` header.
    pub(crate) authority: String,
    /// The first address of it.
    pub(crate) addr: SocketAddr,
    /// Path of WebSocket clients.
    pub(crate) path: String,
}

impl Target {
    /// Reads and resolves `ws://host:port/path`.
    pub(crate) async fn resolve(url: &str) -> Result<Self, LoadError> {
        let refuse = |why: &str| LoadError::Settings(format!("target `{url}`: {why}"));
        let rest = url
            .strip_prefix("ws://")
            .or_else(|| url.strip_prefix("http://"))
            .ok_or_else(|| refuse("begin with ws://; end TLS in front of what is measured"))?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let path = if path.is_empty() || path == "/" { "/ws" } else { path };
        let has_port = authority.rsplit(':').next().is_some_and(|port| port.parse::<u16>().is_ok());
        let authority = if has_port { authority.to_owned() } else { format!("{authority}:80") };
        let addr = lookup_host(authority.as_str())
            .await
            .ok()
            .and_then(|mut found| found.next())
            .ok_or_else(|| refuse("its host has no address"))?;
        Ok(Self { authority, addr, path: path.to_owned() })
    }

    /// Connects; to a loopback address from one of the first `sources` addresses 127.0.0.x, chosen by `client`.
    pub(crate) async fn connect(&self, client: u32, sources: u32, is_slow: bool) -> std::io::Result<TcpStream> {
        let socket = if self.addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if is_slow {
            socket.set_recv_buffer_size(SLOW_BUFFER_BYTES)?;
        }
        if sources > 1 && matches!(self.addr.ip(), IpAddr::V4(ip) if ip.is_loopback()) {
            let last = u8::try_from(1 + client % sources).unwrap_or(1);
            socket.bind(SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0)))?;
        }
        let stream = socket.connect(self.addr).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn targets_are_read() {
        let target = Target::resolve("ws://127.0.0.1:8000").await.unwrap();
        assert_eq!((target.authority.as_str(), target.path.as_str()), ("127.0.0.1:8000", "/ws"));
        let target = Target::resolve("http://127.0.0.1/ws/trading").await.unwrap();
        assert_eq!((target.authority.as_str(), target.path.as_str()), ("127.0.0.1:80", "/ws/trading"));
        for wrong in ["127.0.0.1:8000", "wss://127.0.0.1:8000", "ws://"] {
            assert!(Target::resolve(wrong).await.is_err(), "{wrong}");
        }
    }
}
