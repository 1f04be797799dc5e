//! What a publish costs Redis.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use anyhow::Context;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::{
    Bench,
    fanout::{SETTLE, publish},
    flock::{Flock, Gathering},
    median,
    servers::Cluster,
    table::{Findings, Row, Unit},
};
use crate::report::figures;

/// Messages of one call to the emitter.
const BATCH: usize = 100;
/// Calls in progress at once.
const AT_ONCE: usize = 8;
const CHANNELS: usize = 50;
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn redis(bench: &Bench, findings: &mut Findings) -> anyhow::Result<()> {
    let cluster = Cluster::start(&bench.places, 2)?;
    let emitter = cluster.emitter_client()?;
    let messages = bench.size(30_000, 5_000);
    // `reliable`, as orders are: numbered, kept, trimmed and distributed to both edges.
    let names: Vec<String> = (0..CHANNELS).map(|index| format!("volatility:bench-{index}")).collect();
    let addresses = cluster.edges.iter().map(|edge| edge.address).collect();
    let (mut cpu_us, mut rates) = (Vec::new(), Vec::new());
    bench.runtime.block_on(async {
        let _flock = Flock::gather(2, &Gathering::new(addresses, &names)?).await?;
        tokio::time::sleep(SETTLE).await;
        for _ in 0..bench.size(3, 1) {
            let (begun, cpu) = (Instant::now(), cluster.redis.process.cpu_exact()?);
            stream::iter(0..messages / BATCH)
                .map(|index| publish(&emitter, &names[index % CHANNELS], BATCH))
                .buffer_unordered(AT_ONCE)
                .try_for_each(|()| async { Ok(()) })
                .await?;
            let spent = cluster.redis.process.cpu_exact()?.saturating_sub(cpu);
            cpu_us.push(spent.as_secs_f64() * 1e6 / messages as f64);
            rates.push(messages as f64 / begun.elapsed().as_secs_f64());
        }
        anyhow::Ok(())
    })?;
    let (cpu_us, rate) = (median(cpu_us), median(rates));
    let inside = function_us(cluster.redis.address)?;
    findings.rows.push(Row::new("publishes a second on a core of Redis", 1e6 / cpu_us, Unit::PerS).note(format!(
        "reliable, to two edges, batches of {BATCH}; {} a second through one emitter on this machine",
        figures::rate(rate)
    )));
    findings.rows.push(
        Row::new("CPU of Redis a publish", cpu_us, Unit::Us)
            .note(format!("the Function takes {inside:.1} µs by `INFO commandstats`, which counts time, not CPU")),
    );
    Ok(())
}

/// Mean time of one call of the publishing Function.
fn function_us(address: SocketAddr) -> anyhow::Result<f64> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"INFO commandstats\r\n")?;
    let mut reader = BufReader::new(stream);
    let mut header = String::new();
    reader.read_line(&mut header)?;
    let length = header.trim().strip_prefix('$').context("INFO is answered with a bulk string")?.parse()?;
    let mut text = vec![0; length];
    reader.read_exact(&mut text)?;
    per_call_us(&String::from_utf8_lossy(&text)).context("no function was called")
}

fn per_call_us(stats: &str) -> Option<f64> {
    let fields = stats.lines().find_map(|line| line.strip_prefix("cmdstat_fcall:"))?;
    fields.split(',').find_map(|field| field.strip_prefix("usec_per_call="))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_functions_time_is_read() {
        let stats = "# Commandstats\r\ncmdstat_fcall_ro:calls=1,usec=9,usec_per_call=9.00\r\n\
                     cmdstat_fcall:calls=10,usec=123,usec_per_call=12.30,rejected_calls=0\r\n";
        assert_eq!(per_call_us(stats).map(|us| format!("{us}")), Some("12.3".into()));
        assert!(per_call_us("").is_none());
    }
}
