//! Bybit's `instruments-info`.

use crate::{
    json::{Cursor, Parsed},
    model::{Exchange, Market, Symbol, symbol::canonical_asset},
    venue::{Instrument, instruments::split_quote},
};

/// `{"result":{"category":"linear","list":[{"symbol":"BTCUSDT","contractType":"LinearPerpetual","status":"Trading",
/// "baseCoin":"BTC","quoteCoin":"USDT","settleCoin":"USDT",…}]}}`. Dated contracts are left out.
pub fn parse(body: &str, at_ms: u64) -> Parsed<Vec<Instrument>> {
    let mut instruments = Vec::new();
    let mut cursor = Cursor::new(body);
    cursor.object(|cursor, key| match key {
        "result" => cursor.object(|cursor, key| match key {
            "list" => cursor.array(|cursor| {
                instruments.extend(instrument(cursor, at_ms)?);
                Ok(())
            }),
            _ => cursor.skip(),
        }),
        _ => cursor.skip(),
    })?;
    cursor.end()?;
    Ok(instruments)
}

fn instrument(cursor: &mut Cursor<'_>, at_ms: u64) -> Parsed<Option<Instrument>> {
    let (mut native, mut base, mut quote, mut settle, mut contract) = Default::default();
    let mut trading = false;
    cursor.object(|cursor, key| {
        match key {
            "symbol" => native = Some(cursor.string()?),
            "baseCoin" => base = Some(cursor.string()?),
            "quoteCoin" => quote = Some(cursor.string()?),
            "settleCoin" => settle = Some(cursor.string()?),
            "contractType" => contract = Some(cursor.string()?),
            "status" => trading = cursor.string()? == "Trading",
            _ => cursor.skip()?,
        }
        Ok(())
    })?;
    let (Some(native), Some(base), Some(quote)) = (native, base, quote) else { return Ok(None) };
    let asset = |name| canonical_asset(Exchange::Bybit, name, at_ms);
    let symbol = match (contract.as_deref(), &settle) {
        (None, _) => Symbol::spot(asset(&base), asset(&quote)),
        (Some("LinearPerpetual"), Some(settle)) => Symbol::perpetual(asset(&base), asset(&quote), asset(settle)),
        _ => return Ok(None),
    };
    Ok(Some(Instrument { native: (&*native).into(), symbol, trading }))
}

/// Without metadata: split at the quote currency. `BTCPERP` is settled in USDC.
pub fn derive(native: &str, market: Market, at_ms: u64) -> Symbol {
    let asset = |name| canonical_asset(Exchange::Bybit, name, at_ms);
    match (split_quote(native), market) {
        (Some((base, quote)), Market::Spot) => Symbol::spot(asset(base), asset(quote)),
        (Some((base, quote)), Market::Linear) => Symbol::perpetual(asset(base), asset(quote), asset(quote)),
        (None, Market::Linear) => match native.strip_suffix("PERP") {
            Some(base) if !base.is_empty() => Symbol::perpetual(asset(base), "USDC", "USDC"),
            _ => Symbol::new(native),
        },
        (None, Market::Spot) => Symbol::new(native),
    }
}
