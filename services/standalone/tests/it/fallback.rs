use serde_json::Value;

use crate::cluster::{Cluster, message, publish_numbers, soon, token};

/// The numbers among the messages of a poll's answer, and where to go on.
fn numbers(answer: &str) -> (Vec<u64>, String) {
    let answer: Value = serde_json::from_str(answer).unwrap();
    let next = answer["next"].as_str().unwrap_or_else(|| panic!("no next: {answer}")).to_owned();
    let messages = answer["messages"].as_array().unwrap_or_else(|| panic!("no messages: {answer}"));
    (messages.iter().filter_map(|message| message["data"].as_u64()).collect(), next)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sse_and_polling_recover_the_same_messages() {
    let cluster = Cluster::start().await;
    let first = cluster.emitter.publish(message("session:f", "0")).await.unwrap().position.unwrap();
    publish_numbers(&cluster.emitter, "session:f", 1..6).await;
    let http = reqwest::Client::new();
    let id = format!("session:f@{first}");

    let url = cluster.edges[0].http("/sse?channels=session:f");
    let mut answer = http.get(url).bearer_auth(token("7")).header("last-event-id", &id).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let mut text = String::new();
    while !text.contains("\"data\":5") {
        let chunk = soon("an event", answer.chunk()).await.unwrap().expect("the stream goes on");
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    let by_sse: Vec<u64> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .filter_map(|data| serde_json::from_str::<Value>(data).ok())
        .flat_map(|frame| match frame["type"].as_str() {
            Some("message") => vec![frame],
            _ => frame["messages"].as_array().cloned().unwrap_or_default(),
        })
        .filter_map(|message| message["data"].as_u64())
        .collect();
    assert_eq!(by_sse, [1, 2, 3, 4, 5], "{text}");

    let mut by_poll = Vec::new();
    let mut since = id;
    while by_poll.len() < 5 {
        let url = cluster.edges[1].http(&format!("/poll?channels=session:f&since={since}&wait=5"));
        let answer = soon("a poll", http.get(url).bearer_auth(token("7")).send()).await.unwrap();
        assert_eq!(answer.status(), 200);
        let (messages, next) = numbers(&answer.text().await.unwrap());
        by_poll.extend(messages);
        since = next;
    }
    assert_eq!(by_poll, by_sse);
}
