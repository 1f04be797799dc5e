use std::process::Command;

fn log(seed: &str) -> Vec<u8> {
    // At fixed addresses: some hashers are seeded by them.
    let run = Command::new("setarch").args(["-R", env!("CARGO_BIN_EXE_tickwire-sim"), "--log", "--seed", seed]).output();
    run.unwrap().stdout
}

#[test]
fn two_runs_of_a_seed_log_the_same_bytes() {
    let (once, again) = (log("7"), log("7"));
    assert!(once.len() > 10_000, "a run is longer than {} bytes", once.len());
    assert!(once == again, "two runs of a seed differ");
    assert!(once != log("8"), "two seeds are the same");
}
