//! What the cluster is told.

use serde_json::{Value, json};
use tickwire_backplane::memory::MemoryBackplane;

use crate::platform::{Caller, Noted, Service, figures, new_session, until};

fn field<'a>(bodies: &'a [Value], field: &str) -> Vec<&'a str> {
    bodies.iter().filter_map(|body| body[field].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_transition_is_told_once_although_the_emitter_was_away() {
    let (noted, platform) = Noted::start().await;
    let service = Service::start(MemoryBackplane::new(), platform).await;
    let ann = Caller::user(service.address, "ann");
    noted.refuse(7);
    let id = ann.create().await;
    for verb in ["start", "pause", "resume", "stop"] {
        assert_eq!(ann.command(&id, verb).await.0, 200, "nobody waits for the emitter");
    }
    noted.set_accounts(vec![figures(&id, 9, "-12.50")]);
    until("the summary", async || !noted.told("session-completed").is_empty()).await;
    assert_eq!(noted.told("session-started").len(), 1);
    let statuses = noted.told("session-status");
    let mut transitions = field(&statuses, "status");
    transitions.dedup();
    assert_eq!(transitions, ["active", "paused", "active", "completed"]);
    let completed = noted.told("session-completed");
    assert_eq!(completed.len(), 1);
    assert_eq!(completed[0]["summary"]["finalPnL"], "-12.50");
    assert_eq!(completed[0]["summary"]["isSettled"], true);
    let records = noted.told("publish");
    let versions: Vec<u64> = records.iter().filter_map(|record| record["data"]["version"].as_u64()).collect();
    assert_eq!(versions, [1, 2, 3, 4, 5, 6], "every version of the record, in order");
    assert!(records.iter().all(|record| record["channel"] == "trading:sessions" && record["key"] == id.as_str()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_is_told_although_the_channel_of_records_is_full() {
    let (noted, platform) = Noted::start().await;
    let service = Service::start(MemoryBackplane::new(), platform).await;
    let ann = Caller::user(service.address, "ann");
    noted.fill();
    let id = ann.create().await;
    assert_eq!(ann.command(&id, "start").await.0, 200);
    until("the user is told", async || noted.told("session-started").len() == 1).await;
    assert!(noted.told("publish").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_ends_with_its_time() {
    let (noted, platform) = Noted::start().await;
    let service = Service::start(MemoryBackplane::new(), platform).await;
    let ann = Caller::user(service.address, "ann");
    let mut new = new_session();
    new["limits"]["timeLimitMs"] = json!(1_000);
    let (_, created) = ann.post("/v1/sessions", None, &new).await;
    let id = created["sessionId"].as_str().unwrap().to_owned();
    ann.command(&id, "start").await;
    let status = async || ann.get(&format!("/v1/sessions/{id}")).await.1["status"].as_str().unwrap().to_owned();
    until("the time is over", async || status().await == "expired").await;
    until("it is told", async || field(&noted.told("session-status"), "status").last() == Some(&"expired")).await;
    until("it is summed up as it is", async || noted.told("session-completed").len() == 1).await;
    assert_eq!(ann.command(&id, "resume").await.0, 409);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn figures_are_told_as_they_move_and_the_last_ones_always() {
    let (noted, platform) = Noted::start().await;
    let service = Service::start(MemoryBackplane::new(), platform).await;
    let ann = Caller::user(service.address, "ann");
    let id = ann.create().await;
    noted.set_accounts(vec![figures(&id, 9, "-25")]);
    ann.command(&id, "start").await;
    let has_figures = async || {
        let told = noted.told("session-status");
        told.last().is_some_and(|status| status["data"]["currentPnL"] == "-25")
    };
    until("the figures", has_figures).await;
    let told = noted.told("session-status");
    let data = &told.last().unwrap()["data"];
    assert_eq!((data["totalTrades"].as_u64(), data["lossLimitUtilization"].to_string()), (Some(3), "0.25".into()));
    assert_eq!(data["performanceScore"].to_string(), "0.375");
    assert!(data["timeElapsed"].is_u64());
}
