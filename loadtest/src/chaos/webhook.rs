//! The receiver of escalations: what a deployment has behind `escalation.url`. It writes down what comes, and refuses some of
//! it the first time.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use serde::Deserialize;
use tickwire_protocol::{RawJson, signature, time::now_ms};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::AbortHandle,
    time::timeout,
};

use super::{
    ledger::Escalated,
    watch::{Payload, lock},
};

/// Key of the signatures.
pub(crate) const SECRET: &str = "a webhook secret of the chaos run";
/// One alert in so many is refused when it comes first: it must come again.
const REFUSED: u64 = 5;
/// Bytes of one request.
const REQUEST_BYTES_MAX: usize = 64 << 10;
const HEADERS_MAX: usize = 32;
/// How long a request may take to arrive.
const PATIENCE: Duration = Duration::from_secs(10);

/// What has come: by user and the alert's number.
pub(crate) type Received = HashMap<(String, u64), Escalated>;

/// See the module. It ends when it is dropped.
pub(crate) struct Webhook {
    pub(crate) port: u16,
    received: Arc<Mutex<Received>>,
    task: AbortHandle,
}

impl Webhook {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let received = Arc::<Mutex<Received>>::default();
        let book = Arc::clone(&received);
        let serving = async move {
            let refused = Arc::<Mutex<HashSet<String>>>::default();
            while let Ok((stream, _)) = listener.accept().await {
                let (book, refused) = (Arc::clone(&book), Arc::clone(&refused));
                tokio::spawn(async move {
                    // Whoever breaks off comes again.
                    let _ = timeout(PATIENCE, serve(stream, &book, &refused)).await;
                });
            }
        };
        Ok(Self { port, received, task: tokio::spawn(serving).abort_handle() })
    }

    /// What has come so far.
    pub(crate) fn received(&self) -> Received {
        lock(&self.received).clone()
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One request, and its answer.
async fn serve(mut stream: TcpStream, book: &Mutex<Received>, refused: &Mutex<HashSet<String>>) -> anyhow::Result<()> {
    let mut bytes = Vec::new();
    let request = loop {
        anyhow::ensure!(bytes.len() < REQUEST_BYTES_MAX, "a request without end");
        anyhow::ensure!(stream.read_buf(&mut bytes).await? > 0, "a request that breaks off");
        if let Some(request) = Request::parse(&bytes)? {
            break request;
        }
    };
    let body: Body = serde_json::from_slice(request.body)?;
    let number = Payload::of(&body.data.data).map_or(0, |payload| payload.n);
    let is_genuine = request.is_signed() && request.id == body.alert_id;
    let is_refused = number.is_multiple_of(REFUSED) && lock(refused).insert(body.alert_id.clone());
    if !is_refused {
        let mut book = lock(book);
        let escalated = book.entry((body.user_id, number)).or_insert(Escalated {
            at_ms: now_ms(),
            deadline_ms: body.deadline,
            times: 0,
            is_genuine: true,
        });
        escalated.times += 1;
        escalated.is_genuine &= is_genuine;
    }
    let status = if is_refused { "503 Service Unavailable" } else { "204 No Content" };
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(answer.as_bytes()).await?;
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    alert_id: String,
    user_id: String,
    deadline: u64,
    data: Inner,
}

#[derive(Deserialize)]
struct Inner {
    data: RawJson,
}

struct Request<'a> {
    id: &'a str,
    timestamp_ms: u64,
    signature: &'a str,
    body: &'a [u8],
}

impl<'a> Request<'a> {
    /// `None` while some of it is missing.
    fn parse(bytes: &'a [u8]) -> anyhow::Result<Option<Self>> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut head = httparse::Request::new(&mut headers);
        let httparse::Status::Complete(length) = head.parse(bytes)? else { return Ok(None) };
        let value = |name: &str| -> &'a str {
            let found = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
            found.and_then(|header| std::str::from_utf8(header.value).ok()).unwrap_or_default()
        };
        let body_length: usize = value("content-length").parse()?;
        let Some(body) = bytes.get(length..).and_then(|rest| rest.get(..body_length)) else { return Ok(None) };
        Ok(Some(Self {
            id: value("idempotency-key"),
            timestamp_ms: value("tickwire-timestamp").parse().unwrap_or(0),
            signature: value("tickwire-signature"),
            body,
        }))
    }

    fn is_signed(&self) -> bool {
        signature::verify_webhook(SECRET.as_bytes(), self.id, self.timestamp_ms, self.body, self.signature)
    }
}
