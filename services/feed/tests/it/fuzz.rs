//! Fuzz targets: whatever bytes arrive on a connection, nothing panics. `cargo bolero test` runs them longer. They begin with the corpus in
//! `__fuzz__`: messages of the recordings, one of each kind, and acknowledgements, errors and notices that no recording has.

use std::{sync::Arc, time::Duration};

use tickwire_feed::{
    json::Cursor,
    model::{Exchange, Market},
    venue::{Adapter, Answer, Frame, Instruments, Moment, Setup},
};

/// Each line is a frame, or after `!` the answer to a fetch.
fn feed(exchange: Exchange, bytes: &[u8]) {
    let mut adapter = Adapter::new(Setup {
        exchange,
        market: Market::Spot,
        conn: Arc::from("fuzz"),
        instruments: Instruments::derived(exchange, Market::Spot),
        http: None,
        accept_all: true,
    });
    let mut now = Moment { mono_ms: 1, wall_ns: 1 };
    adapter.connected(now);
    for line in String::from_utf8_lossy(bytes).lines() {
        now.mono_ms += 997;
        match line.strip_prefix('!') {
            Some(body) => {
                let symbol = adapter.books().map(|(symbol, _)| symbol.clone()).next();
                if let Some(symbol) = symbol {
                    adapter.answered(&symbol, Answer::Body(body), now);
                }
            }
            None => adapter.frame(Frame::Text(line), now),
        }
        adapter.poll(now);
        adapter.effects().for_each(drop);
    }
    adapter.frame(Frame::Binary(bytes), now);
    adapter.disconnected(now);
}

macro_rules! targets {
    ($($name:ident: $exchange:ident),*) => {$(
        #[test]
        fn $name() {
            bolero::check!()
                .with_test_time(Duration::from_secs(1))
                .with_max_len(4_096)
                .for_each(|bytes: &[u8]| feed(Exchange::$exchange, bytes));
        }
    )*};
}

targets!(binance: Binance, coinbase: Coinbase, kraken: Kraken, bybit: Bybit, okx: Okx);

/// What a standard parser accepts, the cursor passes over wholly.
#[test]
fn cursor() {
    bolero::check!().with_test_time(Duration::from_secs(1)).with_max_len(512).for_each(|bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        let mut cursor = Cursor::new(&text);
        let passed = cursor.skip().and_then(|()| cursor.end());
        if serde_json::from_str::<serde_json::Value>(&text).is_ok() {
            assert_eq!(passed, Ok(()), "{text}");
        }
    });
}
