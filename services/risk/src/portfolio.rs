//! What wallets are worth: balances at current prices. Exact, without I/O and clock.
//!
//! A balance is absolute, so of two the one with the later timestamp counts and a repetition changes nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use tickwire_protocol::UserId;
use tickwire_trading::Instrument;

/// Wallets at most; balances of further ones are not taken.
const WALLETS_MAX: usize = 100_000;
/// Assets of one wallet at most.
const ASSETS_MAX: usize = 1_000;
/// A change of price is published so often at most, milliseconds; the last value always.
const PACE_MS: u64 = 1_000;

/// What the channels `wallets:{n}` carry.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Balance {
    pub(crate) user_id: UserId,
    pub(crate) wallet_id: String,
    pub(crate) asset: String,
    #[serde(rename = "balance")]
    pub(crate) amount: Decimal,
    pub(crate) timestamp: u64,
}

/// Whose wallet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct WalletKey {
    pub(crate) user: UserId,
    pub(crate) wallet: String,
}

/// A wallet's portfolio, as it is published in `portfolio:{userId}` under the wallet's id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Portfolio {
    r#type: &'static str,
    pub(crate) user_id: UserId,
    pub(crate) wallet_id: String,
    /// In what everything is priced.
    pub(crate) quote: String,
    /// Sum of the values that are known.
    pub(crate) total: Decimal,
    /// Whether every asset has a price.
    pub(crate) is_complete: bool,
    /// By asset.
    pub(crate) balances: Vec<Valued>,
    pub(crate) timestamp: u64,
}

/// An asset in a [`Portfolio`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Valued {
    asset: String,
    balance: Decimal,
    #[serde(skip_serializing_if = "Option::is_none")]
    price: Option<Decimal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Decimal>,
}

/// How assets are priced.
#[derive(Debug, Clone)]
pub(crate) struct Pricing {
    pub(crate) exchange: String,
    pub(crate) quote: String,
    /// Worth 1 in `quote`.
    pub(crate) stable: BTreeSet<String>,
}

impl Pricing {
    fn is_one(&self, asset: &str) -> bool {
        asset == self.quote || self.stable.contains(asset)
    }

    /// The instrument whose price is the asset's.
    fn instrument(&self, asset: &str) -> Option<Instrument> {
        if self.is_one(asset) {
            return None;
        }
        Instrument::new(&format!("{}:{asset}/{}", self.exchange, self.quote)).ok()
    }
}

#[derive(Debug, Default)]
struct Wallet {
    /// By asset: the balance, and when it was said. A zero stays, so that an older message does not bring the asset back.
    assets: BTreeMap<String, (Decimal, u64)>,
    /// When it was last published, if ever.
    published_ms: Option<u64>,
    is_dirty: bool,
    /// A balance changed: it does not wait.
    is_urgent: bool,
}

/// All wallets.
#[derive(Debug)]
pub(crate) struct Portfolios {
    pricing: Pricing,
    prices: HashMap<Instrument, Decimal>,
    wallets: BTreeMap<WalletKey, Wallet>,
    /// Wallets by the instrument that prices one of their assets.
    holders: HashMap<Instrument, BTreeSet<WalletKey>>,
    /// Balances that were not taken at a bound.
    pub(crate) refused: u64,
}

impl Portfolios {
    pub(crate) fn new(pricing: Pricing) -> Self {
        Self { pricing, prices: HashMap::new(), wallets: BTreeMap::new(), holders: HashMap::new(), refused: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.wallets.len()
    }

    /// The instruments that price something.
    pub(crate) fn instruments(&self) -> BTreeSet<Instrument> {
        self.holders.keys().cloned().collect()
    }

    /// Takes a balance; answers whether the set of instruments changed.
    pub(crate) fn balance(&mut self, balance: Balance) -> bool {
        let Balance { user_id, wallet_id, asset, amount: balance, timestamp } = balance;
        let key = WalletKey { user: user_id, wallet: wallet_id };
        if self.wallets.len() >= WALLETS_MAX && !self.wallets.contains_key(&key) {
            self.refused += 1;
            return false;
        }
        let wallet = self.wallets.entry(key.clone()).or_default();
        let known = wallet.assets.get(&asset);
        if known.is_none() && wallet.assets.len() >= ASSETS_MAX {
            self.refused += 1;
            return false;
        }
        if known.is_some_and(|&(value, at)| at > timestamp || (at == timestamp && value == balance)) {
            return false;
        }
        let instrument = self.pricing.instrument(&asset);
        wallet.assets.insert(asset, (balance, timestamp));
        (wallet.is_dirty, wallet.is_urgent) = (true, true);
        let Some(instrument) = instrument else { return false };
        let before = self.holders.len();
        if balance.is_zero() {
            if let Some(holders) = self.holders.get_mut(&instrument) {
                holders.remove(&key);
                if holders.is_empty() {
                    self.holders.remove(&instrument);
                    self.prices.remove(&instrument);
                }
            }
        } else {
            self.holders.entry(instrument).or_default().insert(key);
        }
        self.holders.len() != before
    }

    /// Takes a price.
    pub(crate) fn price(&mut self, instrument: &Instrument, price: Decimal) {
        let Some(holders) = self.holders.get(instrument) else { return };
        if self.prices.insert(instrument.clone(), price) == Some(price) {
            return;
        }
        for key in holders {
            if let Some(wallet) = self.wallets.get_mut(key) {
                wallet.is_dirty = true;
            }
        }
    }

    /// Portfolios that are to be published now, `limit` at most: balances that changed at once, prices at their pace.
    pub(crate) fn due(&mut self, now_ms: u64, limit: usize) -> Vec<Portfolio> {
        let is_due = |wallet: &Wallet| {
            let is_paced = wallet.published_ms.is_none_or(|at| now_ms.saturating_sub(at) >= PACE_MS);
            wallet.is_dirty && (wallet.is_urgent || is_paced)
        };
        let keys: Vec<WalletKey> =
            self.wallets.iter().filter(|(_, wallet)| is_due(wallet)).map(|(key, _)| key.clone()).take(limit).collect();
        let mut due = Vec::with_capacity(keys.len());
        for key in keys {
            if let Some(wallet) = self.wallets.get_mut(&key) {
                (wallet.is_dirty, wallet.is_urgent, wallet.published_ms) = (false, false, Some(now_ms));
            }
            due.extend(self.portfolio(&key, now_ms));
        }
        due
    }

    /// It was not published after all.
    pub(crate) fn again(&mut self, user: &UserId, wallet: &str) {
        if let Some(wallet) = self.wallets.get_mut(&WalletKey { user: user.clone(), wallet: wallet.to_owned() }) {
            wallet.is_dirty = true;
        }
    }

    fn portfolio(&self, key: &WalletKey, now_ms: u64) -> Option<Portfolio> {
        let wallet = self.wallets.get(key)?;
        let held = wallet.assets.iter().filter(|(_, (balance, _))| !balance.is_zero());
        let balances: Vec<Valued> = held
            .map(|(asset, (balance, _))| {
                let price = match self.pricing.instrument(asset) {
                    Some(instrument) => self.prices.get(&instrument).copied(),
                    None => self.pricing.is_one(asset).then_some(Decimal::ONE),
                };
                let value = price.and_then(|price| price.checked_mul(*balance)).map(|value| value.normalize());
                Valued { asset: asset.clone(), balance: *balance, price, value }
            })
            .collect();
        let total = balances.iter().filter_map(|valued| valued.value).try_fold(Decimal::ZERO, Decimal::checked_add);
        Some(Portfolio {
            r#type: "portfolio",
            user_id: key.user.clone(),
            wallet_id: key.wallet.clone(),
            quote: self.pricing.quote.clone(),
            total: total.unwrap_or(Decimal::MAX),
            is_complete: balances.iter().all(|valued| valued.value.is_some()),
            balances,
            timestamp: now_ms,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn portfolios() -> Portfolios {
        Portfolios::new(Pricing {
            exchange: "binance".into(),
            quote: "USDT".into(),
            stable: BTreeSet::from(["USDC".into()]),
        })
    }

    fn balance(user: &str, asset: &str, balance: &str, timestamp: u64) -> Balance {
        let user_id = UserId::new(user).unwrap();
        Balance { user_id, wallet_id: "w1".into(), asset: asset.into(), amount: balance.parse().unwrap(), timestamp }
    }

    fn btc() -> Instrument {
        Instrument::new("binance:BTC/USDT").unwrap()
    }

    #[test]
    fn balances_are_summed_at_current_prices_exactly() {
        let mut all = portfolios();
        assert!(all.balance(balance("7", "BTC", "0.1", 1)));
        assert!(!all.balance(balance("7", "USDC", "0.30", 1)));
        all.price(&btc(), "64213.10".parse().unwrap());
        let due = all.due(1_000, 10);
        assert_eq!((due.len(), due[0].total.to_string(), due[0].is_complete), (1, "6421.61".into(), true));
        assert_eq!(
            serde_json::to_value(&due[0]).unwrap(),
            serde_json::json!({"type": "portfolio", "userId": "7", "walletId": "w1", "quote": "USDT", "total": "6421.61",
                "isComplete": true, "timestamp": 1_000, "balances": [
                    {"asset": "BTC", "balance": "0.1", "price": "64213.10", "value": "6421.31"},
                    {"asset": "USDC", "balance": "0.30", "price": "1", "value": "0.3"}]})
        );
    }

    #[test]
    fn without_a_price_the_portfolio_says_that_it_is_incomplete() {
        let mut all = portfolios();
        all.balance(balance("7", "BTC", "1", 1));
        all.balance(balance("7", "USDT", "5", 1));
        let due = all.due(0, 10);
        assert_eq!((due[0].is_complete, due[0].total), (false, Decimal::from(5)));
    }

    #[test]
    fn a_changed_balance_is_due_at_once_and_a_price_at_its_pace_with_the_last_value() {
        let mut all = portfolios();
        all.balance(balance("7", "BTC", "1", 1));
        all.price(&btc(), Decimal::from(10));
        assert_eq!(all.due(0, 10).len(), 1);
        all.price(&btc(), Decimal::from(11));
        all.price(&btc(), Decimal::from(12));
        assert!(all.due(999, 10).is_empty());
        assert_eq!(all.due(1_000, 10)[0].total, Decimal::from(12));
        all.price(&btc(), Decimal::from(12));
        assert!(all.due(5_000, 10).is_empty(), "nothing changed");
        all.balance(balance("7", "BTC", "2", 2));
        assert_eq!(all.due(5_001, 10)[0].total, Decimal::from(24));
    }

    #[test]
    fn an_older_or_repeated_balance_changes_nothing() {
        let mut all = portfolios();
        all.balance(balance("7", "BTC", "1", 5));
        all.balance(balance("7", "BTC", "0", 6));
        all.due(0, 10);
        assert!(all.instruments().is_empty());
        all.balance(balance("7", "BTC", "1", 5));
        all.balance(balance("7", "BTC", "0", 6));
        assert!(all.due(10_000, 10).is_empty() && all.instruments().is_empty());
    }

    #[test]
    fn wallets_of_two_users_never_mix() {
        let mut all = portfolios();
        all.balance(balance("7", "USDT", "1", 1));
        all.balance(balance("8", "USDT", "2", 1));
        let due = all.due(0, 10);
        let totals: Vec<_> = due.iter().map(|due| (due.user_id.as_str(), due.total.to_string())).collect();
        assert_eq!(totals, [("7", "1".into()), ("8", "2".into())]);
    }
}
