//! Alerts on `system`: a book that cannot be believed, a venue that is away. No I/O.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;
use tickwire_backplane::Publish;
use tickwire_protocol::{ChannelName, Priority, RawJson, namespace::Namespaces, time::now_ms};
use tokio::time::Instant;

use crate::model::{Exchange, Symbol};

/// The least time between two alerts about one thing: what flaps is told of as what it is.
const QUIET: Duration = Duration::from_secs(10);
/// Things remembered.
const SUBJECTS_MAX: usize = 10_000;

/// The body of an alert.
#[derive(Debug, Serialize)]
struct Alert<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    level: &'static str,
    exchange: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    symbol: Option<&'a str>,
    status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    node: &'a str,
    timestamp: u64,
}

/// What alerts are about: a symbol's book, or (`None`) the venue.
#[derive(Debug)]
pub(crate) struct Alerts {
    exchange: Exchange,
    node: String,
    namespaces: std::sync::Arc<Namespaces>,
    told: BTreeMap<Option<Symbol>, (bool, Instant)>,
}

impl Alerts {
    pub(crate) fn new(exchange: Exchange, node: String, namespaces: std::sync::Arc<Namespaces>) -> Self {
        Self { exchange, node, namespaces, told: BTreeMap::new() }
    }

    /// The alert that `subject` is well or not, unless that is known or was told a moment ago.
    pub(crate) fn tell(
        &mut self,
        subject: Option<&Symbol>,
        is_well: bool,
        status: &str,
        reason: Option<&str>,
        now: Instant,
    ) -> Option<Publish> {
        let subject = subject.cloned();
        match self.told.get(&subject) {
            None if is_well => return None,
            Some((was_well, _)) if *was_well == is_well => return None,
            Some((_, at)) if !is_well && now.saturating_duration_since(*at) < QUIET => return None,
            None if self.told.len() >= SUBJECTS_MAX => return None,
            _ => {}
        }
        self.told.insert(subject.clone(), (is_well, now));
        let alert = Alert {
            kind: "feed_status",
            level: if is_well { "info" } else { "warning" },
            exchange: self.exchange.name(),
            symbol: subject.as_ref().map(Symbol::as_str),
            status,
            reason,
            node: &self.node,
            timestamp: now_ms(),
        };
        let channel = ChannelName::new("system").ok()?;
        let policy = self.namespaces.policy(&channel)?.clone();
        let publish = Publish::new(channel, policy, RawJson::of(&alert).ok()?);
        Some(Publish { priority: if is_well { Priority::Medium } else { Priority::High }, ..publish })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_flaps_is_told_of_seldom() {
        let mut alerts = Alerts::new(Exchange::Okx, "a".into(), std::sync::Arc::new(Namespaces::default()));
        let (symbol, start) = (Symbol::new("BTC/USDT"), Instant::now());
        let mut told = 0;
        for second in 0..30 {
            let now = start + Duration::from_secs(second);
            told += usize::from(alerts.tell(Some(&symbol), false, "suspect", Some("gap"), now).is_some());
            told += usize::from(alerts.tell(Some(&symbol), true, "live", None, now).is_some());
        }
        assert!((2..=6).contains(&told), "{told}");
        assert!(alerts.tell(None, true, "up", None, start).is_none(), "nobody was told that it was down");
        let alert = alerts.tell(None, false, "down", Some("refused"), start).unwrap();
        assert_eq!(alert.channel.as_str(), "system");
    }
}
