//! Kraken's `AssetPairs`: the socket's names are its `wsname`, mapped asset by asset, never by replacement in the text.

use crate::{
    json::{Cursor, Parsed},
    model::{Exchange, Symbol, symbol::canonical_asset},
    venue::Instrument,
};

/// `{"error":[],"result":{"XXBTZUSD":{"altname":"XBTUSD","wsname":"XBT/USD","status":"online",…}}}`. Version 2 of the socket
/// wants `BTC/USD`, so the native name is the canonical one.
pub fn parse(body: &str, at_ms: u64) -> Parsed<Vec<Instrument>> {
    let mut instruments = Vec::new();
    let mut cursor = Cursor::new(body);
    cursor.object(|cursor, key| match key {
        "result" => cursor.object(|cursor, _| {
            instruments.extend(instrument(cursor, at_ms)?);
            Ok(())
        }),
        _ => cursor.skip(),
    })?;
    cursor.end()?;
    Ok(instruments)
}

fn instrument(cursor: &mut Cursor<'_>, at_ms: u64) -> Parsed<Option<Instrument>> {
    let (mut name, mut trading) = (None, true);
    cursor.object(|cursor, key| {
        match key {
            "wsname" => name = Some(cursor.string()?),
            "status" => trading = cursor.string()? == "online",
            _ => cursor.skip()?,
        }
        Ok(())
    })?;
    Ok(name.map(|name| {
        let symbol = derive(&name, at_ms);
        Instrument { native: symbol.as_str().into(), symbol, trading }
    }))
}

/// `XBT/USD` is `BTC/USD`.
pub fn derive(native: &str, at_ms: u64) -> Symbol {
    let asset = |name| canonical_asset(Exchange::Kraken, name, at_ms);
    match native.split_once('/') {
        Some((base, quote)) => Symbol::spot(asset(base), asset(quote)),
        None => Symbol::new(native),
    }
}
