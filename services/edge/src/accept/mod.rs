//! From an accepted socket to an attached client.

use std::{net::SocketAddr, rc::Rc};

use tokio::net::TcpStream;

use crate::hub::Shard;

/// Serves one accepted socket until it is attached or done.
pub(crate) async fn serve(shard: Rc<Shard>, stream: TcpStream, peer: SocketAddr) {
    tracing::debug!(%peer, shard = shard.subscriber.0, "closed: the handshake is not built yet");
    drop(stream);
}
