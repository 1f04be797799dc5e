//! The commands, as an operator types them.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
};

use serde_json::Value;

use crate::data;

const BINARY: &str = env!("CARGO_BIN_EXE_tickwire-feed");

/// A simulator in a process of its own; ended with this.
struct Simulated {
    process: Child,
    address: String,
}

impl Simulated {
    fn start(arguments: &[&str]) -> Self {
        let mut process = Command::new(BINARY)
            .args(["simulate", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ").unwrap().to_owned();
        Self { process, address }
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        // Nothing is left to do about one that ended by itself.
        let _ended = self.process.kill();
        let _ended = self.process.wait();
    }
}

fn run(arguments: &[&str]) -> (bool, String, String) {
    let output = Command::new(BINARY).args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

#[test]
fn what_a_simulator_serves_is_recorded_and_replays_to_a_live_book() {
    let recording = data("binance-spot.jsonl.gz");
    let simulated = Simulated::start(&["--exchange", "binance", "--recording", recording.to_str().unwrap(), "--loop"]);
    let directory = std::env::temp_dir().join(format!("tickwire-feed-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let file = directory.join("binance.jsonl");
    let (origin, http) = (format!("ws://{}", simulated.address), format!("http://{}", simulated.address));
    let (is_done, _, words) = run(&[
        "record",
        "--exchange",
        "binance",
        "--channel",
        "orderbook",
        "--channel",
        "trades",
        "--symbol",
        "BTC/USDT",
        "--seconds",
        "4",
        "--origin",
        &origin,
        "--http",
        &http,
        "--out",
        file.to_str().unwrap(),
    ]);
    assert!(is_done, "{words}");
    let lines = std::fs::read_to_string(&file).unwrap();
    for dir in ["connect", "out", "in", "http"] {
        assert!(lines.contains(&format!(r#""dir":"{dir}""#)), "no `{dir}` record");
    }
    let (is_done, summary, words) = run(&["replay", file.to_str().unwrap(), "--exchange", "binance", "--summary"]);
    std::fs::remove_dir_all(&directory).unwrap();
    assert!(is_done, "{words}");
    let summary: Value = serde_json::from_str(&summary).unwrap();
    assert_eq!(summary["anomalies"], serde_json::json!([]), "{summary}");
    assert!(summary["symbols"]["BTC/USDT"]["orderbook"].is_object(), "{summary}");
}

#[test]
fn a_fault_that_does_not_exist_is_refused_with_those_that_do() {
    let recording = data("binance-spot.jsonl.gz");
    let (is_done, _, words) =
        run(&["simulate", "--exchange", "binance", "--recording", recording.to_str().unwrap(), "--fault", "melt"]);
    assert!(!is_done && words.contains("half-open"), "{words}");
}

#[test]
fn a_recording_may_come_through_a_pipe() {
    let record = |raw: &str| format!("{{\"t\":\"1.0\",\"dir\":\"in\",\"conn\":\"kraken.1\",\"raw\":{raw:?}}}\n");
    let trade = r#"[0,[["5.10","2.0","1616333924.737428","b","m",""]],"trade","XBT/USD"]"#;
    for name in ["-", "/dev/stdin"] {
        let mut child = Command::new(BINARY)
            .args(["replay", name])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        child.stdin.take().unwrap().write_all(record(trade).repeat(2).as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(summary["symbols"]["BTC/USD"]["trades"]["first"]["price"], "5.10", "{name}: {summary}");
    }
}

#[test]
fn a_recording_that_is_none_is_named_with_its_line() {
    let file = std::env::temp_dir().join(format!("tickwire-feed-broken-{}.jsonl", std::process::id()));
    std::fs::write(&file, "{\"t\":\"1.0\",\"dir\":\"in\",\"raw\":\"{}\"}\nnot json\n").unwrap();
    let (is_done, _, words) = run(&["replay", file.to_str().unwrap(), "--exchange", "okx"]);
    std::fs::remove_file(&file).unwrap();
    assert!(!is_done && words.contains('2') && !words.contains("panicked"), "{words}");
}

#[test]
fn a_probe_of_nobody_fails() {
    let (is_ready, _, words) = run(&["--listen", "127.0.0.1:9", "--probe"]);
    assert!(!is_ready && words.contains("does not answer"), "{words}");
}
