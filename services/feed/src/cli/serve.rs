//! `tickwire-feed [--listen ADDR] [--redis URL]`: the service.

use std::{collections::BTreeMap, net::SocketAddr, process::ExitCode, sync::Arc};

use anyhow::Context;
use serde::Deserialize;
use tickwire_backplane::{
    Backplane,
    redis::{RedisBackplane, RedisConfig},
};
use tickwire_feed::{Config, FeedConfig};
use tickwire_protocol::namespace::Policy;
use tickwire_telemetry::{TelemetryConfig, config, fail, fail_init, shutdown};
use tokio::net::TcpListener;

/// Options that go before the configuration.
#[derive(Debug, clap::Args)]
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
    feed.node = arguments.node.unwrap_or(feed.node);
    backplane.url = arguments.redis.unwrap_or(backplane.url);
    if let Err(error) = feed.validate() {
        return fail(&error);
    }
    let config = Config { feed, namespaces, telemetry };
    let _telemetry = match tickwire_telemetry::init(&config.telemetry, "tickwire-feed") {
        Ok(guard) => guard,
        Err(error) => return fail_init(&error),
    };
    match serve(config, backplane) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn serve(config: Config, redis: RedisConfig) -> anyhow::Result<()> {
    tokio::runtime::Runtime::new().context("no runtime")?.block_on(async {
        let shutdown = shutdown::on_signals();
        let place = redis.display_url();
        let backplane = RedisBackplane::connect(redis).await.with_context(|| format!("no backplane at {place}"))?;
        let listen = config.feed.listen;
        let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
        tickwire_feed::run(config, listener, backplane as Arc<dyn Backplane>, shutdown).await?;
        Ok(())
    })
}
