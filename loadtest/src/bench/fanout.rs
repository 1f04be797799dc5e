//! CPU for each delivery beside the raw loop, and memory after a storm of connects.

use std::{thread, time::Duration};

use tickwire_client::{Emitter, emitter::Outgoing};
use tickwire_protocol::{ChannelName, RawJson};
use tokio::time::{MissedTickBehavior, interval};

use super::{
    Bench,
    flock::{Flock, Gathering, MARK, PACKED, STEP},
    median,
    raw::{RawLoop, Writing},
    servers::Cluster,
    table::{Findings, Goal, Row, Unit},
};

/// Bytes of JSON in each message.
const PAYLOAD_BYTES: usize = 128;
/// Messages in one burst.
const BURST: usize = 16;
/// Until a server that has nothing to do holds what it keeps.
pub(super) const SETTLE: Duration = Duration::from_millis(1_500);

/// A string with one mark, `PAYLOAD_BYTES` long as JSON.
pub(super) fn payload() -> anyhow::Result<RawJson> {
    Ok(RawJson::of(&format!("{}{}", char::from(MARK), "x".repeat(PAYLOAD_BYTES - 3)))?)
}

/// Names of channels of the namespace without history or conflation, where nothing but fan-out happens.
pub(super) fn channels(count: usize) -> Vec<String> {
    (0..count).map(|index| format!("public:bench-{index}")).collect()
}

/// Publishes `count` messages to `channel` in one call.
pub(super) async fn publish(emitter: &Emitter, channel: &str, count: usize) -> anyhow::Result<()> {
    let channel = ChannelName::new(channel)?;
    let data = payload()?;
    let messages = (0..count).map(|_| Outgoing::new(channel.clone(), data.clone())).collect();
    for result in emitter.publish_batch(messages).await? {
        result?;
    }
    Ok(())
}

/// Costs of one side, microseconds of CPU for each delivery.
#[derive(Debug, Default)]
struct Costs {
    lone: Vec<f64>,
    burst: Vec<f64>,
}

/// A round on the edges: `rounds` times `messages` at once, each round delivered before the next.
async fn edge_round(
    cluster: &Cluster,
    emitter: &Emitter,
    flock: &Flock,
    connections: usize,
    [rounds, messages]: [usize; 2],
) -> anyhow::Result<f64> {
    let (begun, mut expected) = (cluster.edges_cpu()?, flock.messages());
    for _ in 0..rounds {
        publish(emitter, &channels(1)[0], messages).await?;
        expected += (messages * connections) as u64;
        flock.await_messages(expected).await?;
    }
    let spent = cluster.edges_cpu()?.saturating_sub(begun);
    Ok(spent.as_secs_f64() * 1e6 / (rounds * messages * connections) as f64)
}

/// The same on the raw loop.
async fn raw_round(
    raw: &mut RawLoop,
    flock: &Flock,
    connections: usize,
    [rounds, frames]: [usize; 2],
) -> anyhow::Result<f64> {
    let (begun, mut expected) = (raw.process.cpu_exact()?, flock.messages());
    for _ in 0..rounds {
        raw.write(Writing { rounds: 1, frames, pause: Duration::ZERO })?;
        expected += (frames * connections) as u64;
        flock.await_messages(expected).await?;
    }
    let spent = raw.process.cpu_exact()?.saturating_sub(begun);
    Ok(spent.as_secs_f64() * 1e6 / (rounds * frames * connections) as f64)
}

/// 1 channel to 2,000 connections, and what each connection holds.
pub(super) fn fanout(bench: &Bench, findings: &mut Findings) -> anyhow::Result<()> {
    let connections = bench.size(2_000, 1_000);
    let cluster = Cluster::start(&bench.places, 2)?;
    let emitter = cluster.emitter_client()?;
    thread::sleep(SETTLE);
    let empty = cluster.edges_anonymous_bytes()?;
    let addresses = cluster.edges.iter().map(|edge| edge.address).collect();
    // All at once: what a storm leaves behind is weighed, too.
    let gathering = Gathering { at_once: connections, ..Gathering::new(addresses, &channels(1))? };
    bench.runtime.block_on(async {
        let flock = Flock::gather(connections, &gathering).await?;
        tokio::time::sleep(SETTLE).await;
        let held = cluster.edges_anonymous_bytes()?.saturating_sub(empty);
        let memory = held as f64 / connections as f64;
        findings.rows.push(
            Row::new(
                format!("memory a subscribed connection after {connections} connected at once"),
                memory,
                Unit::Bytes,
            )
            .goal(Goal::AtMost(2_048.0))
            .note("anonymous memory of both edges, without what they held before the first client"),
        );
        // What a frame of the edge measures is what the raw loop writes.
        let before = flock.bytes();
        edge_round(&cluster, &emitter, &flock, connections, [1, 1]).await?;
        let frame_bytes = usize::try_from(flock.bytes() - before)? / connections;
        let mut raw = RawLoop::start(&bench.places, frame_bytes)?;
        let raw_flock = Flock::gather(connections, &Gathering::new(vec![raw.address], &channels(1))?).await?;
        let (mut edge_costs, mut raw_costs) = (Costs::default(), Costs::default());
        let lone = [bench.size(30, 10), 1];
        let burst = [bench.size(20, 5), BURST];
        for _ in 0..bench.size(5, 2) {
            raw_costs.lone.push(raw_round(&mut raw, &raw_flock, connections, lone).await?);
            edge_costs.lone.push(edge_round(&cluster, &emitter, &flock, connections, lone).await?);
            raw_costs.burst.push(raw_round(&mut raw, &raw_flock, connections, burst).await?);
            edge_costs.burst.push(edge_round(&cluster, &emitter, &flock, connections, burst).await?);
        }
        let what = format!("CPU a delivery, 1 channel to {connections}, one message at a time");
        findings.rows.push(
            Row::new(what, median(edge_costs.lone), Unit::Us)
                .beside(median(raw_costs.lone))
                .goal(Goal::RatioAtMost(1.25))
                .note("the edges' share includes receiving from Redis; a frame a message on both sides"),
        );
        let what = format!("CPU a delivery, 1 channel to {connections}, bursts of {BURST}");
        findings.rows.push(
            Row::new(what, median(edge_costs.burst), Unit::Us)
                .beside(median(raw_costs.burst))
                .note("the raw loop writes a burst as one buffer that it joined once for all"),
        );
        anyhow::Ok(())
    })
}

/// 10 channels each at 1,000 messages a second: batching pays.
pub(super) fn batches(bench: &Bench, findings: &mut Findings) -> anyhow::Result<()> {
    const RATE_HZ: usize = 1_000;
    let connections = bench.size(500, 200);
    let seconds = bench.size(5, 2);
    let cluster = Cluster::start(&bench.places, 2)?;
    let emitter = cluster.emitter_client()?;
    let addresses = cluster.edges.iter().map(|edge| edge.address).collect();
    let gathering = Gathering { headers: PACKED, ..Gathering::new(addresses, &channels(10))? };
    bench.runtime.block_on(async {
        let flock = Flock::gather(connections, &gathering).await?;
        let mut raw = RawLoop::start(&bench.places, 214)?;
        let raw_flock = Flock::gather(connections, &Gathering::new(vec![raw.address], &channels(1))?).await?;
        let (mut edge_costs, mut lone_costs, mut joined_costs) = (Vec::new(), Vec::new(), Vec::new());
        let mut batch = 1;
        for _ in 0..bench.size(5, 2) {
            let (messages, frames) = (flock.messages(), flock.frames());
            edge_costs.push(paced_round(&cluster, &emitter, &flock, connections, [RATE_HZ * seconds, RATE_HZ]).await?);
            let written = (flock.frames() - frames).max(1);
            batch = usize::try_from((flock.messages() - messages) / written)?.max(1);
            lone_costs.push(raw_round(&mut raw, &raw_flock, connections, [bench.size(100, 30), 1]).await?);
            joined_costs.push(raw_round(&mut raw, &raw_flock, connections, [bench.size(60, 20), batch]).await?);
        }
        let what = format!("CPU a delivery, 10 channels each, {RATE_HZ} messages/s to {connections}");
        let edge = median(edge_costs);
        findings.rows.push(
            Row::new(what.clone(), edge, Unit::Us)
                .beside(median(lone_costs))
                .goal(Goal::RatioAtMost(1.1))
                .note("beside a raw loop that writes each message by itself"),
        );
        findings.rows.push(
            Row::new(format!("… beside a raw loop that joins {batch} messages a write"), edge, Unit::Us)
                .beside(median(joined_costs))
                .note("as many as the edges put into one frame on average"),
        );
        anyhow::Ok(())
    })
}

/// One message each `1 / rate` seconds to the channels in turn, not waiting for answers; CPU for each delivery.
async fn paced_round(
    cluster: &Cluster,
    emitter: &Emitter,
    flock: &Flock,
    connections: usize,
    [messages, rate_hz]: [usize; 2],
) -> anyhow::Result<f64> {
    let names = channels(10);
    let (begun, expected) = (cluster.edges_cpu()?, flock.messages() + (messages * connections) as u64);
    let mut due = interval(Duration::from_secs_f64(1.0 / rate_hz as f64));
    due.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut publishing = tokio::task::JoinSet::new();
    for index in 0..messages {
        due.tick().await;
        let (emitter, channel) = (emitter.clone(), names[index % names.len()].clone());
        publishing.spawn(async move { publish(&emitter, &channel, 1).await });
        while let Some(result) = publishing.try_join_next() {
            result??;
        }
    }
    tokio::time::timeout(STEP, async {
        while let Some(result) = publishing.join_next().await {
            result??;
        }
        anyhow::Ok(())
    })
    .await??;
    flock.await_messages(expected).await?;
    Ok(cluster.edges_cpu()?.saturating_sub(begun).as_secs_f64() * 1e6 / (messages * connections) as f64)
}
