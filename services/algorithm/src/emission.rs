//! What users are told of an entry: typed events for the emitter.
//!
//! Every event carries an idempotency key made from its entry's place in the journal, so that telling again after a crash doubles
//! nothing.

use serde_json::{Value, json};
use tickwire_protocol::UserId;
use tickwire_trading::{
    SessionId,
    account::{Event, Fill, Order},
    session::Name,
};

use crate::{
    agent::SignalState,
    decision::Decision,
    engine::{Applied, Known},
    entry::Entry,
};

/// One typed event.
#[derive(Debug, Clone, PartialEq)]
pub struct Emission {
    /// As in `/v1/events/{kind}`.
    pub kind: &'static str,
    /// Its body, with its idempotency key.
    pub body: Value,
}

/// Whose entries they are.
#[derive(Debug, Clone)]
pub struct Teller {
    /// The session, and so the strategy's id.
    pub session: SessionId,
    /// Its owner.
    pub user: UserId,
    /// The strategy's name.
    pub algorithm: Name,
}

impl Teller {
    /// What `entry`, the `number`th of its journal, makes known. `applied` is what it changed, `known` the signal that it was about.
    pub fn emissions(&self, number: u64, entry: &Entry, applied: &Applied, known: Option<&Known>) -> Vec<Emission> {
        let mut emissions = match (entry, applied) {
            (Entry::Decided { decision }, _) => vec![self.decision(decision)],
            (Entry::Account { event: Event::Filled(fill) }, Applied::Order(order)) => {
                vec![self.trade(fill, order), self.order(order)]
            }
            (Entry::Account { .. }, Applied::Order(order)) => vec![self.order(order)],
            (Entry::Signalled { state, .. } | Entry::Answered { state, .. }, _) => {
                known.map(|known| self.signal(known, state)).into_iter().collect()
            }
            _ => Vec::new(),
        };
        for (part, emission) in emissions.iter_mut().enumerate() {
            emission.body["idempotencyKey"] = json!(format!("{}-{number}-{part}", self.session));
        }
        emissions
    }

    fn decision(&self, decision: &Decision) -> Emission {
        let body = json!({
            "sessionId": self.session,
            "userId": self.user,
            "algorithmId": self.algorithm,
            "decision": decision.action,
            "reasoning": decision.reasoning,
            "confidence": decision.confidence,
            "marketData": {"symbol": decision.symbol, "price": decision.price, "volume": decision.volume},
        });
        Emission { kind: "algorithm-decision", body }
    }

    fn trade(&self, fill: &Fill, order: &Order) -> Emission {
        let body = json!({
            "tradeId": format!("{}-t{}", self.session, fill.number),
            "sessionId": self.session,
            "userId": self.user,
            "symbol": order.symbol,
            "side": order.side,
            "quantity": fill.quantity,
            "price": fill.price,
            "fee": fill.fee,
        });
        Emission { kind: "trade-executed", body }
    }

    fn order(&self, order: &Order) -> Emission {
        let mut body = json!({
            "orderId": order.id(&self.session),
            "userId": self.user,
            "symbol": order.symbol,
            "status": order.status,
            "side": order.side,
            "quantity": order.quantity,
            "filledQuantity": order.filled_quantity,
            "strategyId": self.session,
            "sessionId": self.session,
        });
        if let Some(price) = order.average_price().or(order.limit) {
            body["price"] = json!(price);
        }
        Emission { kind: "order-update", body }
    }

    /// Signals are told on the strategy's channel.
    fn signal(&self, known: &Known, state: &SignalState) -> Emission {
        let signal = &known.signal;
        let mut event = json!({
            "type": "agent_signal",
            "signalId": signal.id,
            "agent": signal.agent,
            "symbol": signal.symbol,
            "action": signal.action,
            "confidence": signal.confidence,
            "reasoning": signal.reasoning,
        });
        if let Some(quantity) = signal.quantity {
            event["quantity"] = json!(quantity);
        }
        if let (Some(event), Ok(Value::Object(state))) = (event.as_object_mut(), serde_json::to_value(state)) {
            event.extend(state);
        }
        let body = json!({"strategyId": self.session, "userId": self.user, "status": "agent_signal", "event": event});
        Emission { kind: "strategy-update", body }
    }
}
