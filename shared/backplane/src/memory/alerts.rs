//! Where alerts stand.

use std::collections::{HashMap, VecDeque};

use tickwire_protocol::{ChannelName, Position};

use super::millis;
use crate::{Alert, AlertId, AlertSpec, AlertStatus};

/// Alerts tracked at once. At the bound the oldest is forgotten; its message stays in the inbox.
const ALERTS_MAX: usize = 100_000;

/// All tracked alerts.
#[derive(Debug, Default)]
pub(super) struct Alerts {
    by_id: HashMap<AlertId, Tracked>,
    by_place: HashMap<(ChannelName, Position), AlertId>,
    oldest_first: VecDeque<(ChannelName, Position)>,
}

#[derive(Debug)]
struct Tracked {
    position: Position,
    deadline_ms: Option<u64>,
    delivered_to: u64,
    acknowledged_at_ms: Option<u64>,
}

impl Alerts {
    pub(super) fn track(&mut self, spec: AlertSpec, channel: &ChannelName, position: Position, time_ms: u64) {
        if self.oldest_first.len() >= ALERTS_MAX
            && let Some(place) = self.oldest_first.pop_front()
            && let Some(id) = self.by_place.remove(&place)
        {
            self.by_id.remove(&id);
        }
        let place = (channel.clone(), position);
        self.oldest_first.push_back(place.clone());
        self.by_place.insert(place, spec.id.clone());
        let deadline_ms = spec.escalate_after.map(|after| time_ms.saturating_add(millis(after)));
        self.by_id.insert(spec.id, Tracked { position, deadline_ms, delivered_to: 0, acknowledged_at_ms: None });
    }

    /// `positions` were settled now; each is settled once.
    pub(super) fn acknowledge(&mut self, channel: &ChannelName, positions: &[Position], now_ms: u64) {
        self.at(channel, positions, |tracked| tracked.acknowledged_at_ms = Some(now_ms));
    }

    pub(super) fn delivered(&mut self, channel: &ChannelName, positions: &[Position]) {
        self.at(channel, positions, |tracked| tracked.delivered_to += 1);
    }

    pub(super) fn get(&self, id: &AlertId, now_ms: u64) -> Option<Alert> {
        let tracked = self.by_id.get(id)?;
        let status = if tracked.acknowledged_at_ms.is_some() {
            AlertStatus::Acknowledged
        } else if tracked.deadline_ms.is_some_and(|at| at <= now_ms) {
            AlertStatus::Escalated
        } else if tracked.delivered_to > 0 {
            AlertStatus::Delivered
        } else {
            AlertStatus::Queued
        };
        Some(Alert {
            status,
            delivered_to: tracked.delivered_to,
            acknowledged_at_ms: tracked.acknowledged_at_ms,
            position: tracked.position,
        })
    }

    fn at(&mut self, channel: &ChannelName, positions: &[Position], mut change: impl FnMut(&mut Tracked)) {
        for position in positions {
            if let Some(id) = self.by_place.get(&(channel.clone(), *position))
                && let Some(tracked) = self.by_id.get_mut(id)
            {
                change(tracked);
            }
        }
    }
}
