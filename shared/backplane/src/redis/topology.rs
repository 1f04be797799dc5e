//! Who numbers and stores now: the masters behind a URL.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, FromRedisValue, IntoConnectionInfo, RedisError,
    TlsCertificates, Value, io::tcp::TcpSettings,
};

use super::{
    config::{Place, PlaceKind, RedisConfig},
    error,
    keys::Keys,
};
use crate::BackplaneError;

/// How long a dial and one question to a Sentinel or cluster node may take.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the kernel retries unacknowledged bytes before it gives a connection up.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(5);

/// Where to look. No `Debug`: it holds passwords.
pub(super) struct Topology {
    shape: Shape,
    /// Whom to ask first; moves on with each question, so that a node with a stale view is not asked for ever.
    turn: AtomicUsize,
}

enum Shape {
    Single(ConnectionInfo),
    Sentinel { sentinels: Vec<ConnectionInfo>, name: String, data: ConnectionInfo },
    // `known`: the masters last seen, to be asked too when the nodes that the URL names are gone.
    Cluster { seeds: Vec<ConnectionInfo>, known: Mutex<Vec<ConnectionInfo>> },
}

/// A master and the partitions that it serves.
#[derive(Clone)]
pub(super) struct Master {
    /// `host:port`.
    pub(super) address: String,
    pub(super) client: Client,
    /// In order.
    pub(super) partitions: Vec<usize>,
}

impl Topology {
    pub(super) fn new(config: &RedisConfig) -> Result<Self, BackplaneError> {
        let place = Place::parse(&config.url)?;
        if place.tls {
            // Without one, rustls panics where a build holds more than one. An error: the process has chosen already.
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        }
        let tls = certificates(config)?;
        let info = |credentials: &str, host: &str, port: u16, path: &str| {
            let scheme = if place.tls { "rediss" } else { "redis" };
            let host = if host.contains(':') { host.to_owned() } else { format!("{host}:{port}") };
            connection_info(&format!("{scheme}://{credentials}{host}/{path}?protocol=resp3"), tls.as_ref())
        };
        let shape = match place.kind {
            PlaceKind::Single => Shape::Single(info(place.credentials, place.hosts[0], 6379, place.path)?),
            PlaceKind::Cluster => {
                let seeds = place.hosts.iter().map(|host| info(place.credentials, host, 6379, ""));
                Shape::Cluster { seeds: seeds.collect::<Result<_, _>>()?, known: Mutex::default() }
            }
            PlaceKind::Sentinel => {
                let with_password = |sentinel: ConnectionInfo| match &config.sentinel_password {
                    Some(password) => {
                        let settings = sentinel.redis_settings().clone().set_password(password);
                        sentinel.set_redis_settings(settings)
                    }
                    None => sentinel,
                };
                let sentinels = place.hosts.iter().map(|host| info("", host, 26_379, "").map(with_password));
                let data = info(place.credentials, place.hosts[0], 6379, "")?;
                Shape::Sentinel { sentinels: sentinels.collect::<Result<_, _>>()?, name: place.path.to_owned(), data }
            }
        };
        Ok(Self { shape, turn: AtomicUsize::new(0) })
    }

    /// Sharded pub/sub, several masters.
    pub(super) fn is_cluster(&self) -> bool {
        matches!(self.shape, Shape::Cluster { .. })
    }

    /// There is a replica.
    pub(super) fn is_sentinel(&self) -> bool {
        matches!(self.shape, Shape::Sentinel { .. })
    }

    /// Asks who is master of what now. Fails when no one answers or a partition has no master.
    pub(super) async fn masters(&self, keys: &Keys) -> Result<Vec<Master>, BackplaneError> {
        let all = || (0..keys.partitions()).collect();
        match &self.shape {
            Shape::Single(info) => Ok(vec![Master::new(info.clone(), all())?]),
            Shape::Sentinel { sentinels, name, data } => {
                let mut question = redis::cmd("SENTINEL");
                question.arg("GET-MASTER-ADDR-BY-NAME").arg(name);
                let read =
                    |_: &ConnectionInfo, answer: Value| Option::<(String, u16)>::from_redis_value(answer).ok()?;
                let (host, port) = self.ask(sentinels, &question, read).await?;
                Ok(vec![Master::new(at(data, &host, port), all())?])
            }
            Shape::Cluster { seeds, known } => {
                let mut question = redis::cmd("CLUSTER");
                question.arg("SLOTS");
                let lock = || known.lock().unwrap_or_else(PoisonError::into_inner);
                let whom: Vec<ConnectionInfo> = seeds.iter().cloned().chain(lock().iter().cloned()).collect();
                let ranges = self.ask(&whom, &question, slot_ranges).await?;
                let masters = assign(&ranges, keys, &seeds[0])?;
                *lock() = masters.iter().map(|master| master.client.get_connection_info().clone()).collect();
                Ok(masters)
            }
        }
    }

    /// Puts `question` to each in turn until one gives an answer that `read` understands.
    async fn ask<T>(
        &self,
        whom: &[ConnectionInfo],
        question: &Cmd,
        read: impl Fn(&ConnectionInfo, Value) -> Option<T>,
    ) -> Result<T, BackplaneError> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut last = error::unavailable("the answers name no master");
        for step in 0..whom.len() {
            let info = &whom[(turn + step) % whom.len()];
            match put(info, question).await.map(|answer| read(info, answer)) {
                Ok(Some(found)) => return Ok(found),
                Ok(None) => {}
                Err(error) => last = error::unavailable(error),
            }
        }
        Err(last)
    }
}

impl Master {
    fn new(info: ConnectionInfo, partitions: Vec<usize>) -> Result<Self, BackplaneError> {
        let address = info.addr().to_string();
        let client = Client::open(info).map_err(error::from_redis)?;
        Ok(Self { address, client, partitions })
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.address == other.address && self.partitions == other.partitions
    }
}

async fn put(info: &ConnectionInfo, question: &Cmd) -> Result<Value, RedisError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(QUESTION_TIMEOUT))
        .set_response_timeout(Some(QUESTION_TIMEOUT));
    let mut connection = Client::open(info.clone())?.get_multiplexed_async_connection_with_config(&config).await?;
    question.query_async(&mut connection).await
}

fn tcp_settings() -> TcpSettings {
    TcpSettings::default().set_nodelay(true).set_user_timeout(UNACKNOWLEDGED_MAX)
}

fn certificates(config: &RedisConfig) -> Result<Option<TlsCertificates>, BackplaneError> {
    let Some(path) = &config.ca_file else { return Ok(None) };
    let unreadable = |cause| BackplaneError::Config(format!("ca_file {}: {cause}", path.display()));
    let root_cert = std::fs::read(path).map_err(unreadable)?;
    Ok(Some(TlsCertificates { client_tls: None, root_cert: Some(root_cert) }))
}

/// Errors of parsing do not repeat the URL.
fn connection_info(url: &str, tls: Option<&TlsCertificates>) -> Result<ConnectionInfo, BackplaneError> {
    let wrong = |error: RedisError| BackplaneError::Config(format!("the Redis URL: {}", error.category()));
    let info = url.into_connection_info().map_err(wrong)?;
    let info = match tls {
        Some(tls) if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) => {
            Client::build_with_tls(info, tls.clone()).map_err(wrong)?.get_connection_info().clone()
        }
        _ => info,
    };
    Ok(info.set_tcp_settings(tcp_settings()))
}

/// `info` with another host.
fn at(info: &ConnectionInfo, host: &str, port: u16) -> ConnectionInfo {
    let addr = match info.addr() {
        ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
            ConnectionAddr::TcpTls { host: host.to_owned(), port, insecure: *insecure, tls_params: tls_params.clone() }
        }
        _ => ConnectionAddr::Tcp(host.to_owned(), port),
    };
    info.clone().set_addr(addr)
}

/// First slot, last slot, host, port of a range's master.
type SlotRange = (u16, u16, String, u16);

/// Reads `CLUSTER SLOTS`. A node that does not know its own address leaves it out: it is the one that was asked.
fn slot_ranges(asked: &ConnectionInfo, answer: Value) -> Option<Vec<SlotRange>> {
    let asked_host = match asked.addr() {
        ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => host.clone(),
        _ => return None,
    };
    let Value::Array(ranges) = answer else { return None };
    let range = |range: Value| {
        let Value::Array(parts) = range else { return None };
        let mut parts = parts.into_iter();
        let first = u16::from_redis_value(parts.next()?).ok()?;
        let last = u16::from_redis_value(parts.next()?).ok()?;
        let Value::Array(node) = parts.next()? else { return None };
        let mut node = node.into_iter();
        let host = Option::<String>::from_redis_value(node.next()?).ok()?;
        let port = u16::from_redis_value(node.next()?).ok()?;
        let host = host.filter(|host| !host.is_empty() && host != "?").unwrap_or_else(|| asked_host.clone());
        Some((first, last, host, port))
    };
    ranges.into_iter().map(range).collect()
}

fn assign(ranges: &[SlotRange], keys: &Keys, template: &ConnectionInfo) -> Result<Vec<Master>, BackplaneError> {
    let mut by_master: BTreeMap<(&str, u16), Vec<usize>> = BTreeMap::new();
    for partition in 0..keys.partitions() {
        let slot = keys.slot(partition);
        let Some((_, _, host, port)) = ranges.iter().find(|(first, last, ..)| (*first..=*last).contains(&slot)) else {
            return Err(error::unavailable("the cluster has slots without a master"));
        };
        by_master.entry((host, *port)).or_default().push(partition);
    }
    by_master.into_iter().map(|((host, port), partitions)| Master::new(at(template, host, port), partitions)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topology(url: &str) -> Topology {
        Topology::new(&RedisConfig::new(url)).unwrap()
    }

    #[tokio::test]
    async fn one_server_serves_all_partitions() {
        let keys = Keys::new(8);
        let masters = topology("redis://user:p%40ss@127.0.0.1:7000/3").masters(&keys).await.unwrap();
        assert_eq!(masters.len(), 1);
        assert_eq!(masters[0].address, "127.0.0.1:7000");
        assert_eq!(masters[0].partitions, (0..8).collect::<Vec<_>>());
        let settings = masters[0].client.get_connection_info().redis_settings().clone();
        assert_eq!((settings.db(), settings.password()), (3, Some("p@ss")));
    }

    #[test]
    fn three_equal_masters_get_equal_shares() {
        let keys = Keys::new(64);
        let template = "redis://h:1".into_connection_info().unwrap();
        let ranges = [(0, 5_460, "a".into(), 1), (5_461, 10_922, "b".into(), 1), (10_923, 16_383, "c".into(), 1)];
        let masters = assign(&ranges, &keys, &template).unwrap();
        let shares: Vec<usize> = masters.iter().map(|master| master.partitions.len()).collect();
        assert!(shares.iter().all(|share| (21..=22).contains(share)), "{shares:?}");
        assert!(assign(&ranges[..2], &keys, &template).is_err());
    }

    #[test]
    fn a_node_without_its_address_is_the_one_asked() {
        let asked = "redis://seed:7".into_connection_info().unwrap();
        let node = Value::Array(vec![Value::Nil, Value::Int(7)]);
        let answer = Value::Array(vec![Value::Array(vec![Value::Int(0), Value::Int(9), node])]);
        assert_eq!(slot_ranges(&asked, answer), Some(vec![(0, 9, "seed".into(), 7)]));
    }
}
