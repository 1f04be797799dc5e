//! Backtests over real messages of an exchange (`recordings/README.md`).

use std::process::Command;

use serde_json::Value;

const RECORDING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/recordings/binance.jsonl.gz");
const EAGER: &str = r#"{"execution":{"entryShare":"0.2","cooldownMs":1000,"allowShort":true}}"#;

/// Orders, fills, fees, what was gained by closing, and what is left of 10,000.
const FIGURES: [&str; 5] = ["14", "14", "27.99993579", "0.74427691", "9972.74434112"];

/// What the program prints, byte for byte.
fn report(strategy: &str, parameters: &str) -> Vec<u8> {
    let output = Command::new(env!("CARGO_BIN_EXE_tickwire-algorithm"))
        .args(["backtest", "--recording", RECORDING, "--strategy", strategy, "--parameters", parameters])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn a_recording_of_an_exchange_makes_the_same_report_to_the_byte_each_time() {
    let [first, second] = [report("book-imbalance", EAGER), report("book-imbalance", EAGER)];
    assert_eq!(first, second);
    // Whoever changes how bots decide or fill sees it here.
    let report: Value = serde_json::from_slice(&first).unwrap();
    let figures =
        ["orders", "fills", "fees", "realizedPnL", "equity"].map(|field| report[field].to_string().replace('"', ""));
    assert_eq!(figures, FIGURES);
}
