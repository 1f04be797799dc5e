//! The compose file in the engine: it comes up, and what breaks while clients are on it loses nothing.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};

use super::{engine::Engine, environment, tools};
use crate::shell::{root, run_command};

const PROJECT: &str = "tickwire-test";
const CLIENTS: &str = "ws://127.0.0.1:8080";
const EMITTER: &str = "http://127.0.0.1:8001";
const FEEDS: &str = "http://127.0.0.1:8002/v1/feeds";
/// What the feed feeds without being asked.
const PINNED: &str = "book:binance:BTC/USDT,ticker:binance:BTC/USDT,trades:binance:BTC/USDT";
/// How long clients may take to catch up: those that read slowly have a balancer's buffers before them.
const PATIENCE_S: &str = "60";
/// How long anything here may take to become as it should.
const PATIENCE: Duration = Duration::from_secs(90);

/// The product as the compose file starts it.
pub(crate) struct Stack<'a> {
    engine: &'a Engine,
    environment: PathBuf,
    loadtest: PathBuf,
    profile: Option<&'static str>,
}

impl<'a> Stack<'a> {
    /// Brings everything up and waits until clients are served, with one of the profiles of `docker-compose.yml`.
    pub(crate) fn up(engine: &'a Engine, build: &str, profile: Option<&'static str>) -> anyhow::Result<Self> {
        let file = tools::directory()?.join("compose.env");
        let settings = [("NOFILE", "16384"), ("DRAIN_MS", "4000"), ("FEED_PINNED", PINNED)];
        let text = environment::text(&settings)?;
        let text = match profile {
            None => text,
            Some("tracing") => environment::with_tracing(&text),
            Some(redis) => environment::with_redis(&text, redis),
        };
        fs::write(&file, text)?;
        let loadtest = root().join(format!("target/{build}/tickwire-loadtest"));
        let stack = Self { engine, environment: file, loadtest, profile };
        stack.compose(&["down", "--volumes", "--timeout", "10"])?;
        stack.compose(&["up", "-d", "--no-build"])?;
        stack.wait_for_edges(2)?;
        Ok(stack)
    }

    /// Where it runs.
    pub(crate) fn engine(&self) -> &Engine {
        self.engine
    }

    pub(crate) fn compose(&self, args: &[&str]) -> anyhow::Result<()> {
        let environment = self.environment.display().to_string();
        let mut command = Command::new("docker-compose");
        command.args(["--project-name", PROJECT, "--env-file", &environment]);
        command.args(self.profile.iter().flat_map(|profile| ["--profile", profile]));
        run_command(command.args(args).envs(self.engine.environment()).current_dir(root()))
    }

    /// The containers of a service, oldest name first.
    pub(crate) fn containers(&self, service: &str) -> anyhow::Result<Vec<String>> {
        let project = format!("label=com.docker.compose.project={PROJECT}");
        let service = format!("label=com.docker.compose.service={service}");
        let names = self.engine.ask(&["ps", "--format", "{{.Names}}", "-f", &project, "-f", &service])?;
        let mut names: Vec<String> = names.lines().map(str::to_owned).collect();
        names.sort();
        Ok(names)
    }

    /// Waits until the balancer gives clients to `count` edges.
    pub(crate) fn wait_for_edges(&self, count: usize) -> anyhow::Result<()> {
        let balancer = self.containers("balancer")?.pop().context("there is no balancer")?;
        let address = self.address(&balancer)?;
        let url = format!("http://{address}:8404/metrics");
        until(&format!("{count} edges behind the balancer"), || {
            let text = self.engine.get(&url)?;
            let line = text.lines().find(|line| line.starts_with("haproxy_backend_active_servers{proxy=\"edges\"}"));
            Ok(line.is_some_and(|line| line.ends_with(&format!(" {count}"))))
        })
    }

    /// A value of the environment's file.
    pub(crate) fn secret(&self, name: &str) -> anyhow::Result<String> {
        let text = fs::read_to_string(&self.environment)?;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        value.map(str::to_owned).with_context(|| format!("{name} is not set"))
    }

    /// A container's address.
    pub(crate) fn address(&self, container: &str) -> anyhow::Result<String> {
        let addresses = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}";
        let addresses = self.engine.ask(&["inspect", "-f", addresses, container])?;
        addresses.split_whitespace().next().map(str::to_owned).with_context(|| format!("{container} has no address"))
    }

    /// A token of `user`, signed with this deployment's secret.
    pub(crate) fn token(&self, user: &str) -> anyhow::Result<String> {
        let mut command = Command::new(&self.loadtest);
        command.args(["token", "--user", user]).env("TICKWIRE_LOADTEST_SECRET", self.secret("AUTH_SECRET")?);
        let output = command.output().context("tickwire-loadtest could not be started")?;
        ensure!(output.status.success(), "no token: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Starts load through the balancer.
    pub(crate) fn load(&self, args: &[&str]) -> anyhow::Result<Load> {
        self.load_at(CLIENTS, args)
    }

    /// Starts load through another balancer.
    pub(crate) fn load_at(&self, target: &str, args: &[&str]) -> anyhow::Result<Load> {
        let mut command = self.engine.beside(&self.loadtest.display().to_string());
        command.args(["run", "--quiet", "--target", target, "--emitter", EMITTER, "--publishers", "2"]).args(args);
        command.env("TICKWIRE_LOADTEST_SECRET", self.secret("AUTH_SECRET")?);
        command.env("TICKWIRE_LOADTEST_API_KEY", self.secret("API_KEY")?);
        eprintln!("\n▶ tickwire-loadtest run {}", args.join(" "));
        Ok(Load { process: command.spawn().context("tickwire-loadtest could not be started")?, what: args.join(" ") })
    }
}

impl Drop for Stack<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            return;
        }
        if let Err(error) = self.compose(&["down", "--volumes", "--timeout", "10"]) {
            eprintln!("the stack was not taken down: {error:#}");
        }
    }
}

/// A run of the load generator.
pub(crate) struct Load {
    process: Child,
    what: String,
}

impl Load {
    /// Waits for its end; an error where a threshold was missed.
    pub(crate) fn finish(mut self) -> anyhow::Result<()> {
        let status = self.process.wait()?;
        ensure!(status.success(), "`tickwire-loadtest run {}`: {status}", self.what);
        Ok(())
    }
}

/// Every claim in turn.
pub(crate) fn check(engine: &Engine, build: &str, writes: bool) -> anyhow::Result<()> {
    let stack = Stack::up(engine, build, None)?;
    with_logs(&stack, claims(&stack, writes))?;
    drop(stack);
    let stack = Stack::up(engine, build, Some("cluster"))?;
    with_logs(&stack, a_client_through_the_balancer_receives(&stack))?;
    drop(stack);
    let stack = Stack::up(engine, build, Some("sentinel"))?;
    with_logs(&stack, a_failover_loses_nothing_acknowledged(&stack))
}

/// The profile `tracing`; the engine has its collector's image.
pub(crate) fn check_tracing(engine: &Engine, build: &str) -> anyhow::Result<()> {
    let stack = Stack::up(engine, build, Some("tracing"))?;
    with_logs(&stack, super::tracing::check(&stack))
}

/// What failed is told beside the services' last lines.
fn with_logs(stack: &Stack<'_>, result: anyhow::Result<()>) -> anyhow::Result<()> {
    if result.is_err() {
        stack.compose(&["logs", "--no-color", "--tail", "40"])?;
    }
    result
}

fn claims(stack: &Stack<'_>, writes: bool) -> anyhow::Result<()> {
    a_client_through_the_balancer_receives(stack)?;
    a_feeds_book_is_live(stack)?;
    super::trading::check(stack)?;
    super::metrics::check(stack, writes)?;
    a_killed_edges_clients_are_back_within_a_second(stack)?;
    super::balancers::check(stack)?;
    three_edges_share_the_clients(stack)?;
    a_rolling_restart_loses_nothing(stack)?;
    ten_seconds_without_redis_lose_nothing_acknowledged(stack)
}

fn a_client_through_the_balancer_receives(stack: &Stack<'_>) -> anyhow::Result<()> {
    stack
        .load(&["--scenario", "mixed", "--connections", "60", "--duration", "8", "--settle", PATIENCE_S, "--clean"])?
        .finish()
}

fn a_feeds_book_is_live(stack: &Stack<'_>) -> anyhow::Result<()> {
    until("the feed's book is live", || {
        let feeds = stack.engine.get(FEEDS)?;
        Ok(feeds.contains(r#""book":"live""#) && feeds.contains(r#""replayed":true"#))
    })
}

fn a_killed_edges_clients_are_back_within_a_second(stack: &Stack<'_>) -> anyhow::Result<()> {
    let fanout =
        ["--scenario", "fanout", "--connections", "100", "--duration", "15", "--clean", "--max-recovery", "1s"];
    let load = stack.load(&fanout)?;
    thread::sleep(Duration::from_secs(6));
    let edges = stack.containers("edge")?;
    let victim = edges.first().context("no edge")?;
    stack.engine.docker(&["kill", victim])?;
    load.finish()?;
    stack.engine.docker(&["start", victim])?;
    stack.wait_for_edges(edges.len())
}

fn three_edges_share_the_clients(stack: &Stack<'_>) -> anyhow::Result<()> {
    stack.compose(&["up", "-d", "--no-build", "--no-recreate", "--scale", "edge=3", "edge"])?;
    stack.wait_for_edges(3)?;
    stack
        .load(&["--scenario", "mixed", "--connections", "60", "--duration", "6", "--settle", PATIENCE_S, "--clean"])?
        .finish()?;
    ensure!(stack.containers("edge")?.len() == 3, "there are not three edges");
    for edge in stack.containers("edge")? {
        let opened = super::metrics::value_of(stack, &edge, "tickwire_edge_connections_opened_total")?;
        ensure!(opened > 0.0, "{edge} got no client");
    }
    Ok(())
}

fn a_rolling_restart_loses_nothing(stack: &Stack<'_>) -> anyhow::Result<()> {
    let edges = stack.containers("edge")?;
    let load = stack.load(&[
        "--scenario",
        "mixed",
        "--connections",
        "100",
        "--duration",
        "45",
        "--settle",
        PATIENCE_S,
        "--clean",
    ])?;
    thread::sleep(Duration::from_secs(3));
    for edge in &edges {
        stack.engine.docker(&["stop", "-t", "30", edge])?;
        stack.engine.docker(&["start", edge])?;
        stack.wait_for_edges(edges.len())?;
    }
    load.finish()
}

fn ten_seconds_without_redis_lose_nothing_acknowledged(stack: &Stack<'_>) -> anyhow::Result<()> {
    let load = stack.load(&[
        "--scenario",
        "mixed",
        "--connections",
        "60",
        "--duration",
        "30",
        "--settle",
        PATIENCE_S,
        "--max-loss",
        "0",
        "--max-duplicates",
        "0",
        "--max-disorder",
        "0",
        "--max-absent",
        "0",
    ])?;
    thread::sleep(Duration::from_secs(6));
    let redis = stack.containers("redis")?.pop().context("no redis")?;
    stack.engine.docker(&["stop", &redis])?;
    thread::sleep(Duration::from_secs(10));
    stack.engine.docker(&["start", &redis])?;
    load.finish()?;
    stack.wait_for_edges(stack.containers("edge")?.len())
}

/// The primary ends as by a rollout, and the replica takes its place.
fn a_failover_loses_nothing_acknowledged(stack: &Stack<'_>) -> anyhow::Result<()> {
    let load = stack.load(&[
        "--scenario",
        "fanout",
        "--connections",
        "40",
        "--duration",
        "30",
        "--settle",
        PATIENCE_S,
        "--max-loss",
        "0",
        "--max-duplicates",
        "0",
        "--max-disorder",
        "0",
        "--max-absent",
        "0",
    ])?;
    thread::sleep(Duration::from_secs(5));
    let primary = stack.containers("redis")?.pop().context("no redis")?;
    stack.engine.docker(&["stop", &primary])?;
    load.finish()?;
    // The old primary is away still: without a failover no edge would be ready.
    stack.wait_for_edges(2)
}

/// Asks until it holds.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        let answer = holds();
        if matches!(answer, Ok(true)) {
            eprintln!("✔ {what} ({} s)", begun.elapsed().as_secs());
            return Ok(());
        }
        if begun.elapsed() > PATIENCE {
            return answer.and_then(|_| bail!("never came: {what}")).with_context(|| what.to_owned());
        }
        thread::sleep(Duration::from_millis(250));
    }
}
