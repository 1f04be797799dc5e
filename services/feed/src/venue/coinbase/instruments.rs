//! Coinbase's products.

use crate::{
    json::{Cursor, Parsed},
    model::{Exchange, Symbol, symbol::canonical_asset},
    venue::Instrument,
};

/// `{"products":[{"product_id":"BTC-USD","status":"online","base_currency_id":"BTC","quote_currency_id":"USD",
/// "product_type":"SPOT",…}]}`.
pub fn parse(body: &str, at_ms: u64) -> Parsed<Vec<Instrument>> {
    let mut instruments = Vec::new();
    let mut cursor = Cursor::new(body);
    cursor.object(|cursor, key| match key {
        "products" => cursor.array(|cursor| {
            instruments.extend(instrument(cursor, at_ms)?);
            Ok(())
        }),
        _ => cursor.skip(),
    })?;
    cursor.end()?;
    Ok(instruments)
}

fn instrument(cursor: &mut Cursor<'_>, at_ms: u64) -> Parsed<Option<Instrument>> {
    let (mut native, mut base, mut quote) = Default::default();
    let (mut trading, mut spot) = (false, true);
    cursor.object(|cursor, key| {
        match key {
            "product_id" => native = Some(cursor.string()?),
            "base_currency_id" => base = Some(cursor.string()?),
            "quote_currency_id" => quote = Some(cursor.string()?),
            "status" => trading = cursor.string()? == "online",
            "product_type" => spot = cursor.string()? == "SPOT",
            _ => cursor.skip()?,
        }
        Ok(())
    })?;
    let (Some(native), Some(base), Some(quote), true) = (native, base, quote, spot) else { return Ok(None) };
    let asset = |name| canonical_asset(Exchange::Coinbase, name, at_ms);
    let symbol = Symbol::spot(asset(&base), asset(&quote));
    Ok(Some(Instrument { native: (&*native).into(), symbol, trading }))
}

/// Without metadata: split at the hyphen.
pub fn derive(native: &str, at_ms: u64) -> Symbol {
    let asset = |name| canonical_asset(Exchange::Coinbase, name, at_ms);
    match native.split_once('-') {
        Some((base, quote)) if !quote.contains('-') => Symbol::spot(asset(base), asset(quote)),
        _ => Symbol::new(native),
    }
}
