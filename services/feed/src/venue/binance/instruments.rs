//! Binance's `exchangeInfo`.

use crate::{
    json::{Cursor, Parsed},
    model::{Exchange, Market, Symbol, symbol::canonical_asset},
    venue::{Instrument, instruments::split_quote},
};

/// `{"symbols":[{"symbol":"BTCUSDT","status":"TRADING","baseAsset":"BTC","quoteAsset":"USDT","contractType":"PERPETUAL",…}]}`.
/// Dated futures are left out.
pub fn parse(body: &str, at_ms: u64) -> Parsed<Vec<Instrument>> {
    let mut instruments = Vec::new();
    let mut cursor = Cursor::new(body);
    cursor.object(|cursor, key| match key {
        "symbols" => cursor.array(|cursor| {
            instruments.extend(instrument(cursor, at_ms)?);
            Ok(())
        }),
        _ => cursor.skip(),
    })?;
    cursor.end()?;
    Ok(instruments)
}

fn instrument(cursor: &mut Cursor<'_>, at_ms: u64) -> Parsed<Option<Instrument>> {
    let (mut native, mut base, mut quote, mut margin, mut contract) = Default::default();
    let mut trading = false;
    cursor.object(|cursor, key| {
        match key {
            "symbol" => native = Some(cursor.string()?),
            "baseAsset" => base = Some(cursor.string()?),
            "quoteAsset" => quote = Some(cursor.string()?),
            "marginAsset" => margin = Some(cursor.string()?),
            "contractType" if cursor.peek() == b'"' => contract = Some(cursor.string()?),
            "status" | "contractStatus" => trading = cursor.string()? == "TRADING",
            _ => cursor.skip()?,
        }
        Ok(())
    })?;
    let (Some(native), Some(base), Some(quote)) = (native, base, quote) else { return Ok(None) };
    let asset = |name| canonical_asset(Exchange::Binance, name, at_ms);
    let (base, quote) = (asset(&base), asset(&quote));
    let symbol = match (contract.as_deref(), &margin) {
        (None, _) => Symbol::spot(base, quote),
        (Some("PERPETUAL"), Some(margin)) => Symbol::perpetual(base, quote, asset(margin)),
        (Some("PERPETUAL"), None) => Symbol::perpetual(base, quote, quote),
        _ => return Ok(None),
    };
    Ok(Some(Instrument { native: (&*native).into(), symbol, trading }))
}

/// Without metadata: split at the quote currency. A dated future keeps its name.
pub fn derive(native: &str, market: Market, at_ms: u64) -> Symbol {
    let asset = |name| canonical_asset(Exchange::Binance, name, at_ms);
    match split_quote(native) {
        Some((base, quote)) if market == Market::Spot => Symbol::spot(asset(base), asset(quote)),
        Some((base, quote)) => Symbol::perpetual(asset(base), asset(quote), asset(quote)),
        None => Symbol::new(native),
    }
}
