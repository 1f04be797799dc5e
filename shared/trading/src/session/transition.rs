//! What may happen to a session, and what then has happened.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use utoipa::ToSchema;

use super::{Session, Status};
use crate::Figures;

/// What is asked of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Trade, for the first time.
    Start,
    /// Do nothing for now.
    Pause,
    /// Trade again.
    Resume,
    /// End as planned.
    Stop {
        /// For people.
        reason: String,
    },
    /// Its time is over.
    Expire,
    /// End at once; risk asks for it. Of a session that was stopped so already it changes nothing.
    EmergencyStop {
        /// For people.
        reason: String,
    },
    /// Nothing is open any more: sum up.
    Settle {
        /// The final figures.
        summary: Summary,
    },
}

/// What happened to a session after its creation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[allow(missing_docs, reason = "each says what became of its command")]
pub enum Event {
    Started,
    Paused,
    Resumed,
    Completed { reason: String },
    Expired,
    EmergencyStopped { reason: String },
    Settled { summary: Summary },
}

/// A session's final figures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// How it ended.
    pub status: Status,
    /// What it gained or lost, fees included. Unknown where the account could not be asked.
    #[serde(rename = "finalPnL", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub final_pnl: Option<Decimal>,
    /// Fees of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub fees: Option<Decimal>,
    /// Fills.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_trades: Option<u64>,
    /// How long it ran, milliseconds.
    pub duration_ms: u64,
    /// Whether its account had nothing open any more.
    pub is_settled: bool,
    /// Why it ended, for people.
    pub reason: String,
}

/// Why a command is not obeyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The session is in another state than the command needs.
    #[error("{command} is not possible: the session is {state}")]
    IllegalTransition {
        /// What was asked.
        command: &'static str,
        /// What it is: its status, or `not started`.
        state: &'static str,
    },
    /// It has no time limit, or its time is not over.
    #[error("the session's time is not over")]
    NotExpired,
}

impl Command {
    /// Its name, as in the API's path.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Stop { .. } => "stop",
            Self::Expire => "expire",
            Self::EmergencyStop { .. } => "emergency-stop",
            Self::Settle { .. } => "settle",
        }
    }
}

impl Session {
    /// What `command` at `now` makes happen, if it may.
    pub fn decide(&self, command: Command, now: u64) -> Result<Vec<Event>, Refusal> {
        let is_started = self.started_at.is_some();
        let event = match (command, self.status) {
            (Command::Start, Status::Paused) if !is_started => Event::Started,
            (Command::Pause, Status::Active) => Event::Paused,
            (Command::Resume, Status::Paused) if is_started => Event::Resumed,
            (Command::Stop { reason }, status) if !status.is_over() => Event::Completed { reason },
            (Command::Expire, status) if !status.is_over() => {
                if self.expires_at().is_none_or(|expires_at| now < expires_at) {
                    return Err(Refusal::NotExpired);
                }
                Event::Expired
            }
            (Command::EmergencyStop { .. }, Status::EmergencyStopped) => return Ok(Vec::new()),
            (Command::EmergencyStop { reason }, status) if !status.is_over() => Event::EmergencyStopped { reason },
            (Command::Settle { summary }, status) if status.is_over() => {
                if self.ending.as_ref().is_some_and(|ending| ending.summary.is_some()) {
                    return Ok(Vec::new());
                }
                Event::Settled { summary }
            }
            (command, status) => {
                let state = if is_started || status.is_over() { status.as_str() } else { "not started" };
                return Err(Refusal::IllegalTransition { command: command.name(), state });
            }
        };
        Ok(vec![event])
    }

    /// The summary of a session that is over, from what its account came to.
    pub fn summary(&self, figures: Option<&Figures>) -> Summary {
        let figures = figures.filter(|figures| figures.session_id == self.session_id);
        Summary {
            status: self.status,
            final_pnl: figures.map(Figures::pnl),
            fees: figures.map(|figures| figures.fees),
            total_trades: figures.map(|figures| figures.trades),
            duration_ms: self.elapsed_ms(self.updated_at),
            is_settled: figures.is_some_and(Figures::is_flat),
            reason: self.ending.as_ref().map_or_else(String::new, |ending| ending.reason.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tickwire_protocol::UserId;

    use super::*;
    use crate::session::{NewSession, SessionId};

    const TIME_LIMIT_MS: u64 = 60_000;

    fn session() -> Session {
        let new: NewSession = serde_json::from_value(serde_json::json!({
            "algorithmId": "sma-crossover",
            "symbols": ["binance:BTC/USDT"],
            "capital": "10000",
            "limits": {"lossLimit": "1000", "timeLimitMs": TIME_LIMIT_MS},
        }))
        .unwrap();
        new.check().unwrap();
        Session::created(SessionId::new("s1").unwrap(), UserId::new("7").unwrap(), new, 1_000)
    }

    fn commands() -> impl Strategy<Value = Vec<(Command, u64)>> {
        let reason = || "r".to_owned();
        let command = prop_oneof![
            Just(Command::Start),
            Just(Command::Pause),
            Just(Command::Resume),
            Just(Command::Stop { reason: reason() }),
            Just(Command::Expire),
            Just(Command::EmergencyStop { reason: reason() }),
            Just(Command::Settle { summary: session().summary(None) }),
        ];
        prop::collection::vec((command, 0..TIME_LIMIT_MS), 0..40)
    }

    proptest! {
        #[test]
        fn every_way_through_a_session_keeps_its_rules(commands in commands()) {
            let mut session = session();
            let mut now = session.created_at;
            for (command, pause) in commands {
                now += pause;
                let before = session.clone();
                let Ok(events) = before.decide(command.clone(), now) else { continue };
                session = events.iter().fold(session, |session, event| session.apply(event, now));
                prop_assert_eq!(session.version, before.version + events.len() as u64);
                prop_assert_eq!(session.status.is_over(), session.ending.is_some());
                prop_assert!(!before.status.is_over() || session.status == before.status, "the end is the end");
                prop_assert!(session.status != Status::Active || session.started_at.is_some());
                if let Some(started) = before.started_at {
                    prop_assert_eq!(session.started_at, Some(started));
                }
                let repeated = session.decide(command.clone(), now);
                prop_assert!(repeated.is_err() || repeated == Ok(Vec::new()), "{} happens once", command.name());
            }
        }

        #[test]
        fn a_record_survives_the_wire(commands in commands()) {
            let mut session = session();
            for (command, now) in commands {
                for event in session.decide(command, now).unwrap_or_default() {
                    let json = serde_json::to_string(&event).unwrap();
                    prop_assert_eq!(&serde_json::from_str::<Event>(&json).unwrap(), &event);
                    session = session.apply(&event, now);
                }
            }
            let json = serde_json::to_string(&session).unwrap();
            prop_assert_eq!(serde_json::from_str::<Session>(&json).unwrap(), session);
        }
    }

    #[test]
    fn only_what_was_started_can_be_resumed_and_only_once_started() {
        let created = session();
        let refused = created.decide(Command::Resume, 2_000).unwrap_err();
        assert_eq!(refused, Refusal::IllegalTransition { command: "resume", state: "not started" });
        let started = created.apply(&Event::Started, 2_000);
        let refused = started.decide(Command::Start, 3_000).unwrap_err();
        assert_eq!(refused.to_string(), "start is not possible: the session is active");
    }

    #[test]
    fn time_counts_from_the_start_and_through_pauses() {
        let paused = session().apply(&Event::Started, 2_000).apply(&Event::Paused, 3_000);
        assert_eq!(paused.expires_at(), Some(2_000 + TIME_LIMIT_MS));
        assert_eq!(paused.decide(Command::Expire, 1_999 + TIME_LIMIT_MS), Err(Refusal::NotExpired));
        assert_eq!(paused.decide(Command::Expire, 2_000 + TIME_LIMIT_MS), Ok(vec![Event::Expired]));
        assert_eq!(session().decide(Command::Expire, u64::MAX), Err(Refusal::NotExpired), "it was never started");
    }

    #[test]
    fn a_repeated_emergency_stop_changes_nothing_and_a_late_one_is_refused() {
        let stop = Command::EmergencyStop { reason: "loss".into() };
        let stopped = session().apply(&Event::EmergencyStopped { reason: "loss".into() }, 2_000);
        assert_eq!(stopped.decide(stop.clone(), 3_000), Ok(Vec::new()));
        let completed = session().apply(&Event::Completed { reason: "done".into() }, 2_000);
        assert!(completed.decide(stop, 3_000).is_err());
    }

    #[test]
    fn a_session_is_asked_for_in_full() {
        let with = |field: &str, value: serde_json::Value| {
            let mut json = serde_json::json!({
                "algorithmId": "momentum", "symbols": ["binance:BTC/USDT"], "capital": "1", "limits": {"lossLimit": "1"},
            });
            json[field] = value;
            serde_json::from_value::<NewSession>(json).map(|new| new.check().map_err(|error| error.field))
        };
        assert_eq!(with("parameters", serde_json::json!({"fast": 5})).unwrap(), Ok(()));
        assert_eq!(with("parameters", serde_json::json!([])).unwrap(), Err("parameters"));
        assert_eq!(with("symbols", serde_json::json!([])).unwrap(), Err("symbols"));
        assert_eq!(
            with("symbols", serde_json::json!(["binance:BTC/USDT", "binance:ETH/BTC"])).unwrap(),
            Err("symbols")
        );
        assert_eq!(with("capital", serde_json::json!("0")).unwrap(), Err("capital"));
        assert_eq!(with("limits", serde_json::json!({"lossLimit": "-1"})).unwrap(), Err("limits.lossLimit"));
        assert!(with("capital", serde_json::json!(0.1)).is_err(), "money is text");
        assert!(with("unknown", serde_json::json!(1)).is_err());
    }
}
