//! A session as it stands.

use std::fmt;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use tickwire_protocol::{RawJson, UserId};
use utoipa::ToSchema;

use super::{Event, Name, SessionId, Summary};
use crate::Instrument;

/// Instruments of one session at most.
pub const INSTRUMENTS_MAX: usize = 32;
/// Longest parameters of an algorithm, bytes of JSON.
pub const PARAMETERS_BYTES_MAX: usize = 4_096;
/// Longest time limit: a year.
const TIME_LIMIT_MS_MAX: u64 = 366 * 86_400_000;
/// Greatest amount of money: sums and products of a session's life stay exact far below the 28 digits of a [`Decimal`].
const MONEY_MAX: u64 = 1_000_000_000_000;

/// Where a session stands, as the wire says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Its bot trades.
    Active,
    /// Its bot does nothing; positions stay open. Also a session that has not been started.
    Paused,
    /// Stopped by its user.
    Completed,
    /// Its time was over.
    Expired,
    /// Stopped by risk.
    EmergencyStopped,
}

impl Status {
    /// Whether nothing can happen to it any more.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Completed | Self::Expired | Self::EmergencyStopped)
    }

    /// As the wire writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::Expired => "expired",
            Self::EmergencyStopped => "emergency_stopped",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a session may lose and how long it may run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Limits {
    /// The loss, fees included, at which it is stopped: above zero, in the quote currency.
    #[schema(value_type = String)]
    pub loss_limit: Decimal,
    /// How long it runs from its start, pauses included; 1,000 to a year's milliseconds. None: until it is stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_limit_ms: Option<u64>,
    /// Greatest sum of its positions' absolute values. None: its capital.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub exposure_limit: Option<Decimal>,
}

/// What a user asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewSession {
    /// Which strategy decides, such as `sma-crossover`.
    #[schema(value_type = String)]
    pub algorithm_id: Name,
    /// Its parameters, an object; the algorithm says what they mean and refuses what it does not know.
    #[serde(default = "no_parameters")]
    #[schema(value_type = Object)]
    pub parameters: RawJson,
    /// What it may trade: 1 to 32, all with the same quote currency.
    #[schema(value_type = Vec<String>)]
    pub symbols: Vec<Instrument>,
    /// Money that it starts with, above zero.
    #[schema(value_type = String)]
    pub capital: Decimal,
    /// Its limits.
    pub limits: Limits,
}

fn no_parameters() -> RawJson {
    RawJson::trusted("{}".into())
}

/// Why a session cannot be had as it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("`{field}`: {reason}")]
pub struct InvalidSession {
    /// The field.
    pub field: &'static str,
    /// What it wants.
    pub reason: &'static str,
}

impl NewSession {
    /// Whether such a session can be had.
    pub fn check(&self) -> Result<(), InvalidSession> {
        let refuse = |field, reason| Err(InvalidSession { field, reason });
        let is_money = |amount: Decimal| amount > Decimal::ZERO && amount <= Decimal::from(MONEY_MAX);
        if !self.parameters.as_str().starts_with('{') || self.parameters.bytes().len() > PARAMETERS_BYTES_MAX {
            return refuse("parameters", "an object of at most 4096 bytes is wanted here");
        }
        if !(1..=INSTRUMENTS_MAX).contains(&self.symbols.len()) {
            return refuse("symbols", "there are 1 to 32");
        }
        let has_double = self.symbols.iter().enumerate().any(|(at, symbol)| self.symbols[..at].contains(symbol));
        if has_double || self.symbols.iter().any(|symbol| symbol.quote() != self.symbols[0].quote()) {
            return refuse("symbols", "they differ and share a quote currency");
        }
        if !is_money(self.capital) {
            return refuse("capital", "it is above zero and at most 10^12");
        }
        if !is_money(self.limits.loss_limit) {
            return refuse("limits.lossLimit", "it is above zero and at most 10^12");
        }
        if !self.limits.exposure_limit.is_none_or(is_money) {
            return refuse("limits.exposureLimit", "it is above zero and at most 10^12");
        }
        if !self.limits.time_limit_ms.is_none_or(|limit| (1_000..=TIME_LIMIT_MS_MAX).contains(&limit)) {
            return refuse("limits.timeLimitMs", "it is a second to a year");
        }
        Ok(())
    }
}

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Ending {
    /// When, milliseconds since the Unix epoch.
    pub at: u64,
    /// For people.
    pub reason: String,
    /// The final figures, once its account has nothing open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,
}

/// A trading session: what the session service answers and `trading:sessions` carries. Times are milliseconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    /// Its id.
    #[schema(value_type = String)]
    pub session_id: SessionId,
    /// Its owner.
    #[schema(value_type = String)]
    pub user_id: UserId,
    /// Which strategy decides.
    #[schema(value_type = String)]
    pub algorithm_id: Name,
    /// The strategy's parameters, an object.
    #[schema(value_type = Object)]
    pub parameters: RawJson,
    /// What it may trade.
    #[schema(value_type = Vec<String>)]
    pub symbols: Vec<Instrument>,
    /// Money that it started with.
    #[schema(value_type = String)]
    pub capital: Decimal,
    /// Its limits.
    pub limits: Limits,
    /// Where it stands.
    pub status: Status,
    /// When it was created.
    pub created_at: u64,
    /// When it was started; none before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<u64>,
    /// How it ended; none before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<Ending>,
    /// When it last changed.
    pub updated_at: u64,
    /// Events so far: 1 after its creation.
    pub version: u64,
}

impl Session {
    /// Whether it is over and summed up: nothing follows.
    pub fn is_settled(&self) -> bool {
        self.ending.as_ref().is_some_and(|ending| ending.summary.is_some())
    }

    /// The first of its events made a session.
    pub fn created(id: SessionId, user: UserId, new: NewSession, at: u64) -> Self {
        Self {
            session_id: id,
            user_id: user,
            algorithm_id: new.algorithm_id,
            parameters: new.parameters,
            symbols: new.symbols,
            capital: new.capital,
            limits: new.limits,
            status: Status::Paused,
            created_at: at,
            started_at: None,
            ending: None,
            updated_at: at,
            version: 1,
        }
    }

    /// When its time is over; none before its start, without a time limit, and after its end.
    pub fn expires_at(&self) -> Option<u64> {
        let running = self.started_at.filter(|_| !self.status.is_over());
        Some(running?.saturating_add(self.limits.time_limit_ms?))
    }

    /// How long it has run at `now`, pauses included, milliseconds; 0 before its start, final after its end.
    pub fn elapsed_ms(&self, now: u64) -> u64 {
        let until = self.ending.as_ref().map_or(now, |ending| ending.at);
        self.started_at.map_or(0, |started| until.saturating_sub(started))
    }

    /// The session after `event`, which happened at `at`.
    #[must_use]
    pub fn apply(mut self, event: &Event, at: u64) -> Self {
        match event {
            Event::Started => {
                self.status = Status::Active;
                self.started_at = Some(at);
            }
            Event::Paused => self.status = Status::Paused,
            Event::Resumed => self.status = Status::Active,
            Event::Completed { reason } => self.end(Status::Completed, reason, at),
            Event::Expired => self.end(Status::Expired, "the time limit is reached", at),
            Event::EmergencyStopped { reason } => self.end(Status::EmergencyStopped, reason, at),
            Event::Settled { summary } => {
                if let Some(ending) = &mut self.ending {
                    ending.summary = Some(summary.clone());
                }
            }
        }
        self.updated_at = at;
        self.version += 1;
        self
    }

    fn end(&mut self, status: Status, reason: &str, at: u64) {
        self.status = status;
        self.ending = Some(Ending { at, reason: reason.to_owned(), summary: None });
    }
}
