//! The portfolio's shell: balances and tickers in, `portfolio:{user}` out, by the emitter. One instance publishes, by a lease; every instance
//! listens, so that another one goes on at once.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use rust_decimal::Decimal;
use tickwire_client::{Client, emitter::Outgoing};
use tickwire_protocol::{ChannelName, RawJson, time::now_ms};
use tickwire_trading::Instrument;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use crate::{
    config::RiskConfig,
    intake,
    keeper::Tools,
    lease::Lease,
    portfolio::{Balance, Portfolio, Portfolios, Pricing},
};

/// Channels `wallets:{n}` that the emitter spreads wallets over.
const WALLET_CHANNELS: u32 = 16;
/// Inputs that wait.
const INPUTS_MAX: usize = 1_024;
/// Portfolios of one publish: a batch of the emitter.
const BATCH_MAX: usize = 256;
/// How often it is looked whether something is to be published.
const ROUND: Duration = Duration::from_millis(50);

/// Something heard.
enum Input {
    Balance(Balance),
    Price(Instrument, Decimal),
}

/// Computes and publishes until `shutdown`.
pub(crate) async fn run(config: RiskConfig, client: Client, tools: Arc<Tools>, shutdown: CancellationToken) {
    let (inputs, heard) = mpsc::channel(INPUTS_MAX);
    let (wanted, following) = watch::channel(BTreeSet::new());
    let mut tasks = JoinSet::new();
    for shard in 0..WALLET_CHANNELS {
        let Ok(channel) = ChannelName::new(&format!("wallets:{shard}")) else { continue };
        let (client, metrics, inputs) = (client.clone(), Arc::clone(&tools.metrics), inputs.clone());
        tasks.spawn(intake::follow(client, channel, metrics, inputs, |balance| Some(Input::Balance(balance))));
    }
    let wrap = |instrument: &Instrument, price| Input::Price(instrument.clone(), price);
    tasks.spawn(intake::prices(following, client, Arc::clone(&tools.metrics), inputs, wrap));
    let pricing = Pricing {
        exchange: config.portfolio_exchange.clone(),
        quote: config.portfolio_quote.clone(),
        stable: config.portfolio_stable.iter().cloned().collect(),
    };
    let valuation = Valuation { portfolios: Portfolios::new(pricing), instruments_max: config.instruments_max, wanted };
    let lease = Lease::new("risk-portfolio", &config);
    shutdown.run_until_cancelled(valuation.run(heard, tools, lease)).await;
}

struct Valuation {
    portfolios: Portfolios,
    instruments_max: usize,
    wanted: watch::Sender<BTreeSet<Instrument>>,
}

impl Valuation {
    async fn run(mut self, mut heard: mpsc::Receiver<Input>, tools: Arc<Tools>, mut lease: Lease) {
        let mut rounds = interval(ROUND);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                input = heard.recv() => match input {
                    Some(Input::Balance(balance)) => self.balance(balance, &tools),
                    Some(Input::Price(instrument, price)) => self.portfolios.price(&instrument, price),
                    None => return,
                },
                _ = rounds.tick() => self.publish(&tools, &mut lease).await,
            }
        }
    }

    fn balance(&mut self, balance: Balance, tools: &Tools) {
        let refused = self.portfolios.refused;
        if self.portfolios.balance(balance) {
            let all = self.portfolios.instruments();
            tools.metrics.refused.inc_by(all.len().saturating_sub(self.instruments_max) as u64);
            self.wanted.send_replace(all.into_iter().take(self.instruments_max).collect());
        }
        tools.metrics.refused.inc_by(self.portfolios.refused - refused);
        tools.metrics.wallets.set(i64::try_from(self.portfolios.len()).unwrap_or(i64::MAX));
    }

    async fn publish(&mut self, tools: &Tools, lease: &mut Lease) {
        if !lease.is_held(tools).await {
            return;
        }
        let due = self.portfolios.due(now_ms(), BATCH_MAX);
        if due.is_empty() {
            return;
        }
        let messages = due.iter().filter_map(outgoing).collect();
        let failed = match tools.emitter.publish_batch(messages).await {
            Ok(results) if results.len() == due.len() => {
                let refused = due
                    .iter()
                    .zip(results)
                    .filter_map(|(portfolio, result)| result.err().map(|error| (portfolio, error)));
                refused
                    .map(|(portfolio, error)| {
                        tracing::warn!(user = %portfolio.user_id, %error, "a portfolio was refused");
                        portfolio
                    })
                    .collect()
            }
            Ok(_) => due.iter().collect::<Vec<_>>(),
            Err(error) => {
                tracing::warn!(%error, "portfolios are not published; they are tried again");
                due.iter().collect()
            }
        };
        tools.metrics.portfolios.inc_by((due.len() - failed.len()) as u64);
        tools.metrics.portfolio_failures.inc_by(failed.len() as u64);
        for Portfolio { user_id, wallet_id, .. } in failed {
            self.portfolios.again(user_id, wallet_id);
        }
    }
}

fn outgoing(portfolio: &Portfolio) -> Option<Outgoing> {
    let channel = ChannelName::new(&format!("portfolio:{}", portfolio.user_id)).ok()?;
    let data = RawJson::of(portfolio).ok()?;
    Some(Outgoing { key: Some(portfolio.wallet_id.clone()), ..Outgoing::new(channel, data) })
}
