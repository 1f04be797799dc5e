use crate::{
    cluster::{Standalone, message},
    raw::Raw,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_published_message_arrives_with_its_position() {
    let standalone = Standalone::start().await;
    let mut raw = Raw::connect(&standalone.ws("/ws"), "dev", Some("tickwire.v1.json")).await;
    assert_eq!(raw.subprotocol.as_deref(), Some("tickwire.v1.json"));
    assert_eq!(raw.of_type("connected").await["userId"], "dev");
    raw.send(r#"{"id":2,"type":"subscribe","channels":["room:lobby"]}"#).await;
    let subscribed = raw.of_type("subscribed").await;
    assert_eq!((&subscribed["id"], &subscribed["class"]), (&2.into(), &"reliable".into()));
    let published = standalone.emitter.publish(message("room:lobby", r#"{"price":"64213.10"}"#)).await.unwrap();
    let arrived = raw.of_type("message").await;
    assert_eq!(arrived["position"], published.position.unwrap().to_string());
    assert_eq!(arrived["data"]["price"], "64213.10");
    standalone.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_stands_at_the_root_under_a_strict_policy() {
    let standalone = Standalone::start().await;
    let page = reqwest::get(format!("http://{}/", standalone.edge)).await.unwrap();
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert!(page.text().await.unwrap().contains("<title>Tickwire</title>"));
    let get = async |path: &str| reqwest::get(format!("http://{}{path}", standalone.edge)).await.unwrap();
    let settings: serde_json::Value = get("/dashboard.json").await.json().await.unwrap();
    let emitter = settings["services"]["emitter"].as_str().unwrap();
    assert!(policy.contains(emitter), "the page may reach {emitter}: {policy}");
    assert_eq!(get("/development.json").await.status(), 404, "tokens of a secret that others chose are not given away");
    let address = format!("{emitter}/v1/nodes");
    let own = format!("http://{}", standalone.edge);
    for (origin, allowed) in [(own.as_str(), true), ("https://evil.example", false)] {
        let preflight = reqwest::Client::new().request(reqwest::Method::OPTIONS, &address);
        let preflight = preflight.header("origin", origin).header("access-control-request-method", "GET");
        let answer = preflight.send().await.unwrap();
        assert_eq!(answer.headers().contains_key("access-control-allow-origin"), allowed, "{origin}");
    }
    standalone.stop().await;
}
