//! The edge on the memory backplane, publishing to itself.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context;
use tickwire_auth::{
    AuthConfig, Secret,
    issue::{Signer, TokenClaims},
};
use tickwire_backplane::{Backplane, Publish, memory::MemoryBackplane};
use tickwire_edge::config::{Config, LimitsConfig};
use tickwire_protocol::{ChannelName, RawJson, UserId, namespace::Namespaces};
use tokio_util::sync::CancellationToken;

use crate::{
    CHANNELS, PAYLOAD_BYTES, RATE,
    process::{for_each_line, say},
};

/// Where everything is published, a number behind it: `volatile` without history, so that the path measured is the fan-out alone.
pub(crate) const CHANNEL: &str = "public:bench";
const SECRET: &str = "a secret for this benchmark alone";

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A token that both roles agree on.
pub(crate) fn token() -> anyhow::Result<String> {
    Ok(Signer::new(&Secret::from(SECRET))?.sign(&TokenClaims::new(UserId::new("bench")?))?)
}

/// Serves until standard input ends; with certificate and key, TLS.
pub(crate) fn serve(pair: Option<(&String, &String)>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let _entered = runtime.enter();
    let backplane: Arc<dyn Backplane> = MemoryBackplane::new();
    let listener = tickwire_edge::listen(([127, 0, 0, 1], 0).into())?;
    let address = listener.local_addr()?;
    let auth = AuthConfig { hs256_secret: Some(Secret::from(SECRET)), ..AuthConfig::default() };
    let limits = LimitsConfig { connections_per_ip: 0, connections_per_user: 0, ..LimitsConfig::default() };
    let mut config = Config { auth, limits, ..Config::default() };
    if let Some((cert, key)) = pair {
        config.edge.tls_cert_file = Some(cert.into());
        config.edge.tls_key_file = Some(key.into());
    }
    runtime.spawn(tickwire_edge::run(config, listener, Arc::clone(&backplane), CancellationToken::new()));
    say(&format!("listening {address}"))?;
    let channels: Vec<_> =
        (0..CHANNELS).map(|number| ChannelName::new(&format!("{CHANNEL}{number}"))).collect::<Result<_, _>>()?;
    let policy = Namespaces::default().policy(&channels[0]).context("policy")?.clone();
    let data = RawJson::of(&format!("|{}", "x".repeat(usize::from(PAYLOAD_BYTES) - 3)))?;
    for_each_line(|line| {
        let message = |at: usize| Publish::new(channels[at % CHANNELS].clone(), policy.clone(), data.clone());
        if let Some(paced) = line.strip_prefix("pace ") {
            let begun = Instant::now();
            for number in 0..paced.parse::<usize>()? {
                let due = begun + Duration::from_secs_f64(number as f64 / RATE as f64);
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                runtime.block_on(backplane.publish(message(number)))?;
            }
            return Ok(());
        }
        let messages: usize = line.strip_prefix("publish ").context("publish N")?.parse()?;
        let batch = (0..messages).map(|_| message(0)).collect();
        for result in runtime.block_on(backplane.publish_batch(batch)) {
            result?;
        }
        Ok(())
    })
}
