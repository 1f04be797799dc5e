//! Sessions that begin by themselves where recordings are replayed, so that a newcomer sees bots decide, trade, gain and lose.
//!
//! Nothing in them is made up: the same services, the same money, commanded by the same API as anybody's. One of them trades often
//! enough to lose its limit to fees within two minutes; it is warned, then stopped, and its user finds that in the inbox. A session
//! that is over is followed by the next one after a pause, [`ROUNDS_MAX`] times and for as long as the users' tokens are valid.

use std::time::Duration;

use serde_json::{Value, json};
use tickwire_auth::AuthError;
use tickwire_protocol::time::now_ms;
use tickwire_trading::{Peer, PeerError, Session};
use tokio::{task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{Config, Market, development};

/// Between the first session's end and the next one's start: time to read what happened.
const PAUSE: Duration = Duration::from_secs(20);
/// It doubles up to this, so that a page that is left open is not buried in alerts.
const PAUSE_MAX: Duration = Duration::from_secs(300);
/// How often it is seen whether a session is over.
const LOOK: Duration = Duration::from_secs(2);
/// Pause before a command that failed is repeated, [`TRIES_MAX`] times.
const RETRY: Duration = Duration::from_millis(500);
const TRIES_MAX: u32 = 20;
/// Sessions one after the other at most: their journals stay in this process's memory.
const ROUNDS_MAX: u32 = 500;
const MINUTE_MS: u64 = 60_000;

/// Whose session, and what is asked of the session service for it.
#[derive(Debug, Clone)]
struct Plan {
    user: &'static str,
    algorithm: &'static str,
    body: Value,
}

/// All sessions that run at once.
fn plans() -> [Plan; 3] {
    let plan = |user, algorithm: &'static str, parameters: Value, loss_limit: &str, minutes: u64| {
        let limits = json!({"lossLimit": loss_limit, "timeLimitMs": minutes * MINUTE_MS});
        let symbols = ["binance:BTC/USDT"];
        let body = json!({
            "algorithmId": algorithm, "parameters": parameters, "symbols": symbols, "capital": "10000", "limits": limits,
        });
        Plan { user, algorithm, body }
    };
    let calm = json!({"fast": 5, "slow": 20, "execution": {"sampleMs": 500}});
    // A fifth of the money in and out every few seconds, each way at a fee of 0.1 %: some 30 a minute.
    let eager = json!({"execution": {"entryShare": "0.2", "cooldownMs": 1_000}});
    let reverting = json!({"window": 30, "execution": {"sampleMs": 250, "allowShort": true}});
    [
        plan(development::USER, "sma-crossover", calm, "400", 15),
        plan(development::USER, "book-imbalance", eager, "40", 10),
        plan(development::OPERATOR, "mean-reversion", reverting, "300", 20),
    ]
}

/// The demonstration, with its users' tokens.
#[derive(Debug)]
pub(crate) struct Demo {
    plans: Vec<(Plan, String)>,
}

/// Whether `config` asks for a demonstration: only with a secret of this run, so that its users are nobody's.
pub(crate) fn is_on(config: &Config) -> bool {
    config.demo && config.is_development && config.market == Market::Replayed && config.trading.is_some()
}

impl Demo {
    /// `None` where there is none.
    pub(crate) fn new(config: &Config) -> Result<Option<Self>, AuthError> {
        let Some(secret) = config.edge.auth.hs256_secret.as_ref().filter(|_| is_on(config)) else { return Ok(None) };
        let mut signed = Vec::new();
        for plan in plans() {
            if let Some(token) = development::token(config, secret, plan.user, &["desk"])? {
                signed.push((plan, token));
            }
        }
        Ok(Some(Self { plans: signed }))
    }

    /// Commands the session service at `session` until `shutdown`.
    pub(crate) async fn run(self, session: &str, shutdown: &CancellationToken) {
        let mut playing = JoinSet::new();
        for (plan, token) in self.plans {
            match Peer::new(session, &token) {
                Ok(peer) => drop(playing.spawn(play(plan, peer, shutdown.clone()))),
                Err(error) => tracing::warn!(%error, "a demonstration cannot begin"),
            }
        }
        while playing.join_next().await.is_some() {}
    }
}

async fn play(plan: Plan, peer: Peer, shutdown: CancellationToken) {
    for round in 0..ROUNDS_MAX {
        let whole = async {
            if let Err(error) = one(&plan, &peer).await {
                tracing::warn!(%error, user = plan.user, "a session of the demonstration could not be had; the next one follows");
            }
            sleep(PAUSE.saturating_mul(1 << round.min(8)).min(PAUSE_MAX)).await;
        };
        if shutdown.run_until_cancelled(whole).await.is_none() {
            return;
        }
    }
}

/// One session from its start to its end.
async fn one(plan: &Plan, peer: &Peer) -> Result<(), PeerError> {
    let key = format!("demo-{}-{}", plan.algorithm, now_ms());
    let Session { session_id, .. } = insist(peer, "/v1/sessions", &key, &plan.body).await?;
    let path = format!("/v1/sessions/{session_id}");
    insist(peer, &format!("{path}/start"), &format!("{key}-start"), &json!({})).await?;
    loop {
        sleep(LOOK).await;
        match peer.get::<Session>(&path).await {
            Ok(session) if session.status.is_over() => return Ok(()),
            // It runs, or its user paused it.
            Ok(_) => {}
            Err(error) if error.is_retryable() => tracing::debug!(%error, "the session is asked for again"),
            Err(error) => return Err(error),
        }
    }
}

/// The service may still be on its way.
async fn insist(peer: &Peer, path: &str, key: &str, body: &Value) -> Result<Session, PeerError> {
    for _ in 0..TRIES_MAX {
        match peer.post(path, key, body).await {
            Err(error) if error.is_retryable() => sleep(RETRY).await,
            done => return done,
        }
    }
    peer.post(path, key, body).await
}

#[cfg(test)]
mod tests {
    use tickwire_algorithm::bot::Bot;

    use super::*;

    #[test]
    fn every_planned_session_makes_a_bot() {
        for Plan { body, .. } in plans() {
            serde_json::from_value::<tickwire_trading::session::NewSession>(body.clone()).unwrap().check().unwrap();
            let mut record = body;
            for (field, value) in [("sessionId", json!("s")), ("userId", json!("u")), ("status", json!("paused"))] {
                record[field] = value;
            }
            for field in ["createdAt", "updatedAt", "version"] {
                record[field] = json!(1);
            }
            let session: Session = serde_json::from_value(record).unwrap();
            Bot::of(&session).unwrap();
        }
    }

    #[test]
    fn only_a_laptop_with_recordings_and_a_random_secret_gets_it() {
        let mut config = Config { market: Market::Replayed, demo: true, ..Config::default() };
        config.trading = Some(crate::Trading::default());
        development::complete(&mut config).unwrap();
        assert_eq!(Demo::new(&config).unwrap().unwrap().plans.len(), 3);
        for change in [
            |config: &mut Config| config.demo = false,
            |config: &mut Config| config.is_development = false,
            |config: &mut Config| config.market = Market::Live,
            |config: &mut Config| config.trading = None,
        ] {
            let mut other = config.clone();
            change(&mut other);
            assert!(Demo::new(&other).unwrap().is_none());
        }
    }
}
