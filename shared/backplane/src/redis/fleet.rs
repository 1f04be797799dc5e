//! What concerns all nodes: orders to them and their signs of life.

use std::collections::BTreeSet;

use redis::{FromRedisValue, Value};

use super::{core::Core, error::unexpected, functions, keys::FLEET_PARTITION, link::Lane, publish::millis, reply};
use crate::{BackplaneError, Control, ControlsMark, NODE_LEASE, NodeReport, Signal};

/// Sticky orders kept at once. At the bound a new one is refused: a lost revocation would be a hole.
const CONTROLS_MAX: usize = 100_000;

/// Nodes with a lease at once.
const NODES_MAX: usize = 10_000;

/// The pub/sub channel of orders, in [`FLEET_PARTITION`].
pub(super) const CONTROL_CHANNEL: &str = "control";
const STICKY: &str = "sticky";
const STICKY_LOG: &str = "sticky-log";
const STICKY_NUMBERING: &str = "sticky-numbering";
const REPORTS: &str = "reports";
const LEASES: &str = "leases";

impl Core {
    pub(super) async fn control(&self, control: &Control) -> Result<(), BackplaneError> {
        let order = serde_json::to_string(control).map_err(|error| unexpected(&error.to_string()))?;
        let mut command = functions::call("control", &self.sticky_keys());
        command.arg(self.broadcast()).arg(self.keys.fleet(CONTROL_CHANNEL)).arg(order);
        match control.sticky_until_ms() {
            Some(until_ms) => command.arg(until_ms),
            None => command.arg(""),
        };
        command.arg(CONTROLS_MAX);
        accepted(self.call(Lane::Shared(FLEET_PARTITION), command).await?)
    }

    pub(super) async fn controls(&self) -> Result<Vec<Control>, BackplaneError> {
        let command = functions::call("controls", &[self.keys.fleet(STICKY)]);
        let orders = reply::array(self.call(Lane::Own(FLEET_PARTITION), command).await?)?;
        Ok(orders.into_iter().filter_map(|order| read_control(&reply::bytes(order).ok()?)).collect())
    }

    pub(super) async fn controls_since(
        &self,
        mark: &ControlsMark,
    ) -> Result<(Vec<Control>, ControlsMark), BackplaneError> {
        let mut command = functions::call("controls_since", &self.sticky_keys());
        command.arg(&mark.0);
        let [mark, orders] = reply::tuple(self.call(Lane::Own(FLEET_PARTITION), command).await?)?;
        let orders = reply::array(orders)?.into_iter();
        let orders = orders.filter_map(|order| read_control(&reply::bytes(order).ok()?)).collect();
        Ok((orders, ControlsMark(reply::text(mark)?)))
    }

    /// Tells every subscriber of this process the sticky orders that came since the last time, or all of them.
    pub(super) async fn tell_missed_controls(&self) -> Result<(), BackplaneError> {
        let telling = async {
            // One connection at a time: the second one must not go on before the first has told.
            let mut told = self.controls_told.lock().await;
            let (controls, mark) = self.controls_since(&told).await?;
            if !controls.is_empty() {
                self.interest.fan_in().deliver_to_all(&Signal::Controls(controls.into()));
            }
            *told = mark;
            Ok(())
        };
        // Once a connection: its size on the heap, not in every frame above.
        self.within_deadline(Box::pin(telling)).await
    }

    fn sticky_keys(&self) -> [String; 3] {
        [STICKY, STICKY_LOG, STICKY_NUMBERING].map(|name| self.keys.fleet(name))
    }

    pub(super) async fn report(&self, report: &NodeReport) -> Result<(), BackplaneError> {
        let text = serde_json::to_string(report).map_err(|error| unexpected(&error.to_string()))?;
        let mut command = functions::call("report", &[self.keys.fleet(REPORTS), self.keys.fleet(LEASES)]);
        command.arg(&report.node).arg(text).arg(millis(NODE_LEASE));
        command.arg(NODES_MAX);
        accepted(self.call(Lane::Shared(FLEET_PARTITION), command).await?)
    }

    pub(super) async fn nodes(&self) -> Result<Vec<NodeReport>, BackplaneError> {
        let command = functions::call("nodes", &[self.keys.fleet(REPORTS), self.keys.fleet(LEASES)]);
        let reports = reply::array(self.call(Lane::Own(FLEET_PARTITION), command).await?)?;
        // A node of another version may report what this one cannot read: it is left out, not an error for all.
        Ok(reports.into_iter().filter_map(|text| serde_json::from_slice(&reply::bytes(text).ok()?).ok()).collect())
    }

    /// Names of live nodes; those that gave `signs_of_life` are, for another lease.
    pub(super) async fn live_nodes(&self, signs_of_life: &BTreeSet<&str>) -> Result<Vec<String>, BackplaneError> {
        let mut command = functions::call("live_nodes", &[self.keys.fleet(LEASES)]);
        command.arg(millis(NODE_LEASE));
        for node in signs_of_life {
            command.arg(*node);
        }
        let names: Value = self.call(Lane::Shared(FLEET_PARTITION), command).await?;
        Vec::from_redis_value(names).map_err(|_| unexpected("node names that are no texts"))
    }
}

fn accepted(answer: Value) -> Result<(), BackplaneError> {
    match reply::text(answer)?.as_str() {
        "ok" => Ok(()),
        "full" => Err(BackplaneError::Full),
        other => Err(unexpected(other)),
    }
}

/// An order as it was sent. One that this version does not know is a newer version's: it is logged and left.
pub(super) fn read_control(text: &[u8]) -> Option<Control> {
    serde_json::from_slice(text)
        .inspect_err(|error| tracing::warn!(%error, "an order to all nodes is not understood"))
        .ok()
}
