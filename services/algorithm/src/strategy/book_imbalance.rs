//! Order-book imbalance: with the side of the book that holds more.

use rust_decimal::{Decimal, prelude::ToPrimitive};
use serde::Deserialize;
use tickwire_protocol::book::Level;

use super::{Advice, InvalidParameters, Parameters, Stance, Strategy, View, check_number};
use crate::{
    market::DEPTH,
    parameter::{Parameter, Type, Unit},
};

/// Parameters.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct BookImbalance {
    /// Levels a side that count.
    levels: usize,
    /// Share by which one side outweighs the other, 0 to 1, at which to follow it.
    entry: f64,
    /// Share at which the sides count as even.
    exit: f64,
}

impl Default for BookImbalance {
    fn default() -> Self {
        Self { levels: 5, entry: 0.6, exit: 0.1 }
    }
}

impl Parameters for BookImbalance {
    const NAME: &'static str = "book-imbalance";
    const SUMMARY: &'static str = "Follows the side of the book's best `levels` that outweighs the other by the share `entry`, closes below `exit`";
    const PARAMETERS: &'static [Parameter] = &[
        Parameter::new("levels", "Levels", Type::Integer, Unit::Levels)
            .within("5", "1", "20")
            .help("How many of the best levels of each side are weighed."),
        Parameter::new("entry", "Entry", Type::Number, Unit::Share)
            .within("0.6", "0.01", "1")
            .help("By how much one side must outweigh the other to be followed."),
        Parameter {
            at_most: Some("entry"),
            ..Parameter::new("exit", "Exit", Type::Number, Unit::Share)
                .within("0.1", "0", "1")
                .help("Below which the sides count as even and the position is closed.")
        },
    ];

    fn check(&self) -> Result<(), InvalidParameters> {
        if !(1..=usize::from(DEPTH)).contains(&self.levels) {
            return Err(InvalidParameters::OutOfBounds { field: "levels", reason: "there are 1 to 20" });
        }
        check_number("entry", self.entry, 0.01..=1.0)?;
        check_number("exit", self.exit, 0.0..=self.entry)
    }
}

impl Strategy for BookImbalance {
    fn samples(&self) -> usize {
        0
    }

    fn advise(&self, view: &View<'_>) -> Advice {
        let weight = |levels: &[Level]| -> f64 {
            let sum: Decimal = levels.iter().take(self.levels).map(|level| level.qty).sum();
            sum.to_f64().unwrap_or(0.0)
        };
        let (bids, asks) = (weight(&view.quote.top.bids), weight(&view.quote.top.asks));
        if !view.quote.is_live || bids + asks <= 0.0 {
            return Advice::new(Stance::Keep, 0.0, "there is no book to believe".into());
        }
        let imbalance = (bids - asks) / (bids + asks);
        let stance = match imbalance {
            share if share >= self.entry => Stance::Long,
            share if share <= -self.entry => Stance::Short,
            share if share.abs() <= self.exit && view.held != 0 => Stance::Flat,
            _ => Stance::Keep,
        };
        let heavier = if imbalance >= 0.0 { "bids" } else { "asks" };
        let reasoning = format!(
            "{heavier} hold {:.0} % more of the best {} levels ({bids:.4} bid, {asks:.4} asked)",
            imbalance.abs() * 100.0,
            self.levels
        );
        Advice::new(stance, imbalance.abs(), reasoning)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::{Market, Source};
    use tickwire_protocol::RawJson;
    use tickwire_trading::Instrument;

    fn advise(bid: &str, ask: &str, held: i8) -> Advice {
        let mut market = Market::new(Instrument::new("okx:BTC/USDT").unwrap());
        let book = format!(
            r#"{{"type":"book","kind":"snapshot","state":"live","bids":[["100","{bid}"]],"asks":[["101","{ask}"]]}}"#
        );
        market.take(Source::Book, &RawJson::parse(book).unwrap(), 1).unwrap();
        BookImbalance::default().advise(&View { quote: &market.quote(), samples: &[], held })
    }

    #[test]
    fn the_heavier_side_is_followed() {
        assert_eq!(advise("9", "1", 0).stance, Stance::Long);
        assert_eq!(advise("1", "9", 0).stance, Stance::Short);
        assert_eq!(advise("5", "5", 1).stance, Stance::Flat);
        assert_eq!(advise("5", "4", 0).stance, Stance::Keep);
    }

    #[test]
    fn a_book_that_is_not_live_says_nothing() {
        let quote = Market::new(Instrument::new("okx:BTC/USDT").unwrap()).quote();
        let advice = BookImbalance::default().advise(&View { quote: &quote, samples: &[], held: 1 });
        assert_eq!(advice.stance, Stance::Keep);
    }
}
