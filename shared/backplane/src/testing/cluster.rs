//! A Redis Cluster.

use super::{RedisServer, free_port, wait_until};

/// Masters that share the slots evenly, without replicas.
#[derive(Debug)]
pub struct RedisCluster {
    /// In order of their slots.
    pub masters: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts `count` masters and waits until they agree.
    pub fn start(count: usize) -> Self {
        let mut masters = Vec::with_capacity(count);
        let mut bus_ports = Vec::with_capacity(count);
        for _ in 0..count {
            let bus_port = free_port().to_string();
            masters.push(RedisServer::with_options(&[
                "--cluster-enabled",
                "yes",
                "--cluster-config-file",
                "nodes.conf",
                "--cluster-node-timeout",
                "2000",
                "--cluster-port",
                &bus_port,
            ]));
            bus_ports.push(bus_port);
        }
        for (index, master) in masters.iter().enumerate() {
            let (first, next) = (index * 16_384 / count, (index + 1) * 16_384 / count);
            master.command::<()>(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &(next - 1).to_string()]);
            // A config epoch of its own each, so that they need not be resolved.
            master.command::<()>(&["CLUSTER", "SET-CONFIG-EPOCH", &(index + 1).to_string()]);
        }
        for (master, bus_port) in masters.iter().zip(&bus_ports).skip(1) {
            masters[0].command::<()>(&["CLUSTER", "MEET", "127.0.0.1", &master.port().to_string(), bus_port]);
        }
        let cluster = Self { masters };
        cluster.wait_until_whole();
        cluster
    }

    /// Waits until every master knows all others and all slots.
    pub fn wait_until_whole(&self) {
        let nodes = format!("cluster_known_nodes:{}\r", self.masters.len());
        for master in &self.masters {
            wait_until("the cluster is whole", || {
                let info: String = master.command(&["CLUSTER", "INFO"]);
                info.contains("cluster_state:ok") && info.contains(&nodes)
            });
        }
    }

    /// Where to connect.
    pub fn url(&self) -> String {
        let hosts: Vec<String> = self.masters.iter().map(|master| format!("127.0.0.1:{}", master.port())).collect();
        format!("redis+cluster://{}", hosts.join(","))
    }
}
