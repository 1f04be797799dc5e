//! The benchmark's other processes: this very program in another role, spoken to by lines.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    process::{ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, sync_channel},
    time::Duration,
};

use anyhow::{Context, bail};

/// A running role; killed when dropped.
pub(crate) struct Child {
    process: std::process::Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
}

/// What a process has used so far.
pub(crate) struct Usage {
    /// User and system time of all its threads.
    pub(crate) cpu: Duration,
    /// `RssAnon`.
    pub(crate) anonymous_bytes: u64,
}

impl Child {
    /// Starts this program with `arguments`.
    pub(crate) fn start(arguments: &[&str]) -> anyhow::Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(arguments)
            // Huge pages grow memory by 2 MiB at a time, which at some thousand connections hides what one costs.
            .env("MIMALLOC_ALLOW_THP", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdin = process.stdin.take().context("stdin")?;
        let stdout = process.stdout.take().context("stdout")?;
        let (sender, lines) = sync_channel(64);
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self { process, stdin, lines })
    }

    /// Sends one line.
    pub(crate) fn tell(&mut self, line: &str) -> anyhow::Result<()> {
        writeln!(self.stdin, "{line}").context("the other process is gone")
    }

    /// Waits for a line that begins with `prefix` and returns its rest.
    pub(crate) fn expect(&mut self, prefix: &str, patience: Duration) -> anyhow::Result<String> {
        let line = self.lines.recv_timeout(patience).with_context(|| format!("no line {prefix:?} came"))?;
        match line.strip_prefix(prefix) {
            Some(rest) => Ok(rest.to_owned()),
            None => bail!("expected {prefix:?}, got {line:?}"),
        }
    }

    /// Reads its usage from `/proc`.
    pub(crate) fn usage(&self) -> anyhow::Result<Usage> {
        let pid = self.process.id();
        // schedstat counts nanoseconds on a CPU, where stat counts ticks of 10 ms.
        let mut nanoseconds = 0;
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            let text = fs::read_to_string(task?.path().join("schedstat"))?;
            nanoseconds += text.split_whitespace().next().context("schedstat")?.parse::<u64>()?;
        }
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).context("RssAnon")?;
        let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(Usage { cpu: Duration::from_nanos(nanoseconds), anonymous_bytes: kilobytes * 1024 })
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Already gone is fine.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The kernel's own small allocations, sockets among them.
pub(crate) fn kernel_bytes() -> anyhow::Result<f64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("Slab:")).context("Slab")?;
    let kilobytes: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kilobytes * 1024.0)
}

/// Calls `on_line` for each line of standard input until it ends.
pub(crate) fn for_each_line(mut on_line: impl FnMut(&str) -> anyhow::Result<()>) -> anyhow::Result<()> {
    for line in std::io::stdin().lines() {
        on_line(&line?)?;
    }
    Ok(())
}

/// Prints a line for the pacing process to see at once.
pub(crate) fn say(line: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}")?;
    stdout.flush().context("stdout")
}
