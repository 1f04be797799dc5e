//! A container engine of our own, in a network namespace of its own: nothing of the machine's is touched.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};

use super::tools;
use crate::shell::{root, run_command, works};

/// Debian's client: another one on the path may lack the builder.
pub(super) const DOCKER: &str = "/usr/bin/docker";
/// How long the engine may take to answer.
const START: Duration = Duration::from_secs(60);

/// A running engine. It ends when this is dropped.
pub(crate) struct Engine {
    daemon: Child,
    directory: PathBuf,
}

impl Engine {
    /// Starts it; images of earlier runs are still there.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let directory = tools::directory()?.join("engine");
        // A Unix socket's path has 108 bytes at most, and a checkout may lie deep.
        let runtime = std::env::temp_dir().join(format!("tickwire-engine-{}", std::process::id()));
        fs::create_dir_all(&runtime)?;
        fs::create_dir_all(&directory)?;
        let log = File::create(directory.join("dockerd.log"))?;
        let script = format!(
            "ip link set lo up && sysctl -qw net.ipv4.ip_forward=1 && exec dockerd --data-root {data} --exec-root {run}/exec \
             -p {run}/pid -H unix://{run}/sock --exec-opt native.cgroupdriver=cgroupfs --storage-driver overlay2",
            data = directory.join("data").display(),
            run = runtime.display()
        );
        let daemon = Command::new("unshare")
            .args(["-n", "bash", "-c", &script])
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("unshare could not be started")?;
        let mut engine = Self { daemon, directory: runtime };
        let begun = Instant::now();
        while !works(DOCKER, &["-H", &engine.host(), "version"]) {
            if begun.elapsed() > START || engine.daemon.try_wait()?.is_some() {
                bail!("the container engine does not start; {}", directory.join("dockerd.log").display());
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok(engine)
    }

    fn host(&self) -> String {
        format!("unix://{}/sock", self.directory.display())
    }

    /// Runs `docker`.
    pub(crate) fn docker(&self, args: &[&str]) -> anyhow::Result<()> {
        run_command(Command::new(DOCKER).args(args).envs(self.environment()))
    }

    /// What `docker` prints.
    pub(crate) fn ask(&self, args: &[&str]) -> anyhow::Result<String> {
        let output = Command::new(DOCKER).args(args).envs(self.environment()).output()?;
        if !output.status.success() {
            bail!("`docker {}`: {}", args.join(" "), String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// What a client of this engine needs in its environment.
    pub(crate) fn environment(&self) -> [(&'static str, String); 3] {
        [("DOCKER_HOST", self.host()), ("DOCKER_BUILDKIT", "1".into()), ("COMPOSE_DOCKER_CLI_BUILD", "1".into())]
    }

    /// A command that runs beside the engine: where the published ports are.
    pub(crate) fn beside(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.daemon.id().to_string(), "-n", program]).current_dir(root());
        command
    }

    /// The HTTP status at `url`, asked for beside the engine.
    pub(crate) fn status(&self, url: &str) -> anyhow::Result<String> {
        let mut command = self.beside("curl");
        let output = command.args(["-sS", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "5", url]).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The body at `url`, asked for beside the engine.
    pub(crate) fn get(&self, url: &str) -> anyhow::Result<String> {
        let output = self.beside("curl").args(["-sS", "--fail-with-body", "--max-time", "5", url]).output()?;
        if !output.status.success() {
            bail!("{url}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // `unshare` became bash and bash dockerd: it ends its containers on SIGTERM.
        let ended = Command::new("kill").arg(self.daemon.id().to_string()).stderr(Stdio::null()).status().is_ok();
        let waited = ended && self.daemon.wait().is_ok();
        if !waited || fs::remove_dir_all(&self.directory).is_err() {
            eprintln!("the container engine left something in {}", self.directory.display());
        }
    }
}
