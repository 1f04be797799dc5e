use tickwire_standalone::Market;

use crate::{
    cluster::{Standalone, emitter_config},
    raw::Raw,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded_market_data_flows_to_whoever_subscribes() {
    let standalone = Standalone::with_market(emitter_config(), Market::Replayed).await;
    let mut raw = Raw::connect(&standalone.ws("/ws"), "dev", None).await;
    raw.send(r#"{"type":"subscribe","channels":["ticker:binance:BTC/USDT"]}"#).await;
    let ticker = raw.of_type("message").await;
    assert_eq!((&ticker["data"]["type"], &ticker["data"]["replayed"]), (&"ticker".into(), &true.into()), "{ticker}");
    assert!(ticker["data"]["bid"].is_string(), "{ticker}");
    let mut raw = Raw::connect(&standalone.ws("/ws"), "dev", None).await;
    raw.send(r#"{"type":"subscribe","channels":[{"channel":"book:binance:BTC/USDT","params":{"depth":10}}]}"#).await;
    loop {
        let book = raw.of_type("message").await;
        if book["data"]["state"] == "live" && book["data"]["bids"].as_array().is_some_and(|bids| !bids.is_empty()) {
            break;
        }
    }
    standalone.stop().await;
}
