//! What was promised, against what happened. Pure: events in, violations out; it reads no clock and does no I/O.
//!
//! Safety (`see`) holds at every event, also while everything breaks. `audit` says, after everything was healed and had time,
//! what is still missing. Both know what a store that lost writes excuses, and nothing else excuses anything.

mod calm;
mod facts;
mod grants;
mod inbox;
mod latest;
mod reliable;

use std::{collections::BTreeSet, fmt};

use tickwire_protocol::Position;

pub use self::facts::Facts;
use self::{calm::Calm, grants::Grants, inbox::Inbox, latest::Latest, reliable::Reliable};

/// Names a message: its idempotency key, and what its data says.
pub type MessageId = u64;
/// Names a subscriber: one subscription of one program that keeps its position over reconnects.
pub type Reader = &'static str;

/// Something that happened, as seen by those who use the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A publisher begins to publish; it will repeat until it knows the answer.
    Publishing { id: MessageId, channel: String, key: Option<String> },
    /// The emitter confirmed.
    Published { id: MessageId, position: Option<Position>, duplicate: bool },
    /// A critical notification begins to be published.
    Notifying { id: MessageId, user: String },
    /// The emitter confirmed it.
    Notified { id: MessageId, position: Position },
    /// A subscription stands for the first time; what follows comes after `position`.
    Subscribed { reader: Reader, channel: String, position: Option<Position> },
    /// It stands again after a break.
    Recovered { reader: Reader, channel: String, complete: bool, position: Option<Position> },
    /// It was told that history is gone.
    Reset { reader: Reader, channel: String, position: Position },
    /// A message came; `recovered`: with the answer to a subscribe.
    Delivered {
        reader: Reader,
        channel: String,
        position: Option<Position>,
        key: Option<String>,
        id: MessageId,
        recovered: bool,
    },
    /// A subscription ended for good.
    Ended { reader: Reader, channel: String, why: String },
    /// A reader forgot everything it was told; its subscriptions begin anew.
    Forgot { reader: Reader },
    /// A device tells the inbox that its user has seen a message.
    Acknowledging { user: String, position: Position },
    /// The edge confirmed.
    Acknowledged { user: String, position: Position },
    /// What an inbox owed to a program that came new, all of it.
    Owed { user: String, ids: BTreeSet<MessageId> },
    /// A user's tokens are void: the emitter confirmed.
    Revoked { user: String },
    /// The store died, and came back with what was written until then; `None`: with nothing.
    StoreLost { written_until_ms: Option<u64> },
    /// A process that publishes died: what it vouched for is not published again.
    PublisherDied,
    /// Whatever takes over from the store has what the emitter confirmed of alerts, unless it has nothing at all.
    Replicated,
    /// The store came back with everything.
    StoreRestarted,
    /// Who is where, as asked of the cluster, beside who really is.
    Present { channel: String, told: BTreeSet<String>, real: BTreeSet<String> },
    /// Bytes that wait on a node, and how many may.
    Waiting { node: Reader, bytes: u64, max: u64 },
    /// A reader that had been stuck read on: bulk messages published before a critical one, and how many of those still
    /// came after it (0 if it did not come).
    Overtaken { bulk_after: usize, backlog: usize },
    /// One that had been stuck for too long read on: what had been held for it, and whether it was told so.
    Stuck { bytes: u64, max: u64, is_closed: bool },
    /// From here on nothing is broken, so messages come at once: a late one breaks this promise. `None`: until here.
    Calm { promise: Option<&'static str> },
    /// A client's connection is at another edge now.
    Moved { reader: Reader },
    /// A client has no connection any more.
    Broke { reader: Reader },
    /// A node that had so many clients has drained.
    Drained { clients: usize },
    /// A fault begins or ends; changes nothing for the oracle.
    Fault(String),
}

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Its number.
    pub promise: &'static str,
    /// When, milliseconds.
    pub at_ms: u64,
    /// How.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} broken at {} ms: {}", self.promise, self.at_ms, self.what)
    }
}

/// Collects violations as they are found.
#[derive(Debug, Default)]
pub(crate) struct Verdicts {
    now_ms: u64,
    found: Vec<Violation>,
}

impl Verdicts {
    pub(crate) fn broken(&mut self, promise: &'static str, what: String) {
        self.found.push(Violation { promise, at_ms: self.now_ms, what });
    }
}

/// Judges.
#[derive(Debug, Default)]
pub struct Oracle {
    facts: Facts,
    reliable: Reliable,
    latest: Latest,
    inbox: Inbox,
    grants: Grants,
    calm: Calm,
    verdicts: Verdicts,
    checks: u64,
}

impl Oracle {
    /// Takes an event in, at `now_ms`.
    pub fn see(&mut self, now_ms: u64, event: &Event) {
        self.verdicts.now_ms = now_ms;
        self.checks += 1;
        let (facts, verdicts) = (&mut self.facts, &mut self.verdicts);
        facts.see(now_ms, event, verdicts);
        self.reliable.see(facts, event, verdicts);
        self.latest.see(facts, event, verdicts);
        self.inbox.see(facts, now_ms, event, verdicts);
        self.grants.see(facts, now_ms, event, verdicts);
        self.calm.see(facts, now_ms, event, verdicts);
        match event {
            Event::Present { channel, told, real } if told != real => {
                verdicts.broken("G9", format!("{channel}: told {told:?}, really {real:?}"));
            }
            Event::Waiting { node, bytes, max } if bytes > max => {
                verdicts.broken("G7", format!("{node}: {bytes} bytes wait, {max} may"));
            }
            Event::Overtaken { bulk_after: 0, backlog } => {
                verdicts.broken("G10", format!("a critical message came after all {backlog} that had waited"));
            }
            _ => {}
        }
    }

    /// Everything was healed and had time; `standing` subscriptions should stand.
    pub fn audit(&mut self, now_ms: u64, standing: &[(Reader, &str)]) {
        self.verdicts.now_ms = now_ms;
        self.facts.audit(&mut self.verdicts);
        self.reliable.audit(&self.facts, standing, &mut self.verdicts);
        self.latest.audit(&self.facts, &mut self.verdicts);
    }

    /// What was broken, in order.
    pub fn violations(&self) -> &[Violation] {
        &self.verdicts.found
    }

    /// What it knows, for the log's last line.
    pub fn summary(&self) -> String {
        format!("{} events, {}", self.checks, self.facts.summary())
    }
}
