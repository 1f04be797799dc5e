//! One session under watch: its facts, where each value stands on its ladder, and what is to be told. No I/O and no clock.
//!
//! Grouping: a level that comes again within `repeatSeconds` is counted and told with the next alert; alerts that the market causes wait
//! [`GROUP_MS`] for others of the same session and become one. Limits and exposure never wait.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use tickwire_protocol::UserId;
use tickwire_trading::{Figures, Session, SessionId, Status};
use utoipa::ToSchema;

use crate::{
    level::{Ladder, Level},
    market::Market,
    rules::{self, Facts, Kind, Reading},
    thresholds::Thresholds,
};

/// How long an alert of the market waits for others, milliseconds.
const GROUP_MS: u64 = 2_000;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Tell the user.
    Alert(Alert),
    /// Stop the session.
    Stop(Breach),
}

/// Something that a user is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Alert {
    /// About which session.
    pub session_id: SessionId,
    /// Whose.
    pub user_id: UserId,
    /// The rule of the gravest level in it.
    pub kind: Kind,
    /// The gravest level in it.
    pub level: Level,
    /// What happened, and what was done.
    pub message: String,
    /// The value, in the rule's own unit.
    pub current: String,
    /// What it is measured against.
    pub threshold: String,
    /// When, milliseconds since the Unix epoch.
    pub at: u64,
    /// Every level that it tells of.
    pub levels: Vec<Told>,
}

/// A level that an [`Alert`] tells of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    /// The rule.
    pub kind: Kind,
    /// The instrument, where the rule has one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subject: String,
    /// The level.
    pub level: Level,
}

/// Why a session is stopped: a limit was reached, or somebody asked for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Breach {
    /// The session's owner.
    pub user_id: UserId,
    /// Which limit; `None` where the stop was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// In words.
    pub text: String,
    /// The value, of a limit.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub current: String,
    /// The limit.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub limit: String,
    /// When, milliseconds since the Unix epoch.
    pub at: u64,
}

impl Breach {
    /// Why a session that is stopped already was: its owner, or a service, asked for it. `None` of a session that was not.
    pub fn of_stopped(session: &Session) -> Option<Self> {
        let ending = session.ending.as_ref().filter(|_| session.status == Status::EmergencyStopped)?;
        let (user_id, text) = (session.user_id.clone(), ending.reason.clone());
        Some(Self { user_id, kind: None, text, current: String::new(), limit: String::new(), at: ending.at })
    }
}

/// A value and where it stands, for the API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    /// The rule.
    pub rule: Kind,
    /// The instrument, where the rule has one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subject: String,
    /// What is compared with the thresholds.
    #[schema(value_type = String)]
    pub value: Decimal,
    /// Where a warning begins.
    #[schema(value_type = String)]
    pub warning: Decimal,
    /// Where a critical alert begins.
    #[schema(value_type = String)]
    pub critical: Decimal,
    /// `None` while all is well.
    pub level: Option<Level>,
    /// In words.
    pub text: String,
}

/// Where a value stands, and what of it was told.
#[derive(Debug, Clone, Default)]
struct Place {
    ladder: Ladder,
    told: Option<(Level, u64)>,
    /// Rises since then that were not told.
    untold: u32,
}

/// A session under watch.
#[derive(Debug, Clone)]
pub struct Watch {
    session: Session,
    figures: Option<Figures>,
    thresholds: Thresholds,
    places: BTreeMap<(Kind, String), Place>,
    /// Rises that wait for company, and since when.
    waiting: Vec<(Reading, Level, u32)>,
    waiting_since: u64,
    is_stopping: bool,
}

impl Watch {
    /// Of a session with `thresholds`.
    pub fn new(session: Session, thresholds: Thresholds) -> Self {
        Self {
            session,
            figures: None,
            thresholds,
            places: BTreeMap::new(),
            waiting: Vec::new(),
            waiting_since: 0,
            is_stopping: false,
        }
    }

    /// The session as last heard of.
    pub const fn session(&self) -> &Session {
        &self.session
    }

    /// Its account as last heard of.
    pub const fn figures(&self) -> Option<&Figures> {
        self.figures.as_ref()
    }

    /// Its thresholds.
    pub const fn thresholds(&self) -> &Thresholds {
        &self.thresholds
    }

    /// Whether it is being stopped, or was.
    pub const fn is_stopping(&self) -> bool {
        self.is_stopping
    }

    /// Takes a record unless a newer one is known.
    pub fn set_session(&mut self, session: Session) {
        if session.version > self.session.version {
            self.session = session;
        }
    }

    /// Takes figures unless newer ones are known; answers whether it did.
    pub fn set_figures(&mut self, figures: Figures) -> bool {
        let is_newer = self.figures.as_ref().is_none_or(|known| figures.version > known.version);
        if is_newer {
            self.figures = Some(figures);
        }
        is_newer
    }

    /// Replaces the thresholds. What was told stays told; values are compared with the new ones from now on.
    pub fn set_thresholds(&mut self, thresholds: Thresholds) {
        self.thresholds = thresholds;
    }

    /// Takes over what an earlier holder told.
    pub fn restore(&mut self, alert: &Alert) {
        for Told { kind, subject, level } in &alert.levels {
            let place = self.places.entry((*kind, subject.clone())).or_default();
            *place = Place { ladder: Ladder::at(Some(*level)), told: Some((*level, alert.at)), untold: 0 };
        }
    }

    /// Its stop has begun: nothing more is told of it.
    pub fn stopping(&mut self) {
        self.is_stopping = true;
        self.waiting.clear();
    }

    /// Compares what the account and the clock say.
    pub fn look_at_account(&mut self, market: &Market, now_ms: u64) -> Vec<Effect> {
        self.look(market, now_ms, |kind| !kind.is_of_the_market())
    }

    /// Compares everything.
    pub fn look_at_all(&mut self, market: &Market, now_ms: u64) -> Vec<Effect> {
        self.look(market, now_ms, |_| true)
    }

    /// Every value and where it stands.
    pub fn standings(&self, market: &Market, now_ms: u64) -> Vec<Standing> {
        let standing = |reading: Reading| {
            let place = self.places.get(&(reading.kind, reading.subject.clone()));
            Standing {
                rule: reading.kind,
                value: reading.value,
                warning: reading.rungs.warning,
                critical: reading.rungs.critical,
                level: place.and_then(|place| place.ladder.level()),
                text: reading.text,
                subject: reading.subject,
            }
        };
        rules::readings(&self.facts(market, now_ms)).into_iter().map(standing).collect()
    }

    const fn facts<'a>(&'a self, market: &'a Market, now_ms: u64) -> Facts<'a> {
        let figures = self.figures.as_ref();
        Facts { session: &self.session, figures, market, thresholds: &self.thresholds, now_ms }
    }

    fn look(&mut self, market: &Market, now_ms: u64, is_meant: impl Fn(Kind) -> bool) -> Vec<Effect> {
        if self.is_stopping || self.session.status != Status::Active {
            self.waiting.clear();
            return Vec::new();
        }
        let mut effects = Vec::new();
        let mut at_once = Vec::new();
        for reading in rules::readings(&self.facts(market, now_ms)) {
            if !is_meant(reading.kind) {
                continue;
            }
            let Some((level, untold)) = self.rise(&reading, now_ms) else { continue };
            if level == Level::Emergency {
                self.stopping();
                return vec![Effect::Stop(self.breach(reading, now_ms))];
            }
            if reading.kind.is_of_the_market() {
                if self.waiting.is_empty() {
                    self.waiting_since = now_ms;
                }
                self.waiting.push((reading, level, untold));
            } else {
                at_once.push((reading, level, untold));
            }
        }
        effects.extend(self.alert(at_once, now_ms));
        if now_ms.saturating_sub(self.waiting_since) >= GROUP_MS {
            let waiting = std::mem::take(&mut self.waiting);
            effects.extend(self.alert(waiting, now_ms));
        }
        effects
    }

    /// The level that is to be told, and how many untold ones came before it.
    fn rise(&mut self, reading: &Reading, now_ms: u64) -> Option<(Level, u32)> {
        let repeat_ms = u64::from(self.thresholds.repeat_seconds) * 1_000;
        let place = self.places.entry((reading.kind, reading.subject.clone())).or_default();
        let level = place.ladder.step(reading.value, &reading.rungs, self.thresholds.release)?;
        let is_repeated = place.told.is_some_and(|(told, at)| level <= told && now_ms.saturating_sub(at) < repeat_ms);
        if is_repeated && level != Level::Emergency {
            place.untold = place.untold.saturating_add(1);
            return None;
        }
        place.told = Some((level, now_ms));
        Some((level, std::mem::take(&mut place.untold)))
    }

    /// One alert of all `rises`; none of none.
    fn alert(&self, mut rises: Vec<(Reading, Level, u32)>, now_ms: u64) -> Option<Effect> {
        rises.sort_by_key(|(_, level, _)| std::cmp::Reverse(*level));
        let (head, level, _) = rises.first()?;
        let texts: Vec<String> = rises.iter().map(|(reading, _, untold)| sentence(&reading.text, *untold)).collect();
        let done = if matches!(head.kind, Kind::LossLimit | Kind::TimeLimit) {
            "Nothing was stopped yet; at the limit the session is."
        } else {
            "Nothing was stopped."
        };
        let levels = rises.iter().map(|(reading, level, _)| Told {
            kind: reading.kind,
            subject: reading.subject.clone(),
            level: *level,
        });
        Some(Effect::Alert(Alert {
            session_id: self.session.session_id.clone(),
            user_id: self.session.user_id.clone(),
            kind: head.kind,
            level: *level,
            message: format!("{}. {done}", texts.join(". ")),
            current: head.current.clone(),
            threshold: head.limit.clone(),
            at: now_ms,
            levels: levels.collect(),
        }))
    }

    fn breach(&self, reading: Reading, now_ms: u64) -> Breach {
        let Reading { kind, text, current, limit, .. } = reading;
        Breach { user_id: self.session.user_id.clone(), kind: Some(kind), text, current, limit, at: now_ms }
    }
}

/// `text` with a capital letter, and how often it happened unsaid.
pub(crate) fn sentence(text: &str, untold: u32) -> String {
    let mut chars = text.chars();
    let first: String = chars.next().map(|first| first.to_uppercase().collect()).unwrap_or_default();
    let rest = chars.as_str();
    match untold {
        0 => format!("{first}{rest}"),
        1 => format!("{first}{rest} (once more since the last alert)"),
        times => format!("{first}{rest} ({times} times more since the last alert)"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rules::testing::{figures, instrument, session};

    fn watch() -> Watch {
        Watch::new(session("s"), Thresholds::default())
    }

    fn lose(watch: &mut Watch, version: u64, lost: i64, now_ms: u64) -> Vec<Effect> {
        let figures = Figures { version, ..figures("s", Decimal::from(lost), Decimal::ZERO) };
        watch.set_figures(figures);
        watch.look_at_account(&Market::default(), now_ms)
    }

    fn only_alert(effects: &[Effect]) -> &Alert {
        let [Effect::Alert(alert)] = effects else { panic!("{effects:?}") };
        alert
    }

    #[test]
    fn a_growing_loss_warns_turns_critical_and_stops_once() {
        let mut watch = watch();
        assert_eq!(lose(&mut watch, 1, 799, 0), []);
        let effects = lose(&mut watch, 2, 800, 1);
        let alert = only_alert(&effects);
        assert_eq!((alert.kind, alert.level), (Kind::LossLimit, Level::Warning));
        assert_eq!((alert.current.as_str(), alert.threshold.as_str()), ("800", "1000"));
        assert_eq!(
            alert.message,
            "800 of the loss limit of 1000 is lost (80 %). Nothing was stopped yet; at the limit the session is."
        );
        assert_eq!(lose(&mut watch, 3, 940, 2), []);
        assert_eq!(only_alert(&lose(&mut watch, 4, 951, 3)).level, Level::Critical);
        let effects = lose(&mut watch, 5, 1_002, 4);
        let [Effect::Stop(breach)] = effects.as_slice() else { panic!("{effects:?}") };
        assert_eq!((breach.current.as_str(), breach.limit.as_str(), breach.at), ("1002", "1000", 4));
        assert!(watch.is_stopping());
        assert_eq!(lose(&mut watch, 6, 2_000, 5), []);
    }

    #[test]
    fn old_figures_change_nothing() {
        let mut watch = watch();
        assert_eq!(lose(&mut watch, 5, 100, 0), []);
        assert_eq!(lose(&mut watch, 4, 1_500, 1), []);
        assert_eq!(lose(&mut watch, 5, 1_500, 2), []);
    }

    #[test]
    fn a_level_that_comes_again_soon_is_counted_and_told_later() {
        let mut watch = watch();
        let mut version = 0;
        let mut swing = |watch: &mut Watch, lost, now_ms| {
            version += 1;
            lose(watch, version, lost, now_ms)
        };
        assert_eq!(swing(&mut watch, 800, 0).len(), 1);
        for round in 1..=3 {
            assert_eq!(swing(&mut watch, 700, round * 10_000), []);
            assert_eq!(swing(&mut watch, 800, round * 10_000 + 1), [], "round {round}");
        }
        assert_eq!(swing(&mut watch, 700, 60_000), []);
        let effects = swing(&mut watch, 810, 60_000);
        assert!(only_alert(&effects).message.contains("(3 times more since the last alert)"), "{effects:?}");
    }

    #[test]
    fn what_the_market_does_to_several_instruments_is_one_alert() {
        let (mut watch, mut market) = (watch(), Market::default());
        for base in ["BTC", "ETH"] {
            market.expect(&instrument(base), 0);
        }
        assert_eq!(watch.look_at_all(&market, 9_900), []);
        assert_eq!(watch.look_at_all(&market, 10_000), []);
        assert_eq!(watch.look_at_all(&market, 11_999), []);
        let effects = watch.look_at_all(&market, 12_000);
        let alert = only_alert(&effects);
        assert_eq!((alert.kind, alert.level, alert.levels.len()), (Kind::StaleMarketData, Level::Warning, 2));
        assert_eq!(
            alert.message,
            "No price of binance:BTC/USDT has come for 10 s. No price of binance:ETH/USDT has come for 10 s. Nothing was stopped."
        );
        assert_eq!(watch.look_at_all(&market, 13_000), []);
    }

    #[test]
    fn a_new_holder_does_not_tell_again_what_was_told() {
        let mut first = watch();
        let effects = lose(&mut first, 1, 960, 0);
        let mut second = watch();
        second.restore(only_alert(&effects));
        assert_eq!(lose(&mut second, 1, 961, 1), []);
        assert!(matches!(lose(&mut second, 2, 1_000, 2).as_slice(), [Effect::Stop(_)]));
    }

    #[test]
    fn a_paused_session_is_not_watched() {
        let mut watch = watch();
        watch.session.status = Status::Paused;
        assert_eq!(lose(&mut watch, 1, 5_000, 0), []);
    }

    proptest! {
        #[test]
        fn whatever_a_session_loses_it_is_stopped_once_and_exactly_when_the_limit_is_reached(
            losses in prop::collection::vec(-2_000_i64..1_100, 1..80),
        ) {
            let mut watch = watch();
            let mut stopped_at = None;
            for (at, lost) in losses.iter().enumerate() {
                let now = at as u64;
                for effect in lose(&mut watch, now + 1, *lost, now) {
                    match effect {
                        Effect::Stop(_) => prop_assert_eq!(stopped_at.replace(at), None),
                        Effect::Alert(alert) => {
                            prop_assert!(stopped_at.is_none(), "nothing is told after the stop");
                            let share = Decimal::new(*lost, 3);
                            let rung = if alert.level == Level::Warning { "0.8" } else { "0.95" };
                            prop_assert!(share >= rung.parse().unwrap(), "{alert:?}");
                        }
                    }
                }
            }
            prop_assert_eq!(stopped_at, losses.iter().position(|lost| *lost >= 1_000));
        }
    }
}
