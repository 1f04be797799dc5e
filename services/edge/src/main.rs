//! `tickwire-edge`: an edge of a cluster on Redis.

use std::{collections::BTreeMap, net::SocketAddr, process::ExitCode, sync::Arc};

use anyhow::Context;
use clap::Parser;
use serde::Deserialize;
use tickwire_auth::AuthConfig;
use tickwire_backplane::redis::{RedisBackplane, RedisConfig};
use tickwire_edge::{
    Config,
    config::{EdgeConfig, LimitsConfig},
};
use tickwire_protocol::namespace::Policy;
use tickwire_telemetry::{TelemetryConfig, config, fail, fail_init, probe, shutdown};

/// Many small, short-lived buffers on several threads: after a storm of connections mimalloc keeps the least (measured).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Serves WebSocket, SSE and long-polling clients of a Tickwire cluster. Further settings come from `TICKWIRE_CONFIG` (a TOML
/// file) and from `TICKWIRE_<SECTION>__<KEY>`.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Where to listen, such as `0.0.0.0:8000`.
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// Redis: `redis://…`, `redis+sentinel://…` or `redis+cluster://…`.
    #[arg(long)]
    redis: Option<String>,
    /// This node's name, unique in the cluster.
    #[arg(long)]
    node: Option<String>,
    /// Instead of serving, ask the edge that listens here whether it is ready; the exit status tells. Speaks no TLS.
    #[arg(long)]
    probe: bool,
}

/// The sections that an edge reads.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    auth: AuthConfig,
    limits: LimitsConfig,
    edge: EdgeConfig,
    backplane: RedisConfig,
    namespaces: BTreeMap<String, Policy>,
    telemetry: TelemetryConfig,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let is_probe = arguments.probe;
    let settings = match settings(arguments) {
        Ok(settings) => settings,
        Err(error) => return fail(&format!("{error:#}")),
    };
    if is_probe {
        return probe(settings.edge.listen);
    }
    let _guard = match tickwire_telemetry::init(&settings.telemetry, "tickwire-edge") {
        Ok(guard) => guard,
        Err(error) => return fail_init(&error),
    };
    match serve(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "the edge cannot run");
            ExitCode::FAILURE
        }
    }
}

/// Everything that can be found wrong before a port is bound.
fn settings(arguments: Arguments) -> anyhow::Result<Settings> {
    let sections = ["auth", "limits", "edge", "backplane", "namespaces", "telemetry"];
    let mut settings: Settings = config::load(&sections)?;
    let Settings { edge, backplane, .. } = &mut settings;
    edge.listen = arguments.listen.unwrap_or(edge.listen);
    backplane.url = arguments.redis.unwrap_or(std::mem::take(&mut backplane.url));
    edge.node = arguments.node.unwrap_or(std::mem::take(&mut edge.node));
    settings.auth.validate()?;
    settings.edge.validate()?;
    settings.backplane.validate()?;
    Ok(settings)
}

fn serve(settings: Settings) -> anyhow::Result<()> {
    let Settings { auth, limits, edge, backplane, namespaces, telemetry } = settings;
    let runtime = tokio::runtime::Runtime::new().context("no runtime")?;
    runtime.block_on(async {
        let shutdown = shutdown::on_signals();
        let site = edge.site()?;
        let backplane = RedisBackplane::connect(backplane).await?;
        let listener =
            tickwire_edge::listen(edge.listen).with_context(|| format!("cannot listen on {}", edge.listen))?;
        tracing::info!(addr = %listener.local_addr()?, node = edge.node, "listening");
        let config = Config { auth, limits, edge, namespaces, telemetry, site };
        let serving: Arc<dyn tickwire_backplane::Backplane> = backplane;
        tickwire_edge::run(config, listener, serving, shutdown).await?;
        Ok(())
    })
}
