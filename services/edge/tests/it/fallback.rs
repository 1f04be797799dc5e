//! SSE and long polling.

use serde_json::{Value, json};

use crate::{
    edge::{Edge, token},
    wire::{HttpAnswer, Wire, get_request},
};

fn bearer(user: &str) -> String {
    format!("Bearer {}", token(user))
}

struct Events {
    wire: Wire,
    seen: usize,
}

impl Events {
    fn open(edge: &Edge, path: &str, headers: &[(&str, &str)]) -> Self {
        let bearer = bearer("7");
        let mut all = vec![("Authorization", bearer.as_str())];
        all.extend_from_slice(headers);
        let mut wire = Wire::connect(edge.addr);
        wire.send(get_request(path, &all).as_bytes());
        let answer = wire.head();
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/event-stream")), "{answer:?}");
        Self { wire, seen: 0 }
    }

    /// The next event of `kind` with its id.
    fn next(&mut self, kind: &str) -> (String, Value) {
        loop {
            let wanted = self.seen + 1;
            let text =
                self.wire.text_until(|text| text.matches("data: ").count() >= wanted && text.ends_with("\n\n\r\n"));
            let at = text.match_indices("data: ").nth(self.seen).unwrap().0;
            let line = text[at + 6..].lines().next().unwrap();
            let id = text[..at].lines().rev().find_map(|line| line.strip_prefix("id: ")).unwrap_or_default();
            self.seen += 1;
            let event: Value = serde_json::from_str(line).unwrap();
            if event["type"] == kind {
                return (id.to_owned(), event);
            }
        }
    }
}

fn poll(edge: &Edge, query: &str) -> HttpAnswer {
    Wire::get(edge.addr, &format!("/poll?{query}"), &[("Authorization", &bearer("7"))])
}

#[test]
fn an_event_stream_goes_on_where_its_last_id_says() {
    let edge = Edge::start();
    let mut events = Events::open(&edge, "/sse?channels=system,room:1", &[]);
    assert_eq!(events.next("subscribed").1["channel"], "system");
    assert_eq!(events.next("subscribed").1["channel"], "room:1");
    edge.publish("system", "1");
    let (_, first) = events.next("message");
    edge.publish("room:1", "2");
    let (id, second) = events.next("message");
    assert_eq!((&first["data"], &second["data"]), (&json!(1), &json!(2)));
    assert!(id.contains("system@") && id.contains("room:1@"), "{id}");
    drop(events);
    edge.publish("system", "3");
    edge.publish("room:1", "4");
    let mut again = Events::open(&edge, "/sse?channels=system,room:1", &[("Last-Event-ID", &id)]);
    for data in [3, 4] {
        let (_, subscribed) = again.next("subscribed");
        assert_eq!(subscribed["recovered"], true, "{subscribed}");
        assert_eq!(subscribed["messages"][0]["data"], data);
        assert_eq!(subscribed["messages"].as_array().unwrap().len(), 1);
    }
    edge.publish("system", "5");
    assert_eq!(again.next("message").1["data"], 5);
}

#[test]
fn a_quiet_event_stream_carries_comments() {
    let edge = Edge::start_with(|config| config.edge.heartbeat_interval_ms = 50);
    let mut events = Events::open(&edge, "/sse?channels=system", &[]);
    events.wire.text_until(|text| text.matches(":\n\n").count() >= 3);
}

#[test]
fn an_event_stream_that_is_closed_leaves_nothing_behind() {
    let edge = Edge::start();
    let mut events = Events::open(&edge, "/sse?channels=system", &[]);
    events.next("subscribed");
    assert!((edge.metric("tickwire_edge_connections") - 1.0).abs() < 0.5);
    drop(events);
    edge.until("it is gone", |edge| edge.metric("tickwire_edge_connections") == 0.0);
}

#[test]
fn a_poll_waits_for_the_first_message_and_gives_all_that_was_missed() {
    let edge = Edge::start();
    let empty = poll(&edge, "channels=system&wait=0").json();
    assert_eq!(empty["messages"], json!([]));
    let next = empty["next"].as_str().unwrap().to_owned();
    assert!(next.starts_with("system@"), "{next}");
    for number in 1..=3 {
        edge.publish("system", &number.to_string());
    }
    let batch = poll(&edge, &format!("channels=system&since={next}&wait=0")).json();
    let data: Vec<&Value> = batch["messages"].as_array().unwrap().iter().map(|message| &message["data"]).collect();
    assert_eq!(data, [&json!(1), &json!(2), &json!(3)]);
    let next = batch["next"].as_str().unwrap().to_owned();
    let waiting = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| poll(&edge, &format!("channels=system&since={next}&wait=30")).json());
        edge.until("the poll is there", |edge| edge.metric("tickwire_edge_connections") > 0.5);
        edge.publish("system", "4");
        waiting.join().unwrap()
    });
    assert_eq!(waiting["messages"][0]["data"], 4);
    assert!(waiting.get("reset").is_none() && waiting.get("errors").is_none());
}

#[test]
fn a_poll_whose_position_is_lost_is_told_so() {
    let edge = Edge::start();
    edge.publish("system", "1");
    let batch = poll(&edge, "channels=system&since=system@5-5&wait=0").json();
    assert_eq!(batch["reset"], json!(["system"]));
}

#[test]
fn bad_requests_are_refused_in_json() {
    let edge = Edge::start();
    for (query, status, code) in [
        ("", 400, "bad_request"),
        ("channels=", 400, "bad_request"),
        ("channels=a%20b", 400, "bad_request"),
        ("channels=a%0Ab", 400, "bad_request"),
        ("channels=system&since=nonsense", 400, "bad_request"),
        ("channels=system&wait=31", 400, "bad_request"),
        ("channels=system&wait=x", 400, "bad_request"),
        ("channels=no-such-namespace:1", 404, "unknown_channel"),
        ("channels=user:8", 403, "forbidden"),
    ] {
        let answer = poll(&edge, query);
        assert_eq!((answer.status, &answer.json()["error"]["code"]), (status, &json!(code)), "{query}");
        if !query.contains("wait") {
            let sse = Wire::get(edge.addr, &format!("/sse?{query}"), &[("Authorization", &bearer("7"))]);
            assert_eq!((sse.status, &sse.json()["error"]["code"]), (status, &json!(code)), "{query}");
        }
    }
    let many: Vec<String> = (0..300).map(|number| format!("public:{number}")).collect();
    let answer = poll(&edge, &format!("channels={}", many.join(",")));
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (429, &json!("limit_exceeded")));
    let partly = poll(&edge, "channels=system,user:8&wait=0").json();
    assert_eq!(partly["errors"][0]["code"], "forbidden");
    let anonymous = Wire::get(edge.addr, "/poll?channels=system", &[]);
    assert_eq!((anonymous.status, &anonymous.json()["error"]["code"]), (401, &json!("unauthenticated")));
}

#[test]
fn a_poll_does_not_return_for_what_the_client_has() {
    let edge = Edge::start();
    edge.publish_keyed("prices:BTC", "BTC", "1");
    edge.publish_critical("user:7", r#""margin call""#);
    let first = poll(&edge, "channels=prices:BTC,user:7&wait=0").json();
    assert_eq!(first["messages"].as_array().unwrap().len(), 2);
    let next = first["next"].as_str().unwrap();
    let second = poll(&edge, &format!("channels=prices:BTC,user:7&since={next}&wait=0")).json();
    assert_eq!((&second["messages"], &second["next"]), (&json!([]), &first["next"]));
    assert!(second.get("reset").is_none(), "{second}");
    edge.publish_keyed("prices:BTC", "BTC", "2");
    let third = poll(&edge, &format!("channels=prices:BTC,user:7&since={next}&wait=10")).json();
    assert_eq!(third["messages"][0]["data"], 2);
}

#[test]
fn an_event_stream_outlives_the_idle_timeout_and_ends_with_the_drain() {
    let edge = Edge::start_with(|config| {
        config.edge.heartbeat_interval_ms = 200;
        config.edge.idle_timeout_ms = 600;
        config.edge.drain_ms = 2_000;
    });
    let mut events = Events::open(&edge, "/sse?channels=system", &[]);
    events.next("subscribed");
    events.wire.text_until(|text| text.matches(":\n\n").count() >= 10);
    edge.publish("system", "1");
    assert_eq!(events.next("message").1["data"], 1);
    edge.drain();
    let reconnect = events.next("reconnect").1;
    assert_eq!(reconnect["reason"], "draining");
    let rest = events.wire.text_to_end();
    assert!(rest.ends_with("0\r\n\r\n"), "no clean end: {:?}", &rest[rest.len().saturating_sub(80)..]);
    assert!(!rest.contains('\u{FFFD}'), "something that is no text");
}

#[test]
fn an_event_stream_whose_client_stops_reading_is_dropped() {
    let edge = Edge::start_with(|config| {
        config.edge.heartbeat_interval_ms = 200;
        config.edge.idle_timeout_ms = 600;
    });
    let mut events = Events::open(&edge, "/sse?channels=system", &[]);
    events.next("subscribed");
    let large = format!("\"{}\"", "x".repeat(60_000));
    edge.until("it is dropped", |edge| {
        edge.publish("system", &large);
        edge.metric("tickwire_edge_connections") < 0.5
    });
    drop(events);
    edge.assert_serves();
}
