//! The connections for calls, dialled and given up together.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use redis::{
    AsyncConnectionConfig, Cmd, Pipeline, RedisError, Value,
    aio::{ConnectionLike, MultiplexedConnection},
    cluster_async::ClusterConnection,
};

use super::{
    config::RedisConfig,
    error, functions,
    topology::{Master, Topology},
};
use crate::BackplaneError;

/// The trait's deadline for every call.
pub(super) const CALL_DEADLINE: Duration = Duration::from_secs(2);
/// How long a connection waits for one answer: less than a call, so that the cause is known when the call fails.
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_millis(1_500);
/// How long dialling one connection may take.
pub(super) const DIAL_TIMEOUT: Duration = Duration::from_secs(1);
/// Commands that one connection has under way; further ones wait in their callers.
const IN_FLIGHT_MAX: usize = 4_096;

/// Which of the connections to use.
#[derive(Debug, Clone, Copy)]
pub(super) enum Lane {
    /// Shared with others: short calls. A partition always gets the same one, which keeps its calls in order.
    Shared(usize),
    /// The caller's own for a while: big answers, and `WAIT`, which holds up all that follows it.
    Own,
}

/// Connections for calls to the masters of one moment.
pub(super) struct Link {
    /// The one master's address; empty for a cluster, whose connections follow its slots by themselves.
    pub(super) address: String,
    connections: Connections,
}

enum Connections {
    Master { shared: Vec<MultiplexedConnection>, pool: deadpool_redis::Pool },
    // The pool cannot carry a private certificate authority to a cluster's nodes; a few connections taken in turn can.
    Cluster { shared: Vec<ClusterConnection>, others: Vec<ClusterConnection>, turn: AtomicUsize },
}

/// Cluster connections for [`Lane::Own`]; each is a connection to every master.
const CLUSTER_OTHERS_MAX: usize = 4;

enum Connection {
    Shared(MultiplexedConnection),
    Pooled(deadpool_redis::Connection),
    Cluster(ClusterConnection),
}

impl Link {
    /// Dials, makes sure that the other end is a master, and loads the functions.
    pub(super) async fn dial(
        config: &RedisConfig,
        topology: &Topology,
        masters: &[Master],
    ) -> Result<Self, BackplaneError> {
        let link = match (topology.cluster_client(RESPONSE_TIMEOUT)?, masters) {
            (Some(client), _) => {
                let mut connections = Vec::with_capacity(config.publishers + CLUSTER_OTHERS_MAX);
                for _ in 0..config.publishers + config.pool_size.min(CLUSTER_OTHERS_MAX) {
                    connections.push(client.get_async_connection().await.map_err(error::from_redis)?);
                }
                let others = connections.split_off(config.publishers);
                let connections = Connections::Cluster { shared: connections, others, turn: AtomicUsize::new(0) };
                Self { address: String::new(), connections }
            }
            (None, [master]) => Self {
                address: master.address.clone(),
                connections: dial_master(config, master).await.map_err(error::from_redis)?,
            },
            (None, _) => return Err(error::unexpected("one master was expected")),
        };
        link.load_functions().await.map_err(error::from_redis)?;
        Ok(link)
    }

    /// Loads this build's functions into every master.
    pub(super) async fn load_functions(&self) -> Result<(), RedisError> {
        let mut connection = self.shared(0);
        functions::load().query_async::<Value>(&mut connection).await.map(drop)
    }

    /// Sends all, and answers for each. In a cluster all belong to one partition.
    pub(super) async fn send(
        &self,
        lane: Lane,
        commands: &[Cmd],
    ) -> Result<Vec<Result<Value, RedisError>>, RedisError> {
        let mut pipeline = Pipeline::with_capacity(commands.len());
        for command in commands {
            pipeline.add_command(command.clone());
        }
        let mut connection = match lane {
            Lane::Shared(partition) => self.shared(partition),
            Lane::Own => self.own().await?,
        };
        let answers = connection.req_packed_commands(&pipeline, 0, commands.len()).await?;
        Ok(answers.into_iter().map(Value::extract_error).collect())
    }

    fn shared(&self, partition: usize) -> Connection {
        match &self.connections {
            Connections::Master { shared, .. } => Connection::Shared(shared[partition % shared.len()].clone()),
            Connections::Cluster { shared, .. } => Connection::Cluster(shared[partition % shared.len()].clone()),
        }
    }

    async fn own(&self) -> Result<Connection, RedisError> {
        match &self.connections {
            Connections::Master { pool, .. } => pool.get().await.map(Connection::Pooled).map_err(from_pool),
            Connections::Cluster { others, turn, .. } => {
                let turn = turn.fetch_add(1, Ordering::Relaxed);
                Ok(Connection::Cluster(others[turn % others.len()].clone()))
            }
        }
    }
}

async fn dial_master(config: &RedisConfig, master: &Master) -> Result<Connections, RedisError> {
    let settings = connection_config();
    let mut shared = Vec::with_capacity(config.publishers);
    for _ in 0..config.publishers {
        shared.push(master.client.get_multiplexed_async_connection_with_config(&settings).await?);
    }
    check_master(&mut shared[0]).await?;
    let info = master.client.get_connection_info().clone();
    let manager = deadpool_redis::Manager::new_with_config(info, settings)?;
    let pool = deadpool_redis::Pool::builder(manager)
        .max_size(config.pool_size)
        .wait_timeout(Some(CALL_DEADLINE))
        .create_timeout(Some(DIAL_TIMEOUT))
        .recycle_timeout(Some(DIAL_TIMEOUT))
        .runtime(deadpool_redis::Runtime::Tokio1)
        .build()
        .map_err(|error| RedisError::from(std::io::Error::other(error)))?;
    Ok(Connections::Master { shared, pool })
}

pub(super) fn connection_config() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(DIAL_TIMEOUT))
        .set_response_timeout(Some(RESPONSE_TIMEOUT))
        .set_pipeline_buffer_size(1_024)
        .set_concurrency_limit(IN_FLIGHT_MAX)
}

/// A demoted master answers pings as before: only its role tells.
pub(super) async fn check_master(connection: &mut MultiplexedConnection) -> Result<(), RedisError> {
    let role: Value = redis::cmd("ROLE").query_async(connection).await?;
    match role {
        Value::Array(parts) if matches!(parts.first(), Some(Value::BulkString(role)) if role == b"master") => Ok(()),
        _ => Err(std::io::Error::new(std::io::ErrorKind::NotConnected, "the server is no master").into()),
    }
}

fn from_pool(error: deadpool_redis::PoolError) -> RedisError {
    match error {
        deadpool_redis::PoolError::Backend(error) => error,
        // A timeout: it says that the pool is exhausted or the server slow, not that the connection is lost.
        other => std::io::Error::new(std::io::ErrorKind::TimedOut, other.to_string()).into(),
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> redis::RedisFuture<'a, Value> {
        match self {
            Self::Shared(connection) => connection.req_packed_command(cmd),
            Self::Pooled(connection) => connection.req_packed_command(cmd),
            Self::Cluster(connection) => connection.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        cmd: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> redis::RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Shared(connection) => connection.req_packed_commands(cmd, offset, count),
            Self::Pooled(connection) => connection.req_packed_commands(cmd, offset, count),
            Self::Cluster(connection) => connection.req_packed_commands(cmd, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Shared(connection) => connection.get_db(),
            Self::Pooled(connection) => connection.get_db(),
            Self::Cluster(connection) => connection.get_db(),
        }
    }
}
