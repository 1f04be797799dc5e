//! What more connections and more channels cost.

use std::thread;

use super::{
    Bench,
    fanout::{SETTLE, channels, publish},
    flock::{Flock, Gathering},
    median,
    servers::Cluster,
    table::{Cell, Findings},
};
use crate::processes::KernelSockets;

/// Deliveries of one round.
const DELIVERIES: usize = 60_000;

pub(super) fn growth(bench: &Bench, findings: &mut Findings) -> anyhow::Result<()> {
    let connections: &[usize] = if bench.is_quick { &[1_000, 3_000] } else { &[1_000, 3_000, 9_000] };
    for channels in [1, 10, 100] {
        for &connections in connections {
            findings.growth.push(cell(bench, connections, channels)?);
        }
    }
    Ok(())
}

/// A fresh cluster, so that nothing of the size before remains.
fn cell(bench: &Bench, connections: usize, channel_count: usize) -> anyhow::Result<Cell> {
    let cluster = Cluster::start(&bench.places, 2)?;
    let emitter = cluster.emitter_client()?;
    thread::sleep(SETTLE);
    let (empty, kernel_empty) = (cluster.edges_anonymous_bytes()?, KernelSockets::read()?);
    let addresses = cluster.edges.iter().map(|edge| edge.address).collect();
    let names = channels(channel_count);
    bench.runtime.block_on(async {
        let flock = Flock::gather(connections, &Gathering::new(addresses, &names)?).await?;
        tokio::time::sleep(SETTLE).await;
        let held = cluster.edges_anonymous_bytes()?.saturating_sub(empty);
        let kernel = KernelSockets::read()?;
        let of = |sockets: KernelSockets| sockets.buffer_bytes + sockets.slab_bytes;
        let kernel_held = of(kernel).saturating_sub(of(kernel_empty));
        let rounds = bench.size(5, 2);
        let messages = (DELIVERIES / connections).max(4);
        let (mut costs, mut expected) = (Vec::new(), flock.messages());
        for round in 0..=rounds {
            let begun = cluster.edges_cpu()?;
            for index in 0..messages {
                publish(&emitter, &names[(round + index) % names.len()], 1).await?;
                expected += connections as u64;
                flock.await_messages(expected).await?;
            }
            let spent = cluster.edges_cpu()?.saturating_sub(begun);
            // The first round warms up.
            if round > 0 {
                costs.push(spent.as_secs_f64() * 1e6 / (messages * connections) as f64);
            }
        }
        Ok(Cell {
            connections,
            channels: channel_count,
            delivery_us: median(costs),
            connection_bytes: held as f64 / connections as f64,
            kernel_bytes: kernel_held as f64 / connections as f64,
        })
    })
}
