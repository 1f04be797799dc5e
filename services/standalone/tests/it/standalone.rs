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
    standalone.stop().await;
}
