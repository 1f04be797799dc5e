//! The servers that a benchmark measures: release binaries as processes of their own, killed when dropped.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use tickwire_auth::{
    Secret,
    issue::{Signer, TokenClaims},
};
use tickwire_client::{Emitter, EmitterOptions};
use tickwire_protocol::UserId;

use crate::processes::Process;

/// Long enough for a release binary on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);
/// What edges verify tokens with.
pub(super) const SECRET: &str = "a secret for benchmarks alone";
/// What the emitter knows its callers by.
pub(super) const API_KEY: &str = "an API key for benchmarks alone";

/// Where programs are and what they write.
#[derive(Debug, Clone)]
pub(super) struct Places {
    /// Directory of `tickwire-edge`, `tickwire-emitter` and this program.
    pub(super) programs: PathBuf,
    /// Directory for the servers' logs; it exists.
    pub(super) logs: PathBuf,
}

/// One server process.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    /// For its CPU time and memory.
    pub(super) process: Process,
    /// Where it listens.
    pub(super) address: SocketAddr,
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already gone is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// Starts `program` listening on a free port and waits until it accepts connections.
    fn start(
        places: &Places,
        name: &str,
        program: &Path,
        arguments: impl FnOnce(SocketAddr) -> Vec<String>,
    ) -> anyhow::Result<Self> {
        let address = free_address()?;
        let log = File::create(places.logs.join(format!("{name}.log")))?;
        let child = Command::new(program)
            .args(arguments(address))
            .envs(ENVIRONMENT.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("{} could not be started", program.display()))?;
        let process = Process { name: name.to_owned(), pid: child.id() };
        let mut server = Self { child, process, address };
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            if let Some(status) = server.child.try_wait()? {
                bail!("{name} ended with {status}; its last words are in {}", places.logs.display());
            }
            if begun.elapsed() > PATIENCE {
                bail!("{name} does not accept connections");
            }
            thread::sleep(POLL);
        }
        Ok(server)
    }
}

/// The servers' settings: one core each, no limit by user or address (all clients come from one machine), and memory
/// without huge pages, which grow a process by 2 MiB at a time and hide what one connection costs.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("MIMALLOC_ALLOW_THP", "0"),
    ("TICKWIRE_AUTH__HS256_SECRET", SECRET),
    ("TICKWIRE_EDGE__SHARDS", "1"),
    ("TICKWIRE_EMITTER__API_KEYS", API_KEY),
    ("TICKWIRE_LIMITS__CONNECTIONS_PER_IP", "0"),
    ("TICKWIRE_LIMITS__CONNECTIONS_PER_USER", "0"),
    ("TICKWIRE_LIMITS__COMMANDS_PER_SECOND", "0"),
    ("TICKWIRE_LIMITS__BYTES_PER_SECOND", "0"),
    ("TICKWIRE_TELEMETRY__LOG_FILTER", "warn"),
];

/// Redis, edges and an emitter.
#[derive(Debug)]
pub(super) struct Cluster {
    /// Numbers, keeps and distributes.
    pub(super) redis: Server,
    /// What clients attach to.
    pub(super) edges: Vec<Server>,
    /// What publishers call.
    pub(super) emitter: Server,
}

impl Cluster {
    /// Starts all of it with empty storage.
    pub(super) fn start(places: &Places, edges: usize) -> anyhow::Result<Self> {
        fs::create_dir_all(&places.logs)?;
        let redis = Server::start(places, "redis", Path::new("redis-server"), redis_arguments)?;
        let url = format!("redis://{}", redis.address);
        let edge = |number: usize| {
            let name = format!("edge-{number}");
            Server::start(places, &name, &places.programs.join("tickwire-edge"), |address| {
                let words = ["--listen", &address.to_string(), "--redis", &url, "--node", &name];
                words.map(str::to_owned).to_vec()
            })
        };
        let edges = (1..=edges).map(edge).collect::<anyhow::Result<Vec<_>>>()?;
        let emitter = Server::start(places, "emitter", &places.programs.join("tickwire-emitter"), |address| {
            ["--listen", &address.to_string(), "--redis", &url].map(str::to_owned).to_vec()
        })?;
        let cluster = Self { redis, edges, emitter };
        cluster.await_ready()?;
        Ok(cluster)
    }

    fn await_ready(&self) -> anyhow::Result<()> {
        for server in self.edges.iter().chain([&self.emitter]) {
            let begun = Instant::now();
            while !answers_ready(server.address)? {
                if begun.elapsed() > PATIENCE {
                    bail!("{} does not become ready", server.process.name);
                }
                thread::sleep(POLL);
            }
        }
        Ok(())
    }

    /// CPU time of all edges so far.
    pub(super) fn edges_cpu(&self) -> anyhow::Result<Duration> {
        self.edges.iter().map(|edge| edge.process.cpu_exact().map_err(Into::into)).sum()
    }

    /// Anonymous memory of all edges now, bytes.
    pub(super) fn edges_anonymous_bytes(&self) -> anyhow::Result<u64> {
        self.edges.iter().map(|edge| Ok(edge.process.usage()?.anonymous_bytes)).sum()
    }

    /// The emitter's client.
    pub(super) fn emitter_client(&self) -> anyhow::Result<Emitter> {
        Ok(Emitter::new(EmitterOptions::new(format!("http://{}", self.emitter.address), API_KEY))?)
    }
}

/// A token for all namespaces that need none of their own.
pub(super) fn token() -> anyhow::Result<String> {
    Ok(Signer::new(&Secret::from(SECRET))?.sign(&TokenClaims::new(UserId::new("bench")?))?)
}

fn redis_arguments(address: SocketAddr) -> Vec<String> {
    let port = address.port().to_string();
    let mut words = vec!["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
    words.extend(["--client-output-buffer-limit", "pubsub 256mb 64mb 60", "--maxmemory-policy", "noeviction"]);
    words.into_iter().map(str::to_owned).collect()
}

/// Another process could take the port before its server does: then that server ends and says so.
fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

fn answers_ready(address: SocketAddr) -> anyhow::Result<bool> {
    use std::io::{Read, Write};
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = [0; 12];
    // One that answers too briefly is not ready.
    Ok(stream.read_exact(&mut answer).is_ok() && answer.ends_with(b" 200"))
}
