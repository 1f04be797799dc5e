//! `tickwire-loadtest`: load on a running cluster, and an account of every message.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool talks to its terminal")]

use std::{
    fs,
    io::{self, IsTerminal, Write},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use tickwire_loadtest::{
    LoadError, RunRecord, Settings,
    agents::{self, Agents, Layout, Secrets, SharedToken},
    bench::{self, BenchArgs},
    capacity::Capacity,
    chaos::{self, ChaosArgs},
    machine,
    plan::Plan,
    processes::Target,
    progress::Progress,
    record::Second,
    report,
    settings::without_secrets,
    thresholds::Thresholds,
    token,
    watch::Watch,
};

/// Exit status of a run that was made and missed a threshold.
const MISSED: u8 = 2;

/// Load generator of Tickwire.
#[derive(Parser)]
#[command(name = "tickwire-loadtest", version)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run a scenario against a cluster.
    Run(Box<RunArgs>),
    /// Break a cluster of real processes for some minutes and judge every promise.
    Chaos(ChaosArgs),
    /// Wait for a coordinator (`run --agents`) and run the parts that it gives.
    Agent(AgentArgs),
    /// Make the reports of a run again from its JSON.
    Report(Box<ReportArgs>),
    /// Measure the table of goals on this machine; `cargo xtask bench` builds everything and starts this.
    Bench(BenchArgs),
    /// Say how many edges, Redis shards and what network a number of connections needs, from measured costs.
    Plan(Capacity),
    /// Print a token of a user, to sign in with where the deployment has no issuer yet.
    Token(TokenArgs),
    /// The floor of `bench`: writes ready frames to whoever connects.
    #[command(hide = true)]
    RawLoop {
        /// Bytes of a frame, header included.
        #[arg(long)]
        frame_bytes: usize,
    },
}

#[derive(Args)]
struct RunArgs {
    #[command(flatten)]
    settings: Settings,
    /// A server process to watch: `NAME=port:PORT` or `NAME=pid:ID`, on this machine; several may be given.
    #[arg(long, value_name = "PROCESS")]
    watch: Vec<Target>,
    /// Agents that run the parts, `host:port,host:port,…`; this process then only coordinates.
    #[arg(long, value_delimiter = ',', value_name = "ADDRESSES", requires = "agents_token")]
    agents: Vec<String>,
    /// What coordinator and agents know, 16 bytes or more.
    #[arg(long, env = "TICKWIRE_LOADTEST_AGENTS_TOKEN", hide_env_values = true)]
    agents_token: Option<String>,
    /// Shows nothing while it runs.
    #[arg(long)]
    quiet: bool,
    #[command(flatten)]
    outputs: Outputs,
    #[command(flatten)]
    thresholds: Thresholds,
}

#[derive(Args)]
struct Outputs {
    /// Where to write the run's record.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Where to write the report, one HTML file that needs no other.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

#[derive(Args)]
struct AgentArgs {
    /// Where to listen, `address:port`.
    #[arg(long)]
    listen: SocketAddr,
    /// What coordinator and agents know, 16 bytes or more.
    #[arg(long, env = "TICKWIRE_LOADTEST_AGENTS_TOKEN", hide_env_values = true)]
    agents_token: String,
    /// As of `run`: no coordinator tells it.
    #[arg(long, env = "TICKWIRE_LOADTEST_SECRET", hide_env_values = true)]
    secret: Option<String>,
    /// As of `run`: no coordinator tells it.
    #[arg(long, env = "TICKWIRE_LOADTEST_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// As of `run`: no coordinator tells it.
    #[arg(long, env = "TICKWIRE_LOADTEST_API_KEY", hide_env_values = true)]
    api_key: Option<String>,
}

#[derive(Args)]
struct TokenArgs {
    /// Whose it is.
    #[arg(long)]
    user: String,
    /// A role, such as `operator`; several may be given.
    #[arg(long)]
    role: Vec<String>,
    /// A pattern of channels beyond the user's own, such as `session:42`; several may be given.
    #[arg(long)]
    grant: Vec<String>,
    /// How long it is valid, minutes.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u16).range(1..))]
    minutes: u16,
    /// The deployment's `auth.hs256_secret`.
    #[arg(long, env = "TICKWIRE_LOADTEST_SECRET", hide_env_values = true)]
    secret: String,
}

#[derive(Args)]
struct ReportArgs {
    /// What `run --json` wrote.
    record: PathBuf,
    #[command(flatten)]
    outputs: Outputs,
    #[command(flatten)]
    thresholds: Thresholds,
}

fn main() -> anyhow::Result<ExitCode> {
    let command = without_secrets(std::env::args());
    match Cli::parse().task {
        Task::Run(args) => run(&args, command),
        Task::Chaos(args) => chaos::run(&args),
        Task::Agent(args) => agent(args),
        Task::Report(args) => again(&args),
        Task::Bench(args) => bench::run(&args, command).map(|()| ExitCode::SUCCESS),
        Task::Plan(capacity) => {
            print!("{}", capacity.table().map_err(anyhow::Error::msg)?);
            Ok(ExitCode::SUCCESS)
        }
        Task::Token(TokenArgs { user, role, grant, minutes, secret }) => {
            let lifetime = Duration::from_secs(60 * u64::from(minutes));
            println!("{}", token::sign(&secret, &user, &role, &grant, lifetime)?);
            Ok(ExitCode::SUCCESS)
        }
        Task::RawLoop { frame_bytes } => bench::raw_loop(frame_bytes).map(|()| ExitCode::SUCCESS),
    }
}

fn run(args: &RunArgs, command: Vec<String>) -> anyhow::Result<ExitCode> {
    let plan = planned(&args.settings, !args.agents.is_empty())?;
    let ramp_s = f64::from(args.settings.connections) / f64::from(args.settings.connect_rate.max(1));
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a length of time in milliseconds")]
    let planned_ms = ((plan.duration.as_secs_f64() + ramp_s) * 1e3) as u64;
    let is_terminal = io::stderr().is_terminal();
    let mut progress = Progress::new(io::stderr(), is_terminal, args.settings.connections.into(), planned_ms);
    let mut before_ms = 0;
    let on_second = |second: &Second| {
        let length_ms = second.at_ms.saturating_sub(std::mem::replace(&mut before_ms, second.at_ms));
        if !args.quiet {
            // A display that cannot be written to is no reason to give up the run.
            let _ = progress.show(second, length_ms);
        }
    };
    let watch = Watch::begin(&args.watch)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut record = if args.agents.is_empty() {
        runtime.block_on(tickwire_loadtest::run(&args.settings, command, on_second))?
    } else {
        runtime.block_on(coordinate(args, &plan, command, on_second))?
    };
    let observed = watch.end().since(record.run.started_at_ms);
    record.processes.extend(observed.processes);
    if !args.watch.is_empty() {
        record.kernel = observed.kernel;
    }
    record.thresholds = args.thresholds.judge(&record);
    finish(&record, &args.outputs)
}

/// Lays the run out to know its size. A coordinator needs none of the agents' secrets.
fn planned(settings: &Settings, is_coordinator: bool) -> Result<Plan, LoadError> {
    let mut settings = settings.clone();
    if is_coordinator {
        let unused = || Some("not used by a coordinator".to_owned());
        (settings.secret, settings.token, settings.api_key) = (unused(), None, unused());
    }
    let prefix = settings.prefix()?;
    Plan::new(&settings, &prefix)
}

async fn coordinate(
    args: &RunArgs,
    plan: &Plan,
    command: Vec<String>,
    on_second: impl FnMut(&Second),
) -> anyhow::Result<RunRecord> {
    let token = SharedToken::new(args.agents_token.as_deref().unwrap_or_default())?;
    let of = |name: &str| plan.settings.iter().find(|(setting, _)| *setting == name).map(|(_, value)| value.as_str());
    let count = |name: &str| of(name).and_then(|value| value.parse().ok()).unwrap_or(1);
    let layout = Layout { channels: count("channels"), channels_per_client: count("channels-per-client") };
    let prefix = of("prefix").unwrap_or("lt");
    let parts = agents::share(&args.settings, layout, prefix, args.agents.len())?;
    let agents = Agents { addresses: args.agents.clone(), token };
    let records = agents::coordinate(&agents, parts, on_second).await?;
    let mut record = agents::merge(records, &args.agents).context("there is no agent")?;
    record.run.command = command;
    record.run.machine = machine::describe();
    record.run.settings = plan.settings.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    Ok(record)
}

fn agent(args: AgentArgs) -> anyhow::Result<ExitCode> {
    let token = SharedToken::new(&args.agents_token)?;
    let secrets = Secrets { secret: args.secret, token: args.token, api_key: args.api_key };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(args.listen).await?;
        eprintln!("agent on {}", listener.local_addr()?);
        agents::serve(listener, token, secrets, async |settings: Settings, seconds| {
            let command = Vec::new();
            // The coordinator's display may have gaps; the record has none.
            let on_second = |second: &Second| drop(seconds.try_send(second.clone()));
            tickwire_loadtest::run(&settings, command, on_second).await.map_err(|error| chain(&error))
        })
        .await?;
        Ok(ExitCode::SUCCESS)
    })
}

/// An error with its causes in one line.
fn chain(error: &LoadError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}

fn again(args: &ReportArgs) -> anyhow::Result<ExitCode> {
    let text = fs::read(&args.record).with_context(|| args.record.display().to_string())?;
    let mut record: RunRecord = serde_json::from_slice(&text).context("this is not the record of a run")?;
    let verdicts = args.thresholds.judge(&record);
    if !verdicts.is_empty() {
        record.thresholds = verdicts;
    }
    finish(&record, &args.outputs)
}

/// Writes and prints the reports; the exit status says whether all thresholds were met.
fn finish(record: &RunRecord, outputs: &Outputs) -> anyhow::Result<ExitCode> {
    if let Some(path) = &outputs.json {
        fs::write(path, serde_json::to_vec(record)?).with_context(|| path.display().to_string())?;
    }
    if let Some(path) = &outputs.html {
        fs::write(path, report::html(record)?).with_context(|| path.display().to_string())?;
    }
    let stdout = io::stdout();
    let text = report::terminal(record, stdout.is_terminal());
    stdout.lock().write_all(text.as_bytes())?;
    Ok(if record.passed() { ExitCode::SUCCESS } else { ExitCode::from(MISSED) })
}
