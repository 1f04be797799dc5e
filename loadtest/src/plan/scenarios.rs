//! What the scenarios are made of.

use tickwire_protocol::{ChannelName, DeliveryClass};

use super::{ChannelPlan, ClientPlan, Size, Transport};
use crate::{error::LoadError, settings::Scenario};

/// Clients of one trading session.
const CLIENTS_PER_SESSION: u32 = 2;
/// Messages a second of a trading session.
const SESSION_HZ: f64 = 0.5;
/// Alerts a second of one user in `mixed`.
const ALERT_HZ: f64 = 0.02;
/// Every how many inbox messages one is critical.
const CRITICAL_EVERY: u32 = 5;

/// What a scenario takes where nothing is said.
pub(super) struct Defaults {
    pub(super) channels: u32,
    pub(super) channels_per_client: u32,
    pub(super) rate_hz: f64,
    pub(super) duration_s: f64,
    pub(super) slow_share: f64,
    pub(super) slow_kbit: u32,
    pub(super) sse_share: f64,
    pub(super) poll_share: f64,
    /// Share of the clients that leaves and comes back each second.
    pub(super) churn_share_hz: f64,
}

pub(super) fn defaults(scenario: Scenario) -> Defaults {
    let base = Defaults {
        channels: 1,
        channels_per_client: 1,
        rate_hz: 10.0,
        duration_s: 30.0,
        slow_share: 0.0,
        slow_kbit: 64,
        sse_share: 0.0,
        poll_share: 0.0,
        churn_share_hz: 0.0,
    };
    match scenario {
        Scenario::Idle => Defaults { rate_hz: 0.0, ..base },
        Scenario::Fanout => base,
        Scenario::Ticks => Defaults { channels: 50, channels_per_client: 10, rate_hz: 20.0, ..base },
        Scenario::Inbox => Defaults { rate_hz: 0.2, ..base },
        Scenario::Mixed => Defaults {
            channels: 50,
            channels_per_client: 10,
            rate_hz: 2.0,
            slow_share: 0.05,
            slow_kbit: 16,
            sse_share: 0.03,
            poll_share: 0.02,
            ..base
        },
        Scenario::Storm => Defaults { channels: 10, rate_hz: 5.0, ..base },
        Scenario::Churn => Defaults { channels: 10, rate_hz: 5.0, churn_share_hz: 0.05, ..base },
        Scenario::Slow => Defaults { channels: 10, channels_per_client: 10, rate_hz: 20.0, slow_share: 0.01, ..base },
        Scenario::Spike => Defaults { channels: 50, channels_per_client: 10, rate_hz: 2.0, duration_s: 90.0, ..base },
        Scenario::Soak => Defaults { duration_s: 3_600.0, churn_share_hz: 0.005, ..defaults(Scenario::Mixed) },
    }
}

/// Whether there are channels that only one user may read.
pub(super) fn has_users(scenario: Scenario) -> bool {
    matches!(scenario, Scenario::Inbox | Scenario::Mixed | Scenario::Soak)
}

type Layout = (Vec<ChannelPlan>, Vec<ClientPlan>);

/// Channels, and clients with their subscriptions.
pub(super) fn lay_out(scenario: Scenario, size: &Size, prefix: &str) -> Result<Layout, LoadError> {
    let mut clients: Vec<ClientPlan> = (0..size.clients).map(|index| client(index, size, prefix)).collect();
    let mut channels = Vec::new();
    match scenario {
        Scenario::Inbox => add_inboxes(&mut channels, &mut clients, size.rate_hz)?,
        Scenario::Mixed | Scenario::Soak => {
            add_shared(&mut channels, &mut clients, size, "prices", prefix)?;
            add_sessions(&mut channels, &mut clients, prefix)?;
            add_inboxes(&mut channels, &mut clients, ALERT_HZ)?;
        }
        Scenario::Ticks | Scenario::Slow | Scenario::Spike => {
            add_shared(&mut channels, &mut clients, size, "prices", prefix)?;
        }
        Scenario::Idle | Scenario::Fanout | Scenario::Storm | Scenario::Churn => {
            add_shared(&mut channels, &mut clients, size, "volatility", prefix)?;
        }
    }
    Ok((channels, clients))
}

fn client(index: u32, size: &Size, prefix: &str) -> ClientPlan {
    // Which of the kinds it is: their shares lie one after the other on [0, 1), where the golden ratio strews the clients
    // evenly, so that every worker and every target gets its part of each kind.
    let at = (f64::from(index) * 0.618_033_988_749_894_9).fract();
    let (sse, poll) = (size.sse_share, size.sse_share + size.poll_share);
    let transport = match at {
        at if at < sse => Transport::Sse,
        at if at < poll => Transport::Poll,
        _ => Transport::WebSocket,
    };
    let is_slow = transport == Transport::WebSocket && at < poll + size.slow_share;
    ClientPlan { user: format!("{prefix}-{index}"), transport, is_slow, channels: Vec::new() }
}

fn name(text: &str) -> Result<ChannelName, LoadError> {
    ChannelName::new(text).map_err(|error| LoadError::Settings(format!("`{text}` is no channel: {error}")))
}

/// Channels that everyone may read; each client gets as many neighbours as asked for.
fn add_shared(
    channels: &mut Vec<ChannelPlan>,
    clients: &mut [ClientPlan],
    size: &Size,
    namespace: &str,
    prefix: &str,
) -> Result<(), LoadError> {
    let class = if namespace == "prices" { DeliveryClass::Latest } else { DeliveryClass::Reliable };
    for index in 0..size.channels {
        let name = name(&format!("{namespace}:{prefix}-{index}"))?;
        channels.push(ChannelPlan { name, class, rate_hz: size.rate_hz, critical_every: 0 });
    }
    for (client, index) in clients.iter_mut().zip(0_u32..) {
        client.channels.extend((0..size.channels_per_client).map(|step| (index + step) % size.channels));
    }
    Ok(())
}

/// A trading session for every two clients.
fn add_sessions(channels: &mut Vec<ChannelPlan>, clients: &mut [ClientPlan], prefix: &str) -> Result<(), LoadError> {
    for (client, index) in clients.iter_mut().zip(0_u32..) {
        if index % CLIENTS_PER_SESSION == 0 {
            let name = name(&format!("session:{prefix}-{}", index / CLIENTS_PER_SESSION))?;
            let class = DeliveryClass::Reliable;
            channels.push(ChannelPlan { name, class, rate_hz: SESSION_HZ, critical_every: 0 });
        }
        client.channels.push(last_index(channels));
    }
    Ok(())
}

/// An inbox for every WebSocket client: the others could not acknowledge.
fn add_inboxes(channels: &mut Vec<ChannelPlan>, clients: &mut [ClientPlan], rate_hz: f64) -> Result<(), LoadError> {
    for client in clients.iter_mut().filter(|client| client.transport == Transport::WebSocket) {
        let name = name(&format!("user:{}", client.user))?;
        channels.push(ChannelPlan { name, class: DeliveryClass::Inbox, rate_hz, critical_every: CRITICAL_EVERY });
        client.channels.push(last_index(channels));
    }
    Ok(())
}

fn last_index(channels: &[ChannelPlan]) -> u32 {
    u32::try_from(channels.len().saturating_sub(1)).unwrap_or(u32::MAX)
}
