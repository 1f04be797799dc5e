//! `tickwire-feed [--listen ADDR] [--redis URL]`: the service.

use std::{collections::BTreeMap, net::SocketAddr, process::ExitCode, sync::Arc};

use anyhow::Context;
use serde::Deserialize;
use tickwire_backplane::{
    Backplane,
    redis::{RedisBackplane, RedisConfig},
};
use tickwire_feed::{Config, FeedConfig, Source, simulate::Demo};
use tickwire_protocol::namespace::Policy;
use tickwire_telemetry::{TelemetryConfig, config, fail, probe, shutdown};
use tokio::net::TcpListener;

/// Options that go before the configuration.
#[derive(Debug, clap::Args)]
#[group(id = "serve")]
pub(crate) struct Arguments {
    /// Where probes, metrics and `/v1/feeds` are served [default: 127.0.0.1:8002].
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// The backplane, `redis://…`.
    #[arg(long)]
    redis: Option<String>,
    /// This instance's name.
    #[arg(long)]
    node: Option<String>,
    /// Instead of serving, ask the feed that listens here whether it is ready; the exit status tells.
    #[arg(long)]
    probe: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    feed: FeedConfig,
    namespaces: BTreeMap<String, Policy>,
    telemetry: TelemetryConfig,
    backplane: RedisConfig,
}

const SECTIONS: [&str; 4] = ["feed", "namespaces", "telemetry", "backplane"];

/// Until a signal.
pub(crate) fn run(arguments: Arguments) -> ExitCode {
    let Settings { mut feed, namespaces, telemetry, mut backplane } = match config::load(&SECTIONS) {
        Ok(settings) => settings,
        Err(error) => return fail(&error),
    };
    feed.listen = arguments.listen.unwrap_or(feed.listen);
    if arguments.probe {
        return probe(feed.listen);
    }
    feed.node = arguments.node.unwrap_or(feed.node);
    backplane.url = arguments.redis.unwrap_or(backplane.url);
    let checked = feed.validate().map_err(anyhow::Error::from).and_then(|()| Ok(backplane.validate()?));
    if let Err(error) = checked {
        return fail(&format!("{error:#}"));
    }
    let config = Config { feed, namespaces, telemetry };
    let telemetry = config.telemetry.clone();
    tickwire_telemetry::run(&telemetry, "tickwire-feed", serve(config, backplane))
}

async fn serve(mut config: Config, redis: RedisConfig) -> anyhow::Result<()> {
    let shutdown = shutdown::on_signals();
    // Runs while it is held.
    let _demo = match config.feed.source {
        Source::Exchanges => None,
        Source::Recordings => {
            let demo = Demo::start().await.context("no simulated exchanges")?;
            tracing::warn!("recordings are replayed: this is not the market");
            config.feed.venues.clone_from(&demo.venues);
            Some(demo)
        }
    };
    let place = redis.display_url();
    let backplane = RedisBackplane::connect(redis).await.with_context(|| format!("no backplane at {place}"))?;
    let listen = config.feed.listen;
    let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    tickwire_feed::run(config, listener, backplane as Arc<dyn Backplane>, shutdown).await?;
    Ok(())
}
