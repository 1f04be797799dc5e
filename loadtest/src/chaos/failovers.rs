//! The experiment `failovers`: many critical alerts while Redis' primary is killed or frozen again and again, and an emitter
//! with it, so that nobody is left to repeat what the emitter had acknowledged.

use std::{path::Path, process::ExitCode, sync::Arc, time::Duration};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tickwire_protocol::time::now_ms;
use tokio::time::sleep;

use super::{
    crowd::{Crowd, Size},
    fleet::{COUNTS, Fleet},
    say,
    schedule::{Fault, RedisNode, Service, Topology},
    verdict::{self, Outcome},
};

/// How often the primary is lost.
const FAILOVERS: usize = 8;
/// How long it is away, ms: a frozen one comes back before, while and after another takes its place.
const AWAY_MS: std::ops::Range<u64> = 1_000..5_000;
/// When the emitter dies, after the primary, ms; how long it is away.
const EMITTER_AFTER_MS: std::ops::Range<u64> = 0..2_500;
const EMITTER_AWAY: Duration = Duration::from_secs(1);
/// Alerts come this often, from each of those who send them.
const ALERT_EVERY: Duration = Duration::from_millis(200);
/// Between two failovers, when all is whole again.
const BETWEEN: Duration = Duration::from_secs(4);
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs it and prints the verdict on alerts; a failure by exit code if one was lost, or missing where it was owed.
#[allow(clippy::print_stdout, reason = "the result of a command")]
pub(crate) async fn run(topology: Topology, clients: usize, seed: u64, out: &Path) -> anyhow::Result<ExitCode> {
    let fleet = Arc::new(Fleet::start(topology, out.join(format!("failovers-{topology}-{seed}"))).await?);
    let size = Size { clients, sdk: 0, every: ALERT_EVERY * 2 };
    let mut crowd = Crowd::new(size, seed)?;
    crowd.connect(size, fleet.client_port).await?;
    crowd.until_settled(PATIENCE).await?;
    crowd.publish(size, fleet.emitter_port)?;
    say(&format!("failovers: {topology}, seed {seed}, {} clients are connected", crowd.connected()));
    let mut rng = StdRng::seed_from_u64(seed);
    for number in 0..FAILOVERS {
        sleep(BETWEEN).await;
        fail_over(&fleet, number, &mut rng).await?;
        say(&format!("failover {} of {FAILOVERS}: all is whole again", number + 1));
    }
    sleep(BETWEEN).await;
    crowd.stop_publishing().await?;
    let caught_up = crowd.until_caught_up(PATIENCE).await;
    let escalated = crowd.escalated(fleet.webhook.received());
    crowd.disconnect().await?;
    let mut ledger = crowd.take_ledger();
    (ledger.escalated, ledger.escalations_until_ms) = (escalated, now_ms());
    ledger.redis_faults = FAILOVERS as u64;
    ledger.alerts_are_replicated = topology == Topology::Sentinel;
    let mut broken = !caught_up;
    for verdict in verdict::judge(&ledger).into_iter().filter(|verdict| verdict.promise == "G4") {
        println!("{}", verdict.lines());
        broken |= verdict.outcome != Outcome::Held;
    }
    Ok(if broken { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// One primary lost and back, and one emitter.
async fn fail_over(fleet: &Fleet, number: usize, rng: &mut StdRng) -> anyhow::Result<()> {
    let node = RedisNode::Primary;
    let primary = if number.is_multiple_of(2) { Fault::FreezeRedis(node) } else { Fault::KillRedis(node) };
    let emitter = Fault::Kill(Service::Emitter(rng.random_range(0..COUNTS.emitters)));
    let away = Duration::from_millis(rng.random_range(AWAY_MS));
    let emitter_after = Duration::from_millis(rng.random_range(EMITTER_AFTER_MS));
    let redis = async {
        fleet.begin(primary).await?;
        sleep(away).await;
        fleet.end(primary).await
    };
    let emitters = async {
        sleep(emitter_after).await;
        fleet.begin(emitter).await?;
        sleep(EMITTER_AWAY).await;
        fleet.end(emitter).await
    };
    let (redis, emitters) = tokio::join!(redis, emitters);
    redis.and(emitters)?;
    anyhow::ensure!(fleet.redis.is_whole_within(PATIENCE).await, "Redis was not whole again in time");
    fleet.until_ready(PATIENCE).await
}
