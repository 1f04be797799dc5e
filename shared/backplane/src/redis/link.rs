//! The connections for calls to one master, dialled and given up together.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use redis::{
    AsyncConnectionConfig, Cmd, Pipeline, RedisError, Value,
    aio::{ConnectionLike, MultiplexedConnection},
};
use tokio::{sync::Notify, time::Instant};

use super::{config::RedisConfig, functions, topology::Master};

/// The trait's deadline for every call.
pub(super) const CALL_DEADLINE: Duration = Duration::from_secs(2);
/// How long a connection waits for one answer: less than a call, so that the cause is known when the call fails.
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_millis(1_500);
/// How long dialling one connection may take.
pub(super) const DIAL_TIMEOUT: Duration = Duration::from_secs(1);
/// How long calls wait for a link that was lost: a cut connection is dialled again in less, a server that is away is not.
const REDIAL_GRACE: Duration = Duration::from_millis(500);
/// Commands that one connection has under way; further ones wait in their callers.
const IN_FLIGHT_MAX: usize = 4_096;

/// One answer a command.
pub(super) type Answers = Vec<Result<Value, RedisError>>;

/// Which of a partition's connections to use.
#[derive(Debug, Clone, Copy)]
pub(super) enum Lane {
    /// Shared with others: short calls. A partition always gets the same one, which keeps its calls in order.
    Shared(usize),
    /// The caller's own for a while: big answers, and `WAIT`, which holds up all that follows it.
    Own(usize),
}

impl Lane {
    pub(super) const fn partition(self) -> usize {
        match self {
            Self::Shared(partition) | Self::Own(partition) => partition,
        }
    }
}

/// Connections for calls to one master.
///
/// Also in a cluster these are plain connections, and the partition decides which to take. The client library's own cluster
/// connection would send a pipeline again that was lost or redirected half-way, and so number messages twice.
pub(super) struct Link {
    address: String,
    /// Names the server's process, as the numbering's fence does.
    pub(super) run_id: String,
    shared: Vec<MultiplexedConnection>,
    /// How many replicas could take over from the master, as it said last.
    replicas: AtomicU32,
    pool: deadpool_redis::Pool,
}

impl Link {
    /// Dials, makes sure that the other end is a master, and loads the functions.
    pub(super) async fn dial(config: &RedisConfig, master: &Master) -> Result<Self, RedisError> {
        let settings = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(DIAL_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT))
            .set_pipeline_buffer_size(1_024)
            .set_concurrency_limit(IN_FLIGHT_MAX);
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
        let run_id = run_id(&mut shared[0]).await?;
        let link = Self { address: master.address.clone(), run_id, shared, replicas: AtomicU32::new(0), pool };
        link.load_functions().await?;
        Ok(link)
    }

    pub(super) fn replicas(&self) -> u32 {
        self.replicas.load(Ordering::Relaxed)
    }

    pub(super) fn set_replicas(&self, replicas: u32) {
        self.replicas.store(replicas, Ordering::Relaxed);
    }

    /// Loads this build's functions.
    pub(super) async fn load_functions(&self) -> Result<(), RedisError> {
        match functions::load().query_async::<Value>(&mut self.shared[0].clone()).await {
            Err(error) if !functions::were_loaded(&error) => Err(error),
            _ => Ok(()),
        }
    }

    /// Sends all in one go, and answers for each. An error: nothing is known of any.
    pub(super) async fn send(&self, lane: Lane, commands: &[Cmd]) -> Result<Answers, RedisError> {
        let mut pipeline = Pipeline::with_capacity(commands.len());
        for command in commands {
            pipeline.add_command(command.clone());
        }
        let answers = match lane {
            Lane::Shared(partition) => {
                let mut connection = self.shared[partition % self.shared.len()].clone();
                connection.req_packed_commands(&pipeline, 0, commands.len()).await?
            }
            Lane::Own(_) => {
                let mut connection = self.pool.get().await.map_err(from_pool)?;
                connection.req_packed_commands(&pipeline, 0, commands.len()).await?
            }
        };
        Ok(answers.into_iter().map(Value::extract_error).collect())
    }
}

/// By partition, the link to its master; empty while that is dialled.
pub(super) struct Links {
    by_partition: Mutex<Vec<Place>>,
    /// Tells the supervisor that a link was given up.
    pub(super) lost: Notify,
    /// Tells waiting calls that a link was made.
    made: Notify,
}

#[derive(Clone)]
struct Place {
    link: Option<Arc<Link>>,
    /// Since when there is none; `None` before the first.
    lost_at: Option<Instant>,
}

impl Links {
    pub(super) fn new(partitions: usize) -> Self {
        let empty = Place { link: None, lost_at: None };
        Self { by_partition: Mutex::new(vec![empty; partitions]), lost: Notify::new(), made: Notify::new() }
    }

    pub(super) fn get(&self, partition: usize) -> Option<Arc<Link>> {
        self.lock()[partition].link.clone()
    }

    /// The link, also if it has just been lost and is there again within [`REDIAL_GRACE`]. When Redis is away for longer,
    /// calls fail at once.
    pub(super) async fn wait(&self, partition: usize) -> Option<Arc<Link>> {
        loop {
            let made = self.made.notified();
            let Place { link, lost_at } = self.lock()[partition].clone();
            if link.is_some() {
                return link;
            }
            let rest = REDIAL_GRACE.checked_sub(lost_at?.elapsed())?;
            tokio::time::timeout(rest, made).await.ok()?;
        }
    }

    pub(super) fn are_complete(&self) -> bool {
        self.lock().iter().all(|place| place.link.is_some())
    }

    /// Whether all of `master`'s partitions have a link to it.
    pub(super) fn serve(&self, master: &Master) -> bool {
        let links = self.lock();
        let is_to_it = |link: &Arc<Link>| link.address == master.address;
        master.partitions.iter().all(|&partition| links[partition].link.as_ref().is_some_and(is_to_it))
    }

    /// From now on calls of `partitions` go through `link`.
    pub(super) fn set(&self, partitions: &[usize], link: &Arc<Link>) {
        let mut links = self.lock();
        for &partition in partitions {
            links[partition] = Place { link: Some(Arc::clone(link)), lost_at: None };
        }
        drop(links);
        self.made.notify_waiters();
    }

    /// From now on calls of `partitions` have no link.
    pub(super) fn clear(&self, partitions: &[usize]) {
        let mut links = self.lock();
        for &partition in partitions {
            links[partition].lose();
        }
    }

    /// Lets go of `link`, unless another took its place already.
    pub(super) fn give_up(&self, link: &Arc<Link>) {
        let mut was_in_use = false;
        for place in self.lock().iter_mut() {
            if place.link.as_ref().is_some_and(|current| Arc::ptr_eq(current, link)) {
                place.lose();
                was_in_use = true;
            }
        }
        if was_in_use {
            self.lost.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Place>> {
        self.by_partition.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    fn lose(&mut self) {
        if self.link.take().is_some() {
            self.lost_at = Some(Instant::now());
        }
    }
}

/// A demoted master answers pings as before: only its role tells.
pub(super) async fn check_master(connection: &mut MultiplexedConnection) -> Result<(), RedisError> {
    let role: Value = redis::cmd("ROLE").query_async(connection).await?;
    match role {
        Value::Array(parts) if matches!(parts.first(), Some(Value::BulkString(role)) if role == b"master") => Ok(()),
        _ => Err(std::io::Error::new(std::io::ErrorKind::NotConnected, "the server is no master").into()),
    }
}

async fn run_id(connection: &mut MultiplexedConnection) -> Result<String, RedisError> {
    let info: String = redis::cmd("INFO").arg("server").query_async(connection).await?;
    let run_id = info.lines().find_map(|line| line.strip_prefix("run_id:"));
    Ok(run_id.unwrap_or_default().to_owned())
}

fn from_pool(error: deadpool_redis::PoolError) -> RedisError {
    match error {
        deadpool_redis::PoolError::Backend(error) => error,
        // A timeout: it says that the pool is exhausted or the server slow, not that the connection is lost.
        other => std::io::Error::new(std::io::ErrorKind::TimedOut, other.to_string()).into(),
    }
}
