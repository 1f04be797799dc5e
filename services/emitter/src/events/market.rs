//! Market data of the platform's own.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Event, InvalidEvent, Message, Stamp, common_fields};
use crate::value::{Amount, Ratio, Symbol, Unsigned};

/// A price changed.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct MarketData {
    #[schema(value_type = String)]
    symbol: Symbol,
    /// May be negative: some futures have been.
    #[schema(value_type = String)]
    price: Amount,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    change: Option<Amount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    volume: Option<Unsigned>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    bid: Option<Amount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    ask: Option<Amount>,
    #[serde(skip_serializing)]
    timestamp: Option<u64>,
    #[serde(skip_serializing)]
    idempotency_key: Option<String>,
}

/// A symbol moves more than usual.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct VolatilityAlert {
    #[schema(value_type = String)]
    symbol: Symbol,
    #[schema(value_type = f64, minimum = 0)]
    volatility: Ratio,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>, minimum = 0)]
    threshold: Option<Ratio>,
    #[serde(skip_serializing)]
    timestamp: Option<u64>,
    #[serde(skip_serializing)]
    idempotency_key: Option<String>,
}

impl Event for MarketData {
    const KIND: &'static str = "market-data";
    const SUMMARY: &'static str = "A price changed: to prices:{symbol}, under the symbol as key";
    common_fields!();

    fn messages(&self, stamp: &Stamp) -> Result<Vec<Message>, InvalidEvent> {
        let symbol = self.symbol.as_str();
        let message = Message::new(&format!("prices:{symbol}"), stamp.data("market_data", self)?)?;
        Ok(vec![Message { key: Some(symbol.to_owned()), ..message }])
    }
}

impl Event for VolatilityAlert {
    const KIND: &'static str = "volatility-alert";
    const SUMMARY: &'static str = "A symbol moves more than usual: to volatility:{symbol}";
    common_fields!();

    fn messages(&self, stamp: &Stamp) -> Result<Vec<Message>, InvalidEvent> {
        let data = stamp.data("volatility_alert", self)?;
        Ok(vec![Message::new(&format!("volatility:{}", self.symbol.as_str()), data)?])
    }
}
