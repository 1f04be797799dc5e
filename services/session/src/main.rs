//! Process entry: settings, the backplane, the listener, signals.

use std::{net::SocketAddr, process::ExitCode, sync::Arc};

use anyhow::Context;
use clap::Parser;
use serde::Deserialize;
use tickwire_auth::AuthConfig;
use tickwire_backplane::redis::{RedisBackplane, RedisConfig};
use tickwire_protocol::namespace::Policy;
use tickwire_session::{Config, SessionConfig};
use tickwire_telemetry::{TelemetryConfig, config, fail, probe, shutdown};
use tickwire_trading::TradingConfig;
use tokio::net::TcpListener;

/// The sections that a session service reads.
const SECTIONS: &[&str] = &["auth", "session", "trading", "namespaces", "telemetry", "backplane"];

/// Trading sessions: commands over HTTP, state in journals, events to the cluster.
///
/// Settings come from the file that `TICKWIRE_CONFIG` names and from `TICKWIRE_<SECTION>__<KEY>`; options here go first.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// Where to listen, address:port.
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// Where Redis is: redis://, rediss://, redis+sentinel:// or redis+cluster://.
    #[arg(long)]
    redis: Option<String>,
    /// Instead of serving, ask the service that listens here whether it is ready; the exit status tells.
    #[arg(long)]
    probe: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    auth: AuthConfig,
    session: SessionConfig,
    trading: TradingConfig,
    namespaces: std::collections::BTreeMap<String, Policy>,
    telemetry: TelemetryConfig,
    backplane: RedisConfig,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let settings: Settings = match config::load(SECTIONS) {
        Ok(settings) => settings,
        Err(error) => return fail(&error),
    };
    let Settings { auth, mut session, trading, namespaces, telemetry, mut backplane } = settings;
    session.listen = options.listen.unwrap_or(session.listen);
    if options.probe {
        return probe(session.listen);
    }
    backplane.url = options.redis.unwrap_or(backplane.url);
    let config = Config { auth, session, trading, namespaces, telemetry };
    let checked =
        tickwire_session::check(&config).map_err(anyhow::Error::from).and_then(|()| Ok(backplane.validate()?));
    if let Err(error) = checked {
        return fail(&format!("{error:#}"));
    }
    let telemetry = config.telemetry.clone();
    tickwire_telemetry::run(&telemetry, "tickwire-session", serve(config, backplane))
}

async fn serve(config: Config, redis: RedisConfig) -> anyhow::Result<()> {
    let shutdown = shutdown::on_signals();
    let place = redis.display_url();
    let backplane = RedisBackplane::connect(redis).await.with_context(|| format!("no backplane at {place}"))?;
    let listen = config.session.listen;
    let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    tickwire_session::run(config, listener, backplane as Arc<dyn tickwire_backplane::Backplane>, shutdown).await?;
    Ok(())
}
