//! How the feeds stand, for `GET /v1/feeds`, `/readyz` and alerts.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::Serialize;

use crate::{
    book::{BookState, Counts},
    model::{Exchange, Symbol},
};

/// The state of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ConnectionState {
    /// Nothing is wanted.
    Disconnected,
    /// The first attempt.
    Connecting,
    /// Open.
    Connected,
    /// It ended; the next attempt waits or is made.
    Reconnecting,
    /// The venue refuses in a way that trying again does not help; it is tried again after a long while.
    Error,
    /// The service ends.
    Terminated,
}

/// One connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionStatus {
    /// Its name, as events carry it.
    pub name: String,
    /// Its state.
    pub state: ConnectionState,
    /// Topics that it carries.
    pub topics: usize,
    /// The other end replays a recording.
    pub replayed: bool,
    /// Times that it was opened again.
    pub reconnects: u64,
    /// What went wrong last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_fault: Option<String>,
}

/// One symbol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SymbolStatus {
    /// The book's state, where its book is fed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub book: Option<BookState>,
    /// Since the newest event, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age_ms: Option<u64>,
    /// Times that the book turned suspect.
    pub suspected: u64,
    /// Times that it was begun anew.
    pub resyncs: u64,
    /// Snapshots and changes applied.
    pub updates: u64,
}

impl SymbolStatus {
    pub(crate) fn new(book: Option<(BookState, Counts)>, age_ms: Option<u64>) -> Self {
        let counts = book.map(|(_, counts)| counts).unwrap_or_default();
        Self {
            book: book.map(|(state, _)| state),
            age_ms,
            suspected: counts.suspected,
            resyncs: counts.resyncs,
            updates: counts.snapshots + counts.updates,
        }
    }
}

/// One venue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VenueStatus {
    /// By their names.
    pub connections: BTreeMap<String, ConnectionStatus>,
    /// By symbol.
    pub symbols: BTreeMap<String, SymbolStatus>,
}

impl VenueStatus {
    /// Whether there is a connection to be open, and none is.
    pub fn is_down(&self) -> bool {
        !self.connections.is_empty()
            && self.connections.values().all(|connection| connection.state != ConnectionState::Connected)
    }
}

/// Of every venue.
#[derive(Debug, Default)]
pub(crate) struct Board {
    venues: Mutex<BTreeMap<Exchange, VenueStatus>>,
}

impl Board {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Exchange, VenueStatus>> {
        // Nothing panics while it is held.
        self.venues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn connection(&self, exchange: Exchange, status: ConnectionStatus) {
        self.lock().entry(exchange).or_default().connections.insert(status.name.clone(), status);
    }

    pub(crate) fn gone(&self, exchange: Exchange, connection: &str) {
        if let Some(venue) = self.lock().get_mut(&exchange) {
            venue.connections.remove(connection);
        }
    }

    pub(crate) fn symbol(&self, exchange: Exchange, symbol: &Symbol, status: SymbolStatus) {
        self.lock().entry(exchange).or_default().symbols.insert(symbol.as_str().to_owned(), status);
    }

    /// Only symbols for which `keep` holds stay; the others are handed over.
    pub(crate) fn retain(&self, exchange: Exchange, keep: impl Fn(&str) -> bool) -> Vec<String> {
        let mut gone = Vec::new();
        if let Some(venue) = self.lock().get_mut(&exchange) {
            gone = venue.symbols.keys().filter(|symbol| !keep(symbol)).cloned().collect();
            venue.symbols.retain(|symbol, _| keep(symbol));
        }
        gone
    }

    pub(crate) fn snapshot(&self) -> BTreeMap<Exchange, VenueStatus> {
        self.lock().clone()
    }
}
