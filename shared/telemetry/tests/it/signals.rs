//! SIGTERM asks for a drain.

use std::{process::Command, time::Duration};

#[tokio::test]
async fn sigterm_cancels_the_token() {
    let token = tickwire_telemetry::shutdown::on_signals();
    assert!(!token.is_cancelled());
    let status = Command::new("kill").args(["-TERM", &std::process::id().to_string()]).status().unwrap();
    assert!(status.success());
    tokio::time::timeout(Duration::from_secs(30), token.cancelled()).await.unwrap();
}
