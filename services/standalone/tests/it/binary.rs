use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
};

use crate::{
    cluster::{PATIENCE, until},
    raw::Raw,
};

const BINARY: &str = env!("CARGO_BIN_EXE_tickwire-standalone");

/// Killed if a test fails before it ends.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Either fails only if it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(arguments: &[&str]) -> Process {
    let mut command = Command::new(BINARY);
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    for name in ["TICKWIRE_AUTH__HS256_SECRET", "TICKWIRE_CONFIG", "TICKWIRE_EMITTER__API_KEYS"] {
        command.env_remove(name);
    }
    Process(command.spawn().unwrap())
}

/// Reads stdout up to the line that publishes: the token, the address of the edge, and that line.
fn banner(process: &mut Process) -> (String, String, String) {
    let mut lines = BufReader::new(process.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut token = String::new();
    let mut address = String::new();
    loop {
        let line = lines.next().expect("the banner goes on");
        if line.starts_with("eyJ") {
            token.clone_from(&line);
        } else if let Some(rest) = line.trim().strip_prefix("edge ") {
            rest.trim().clone_into(&mut address);
        } else if line.trim().starts_with("curl ") {
            return (token, address, line.trim().to_owned());
        }
    }
}

/// Sends what the printed command would; a machine need not have curl to run the tests.
async fn publishes(curl: &str) -> bool {
    let words = Command::new("sh").args(["-c", &format!("printf '%s\\n' {curl}")]).output().unwrap().stdout;
    let words = String::from_utf8(words).unwrap();
    let words: Vec<&str> = words.lines().collect();
    let url = words.iter().find(|word| word.starts_with("http://")).unwrap();
    let mut request = reqwest::Client::new().post(*url);
    for pair in words.windows(2) {
        request = match pair {
            ["-H", header] => {
                let (name, value) = header.split_once(": ").unwrap();
                request.header(name, value)
            }
            ["-d", body] => request.body((*body).to_owned()),
            _ => request,
        };
    }
    request.send().await.is_ok_and(|answer| answer.status() == 200)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_banner_prints_works_and_sigterm_ends_it() {
    let mut process = start(&[
        "--listen",
        "127.0.0.1:0",
        "--emitter-listen",
        "127.0.0.1:0",
        "--feed-listen",
        "127.0.0.1:0",
        "--session-listen",
        "127.0.0.1:0",
        "--algorithm-listen",
        "127.0.0.1:0",
        "--risk-listen",
        "127.0.0.1:0",
    ]);
    let (token, address, curl) = tokio::task::block_in_place(|| banner(&mut process));
    let mut raw = Raw::connect_with_token(&address, &token, None).await;
    raw.send(r#"{"type":"subscribe","channels":["room:lobby"]}"#).await;
    raw.of_type("subscribed").await;
    // The emitter may still be on its way.
    until("the printed curl publishes", async || publishes(&curl).await).await;
    let message = raw.of_type("message").await;
    assert_eq!(message["data"]["hello"], "world");
    assert!(message["position"].is_string(), "{message}");

    let id = process.0.id().to_string();
    assert!(Command::new("sh").args(["-c", "kill -TERM $0", &id]).status().unwrap().success());
    assert!(raw.of_type("reconnect").await["afterMs"].is_u64());
    drop(raw);
    let start = std::time::Instant::now();
    until("the process ends", async || process.0.try_wait().unwrap().is_some()).await;
    assert!(start.elapsed() < PATIENCE);
    assert!(process.0.wait().unwrap().success());
}

#[test]
fn without_a_secret_it_starts_on_loopback_only() {
    let mut process = start(&[
        "--listen",
        "0.0.0.0:0",
        "--emitter-listen",
        "127.0.0.1:0",
        "--feed-listen",
        "127.0.0.1:0",
        "--algorithm-listen",
        "127.0.0.1:0",
        "--risk-listen",
        "127.0.0.1:0",
        "--session-listen",
        "127.0.0.1:0",
    ]);
    assert_eq!(process.0.wait().unwrap().code(), Some(64));
    let mut reason = String::new();
    process.0.stderr.take().unwrap().read_to_string(&mut reason).unwrap();
    assert!(reason.contains("TICKWIRE_AUTH__HS256_SECRET") && reason.contains("0.0.0.0"), "{reason}");
}
