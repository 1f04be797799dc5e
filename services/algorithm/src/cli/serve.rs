//! `tickwire-algorithm [--listen ADDR] [--redis URL]`: the service.

use std::{collections::BTreeMap, net::SocketAddr, process::ExitCode, sync::Arc};

use anyhow::Context;
use serde::Deserialize;
use tickwire_algorithm::{AlgorithmConfig, Config};
use tickwire_auth::AuthConfig;
use tickwire_backplane::{
    Backplane,
    redis::{RedisBackplane, RedisConfig},
};
use tickwire_protocol::namespace::Policy;
use tickwire_telemetry::{TelemetryConfig, config, fail, probe, shutdown};
use tickwire_trading::config::TradingConfig;
use tokio::net::TcpListener;

/// Options that go before the configuration.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Arguments {
    /// Where to listen, address:port.
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// Where Redis is: redis://, rediss://, redis+sentinel:// or redis+cluster://.
    #[arg(long)]
    redis: Option<String>,
    /// This instance's name.
    #[arg(long)]
    node: Option<String>,
    /// Instead of serving, ask the service that listens here whether it is ready; the exit status tells.
    #[arg(long)]
    probe: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    algorithm: AlgorithmConfig,
    auth: AuthConfig,
    trading: TradingConfig,
    namespaces: BTreeMap<String, Policy>,
    telemetry: TelemetryConfig,
    backplane: RedisConfig,
}

const SECTIONS: &[&str] = &["algorithm", "auth", "trading", "namespaces", "telemetry", "backplane"];

/// Until a signal.
pub(crate) fn run(arguments: Arguments) -> ExitCode {
    let settings: Settings = match config::load(SECTIONS) {
        Ok(settings) => settings,
        Err(error) => return fail(&error),
    };
    let Settings { mut algorithm, auth, trading, namespaces, telemetry, mut backplane } = settings;
    algorithm.listen = arguments.listen.unwrap_or(algorithm.listen);
    algorithm.node = arguments.node.unwrap_or(algorithm.node);
    if arguments.probe {
        return probe(algorithm.listen);
    }
    backplane.url = arguments.redis.unwrap_or(backplane.url);
    let config = Config { auth, trading, algorithm, namespaces, telemetry };
    let checked =
        tickwire_algorithm::check(&config).map_err(anyhow::Error::from).and_then(|()| Ok(backplane.validate()?));
    if let Err(error) = checked {
        return fail(&format!("{error:#}"));
    }
    let telemetry = config.telemetry.clone();
    tickwire_telemetry::run(&telemetry, "tickwire-algorithm", serve(config, backplane))
}

async fn serve(config: Config, redis: RedisConfig) -> anyhow::Result<()> {
    let shutdown = shutdown::on_signals();
    let place = redis.display_url();
    let backplane = RedisBackplane::connect(redis).await.with_context(|| format!("no backplane at {place}"))?;
    let listen = config.algorithm.listen;
    let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    tickwire_algorithm::run(config, listener, backplane as Arc<dyn Backplane>, shutdown).await?;
    Ok(())
}
