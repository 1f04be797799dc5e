//! The suite on each topology.

use super::{Nodes, RedisCluster, RedisSentinels, RedisServer, connect};

async fn single() -> Nodes {
    let server = RedisServer::start();
    Nodes::new(connect(server.url()).await, connect(server.url()).await).on(server)
}

async fn sentinel() -> Nodes {
    let servers = RedisSentinels::start(1);
    Nodes::new(connect(servers.url()).await, connect(servers.url()).await).on(servers)
}

async fn cluster() -> Nodes {
    let servers = RedisCluster::start(3);
    Nodes::new(connect(servers.url()).await, connect(servers.url()).await).on(servers)
}

mod on_one_server {
    tickwire_backplane::conformance_tests!(super::single);
}

mod on_sentinel {
    tickwire_backplane::conformance_tests!(together super::sentinel);
}

mod on_cluster {
    tickwire_backplane::conformance_tests!(together super::cluster);
}
