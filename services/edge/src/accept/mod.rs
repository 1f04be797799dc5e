//! From an accepted socket to an attached client.
//!
//! `serve` waits until a request's head has arrived, speaks HTTP once ([`exchange()`]), and hands what became a
//! WebSocket to the shard. `gate` decides who may come in, `endpoints` answers what asks about the node itself.
//!
//! Invariants:
//! - A socket that says nothing, or says it slowly, costs no buffer and holds up nobody: a place among the
//!   `edge.handshakes_max` exchanges of a shard is taken only for a whole head.
//! - Every exchange has a deadline. Only who makes progress moves it.
//! - Tokens are neither echoed nor logged, and neither is a query string, which may hold one.

pub(crate) mod answer;
mod arrival;
mod credentials;
mod deflate;
mod endpoints;
mod exchange;
mod gate;
mod origin;
mod proxies;
mod routes;
mod upgrade;

pub use exchange::{Deadline, exchange};
pub use proxies::{InvalidNetwork, Network};
pub use upgrade::{NotUpgradable, Upgrade};

pub(crate) use credentials::parameter;
pub(crate) use gate::Visitor;

use std::{
    net::{IpAddr, SocketAddr},
    rc::Rc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{
    HeaderValue, Method, StatusCode,
    header::{ALLOW, SEC_WEBSOCKET_VERSION, UPGRADE},
    request::Parts,
};
use tickwire_protocol::{CloseCode, ErrorCode, Event, dialect::Dialect, event::ErrorEvent};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{
    connection::{ConnectionId, Handshake, socket::Transport, task},
    fallback,
    framing::outgoing,
    hub::Shard,
    limits::Refusal,
};
use answer::Answer;
use credentials::is_bearer;
use origin::OriginPolicy;
use routes::Route;

/// How long a socket that is only told why it is refused may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// What becomes of a socket after its 101.
pub(crate) enum Outcome {
    /// It is served.
    Attach(Box<Handshake>),
    /// It is told why not, in frames, since a browser's script sees no HTTP answer.
    Farewell(Dialect, Refusal),
}

/// Serves one accepted socket until it is done.
///
/// A task keeps the room of its largest state for as long as it lives. So what waits for a request and what answers it are
/// boxes that end with their work, and the client's own state, which stays, is small.
pub(crate) fn serve(shard: Rc<Shard>, stream: TcpStream, peer: SocketAddr) -> impl Future<Output = ()> {
    let entering = Box::pin(enter(Rc::clone(&shard), stream, peer.ip()));
    async move {
        if let Some(id) = entering.await {
            task::serve(shard, id).await;
        }
    }
}

/// From an accepted socket to a client. Not an `async fn`, which would keep its arguments twice.
#[allow(clippy::manual_async_fn, reason = "see above")]
fn enter(shard: Rc<Shard>, stream: TcpStream, peer: IpAddr) -> impl Future<Output = Option<ConnectionId>> {
    async move {
        let begun = Instant::now();
        let place = gate::place(&shard, peer);
        if !matches!(arrival::has_come(&stream, &shard).await, Ok(true)) {
            return None;
        }
        let permit = shard.handshakes.acquire().await.ok()?;
        Box::pin(converse(Visitor::new(&shard, peer, begun, place, permit), stream)).await
    }
}

async fn converse(visitor: Visitor<'_>, stream: TcpStream) -> Option<ConnectionId> {
    let node = &visitor.shard.node;
    let Some(tls) = &node.tls else { return answer_on(&visitor, stream).await };
    // Its place is taken until the request is answered, and one deadline is for both.
    let error = match timeout(node.config.edge.handshake_timeout(), tls.handshake(stream)).await {
        // Boxed, as a session is large and most sockets here are plain.
        Ok(Ok(stream)) => return Box::pin(answer_on(&visitor, stream)).await,
        Ok(Err(error)) => error,
        Err(_) => std::io::ErrorKind::TimedOut.into(),
    };
    node.metrics.tls_failures.inc();
    tracing::debug!(%error, "TLS handshake failed");
    None
}

/// One request, its answer, and what becomes of the socket.
async fn answer_on<S: Transport>(visitor: &Visitor<'_>, stream: S) -> Option<ConnectionId> {
    let taken = exchange(stream, &visitor.deadline, |request| respond(visitor, request.into_parts().0)).await;
    visitor.release();
    let (mut stream, early) = taken?;
    match visitor.take_outcome() {
        // The answer's end must be told from a cut: TLS says so itself.
        None => drop(timeout(FAREWELL, stream.shutdown()).await),
        Some(Outcome::Attach(handshake)) => {
            let (socket, more) = stream.into_socket();
            let early = if more.is_empty() { early } else { [early, more].concat().into() };
            let id = visitor.shard.attach_socket(socket, &early, *handshake);
            visitor.shard.node.metrics.connect.observe(visitor.begun.elapsed());
            return Some(id);
        }
        Some(Outcome::Farewell(dialect, refusal)) => {
            drop(timeout(FAREWELL, farewell(stream, dialect, &refusal)).await);
        }
    }
    None
}

async fn respond(visitor: &Visitor<'_>, head: Parts) -> Answer {
    let node = &visitor.shard.node;
    let path = head.uri.path();
    let Some(route) = Route::find(path, &node.config.edge.areas) else {
        return match head.method {
            Method::GET | Method::HEAD => endpoints::other(node, path, &head.headers),
            _ => answer::error_as(StatusCode::NOT_FOUND, ErrorCode::BadRequest, "there is nothing at this path"),
        };
    };
    tracing::debug!(method = %head.method, path, "request");
    if route.is_shared() {
        return shared(visitor, &route, &head).await;
    }
    match (&route, &head.method) {
        (Route::WebSocket { area }, _) => upgrade(visitor, &head, *area).await,
        (_, &Method::GET | &Method::HEAD) => match route {
            Route::Health => answer::whole(StatusCode::OK, "text/plain", "ok\n"),
            Route::Ready => endpoints::ready(node),
            Route::Metrics => endpoints::metrics(node),
            _ => endpoints::status(node, head.uri.query()).await,
        },
        _ => method_not_allowed("GET, HEAD"),
    }
}

/// SSE and polling, which pages of other origins use by CORS.
async fn shared(visitor: &Visitor<'_>, route: &Route<'_>, head: &Parts) -> Answer {
    if !OriginPolicy::of(&visitor.shard.node.config.edge).allows(&head.headers) {
        return answer::refusal(&visitor.origin_refused());
    }
    let mut answer = match head.method {
        Method::OPTIONS => {
            let mut answer = Answer::default();
            *answer.status_mut() = StatusCode::NO_CONTENT;
            origin::preflight(answer.headers_mut());
            answer
        }
        Method::GET if *route == Route::Sse => fallback::sse::answer(visitor, head).await,
        Method::GET => fallback::poll::answer(visitor, head).await,
        _ => method_not_allowed("GET, OPTIONS"),
    };
    origin::share(&head.headers, answer.headers_mut());
    answer
}

async fn upgrade(visitor: &Visitor<'_>, head: &Parts, area: Option<&str>) -> Answer {
    let upgrade = match Upgrade::check(head) {
        Ok(upgrade) => upgrade,
        Err(refused) => return not_upgradable(refused),
    };
    if !OriginPolicy::of(&visitor.shard.node.config.edge).allows(&head.headers) {
        return answer::refusal(&visitor.origin_refused());
    }
    let dialect = upgrade::offered(&head.headers).filter(|name| !is_bearer(name)).find_map(Dialect::from_subprotocol);
    let config = &visitor.shard.node.config.edge;
    let extension = if config.deflate { deflate::negotiate(&head.headers) } else { None };
    match visitor.admit(head).await {
        Ok(admission) => {
            let handshake = admission.handshake(dialect, extension.is_some(), area);
            visitor.set_outcome(Outcome::Attach(Box::new(handshake)));
        }
        // Who sends the token with the upgrade reads the status. A page, which sends it in `connect`, cannot.
        Err(refusal) if gate::sends_token_later(head) && refusal.is_for_now() => {
            visitor.set_outcome(Outcome::Farewell(dialect.unwrap_or(Dialect::Json), refusal));
        }
        Err(refusal) => return answer::refusal(&refusal),
    }
    upgrade.response(dialect.and_then(Dialect::subprotocol), extension)
}

fn not_upgradable(refused: NotUpgradable) -> Answer {
    let mut answer = answer::error_as(refused.status(), ErrorCode::BadRequest, &refused.to_string());
    match refused {
        NotUpgradable::Method => {
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
        }
        NotUpgradable::PlainHttp | NotUpgradable::Version => {
            answer.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
            answer.headers_mut().insert(SEC_WEBSOCKET_VERSION, upgrade::VERSION);
        }
        NotUpgradable::Key => {}
    }
    answer
}

fn method_not_allowed(allowed: &'static str) -> Answer {
    let message = format!("this endpoint knows {allowed} only");
    let mut answer = answer::error_as(StatusCode::METHOD_NOT_ALLOWED, ErrorCode::BadRequest, &message);
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}

/// Says why in an `error` frame, closes, and reads on until the peer has closed too, so that it is not reset before it
/// has read.
async fn farewell<S: Transport>(mut stream: S, dialect: Dialect, refusal: &Refusal) -> std::io::Result<()> {
    let error = Event::Error(Box::new(ErrorEvent {
        id: None,
        code: refusal.code,
        message: refusal.message.clone(),
        channel: None,
        retry_after_ms: refusal.retry_after.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
    }));
    let code = dialect.close_code(refusal.close_code());
    let frame = dialect.encode(&error).map_or(Bytes::new(), |body| crate::connection::frame(dialect, &body));
    stream.write_all(&frame).await?;
    stream.write_all(&outgoing::close(Some(code), &refusal.message)).await?;
    stream.shutdown().await?;
    let mut rest = [0; 512];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}

impl Refusal {
    /// Whether it is about the node's state, not about the client: the same request may succeed a little later.
    fn is_for_now(&self) -> bool {
        matches!(self.close_code(), CloseCode::RateLimited | CloseCode::GoingAway) && self.code.is_retryable()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tickwire_auth::Secret;
    use tickwire_backplane::{Backplane, memory::MemoryBackplane};
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::{config::Config, node::Node};

    /// Thousands of these may wait at once. In the allocator's size of a [`crate::connection::Connection`], each gives its
    /// place to the client that it becomes; in another one it would leave a hole beside what stays.
    #[tokio::test]
    async fn what_waits_for_a_request_is_of_the_size_of_what_comes_after_it() {
        let mut config = Config::default();
        config.auth.hs256_secret = Some(Secret::new("a secret of thirty-two bytes or more"));
        let backplane = MemoryBackplane::new();
        let subscriber = backplane.subscriber(1).id;
        let node = Node::new(config, backplane, CancellationToken::new()).unwrap();
        let shard = Shard::new(Arc::new(node), subscriber);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let waiting = enter(Rc::clone(&shard), TcpStream::connect(address).await.unwrap(), address.ip());
        let bytes = size_of_val(&waiting);
        assert!((257..=320).contains(&bytes), "{bytes} bytes");
        let task = serve(shard.clone(), TcpStream::connect(address).await.unwrap(), address);
        // With the runtime's own part it stays within 256.
        assert!(size_of_val(&task) <= 96, "{} bytes", size_of_val(&task));
    }
}
