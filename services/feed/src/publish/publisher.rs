//! From updates to the backplane: takes what has gathered, publishes it in one batch, and again.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tickwire_backplane::{Backplane, BackplaneError, Publish, Published};
use tickwire_protocol::namespace::Namespaces;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::{
    Names, Update, VenueWants,
    alerts::Alerts,
    outlet::{Inheritance, Lead, Outgoing, Outlet},
};
use crate::{
    book::BookState,
    metrics::Metrics,
    model::{Exchange, Symbol},
    supervise::Clock,
};

/// How often books are looked at that may need to be vouched for.
const BEATS: Duration = Duration::from_secs(1);
/// Inputs taken at once.
const BATCH: usize = 256;
/// Inputs that may wait. Above it connections drop theirs, and count them.
pub(crate) const QUEUE: usize = 8_192;

/// What a publisher is told.
#[derive(Debug)]
pub(crate) enum Input {
    Update(Update),
    Elected {
        symbol: Symbol,
        lead: Lead,
        inherited: Box<Inheritance>,
    },
    Prolonged {
        symbol: Symbol,
        until: Instant,
    },
    Lost {
        symbol: Symbol,
    },
    /// The venue is reachable or not.
    Venue {
        is_up: bool,
        reason: String,
    },
}

/// Publishes one venue, so that a venue that floods delays no other.
pub(crate) struct Publisher {
    pub(crate) exchange: Exchange,
    pub(crate) backplane: Arc<dyn Backplane>,
    pub(crate) namespaces: Arc<Namespaces>,
    pub(crate) wanted: watch::Receiver<Arc<VenueWants>>,
    clock: Clock,
    pub(crate) metrics: Arc<Metrics>,
    outlets: HashMap<Symbol, Outlet>,
    alerts: Alerts,
}

impl Publisher {
    pub(crate) fn new(
        exchange: Exchange,
        node: String,
        backplane: Arc<dyn Backplane>,
        namespaces: Arc<Namespaces>,
        wanted: watch::Receiver<Arc<VenueWants>>,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Self {
        let alerts = Alerts::new(exchange, node, Arc::clone(&namespaces));
        Self { exchange, backplane, namespaces, wanted, clock, metrics, outlets: HashMap::new(), alerts }
    }

    /// Until `shutdown`; then books are said to be no longer live.
    pub(crate) async fn run(mut self, mut inputs: mpsc::Receiver<Input>, shutdown: CancellationToken) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut beats = interval(BEATS);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let mut out = Vec::new();
            tokio::select! {
                () = shutdown.cancelled() => break,
                changed = self.wanted.changed() => match changed {
                    Ok(()) => self.on_wanted(&mut out),
                    Err(_) => break,
                },
                _ = beats.tick() => self.outlets.values_mut().for_each(|outlet| outlet.beat(&mut out)),
                count = inputs.recv_many(&mut batch, BATCH) => {
                    if count == 0 {
                        break;
                    }
                    for input in batch.drain(..) {
                        self.take(input, &mut out);
                    }
                }
            }
            self.publish(out).await;
        }
        let mut out = Vec::new();
        for outlet in self.outlets.values_mut() {
            outlet.retire("stopped", &mut out);
        }
        // The backplane's own deadline is two seconds; a process that ends does not wait for more than that.
        let _late = tokio::time::timeout(Duration::from_secs(2), self.publish(out)).await;
    }

    fn on_wanted(&mut self, out: &mut Vec<Outgoing>) {
        let wanted = Arc::clone(&self.wanted.borrow_and_update());
        for (symbol, outlet) in &mut self.outlets {
            let wants = wanted.get(symbol).cloned().unwrap_or_default();
            if outlet.wants.book && !wants.book {
                outlet.retire("released", out);
            }
            outlet.wants = wants;
        }
        self.outlets.retain(|symbol, _| wanted.contains_key(symbol));
        for (symbol, wants) in wanted.iter() {
            if self.outlets.contains_key(symbol) {
                continue;
            }
            let Some(names) = Names::of(&self.namespaces, self.exchange, symbol) else { continue };
            let mut outlet = Outlet::new(self.exchange, symbol.clone(), names);
            outlet.wants = wants.clone();
            self.outlets.insert(symbol.clone(), outlet);
        }
    }

    fn take(&mut self, input: Input, out: &mut Vec<Outgoing>) {
        match input {
            Input::Update(update) => self.update(update, out),
            Input::Elected { symbol, lead, inherited } => {
                if self.wanted.has_changed().unwrap_or(false) {
                    self.on_wanted(out);
                }
                if let Some(outlet) = self.outlets.get_mut(&symbol) {
                    tracing::info!(exchange = %self.exchange, %symbol, "publishing from now on");
                    outlet.elected(lead, &inherited, out);
                }
            }
            Input::Prolonged { symbol, until } => {
                if let Some(outlet) = self.outlets.get_mut(&symbol) {
                    outlet.prolonged(until);
                }
            }
            Input::Lost { symbol } => {
                if let Some(outlet) = self.outlets.get_mut(&symbol) {
                    tracing::info!(exchange = %self.exchange, %symbol, "another instance publishes");
                    outlet.lost();
                }
            }
            Input::Venue { is_up, reason } => {
                let status = if is_up { "up" } else { "down" };
                let alert = self.alerts.tell(None, is_up, status, Some(&reason), Instant::now());
                out.extend(alert.map(|publish| plain(publish, Symbol::new(""))));
            }
        }
    }

    fn update(&mut self, update: Update, out: &mut Vec<Outgoing>) {
        let symbol = update.symbol.clone();
        let reason = match &update.what {
            super::What::State { reason, .. } => *reason,
            _ => None,
        };
        let Some(outlet) = self.outlets.get_mut(&symbol) else { return };
        let turned = outlet.take(update, out);
        if !outlet.leads() {
            return;
        }
        let is_well = match turned {
            Some(BookState::Live) => true,
            Some(BookState::Suspect) => false,
            _ => return,
        };
        let status = outlet.book_state().name();
        let alert = self.alerts.tell(Some(&symbol), is_well, status, reason, Instant::now());
        out.extend(alert.map(|publish| plain(publish, symbol)));
    }

    /// Publishes, and what the answers make necessary: a book in a new epoch is told as a whole, once.
    async fn publish(&mut self, mut out: Vec<Outgoing>) {
        for _ in 0..2 {
            if out.is_empty() {
                return;
            }
            let (publishes, notes): (Vec<Publish>, Vec<Note>) = out.into_iter().map(Note::split).unzip();
            let began = Instant::now();
            let answers = self.backplane.publish_batch(publishes).await;
            self.metrics.publish_seconds.observe(began.elapsed().as_secs_f64());
            let published_ns = self.clock.now().wall_ns;
            out = Vec::new();
            for (note, answer) in notes.into_iter().zip(answers) {
                self.settle(&note, answer, published_ns, &mut out);
            }
        }
    }

    fn settle(
        &mut self,
        note: &Note,
        answer: Result<Published, BackplaneError>,
        published_ns: i64,
        again: &mut Vec<Outgoing>,
    ) {
        let Some(outlet) = self.outlets.get_mut(&note.symbol) else {
            // Alerts, and the last word on a symbol that nobody wants any more, are no market data.
            self.metrics.publish_failures.inc_by(u64::from(answer.is_err()));
            return;
        };
        match answer {
            Ok(published) => {
                self.metrics.published(self.exchange, &note.symbol, note.venue_ms, note.received_ns, published_ns);
                if let Some(position) = published.position.filter(|_| note.is_book) {
                    outlet.book_published(position.epoch, again);
                }
            }
            Err(BackplaneError::Fenced { .. }) => {
                self.metrics.fenced.inc();
                outlet.lost();
            }
            Err(error) => {
                self.metrics.publish_failures.inc();
                tracing::debug!(%error, exchange = %self.exchange, symbol = %note.symbol, "not published");
                if note.is_book {
                    outlet.book_failed();
                }
            }
        }
    }
}

/// What is remembered of a message while it is being published.
struct Note {
    symbol: Symbol,
    is_book: bool,
    received_ns: i64,
    venue_ms: Option<i64>,
}

impl Note {
    fn split(outgoing: Outgoing) -> (Publish, Self) {
        let Outgoing { publish, symbol, is_book, received_ns, venue_ms } = outgoing;
        (publish, Self { symbol, is_book, received_ns, venue_ms })
    }
}

/// A message that is no market data.
fn plain(publish: Publish, symbol: Symbol) -> Outgoing {
    let received_ns = i64::try_from(publish.time_ms).unwrap_or(0).saturating_mul(1_000_000);
    Outgoing { publish, symbol, is_book: false, received_ns, venue_ms: None }
}
