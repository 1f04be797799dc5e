//! One run over several agents.

use std::{sync::Arc, time::Duration};

use clap::Parser;
use tickwire_loadtest::{
    RunRecord, Settings,
    agents::{AgentError, Agents, Layout, Secrets, SharedToken, coordinate, merge, serve, share},
    record::{Distribution, FaultKind, Measure, Second},
};
use tokio::{
    net::TcpListener,
    sync::{Notify, mpsc},
};

use crate::{cluster::Cluster, sample};

const TOKEN: &str = "a token of some length";

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    settings: Settings,
}

fn part(connections: u32) -> Settings {
    let words = ["test", "--scenario", "fanout", "--target", "ws://127.0.0.1:1", "--connections"];
    Flags::try_parse_from(words.iter().map(ToString::to_string).chain([connections.to_string()])).unwrap().settings
}

/// Every second value goes to the second part, all else is split at one third.
fn split(whole: &RunRecord, values: &[u64]) -> Vec<RunRecord> {
    let mut parts = vec![whole.clone(), whole.clone()];
    for (place, part) in parts.iter_mut().enumerate() {
        let mut distribution = Distribution::new();
        values.iter().skip(place).step_by(2).for_each(|&us| distribution.record_us(us));
        part.distributions = [(Measure::Delivery, distribution)].into();
        let share = |count: u64| if place == 0 { count / 3 } else { count - count / 3 };
        part.totals.expected = share(whole.totals.expected);
        part.totals.delivered = share(whole.totals.delivered);
        part.totals.lost = share(whole.totals.lost);
        for (part, whole) in part.totals.drops.values_mut().zip(whole.totals.drops.values()) {
            *part = share(*whole);
        }
        for (part, whole) in part.seconds.iter_mut().zip(&whole.seconds) {
            part.delivered = share(whole.delivered);
            part.connected = share(whole.connected);
        }
        part.run.settings.insert("connections".into(), "1000".into());
    }
    parts
}

#[test]
fn parts_joined_equal_the_run_of_one() {
    let values: Vec<u64> = (1..5_000).map(|value| value * value % 90_000).collect();
    let mut whole = sample::record();
    let mut distribution = Distribution::new();
    for &us in &values {
        distribution.record_us(us);
    }
    whole.distributions = [(Measure::Delivery, distribution)].into();
    let agents = ["a:1".to_owned(), "b:1".to_owned()];
    let joined = merge(split(&whole, &values), &agents).unwrap();
    assert_eq!(joined.distributions, whole.distributions);
    assert_eq!(joined.totals.expected, whole.totals.expected);
    assert_eq!(joined.totals.delivered, whole.totals.delivered);
    assert_eq!(joined.totals.lost, whole.totals.lost);
    assert_eq!(joined.totals.drops, whole.totals.drops);
    assert_eq!(joined.seconds.len(), whole.seconds.len());
    let course = |record: &RunRecord| -> Vec<_> {
        record.seconds.iter().map(|second| (second.at_ms, second.delivered, second.connected)).collect()
    };
    assert_eq!(course(&joined), course(&whole));
    assert_eq!(joined.run.agents, agents);
    let clients: Vec<u32> = joined.faults.iter().map(|fault| fault.client).collect();
    assert_eq!(clients, [812, 1_812], "clients of the second agent come after the first one's");
    assert!(joined.faults.iter().all(|fault| fault.kind == FaultKind::RecoveryFailed));
}

/// What these tests run: as many deliveries as connections, after telling two seconds.
async fn deliver(settings: Settings, seconds: mpsc::Sender<Second>) -> Result<RunRecord, String> {
    assert_eq!(settings.secret.as_deref(), Some("the agent's own"));
    for at in 1..=2 {
        let second = Second { at_ms: at * 1_000, delivered: 5, ..Second::default() };
        seconds.send(second).await.map_err(|error| error.to_string())?;
    }
    let mut record = sample::record();
    record.totals.delivered = settings.connections.into();
    record.run.settings.insert("connections".into(), settings.connections.to_string());
    Ok(record)
}

async fn agent<F, R>(run: F) -> String
where
    F: Fn(Settings, mpsc::Sender<Second>) -> R + Send + Sync + 'static,
    R: Future<Output = Result<RunRecord, String>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let secrets = Secrets { secret: Some("the agent's own".into()), ..Secrets::default() };
    tokio::spawn(serve(listener, SharedToken::new(TOKEN).unwrap(), secrets, run));
    address
}

fn agents(addresses: &[String], token: &str) -> Agents {
    Agents { addresses: addresses.to_vec(), token: SharedToken::new(token).unwrap() }
}

#[tokio::test]
async fn two_agents_do_their_parts_and_the_coordinator_joins_them() {
    let addresses = [agent(deliver).await, agent(deliver).await];
    let mut shown = Vec::new();
    let on_second = |second: &Second| shown.push((second.at_ms, second.delivered));
    let parts = coordinate(&agents(&addresses, TOKEN), vec![part(30), part(12)], on_second).await.unwrap();
    let whole = merge(parts, &addresses).unwrap();
    assert_eq!(whole.totals.delivered, 42);
    assert_eq!(whole.run.agents, addresses);
    assert_eq!(shown, [(1_000, 10), (2_000, 10)]);
}

#[tokio::test]
async fn a_coordinator_with_another_token_is_refused() {
    let address = agent(deliver).await;
    let strangers = agents(std::slice::from_ref(&address), "another token, also long");
    let error = coordinate(&strangers, vec![part(1)], |_| {}).await;
    assert!(matches!(error, Err(AgentError::Stranger(stranger)) if stranger == address));
}

#[tokio::test]
async fn an_agent_that_fails_is_named_and_ends_the_run_for_all() {
    let dropped = Arc::new(Notify::new());
    let until_dropped = Arc::clone(&dropped);
    let patient = agent(move |_, _| {
        let guard = TellsWhenDropped(Arc::clone(&until_dropped));
        async move {
            let _guard = guard;
            std::future::pending().await
        }
    });
    let failing = agent(|_, _| async { Err("no such edge\u{1b}[2J".to_owned()) });
    let addresses = [patient.await, failing.await];
    let all = agents(&addresses, TOKEN);
    let error = coordinate(&all, vec![part(1), part(1)], |_| {}).await.unwrap_err();
    assert_eq!(error.to_string(), format!("agent {} failed: no such edge[2J", addresses[1]));
    let stopped = tokio::time::timeout(Duration::from_secs(20), dropped.notified()).await;
    assert!(stopped.is_ok(), "the other agent goes on although its coordinator is gone");
}

struct TellsWhenDropped(Arc<Notify>);

impl Drop for TellsWhenDropped {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[tokio::test]
async fn an_agent_that_dies_fails_the_run_with_a_clear_sentence() {
    let dying = agent(|_, _| async { panic!("the agent dies") }).await;
    let addresses = [agent(deliver).await, dying];
    let error = coordinate(&agents(&addresses, TOKEN), vec![part(1), part(1)], |_| {}).await.unwrap_err();
    assert!(error.to_string().starts_with(&format!("agent {} is lost: ", addresses[1])), "{error}");
}

#[tokio::test]
async fn an_agent_works_for_one_coordinator_at_a_time() {
    let started = Arc::new(Notify::new());
    let starts = Arc::clone(&started);
    let address = agent(move |_, _| {
        starts.notify_one();
        std::future::pending()
    });
    let all = agents(&[address.await], TOKEN);
    let first = tokio::spawn({
        let all = all.clone();
        async move { coordinate(&all, vec![part(1)], |_| {}).await }
    });
    started.notified().await;
    let error = coordinate(&all, vec![part(1)], |_| {}).await.unwrap_err();
    assert!(error.to_string().ends_with("it is busy with another run"), "{error}");
    first.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_agents_load_one_cluster_and_their_accounts_are_clean_together() {
    let cluster = Cluster::standalone().await;
    let whole = cluster.settings("--scenario fanout --connections 21 --duration 1 --rate 20 --workers 1");
    let mut addresses = Vec::new();
    for _ in 0..2 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        addresses.push(listener.local_addr().unwrap().to_string());
        let secrets = Secrets { secret: whole.secret.clone(), token: None, api_key: whole.api_key.clone() };
        let token = SharedToken::new(TOKEN).unwrap();
        tokio::spawn(serve(listener, token, secrets, async |settings: Settings, _| {
            tickwire_loadtest::run(&settings, Vec::new(), |_| {}).await.map_err(|error| error.to_string())
        }));
    }
    let layout = Layout { channels: 1, channels_per_client: 1 };
    let parts = share(&whole, layout, "agents", addresses.len()).unwrap();
    let records = coordinate(&agents(&addresses, TOKEN), parts, |_| {}).await.unwrap();
    let record = merge(records, &addresses).unwrap();
    assert!(record.totals.is_clean(), "{:?}", record.totals);
    assert_eq!(record.totals.connects, 21);
    // Each agent has a channel of its own: every message of it reaches the agent's clients.
    assert!(record.totals.published > 0 && record.totals.delivered == record.totals.expected, "{:?}", record.totals);
    assert_eq!(record.distribution(Measure::Delivery).map(|all| all.len()), Some(record.totals.delivered));
}
