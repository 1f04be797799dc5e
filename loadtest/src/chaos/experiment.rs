//! Experiments, on a fleet of real processes with the shipped client.
//!
//! `reconnects`: clients are dropped for two seconds again and again while messages flow; what share of the messages arrives?
//! (`AnyCable` published 100 % for itself, 87.0 % for `uWebSockets`, 84.6 % for Socket.IO.)
//!
//! `rolling-restart`: every edge is drained and started again under load; what is lost, what is doubled, how long does a
//! client wait?

use std::{fmt, path::Path, process::ExitCode, sync::Arc, time::Duration};

use tickwire_protocol::time::now_ms;
use tokio::time::sleep;

use super::{
    crowd::{Crowd, Size},
    failovers,
    fleet::{COUNTS, DRAIN_MS, Fleet},
    ledger::{ChannelLedger, ReaderLog},
    proxy::{Cut, Proxy},
    reading::Reading,
    say,
    schedule::Topology,
    verdict::DRAIN_GRACE_MS,
};

/// Which one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Experiment {
    /// Clients dropped for two seconds again and again.
    Reconnects,
    /// All edges drained and started again, one after the other.
    RollingRestart,
    /// Critical alerts while primaries of Redis and emitters die; judged by what became of the alerts.
    Failovers,
}

impl fmt::Display for Experiment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reconnects => "reconnects",
            Self::RollingRestart => "rolling-restart",
            Self::Failovers => "failovers",
        })
    }
}

/// How often clients are dropped, and for how long, and how long they have between.
const DROPS: u32 = 10;
const DROPPED: Duration = Duration::from_secs(2);
const BETWEEN: Duration = Duration::from_secs(3);
/// A channel's messages.
const EVERY: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(120);

/// What came of what was owed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) owed: u64,
    pub(crate) delivered: u64,
    pub(crate) doubled: u64,
    /// Told that they are gone: lost all the same.
    pub(crate) told: u64,
}

impl Tally {
    /// Counts what each reader was owed of what was acknowledged, and what of it the reader's user saw.
    pub(crate) fn of(channels: &[ChannelLedger], readers: &[ReaderLog]) -> Self {
        let mut tally = Self::default();
        for log in readers {
            let reading = Reading::of(log);
            let mut positions: Vec<_> = channels[log.channel].acks.iter().map(|ack| ack.position).collect();
            positions.sort_unstable();
            positions.dedup();
            let owed = positions.iter().filter(|&&position| reading.start.is_some_and(|start| position > start));
            let (told, missing) = owed.clone().fold((0, 0), |(told, missing), &position| {
                (told + u64::from(reading.was_told(position)), missing + u64::from(reading.is_owed(position)))
            });
            let owed = owed.count() as u64;
            tally.owed += owed;
            tally.told += told;
            tally.doubled += reading.doubled;
            tally.delivered += owed.saturating_sub(told + missing);
        }
        tally
    }

    /// In hundredths of a per cent, rounded down: 10,000 is everything.
    pub(crate) fn share(&self) -> u64 {
        (self.delivered * 10_000).checked_div(self.owed).unwrap_or(0)
    }
}

/// Runs one and prints what came of it; a failure by exit code if anything was lost or doubled.
#[allow(clippy::print_stdout, reason = "the result of a command")]
pub(crate) async fn run(
    experiment: Experiment,
    topology: Topology,
    clients: usize,
    seed: u64,
    out: &Path,
) -> anyhow::Result<ExitCode> {
    if experiment == Experiment::Failovers {
        return Box::pin(failovers::run(topology, clients, seed, out)).await;
    }
    let directory = out.join(format!("{experiment}-{}", now_ms()));
    let fleet = Arc::new(Fleet::start(topology, directory).await?);
    // All of them with the shipped client: what counts is what its user sees.
    let size = Size { clients, sdk: clients, every: EVERY };
    let mut crowd = Crowd::new(size, 0)?;
    let entrance = Proxy::bind().await?.route(([127, 0, 0, 1], fleet.client_port).into(), None)?;
    crowd.connect(size, entrance.port()).await?;
    crowd.until_settled(PATIENCE).await?;
    crowd.publish(size, fleet.emitter_port)?;
    say(&format!("{experiment}: {} clients are connected and subscribed", crowd.connected()));
    sleep(BETWEEN).await;
    match experiment {
        Experiment::Reconnects => drop_again_and_again(&entrance).await,
        Experiment::RollingRestart | Experiment::Failovers => restart_all(&fleet, &crowd).await?,
    }
    crowd.stop_publishing().await?;
    let caught_up = crowd.until_caught_up(PATIENCE).await;
    crowd.disconnect().await?;
    let waits = crowd.longest_waits();
    let ledger = crowd.take_ledger();
    let tally = Tally::of(&ledger.channels, &ledger.readers);
    let share = tally.share();
    println!(
        "{experiment}: {clients} clients, {} deliveries owed, {}.{:02} % delivered, {} lost, {} doubled, {} connections",
        tally.owed,
        share / 100,
        share % 100,
        tally.owed - tally.delivered,
        tally.doubled,
        waits.connects
    );
    println!(
        "longest wait of a client for a message, publish to delivery: median {} ms, p99 {} ms, greatest {} ms",
        waits.median_ms, waits.p99_ms, waits.max_ms
    );
    let is_whole = caught_up && tally.owed > 0 && tally.delivered == tally.owed && tally.doubled == 0;
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn drop_again_and_again(entrance: &Proxy) {
    for number in 1..=DROPS {
        entrance.refuse(true);
        entrance.cut(Cut::Reset, 100);
        sleep(DROPPED).await;
        entrance.refuse(false);
        say(&format!("dropped {number} of {DROPS} times"));
        sleep(BETWEEN).await;
    }
}

async fn restart_all(fleet: &Fleet, crowd: &Crowd) -> anyhow::Result<()> {
    for edge in 0..COUNTS.edges {
        let code = fleet.drain(edge, Duration::from_millis(DRAIN_MS + DRAIN_GRACE_MS)).await?;
        anyhow::ensure!(code == Some(0), "edge {edge} did not drain in time: {code:?}");
        fleet.until_ready(PATIENCE).await?;
        say(&format!("edge {edge} restarted, {} clients are connected", crowd.connected()));
        sleep(BETWEEN).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tickwire_protocol::Position;

    use super::*;
    use crate::chaos::ledger::{Ack, Sight};

    fn channel() -> ChannelLedger {
        let ack = |number| Ack { number, position: Position::new(1, number), is_duplicate: false, at_ms: 0 };
        ChannelLedger { acks: (1..=10).map(ack).collect(), ..ChannelLedger::default() }
    }

    fn tally(runs: &[(u64, u64)]) -> Tally {
        let joined = Sight::Joined { at_ms: 0, position: Position::new(1, 0), recovered: false };
        let runs = runs.iter().map(|&(first, last)| Sight::Run { epoch: 1, first, last });
        let sights = std::iter::once(joined).chain(runs).collect();
        Tally::of(&[channel()], &[ReaderLog { sights, ..ReaderLog::default() }])
    }

    #[test]
    fn everything_is_a_hundred_per_cent_and_one_less_is_not() {
        assert_eq!(tally(&[(1, 10)]), Tally { owed: 10, delivered: 10, doubled: 0, told: 0 });
        assert_eq!(tally(&[(1, 10)]).share(), 10_000);
        assert_eq!(tally(&[(1, 4), (6, 10)]).share(), 9_000);
        assert_eq!(tally(&[(1, 9)]).share(), 9_000);
        assert_eq!(tally(&[(1, 4), (4, 10)]).doubled, 1);
    }
}
