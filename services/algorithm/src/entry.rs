//! What a bot's journal holds: `account/{session}`, one entry after the other. Whoever applies them in order has the bot's state.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use tickwire_protocol::UserId;
use tickwire_trading::{SessionId, account::Event, session::Name};

use crate::{
    agent::{Signal, SignalState},
    decision::Decision,
};

/// An entry. Times are milliseconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub enum Entry {
    /// The first: whose account it is and what is in it.
    Opened {
        /// The session.
        session: SessionId,
        /// Its owner.
        user: UserId,
        /// What it starts with.
        capital: Decimal,
        /// When.
        at: u64,
    },
    /// The bot decided.
    Decided {
        /// What.
        decision: Decision,
    },
    /// Orders and fills.
    Account {
        /// What happened.
        event: Event,
    },
    /// An agent spoke.
    Signalled {
        /// What it said.
        signal: Signal,
        /// What became of it.
        state: SignalState,
        /// When.
        at: u64,
    },
    /// A signal that waited waits no more.
    Answered {
        /// Its id.
        signal: Name,
        /// What became of it.
        state: SignalState,
        /// When.
        at: u64,
    },
    /// Everything before this entry of the journal was told to the emitter.
    Told {
        /// The first entry that was not.
        next: u64,
    },
    /// The last: the session is over, nothing is open, and everything was told, how it ended too.
    Finished {
        /// When.
        at: u64,
    },
}
