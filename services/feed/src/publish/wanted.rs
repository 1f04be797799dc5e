//! Which topics are to be fed: those with subscribers somewhere in the cluster, and those that are pinned. No I/O.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tickwire_protocol::ChannelName;
use tokio::time::Instant;

use crate::model::{Channel, Exchange, Interval, Market, Symbol, Topic};

/// Namespaces that this service feeds.
pub(crate) const NAMESPACES: [&str; 5] = ["book", "candles", "prices", "ticker", "trades"];

/// Which channels of a symbol somebody listens to.
#[allow(clippy::struct_excessive_bools, reason = "one for each namespace; any of them may hold beside any other")]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Wants {
    pub(crate) book: bool,
    pub(crate) trades: bool,
    pub(crate) ticker: bool,
    pub(crate) prices: bool,
    pub(crate) candles: BTreeSet<Interval>,
}

impl Wants {
    /// What must be subscribed at the venue.
    pub(crate) fn topics(&self, symbol: &Symbol) -> Vec<Topic> {
        let mut channels = Vec::new();
        channels.extend(self.book.then_some(Channel::Orderbook));
        channels.extend(self.trades.then_some(Channel::Trades));
        channels.extend((self.ticker || self.prices).then_some(Channel::Ticker));
        channels.extend(self.candles.iter().copied().map(Channel::Candles));
        channels.into_iter().map(|channel| Topic { symbol: symbol.clone(), channel }).collect()
    }
}

/// Everything wanted of one venue, by symbol.
pub(crate) type VenueWants = BTreeMap<Symbol, Wants>;

/// The market of a symbol: a settlement currency makes it a perpetual.
pub(crate) fn market(symbol: &Symbol) -> Market {
    match symbol.parts() {
        Some((_, _, Some(_))) => Market::Linear,
        _ => Market::Spot,
    }
}

/// What a channel's name asks for.
struct Asked {
    /// `None`: of every venue.
    exchange: Option<Exchange>,
    symbol: Symbol,
    what: What,
}

enum What {
    Book,
    Trades,
    Ticker,
    Prices,
    Candles(Interval),
}

impl Asked {
    /// `None` for a channel that is not fed.
    fn parse(channel: &ChannelName) -> Option<Self> {
        let (namespace, rest) = channel.as_str().split_once(':')?;
        let (exchange, rest) = if namespace == "prices" {
            (None, rest)
        } else {
            let (exchange, rest) = rest.split_once(':')?;
            (Some(Exchange::ALL.into_iter().find(|known| known.name() == exchange)?), rest)
        };
        let (symbol, what) = match namespace {
            "book" => (rest, What::Book),
            "trades" => (rest, What::Trades),
            "ticker" => (rest, What::Ticker),
            "prices" => (rest, What::Prices),
            "candles" => {
                let (symbol, interval) = rest.rsplit_once(':')?;
                (symbol, What::Candles(Interval::parse(interval)?))
            }
            _ => return None,
        };
        let is_symbol = symbol.split_once('/').is_some_and(|(base, quote)| !base.is_empty() && !quote.is_empty());
        is_symbol.then(|| Self { exchange, symbol: Symbol::new(symbol), what })
    }

    fn add_to(&self, wants: &mut Wants) {
        match self.what {
            What::Book => wants.book = true,
            What::Trades => wants.trades = true,
            What::Ticker => wants.ticker = true,
            What::Prices => wants.prices = true,
            What::Candles(interval) => {
                wants.candles.insert(interval);
            }
        }
    }
}

/// Turns demand into what is wanted of each venue, and holds on to what nobody wants any more for a while: a page that is
/// loaded again must not cost a resubscription.
#[derive(Debug)]
pub(crate) struct Wanted {
    pinned: Vec<ChannelName>,
    grace: Duration,
    channels_max: usize,
    /// When each channel was last wanted.
    held: BTreeMap<ChannelName, Instant>,
    /// Channels refused at the bound.
    pub(crate) refused: u64,
}

impl Wanted {
    pub(crate) fn new(pinned: Vec<ChannelName>, grace: Duration, channels_max: usize) -> Self {
        Self { pinned, grace, channels_max, held: BTreeMap::new(), refused: 0 }
    }

    /// The store's answer. Where it is not `complete`, nothing is given up for it.
    pub(crate) fn demanded(&mut self, channels: impl IntoIterator<Item = ChannelName>, complete: bool, now: Instant) {
        let pinned = self.pinned.clone();
        for channel in pinned.into_iter().chain(channels) {
            if self.held.len() < self.channels_max || self.held.contains_key(&channel) {
                self.held.insert(channel, now);
            } else {
                self.refused += 1;
            }
        }
        if complete {
            self.held.retain(|_, last| now.saturating_duration_since(*last) < self.grace);
        }
    }

    /// What is wanted of each of `exchanges`.
    pub(crate) fn by_venue(&self, exchanges: &[Exchange]) -> BTreeMap<Exchange, VenueWants> {
        let mut venues: BTreeMap<Exchange, VenueWants> =
            exchanges.iter().map(|exchange| (*exchange, VenueWants::new())).collect();
        for channel in self.held.keys() {
            let Some(asked) = Asked::parse(channel) else { continue };
            for (venue, wants) in &mut venues {
                if asked.exchange.is_none_or(|only| only == *venue) {
                    asked.add_to(wants.entry(asked.symbol.clone()).or_default());
                }
            }
        }
        venues
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channels(names: &[&str]) -> Vec<ChannelName> {
        names.iter().map(|name| ChannelName::new(name).unwrap()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_channel_is_fed_on_demand_and_for_a_grace_time() {
        let mut wanted = Wanted::new(channels(&["ticker:okx:BTC/USDT"]), Duration::from_secs(30), 100);
        let start = Instant::now();
        let names = ["book:binance:BTC/USDT:USDT", "candles:okx:BTC/USDT:1m", "room:1", "ticker:nowhere:A/B"];
        wanted.demanded(channels(&names), true, start);
        let venues = wanted.by_venue(&[Exchange::Binance, Exchange::Okx]);
        let perpetual = Symbol::new("BTC/USDT:USDT");
        assert!(venues[&Exchange::Binance][&perpetual].book);
        assert_eq!(market(&perpetual), Market::Linear);
        let okx = &venues[&Exchange::Okx][&Symbol::new("BTC/USDT")];
        assert!(okx.ticker && okx.candles.contains(&Interval::M1) && !okx.book);
        wanted.demanded([], true, start + Duration::from_secs(29));
        assert!(!wanted.by_venue(&[Exchange::Binance])[&Exchange::Binance].is_empty());
        wanted.demanded([], false, start + Duration::from_secs(31));
        assert!(
            !wanted.by_venue(&[Exchange::Binance])[&Exchange::Binance].is_empty(),
            "part of the store did not answer"
        );
        wanted.demanded([], true, start + Duration::from_secs(32));
        let venues = wanted.by_venue(&[Exchange::Binance, Exchange::Okx]);
        assert!(venues[&Exchange::Binance].is_empty());
        assert!(venues[&Exchange::Okx][&Symbol::new("BTC/USDT")].ticker, "pinned");
    }

    #[tokio::test(start_paused = true)]
    async fn a_price_is_wanted_of_every_venue_and_the_bound_holds() {
        let mut wanted = Wanted::new(Vec::new(), Duration::from_secs(30), 2);
        wanted.demanded(channels(&["prices:BTC/USDT", "book:okx:A/B", "book:okx:C/D"]), true, Instant::now());
        let venues = wanted.by_venue(&Exchange::ALL);
        assert!(venues.values().all(|wants| wants[&Symbol::new("BTC/USDT")].prices));
        assert_eq!(wanted.refused, 1);
    }
}
