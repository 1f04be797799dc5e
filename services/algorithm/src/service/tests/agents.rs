//! Agents' signals from the request to the order, and over a crash.

use tickwire_backplane::Publish;
use tickwire_protocol::{ChannelName, RawJson, namespace::Namespaces};

use super::*;

const SIGNALS: &str = "/v1/accounts/s1/signals";

/// A strategy that never acts, and four agents.
fn parameters() -> Value {
    json!({"entry": 1.0, "exit": 0.0, "execution": {"stopLoss": null, "takeProfit": null}, "agents": {
        "adviser": {"autonomy": "advisory"},
        "asker": {"autonomy": "approval"},
        "hasty": {"autonomy": "approval", "approvalMs": 1_000},
        "doer": {"autonomy": "autonomous", "symbols": ["okx:BTC/USDT"], "actions": ["buy", "close_position"], "quantityMax": "0.01"},
    }})
}

fn signal(id: &str, agent: &str, action: &str, quantity: &str) -> Value {
    json!({"id": id, "agent": agent, "symbol": "okx:BTC/USDT", "action": action, "quantity": quantity,
        "confidence": 0.8, "reasoning": "the wind turned"})
}

/// Says it as a service; the state, and why.
fn say(world: &World, life: &Life, signal: &Value) -> (String, String) {
    world.offer(life);
    let (status, known) = world.ask(life, KEY, SIGNALS, Some(signal));
    assert_eq!(status, 200, "{known}");
    let text = |field: &str| known[field].as_str().unwrap_or_default().to_owned();
    (text("state"), text("reason"))
}

fn fills(world: &World) -> u64 {
    replayed(&world.entries()).0.fills()
}

fn start(world: &World) -> Life {
    let life = Life::start(world);
    life.sessions.offer(session(&parameters(), "active", 2));
    until("a bot", || world.ask(&life, KEY, "/v1/accounts", None).1["items"] != json!([]));
    life
}

/// As an edge does with what the user publishes.
fn publish_answer(world: &World, answer: &Value) {
    world.runtime.block_on(async {
        let channel = ChannelName::new("approvals:ann").unwrap();
        let namespaces = Namespaces::default();
        let policy = namespaces.policy(&channel).unwrap();
        let data = RawJson::parse(answer.to_string()).unwrap();
        world.backplane().await.publish(Publish::new(channel, policy.clone(), data)).await.unwrap();
    });
}

fn goes_the_way_that_its_owner_set(world: &World) {
    let life = start(world);
    assert_eq!(say(world, &life, &signal("1", "adviser", "buy", "0.001")).0, "shown");
    assert_eq!(fills(world), 0, "an adviser only speaks");
    for (id, agent, action, quantity, why) in [
        ("2", "nobody", "buy", "0.001", "no such agent"),
        ("3", "doer", "sell", "0.001", "may not ask for `sell`"),
        ("4", "doer", "buy", "1", "at most 0.01"),
    ] {
        let (state, reason) = say(world, &life, &signal(id, agent, action, quantity));
        assert!(state == "refused" && reason.contains(why), "{id}: {state} {reason}");
    }
    let mut other = signal("5", "doer", "buy", "0.001");
    other["symbol"] = json!("okx:ETH/USDT");
    assert!(say(world, &life, &other).1.contains("does not trade okx:ETH/USDT"));
    assert_eq!(fills(world), 0);
    assert_eq!(say(world, &life, &signal("6", "doer", "buy", "0.0002")).0, "executed");
    let bought = fills(world);
    assert!(bought > 0);
    assert_eq!(say(world, &life, &signal("6", "doer", "buy", "0.0002")).0, "executed", "the same answer");
    assert_eq!(fills(world), bought, "and nothing twice");
    for state in ["shown", "refused", "executed"] {
        until(state, || world.told("strategy-update").iter().any(|update| update["event"]["state"] == state));
    }
    life.kill();
}

fn waits_for_its_users_yes(world: &World) {
    let life = start(world);
    let ann = token("ann");
    assert_eq!(say(world, &life, &signal("late", "hasty", "buy", "0.0002")).0, "waiting");
    until("the deadline", || world.told("strategy-update").iter().any(|update| update["event"]["state"] == "expired"));
    let yes = json!({"approve": true});
    assert_eq!(world.ask(&life, &ann, &format!("{SIGNALS}/late/answer"), Some(&yes)).0, 409);
    for id in ["a", "b", "c"] {
        assert_eq!(say(world, &life, &signal(id, "asker", "buy", "0.0002")).0, "waiting");
    }
    assert_eq!(fills(world), 0);
    let no = json!({"approve": false});
    assert_eq!(world.ask(&life, &ann, &format!("{SIGNALS}/c/answer"), Some(&no)).1["state"], "declined");
    assert_eq!(world.ask(&life, KEY, &format!("{SIGNALS}/a/answer"), Some(&yes)).0, 403, "only its owner answers");
    life.kill();
    // What waited still waits after a crash.
    let life = start(world);
    until("the signals", || world.ask(&life, &ann, SIGNALS, None).1["items"].as_array().map(Vec::len) == Some(2));
    world.offer(&life);
    let (status, answered) = world.ask(&life, &ann, &format!("{SIGNALS}/a/answer"), Some(&yes));
    assert_eq!((status, &answered["state"]), (200, &json!("executed")), "{answered}");
    let bought = fills(world);
    assert!(bought > 0);
    let again = world.ask(&life, &ann, &format!("{SIGNALS}/a/answer"), Some(&yes));
    assert_eq!((again, fills(world)), ((200, answered), bought), "the same answer again changes nothing");
    publish_answer(world, &json!({"sessionId": "another", "signalId": "b", "approve": true}));
    publish_answer(world, &json!("yes"));
    publish_answer(world, &json!({"sessionId": "s1", "signalId": "b", "approve": true}));
    until("the answer over the channel", || {
        world.offer(&life);
        world
            .told("strategy-update")
            .iter()
            .any(|update| update["event"]["signalId"] == "b" && update["event"]["state"] == "executed")
    });
    assert!(fills(world) > bought);
    life.sessions.offer(session(&parameters(), "completed", 3));
    until("the bot's end", || {
        world.offer(&life);
        world.ask(&life, KEY, "/v1/accounts", None).1["items"] == json!([])
    });
    assert_eq!(world.ask(&life, &ann, SIGNALS, None), (200, json!({"items": []})));
    assert_eq!(world.ask(&life, &ann, &format!("{SIGNALS}/b/answer"), Some(&yes)).0, 409, "the session is over");
    life.kill();
}

#[test]
fn a_signal_goes_the_way_that_its_owner_set_in_memory() {
    goes_the_way_that_its_owner_set(&World::memory());
}

#[test]
fn a_signal_goes_the_way_that_its_owner_set_on_redis() {
    goes_the_way_that_its_owner_set(&World::redis());
}

#[test]
fn a_signal_that_needs_a_yes_waits_for_it_over_a_crash_in_memory() {
    waits_for_its_users_yes(&World::memory());
}

#[test]
fn a_signal_that_needs_a_yes_waits_for_it_over_a_crash_on_redis() {
    waits_for_its_users_yes(&World::redis());
}

#[test]
fn an_agent_that_speaks_without_end_is_stopped_before_the_journal_is_full() {
    let world = World::memory();
    let life = start(&world);
    let refused = (0..200)
        .find(|n| world.ask(&life, KEY, SIGNALS, Some(&signal(&format!("n{n}"), "adviser", "buy", "0.001"))).0 == 429);
    assert_eq!(refused, Some(120));
    life.kill();
}
