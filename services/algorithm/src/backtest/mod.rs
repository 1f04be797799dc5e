//! A bot over a recording: the live engine, with the recording's times for a clock and entries that happen at once.

mod page;
mod plot;
mod report;

pub use page::page;
pub use report::{Point, Report, Trade};

use std::{collections::BTreeMap, path::Path};

use tickwire_trading::{
    Instrument, Session, SessionId, Status,
    account::{AccountError, Event},
    session::{InvalidSession, NewSession},
};

use crate::{
    bot::Bot,
    engine::{Applied, Engine},
    entry::Entry,
    market::{Market, Source},
    recording::{Line, Recording, RecordingError},
    strategy::InvalidParameters,
};
use report::Collector;

/// How often an engine is told that time passed, milliseconds; as in the service.
pub const TICK_MS: u64 = 250;
/// Instruments that are looked for in a recording.
const INSTRUMENTS_MAX: usize = tickwire_trading::session::INSTRUMENTS_MAX;

/// Why a backtest cannot be.
#[derive(Debug, thiserror::Error)]
pub enum BacktestError {
    /// The recording.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// The strategy or its parameters.
    #[error(transparent)]
    Parameters(#[from] InvalidParameters),
    /// Capital, symbols or limits.
    #[error(transparent)]
    Session(#[from] InvalidSession),
    /// The engine wanted what its account refuses: a bug.
    #[error("an entry does not follow from those before it")]
    Entry(#[from] AccountError),
    /// Figures that have more than 28 digits.
    #[error("the account's figures cannot be exact")]
    Inexact,
    /// No user may be called as the backtest's is: a bug.
    #[error("the backtest's own names cannot be used")]
    Names,
}

/// A backtest under way.
#[derive(Debug)]
pub struct Backtest {
    engine: Engine,
    markets: BTreeMap<Instrument, Market>,
    collector: Collector,
    now: u64,
    ticked: u64,
    versions: u64,
}

impl Backtest {
    /// A bot as `new` describes it, at the start of a recording.
    pub fn new(new: NewSession) -> Result<Self, BacktestError> {
        new.check()?;
        let id = SessionId::new("backtest").map_err(|_| BacktestError::Names)?;
        let user = tickwire_protocol::UserId::new("backtest").map_err(|_| BacktestError::Names)?;
        let session = Session::created(id, user, new, 0);
        let engine = Engine::new(Bot::of(&session)?, Status::Active);
        let market = |symbol: &Instrument| (symbol.clone(), Market::new(symbol.clone()));
        let markets = session.symbols.iter().map(market).collect();
        let collector = Collector::new(&session);
        Ok(Self { engine, markets, collector, now: 0, ticked: 0, versions: 0 })
    }

    /// Runs `new` over a whole recording.
    pub fn run(new: NewSession, recording: &Path) -> Result<Report, BacktestError> {
        let mut backtest = Self::new(new)?;
        let mut recording = Recording::open(recording)?;
        while let Some(line) = recording.next_line()? {
            backtest.line(&line)?;
        }
        backtest.finish()
    }

    /// One message. Times that go back count as the newest before them.
    pub fn line(&mut self, line: &Line) -> Result<(), BacktestError> {
        let Some((source, instrument)) = Source::of_channel(&line.channel) else { return Ok(()) };
        let Some(market) = self.markets.get_mut(&instrument) else { return Ok(()) };
        self.now = self.now.max(line.time);
        let now = self.now;
        if market.take(source, &line.data, now).is_err() {
            self.collector.unreadable += 1;
        }
        let quote = market.quote();
        self.collector.message(now);
        if let Some(price) = quote.price() {
            self.collector.price(&instrument, price, now);
        }
        self.engine.see(quote, now);
        let entries = self.engine.evaluate(&instrument, now);
        self.happen(&entries)?;
        if now >= self.ticked + TICK_MS {
            self.ticked = now;
            let entries = self.engine.tick(now);
            self.happen(&entries)?;
        }
        self.observe()
    }

    fn happen(&mut self, entries: &[Entry]) -> Result<(), BacktestError> {
        for entry in entries {
            let realized = self.engine.account().realized();
            let applied = self.engine.apply(entry)?;
            match entry {
                Entry::Decided { decision } => self.collector.decided(decision),
                Entry::Account { event: Event::Filled(fill) } => {
                    if let Applied::Order(order) = applied {
                        let gained = self.engine.account().realized() - realized;
                        self.collector.filled(&order, fill, gained);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn observe(&mut self) -> Result<(), BacktestError> {
        if !self.collector.wants_figures(self.now) {
            return Ok(());
        }
        self.versions += 1;
        let figures = self.engine.figures(self.versions).ok_or(BacktestError::Inexact)?;
        self.collector.equity(self.now, figures.equity);
        Ok(())
    }

    /// Closes what is open at the last book, and sums up.
    pub fn finish(mut self) -> Result<Report, BacktestError> {
        // Each round closes one instrument at most; a market without a live book stays open.
        for _ in 0..=self.markets.len() {
            let entries = self.engine.flatten("the recording is over", self.now);
            self.happen(&entries)?;
        }
        let figures = self.engine.figures(self.versions + 1).ok_or(BacktestError::Inexact)?;
        self.collector.equity(self.now, figures.equity);
        Ok(self.collector.finish(self.engine.account(), &figures))
    }
}

/// The instruments of a recording that have a book, in the order of their names.
pub fn instruments(recording: &Path) -> Result<Vec<Instrument>, RecordingError> {
    let mut found = std::collections::BTreeSet::new();
    let mut recording = Recording::open(recording)?;
    while let Some(line) = recording.next_line()? {
        if let Some((Source::Book, instrument)) = Source::of_channel(&line.channel)
            && found.len() < INSTRUMENTS_MAX
        {
            found.insert(instrument);
        }
    }
    Ok(found.into_iter().collect())
}

#[cfg(test)]
mod tests;
