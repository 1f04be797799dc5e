//! What a run shall do.

use std::{fmt, path::PathBuf};

use crate::error::LoadError;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

/// Options whose values are nobody's business.
const SECRETS: [&str; 3] = ["--secret", "--token", "--api-key"];
/// Longest prefix of names.
const PREFIX_BYTES_MAX: usize = 32;

/// Settings of a run. What is left out, the scenario decides.
#[derive(Debug, Clone, PartialEq, Args, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settings {
    /// What to do.
    #[arg(long, value_enum)]
    pub scenario: Scenario,
    /// An edge, such as `ws://127.0.0.1:8000`, or `wss://` where it speaks TLS; several may be given.
    #[arg(long = "target", required = true)]
    pub targets: Vec<String>,
    /// Authorities of edges' certificates (`wss://`), a PEM file.
    #[arg(long = "ca", value_name = "FILE", default_value = "/etc/ssl/certs/ca-certificates.crt")]
    pub ca_file: PathBuf,
    /// Take any certificate of an edge: inside a cluster they are made for another name.
    #[arg(long)]
    pub insecure: bool,
    /// The emitter, such as `http://127.0.0.1:8001`; several may be given, each takes a part of the channels.
    #[arg(long = "emitter")]
    pub emitters: Vec<String>,
    /// Clients.
    #[arg(long, default_value_t = 1_000)]
    pub connections: u32,
    /// How long messages are published, seconds.
    #[arg(long = "duration")]
    pub duration_s: Option<f64>,
    /// Channels in all.
    #[arg(long)]
    pub channels: Option<u32>,
    /// Channels of each client.
    #[arg(long)]
    pub channels_per_client: Option<u32>,
    /// Messages a second in each channel.
    #[arg(long)]
    pub rate: Option<f64>,
    /// Bytes of each message's data.
    #[arg(long = "payload", default_value_t = 128)]
    pub payload_bytes: u32,
    /// New connections a second at most.
    #[arg(long, default_value_t = 2_000)]
    pub connect_rate: u32,
    /// Share of clients that read slowly, 0 to 1.
    #[arg(long)]
    pub slow_share: Option<f64>,
    /// How fast these read, kbit/s.
    #[arg(long)]
    pub slow_kbit: Option<u32>,
    /// Share of clients that use Server-Sent Events, 0 to 1.
    #[arg(long)]
    pub sse_share: Option<f64>,
    /// Share of clients that use long polling, 0 to 1.
    #[arg(long)]
    pub poll_share: Option<f64>,
    /// Connections that leave and come back each second.
    #[arg(long)]
    pub churn_rate: Option<f64>,
    /// Come back to the same edge; otherwise the next one is taken.
    #[arg(long)]
    pub sticky: bool,
    /// Offer no subprotocol: the edge then sends one message a frame instead of packing what waits.
    #[arg(long)]
    pub unpacked: bool,
    /// The secret that the edges verify tokens with (HS256): each client gets a user of its own.
    #[arg(long, env = "TICKWIRE_LOADTEST_SECRET", hide_env_values = true)]
    pub secret: Option<String>,
    /// A ready token for all clients instead; scenarios with a channel per user need `--secret`.
    #[arg(long, env = "TICKWIRE_LOADTEST_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// The emitter's API key.
    #[arg(long, env = "TICKWIRE_LOADTEST_API_KEY", hide_env_values = true)]
    pub api_key: Option<String>,
    /// Threads that hold clients; 0 = one per core.
    #[arg(long, default_value_t = 0)]
    pub workers: u32,
    /// Connections that publish.
    #[arg(long, default_value_t = 4)]
    pub publishers: u32,
    /// Addresses 127.0.0.x that clients of a loopback target connect from; 0 = enough for 500 connections each.
    #[arg(long, default_value_t = 0)]
    pub source_addresses: u32,
    /// How long connecting may take beyond what the rate asks for, seconds.
    #[arg(long = "connect-patience", default_value_t = 60.0)]
    pub connect_patience_s: f64,
    /// How long clients may take to catch up after the last message, seconds.
    #[arg(long = "settle", default_value_t = 15.0)]
    pub settle_s: f64,
    /// Begins the names of users and channels; a random one keeps runs apart.
    #[arg(long)]
    pub prefix: Option<String>,
}

impl Settings {
    /// What names begin with: as given, or random.
    pub fn prefix(&self) -> Result<String, LoadError> {
        let Some(given) = &self.prefix else { return Ok(format!("lt{:08x}", rand::random::<u32>())) };
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if given.is_empty() || given.len() > PREFIX_BYTES_MAX || !given.bytes().all(fits) {
            return Err(LoadError::Settings(format!(
                "--prefix is 1 to {PREFIX_BYTES_MAX} letters, digits, `-` or `_`, not `{given}`"
            )));
        }
        Ok(given.clone())
    }

    /// Threads that hold clients.
    pub fn worker_count(&self) -> usize {
        match self.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            given => given as usize,
        }
    }
}

/// A command line with the values of secret options blanked.
pub fn without_secrets(command: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut hides_next = false;
    let blank = |argument: String| {
        let hidden = std::mem::replace(&mut hides_next, SECRETS.contains(&argument.as_str()));
        let assigned = argument.split_once('=').map(|(name, _)| name).filter(|name| SECRETS.contains(name));
        match assigned {
            Some(name) => format!("{name}=***"),
            None if hidden => "***".to_owned(),
            None => argument,
        }
    };
    command.into_iter().map(blank).collect()
}

/// What a run does to the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scenario {
    /// Connected and subscribed; nothing is published.
    Idle,
    /// One channel, all clients.
    Fanout,
    /// 50 channels of prices, each client on 10, 20 messages a second each.
    Ticks,
    /// An inbox per client; critical alerts are acknowledged.
    Inbox,
    /// A trading day: sessions, ticks, alerts, 5 % slow readers, SSE and polling clients.
    Mixed,
    /// All clients drop and come back at once.
    Storm,
    /// Clients come and go.
    Churn,
    /// Readers at 64 kbit/s beside fast ones.
    Slow,
    /// Ten times the rate for 30 s.
    Spike,
    /// `mixed` for long, with some churn.
    Soak,
}

impl Scenario {
    /// Every scenario.
    pub const ALL: [Self; 10] = [
        Self::Idle,
        Self::Fanout,
        Self::Ticks,
        Self::Inbox,
        Self::Mixed,
        Self::Storm,
        Self::Churn,
        Self::Slow,
        Self::Spike,
        Self::Soak,
    ];

    /// As in commands and documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Fanout => "fanout",
            Self::Ticks => "ticks",
            Self::Inbox => "inbox",
            Self::Mixed => "mixed",
            Self::Storm => "storm",
            Self::Churn => "churn",
            Self::Slow => "slow",
            Self::Spike => "spike",
            Self::Soak => "soak",
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_stay_out_of_the_record() {
        let command = ["run", "--secret", "abc", "--api-key=def", "--target", "ws://x"].map(str::to_owned);
        let shown = without_secrets(command);
        assert_eq!(shown, ["run", "--secret", "***", "--api-key=***", "--target", "ws://x"]);
    }
}
