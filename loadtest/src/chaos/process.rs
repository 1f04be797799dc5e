//! A program that is killed, frozen, drained and started again.

use std::{
    fs::{self, OpenOptions},
    net::TcpListener,
    path::PathBuf,
    process::Stdio,
    time::Duration,
};

use anyhow::Context;
use tokio::process::{Child, Command};

/// How to start a program, and the one running, if any. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    program: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    log: PathBuf,
    child: Option<Child>,
}

impl Process {
    /// One that is not started yet; what it prints goes to `log`.
    pub(crate) fn new(name: impl Into<String>, program: PathBuf, log: PathBuf) -> Self {
        Self { name: name.into(), program, arguments: Vec::new(), environment: Vec::new(), log, child: None }
    }

    #[must_use]
    pub(crate) fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(ToString::to_string));
        self
    }

    #[must_use]
    pub(crate) fn environment(mut self, key: &str, value: impl Into<String>) -> Self {
        self.environment.push((key.to_owned(), value.into()));
        self
    }

    /// Starts it, if it is not running.
    pub(crate) fn start(&mut self) -> anyhow::Result<()> {
        if self.is_running() {
            return Ok(());
        }
        let log = OpenOptions::new().create(true).append(true).open(&self.log);
        let log = log.with_context(|| format!("{}", self.log.display()))?;
        let child = Command::new(&self.program)
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{} ({}) cannot be started", self.name, self.program.display()))?;
        self.child = Some(child);
        Ok(())
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// `kill -9`, also of a frozen one.
    pub(crate) async fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().await.with_context(|| format!("{} cannot be killed", self.name))?;
        }
        Ok(())
    }

    /// Sends a signal by its name, such as `STOP`.
    pub(crate) async fn signal(&self, name: &str) -> anyhow::Result<()> {
        let Some(pid) = self.pid() else { return Ok(()) };
        let status = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status().await?;
        anyhow::ensure!(status.success(), "kill -{name} of {} fails", self.name);
        Ok(())
    }

    /// Waits for its end by itself; `None` if it takes too long. A signal's death has no code.
    pub(crate) async fn ended(&mut self, patience: Duration) -> Option<Option<i32>> {
        let child = self.child.as_mut()?;
        let status = tokio::time::timeout(patience, child.wait()).await.ok()?.ok()?;
        self.child = None;
        Some(status.code())
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }

    /// Anonymous memory of the running process, bytes.
    pub(crate) fn memory_bytes(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()?)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
        line.trim().trim_end_matches("kB").trim().parse::<u64>().ok().map(|kilobytes| kilobytes << 10)
    }
}

/// A port that is free now. Processes started again need the port that they had, so each gets one for the whole run.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper() -> Process {
        let log = std::env::temp_dir().join("tickwire-chaos-process-test.log");
        Process::new("sleeper", "/bin/sleep".into(), log).arguments(&["600"])
    }

    /// Whether `/proc/PID/stat` says `T`; its second field, the name, has no space here.
    fn is_stopped(pid: u32) -> bool {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.split(' ').nth(2) == Some("T")
    }

    #[tokio::test]
    async fn a_process_is_killed_and_started_again() {
        let mut process = sleeper();
        process.start().unwrap();
        let first = process.pid().unwrap();
        assert!(process.memory_bytes().is_some());
        process.kill().await.unwrap();
        assert!(!process.is_running());
        process.start().unwrap();
        assert_ne!(process.pid().unwrap(), first);
    }

    #[tokio::test]
    async fn a_frozen_process_ends_only_when_killed() {
        let mut process = sleeper();
        process.start().unwrap();
        process.signal("STOP").await.unwrap();
        // Signals that wait together are taken by their number, SIGTERM first: it must have stopped before.
        while !is_stopped(process.pid().unwrap()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        process.signal("TERM").await.unwrap();
        assert_eq!(process.ended(Duration::from_millis(200)).await, None);
        process.signal("CONT").await.unwrap();
        assert_eq!(process.ended(Duration::from_secs(30)).await, Some(None));
    }
}
