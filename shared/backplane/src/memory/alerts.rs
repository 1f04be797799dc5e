//! Where alerts stand, which are overdue, and what users have not acknowledged.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use tickwire_protocol::{ChannelName, Position, Priority, Publication};

use super::millis;
use crate::{Alert, AlertId, AlertStatus, BackplaneError, DueAlert, DueAlerts, Escalation};

/// Alerts tracked at once. At the bound the oldest is forgotten (its message stays in the inbox), unless it may still have to
/// be escalated: then a new one is refused.
const ALERTS_MAX: usize = 100_000;

type Place = (ChannelName, Position);

/// All tracked alerts.
#[derive(Debug, Default)]
pub(super) struct Alerts {
    by_id: HashMap<AlertId, Tracked>,
    by_place: HashMap<Place, AlertId>,
    oldest_first: VecDeque<Place>,
    /// By the time from which one may take them.
    due: BTreeSet<(u64, AlertId)>,
    /// Unacknowledged critical messages.
    open: HashMap<Place, Open>,
}

#[derive(Debug)]
struct Tracked {
    message: Arc<Publication>,
    position: Position,
    deadline_ms: Option<u64>,
    /// Its key in `due`.
    due_ms: Option<u64>,
    attempts: u32,
    delivered_to: u64,
    acknowledged_at_ms: Option<u64>,
    escalated_at_ms: Option<u64>,
}

#[derive(Debug)]
struct Open {
    since_ms: u64,
    expires_at_ms: Option<u64>,
}

impl Alerts {
    /// Makes sure that one more fits.
    pub(super) fn admit(&mut self) -> Result<(), BackplaneError> {
        if self.oldest_first.len() < ALERTS_MAX {
            return Ok(());
        }
        let oldest = self.oldest_first.front().and_then(|place| self.by_place.get(place));
        if oldest.and_then(|id| self.by_id.get(id)).is_some_and(|tracked| tracked.due_ms.is_some()) {
            return Err(BackplaneError::Full);
        }
        if let Some(place) = self.oldest_first.pop_front()
            && let Some(id) = self.by_place.remove(&place)
        {
            self.by_id.remove(&id);
        }
        Ok(())
    }

    /// A message came into an inbox, with an alert or without.
    pub(super) fn on_message(&mut self, alert: Option<AlertId>, message: &Arc<Publication>, deadline_ms: Option<u64>) {
        let Some(position) = message.position else { return };
        let place = (message.channel.clone(), position);
        if message.priority == Priority::Critical {
            let open = Open { since_ms: message.time_ms, expires_at_ms: message.expires_at_ms };
            self.open.insert(place.clone(), open);
        }
        let Some(id) = alert else { return };
        self.oldest_first.push_back(place.clone());
        self.by_place.insert(place, id.clone());
        if let Some(deadline_ms) = deadline_ms {
            self.due.insert((deadline_ms, id.clone()));
        }
        let tracked = Tracked {
            message: Arc::clone(message),
            position,
            deadline_ms,
            due_ms: deadline_ms,
            attempts: 0,
            delivered_to: 0,
            acknowledged_at_ms: None,
            escalated_at_ms: None,
        };
        self.by_id.insert(id, tracked);
    }

    /// `positions` were settled now; each is settled once.
    pub(super) fn acknowledge(&mut self, channel: &ChannelName, positions: &[Position], now_ms: u64) {
        for position in positions {
            let place = (channel.clone(), *position);
            self.open.remove(&place);
            let Some(id) = self.by_place.get(&place).cloned() else { continue };
            self.set_due(&id, None);
            if let Some(tracked) = self.by_id.get_mut(&id) {
                tracked.acknowledged_at_ms.get_or_insert(now_ms);
            }
        }
    }

    pub(super) fn delivered(&mut self, channel: &ChannelName, positions: &[Position]) {
        for position in positions {
            if let Some(id) = self.by_place.get(&(channel.clone(), *position))
                && let Some(tracked) = self.by_id.get_mut(id)
            {
                tracked.delivered_to += 1;
            }
        }
    }

    pub(super) fn get(&self, id: &AlertId, now_ms: u64) -> Option<Alert> {
        let tracked = self.by_id.get(id)?;
        let is_acknowledged = tracked.acknowledged_at_ms.is_some();
        Some(Alert {
            status: AlertStatus::of(is_acknowledged, tracked.deadline_ms, tracked.delivered_to, now_ms),
            delivered_to: tracked.delivered_to,
            acknowledged_at_ms: tracked.acknowledged_at_ms,
            escalated_at_ms: tracked.escalated_at_ms,
            attempts: tracked.attempts,
            position: tracked.position,
        })
    }

    pub(super) fn claim_due(&mut self, limit: usize, lease: Duration, now_ms: u64) -> DueAlerts {
        let overdue = self.due.iter().take_while(|(at, _)| *at <= now_ms).take(limit);
        let ids: Vec<AlertId> = overdue.map(|(_, id)| id.clone()).collect();
        let claimed = ids.into_iter().filter_map(|id| self.claim(id, now_ms.saturating_add(millis(lease)))).collect();
        self.open.retain(|_, open| open.expires_at_ms.is_none_or(|at| now_ms < at));
        let oldest = self.open.values().map(|open| now_ms.saturating_sub(open.since_ms)).max();
        DueAlerts {
            claimed,
            waiting: self.due.iter().take_while(|(at, _)| *at <= now_ms).count() as u64,
            unacknowledged: self.open.len() as u64,
            oldest_unacknowledged: oldest.map(Duration::from_millis),
            unreachable: 0,
        }
    }

    fn claim(&mut self, id: AlertId, until_ms: u64) -> Option<DueAlert> {
        self.set_due(&id, Some(until_ms));
        let tracked = self.by_id.get_mut(&id)?;
        tracked.attempts += 1;
        Some(DueAlert {
            created_at_ms: tracked.message.time_ms,
            deadline_ms: tracked.deadline_ms?,
            priority: tracked.message.priority,
            attempt: tracked.attempts,
            data: tracked.message.data.clone(),
            id,
        })
    }

    pub(super) fn escalated(&mut self, alert: &DueAlert, outcome: Escalation, now_ms: u64) {
        let id = &alert.id;
        // One that was acknowledged meanwhile is not due again; one that another caller took is that one's.
        let is_theirs = |tracked: &Tracked| tracked.due_ms.is_some() && tracked.attempts == alert.attempt;
        let is_due = self.by_id.get(id).is_some_and(is_theirs);
        match outcome {
            Escalation::Again(after) if is_due => self.set_due(id, Some(now_ms.saturating_add(millis(after)))),
            Escalation::Again(_) => {}
            Escalation::Done | Escalation::GivenUp => self.set_due(id, None),
        }
        if outcome == Escalation::Done
            && let Some(tracked) = self.by_id.get_mut(id)
        {
            tracked.escalated_at_ms.get_or_insert(now_ms);
        }
    }

    fn set_due(&mut self, id: &AlertId, due_ms: Option<u64>) {
        let Some(tracked) = self.by_id.get_mut(id) else { return };
        if let Some(before) = std::mem::replace(&mut tracked.due_ms, due_ms) {
            self.due.remove(&(before, id.clone()));
        }
        if let Some(at) = due_ms {
            self.due.insert((at, id.clone()));
        }
    }
}
