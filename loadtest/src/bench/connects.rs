//! Connect, authenticate, subscribe: how many a second a core can do, and how long one takes at half of that.

use std::{thread, time::Instant};

use super::{
    Bench,
    fanout::{SETTLE, channels},
    flock::{Flock, Gathering},
    median,
    servers::Cluster,
    table::{Findings, Goal, Row, Unit},
};
use crate::report::figures;

/// Handshakes in progress at once while the edges are driven as hard as the machine can.
const AT_ONCE: usize = 64;

pub(super) fn connects(bench: &Bench, findings: &mut Findings) -> anyhow::Result<()> {
    let connections = bench.size(5_000, 2_000);
    let cluster = Cluster::start(&bench.places, 2)?;
    let addresses: Vec<_> = cluster.edges.iter().map(|edge| edge.address).collect();
    let hard = Gathering { at_once: AT_ONCE, ..Gathering::new(addresses, &channels(1))? };
    let (mut per_core, mut achieved, mut p99) = (Vec::new(), Vec::new(), Vec::new());
    bench.runtime.block_on(async {
        for _ in 0..bench.size(3, 1) {
            let (begun, cpu) = (Instant::now(), cluster.edges_cpu()?);
            let flock = Flock::gather(connections, &hard).await?;
            let spent = cluster.edges_cpu()?.saturating_sub(cpu);
            per_core.push(connections as f64 / spent.as_secs_f64());
            achieved.push(connections as f64 / begun.elapsed().as_secs_f64());
            drop(flock);
            // The edges take note of every end before the next round.
            thread::sleep(SETTLE);
        }
        let half = median(achieved.clone()) / 2.0;
        let paced = Gathering { at_once: connections, rate_hz: Some(half), ..hard.clone() };
        for _ in 0..bench.size(3, 1) {
            let flock = Flock::gather(connections, &paced).await?;
            p99.push(flock.connecting.value_at_quantile(0.99) as f64);
            drop(flock);
            thread::sleep(SETTLE);
        }
        anyhow::Ok(())
    })?;
    let achieved = median(achieved);
    findings.rows.push(
        Row::new("connect, authenticate, subscribe, on a core of the edge", median(per_core), Unit::PerS)
            .goal(Goal::AtLeast(10_000.0))
            .note(format!(
                "connections by CPU time of the edges; {} a second on this machine with clients, Redis and edges on it",
                figures::rate(achieved)
            )),
    );
    findings.rows.push(
        Row::new(format!("p99 of that at {} a second", figures::rate(achieved / 2.0)), median(p99), Unit::Us)
            .goal(Goal::AtMost(50_000.0))
            .note("half of what the machine achieved; counted from when each was due"),
    );
    Ok(())
}
