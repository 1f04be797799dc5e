//! The recorder: byte-exact frames of a live connection in the format of recordings, so that an incident becomes a test.

use std::{
    borrow::Cow,
    io::Write,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    config::VenueConfig,
    model::{Exchange, Topic},
    publish::market,
    recording::{Direction, Record},
    supervise::{Budgets, Clock, Shared, link::Link, socket::Socket},
    venue::{Instruments, Moment, Setup, facts},
};

/// The pause before a connection that ended is opened again.
const PAUSE: Duration = Duration::from_secs(2);

/// What to record.
#[derive(Debug, Clone)]
pub struct RecordOptions {
    /// Whose messages.
    pub exchange: Exchange,
    /// What is subscribed; all of one market, served by one endpoint.
    pub topics: Vec<Topic>,
    /// Another address than the venue's own.
    pub venue: VenueConfig,
}

/// Why nothing is recorded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// No topics, or topics of several endpoints: one connection is recorded.
    #[error("name topics of one market that one address serves")]
    Topics,
    /// No HTTP client can be made.
    #[error("no HTTP client")]
    Http(#[source] reqwest::Error),
    /// The recording cannot be written.
    #[error("the recording cannot be written")]
    Write(#[source] std::io::Error),
}

/// Writes down what passes over one connection.
#[derive(Clone)]
pub(crate) struct Tap {
    conn: Arc<str>,
    out: Arc<Mutex<Recording>>,
}

struct Recording {
    out: Box<dyn Write + Send>,
    failure: Option<std::io::Error>,
}

impl std::fmt::Debug for Tap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tap").field("conn", &self.conn).finish_non_exhaustive()
    }
}

impl Tap {
    fn to(out: Box<dyn Write + Send>) -> Self {
        Self { conn: "".into(), out: Arc::new(Mutex::new(Recording { out, failure: None })) }
    }

    /// The first failure is kept for the recorder, which ends because of it.
    pub(crate) fn note(&self, dir: Direction, url: Option<&str>, raw: &str, now: Moment) {
        let t = format!("{}.{:09}", now.wall_ns.div_euclid(1_000_000_000), now.wall_ns.rem_euclid(1_000_000_000));
        let record = Record {
            t: t.into(),
            dir,
            conn: Cow::Borrowed(&self.conn),
            url: url.map(Cow::Borrowed),
            raw: Cow::Borrowed(raw),
        };
        let mut recording = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let written = serde_json::to_vec(&record).map_err(std::io::Error::other).and_then(|mut line| {
            line.push(b'\n');
            recording.out.write_all(&line)
        });
        if let Err(error) = written {
            recording.failure.get_or_insert(error);
        }
    }

    fn settle(&self) -> Result<(), RecordError> {
        let mut recording = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        match recording.failure.take() {
            Some(error) => Err(RecordError::Write(error)),
            None => recording.out.flush().map_err(RecordError::Write),
        }
    }
}

/// Records into `out` until `shutdown`. A connection that ends is opened again, under another `conn`.
pub async fn record(
    options: RecordOptions,
    out: Box<dyn Write + Send>,
    shutdown: CancellationToken,
) -> Result<(), RecordError> {
    let facts = facts(options.exchange);
    let endpoint = |topic: &Topic| facts.endpoint(market(&topic.symbol), topic.channel);
    let first = options.topics.first().and_then(endpoint).ok_or(RecordError::Topics)?;
    if options.topics.iter().any(|topic| endpoint(topic).is_none_or(|other| other.url != first.url)) {
        return Err(RecordError::Topics);
    }
    let http = reqwest::Client::builder().build().map_err(RecordError::Http)?;
    let shared = Shared { clock: Clock::new(), budgets: Arc::new(Budgets::new()), http };
    let url = options.venue.url(first.url);
    let mut tap = Tap::to(out);
    for number in 1_u64.. {
        tap.conn = format!("{}.{number}", options.exchange).into();
        let setup = Setup {
            exchange: options.exchange,
            market: first.market,
            conn: Arc::clone(&tap.conn),
            instruments: Instruments::derived(options.exchange, first.market),
            http: options.venue.http.clone(),
            accept_all: false,
        };
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = connection(&url, facts.limits.frame_bytes_max, setup, &options.topics, &shared, &tap) => {}
        }
        tap.settle()?;
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = sleep(PAUSE) => {}
        }
    }
    tap.settle()
}

/// One connection, until it ends.
async fn connection(url: &str, frame_bytes_max: usize, setup: Setup, topics: &[Topic], shared: &Shared, tap: &Tap) {
    let socket = match Socket::dial(url, frame_bytes_max).await {
        Ok(socket) => socket,
        Err(fault) => return tracing::warn!(url, "{}", fault.detail),
    };
    tap.note(Direction::Connect, Some(url), "", shared.clock.now());
    let mut link = Link::new(socket, setup, topics, shared.clone());
    link.tap = Some(tap.clone());
    loop {
        let turned = link.effects().map(drop);
        let turned = match turned {
            Ok(()) => link.turn().await,
            Err(fault) => Err(fault),
        };
        if let Err(fault) = turned {
            return tracing::warn!(url, "{}", fault.detail);
        }
    }
}
