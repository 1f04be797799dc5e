//! One open connection with its adapter: frames in, effects out, frames sent at the venue's pace.

use std::{collections::HashSet, sync::Arc};

use tokio::{
    sync::mpsc,
    time::{Duration, Instant, sleep, sleep_until},
};

use super::{
    budgets::{Budgets, Outbox},
    clock::Clock,
    socket::{Received, Socket},
};
use crate::{
    model::{Channel, Symbol, Topic},
    record::Tap,
    recording::Direction,
    venue::{Adapter, Answer, Effect, Fault, FaultClass, Fetch, Frame, Setup},
};

/// How long an HTTP request may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);
/// Requests of one connection under way at once; one more waits.
const FETCHES_MAX: usize = 4;
/// Bytes of an answer.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// An answer to a [`Fetch`].
#[derive(Debug)]
pub(crate) struct Fetched {
    symbol: Symbol,
    url: String,
    answer: Result<String, Option<u16>>,
}

/// What a link shares with all others.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    pub(crate) clock: Clock,
    pub(crate) budgets: Arc<Budgets>,
    pub(crate) http: reqwest::Client,
}

#[derive(Debug)]
pub(crate) struct Link {
    socket: Socket,
    pub(crate) adapter: Adapter,
    outbox: Outbox,
    /// Taken from the outbox, not yet by the socket.
    sending: std::collections::VecDeque<String>,
    is_flushed: bool,
    shared: Shared,
    fetched: (mpsc::Sender<Fetched>, mpsc::Receiver<Fetched>),
    slots: Arc<tokio::sync::Semaphore>,
    /// Books whose fetch is under way: while a venue is closed for us, resyncs do not add up.
    fetching: HashSet<Symbol>,
    opened: Instant,
    /// Writes down what passes.
    pub(crate) tap: Option<Tap>,
}

impl Link {
    /// Over an open socket, asking for `topics`.
    pub(crate) fn new(socket: Socket, setup: Setup, topics: &[Topic], shared: Shared) -> Self {
        let mut adapter = Adapter::new(setup);
        let now = shared.clock.now();
        adapter.connected(now);
        adapter.want(topics, now);
        Self {
            outbox: Outbox::new(adapter.facts().limits.messages),
            sending: std::collections::VecDeque::new(),
            is_flushed: true,
            socket,
            adapter,
            shared,
            fetched: mpsc::channel(FETCHES_MAX),
            slots: Arc::new(tokio::sync::Semaphore::new(FETCHES_MAX)),
            fetching: HashSet::new(),
            opened: Instant::now(),
            tap: None,
        }
    }

    pub(crate) fn is_replayed(&self) -> bool {
        self.socket.is_replayed
    }

    /// How long it has been open.
    pub(crate) fn age(&self) -> Duration {
        self.opened.elapsed()
    }

    /// Every wanted book is live.
    pub(crate) fn is_ready(&self) -> bool {
        let is_live = |symbol: &Symbol| {
            self.adapter.book(symbol).is_some_and(|book| book.state() == crate::book::BookState::Live)
        };
        let books = self.adapter.topics().iter().filter(|topic| topic.channel == Channel::Orderbook);
        books.into_iter().all(|topic| is_live(&topic.symbol))
            && (self.adapter.counters().frames > 0 || self.adapter.topics().is_empty())
    }

    /// Waits for something to happen and lets the adapter see it. Safe to drop at any time. Effects are then to be taken.
    pub(crate) async fn turn(&mut self) -> Result<(), Fault> {
        let now = self.shared.clock.now();
        let send_at_ms = match self.outbox.next(now.mono_ms) {
            Ok(frame) => {
                // Kept here until the socket has it: this call may be dropped at any await.
                self.sending.push_back(frame);
                None
            }
            Err(at_ms) => at_ms,
        };
        if !self.sending.is_empty() {
            self.socket.ready().await?;
            if let Some(frame) = self.sending.pop_front() {
                if let Some(tap) = &self.tap {
                    tap.note(Direction::Out, None, &frame, self.shared.clock.now());
                }
                self.socket.start(frame)?;
                self.is_flushed = false;
            }
        }
        if !self.is_flushed {
            self.socket.flush().await?;
            self.is_flushed = true;
            return Ok(());
        }
        let wake_at_ms = [send_at_ms, self.adapter.wake_at_ms()].into_iter().flatten().min();
        let wake = async {
            match wake_at_ms {
                Some(at_ms) => sleep_until(self.shared.clock.instant(at_ms)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            received = self.socket.receive() => {
                let now = self.shared.clock.now();
                match received {
                    Received::Text(text) => {
                        if let Some(tap) = &self.tap {
                            tap.note(Direction::In, None, &text, now);
                        }
                        self.adapter.frame(Frame::Text(&text), now);
                    }
                    Received::Binary(bytes) => self.adapter.frame(Frame::Binary(&bytes), now),
                    Received::Ping => self.adapter.frame(Frame::Ping, now),
                    Received::Pong => self.adapter.frame(Frame::Pong, now),
                    Received::Ended(fault) => return Err(fault),
                }
            }
            Some(Fetched { symbol, url, answer }) = self.fetched.1.recv() => {
                if let (Some(tap), Ok(body)) = (&self.tap, &answer) {
                    tap.note(Direction::Http, Some(&url), body, self.shared.clock.now());
                }
                self.fetching.remove(&symbol);
                let answer = match &answer {
                    Ok(body) => Answer::Body(body),
                    Err(Some(status)) => Answer::Status(*status),
                    Err(None) => Answer::Failed,
                };
                self.adapter.answered(&symbol, answer, self.shared.clock.now());
            }
            () = wake => self.adapter.poll(self.shared.clock.now()),
        }
        Ok(())
    }

    /// The effects that are not this link's own business: frames and fetches are under way already.
    pub(crate) fn effects(&mut self) -> Result<Vec<Effect>, Fault> {
        let effects: Vec<Effect> = self.adapter.effects().collect();
        let mut others = Vec::with_capacity(effects.len());
        for effect in effects {
            match effect {
                Effect::Send(frame) => {
                    if !self.outbox.push(frame) {
                        return Err(Fault::new(FaultClass::RateLimit, None, "more to send than the venue takes"));
                    }
                }
                Effect::Fetch(fetch) => self.fetch(fetch),
                other => others.push(other),
            }
        }
        Ok(others)
    }

    fn fetch(&mut self, fetch: Fetch) {
        if !self.fetching.insert(fetch.symbol.clone()) {
            return;
        }
        let (shared, facts) = (self.shared.clone(), self.adapter.facts());
        let (answers, slots) = (self.fetched.0.clone(), Arc::clone(&self.slots));
        tokio::spawn(async move {
            sleep(Duration::from_millis(fetch.delay_ms)).await;
            let Ok(_slot) = slots.acquire().await else { return };
            while let Err(wait) = shared.budgets.weight(facts, fetch.weight) {
                // The link may have ended meanwhile.
                if answers.is_closed() {
                    return;
                }
                sleep(wait.min(Duration::from_secs(1))).await;
            }
            let answer = get(&shared.http, &fetch.url).await;
            // Its link may have ended.
            let _closed = answers.send(Fetched { symbol: fetch.symbol, url: fetch.url, answer }).await;
        });
    }

    pub(crate) async fn close(self) {
        self.socket.close().await;
    }
}

/// The body, or the status of a refusal.
pub(crate) async fn get(http: &reqwest::Client, url: &str) -> Result<String, Option<u16>> {
    let fetching = async {
        let mut response = http.get(url).send().await.map_err(|_| None)?;
        if !response.status().is_success() {
            return Err(Some(response.status().as_u16()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|_| None)? {
            if body.len() + chunk.len() > BODY_BYTES_MAX {
                return Err(None);
            }
            body.extend_from_slice(&chunk);
        }
        String::from_utf8(body).map_err(|_| None)
    };
    tokio::time::timeout(FETCH_TIMEOUT, fetching).await.unwrap_or(Err(None))
}
