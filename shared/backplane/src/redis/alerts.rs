//! Settling what an inbox owes, and the alerts that wait for it.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use redis::{Cmd, Value};
use tickwire_protocol::{ChannelName, DeviceId, Position, time::now_ms};

use super::{core::Core, error::unexpected, functions, keys::Kind, link::Lane, publish::millis, reply};
use crate::{Alert, AlertId, AlertStatus, BackplaneError, DEVICES_MAX, DueAlert, DueAlerts, Escalation};

/// Where the next round over the partitions begins, so that a crowd of overdue alerts in one does not starve the others.
#[derive(Debug, Default)]
pub(super) struct Rounds(AtomicUsize);

impl Core {
    pub(super) async fn acknowledge(
        &self,
        channel: &ChannelName,
        device: Option<&DeviceId>,
        positions: &[Position],
    ) -> Result<(), BackplaneError> {
        if positions.is_empty() {
            return Ok(());
        }
        let kinds = [Kind::Stream, Kind::Ordinary, Kind::Critical, Kind::Cursor, Kind::Devices];
        let mut keys = self.keys_of(&kinds, channel);
        keys.extend(self.keys.awaited(self.keys.partition(channel.as_str())));
        let mut command = functions::call("acknowledge", &keys);
        command
            .arg(self.keys.alerts(channel.as_str()))
            .arg(self.broadcast())
            .arg(self.keys.of(Kind::Live, channel.as_str()))
            .arg(device.map_or("", DeviceId::as_str))
            .arg(DEVICES_MAX);
        add_positions(&mut command, positions);
        self.call(self.shared(channel), command).await.map(drop)
    }

    pub(super) async fn delivered(&self, channel: &ChannelName, positions: &[Position]) -> Result<(), BackplaneError> {
        if positions.is_empty() {
            return Ok(());
        }
        let mut command = functions::call("delivered", &self.keys_of(&[Kind::Ordinary, Kind::Critical], channel));
        command.arg(self.keys.alerts(channel.as_str()));
        add_positions(&mut command, positions);
        // A delivery counts each time, so it is not repeated; an acknowledgement counts once.
        self.call_once(self.shared(channel), command).await.map(drop)
    }

    pub(super) async fn alert(&self, id: &AlertId) -> Result<Option<Alert>, BackplaneError> {
        let (partition, key) = self.keys.alert(id);
        let mut command = redis::cmd("HMGET");
        command.arg(key).arg(&["position", "delivered", "escalate", "acknowledged", "attempts", "escalated"]);
        let [position, delivered, escalate, acknowledged, attempts, escalated] =
            reply::tuple(self.call(Lane::Shared(partition), command).await?)?;
        if position == Value::Nil {
            return Ok(None);
        }
        let delivered_to = reply::number(delivered)?.unwrap_or(0);
        let acknowledged_at_ms = reply::number(acknowledged)?;
        let deadline_ms = reply::number(escalate)?.filter(|&at| at > 0);
        Ok(Some(Alert {
            status: AlertStatus::of(acknowledged_at_ms.is_some(), deadline_ms, delivered_to, now_ms()),
            delivered_to,
            acknowledged_at_ms,
            escalated_at_ms: reply::number(escalated)?,
            attempts: reply::number(attempts)?.and_then(|count| u32::try_from(count).ok()).unwrap_or(0),
            position: reply::position(position)?,
        }))
    }

    /// Asks one partition after the other: each answer is a few microseconds of the store's time, and what is claimed
    /// never exceeds `limit`.
    pub(super) async fn claim_due(&self, limit: usize, lease: Duration) -> Result<DueAlerts, BackplaneError> {
        let partitions = self.keys.partitions();
        let first = self.rounds.0.fetch_add(1, Ordering::Relaxed) % partitions;
        let mut found = DueAlerts::default();
        let mut failure = None;
        for partition in (first..partitions).chain(0..first) {
            let left = limit - found.claimed.len();
            if let Err(error) = self.claim_in(partition, left, lease, &mut found).await {
                found.unreachable += 1;
                failure = Some(error);
            }
        }
        match failure {
            Some(error) if found.unreachable == partitions => Err(error),
            _ => Ok(found),
        }
    }

    async fn claim_in(
        &self,
        partition: usize,
        limit: usize,
        lease: Duration,
        found: &mut DueAlerts,
    ) -> Result<(), BackplaneError> {
        let mut command = functions::call("claim_due", &self.keys.awaited(partition));
        command.arg(self.keys.prefix(partition, "alert")).arg(limit).arg(millis(lease));
        let [claimed, waiting, oldest_ms, open] =
            reply::tuple(self.call_once(Lane::Shared(partition), command).await?)?;
        let (Value::Int(waiting), Value::Int(oldest_ms), Value::Int(open)) = (waiting, oldest_ms, open) else {
            return Err(unexpected("no numbers of overdue alerts"));
        };
        found.unacknowledged += u64::try_from(open).unwrap_or(0);
        found.waiting += u64::try_from(waiting).unwrap_or(0);
        let oldest = u64::try_from(oldest_ms).ok().map(Duration::from_millis);
        found.oldest_unacknowledged = found.oldest_unacknowledged.max(oldest);
        for alert in reply::array(claimed)? {
            // One damaged alert must not hide the others; it stays claimed for the lease and comes again.
            match self.due_alert(alert) {
                Ok(alert) => found.claimed.push(alert),
                Err(error) => tracing::error!(%error, "an overdue alert cannot be read"),
            }
        }
        Ok(())
    }

    fn due_alert(&self, value: Value) -> Result<DueAlert, BackplaneError> {
        let [id, position, deadline, attempt, envelope] = reply::tuple(value)?;
        let id = AlertId::parse(&reply::text(id)?).ok_or_else(|| unexpected("an alert id that is none"))?;
        let inbox =
            ChannelName::new(&format!("user:{}", id.user())).map_err(|_| unexpected("an alert without inbox"))?;
        let message = self
            .decode(&inbox, reply::position(position)?, reply::bytes(envelope)?)
            .ok_or_else(|| unexpected("an alert without its message"))?;
        let number = |value| reply::number(value)?.ok_or_else(|| unexpected("an overdue alert without a number"));
        Ok(DueAlert {
            id,
            created_at_ms: message.time_ms,
            deadline_ms: number(deadline)?,
            priority: message.priority,
            attempt: u32::try_from(number(attempt)?).unwrap_or(u32::MAX),
            data: message.data.clone(),
        })
    }

    pub(super) async fn escalated(&self, due_alert: &DueAlert, outcome: Escalation) -> Result<(), BackplaneError> {
        let (partition, alert) = self.keys.alert(&due_alert.id);
        let [due, _] = self.keys.awaited(partition);
        let mut command = functions::call("escalated", &[due, alert]);
        command.arg(due_alert.id.as_str()).arg(due_alert.attempt);
        match outcome {
            Escalation::Done => command.arg("done").arg(0),
            Escalation::Again(after) => command.arg("again").arg(millis(after)),
            Escalation::GivenUp => command.arg("given_up").arg(0),
        };
        self.call(Lane::Shared(partition), command).await.map(drop)
    }
}

fn add_positions(command: &mut Cmd, positions: &[Position]) {
    for position in positions {
        command.arg(position.to_string());
    }
}
