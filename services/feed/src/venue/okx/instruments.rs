//! OKX's instruments.

use crate::{
    json::{Cursor, Parsed},
    model::{Exchange, Symbol, symbol::canonical_asset},
    venue::Instrument,
};

/// `{"code":"0","data":[{"instId":"BTC-USDT-SWAP","instType":"SWAP","settleCcy":"USDT","state":"live",…}]}`. Metadata has held
/// numbers such as `"1.0E-7"`. Dated futures and options are left out.
pub fn parse(body: &str, at_ms: u64) -> Parsed<Vec<Instrument>> {
    let mut instruments = Vec::new();
    let mut cursor = Cursor::new(body);
    cursor.object(|cursor, key| match key {
        "data" => cursor.array(|cursor| {
            instruments.extend(instrument(cursor, at_ms)?);
            Ok(())
        }),
        _ => cursor.skip(),
    })?;
    cursor.end()?;
    Ok(instruments)
}

fn instrument(cursor: &mut Cursor<'_>, at_ms: u64) -> Parsed<Option<Instrument>> {
    let (mut native, mut trading) = (None, false);
    cursor.object(|cursor, key| {
        match key {
            "instId" => native = Some(cursor.string()?),
            "state" => trading = cursor.string()? == "live",
            _ => cursor.skip()?,
        }
        Ok(())
    })?;
    let symbol = native.as_deref().map(|native| derive(native, at_ms)).filter(|symbol| symbol.parts().is_some());
    Ok(native.zip(symbol).map(|(native, symbol)| Instrument { native: (&*native).into(), symbol, trading }))
}

/// `BTC-USDT` is spot; `BTC-USDT-SWAP` is settled in its quote currency, but `UNI-USD-SWAP` in its base currency. A dated future
/// keeps its name.
pub fn derive(native: &str, at_ms: u64) -> Symbol {
    let asset = |name| canonical_asset(Exchange::Okx, name, at_ms);
    let parts: Vec<_> = native.split('-').collect();
    match parts[..] {
        [base, quote] => Symbol::spot(asset(base), asset(quote)),
        [base, "USD", "SWAP"] => Symbol::perpetual(asset(base), "USD", asset(base)),
        [base, quote, "SWAP"] => Symbol::perpetual(asset(base), asset(quote), asset(quote)),
        _ => Symbol::new(native),
    }
}
