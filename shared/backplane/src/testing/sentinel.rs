//! A master with replicas that three Sentinels watch.

use redis::FromRedisValue;

use super::{Directory, RedisServer, wait_until};

const NAME: &str = "main";
const SENTINELS: usize = 3;

/// Data servers and their Sentinels, which take a second of silence for death.
#[derive(Debug)]
pub struct RedisSentinels {
    /// The first is the master at the start.
    pub servers: Vec<RedisServer>,
    sentinels: Vec<RedisServer>,
    _configs: Vec<Directory>,
}

impl RedisSentinels {
    /// Starts a master, `replicas` replicas and three Sentinels, and waits until each knows all others.
    pub fn start(replicas: usize) -> Self {
        Self::start_with(replicas, &[])
    }

    /// The same with further command line options for the data servers.
    pub fn start_with(replicas: usize, options: &[&str]) -> Self {
        let mut all_options = vec!["--repl-diskless-sync-delay", "0"];
        all_options.extend(options);
        let master = RedisServer::with_options(&all_options);
        let address = format!("127.0.0.1 {}", master.port());
        let mut servers = vec![master];
        all_options.extend(["--replicaof", &address]);
        for _ in 0..replicas {
            servers.push(RedisServer::with_options(&all_options));
        }
        wait_until("the replicas are connected", || {
            let info: String = servers[0].command(&["INFO", "replication"]);
            info.matches("state=online").count() == replicas
        });
        let config = format!(
            "sentinel monitor {NAME} {address} 2\nsentinel down-after-milliseconds {NAME} 1000\n\
             sentinel failover-timeout {NAME} 5000\nsentinel parallel-syncs {NAME} 1\n"
        );
        let mut sentinels = Vec::new();
        let mut configs = Vec::new();
        for _ in 0..SENTINELS {
            let directory = Directory::new();
            let path = directory.write("sentinel.conf", &config).display().to_string();
            sentinels.push(RedisServer::with_options(&[&path, "--sentinel"]));
            configs.push(directory);
        }
        let all = Self { servers, sentinels, _configs: configs };
        all.wait_until_acquainted(replicas);
        all
    }

    fn wait_until_acquainted(&self, replicas: usize) {
        for sentinel in &self.sentinels {
            wait_until("the Sentinels know each other", || {
                let master: std::collections::HashMap<String, String> = sentinel.command(&["SENTINEL", "MASTER", NAME]);
                let has = |field: &str, count: usize| master.get(field).is_some_and(|text| *text == count.to_string());
                has("num-other-sentinels", SENTINELS - 1) && has("num-slaves", replicas)
            });
        }
    }

    /// Where to connect.
    pub fn url(&self) -> String {
        let hosts: Vec<String> = self.sentinels.iter().map(|one| format!("127.0.0.1:{}", one.port())).collect();
        format!("redis+sentinel://{}/{NAME}", hosts.join(","))
    }

    /// The Sentinels' ports.
    pub fn sentinel_ports(&self) -> Vec<u16> {
        self.sentinels.iter().map(RedisServer::port).collect()
    }

    /// The index of the server that the Sentinels call master.
    pub fn master(&self) -> usize {
        let answer = self.sentinels[0].command(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME]);
        let port = <(String, u16)>::from_redis_value(answer).map_or(0, |(_, port)| port);
        self.servers.iter().position(|server| server.port() == port).unwrap_or_default()
    }
}
