//! Where clients connect to.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::net::{TcpSocket, lookup_host};

use super::socket::{Socket, Tls, Trust};
use crate::error::LoadError;

/// Receive buffer of clients that read slowly, bytes: the kernel must not read in their place.
const SLOW_BUFFER_BYTES: u32 = 4_096;

/// An edge.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// `host:port`, for the `Host` header.
    pub(crate) authority: String,
    /// The first address of it.
    pub(crate) addr: SocketAddr,
    /// Path of WebSocket clients.
    pub(crate) path: String,
    /// Where it speaks TLS.
    tls: Option<Tls>,
}

impl Target {
    /// Reads and resolves `ws://host:port/path`, or `wss://`.
    pub(crate) async fn resolve(url: &str, trust: &Trust) -> Result<Self, LoadError> {
        let refuse = |why: &str| LoadError::Settings(format!("target `{url}`: {why}"));
        let (scheme, rest) = url.split_once("://").ok_or_else(|| refuse("begin with ws:// or wss://"))?;
        let speaks_tls = match scheme {
            "ws" | "http" => false,
            "wss" | "https" => true,
            _ => return Err(refuse("begin with ws:// or wss://")),
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let path = if path.is_empty() || path == "/" { "/ws" } else { path };
        let has_port = authority.rsplit(':').next().is_some_and(|port| port.parse::<u16>().is_ok());
        let authority =
            if has_port { authority.to_owned() } else { format!("{authority}:{}", if speaks_tls { 443 } else { 80 }) };
        let host = authority.rsplit_once(':').map_or(authority.as_str(), |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let tls = speaks_tls.then(|| Tls::new(host, trust)).transpose()?;
        let addr = lookup_host(authority.as_str())
            .await
            .ok()
            .and_then(|mut found| found.next())
            .ok_or_else(|| refuse("its host has no address"))?;
        Ok(Self { authority, addr, path: path.to_owned(), tls })
    }

    /// Connects; to a loopback address from one of the first `sources` addresses 127.0.0.x, chosen by `client`.
    pub(crate) async fn connect(&self, client: u32, sources: u32, is_slow: bool) -> std::io::Result<Socket> {
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
        match &self.tls {
            Some(tls) => tls.connect(stream).await,
            None => Ok(Socket::Plain(stream)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn targets_are_read() {
        let target = Target::resolve("ws://127.0.0.1:8000", &Trust::Everyone).await.unwrap();
        assert_eq!((target.authority.as_str(), target.path.as_str()), ("127.0.0.1:8000", "/ws"));
        let target = Target::resolve("http://127.0.0.1/ws/trading", &Trust::Everyone).await.unwrap();
        assert_eq!((target.authority.as_str(), target.path.as_str()), ("127.0.0.1:80", "/ws/trading"));
        let target = Target::resolve("wss://127.0.0.1", &Trust::Everyone).await.unwrap();
        assert_eq!((target.authority.as_str(), target.tls.is_some()), ("127.0.0.1:443", true));
        for wrong in ["127.0.0.1:8000", "ftp://127.0.0.1:8000", "ws://"] {
            assert!(Target::resolve(wrong, &Trust::Everyone).await.is_err(), "{wrong}");
        }
    }
}
