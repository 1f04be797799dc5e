//! From settings to who subscribes to what, what is published, and what happens when. Pure.

use std::{ops::Range, time::Duration};

use tickwire_protocol::{ChannelName, DeliveryClass};

use crate::{
    error::LoadError,
    settings::{Scenario, Settings},
};

mod scenarios;

/// Clients that one source address is used for.
const CLIENTS_PER_SOURCE: u32 = 500;
/// Source addresses at most: those of 127.0.0.0/24 without .0 and .255.
const SOURCES_MAX: u32 = 254;
/// A spike's length at most.
const SPIKE: Duration = Duration::from_secs(30);
/// A spike's rate, as a multiple.
const SPIKE_FACTOR: f64 = 10.0;

/// All of a run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What it is called.
    pub scenario: Scenario,
    /// Every channel.
    pub channels: Vec<ChannelPlan>,
    /// Every client.
    pub clients: Vec<ClientPlan>,
    /// How long messages are published.
    pub duration: Duration,
    /// When all clients drop and come back, from the start of publishing.
    pub storm_at: Option<Duration>,
    /// When the rate is ten times as high, from the start of publishing.
    pub spike: Option<Range<Duration>>,
    /// Clients a second that leave and come back.
    pub churn_hz: f64,
    /// Reading speed of slow clients, bytes a second.
    pub slow_bytes_per_s: u32,
    /// Addresses to connect from, where the target is a loopback address.
    pub sources: u32,
    /// The settings with everything filled in, for the record.
    pub settings: Vec<(&'static str, String)>,
}

/// One channel and what is published to it.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelPlan {
    /// Its name.
    pub name: ChannelName,
    /// What its namespace promises by default.
    pub class: DeliveryClass,
    /// Messages a second.
    pub rate_hz: f64,
    /// Every how many messages one is critical; 0 = none is.
    pub critical_every: u32,
}

/// One client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientPlan {
    /// Its user.
    pub user: String,
    /// How it connects.
    pub transport: Transport,
    /// It reads at [`Plan::slow_bytes_per_s`].
    pub is_slow: bool,
    /// Indices of its channels.
    pub channels: Vec<u32>,
}

/// How a client connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// `/ws`.
    WebSocket,
    /// `/sse`.
    Sse,
    /// `/poll`.
    Poll,
}

impl Plan {
    /// Lays out what `settings` ask for; `prefix` begins every name.
    pub fn new(settings: &Settings, prefix: &str) -> Result<Self, LoadError> {
        let defaults = scenarios::defaults(settings.scenario);
        let size = Size {
            clients: settings.connections,
            channels: settings.channels.unwrap_or(defaults.channels),
            channels_per_client: settings.channels_per_client.unwrap_or(defaults.channels_per_client),
            rate_hz: settings.rate.unwrap_or(defaults.rate_hz),
            slow_share: settings.slow_share.unwrap_or(defaults.slow_share),
            sse_share: settings.sse_share.unwrap_or(defaults.sse_share),
            poll_share: settings.poll_share.unwrap_or(defaults.poll_share),
        };
        check(settings, &size)?;
        let (channels, clients) = scenarios::lay_out(settings.scenario, &size, prefix)?;
        let seconds = settings.duration_s.unwrap_or(defaults.duration_s);
        let duration = Duration::try_from_secs_f64(seconds)
            .map_err(|_| LoadError::Settings(format!("a duration of {seconds} s is none")))?;
        let churn_hz = settings.churn_rate.unwrap_or(defaults.churn_share_hz * f64::from(size.clients));
        let slow_kbit = settings.slow_kbit.unwrap_or(defaults.slow_kbit);
        let sources = match settings.source_addresses {
            0 => size.clients.div_ceil(CLIENTS_PER_SOURCE).clamp(1, SOURCES_MAX),
            given => given.min(SOURCES_MAX),
        };
        let spike_length = SPIKE.min(duration / 3);
        Ok(Self {
            scenario: settings.scenario,
            channels,
            clients,
            duration,
            storm_at: (settings.scenario == Scenario::Storm).then(|| duration / 3),
            spike: (settings.scenario == Scenario::Spike).then(|| duration / 3..duration / 3 + spike_length),
            churn_hz,
            slow_bytes_per_s: (slow_kbit.saturating_mul(1_000) / 8).max(1),
            sources,
            settings: vec![
                ("connections", size.clients.to_string()),
                ("channels", size.channels.to_string()),
                ("channels-per-client", size.channels_per_client.to_string()),
                ("rate", size.rate_hz.to_string()),
                ("payload", settings.payload_bytes.to_string()),
                ("duration", seconds.to_string()),
                ("connect-rate", settings.connect_rate.to_string()),
                ("churn-rate", churn_hz.to_string()),
                ("slow-share", size.slow_share.to_string()),
                ("slow-kbit", slow_kbit.to_string()),
                ("sse-share", size.sse_share.to_string()),
                ("poll-share", size.poll_share.to_string()),
                ("sticky", settings.sticky.to_string()),
                ("unpacked", settings.unpacked.to_string()),
                ("publishers", settings.publishers.to_string()),
                ("source-addresses", sources.to_string()),
                ("prefix", prefix.to_owned()),
            ],
        })
    }

    /// The rate's factor at `elapsed` from the start of publishing.
    pub fn factor_at(&self, elapsed: Duration) -> f64 {
        if self.spike.as_ref().is_some_and(|spike| spike.contains(&elapsed)) { SPIKE_FACTOR } else { 1.0 }
    }
}

/// Figures of a run, defaults filled in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) clients: u32,
    pub(crate) channels: u32,
    pub(crate) channels_per_client: u32,
    pub(crate) rate_hz: f64,
    pub(crate) slow_share: f64,
    pub(crate) sse_share: f64,
    pub(crate) poll_share: f64,
}

fn check(settings: &Settings, size: &Size) -> Result<(), LoadError> {
    let refuse = |message: &str| Err(LoadError::Settings(message.to_owned()));
    if settings.targets.is_empty() {
        return refuse("--target is missing");
    }
    if size.clients == 0 || size.channels == 0 || size.channels_per_client == 0 {
        return refuse("--connections, --channels and --channels-per-client begin at 1");
    }
    if size.channels_per_client > size.channels {
        return refuse("--channels-per-client exceeds --channels");
    }
    if settings.connect_rate == 0 || settings.publishers == 0 {
        return refuse("--connect-rate and --publishers begin at 1");
    }
    if !(0.0..=1_000_000.0).contains(&size.rate_hz) || settings.payload_bytes > 65_536 {
        return refuse("--rate is 0 to 1000000 a second, --payload 65536 bytes at most");
    }
    let shares = [size.slow_share, size.sse_share, size.poll_share];
    if shares.iter().any(|share| !(0.0..=1.0).contains(share)) || shares.iter().sum::<f64>() > 1.0 {
        return refuse("--slow-share, --sse-share and --poll-share are 0 to 1, together 1 at most");
    }
    match (&settings.secret, &settings.token) {
        (None, None) => return refuse("--secret or --token is missing: the edges let nobody in without"),
        (Some(_), Some(_)) => return refuse("--secret and --token exclude each other"),
        (None, Some(_)) if scenarios::has_users(settings.scenario) => {
            return refuse("this scenario has a channel per user: it needs --secret in place of --token");
        }
        _ => {}
    }
    let publishes = size.rate_hz > 0.0 && settings.scenario != Scenario::Idle;
    if publishes && (settings.emitters.is_empty() || settings.api_key.is_none()) {
        return refuse("--emitter and --api-key are missing: without them nothing can be published");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
