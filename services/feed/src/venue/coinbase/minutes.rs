//! Candles of a minute, made from trades: the shortest that Coinbase has are of five.

use hashbrown::HashMap;

use crate::model::{Candle, Interval, Trade};

const MINUTE_MS: i64 = 60_000;

/// By symbol, since the connection was opened.
#[derive(Debug, Default)]
pub(super) struct Minutes(HashMap<usize, Minute>);

#[derive(Debug)]
struct Minute {
    /// The minute of the oldest print: its beginning was not seen, so it makes no candle.
    cut_ms: i64,
    candle: Option<Candle>,
}

impl Minutes {
    /// The candle of a new print's minute, as it stands with it. Prints come in order; one of a minute that is over changes nothing.
    pub(super) fn take(&mut self, id: usize, time_ns: i64, trade: &Trade) -> Option<Candle> {
        let at_ms = time_ns.div_euclid(1_000_000);
        let open_time = at_ms - at_ms.rem_euclid(MINUTE_MS);
        let minute = self.0.entry(id).or_insert(Minute { cut_ms: open_time, candle: None });
        if open_time <= minute.cut_ms {
            return None;
        }
        match &mut minute.candle {
            Some(candle) if candle.open_time > open_time => return None,
            Some(candle) if candle.open_time == open_time => grow(candle, trade),
            held => *held = Some(begun(open_time, trade)),
        }
        minute.candle.clone()
    }
}

fn begun(open_time: i64, trade: &Trade) -> Candle {
    let price = trade.price;
    Candle {
        interval: Interval::M1,
        open_time,
        open: price,
        high: price,
        low: price,
        close: price,
        volume: trade.qty,
        quote_volume: price.checked_mul(trade.qty),
        closed: None,
        derived: true,
    }
}

/// Figures that no decimal holds are left as they were, or out.
fn grow(candle: &mut Candle, trade: &Trade) {
    let turnover = || trade.price.checked_mul(trade.qty);
    candle.high = candle.high.max(trade.price);
    candle.low = candle.low.min(trade.price);
    candle.close = trade.price;
    candle.volume = candle.volume.checked_add(trade.qty).unwrap_or(candle.volume);
    candle.quote_volume = candle.quote_volume.and_then(|sum| sum.checked_add(turnover()?));
}

#[cfg(test)]
mod tests {
    use rust_decimal::Decimal;

    use super::*;
    use crate::model::Side;

    fn print(price: i64) -> Trade {
        let (price, qty) = (Decimal::from(price), Decimal::new(5, 1));
        Trade { id: None, price, qty, side: Side::Buy, is_snapshot: false, aggregate: None }
    }

    #[test]
    fn a_minute_is_made_of_its_prints_and_the_first_one_is_left_out() {
        let mut minutes = Minutes::default();
        let mut take = |second: i64, price: i64| minutes.take(0, second * 1_000_000_000, &print(price));
        assert_eq!(take(59, 90), None, "its beginning was not seen");
        let all: Vec<Candle> = [(60, 100), (70, 130), (119, 110)].iter().filter_map(|&(at, px)| take(at, px)).collect();
        let last = all.last().unwrap();
        let figures = [last.open, last.high, last.low, last.close].map(|figure| figure.to_string());
        assert_eq!(figures, ["100", "130", "100", "110"]);
        assert_eq!((last.volume.to_string(), last.quote_volume.unwrap().to_string()), ("1.5".into(), "170.0".into()));
        assert_eq!((last.open_time, last.derived), (60_000, true));
        assert_eq!(take(120, 5).unwrap().open_time, 120_000);
        assert_eq!(take(119, 7), None, "that minute is over");
    }
}
