//! A cluster of real processes: edges and emitters behind haproxy, Redis behind them, and a proxy of ours on every link that
//! shall break.

use std::{fs, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context;
use tickwire_protocol::namespace::Policy;
use tokio::sync::Mutex;

use super::{
    balancer::{self, Frontend},
    process::{Process, free_port},
    proxy::{Flow, Proxy},
    redis::Redis,
    schedule::{Counts, Fault, LinkFault, Service, Topology},
    translation::Translation,
    webhook::{self, Webhook},
};

/// What verifies tokens, and signs those of the clients.
pub(crate) const SECRET: &str = "a secret of the chaos run, thirty-two bytes";
/// What publishes.
pub(crate) const API_KEY: &str = "an api key of the chaos run thirty-two";
/// Bytes that may wait for one connection of an edge: small, so that stuck readers meet the limit soon.
pub(crate) const OUTBOX_BYTES: u64 = 256 << 10;
/// How long an edge may take to drain.
pub(crate) const DRAIN_MS: u64 = 6_000;
/// Twice this without a word and a client gives its connection up.
pub(crate) const HEARTBEAT_MS: u64 = 3_000;
/// How long the whole fleet may take to start.
const PATIENCE: Duration = Duration::from_secs(90);

/// Size of a fleet.
pub(crate) const COUNTS: Counts = Counts { edges: 3, emitters: 2, redis: 3 };

/// An edge or an emitter.
pub(crate) struct Node {
    pub(crate) process: Mutex<Process>,
    pub(crate) port: u16,
    /// Its own way to each server of Redis.
    redis_links: Vec<Proxy>,
}

/// See the module. Everything ends when it is dropped.
pub(crate) struct Fleet {
    pub(crate) edges: Vec<Node>,
    pub(crate) emitters: Vec<Node>,
    pub(crate) redis: Redis,
    /// From the load balancer to each edge.
    edge_links: Vec<Proxy>,
    balancer: Mutex<Process>,
    /// Where clients connect.
    pub(crate) client_port: u16,
    /// Where publishers do.
    pub(crate) emitter_port: u16,
    pub(crate) directory: PathBuf,
    /// Takes the alerts that nobody acknowledged.
    pub(crate) webhook: Webhook,
    /// Redis servers killed or paused now, by fault: found when it began, needed when it ends.
    down: Mutex<Vec<(Fault, usize)>>,
}

impl Fleet {
    /// Starts everything and waits until every node is ready. Logs go to `directory`.
    pub(crate) async fn start(topology: Topology, directory: PathBuf) -> anyhow::Result<Self> {
        fs::create_dir_all(&directory).with_context(|| format!("{}", directory.display()))?;
        let redis = Redis::start(topology).await?;
        let webhook = Webhook::start().await?;
        let settings = Settings { topology, directory: &directory, redis: &redis, webhook: webhook.port };
        let mut edges = Vec::new();
        let mut edge_links = Vec::new();
        for number in 0..COUNTS.edges {
            let node = settings.node("edge", number).await?;
            let target = SocketAddr::from(([127, 0, 0, 1], node.port));
            edge_links.push(Proxy::bind().await?.route(target, None)?);
            edges.push(node);
        }
        let mut emitters = Vec::new();
        for number in 0..COUNTS.emitters {
            emitters.push(settings.node("emitter", number).await?);
        }
        let (client_port, emitter_port) = (free_port()?, free_port()?);
        let edge_ports: Vec<u16> = edge_links.iter().map(Proxy::port).collect();
        let emitter_ports: Vec<u16> = emitters.iter().map(|node| node.port).collect();
        let configuration = balancer::configuration(&[
            Frontend { name: "edges", port: client_port, balance: "leastconn", servers: &edge_ports },
            Frontend { name: "emitters", port: emitter_port, balance: "roundrobin", servers: &emitter_ports },
        ]);
        let file = directory.join("haproxy.cfg");
        fs::write(&file, configuration)?;
        let mut balancer = Process::new("haproxy", "haproxy".into(), directory.join("haproxy.log")).arguments(&[
            "-db",
            "-f",
            &file.display().to_string(),
        ]);
        balancer.start()?;
        let fleet = Self {
            edges,
            emitters,
            redis,
            edge_links,
            balancer: Mutex::new(balancer),
            client_port,
            emitter_port,
            directory,
            webhook,
            down: Mutex::default(),
        };
        fleet.until_ready(PATIENCE).await?;
        Ok(fleet)
    }

    /// Waits until every node answers that it is ready, through the load balancer too.
    pub(crate) async fn until_ready(&self, patience: Duration) -> anyhow::Result<()> {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(2)).build()?;
        let nodes = self.edges.iter().chain(&self.emitters).map(|node| node.port);
        let ready = async {
            for port in nodes.chain([self.client_port, self.emitter_port]) {
                let url = format!("http://127.0.0.1:{port}/readyz");
                while !http.get(&url).send().await.is_ok_and(|answer| answer.status() == 200) {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        };
        let in_time = tokio::time::timeout(patience, ready).await;
        in_time.with_context(|| format!("the fleet is not ready; its logs are in {}", self.directory.display()))?;
        anyhow::ensure!(self.balancer.lock().await.is_running(), "haproxy ended");
        Ok(())
    }

    fn node(&self, service: Service) -> &Node {
        match service {
            Service::Edge(number) => &self.edges[number],
            Service::Emitter(number) => &self.emitters[number],
        }
    }

    /// Breaks something. Drains and stuck readers are not the fleet's: they have more to watch.
    pub(crate) async fn begin(&self, fault: Fault) -> anyhow::Result<()> {
        match fault {
            Fault::Kill(service) => self.node(service).process.lock().await.kill().await,
            Fault::Freeze(service) => self.node(service).process.lock().await.signal("STOP").await,
            Fault::KillRedis(node) => {
                let index = self.redis.index_of(node).await?;
                self.down.lock().await.push((fault, index));
                self.redis.kill(index).await
            }
            Fault::FreezeRedis(node) => {
                let index = self.redis.index_of(node).await?;
                self.down.lock().await.push((fault, index));
                self.redis.pause(index).await
            }
            Fault::RedisLink(service, fault) => {
                self.node(service).redis_links.iter().for_each(|link| spoil(link, fault, 100));
                Ok(())
            }
            Fault::ClientLink { edge, fault, percent } => {
                spoil(&self.edge_links[edge], fault, percent);
                Ok(())
            }
            Fault::TinyRedisBuffers => self.redis.set_tiny_buffers(true).await,
            Fault::Drain(_) | Fault::StuckReaders { .. } => Ok(()),
        }
    }

    /// Mends it.
    pub(crate) async fn end(&self, fault: Fault) -> anyhow::Result<()> {
        match fault {
            Fault::Kill(service) => self.node(service).process.lock().await.start(),
            Fault::Freeze(service) => self.node(service).process.lock().await.signal("CONT").await,
            Fault::KillRedis(_) | Fault::FreezeRedis(_) => {
                let mut down = self.down.lock().await;
                let Some(at) = down.iter().position(|(of, _)| *of == fault) else { return Ok(()) };
                let (_, index) = down.remove(at);
                match fault {
                    Fault::KillRedis(_) => self.redis.restart(index).await,
                    _ => self.redis.resume(index).await,
                }
            }
            Fault::RedisLink(service, _) => {
                self.node(service).redis_links.iter().for_each(Proxy::heal);
                Ok(())
            }
            Fault::ClientLink { edge, .. } => {
                self.edge_links[edge].heal();
                Ok(())
            }
            Fault::TinyRedisBuffers => self.redis.set_tiny_buffers(false).await,
            Fault::Drain(_) | Fault::StuckReaders { .. } => Ok(()),
        }
    }

    /// SIGTERM to an edge; when it has ended, or did not in time, a new one is started. Its exit code, if it was in time.
    pub(crate) async fn drain(&self, edge: usize, patience: Duration) -> anyhow::Result<Option<i32>> {
        let mut process = self.edges[edge].process.lock().await;
        process.signal("TERM").await?;
        let ended = process.ended(patience).await;
        process.kill().await?;
        process.start()?;
        Ok(ended.map(|code| code.unwrap_or(-1)))
    }

    /// Memory of an edge, bytes.
    pub(crate) async fn edge_memory(&self, edge: usize) -> Option<u64> {
        self.edges[edge].process.lock().await.memory_bytes()
    }
}

fn spoil(link: &Proxy, fault: LinkFault, percent: u64) {
    let (up, down) = fault.flows();
    if let LinkFault::Cut { cut, down: refuses } = fault {
        link.refuse(refuses);
        link.cut(cut, percent);
    }
    if (up, down) != (Flow::Open, Flow::Open) {
        link.set(up, down, percent);
    }
}

/// What every node is started with.
struct Settings<'a> {
    topology: Topology,
    directory: &'a PathBuf,
    redis: &'a Redis,
    /// The port of the escalation's receiver.
    webhook: u16,
}

impl Settings<'_> {
    /// Starts edge or emitter `number`.
    async fn node(&self, kind: &str, number: usize) -> anyhow::Result<Node> {
        let (redis_links, url) = self.redis_links().await?;
        let port = free_port()?;
        let name = format!("{kind}-{number}");
        let program = std::env::current_exe()?.with_file_name(format!("tickwire-{kind}"));
        let mut process = Process::new(&name, program, self.directory.join(format!("{name}.log")))
            .arguments(&["--listen", &format!("127.0.0.1:{port}"), "--redis", &url])
            .environment("TICKWIRE_AUTH__HS256_SECRET", SECRET)
            .environment("TICKWIRE_BACKPLANE__CONNECT_TIMEOUT_S", "60")
            .environment("TICKWIRE_NAMESPACES__USER", self.inbox_policy()?)
            .environment("MIMALLOC_ALLOW_THP", "0");
        process = if kind == "edge" {
            process
                .arguments(&["--node", &name])
                .environment("TICKWIRE_EDGE__DRAIN_MS", DRAIN_MS.to_string())
                .environment("TICKWIRE_EDGE__HEARTBEAT_INTERVAL_MS", HEARTBEAT_MS.to_string())
                .environment("TICKWIRE_EDGE__IDLE_TIMEOUT_MS", (HEARTBEAT_MS * 4).to_string())
                .environment("TICKWIRE_LIMITS__OUTBOX_BYTES", OUTBOX_BYTES.to_string())
                // All clients come from one address, and revoked ones try again.
                .environment("TICKWIRE_LIMITS__CONNECTIONS_PER_IP", "0")
                .environment("TICKWIRE_LIMITS__AUTH_FAILURES_PER_MINUTE", "0")
                .environment("TICKWIRE_LIMITS__BAN_SECONDS", "0")
        } else {
            process
                .environment("TICKWIRE_EMITTER__API_KEYS", API_KEY)
                .environment("TICKWIRE_ESCALATION__URL", format!("http://127.0.0.1:{}/", self.webhook))
                .environment("TICKWIRE_ESCALATION__SECRET", webhook::SECRET)
                .environment("TICKWIRE_ESCALATION__BACKOFF_MAX_MS", "2000")
        };
        process.start()?;
        Ok(Node { process: Mutex::new(process), port, redis_links })
    }

    /// Alerts wait for a replica, where there are any.
    fn inbox_policy(&self) -> anyhow::Result<String> {
        let replicas_min = u32::from(self.topology == Topology::Sentinel);
        Ok(serde_json::to_string(&Policy { replicas_min, ..Policy::inbox() })?)
    }

    /// A way of its own to each server, and the URL that leads there.
    async fn redis_links(&self) -> anyhow::Result<(Vec<Proxy>, String)> {
        let servers = self.redis.ports();
        let mut unrouted = Vec::new();
        let mut ports = Vec::new();
        for &server in &servers {
            let proxy = Proxy::bind().await?;
            ports.push((server, proxy.port()?));
            unrouted.push(proxy);
        }
        let translation = Arc::new(Translation::new(&ports));
        let mut links = Vec::new();
        for (proxy, &server) in unrouted.into_iter().zip(&servers) {
            let target = SocketAddr::from(([127, 0, 0, 1], server));
            links.push(proxy.route(target, Some(Arc::clone(&translation)))?);
        }
        let proxy_of = |server: u16| ports.iter().find(|(of, _)| *of == server).map_or(server, |&(_, proxy)| proxy);
        Ok((links, self.redis.url(proxy_of)))
    }
}
