//! Messages arrive: once, in order, and as their class promises.

use serde_json::{Value, json};
use tickwire_protocol::namespace::{Access, Policy};

use crate::support::{Client, Node, channel, numbers, recovered_numbers, token, user};

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_receives_what_is_published_in_order() {
    let node = Node::start();
    let mut client = node.client("7").await;
    let subscribed = client.subscribe(json!("system")).await;
    assert_eq!(subscribed["class"], "reliable");
    assert_eq!(subscribed["recovered"], false);
    for n in 0..500 {
        node.publish("system", json!({ "n": n })).await;
    }
    let mut got = Vec::new();
    for _ in 0..500 {
        got.push(client.next_of("message").await);
    }
    assert_eq!(numbers(&got), (0..500).collect::<Vec<_>>());
    assert_eq!(got[0]["channel"], "system");
    assert!(got[0]["position"].as_str().unwrap().ends_with("-1"), "{}", got[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_dialect_receives_the_same_message() {
    let node = Node::start();
    let mut plain = Client::open(node.address, "/ws", None, Some(&token("1"))).await;
    plain.next_of("connected").await;
    plain.send(json!({"type": "subscribe", "topic": "system", "timestamp": "2026-11-21T00:00:00Z"})).await;
    plain.next_of("subscribed").await;
    let mut upper = Client::open(node.address, "/ws", None, Some(&token("2"))).await;
    upper
        .send(json!({"type": "SUBSCRIPTION", "timestamp": "2026-11-21T00:00:00Z",
            "payload": {"action": "subscribe", "topics": ["system"]}}))
        .await;
    let mut grekko = Client::open(node.address, "/ws", Some("grekko-v1"), Some(&token("3"))).await;
    grekko.send(json!({"type": "subscribe", "channels": ["system"]})).await;
    node.until_subscribed("system", 3).await;
    node.publish("system", json!({"type": "order_update", "n": 1})).await;
    assert_eq!(plain.next_of("message").await["data"]["n"], 1);
    assert_eq!(upper.next_of("ORDER_UPDATE").await["payload"]["n"], 1);
    loop {
        let frame = grekko.next().await;
        if frame["topic"] == "system" && frame["data"]["n"] == 1 {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_during_publishing_misses_and_doubles_nothing() {
    let node = Node::start();
    let first = node.publish("room:1", json!({"n": 0})).await.position.unwrap();
    let publisher = {
        let backplane = node.backplane.clone();
        let messages: Vec<_> = (1..900).map(|n| node.message("room:1", &json!({ "n": n }))).collect();
        tokio::spawn(async move {
            for message in messages {
                tickwire_backplane::Backplane::publish(&*backplane, message).await.unwrap();
                tokio::task::yield_now().await;
            }
        })
    };
    let mut clients = Vec::new();
    for n in 0..8 {
        let mut client = node.client(&n.to_string()).await;
        let reply = client.subscribe(json!({"channel": "room:1", "since": first.to_string()})).await;
        clients.push((client, reply));
    }
    publisher.await.unwrap();
    for (mut client, reply) in clients {
        assert_eq!(reply["recovered"], true, "{}", reply["position"]);
        let mut got = recovered_numbers(&reply);
        while got.last() != Some(&899) {
            got.push(client.next_of("message").await["data"]["n"].as_u64().unwrap());
        }
        assert_eq!(got, (1..900).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_comes_back_by_position_and_gets_just_what_it_missed() {
    let node = Node::start();
    let mut client = node.client("7").await;
    client.subscribe(json!("system")).await;
    node.publish("system", json!({"n": 1})).await;
    let position = client.next_of("message").await["position"].clone();
    drop(client);
    for n in 2..12 {
        node.publish("system", json!({ "n": n })).await;
    }
    let mut back = node.client("7").await;
    let reply = back.subscribe(json!({"channel": "system", "since": position})).await;
    assert_eq!(reply["recovered"], true);
    assert_eq!(recovered_numbers(&reply), (2..12).collect::<Vec<_>>());
    let again = node.client("8").await.subscribe(json!({"channel": "system", "since": reply["position"]})).await;
    assert_eq!((again["recovered"].clone(), recovered_numbers(&again)), (json!(true), vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_that_does_not_reach_back_is_not_called_recovered() {
    let node = Node::start();
    let first = node.publish("system", json!({"n": 0})).await.position.unwrap();
    for n in 1..1_200 {
        node.publish("system", json!({ "n": n })).await;
    }
    let mut client = node.client("7").await;
    let reply = client.subscribe(json!({"channel": "system", "since": first.to_string()})).await;
    assert_eq!(reply["recovered"], false);
    let reply = node.client("8").await.subscribe(json!({"channel": "system", "since": "1-5"})).await;
    assert_eq!(reply["recovered"], false, "another epoch");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_message_is_read_from_the_store_before_later_ones() {
    let node = Node::start();
    let mut client = node.client("7").await;
    client.subscribe(json!("system")).await;
    node.publish("system", json!({"n": 0})).await;
    node.backplane.faults().drop_publications(&channel("system"), 3);
    for n in 1..6 {
        node.publish("system", json!({ "n": n })).await;
    }
    let mut got = Vec::new();
    for _ in 0..6 {
        got.push(client.next_of("message").await);
    }
    assert_eq!(numbers(&got), [0, 1, 2, 3, 4, 5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_last_message_is_noticed_without_another() {
    let node = Node::start();
    let mut client = node.client("7").await;
    client.subscribe(json!("system")).await;
    node.backplane.faults().drop_publications(&channel("system"), 1);
    node.publish("system", json!({"n": 0})).await;
    assert_eq!(client.next_of("message").await["data"]["n"], 0);
}

/// Another node delivered what this one has not heard of yet: its client, coming here, gets none of it again.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_ahead_of_the_node_gets_nothing_twice() {
    for name in ["system", "user:7"] {
        let node = Node::start();
        let mut behind = node.client("7").await;
        behind.subscribe(json!(name)).await;
        node.publish(name, json!({"n": 0})).await;
        node.backplane.faults().drop_publications(&channel(name), 1);
        let seen = node.publish(name, json!({"n": 1})).await.position.unwrap();
        let mut ahead = node.client("7").await;
        let subscribed = ahead.subscribe(json!({"channel": name, "since": seen.to_string()})).await;
        assert_eq!((&subscribed["recovered"], &subscribed["position"]), (&json!(true), &json!(seen.to_string())));
        assert_eq!(subscribed["messages"], json!([]));
        node.publish(name, json!({"n": 2})).await;
        assert_eq!(ahead.next_of("message").await["data"]["n"], 2, "on {name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_epoch_is_told_before_its_first_message() {
    let node = Node::start();
    let mut client = node.client("7").await;
    client.subscribe(json!("system")).await;
    node.publish("system", json!({"n": 0})).await;
    client.next_of("message").await;
    node.backplane.begin_epoch(&channel("system"));
    let position = node.publish("system", json!({"n": 1})).await.position.unwrap();
    let reset = client.next().await;
    assert_eq!((reset["type"].as_str(), reset["reason"].as_str()), (Some("reset"), Some("history_lost")));
    assert_eq!(reset["position"], format!("{}-0", position.epoch));
    assert_eq!(client.next().await["data"]["n"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_latest_channel_begins_with_the_current_values() {
    let node = Node::start();
    for n in 0..3 {
        node.publish_value("prices:all", "BTC", json!({ "n": n })).await;
        node.publish_value("prices:all", "ETH", json!({ "n": n + 10 })).await;
    }
    let mut client = node.client("7").await;
    let reply = client.subscribe(json!("prices:all")).await;
    assert_eq!(reply["class"], "latest");
    assert_eq!(recovered_numbers(&reply), [2, 12]);
    node.publish_value("prices:all", "BTC", json!({"n": 3})).await;
    let change = client.next_of("message").await;
    assert_eq!((change["key"].clone(), change["data"]["n"].clone()), (json!("BTC"), json!(3)));
    assert_eq!(change.get("position"), None);
    // From memory this time: the shard has the values.
    let reply = node.client("8").await.subscribe(json!({"channel": "prices:all", "keys": ["ETH"]})).await;
    assert_eq!(recovered_numbers(&reply), [12]);
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_keys_and_rates_choose_messages() {
    let node = Node::start();
    let mut client = node.client("7").await;
    client.subscribe(json!({"channel": "prices:all", "maxRate": 2})).await;
    for n in 0..20 {
        node.publish_value("prices:all", "BTC", json!({ "n": n })).await;
    }
    let mut got = Vec::new();
    while got.last() != Some(&19) {
        got.push(client.next_of("message").await["data"]["n"].as_u64().unwrap());
    }
    assert!(got.len() < 20 && got.is_sorted(), "{got:?}");
    let refused = client.ask(json!({"type": "subscribe", "channels": [{"channel": "system", "maxRate": 1}]})).await;
    assert_eq!(refused["code"], "bad_request");
    let refused = client.ask(json!({"type": "subscribe", "channels": [{"channel": "system", "keys": ["a"]}]})).await;
    assert_eq!(refused["code"], "bad_request");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inbox_gives_what_it_owes_until_it_is_acknowledged() {
    let node = Node::start();
    for n in 0..150 {
        node.publish("user:7", json!({ "n": n })).await;
    }
    let mut critical = Vec::new();
    for n in 200..205 {
        let mut alert = node.message("user:7", &json!({ "n": n }));
        alert.priority = tickwire_protocol::Priority::Critical;
        critical.push(tickwire_backplane::Backplane::publish(&*node.backplane, alert).await.unwrap().position.unwrap());
    }
    let mut client = node.client("7").await;
    let reply = client.subscribe(json!("user:7")).await;
    let owed: Vec<u64> = (50..150).chain(200..205).collect();
    assert_eq!(recovered_numbers(&reply), owed);
    let acked = client.ask(json!({"type": "ack", "channel": "user:7", "position": critical[0].to_string()})).await;
    assert_eq!(acked["type"], "acked");
    let ordinary = reply["messages"][99]["position"].clone();
    client.ask(json!({"type": "ack", "channel": "user:7", "position": ordinary})).await;
    let again = node.client("7").await.subscribe(json!("user:7")).await;
    assert_eq!(recovered_numbers(&again), [201, 202, 203, 204]);
    let since = node.client("7").await.subscribe(json!({"channel": "user:7", "since": reply["position"]})).await;
    assert_eq!(recovered_numbers(&since), [201, 202, 203, 204], "critical ones come again before what is new");
    assert_eq!(since["recovered"], true);
    node.publish("user:7", json!({"n": 300})).await;
    assert_eq!(client.next_of("message").await["data"]["n"], 300);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledgement_is_told_to_the_users_other_devices() {
    let node = Node::start();
    let (mut phone, mut desk) = (node.client("7").await, node.client("7").await);
    for client in [&mut phone, &mut desk] {
        client.subscribe(json!("user:7")).await;
    }
    let mut alert = node.message("user:7", &json!({"n": 1}));
    alert.priority = tickwire_protocol::Priority::Critical;
    let position = tickwire_backplane::Backplane::publish(&*node.backplane, alert).await.unwrap().position.unwrap();
    assert_eq!(desk.next_of("message").await["position"], position.to_string());
    phone.ask(json!({"type": "ack", "channel": "user:7", "position": position.to_string()})).await;
    let told = desk.next_of("acked").await;
    assert_eq!((&told["position"], told.get("id")), (&json!(position.to_string()), None));
    phone.ask(json!({"type": "preferences", "set": {"sound": false}})).await;
    assert_eq!(desk.next_of("preferences").await["preferences"], json!({"sound": false}));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_device_reads_its_inbox_for_itself() {
    let node = Node::start();
    for n in 0..3 {
        node.publish("user:7", json!({ "n": n })).await;
    }
    let of_device = |device: &str| json!({"channel": "user:7", "params": {"device": device}});
    let mut phone = node.client("7").await;
    let owed = phone.subscribe(of_device("phone")).await;
    assert_eq!(recovered_numbers(&owed), [0, 1, 2]);
    let read = owed["messages"][1]["position"].clone();
    phone.ask(json!({"type": "ack", "channel": "user:7", "position": read})).await;
    assert_eq!(recovered_numbers(&node.client("7").await.subscribe(of_device("phone")).await), [2]);
    assert_eq!(recovered_numbers(&node.client("7").await.subscribe(of_device("desk")).await), [0, 1, 2]);
    let mut named = node.client("7").await;
    named.ask(json!({"type": "connect", "token": token("7"), "device": "phone"})).await;
    assert_eq!(recovered_numbers(&named.subscribe(json!("user:7")).await), [2]);
    let subscribe = json!({"type": "subscribe", "channels": [of_device("a b")]});
    let wrong = node.client("7").await.ask(subscribe).await;
    assert_eq!(wrong["code"], "bad_request");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovering_inbox_gets_every_alert_that_is_owed_and_none_that_is_settled() {
    let node = Node::start();
    node.publish("user:7", json!({"n": 0})).await;
    let since = node.client("7").await.subscribe(json!("user:7")).await["position"].clone();
    let mut critical = Vec::new();
    for n in 1..=2 {
        let mut alert = node.message("user:7", &json!({ "n": n }));
        alert.priority = tickwire_protocol::Priority::Critical;
        critical.push(tickwire_backplane::Backplane::publish(&*node.backplane, alert).await.unwrap().position.unwrap());
    }
    let mut phone = node.client("7").await;
    phone.ask(json!({"type": "ack", "channel": "user:7", "position": critical[0].to_string()})).await;
    let again = json!({"channel": "user:7", "since": since});
    assert_eq!(recovered_numbers(&phone.subscribe(again.clone()).await), [2]);
    // More than the log keeps.
    for n in 3..1_010 {
        node.publish("user:7", json!({ "n": n })).await;
    }
    let reply = node.client("7").await.subscribe(again).await;
    let numbers = recovered_numbers(&reply);
    assert_eq!((&reply["recovered"], numbers[0], numbers.last()), (&json!(false), 2, Some(&1_009)));
}

#[tokio::test(flavor = "multi_thread")]
async fn leaving_a_channel_ends_its_messages() {
    let node = Node::start();
    let mut client = node.client("7").await;
    client.subscribe(json!("system")).await;
    client.subscribe(json!("room:1")).await;
    let left = client.ask(json!({"type": "unsubscribe", "channels": ["system"]})).await;
    assert_eq!((left["type"].as_str(), left["channel"].as_str()), (Some("unsubscribed"), Some("system")));
    node.publish("system", json!({"n": 1})).await;
    node.publish("room:1", json!({"n": 2})).await;
    assert_eq!(client.next_of("message").await["data"]["n"], 2);
    let again = client.ask(json!({"type": "unsubscribe", "channels": ["system"]})).await;
    assert_eq!(again["code"], "not_subscribed");
    let twice = client.ask(json!({"type": "subscribe", "channels": ["room:1"]})).await;
    assert_eq!(twice["code"], "already_subscribed");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_publish_to_rooms_once_per_key() {
    let node = Node::start();
    let mut alice = node.client("alice").await;
    let mut bob = node.client("bob").await;
    bob.subscribe(json!("room:1")).await;
    let publish = json!({"type": "publish", "channel": "room:1", "data": {"n": 1}, "idempotencyKey": "k"});
    let first = alice.ask(publish.clone()).await;
    assert_eq!((first["type"].as_str(), first["duplicate"].clone()), (Some("published"), json!(false)));
    let second = alice.ask(publish.clone()).await;
    assert_eq!((second["duplicate"].clone(), &second["position"]), (json!(true), &first["position"]));
    assert_eq!(bob.next_of("message").await["data"]["n"], 1);
    assert_eq!(bob.ask(publish).await["duplicate"], false, "another user's key is another key");
    let refused = alice.ask(json!({"type": "publish", "channel": "system", "data": 1})).await;
    assert_eq!(refused["code"], "forbidden");
}

#[tokio::test(flavor = "multi_thread")]
async fn history_presence_and_preferences_answer() {
    let node = Node::start();
    let mut alice = node.client("alice").await;
    alice.subscribe(json!("room:1")).await;
    let mut bob = node.client("bob").await;
    bob.subscribe(json!("room:1")).await;
    loop {
        let joined = alice.next_of("presence").await;
        if joined["userId"] == "bob" {
            assert_eq!(joined["event"], "join");
            break;
        }
    }
    let present = alice.ask(json!({"type": "presence", "channel": "room:1"})).await;
    assert_eq!(present["users"], json!(["alice", "bob"]));
    drop(bob);
    assert_eq!(alice.next_of("presence").await["event"], "leave");
    for n in 0..5 {
        node.publish("room:1", json!({ "n": n })).await;
    }
    let history = alice.ask(json!({"type": "history", "channel": "room:1", "limit": 2, "reverse": true})).await;
    assert_eq!(recovered_numbers(&history), [4, 3]);
    let history = alice.ask(json!({"type": "history", "channel": "room:1", "since": "1-1"})).await;
    assert_eq!(history["code"], "unrecoverable_position");
    let set = alice.ask(json!({"type": "preferences", "set": {"sound": false}})).await;
    assert_eq!(set["preferences"], json!({"sound": false}));
    assert_eq!(alice.ask(json!({"type": "preferences"})).await["preferences"], json!({"sound": false}));
    let wrong = alice.ask(json!({"type": "preferences", "set": {"rules": [{"action": "shout"}]}})).await;
    assert_eq!(wrong["code"], "bad_request");
    assert!(wrong["message"].as_str().unwrap().contains("rules[0].action"), "{wrong}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorded_owner_may_read_and_others_may_not() {
    let node = Node::start();
    let mut owned = node.message("session:42", &json!({"n": 0}));
    owned.owner = Some(user("7"));
    tickwire_backplane::Backplane::publish(&*node.backplane, owned).await.unwrap();
    let mut reader = node.client("7").await;
    reader.subscribe(json!("session:42")).await;
    let mut other = node.client("8").await;
    for (name, code) in [
        ("session:42", "forbidden"),
        ("user:7", "forbidden"),
        ("orders", "forbidden"),
        ("nothing:1", "unknown_channel"),
        ("bad name", "bad_request"),
    ] {
        let reply: Value = other.ask(json!({"type": "subscribe", "channels": [name]})).await;
        assert_eq!(reply["code"], code, "{reply}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorded_owner_sees_history_and_presence_and_others_do_not() {
    let node = Node::start_with(|config| {
        let policy = Policy { presence: true, ..Policy::reliable(Access::Granted) };
        config.namespaces.insert("session".into(), policy);
    });
    let mut owned = node.message("session:42", &json!({"n": 0}));
    owned.owner = Some(user("7"));
    tickwire_backplane::Backplane::publish(&*node.backplane, owned).await.unwrap();
    let (mut reader, mut stranger) = (node.client("7").await, node.client("8").await);
    reader.subscribe(json!("session:42")).await;
    for (command, answer) in [("presence", "presence"), ("history", "history")] {
        let asked = json!({"type": command, "channel": "session:42"});
        let told = reader.ask(asked.clone()).await;
        assert_eq!(told["type"], answer, "{told}");
        assert_eq!(stranger.ask(asked).await["code"], "forbidden", "{command}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_area_serves_its_own_namespaces_only() {
    let node = Node::start();
    let mut client = Client::open(node.address, "/ws/market-data", Some("tickwire.v1.json"), Some(&token("7"))).await;
    client.next_of("connected").await;
    client.subscribe(json!("prices:BTC")).await;
    let refused = client.ask(json!({"type": "subscribe", "channels": ["system"]})).await;
    assert_eq!(refused["code"], "unknown_channel");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backplane_that_is_away_is_said_and_clients_stay() {
    let node = Node::start();
    let mut client = node.client("7").await;
    node.backplane.faults().set_down(true);
    let refused = client.ask(json!({"type": "subscribe", "channels": ["system"]})).await;
    assert_eq!((refused["code"].as_str(), refused["retryable"].clone()), (Some("unavailable"), json!(true)));
    let refused = client.ask(json!({"type": "publish", "channel": "room:1", "data": 1})).await;
    assert_eq!(refused["code"], "unavailable");
    node.backplane.faults().set_down(false);
    client.subscribe(json!("system")).await;
    node.publish("system", json!({"n": 1})).await;
    assert_eq!(client.next_of("message").await["data"]["n"], 1);
}

/// Clients stay connected through an outage and are told of it on `system`, without a position: nothing to recover by.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_and_its_end_are_said_on_system() {
    let node = Node::start_with(|config| config.edge.shards = 1);
    let mut client = node.client("7").await;
    client.subscribe(json!("system")).await;
    let mut late = node.client("8").await;
    node.backplane.faults().set_down(true);
    let away = client.next_of("message").await;
    assert_eq!(away["data"]["type"], "backplane_status");
    assert_eq!(away["data"]["status"], "unavailable");
    assert!(away["position"].is_null() && away["data"]["node"].is_string(), "{away}");
    late.subscribe(json!("system")).await;
    assert_eq!(late.next_of("message").await["data"]["status"], "unavailable");
    node.backplane.faults().set_down(false);
    assert_eq!(client.next_of("message").await["data"]["status"], "available");
    node.publish("system", json!({"n": 1})).await;
    assert_eq!(client.next_of("message").await["data"]["n"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn leaving_and_coming_back_while_the_store_is_read_answers_the_second_request() {
    let node = Node::start();
    let first = node.publish("system", json!({"n": 0})).await.position.unwrap();
    node.publish("system", json!({"n": 1})).await;
    let mut client = node.client("7").await;
    // All in one frame, so that the second subscribe finds the first one's read under way.
    let entry = json!({"channel": "system", "since": first.to_string()});
    client
        .send(json!([
            {"id": 101, "type": "subscribe", "channels": [entry]},
            {"id": 102, "type": "unsubscribe", "channels": ["system"]},
            {"id": 103, "type": "subscribe", "channels": [entry]},
        ]))
        .await;
    let reply = loop {
        let frame = client.next_of("subscribed").await;
        if frame["id"] == 103 {
            break frame;
        }
    };
    assert_eq!(recovered_numbers(&reply), [1]);
}

/// This node has not heard of the newest value, which the client got elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_newcomer_to_a_latest_channel_gets_no_older_value_from_a_node_that_is_behind() {
    let node = Node::start();
    let mut behind = node.client("7").await;
    behind.subscribe(json!("prices:BTC/USDT")).await;
    node.publish_value("prices:BTC/USDT", "BTC/USDT", json!({"n": 1})).await;
    assert_eq!(behind.next_of("message").await["data"]["n"], 1);
    node.backplane.faults().drop_publications(&channel("prices:BTC/USDT"), 1);
    node.publish_value("prices:BTC/USDT", "BTC/USDT", json!({"n": 2})).await;
    let mut newcomer = node.client("8").await;
    let subscribed = newcomer.subscribe(json!("prices:BTC/USDT")).await;
    assert_eq!(subscribed["messages"][0]["data"]["n"], 2, "{subscribed}");
}
