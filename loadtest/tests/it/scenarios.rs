//! Every scenario, short and small, against real servers: its account is clean.

use tickwire_loadtest::{RunRecord, Settings, record::Measure, run};

use crate::cluster::Cluster;

async fn record(settings: &Settings) -> RunRecord {
    let record = run(settings, Vec::new(), |_| {}).await.unwrap();
    assert_eq!(record.totals.absent, 0, "{:?}", record.totals);
    record
}

async fn clean(settings: &Settings) -> RunRecord {
    let record = record(settings).await;
    assert!(record.totals.is_clean(), "{:#?}\n{:#?}", record.totals, record.faults);
    assert_eq!(record.totals.uncertain, 0, "{:?}", record.notes);
    record
}

fn count(record: &RunRecord, measure: Measure) -> u64 {
    record.distribution(measure).map_or(0, |distribution| distribution.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connects_and_publishes_nothing() {
    let cluster = Cluster::standalone().await;
    let record = clean(&cluster.settings("--scenario idle --connections 30 --duration 1")).await;
    assert_eq!((record.totals.connects, record.totals.published, record.totals.delivered), (30, 0, 0));
    assert_eq!(count(&record, Measure::Connect), 30);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fanout_reaches_every_client_with_every_message() {
    let cluster = Cluster::standalone().await;
    let record = clean(&cluster.settings("--scenario fanout --connections 30 --duration 1 --rate 30")).await;
    assert!(record.totals.published >= 10);
    assert_eq!(record.totals.expected, record.totals.published * 30);
    assert_eq!(record.totals.delivered, record.totals.expected);
    assert_eq!(count(&record, Measure::Delivery), record.totals.delivered);
    assert_eq!(record.seconds.iter().map(|second| second.delivered).sum::<u64>(), record.totals.delivered);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fanout_without_packing_is_the_same() {
    let cluster = Cluster::standalone().await;
    let flags = "--scenario fanout --connections 10 --duration 1 --rate 30 --unpacked --payload 2000";
    let record = clean(&cluster.settings(flags)).await;
    assert_eq!(record.totals.delivered, record.totals.published * 10);
    assert!(record.totals.received_bytes > record.totals.delivered * 2_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ticks_end_with_the_last_value_of_every_channel() {
    let cluster = Cluster::standalone().await;
    let record = clean(&cluster.settings("--scenario ticks --connections 30 --duration 1")).await;
    assert_eq!(record.totals.expected, 300, "one last value for each of ten channels");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ticks_reach_sse_and_polling_clients() {
    let cluster = Cluster::standalone().await;
    let flags = "--scenario ticks --connections 12 --duration 1 --rate 5 --sse-share 0.5 --poll-share 0.5";
    let record = clean(&cluster.settings(flags)).await;
    assert_eq!(count(&record, Measure::Delivery), 0);
    assert!(count(&record, Measure::DeliveryFallback) > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reliable_messages_reach_sse_and_polling_clients_each_once() {
    let cluster = Cluster::standalone().await;
    let flags = "--scenario fanout --connections 12 --duration 1 --rate 20 --sse-share 0.5 --poll-share 0.5";
    let record = clean(&cluster.settings(flags)).await;
    assert_eq!(record.totals.delivered, record.totals.published * 12);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inbox_messages_arrive_and_critical_ones_are_acknowledged() {
    let cluster = Cluster::standalone().await;
    let record = clean(&cluster.settings("--scenario inbox --connections 20 --duration 2 --rate 5")).await;
    assert_eq!(record.totals.delivered, record.totals.published);
    assert!(record.totals.acknowledged > 0);
    assert!(count(&record, Measure::DeliveryCritical) >= record.totals.acknowledged);
    assert!(count(&record, Measure::Ack) > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mixed_day_on_two_edges_and_a_redis_is_clean() {
    let cluster = Cluster::on_redis().await;
    let flags = "--scenario mixed --connections 40 --duration 2 --sse-share 0.1 --poll-share 0.1";
    let record = clean(&cluster.settings(flags)).await;
    assert!(count(&record, Measure::Delivery) > 0);
    assert!(count(&record, Measure::DeliverySlow) > 0);
    assert!(count(&record, Measure::DeliveryFallback) > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_at_two_edges_and_a_redis_loses_nothing() {
    let cluster = Cluster::on_redis().await;
    let record = clean(&cluster.settings("--scenario storm --connections 40 --duration 3")).await;
    assert!(record.totals.reconnects >= 40, "{:?}", record.totals);
    assert!(record.totals.recoveries > 0);
    assert_eq!(record.totals.recoveries_failed, 0);
    assert!(count(&record, Measure::Recovery) >= 40);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn churn_loses_nothing() {
    let cluster = Cluster::standalone().await;
    let record = clean(&cluster.settings("--scenario churn --connections 30 --duration 2 --churn-rate 10")).await;
    assert!(record.totals.reconnects >= 5, "{:?}", record.totals);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_readers_get_the_last_values() {
    let cluster = Cluster::standalone().await;
    let flags = "--scenario slow --connections 12 --duration 2 --slow-share 0.25 --slow-kbit 256";
    let record = clean(&cluster.settings(flags)).await;
    assert!(count(&record, Measure::DeliverySlow) > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spike_publishes_ten_times_as_much() {
    let cluster = Cluster::standalone().await;
    let record = clean(&cluster.settings("--scenario spike --connections 10 --duration 6")).await;
    assert!(record.seconds.iter().any(|second| second.phase == "spike"));
    // 50 channels at 2 a second: 100 a second for four seconds and 1,000 for two, of which one at least is a whole second.
    assert!(record.totals.published > 1_200, "{:?}", record.totals);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_soak_is_a_mixed_day_with_some_churn() {
    let cluster = Cluster::standalone().await;
    let record = clean(&cluster.settings("--scenario soak --connections 20 --duration 2 --churn-rate 3")).await;
    assert!(record.totals.reconnects > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_secret_is_told_as_what_the_edge_said() {
    let cluster = Cluster::standalone().await;
    let mut settings = cluster.settings("--scenario idle --connections 1 --duration 1");
    settings.secret = Some("quite another secret than theirs".into());
    settings.connect_patience_s = 1.0;
    let error = run(&settings, Vec::new(), |_| {}).await.unwrap_err();
    assert!(error.to_string().contains("http 401"), "{error}");
}
