//! Connections: bounded in number, with a deadline for a request's head, and drained at the end.

use std::{net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{Router, extract::ConnectInfo};
use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

/// How long a connection may stand without a whole request head. Longer than clients keep idle connections (reqwest: 90 s),
/// so that a request seldom meets a connection that is just being closed.
const HEAD_TIMEOUT: Duration = Duration::from_secs(120);
/// Pause after `accept` failed, for want of file descriptors mostly.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What ends connections: `shutdown` after the request in progress, `now` at once.
#[derive(Clone)]
struct Ends {
    shutdown: CancellationToken,
    now: CancellationToken,
}

/// Serves `listener` until `shutdown`, then finishes what is in progress within `drain`. At `connections_max` open
/// connections further ones wait to be accepted.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    connections_max: usize,
    drain: Duration,
    shutdown: CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(connections_max));
    let connections = TaskTracker::new();
    let ends = Ends { shutdown, now: CancellationToken::new() };
    while let Some((stream, peer, slot)) = next(&listener, &slots, &ends.shutdown).await {
        connections.spawn(connection(stream, peer, router.clone(), ends.clone(), slot));
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(drain, connections.wait()).await.is_err() {
        let open = connections.len();
        tracing::warn!(open, "connections were still in use when the drain's time was up");
        ends.now.cancel();
    }
}

/// The next connection; `None` once `shutdown` is cancelled.
async fn next(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
    shutdown: &CancellationToken,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let slot = shutdown.run_until_cancelled(Arc::clone(slots).acquire_owned()).await?.ok()?;
    loop {
        match shutdown.run_until_cancelled(listener.accept()).await? {
            Ok((stream, peer)) => return Some((stream, peer, slot)),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                shutdown.run_until_cancelled(tokio::time::sleep(ACCEPT_PAUSE)).await?;
            }
        }
    }
}

async fn connection(stream: TcpStream, peer: SocketAddr, router: Router, ends: Ends, _slot: OwnedSemaphorePermit) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY is not set");
    }
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        router.clone().oneshot(request)
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = pin!(serving);
    let until_shutdown = ends.shutdown.run_until_cancelled(serving.as_mut()).await;
    let ended = if until_shutdown.is_none() {
        serving.as_mut().graceful_shutdown();
        ends.now.run_until_cancelled(serving).await
    } else {
        until_shutdown
    };
    if let Some(Err(error)) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}
