//! HTTP/1.1 on a socket that is taken back afterwards.

use std::{cell::Cell, rc::Rc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header::CONNECTION};
use http_body::Body;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Notify,
    time::Instant,
};

/// The least that hyper allows; it bounds a request's head and what waits to be written.
pub(super) const BUFFER_BYTES_MAX: usize = 8_192;
const HEADERS_MAX: usize = 64;

/// When an exchange that makes no progress is given up. Whoever makes progress moves it.
#[derive(Debug, Clone)]
pub struct Deadline(Rc<DeadlineState>);

#[derive(Debug)]
struct DeadlineState {
    at: Cell<Instant>,
    /// It is nearer than it was. Moving it away needs no wake-up: the sleeper looks again when its time is over.
    nearer: Notify,
}

impl Deadline {
    /// `after` from now.
    pub fn new(after: Duration) -> Self {
        Self(Rc::new(DeadlineState { at: Cell::new(Instant::now() + after), nearer: Notify::new() }))
    }

    /// Moves it to `after` from now.
    pub fn extend(&self, after: Duration) {
        let at = Instant::now() + after;
        if at < self.0.at.replace(at) {
            self.0.nearer.notify_one();
        }
    }

    async fn passed(&self) {
        loop {
            let at = self.0.at.get();
            if Instant::now() >= at {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep_until(at) => {}
                () = self.0.nearer.notified() => {}
            }
        }
    }
}

/// Serves one request on `stream` with `answer`, and gives the socket back with the bytes that came after the request, or
/// `None` if the exchange failed or ran out of time. After a 101 the socket speaks the new protocol; after any other
/// answer it is done.
///
/// One request a connection: hyper's buffers (8 KB each way) end with it, a slow client holds nothing but the deadline's
/// worth of time, and what is answered to a stranger is bounded. Clients that stay use a WebSocket.
pub async fn exchange<S, B, F, A>(stream: S, deadline: &Deadline, answer: F) -> Option<(S, Bytes)>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
    F: Fn(Request<Incoming>) -> A,
    A: Future<Output = Response<B>>,
    B: Body<Data = Bytes, Error = std::convert::Infallible> + 'static,
{
    let service = service_fn(|request| {
        let answered = answer(request);
        async {
            let mut response = answered.await;
            if response.status() != StatusCode::SWITCHING_PROTOCOLS {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    let connection = http1::Builder::new()
        .max_buf_size(BUFFER_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .half_close(false)
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(stream), service)
        .without_shutdown();
    tokio::select! {
        outcome = connection => match outcome {
            Ok(parts) => Some((parts.io.into_inner(), parts.read_buf)),
            Err(error) => {
                tracing::debug!(%error, "HTTP exchange failed");
                None
            }
        },
        () = deadline.passed() => None,
    }
}
