//! Tells how a bot stands: the account's figures, positions, the strategy. Whole values: only the newest matters, so there is no
//! queue; the first is told at once, later ones at a pace, and the last one always.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use rust_decimal::Decimal;
use serde_json::{Value, json};
use tickwire_client::{ClientError, Emitter, emitter::Outgoing};
use tickwire_protocol::{ChannelName, ErrorCode, RawJson, time::now_ms};
use tickwire_trading::{ACCOUNTS_CHANNEL, Figures, Instrument, KEPT, OpenPosition};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::metrics::Metrics;

/// Between two values of an account, unless something was traded.
const PACE: Duration = Duration::from_millis(100);
/// Between two updates of a position.
const POSITION_PACE: Duration = Duration::from_millis(250);
/// Between two updates of a strategy's performance.
const STRATEGY_PACE: Duration = Duration::from_secs(5);
/// Pause after a failure.
const PAUSE: Duration = Duration::from_millis(500);

/// How a bot stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Standing {
    pub(crate) figures: Figures,
    pub(crate) capital: Decimal,
    /// `active`, `paused`, `closing`, …
    pub(crate) status: &'static str,
    /// The session is, and nothing is open.
    pub(crate) is_over: bool,
    pub(crate) algorithm: String,
    /// Gained or lost by what was closed, of every instrument that was traded.
    pub(crate) realized: BTreeMap<Instrument, Decimal>,
}

struct Herald {
    emitter: Emitter,
    accounts: ChannelName,
    metrics: Arc<Metrics>,
    figures: Option<Figures>,
    /// What was told of each position last; one that was closed has a quantity of zero.
    positions: BTreeMap<Instrument, OpenPosition>,
    positions_at: Option<Instant>,
    strategy: Option<(&'static str, Decimal, Instant)>,
}

/// Until `standings` is closed; what it held last is told before, unless `give_up` comes first. `heralded` is the version of the
/// figures that were told last with all that belongs to them.
pub(crate) async fn herald(
    emitter: Emitter,
    mut standings: watch::Receiver<Option<Standing>>,
    heralded: watch::Sender<u64>,
    metrics: Arc<Metrics>,
    give_up: CancellationToken,
) {
    let Ok(accounts) = ChannelName::new(ACCOUNTS_CHANNEL) else { return };
    let mut herald = Herald {
        emitter,
        accounts,
        metrics,
        figures: None,
        positions: BTreeMap::new(),
        positions_at: None,
        strategy: None,
    };
    // The last standing that was told, and whether all of it was.
    let mut told: Option<(Standing, bool)> = None;
    loop {
        let _closed = standings.changed().await;
        let is_open = standings.has_changed().is_ok();
        let standing = standings.borrow_and_update().clone();
        let is_known =
            |standing: &Standing| told.as_ref().is_some_and(|(before, is_whole)| *is_whole && before == standing);
        let Some(standing) = standing.filter(|standing| !is_known(standing)) else {
            if is_open {
                continue;
            }
            return;
        };
        match give_up.run_until_cancelled(herald.tell(&standing, !is_open)).await {
            None => return,
            Some(Ok(is_whole)) => {
                if is_whole {
                    heralded.send_replace(standing.figures.version);
                }
                told = Some((standing.clone(), is_whole));
            }
            Some(Err(error)) if !error.is_retryable() => {
                herald.metrics.emit_refused.inc();
                tracing::error!(%error, "the emitter refuses how a bot stands; it is passed over");
                heralded.send_replace(standing.figures.version);
                told = Some((standing.clone(), true));
            }
            Some(Err(error)) => {
                herald.metrics.emit_failures.inc();
                tracing::debug!(%error, "an account's figures are told again later");
                tokio::time::sleep(PAUSE).await;
                standings.mark_changed();
                continue;
            }
        }
        if !is_open {
            return;
        }
        pause(&mut standings, &standing).await;
    }
}

/// Until the next value may go: at once after a trade or a change of status.
async fn pause(standings: &mut watch::Receiver<Option<Standing>>, told: &Standing) {
    let until = Instant::now() + PACE;
    let traded = standings.wait_for(|standing| {
        standing
            .as_ref()
            .is_some_and(|standing| standing.figures.trades != told.figures.trades || standing.status != told.status)
    });
    tokio::select! {
        _ = traded => {}
        () = sleep_until(until) => {}
    }
    // Whatever came meanwhile is told; nothing new is nothing to tell.
    standings.mark_changed();
}

impl Herald {
    /// Whether everything was told: prices alone wait for their pace, unless it is the last time.
    async fn tell(&mut self, standing: &Standing, is_last: bool) -> Result<bool, ClientError> {
        let figures = &standing.figures;
        if self.figures.as_ref() != Some(figures) {
            let data = RawJson::of(figures).map_err(|error| ClientError::InvalidOptions(error.to_string()))?;
            let mut account = Outgoing::new(self.accounts.clone(), data);
            account.key = Some(figures.session_id.to_string());
            if standing.is_over {
                // Nothing follows on these figures: they make room for another session's.
                let kept_ms = u64::try_from(KEPT.as_millis()).unwrap_or(u64::MAX);
                account.expires_at = Some(now_ms().saturating_add(kept_ms));
            }
            match self.emitter.publish(account).await {
                Ok(_) => {
                    self.metrics.figures.inc();
                }
                // The channel is full of accounts whose sessions run. Services find this one by the API; its user must not wait.
                Err(ClientError::Server { code: ErrorCode::LimitExceeded, .. }) => {
                    self.metrics.emit_refused.inc();
                }
                Err(error) => return Err(error),
            }
            self.figures = Some(figures.clone());
        }
        let now = Instant::now();
        let positions = self.positions_in(standing);
        let mut is_whole = true;
        if self.positions != positions {
            let is_due = self.positions_at.is_none_or(|before| now >= before + POSITION_PACE);
            if is_last || is_due || !is_same_trade(&self.positions, &positions) {
                self.tell_positions(standing, positions).await?;
                self.positions_at = Some(now);
            } else {
                is_whole = false;
            }
        }
        let (is_due, is_same) = self.strategy.map_or((true, false), |(status, equity, at)| {
            (
                status != standing.status || now >= at + STRATEGY_PACE,
                status == standing.status && equity == figures.equity,
            )
        });
        if !is_same && (is_due || is_last) {
            self.emitter.event("strategy-update", &strategy(standing)).await?;
            self.strategy = Some((standing.status, figures.equity, now));
        }
        Ok(is_whole && (is_same || is_due))
    }

    /// Everything that was traded: what is open, and what was closed with a quantity of zero. A position may have been opened and closed
    /// since it was told last, or told by an earlier process: what it gained tells that.
    fn positions_in(&self, standing: &Standing) -> BTreeMap<Instrument, OpenPosition> {
        let zero = Decimal::ZERO;
        let closed = standing.realized.iter().map(|(symbol, &realized_pnl)| {
            let before = self.positions.get(symbol);
            let position = OpenPosition {
                symbol: symbol.clone(),
                quantity: zero,
                entry_price: before.map_or(zero, |before| before.entry_price),
                mark_price: before.map_or(zero, |before| before.mark_price),
                unrealized_pnl: zero,
                realized_pnl,
            };
            (symbol.clone(), position)
        });
        let open = standing.figures.positions.iter().map(|position| (position.symbol.clone(), position.clone()));
        closed.chain(open).collect()
    }

    async fn tell_positions(
        &mut self,
        standing: &Standing,
        now: BTreeMap<Instrument, OpenPosition>,
    ) -> Result<(), ClientError> {
        let figures = &standing.figures;
        for position in now.values().filter(|position| self.positions.get(&position.symbol) != Some(position)) {
            let body = json!({
                "userId": figures.user_id,
                "symbol": position.symbol,
                "quantity": position.quantity,
                "entryPrice": position.entry_price,
                "markPrice": position.mark_price,
                "unrealizedPnL": position.unrealized_pnl,
                "realizedPnL": position.realized_pnl,
                "sessionId": figures.session_id,
            });
            self.emitter.event("position-update", &body).await?;
        }
        self.positions = now;
        Ok(())
    }
}

/// Whether nothing was traded between the two, whatever the prices are.
fn is_same_trade(one: &BTreeMap<Instrument, OpenPosition>, other: &BTreeMap<Instrument, OpenPosition>) -> bool {
    let traded = |position: &OpenPosition| (position.symbol.clone(), position.quantity, position.realized_pnl);
    one.values().map(traded).eq(other.values().map(traded))
}

fn strategy(standing: &Standing) -> Value {
    let figures = &standing.figures;
    let gained = figures.pnl().checked_div(standing.capital).unwrap_or_default().round_dp(6).normalize();
    json!({
        "strategyId": figures.session_id,
        "userId": figures.user_id,
        "status": standing.status,
        "metrics": {
            "algorithmId": standing.algorithm,
            "pnl": figures.pnl(),
            "return": gained,
            "equity": figures.equity,
            "fees": figures.fees,
            "trades": figures.trades,
            "openOrders": figures.open_orders,
        },
    })
}
