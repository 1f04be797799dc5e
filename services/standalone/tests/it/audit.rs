//! What must agree after a storm: a session's journals, what the services answer, and what its owner's devices got.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde_json::{Value, json};
use tickwire_backplane::{Backplane, HistoryQuery, JournalName, journal::JOURNAL_PAGE_MAX};
use tickwire_protocol::{UserId, namespace::Namespaces};
use tickwire_trading::{
    Account, SessionId,
    account::{Event, OrderStatus, Side},
};

use crate::{
    cluster::{channel, until},
    desk::{get, plain_token},
    fleet::Fleet,
    killed::{Log, Owner},
};

/// What was audited.
#[derive(Debug, Default)]
pub(crate) struct Sums {
    pub(crate) fills: usize,
    pub(crate) stops: usize,
    pub(crate) criticals: usize,
    pub(crate) warnings: usize,
}

impl Sums {
    pub(crate) fn add(&mut self, other: &Self) {
        self.fills += other.fills;
        self.stops += other.stops;
        self.criticals += other.criticals;
        self.warnings += other.warnings;
    }
}

async fn journal(backplane: &dyn Backplane, kind: &str, id: &str) -> Vec<Value> {
    let name = JournalName::new(kind, id).unwrap();
    let mut records = Vec::new();
    loop {
        let page = backplane.read_journal(&name, records.len() as u64, JOURNAL_PAGE_MAX).await.unwrap();
        records.extend(page.records.iter().map(|record| serde_json::from_slice::<Value>(record).unwrap()));
        if records.len() as u64 >= page.length {
            return records;
        }
    }
}

fn heard(log: &Log, is_so: impl Fn(&Value) -> bool) -> Vec<Value> {
    log.lock().unwrap().messages.values().filter(|data| is_so(data)).cloned().collect()
}

/// Alerts of a level that risk decided on.
async fn alerts(backplane: &dyn Backplane, id: &str, level: &str) -> usize {
    let records = journal(backplane, "risk", id).await;
    let is_so = |record: &&Value| record["type"] == "alert" && record["alert"]["level"] == level;
    // Exposure and stale prices go out as notifications, which name no level as these do.
    let is_typed =
        |record: &&Value| !["exposure", "stale_market_data"].contains(&record["alert"]["kind"].as_str().unwrap());
    records.iter().filter(is_so).filter(is_typed).count()
}

fn alerts_told(log: &Log, id: &str, level: &str) -> usize {
    let is_so = |data: &Value| data["type"] == "risk_alert" && data["sessionId"] == id && data["alertLevel"] == level;
    heard(log, is_so).len()
}

fn stops_told(log: &Log, id: &str) -> usize {
    heard(log, |data| data["type"] == "emergency_stop" && data["sessionId"] == id).len()
}

/// Waits until both devices have every alert, and the owner every fill and every position as it was closed.
pub(crate) async fn told_everything(backplane: &dyn Backplane, owner: &Owner, ids: &[String]) {
    for id in ids {
        let stops = usize::from(!journal(backplane, "stop", id).await.is_empty());
        let (criticals, warnings) = (alerts(backplane, id, "critical").await, alerts(backplane, id, "warning").await);
        for log in [&owner.phone, &owner.laptop] {
            until(&format!("{}'s alerts of {id}", owner.user), async || {
                stops_told(log, id) >= stops
                    && alerts_told(log, id, "critical") >= criticals
                    && alerts_told(log, id, "warning") >= warnings
            })
            .await;
        }
        let Rebuilt { fills, flow, .. } = rebuild(owner, id, &journal(backplane, "account", id).await);
        until(&format!("{}'s trades of {id}: {}", owner.user, fills.len()), async || {
            heard(&owner.orders, |data| data["type"] == "trade_executed" && data["sessionId"] == json!(id)).len()
                >= fills.len()
        })
        .await;
        if !fills.is_empty() {
            until(&format!("{}'s closed position of {id}: {flow}", owner.user), async || {
                let told = heard(&owner.positions, |data| data["sessionId"] == json!(id));
                told.last().is_some_and(|last| {
                    (Decimal::ZERO, flow) == (decimal(&last["quantity"]), decimal(&last["realizedPnL"]))
                })
            })
            .await;
        }
    }
    for log in [&owner.phone, &owner.laptop, &owner.orders, &owner.positions] {
        let heard = log.lock().unwrap();
        assert!(heard.faults.is_empty(), "{:?}", heard.faults);
        let foreign = heard.messages.values().find(|data| data["userId"].is_string() && data["userId"] != owner.user);
        assert_eq!(foreign, None, "{} got what is another's", owner.user);
    }
}

/// An account rebuilt from its journal, the orders' last states beside it.
struct Rebuilt {
    account: Account,
    orders: BTreeMap<String, OrderStatus>,
    fills: Vec<String>,
    /// By hand: what was got less what was paid, and fees.
    flow: Decimal,
    fees: Decimal,
}

fn rebuild(owner: &Owner, id: &str, entries: &[Value]) -> Rebuilt {
    let session = SessionId::new(id).unwrap();
    let account = Account::new(session.clone(), UserId::new(owner.user).unwrap(), Decimal::from(10_000));
    let (flow, fees) = (Decimal::ZERO, Decimal::ZERO);
    let mut rebuilt = Rebuilt { account, orders: BTreeMap::new(), fills: Vec::new(), flow, fees };
    for entry in entries.iter().filter(|entry| entry["entry"] == "account") {
        let event: Event = serde_json::from_value(entry["event"].clone()).unwrap();
        let order = rebuilt.account.apply(&event).unwrap_or_else(|error| panic!("{id}: {entry}: {error}"));
        rebuilt.orders.insert(order.id(&session), order.status);
        if let Event::Filled(fill) = event {
            let value = fill.price * fill.quantity;
            rebuilt.flow += if order.side == Side::Buy { -value } else { value };
            rebuilt.fees += fill.fee;
            rebuilt.fills.push(format!("{id}-t{}", fill.number));
        }
    }
    rebuilt
}

fn decimal(value: &Value) -> Decimal {
    value.as_str().unwrap_or_else(|| panic!("{value} is no decimal string")).parse().unwrap()
}

/// One session from end to end.
pub(crate) async fn session(backplane: &dyn Backplane, fleet: &Fleet, owner: &Owner, id: &str) -> Sums {
    let token = plain_token(owner.user, None);
    let Rebuilt { account, orders, fills, flow, fees } = rebuild(owner, id, &journal(backplane, "account", id).await);
    assert!(account.is_flat(), "{id} has something open");
    assert_eq!((account.realized(), account.fees()), (flow, fees), "{id}: what was got and paid is what was realised");
    assert_eq!(account.cash(), account.capital() + flow - fees, "{id}: the accounting identity");

    let record = get(fleet.address("session"), &token, &format!("/v1/sessions/{id}")).await.1;
    let summary = &record["ending"]["summary"];
    if !fills.is_empty() {
        assert_eq!(summary["isSettled"], true, "{id}: {record}");
        assert_eq!((decimal(&summary["finalPnL"]), decimal(&summary["fees"])), (flow - fees, fees), "{id}: {record}");
        assert_eq!(summary["totalTrades"], fills.len(), "{id}: {record}");
        let figures = get(fleet.address("algorithm"), &token, &format!("/v1/accounts/{id}")).await.1;
        for (field, value) in [("cash", account.cash()), ("realizedPnL", flow), ("fees", fees)] {
            assert_eq!(decimal(&figures[field]), value, "{id}: {field} of {figures}");
        }
        assert_eq!((&figures["trades"], &figures["positions"]), (&json!(fills.len()), &json!([])), "{id}");
    }
    assert_eq!(newest(backplane, "trading:sessions", id).await, record, "what services see is what the API answers");

    // Each fill told once, each order's last state told last, each position told as closed.
    let mut told: Vec<String> =
        heard(&owner.orders, |data| data["type"] == "trade_executed" && data["sessionId"] == id)
            .iter()
            .map(|trade| trade["tradeId"].as_str().unwrap().to_owned())
            .collect();
    told.sort_by_key(|trade| trade.rsplit('t').next().unwrap().parse::<u64>().unwrap());
    assert_eq!(told, fills, "{id}: every fill once");
    let updates = heard(&owner.orders, |data| data["type"] == "order_update" && data["sessionId"] == id);
    let last: BTreeMap<String, Value> = updates
        .into_iter()
        .map(|data| (data["orderId"].as_str().unwrap().to_owned(), data["status"].clone()))
        .collect();
    let expected: BTreeMap<String, Value> =
        orders.into_iter().map(|(order, status)| (order, serde_json::to_value(status).unwrap())).collect();
    assert_eq!(last, expected, "{id}: orders as they ended");
    if !fills.is_empty() {
        let positions = heard(&owner.positions, |data| data["sessionId"] == id);
        let last = positions.last().unwrap_or_else(|| panic!("{id}: no position was told"));
        assert_eq!((decimal(&last["quantity"]), decimal(&last["realizedPnL"])), (Decimal::ZERO, flow), "{id}: {last}");
    }
    stops_and_alerts(backplane, owner, id, &record, fills.len()).await
}

/// A stop that began is done and told once; an alert that was decided on is told once.
async fn stops_and_alerts(backplane: &dyn Backplane, owner: &Owner, id: &str, record: &Value, fills: usize) -> Sums {
    let saga = journal(backplane, "stop", id).await;
    let stops = usize::from(!saga.is_empty());
    assert!(saga.is_empty() || saga.len() == 4, "{id}: {saga:?}");
    assert!(record["status"] != "emergency_stopped" || stops == 1, "{id} was stopped and nobody was told");
    let (criticals, warnings) = (alerts(backplane, id, "critical").await, alerts(backplane, id, "warning").await);
    for log in [&owner.phone, &owner.laptop] {
        assert_eq!(stops_told(log, id), stops, "{id}: the stop");
        assert_eq!(alerts_told(log, id, "critical"), criticals, "{id}: critical alerts");
        assert_eq!(alerts_told(log, id, "warning"), warnings, "{id}: warnings");
    }
    Sums { fills, stops, criticals, warnings }
}

/// The newest value of a session in a `latest` channel.
async fn newest(backplane: &dyn Backplane, name: &str, id: &str) -> Value {
    let channel = channel(name);
    let policy = Namespaces::default().policy(&channel).unwrap().clone();
    let query = HistoryQuery { since: None, limit: 10_000, reverse: false };
    let history = backplane.history(&channel, &policy, query).await.unwrap();
    let value = history.publications.iter().find(|publication| publication.key.as_deref() == Some(id));
    value.unwrap_or_else(|| panic!("{name} has nothing of {id}")).data.to().unwrap()
}
