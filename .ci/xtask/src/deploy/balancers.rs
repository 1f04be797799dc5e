//! Other load balancers than the compose file's, each with its documented configuration before the edges of the stack.

use std::{
    fs,
    io::Write,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context, ensure};

use super::{
    compose::{Stack, until},
    metrics,
    tools::{directory, wheel},
};
use crate::shell::root;

/// Where they listen here; the configurations say 8080, which is the compose file's.
const PORT: u16 = 18_080;
/// Event streams that one client opens to see where they end.
const STREAMS: usize = 5;

/// A balancer, and how it is started with a configuration.
struct Balancer {
    file: &'static str,
    start: fn(&str) -> anyhow::Result<Vec<String>>,
}

const BALANCERS: &[Balancer] = &[
    Balancer { file: "nginx.conf", start: |path| Ok(words(&["nginx", "-g", "daemon off;", "-c", path])) },
    Balancer {
        file: "envoy.yaml",
        start: |path| Ok(words(&[&wheel("envoy")?, "-c", path, "--log-level", "error", "--concurrency", "1"])),
    },
    Balancer {
        file: "Caddyfile",
        start: |path| Ok(words(&[&wheel("caddy")?, "run", "--adapter", "caddyfile", "--config", path])),
    },
    Balancer {
        file: "traefik-edges.yml",
        start: |path| {
            let (listen, file) =
                (format!("--entrypoints.clients.address=:{PORT}"), format!("--providers.file.filename={path}"));
            Ok(words(&[&wheel("traefik")?, &listen, &file, "--log.level=ERROR"]))
        },
    },
];

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

/// Each in turn: clients stick, and a killed edge costs nothing but a moment.
pub(crate) fn check(stack: &Stack<'_>) -> anyhow::Result<()> {
    stack.wait_for_edges(2)?;
    BALANCERS.iter().try_for_each(|balancer| {
        clients_are_served(stack, balancer).with_context(|| format!("helm/files/balancers/{}", balancer.file))
    })
}

fn clients_are_served(stack: &Stack<'_>, balancer: &Balancer) -> anyhow::Result<()> {
    let edges = stack.containers("edge")?;
    let running = Running::start(stack, balancer, &edges)?;
    let url = format!("http://127.0.0.1:{PORT}");
    until(&format!("{} serves", balancer.file), || Ok(stack.engine().get(&format!("{url}/ws/status")).is_ok()))?;
    ensure!(stack.engine().get(&format!("{url}/metrics")).is_err(), "it shows metrics to clients");
    streams_stick(stack, &edges, &url)?;
    let load = stack.load_at(
        &format!("ws://127.0.0.1:{PORT}"),
        &["--scenario", "fanout", "--connections", "60", "--duration", "10", "--clean", "--max-recovery", "3s"],
    )?;
    thread::sleep(Duration::from_secs(5));
    let victim = edges.first().context("no edge")?;
    stack.engine().docker(&["kill", victim])?;
    load.finish()?;
    drop(running);
    stack.engine().docker(&["start", victim])?;
    stack.wait_for_edges(edges.len())
}

/// A client with its cookie comes to the same edge again and again.
fn streams_stick(stack: &Stack<'_>, edges: &[String], url: &str) -> anyhow::Result<()> {
    let opened = || -> anyhow::Result<Vec<f64>> {
        let name = "tickwire_edge_connections_opened_total";
        edges.iter().map(|edge| metrics::value_of(stack, edge, name)).collect()
    };
    let before = opened()?;
    let jar = directory()?.join("cookies").display().to_string();
    fs::write(&jar, "")?;
    let stream = format!("{url}/sse?channels=system&token={}", token(&stack.secret("AUTH_SECRET")?)?);
    for _ in 0..STREAMS {
        // It ends by its time; that is no failure.
        let curl = ["-sN", "--max-time", "1", "-b", &jar, "-c", &jar, &stream];
        let answer = stack.engine().beside("curl").args(curl).output()?;
        ensure!(!answer.stdout.is_empty(), "an event stream brings nothing");
    }
    let grown: Vec<f64> = opened()?.iter().zip(before).map(|(after, before)| after - before).collect();
    #[allow(clippy::cast_precision_loss, reason = "five")]
    let all = STREAMS as f64;
    ensure!(grown.iter().any(|&count| count >= all), "streams of one client went to several edges: {grown:?}");
    Ok(())
}

/// A token of a user of the tests, signed with `secret`.
fn token(secret: &str) -> anyhow::Result<String> {
    let base64 = |bytes: &[u8]| {
        piped("base64", &["-w0"], bytes)
            .map(|text| String::from_utf8_lossy(&text).replace('+', "-").replace('/', "_").replace('=', ""))
    };
    let claims = br#"{"sub":"balanced","exp":4102444800}"#;
    let signed = format!("{}.{}", base64(br#"{"alg":"HS256","typ":"JWT"}"#)?, base64(claims)?);
    let signature = piped("openssl", &["dgst", "-sha256", "-hmac", secret, "-binary"], signed.as_bytes())?;
    Ok(format!("{signed}.{}", base64(&signature)?))
}

fn piped(program: &str, args: &[&str], input: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut child = Command::new(program).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    child.stdin.take().context("no standard input")?.write_all(input)?;
    Ok(child.wait_with_output()?.stdout)
}

/// A started balancer; it ends when this is dropped.
struct Running(Child);

impl Running {
    fn start(stack: &Stack<'_>, balancer: &Balancer, edges: &[String]) -> anyhow::Result<Self> {
        let mut text = fs::read_to_string(root().join("helm/files/balancers").join(balancer.file))?;
        for (number, edge) in (1..).zip(edges) {
            text = text.replace(&format!("edge-{number}:"), &format!("{}:", stack.address(edge)?));
            text = text.replace(&format!("edge-{number},"), &format!("{},", stack.address(edge)?));
        }
        let text = text.replace("8080", &PORT.to_string());
        let path = directory()?.join(balancer.file).display().to_string();
        fs::write(&path, text)?;
        let command = (balancer.start)(&path)?;
        eprintln!("\n▶ {}", command.join(" "));
        let child = stack.engine().beside(&command[0]).args(&command[1..]).spawn()?;
        Ok(Self(child))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // SIGTERM and not SIGKILL: nginx' workers end with their master only if it can tell them.
        let told = Command::new("kill").arg(self.0.id().to_string()).status();
        if told.is_err() || self.0.wait().is_err() {
            eprintln!("a balancer did not end");
        }
    }
}
