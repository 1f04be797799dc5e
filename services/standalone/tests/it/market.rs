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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_is_told_where_the_feed_is_and_may_ask_it() {
    let standalone = Standalone::with_market(emitter_config(), Market::Replayed).await;
    let page = reqwest::get(format!("http://{}/", standalone.edge)).await.unwrap();
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    let settings = reqwest::get(format!("http://{}/dashboard.json", standalone.edge)).await.unwrap();
    let settings: serde_json::Value = settings.json().await.unwrap();
    let feed = settings["services"]["feed"].as_str().unwrap();
    assert!(policy.contains(feed), "the page may reach {feed}: {policy}");
    for (origin, allowed) in [(format!("http://{}", standalone.edge), true), ("https://evil.example".to_owned(), false)]
    {
        let asked = reqwest::Client::new().get(format!("{feed}/v1/feeds")).header("origin", &origin);
        let answer = asked.send().await.unwrap();
        assert_eq!(answer.headers().contains_key("access-control-allow-origin"), allowed, "{origin}");
        let feeds: serde_json::Value = answer.json().await.unwrap();
        assert!(feeds["venues"].is_object(), "{feeds}");
    }
    standalone.stop().await;
}
