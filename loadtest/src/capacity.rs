//! How many edges, Redis shards and what network a number of connections needs, from measured costs. Pure arithmetic: what it
//! assumes is printed with what it says.

use std::fmt::Write;

use clap::Args;

/// Costs and loads; the defaults are the README's measured figures and a trading day's load.
#[derive(Debug, Clone, Args)]
pub struct Capacity {
    /// Connections, several sizes.
    #[arg(long, value_delimiter = ',', default_value = "10000,100000,1000000,10000000")]
    pub connections: Vec<u64>,
    /// Messages a second that one client gets.
    #[arg(long, default_value_t = 5.0)]
    pub received_per_s: f64,
    /// Publishes a second to channels that clients of all edges read, such as prices.
    #[arg(long, default_value_t = 2_000.0)]
    pub shared_per_s: f64,
    /// Publishes a second and client to channels that one edge serves, such as inboxes and sessions.
    #[arg(long, default_value_t = 0.05)]
    pub own_per_s: f64,
    /// Bytes of a message on a client's wire.
    #[arg(long, default_value_t = 265.0)]
    pub wire_bytes: f64,
    /// Memory of a connection in an edge, bytes.
    #[arg(long, default_value_t = 4_580.0)]
    pub connection_bytes: f64,
    /// The kernel's memory for a connection whose client reads, bytes.
    #[arg(long, default_value_t = 4_000.0)]
    pub kernel_bytes: f64,
    /// CPU of an edge for a delivery, microseconds.
    #[arg(long, default_value_t = 5.7)]
    pub delivery_us: f64,
    /// Connects a second that a core of an edge takes.
    #[arg(long, default_value_t = 13_847.0)]
    pub connects_per_s: f64,
    /// CPU of Redis for a publish, microseconds.
    #[arg(long, default_value_t = 14.1)]
    pub publish_us: f64,
    /// CPU of Redis for each edge that a publish goes to, microseconds (published by others: 650,000 a second).
    #[arg(long, default_value_t = 1.54)]
    pub copy_us: f64,
    /// Cores of an edge.
    #[arg(long, default_value_t = 8.0)]
    pub edge_cores: f64,
    /// Memory of an edge, GiB.
    #[arg(long, default_value_t = 16.0)]
    pub edge_gib: f64,
    /// Connections that an edge takes at most (`limits.connections_per_node`).
    #[arg(long, default_value_t = 100_000)]
    pub edge_connections: u64,
    /// Share of cores, memory and connections that is used in calm times, 0 to 1; the rest is for storms and lost nodes.
    #[arg(long, default_value_t = 0.6)]
    pub utilization: f64,
}

/// What one size needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Need {
    /// Connections.
    pub connections: u64,
    /// Edges, one spare among them.
    pub edges: u64,
    /// What decides on their number.
    pub limit: &'static str,
    /// Redis primaries.
    pub shards: u64,
    /// Out of one edge to its clients, Gbit/s.
    pub edge_gbit: f64,
    /// Out of all Redis primaries to edges, Gbit/s.
    pub redis_gbit: f64,
    /// How long all cores of the other edges are busy with taking the clients of a lost one, milliseconds.
    pub takeover_ms: f64,
}

impl Capacity {
    /// What the sizes need; an error in words where a figure makes no sense.
    pub fn needs(&self) -> Result<Vec<Need>, String> {
        let figures = [
            ("--edge-cores", self.edge_cores),
            ("--edge-gib", self.edge_gib),
            ("--connects-per-s", self.connects_per_s),
            ("--utilization", self.utilization),
        ];
        if let Some((name, _)) = figures.into_iter().find(|(_, value)| !(value.is_finite() && *value > 0.0)) {
            return Err(format!("{name} is above 0"));
        }
        if self.utilization > 1.0 || self.edge_connections == 0 || self.connections.contains(&0) {
            return Err("--utilization is 1 at most; connections begin at 1".to_owned());
        }
        Ok(self.connections.iter().map(|&connections| self.need(connections)).collect())
    }

    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "sizes in round numbers"
    )]
    fn need(&self, connections: u64) -> Need {
        let clients = connections as f64;
        let deliveries_per_s = clients * self.received_per_s;
        let by = [
            ("CPU", deliveries_per_s * self.delivery_us / 1e6 / self.edge_cores),
            ("memory", clients * (self.connection_bytes + self.kernel_bytes) / (self.edge_gib * 1024.0_f64.powi(3))),
            ("connections", clients / self.edge_connections as f64),
        ];
        let (limit, most) = by.into_iter().max_by(|(_, a), (_, b)| a.total_cmp(b)).unwrap_or(("CPU", 0.0));
        // With one alone, losing it is an outage.
        let edges = ((most / self.utilization).ceil() as u64).max(1) + 1;
        let own_per_s = clients * self.own_per_s;
        let copies_per_s = self.shared_per_s * edges as f64 + own_per_s;
        let redis_cores = ((self.shared_per_s + own_per_s) * self.publish_us + copies_per_s * self.copy_us) / 1e6;
        let takeover_ms = 1e3 * clients / edges as f64 / (self.connects_per_s * self.edge_cores * (edges - 1) as f64);
        Need {
            connections,
            edges,
            limit,
            shards: ((redis_cores / self.utilization).ceil() as u64).max(1),
            edge_gbit: deliveries_per_s * self.wire_bytes * 8.0 / 1e9 / edges as f64,
            redis_gbit: copies_per_s * self.wire_bytes * 8.0 / 1e9,
            takeover_ms,
        }
    }

    /// A Markdown table, and the assumptions under it.
    pub fn table(&self) -> Result<String, String> {
        let mut text = String::from(
            "| connections | edges | decided by | Redis primaries | out of an edge | out of Redis | taking over a lost edge's clients |\n\
             | --- | --- | --- | --- | --- | --- | --- |\n",
        );
        for need in self.needs()? {
            let Need { connections, edges, limit, shards, edge_gbit, redis_gbit, takeover_ms } = need;
            // Writing to a String does not fail.
            let _ = writeln!(
                text,
                "| {connections} | {edges} | {limit} | {shards} | {edge_gbit:.2} Gbit/s | {redis_gbit:.2} Gbit/s | {takeover_ms:.0} ms |"
            );
        }
        let _ = write!(
            text,
            "\nAssumed: a client gets {} messages a second of {} bytes; {} publishes a second go to every edge, {} a second and client to \
             one; an edge has {} cores, {} GiB and takes {} connections, {:.0} % of each in use. Costs: {} + {} bytes a connection \
             (process + kernel), {} µs of an edge a delivery, {} connects a second and core, {} µs of Redis a publish and {} µs a copy \
             to an edge. One edge is spare; replicas of Redis come on top. Not in it: TLS, deflate, slow readers' outboxes, history in Redis.\n",
            self.received_per_s,
            self.wire_bytes,
            self.shared_per_s,
            self.own_per_s,
            self.edge_cores,
            self.edge_gib,
            self.edge_connections,
            self.utilization * 100.0,
            self.connection_bytes,
            self.kernel_bytes,
            self.delivery_us,
            self.connects_per_s,
            self.publish_us,
            self.copy_us,
        );
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        capacity: Capacity,
    }

    fn of(arguments: &[&str]) -> Capacity {
        Cli::parse_from([&["plan"], arguments].concat()).capacity
    }

    #[test]
    fn each_resource_decides_where_it_is_short() {
        let only = |arguments: &[&str]| {
            let [need] = &of(&[&["--connections=1000000"], arguments].concat()).needs().unwrap()[..] else { panic!() };
            (need.edges, need.limit)
        };
        // A million at 60,000 an edge, and the spare one.
        assert_eq!(only(&["--received-per-s=0"]), (18, "connections"));
        // 57 cores at 4.8 an edge.
        assert_eq!(only(&["--received-per-s=10", "--edge-connections=1000000"]), (13, "CPU"));
        assert_eq!(only(&["--edge-gib=1", "--received-per-s=0"]), (18, "connections"));
        assert_eq!(only(&["--edge-gib=0.5", "--received-per-s=0"]), (28, "memory"));
    }

    #[test]
    fn redis_pays_for_each_edge_that_a_publish_goes_to() {
        let need = |shared: &str| of(&["--connections=1000000", "--own-per-s=0", shared]).needs().unwrap()[0].clone();
        let (few, many) = (need("--shared-per-s=1000"), need("--shared-per-s=100000"));
        assert_eq!(few.shards, 1);
        assert_eq!(many.shards, 7, "{many:?}");
        assert!((many.redis_gbit / few.redis_gbit - 100.0).abs() < 1e-6);
    }

    #[test]
    fn nonsense_is_refused_in_words() {
        for wrong in
            ["--utilization=0", "--utilization=1.5", "--edge-cores=0", "--connections=0", "--edge-connections=0"]
        {
            assert!(of(&[wrong]).table().is_err(), "{wrong}");
        }
        assert!(of(&[]).table().unwrap().contains("| 10000000 |"));
    }
}
