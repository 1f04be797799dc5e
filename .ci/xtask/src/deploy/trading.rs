//! Trading through the compose file's balancer: a user's session, told to its user; and the page from which it is commanded.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::{Child, Stdio},
};

use anyhow::{Context, ensure};
use serde_json::Value;

use super::{
    compose::{Stack, until},
    metrics,
    tools::directory,
};

/// Where browsers come in.
const HOST: &str = "http://127.0.0.1:8080";
const USER: &str = "ann";
const SESSION: &str =
    r#"{"algorithmId":"sma-crossover","symbols":["binance:BTC/USDT"],"capital":"10000","limits":{"lossLimit":"500"}}"#;

/// All that needs more than one of the services.
pub(crate) fn check(stack: &Stack<'_>) -> anyhow::Result<()> {
    every_service_is_healthy(stack)?;
    the_page_is_there_and_what_is_inside_stays_inside(stack)?;
    a_session_is_told_to_its_user(stack)
}

fn every_service_is_healthy(stack: &Stack<'_>) -> anyhow::Result<()> {
    for service in ["edge", "emitter", "feed", "session", "algorithm", "risk"] {
        until(&format!("{service} is healthy"), || {
            let containers = stack.containers(service)?;
            let states = containers
                .iter()
                .map(|container| stack.engine().ask(&["inspect", "-f", "{{.State.Health.Status}}", container]))
                .collect::<anyhow::Result<Vec<String>>>()?;
            Ok(!states.is_empty() && states.iter().all(|state| state == "healthy"))
        })?;
    }
    Ok(())
}

fn the_page_is_there_and_what_is_inside_stays_inside(stack: &Stack<'_>) -> anyhow::Result<()> {
    let page = stack.engine().get(&format!("{HOST}/"))?;
    ensure!(page.contains("<div id=\"root\">"), "no page at {HOST}/: {page}");
    let services = stack.engine().get(&format!("{HOST}/dashboard.json"))?;
    ensure!(
        services.contains("\"session\":\"/api/session\""),
        "the page is not told where the session service is: {services}"
    );
    for inside in [
        "/metrics",
        "/api/session/metrics",
        "/api/emitter/v1/publish",
        "/api/emitter/v1/users/ann/notify",
        "/api/nothing/v1/x",
    ] {
        let status = stack.engine().status(&format!("{HOST}{inside}"))?;
        ensure!(status == "404", "{inside} is open to clients: {status}");
    }
    eprintln!("✔ the page is served, and what is inside stays inside");
    Ok(())
}

fn a_session_is_told_to_its_user(stack: &Stack<'_>) -> anyhow::Result<()> {
    let token = stack.token(USER)?;
    let stream = Stream::open(stack, &token, &format!("sessions:{USER}"))?;
    let caller = Caller { stack, token };
    let created = caller.post("/api/session/v1/sessions", SESSION)?;
    let id = created["sessionId"].as_str().with_context(|| format!("no session: {created}"))?.to_owned();
    let started = caller.post(&format!("/api/session/v1/sessions/{id}/start"), "")?;
    ensure!(started["status"] == "active", "it did not start: {started}");
    until("its user hears that the session started", || {
        let heard = stream.heard()?;
        Ok(heard.contains("session_started") && heard.contains(&id))
    })?;
    until("risk watches it", || {
        Ok(caller.get(&format!("/api/risk/v1/sessions/{id}/risk"))?["sessionId"] == id.as_str())
    })?;
    until("it has an account", || {
        Ok(caller.get(&format!("/api/algorithm/v1/accounts/{id}"))?["sessionId"] == id.as_str())
    })?;
    until("its bot decides", || Ok(decisions(stack)? > 0.0))?;
    caller.post(&format!("/api/session/v1/sessions/{id}/stop"), "")?;
    until("its user hears that it is over", || Ok(stream.heard()?.contains("session_completed")))
}

fn decisions(stack: &Stack<'_>) -> anyhow::Result<f64> {
    let algorithm = stack.containers("algorithm")?.pop().context("there is no algorithm")?;
    metrics::value_at(stack, &algorithm, 8011, "tickwire_algorithm_decisions_total")
}

/// A user behind the balancer.
struct Caller<'a> {
    stack: &'a Stack<'a>,
    token: String,
}

impl Caller<'_> {
    fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.call(path, &[])
    }

    fn post(&self, path: &str, body: &str) -> anyhow::Result<Value> {
        self.call(path, &["-H", "Content-Type: application/json", "-d", body])
    }

    fn call(&self, path: &str, further: &[&str]) -> anyhow::Result<Value> {
        let mut command = self.stack.engine().beside("curl");
        let authorization = format!("Authorization: Bearer {}", self.token);
        command.args(["-sS", "--fail-with-body", "--max-time", "5", "-H", &authorization]).args(further);
        let output = command.arg(format!("{HOST}{path}")).output()?;
        let body = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success(), "{path}: {body}{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_str(&body).with_context(|| format!("{path}: {body}"))
    }
}

/// A user's event stream.
struct Stream {
    process: Child,
    heard: PathBuf,
}

impl Stream {
    /// Opens it, and waits until it stands.
    fn open(stack: &Stack<'_>, token: &str, channel: &str) -> anyhow::Result<Self> {
        let (heard, answered) = (directory()?.join("heard.txt"), directory()?.join("heard.headers"));
        fs::write(&answered, "")?;
        let mut command = stack.engine().beside("curl");
        let authorization = format!("Authorization: Bearer {token}");
        command.args(["-sS", "-N", "-D", &answered.display().to_string(), "-H", &authorization]);
        command.arg(format!("{HOST}/sse?channels={channel}"));
        let process = command.stdout(File::create(&heard)?).stderr(Stdio::inherit()).spawn()?;
        let stream = Self { process, heard };
        until("an event stream through the balancer", || Ok(fs::read_to_string(&answered)?.contains(" 200")))?;
        Ok(stream)
    }

    fn heard(&self) -> anyhow::Result<String> {
        fs::read_to_string(&self.heard).context("what the stream brought")
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // One that ended by itself has been seen to.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
