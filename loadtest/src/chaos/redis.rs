//! The Redis servers of a fleet.
//!
//! They keep an append-only file: a server that is started again without its data would make its replicas forget theirs,
//! which is a loss that no promise is made about.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context;
use tickwire_backplane::testing::{RedisCluster, RedisSentinels, RedisServer};
use tokio::time::Instant;

use super::schedule::{RedisNode, Topology};

const REPLICAS: usize = 2;
const MASTERS: usize = 3;
/// What a subscriber may leave unread while buffers are tiny, and otherwise.
const TINY_BUFFER: &str = "pubsub 16384 16384 1";
const ROOMY_BUFFER: &str = "pubsub 268435456 67108864 60";
/// How often one looks whether all servers are back.
const POLL: Duration = Duration::from_millis(250);

enum Servers {
    Sentinel(RedisSentinels),
    Cluster(RedisCluster),
}

impl Servers {
    fn all(&mut self) -> &mut [RedisServer] {
        match self {
            Self::Sentinel(sentinels) => &mut sentinels.servers,
            Self::Cluster(cluster) => &mut cluster.masters,
        }
    }

    fn index_of(&self, node: RedisNode) -> usize {
        match (self, node) {
            (Self::Sentinel(sentinels), RedisNode::Replica(number)) => {
                (sentinels.master() + 1 + number) % sentinels.servers.len()
            }
            (Self::Sentinel(sentinels), _) => sentinels.master(),
            (Self::Cluster(_), RedisNode::Master(number) | RedisNode::Replica(number)) => number % MASTERS,
            (Self::Cluster(_), RedisNode::Primary) => 0,
        }
    }
}

/// All servers of one topology. Cloning shares them.
#[derive(Clone)]
pub(crate) struct Redis {
    servers: Arc<Mutex<Servers>>,
    topology: Topology,
    data_ports: Vec<u16>,
    sentinel_ports: Vec<u16>,
}

impl Redis {
    /// Starts them; takes some seconds.
    pub(crate) async fn start(topology: Topology) -> anyhow::Result<Self> {
        let started = tokio::task::spawn_blocking(move || {
            let durable = ["--appendonly", "yes", "--maxmemory-policy", "noeviction"];
            let buffer = ["--client-output-buffer-limit", ROOMY_BUFFER];
            let common: Vec<&str> = durable.into_iter().chain(buffer).collect();
            match topology {
                Topology::Sentinel => {
                    let safe = ["--min-replicas-to-write", "1", "--min-replicas-max-lag", "10"];
                    let options: Vec<&str> = common.into_iter().chain(safe).collect();
                    Servers::Sentinel(RedisSentinels::start_with(REPLICAS, &options))
                }
                Topology::Cluster => {
                    let named = ["--cluster-announce-ip", "127.0.0.1"];
                    let options: Vec<&str> = common.into_iter().chain(named).collect();
                    Servers::Cluster(RedisCluster::start_with(MASTERS, &options))
                }
            }
        });
        let mut servers = started.await.context("Redis does not start")?;
        let data_ports = servers.all().iter().map(RedisServer::port).collect();
        let sentinel_ports = match &servers {
            Servers::Sentinel(sentinels) => sentinels.sentinel_ports(),
            Servers::Cluster(_) => Vec::new(),
        };
        Ok(Self { servers: Arc::new(Mutex::new(servers)), topology, data_ports, sentinel_ports })
    }

    /// Ports of all servers, the data servers first.
    pub(crate) fn ports(&self) -> Vec<u16> {
        self.data_ports.iter().chain(&self.sentinel_ports).copied().collect()
    }

    /// How a service reaches them, if `port` is where a server's port is found for it.
    pub(crate) fn url(&self, port: impl Fn(u16) -> u16) -> String {
        let hosts = |ports: &[u16]| {
            ports.iter().map(|&server| format!("127.0.0.1:{}", port(server))).collect::<Vec<_>>().join(",")
        };
        match self.topology {
            Topology::Sentinel => format!("redis+sentinel://{}/main", hosts(&self.sentinel_ports)),
            Topology::Cluster => format!("redis+cluster://{}", hosts(&self.data_ports)),
        }
    }

    /// Which server `node` is now.
    pub(crate) async fn index_of(&self, node: RedisNode) -> anyhow::Result<usize> {
        self.with(move |servers| servers.index_of(node)).await
    }

    pub(crate) async fn kill(&self, index: usize) -> anyhow::Result<()> {
        self.with(move |servers| servers.all()[index].kill()).await
    }

    pub(crate) async fn restart(&self, index: usize) -> anyhow::Result<()> {
        self.with(move |servers| servers.all()[index].restart()).await
    }

    pub(crate) async fn pause(&self, index: usize) -> anyhow::Result<()> {
        self.with(move |servers| servers.all()[index].pause()).await
    }

    pub(crate) async fn resume(&self, index: usize) -> anyhow::Result<()> {
        self.with(move |servers| servers.all()[index].resume()).await
    }

    /// Makes the buffers of subscribers tiny on every server that answers, or roomy again.
    pub(crate) async fn set_tiny_buffers(&self, tiny: bool) -> anyhow::Result<()> {
        let limit = if tiny { TINY_BUFFER } else { ROOMY_BUFFER };
        for &port in &self.data_ports {
            // A server that is down now has its limits from its options when it comes back.
            if let Err(error) = ask(port, &["CONFIG", "SET", "client-output-buffer-limit", limit]).await {
                tracing::debug!(%error, port, "keeps its buffers");
            }
        }
        Ok(())
    }

    /// Waits until every server is back in its place.
    pub(crate) async fn is_whole_within(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if self.is_whole().await {
                return true;
            }
            tokio::time::sleep(POLL).await;
        }
        false
    }

    async fn is_whole(&self) -> bool {
        let replicas = format!("connected_slaves:{REPLICAS}\r");
        let online = format!("slave{}:", REPLICAS - 1);
        let mut masters = 0;
        for &port in &self.data_ports {
            let whole = match self.topology {
                Topology::Sentinel => ask(port, &["INFO", "replication"]).await.map(|info| {
                    let is_master = info.contains("role:master");
                    masters += usize::from(is_master);
                    if is_master {
                        let count = info.matches("state=online").count();
                        info.contains(&replicas) && info.contains(&online) && count == REPLICAS
                    } else {
                        info.contains("master_link_status:up")
                    }
                }),
                Topology::Cluster => {
                    ask(port, &["CLUSTER", "INFO"]).await.map(|info| info.contains("cluster_state:ok"))
                }
            };
            if !whole.unwrap_or(false) {
                return false;
            }
        }
        self.topology == Topology::Cluster || masters == 1
    }

    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Servers) -> T + Send + 'static,
    ) -> anyhow::Result<T> {
        let servers = Arc::clone(&self.servers);
        let done =
            tokio::task::spawn_blocking(move || work(&mut servers.lock().unwrap_or_else(PoisonError::into_inner)));
        done.await.context("a Redis server does not do as told")
    }
}

/// One command to one server, with an answer within a second.
async fn ask(port: u16, words: &[&str]) -> anyhow::Result<String> {
    use std::fmt::Write;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut command = format!("*{}\r\n", words.len());
    for word in words {
        write!(command, "${}\r\n{word}\r\n", word.len())?;
    }
    let answer = async {
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(command.as_bytes()).await?;
        // Every answer asked for here ends before this, and QUIT would end the connection before it were sent.
        let mut bytes = Vec::new();
        let mut wanted = usize::MAX;
        while bytes.len() < wanted {
            anyhow::ensure!(stream.read_buf(&mut bytes).await? > 0, "closed before the answer");
            wanted = reply_length(&bytes).unwrap_or(usize::MAX);
        }
        anyhow::ensure!(bytes[0] != b'-', "{}", String::from_utf8_lossy(&bytes).trim());
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    tokio::time::timeout(Duration::from_secs(1), answer).await?
}

/// Bytes of the reply that `bytes` begin with, as far as its first line tells.
fn reply_length(bytes: &[u8]) -> Option<usize> {
    let line = bytes.windows(2).position(|pair| pair == b"\r\n")? + 2;
    if bytes[0] != b'$' {
        return Some(line);
    }
    let length: usize = std::str::from_utf8(&bytes[1..line - 2]).ok()?.parse().ok()?;
    Some(line + length + 2)
}
