//! Configuration of the Redis backplane.

use std::{fmt, path::PathBuf, time::Duration};

use serde::Deserialize;

use super::topology::Topology;
use crate::BackplaneError;

/// Most partitions: more would make a cluster's subscribers ask too many questions to too few channels each.
pub const PARTITIONS_MAX: usize = 1_024;

/// How to reach Redis. Its `Debug` shows no secret.
#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RedisConfig {
    /// Where Redis is. Each may carry `user:password@`; with `rediss` instead of `redis` the connections use TLS.
    /// - `redis://host:port/db`: one server;
    /// - `redis+sentinel://h1:26379,h2:26379/master-name`: the master that these Sentinels name;
    /// - `redis+cluster://h1:6379,h2:6379`: a Redis Cluster, found through these nodes.
    pub url: String,
    /// Password of the Sentinels, where they ask for one (the URL's is the data servers').
    pub sentinel_password: Option<String>,
    /// PEM file with the certificates to trust for TLS, instead of the public roots.
    pub ca_file: Option<PathBuf>,
    /// Parts that the key space is cut into, 1 to 1024. The names of keys depend on it: every process of a deployment has
    /// the same, and a change starts from an empty store.
    pub partitions: usize,
    /// Connections for publishing, 1 to 16. Each carries many calls at once; a channel always uses the same.
    pub publishers: usize,
    /// Connections for reading (history, inboxes, presence) and for publishing with confirmation by replicas, 1 to 256.
    pub pool_size: usize,
    /// Replicas that must confirm a critical message of an inbox before its publish is acknowledged, over and above its
    /// namespace's `replicas_min`. Unless 0 it is a lower bound: every replica that could take over must confirm. Absent: 1
    /// where Sentinels are named, which imply a replica, otherwise 0.
    pub critical_replicas: Option<u32>,
    /// How long starting waits for the first connection, seconds.
    pub connect_timeout_s: u64,
}

impl Default for RedisConfig {
    fn default() -> Self {
        Self {
            url: "redis://127.0.0.1:6379".into(),
            sentinel_password: None,
            ca_file: None,
            partitions: 64,
            publishers: 2,
            pool_size: 16,
            critical_replicas: None,
            connect_timeout_s: 10,
        }
    }
}

impl RedisConfig {
    /// One with this URL and defaults for everything else.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), ..Self::default() }
    }

    pub(super) fn connect_timeout(&self) -> Duration {
        Duration::from_secs(self.connect_timeout_s)
    }

    /// Finds what is wrong without reaching for Redis: a key out of its bounds, a URL or a file of certificates that cannot
    /// be read.
    pub fn validate(&self) -> Result<(), BackplaneError> {
        self.check_bounds()?;
        Topology::new(self).map(drop)
    }

    /// Names the first key that is out of its bounds.
    pub(super) fn check_bounds(&self) -> Result<(), BackplaneError> {
        let within = |key: &str, value: usize, max: usize| {
            if (1..=max).contains(&value) {
                Ok(())
            } else {
                Err(BackplaneError::Config(format!("{key} must be 1 to {max}, not {value}")))
            }
        };
        within("partitions", self.partitions, PARTITIONS_MAX)?;
        within("publishers", self.publishers, 16)?;
        within("pool_size", self.pool_size, 256)
    }

    /// The URL without its user and password, for messages.
    pub fn display_url(&self) -> String {
        match (self.url.split_once("://"), self.url.rsplit_once('@')) {
            (Some((scheme, _)), Some((_, place))) => format!("{scheme}://{place}"),
            _ => self.url.clone(),
        }
    }
}

impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConfig")
            .field("url", &self.display_url())
            .field("sentinel_password", &self.sentinel_password.as_ref().map(|_| "***"))
            .field("ca_file", &self.ca_file)
            .field("partitions", &self.partitions)
            .field("publishers", &self.publishers)
            .field("pool_size", &self.pool_size)
            .field("critical_replicas", &self.critical_replicas)
            .field("connect_timeout_s", &self.connect_timeout_s)
            .finish()
    }
}

/// A URL's parts. No `Debug`: it holds the password.
pub(super) struct Place<'a> {
    pub(super) kind: PlaceKind,
    pub(super) tls: bool,
    /// `user:password@`, as written.
    pub(super) credentials: &'a str,
    /// `host:port` of each.
    pub(super) hosts: Vec<&'a str>,
    /// What follows the hosts' `/`.
    pub(super) path: &'a str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PlaceKind {
    Single,
    Sentinel,
    Cluster,
}

impl<'a> Place<'a> {
    /// Reads a URL. Its errors never repeat it.
    pub(super) fn parse(url: &'a str) -> Result<Self, BackplaneError> {
        let wrong = |why: &str| BackplaneError::Config(format!("the Redis URL {why}"));
        let (scheme, rest) = url.split_once("://").ok_or_else(|| wrong("has no scheme"))?;
        let (kind, tls) = match scheme {
            "redis" => (PlaceKind::Single, false),
            "rediss" => (PlaceKind::Single, true),
            "redis+sentinel" => (PlaceKind::Sentinel, false),
            "rediss+sentinel" => (PlaceKind::Sentinel, true),
            "redis+cluster" => (PlaceKind::Cluster, false),
            "rediss+cluster" => (PlaceKind::Cluster, true),
            _ => {
                return Err(wrong(
                    "must begin with redis, rediss, redis+sentinel, rediss+sentinel, redis+cluster or rediss+cluster",
                ));
            }
        };
        let at = rest.rfind('@').map_or(0, |at| at + 1);
        let (credentials, place) = rest.split_at(at);
        let (hosts, path) = place.split_once('/').unwrap_or((place, ""));
        let hosts: Vec<&str> = hosts.split(',').filter(|host| !host.is_empty()).collect();
        let path = path.trim_end_matches('/');
        match (kind, hosts.len()) {
            (_, 0) => Err(wrong("names no host")),
            (PlaceKind::Single, 2..) => Err(wrong("names several hosts: use redis+sentinel or redis+cluster")),
            (PlaceKind::Sentinel, _) if path.is_empty() => Err(wrong("must end with /master-name for Sentinel")),
            (PlaceKind::Cluster, _) if !path.is_empty() => {
                Err(wrong("must have no path for a cluster: it has one database"))
            }
            _ => Ok(Self { kind, tls, credentials, hosts, path }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_all_kinds_are_read() {
        let place = Place::parse("rediss+sentinel://u:p%40@a:1,b:2/main").ok().unwrap();
        assert_eq!((place.kind, place.tls), (PlaceKind::Sentinel, true));
        assert_eq!((place.credentials, place.hosts, place.path), ("u:p%40@", vec!["a:1", "b:2"], "main"));
        let place = Place::parse("redis+cluster://a:1,b:2").ok().unwrap();
        assert_eq!((place.kind, place.hosts.len()), (PlaceKind::Cluster, 2));
        let place = Place::parse("redis://a:1/3").ok().unwrap();
        assert_eq!((place.kind, place.path), (PlaceKind::Single, "3"));
    }

    #[test]
    fn wrong_urls_are_refused_without_repeating_them() {
        for url in [
            "hunter2",
            "http://hunter2@a",
            "redis://hunter2@",
            "redis://hunter2@a,b",
            "redis+sentinel://hunter2@a",
            "redis+cluster://hunter2@a/1",
        ] {
            let Err(error) = Place::parse(url) else { panic!("{url} was taken") };
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let config = RedisConfig {
            sentinel_password: Some("hunter2".into()),
            ..RedisConfig::new("redis+sentinel://user:hunter2@a:1,b:2/main")
        };
        let shown = format!("{config:?}");
        assert!(!shown.contains("hunter2") && shown.contains("a:1,b:2/main"), "{shown}");
    }

    #[test]
    fn bounds_are_checked() {
        assert!(RedisConfig::default().validate().is_ok());
        assert!(RedisConfig { partitions: 0, ..RedisConfig::default() }.validate().is_err());
        assert!(RedisConfig { publishers: 17, ..RedisConfig::default() }.validate().is_err());
        assert!(RedisConfig::new("http://somewhere").validate().is_err());
        let no_file = Some("/nowhere/ca.pem".into());
        assert!(RedisConfig { ca_file: no_file, ..RedisConfig::new("rediss://a") }.validate().is_err());
    }
}
