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
        Self::start_with(count, &[])
    }

    /// The same with further command line options.
    pub fn start_with(count: usize, options: &[&str]) -> Self {
        let mut masters = Vec::with_capacity(count);
        let mut bus_ports = Vec::with_capacity(count);
        for _ in 0..count {
            let bus_port = free_port().to_string();
            let mut all_options = vec!["--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf"];
            all_options.extend(["--cluster-node-timeout", "2000", "--cluster-port", &bus_port]);
            all_options.extend(options);
            masters.push(RedisServer::with_options(&all_options));
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

    /// Moves the slot of the keys that `keys_on` finds on one of the masters to the next master, keys and all.
    pub fn move_slot_of_key(&self, keys_on: impl Fn(&RedisServer) -> Vec<String>) {
        let found = self.masters.iter().enumerate().find_map(|(at, master)| Some((at, keys_on(master).pop()?)));
        let Some((from, key)) = found else { panic!("no master has such a key") };
        let (source, target) = (&self.masters[from], &self.masters[(from + 1) % self.masters.len()]);
        let slot = source.command::<u64>(&["CLUSTER", "KEYSLOT", &key]).to_string();
        let (source_id, target_id): (String, String) =
            (source.command(&["CLUSTER", "MYID"]), target.command(&["CLUSTER", "MYID"]));
        target.command::<()>(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &source_id]);
        source.command::<()>(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &target_id]);
        loop {
            let keys: Vec<String> = source.command(&["CLUSTER", "GETKEYSINSLOT", &slot, "100"]);
            if keys.is_empty() {
                break;
            }
            let port = target.port().to_string();
            let mut migrate = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "REPLACE", "KEYS"];
            migrate.extend(keys.iter().map(String::as_str));
            source.command::<()>(&migrate);
        }
        for master in [target, source].into_iter().chain(&self.masters) {
            master.command::<()>(&["CLUSTER", "SETSLOT", &slot, "NODE", &target_id]);
        }
    }

    /// Where to connect.
    pub fn url(&self) -> String {
        let hosts: Vec<String> = self.masters.iter().map(|master| format!("127.0.0.1:{}", master.port())).collect();
        format!("redis+cluster://{}", hosts.join(","))
    }
}
