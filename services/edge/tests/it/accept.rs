//! The HTTP side: handshakes, subprotocols, tokens, origins, limits, endpoints.

use serde_json::json;

use crate::{
    edge::{Edge, token},
    wire::{Wire, get_request, upgrade_request},
};

#[test]
fn a_token_is_taken_from_the_header_the_query_the_subprotocol_or_connect() {
    let edge = Edge::start();
    let token = token("7");
    let bearer = format!("Bearer {token}");
    let query = format!("/ws?token={token}");
    let subprotocol = format!("bearer.{token}, tickwire.v1.json");
    let mut with_header = Wire::open(edge.addr, "/ws", &[("Authorization", &bearer)]);
    let mut with_query = Wire::open(edge.addr, &query, &[]);
    let mut with_subprotocol = Wire::open(edge.addr, "/ws", &[("Sec-WebSocket-Protocol", &subprotocol)]);
    let mut with_connect = Wire::open(edge.addr, "/ws", &[]);
    with_connect.send_text(&json!({"id": 1, "type": "connect", "token": token}).to_string());
    for wire in [&mut with_header, &mut with_query, &mut with_subprotocol, &mut with_connect] {
        let connected = wire.json();
        assert_eq!((&connected["type"], &connected["userId"]), (&json!("connected"), &json!("7")));
    }
}

#[test]
fn exactly_one_known_subprotocol_is_echoed_and_never_the_token() {
    let edge = Edge::start();
    let bearer = format!("bearer.{}", token("7"));
    for (offer, echoed) in [
        ("tickwire.v1.json".to_owned(), Some("tickwire.v1.json")),
        (format!("{bearer}, unknown, grekko-v1, tickwire.v1.json"), Some("grekko-v1")),
        ("tickwire.v1.msgpack, tickwire.v1.json".to_owned(), Some("tickwire.v1.msgpack")),
        (bearer, None),
        ("unknown".to_owned(), None),
    ] {
        let mut wire = Wire::connect(edge.addr);
        wire.send(upgrade_request("/ws", &[("Sec-WebSocket-Protocol", &offer)]).as_bytes());
        let answer = wire.head();
        assert_eq!((answer.status, answer.header("sec-websocket-protocol")), (101, echoed), "{offer:.30}");
    }
}

#[test]
fn what_is_no_upgrade_is_refused_by_name() {
    let edge = Edge::start();
    let with = |from: &str, to: &str| Wire::request(edge.addr, &upgrade_request("/ws", &[]).replace(from, to));
    let version = with("Version: 13", "Version: 8");
    assert_eq!((version.status, version.header("sec-websocket-version")), (426, Some("13")));
    assert_eq!(with("Upgrade: websocket\r\n", "").status, 426);
    assert_eq!(with("Connection: Upgrade\r\n", "").status, 426);
    assert_eq!(with("dGhlIHNhbXBsZSBub25jZQ==", "short").status, 400);
    let post = with("GET", "POST");
    assert_eq!((post.status, post.header("allow"), post.header("connection")), (405, Some("GET"), Some("close")));
    for answer in [version, post] {
        assert_eq!(answer.json()["error"]["code"], "bad_request");
        assert_eq!(answer.json()["error"]["retryable"], false);
    }
}

#[test]
fn unknown_paths_and_methods_are_json_errors() {
    let edge = Edge::start();
    for path in ["/nothing", "/ws/nothing", "/metrics/x", "/?a=b"] {
        let answer = Wire::get(edge.addr, path, &[]);
        assert_eq!((answer.status, answer.header("content-type")), (404, Some("application/json")), "{path}");
        assert_eq!(answer.json()["error"]["code"], "bad_request");
    }
    let post = Wire::request(edge.addr, &get_request("/healthz", &[]).replace("GET", "POST"));
    assert_eq!((post.status, post.header("allow")), (405, Some("GET, HEAD")));
}

#[test]
fn a_scoped_endpoint_knows_only_its_namespaces() {
    let edge = Edge::start();
    let mut wire = Wire::open(edge.addr, &format!("/ws/market-data?token={}", token("7")), &[]);
    assert_eq!(wire.json()["type"], "connected");
    wire.send_text(r#"{"id":1,"type":"subscribe","channels":["prices:BTC","system"]}"#);
    let replies = [wire.json(), wire.json()];
    let of = |channel: &str| replies.iter().find(|reply| reply["channel"] == channel).unwrap();
    assert_eq!(of("prices:BTC")["type"], "subscribed");
    assert_eq!(of("system")["type"], "error");
}

#[test]
fn health_readiness_metrics_and_status_answer_without_a_token() {
    let edge = Edge::start();
    let mut wire = edge.client("7");
    wire.send_text(r#"{"id":1,"type":"subscribe","channels":["system"]}"#);
    assert_eq!(wire.json()["type"], "subscribed");
    assert_eq!(Wire::get(edge.addr, "/healthz", &[]).status, 200);
    assert_eq!(Wire::get(edge.addr, "/readyz", &[]).status, 200);
    assert!(Wire::get(edge.addr, "/metrics", &[]).body.contains("# EOF"));
    for path in ["/ws/status", "/ws/status?node=self"] {
        let status = Wire::get(edge.addr, path, &[]).json();
        assert_eq!(status["activeConnections"], 1, "{path}");
        assert_eq!(status["topicSubscriptions"], json!({"system": 1}), "{path}");
        assert!(status["timestamp"].as_str().unwrap().ends_with('Z'));
    }
    wire.send_text(r#"{"id":2,"type":"subscribe","channels":["user:7"]}"#);
    assert_eq!(wire.json()["type"], "subscribed");
    let status = Wire::get(edge.addr, "/ws/status", &[]).json();
    assert_eq!(status["topicSubscriptions"], json!({"system": 1, "user": 1}), "it names no users");
    assert_eq!(Wire::get(edge.addr, "/ws/status?node=other", &[]).status, 400);
    edge.backplane.faults().set_down(true);
    edge.until("it is not ready without its backplane", |edge| Wire::get(edge.addr, "/readyz", &[]).status == 503);
    assert_eq!(Wire::get(edge.addr, "/healthz", &[]).status, 200);
}

#[test]
fn metrics_tell_what_the_backplane_and_the_keys_count() {
    let edge = Edge::start();
    edge.assert_serves();
    assert!(edge.metric("tickwire_backplane_signals_total") >= 1.0);
    let text = Wire::get(edge.addr, "/metrics", &[]).body;
    for name in [
        "tickwire_backplane_signals_dropped",
        "tickwire_auth_key_fetches",
        "tickwire_auth_key_fetch_failures",
        "tickwire_edge_revocations_evicted",
    ] {
        assert!(text.contains(&format!("# HELP {name} ")), "{name}: {text}");
    }
}

#[test]
fn a_page_of_another_origin_is_refused() {
    let edge = Edge::start_with(|config| config.edge.allowed_origins = vec!["https://app.example.com".into()]);
    let good = [("Origin", "https://app.example.com")];
    let bad = [("Origin", "https://evil.example")];
    drop(Wire::open(edge.addr, "/ws", &good));
    let refused = Wire::request(edge.addr, &upgrade_request("/ws", &bad));
    assert_eq!((refused.status, &refused.json()["error"]["code"]), (403, &json!("forbidden")));
    let refused = Wire::get(edge.addr, "/sse?channels=system", &bad);
    assert_eq!((refused.status, refused.header("access-control-allow-origin")), (403, None));
    let preflight = Wire::request(edge.addr, &get_request("/poll", &good).replace("GET", "OPTIONS"));
    assert_eq!(preflight.status, 204);
    assert_eq!(preflight.header("access-control-allow-origin"), Some("https://app.example.com"));
    assert!(preflight.header("access-control-allow-headers").unwrap().contains("authorization"));
    // An error is readable by the page, too.
    let unauthenticated = Wire::get(edge.addr, "/poll?channels=system", &good);
    assert_eq!(unauthenticated.status, 401);
    assert_eq!(unauthenticated.header("access-control-allow-origin"), Some("https://app.example.com"));
}

#[test]
fn over_a_limit_a_token_gets_429_and_who_sends_it_later_gets_a_close_code() {
    let edge = Edge::start_with(|config| config.limits.connections_per_ip = 1);
    let path = format!("/ws?token={}", token("7"));
    // The probes of `start` are over, but their sockets may still be counted.
    edge.until("a place is free", |edge| {
        let mut wire = Wire::connect(edge.addr);
        wire.send(upgrade_request(&path, &[]).as_bytes());
        wire.head().status == 101
    });
    edge.until("it is free again", |edge| edge.metric("tickwire_edge_connections") == 0.0);
    let held = loop {
        let mut wire = Wire::connect(edge.addr);
        wire.send(upgrade_request(&path, &[]).as_bytes());
        if wire.head().status == 101 {
            break wire;
        }
    };
    let refused = Wire::request(edge.addr, &upgrade_request(&path, &[]));
    assert_eq!((refused.status, &refused.json()["error"]["code"]), (429, &json!("limit_exceeded")));
    assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() > 0);
    for headers in [&[("Origin", "http://page.example")][..], &[]] {
        let mut client = Wire::open(edge.addr, "/ws", headers);
        let error = client.json();
        assert_eq!((&error["type"], &error["code"]), (&json!("error"), &json!("limit_exceeded")));
        assert!(error["retryAfterMs"].as_u64().unwrap() > 0);
        assert_eq!(client.close_code().unwrap().0, 4429);
    }
    assert_eq!(Wire::get(edge.addr, "/healthz", &[]).status, 200);
    assert!(edge.metric("tickwire_edge_refusals_total") >= 2.0);
    drop(held);
}

#[test]
fn a_user_has_a_limit_of_connections() {
    let edge = Edge::start_with(|config| config.limits.connections_per_user = 2);
    let (_first, _second) = (edge.client("7"), edge.client("7"));
    let third = Wire::request(edge.addr, &upgrade_request(&format!("/ws?token={}", token("7")), &[]));
    assert_eq!(third.status, 429);
    assert!(third.json()["error"]["message"].as_str().unwrap().contains("at most 2 connections"));
    drop(edge.client("8"));
}

#[test]
fn a_newer_connection_takes_the_place_of_the_oldest_where_that_is_configured() {
    let edge = Edge::start_with(|config| {
        config.edge.shards = 2;
        config.limits.connections_per_user = 2;
        config.limits.replace_oldest = true;
    });
    let (mut first, mut second) = (edge.client("7"), edge.client("7"));
    let mut other = edge.client("8");
    let mut third = Wire::open(edge.addr, "/ws", &[]);
    third.send_text(&json!({"id": 1, "type": "connect", "token": token("7")}).to_string());
    assert_eq!(third.json()["type"], "connected");
    assert_eq!(first.close_code().unwrap().0, 4409);
    let _fourth = edge.client("7");
    assert_eq!(second.close_code().unwrap().0, 4409);
    for client in [&mut third, &mut other] {
        client.send_text(r#"{"id":2,"type":"ping"}"#);
        assert_eq!(client.json()["type"], "pong");
    }
    assert!((edge.metric("tickwire_edge_replaced_total") - 2.0).abs() < 0.5);
}

#[test]
fn guessing_tokens_bans_the_address_on_every_node() {
    let edge = Edge::start_with(|config| config.limits.auth_failures_per_minute = 3);
    let guess = || Wire::request(edge.addr, &upgrade_request("/ws?token=x.y.z", &[]));
    assert_eq!([guess().status, guess().status, guess().status], [401; 3]);
    let banned = guess();
    assert_eq!((banned.status, &banned.json()["error"]["code"]), (429, &json!("rate_limited")));
    assert!(banned.header("retry-after").is_some());
    assert!((edge.metric("tickwire_edge_bans_total") - 1.0).abs() < 0.5);
    edge.until("the ban is shared", Edge::has_sticky_ban);
}

#[test]
fn looking_for_other_peoples_channels_bans_the_user_on_every_node() {
    let edge = Edge::start_with(|config| config.limits.forbidden_per_minute = 5);
    let mut innocent = edge.client("8");
    let mut bystander = edge.client("7");
    let mut scanner = edge.client("7");
    for number in 0..5 {
        scanner.send_text(&format!(r#"{{"id":{number},"type":"subscribe","channels":["user:{number}"]}}"#));
    }
    assert_eq!(scanner.close_code().unwrap().0, 4429);
    assert_eq!(bystander.close_code().unwrap().0, 4429, "all of the user's connections");
    let again = Wire::request(edge.addr, &upgrade_request(&format!("/ws?token={}", token("7")), &[]));
    assert_eq!((again.status, &again.json()["error"]["code"]), (429, &json!("rate_limited")));
    edge.until("the ban is shared", Edge::has_sticky_ban);
    assert!(edge.metric("tickwire_edge_offences_total") >= 5.0);
    innocent.send_text(r#"{"id":1,"type":"ping"}"#);
    assert_eq!(innocent.json()["type"], "pong");
}

#[test]
fn floods_of_garbage_ban_the_address() {
    let edge = Edge::start_with(|config| {
        config.limits.malformed_per_minute = 1;
        config.limits.floods_per_minute = 3;
    });
    for _ in 0..3 {
        let mut flooder = edge.client("7");
        flooder.send_text("not json");
        flooder.send_text("nor this");
        assert_eq!(flooder.close_code().unwrap().0, 4400);
    }
    let again = Wire::request(edge.addr, &upgrade_request(&format!("/ws?token={}", token("7")), &[]));
    assert_eq!(again.status, 429);
}

#[test]
fn behind_a_trusted_proxy_the_client_is_who_it_forwards() {
    let edge = Edge::start_with(|config| {
        config.limits.connections_per_ip = 1;
        config.edge.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    });
    let path = format!("/ws?token={}", token("7"));
    let open = |ip: &str| {
        let mut wire = Wire::connect(edge.addr);
        wire.send(upgrade_request(&path, &[("X-Forwarded-For", ip)]).as_bytes());
        let status = wire.head().status;
        (wire, status)
    };
    let (_first, status) = open("203.0.113.1");
    assert_eq!(status, 101);
    assert_eq!(open("203.0.113.1").1, 429);
    assert_eq!(open("1.1.1.1, 203.0.113.1").1, 429);
    assert_eq!(open("203.0.113.2").1, 101);
}

#[test]
fn a_draining_node_refuses_newcomers_with_503() {
    let edge = Edge::start_with(|config| {
        config.edge.drain_ms = 60_000;
        // A shard that serves nobody ends at once, and would take the newcomers with it.
        config.edge.shards = 1;
    });
    let _stays = edge.client("7");
    let mut late = Wire::connect(edge.addr);
    let mut page = Wire::connect(edge.addr);
    // Accepted before the drain, but not yet upgraded.
    late.send(b"GET");
    page.send(b"GET");
    assert_eq!(Wire::get(edge.addr, "/healthz", &[]).status, 200);
    edge.drain();
    std::thread::sleep(std::time::Duration::from_millis(100));
    late.send(&upgrade_request(&format!("/ws?token={}", token("7")), &[]).as_bytes()[3..]);
    let refused = late.head();
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    page.send(&upgrade_request("/ws", &[("Origin", "http://page.example")]).as_bytes()[3..]);
    assert_eq!(page.head().status, 101);
    assert_eq!(page.json()["code"], "unavailable");
    assert_eq!(page.close_code().unwrap().0, 1001);
}

#[test]
fn a_connection_has_a_limit_of_channels_and_of_commands() {
    let edge = Edge::start_with(|config| {
        config.limits.channels_per_connection = 2;
        config.limits.commands_per_second = 3;
    });
    let mut wire = edge.client("7");
    wire.send_text(r#"{"id":1,"type":"subscribe","channels":["public:a","public:b","public:c"]}"#);
    let replies = [wire.json(), wire.json(), wire.json()];
    let refused = replies.iter().find(|reply| reply["type"] == "error").unwrap();
    assert_eq!((&refused["code"], &refused["channel"]), (&json!("limit_exceeded"), &json!("public:c")));
    assert!(refused["message"].as_str().unwrap().contains("at most 2 channels"));
    for _ in 0..10 {
        wire.send_text(r#"{"id":2,"type":"ping"}"#);
    }
    let limited = (0..10).map(|_| wire.json()).find(|reply| reply["type"] == "error").unwrap();
    assert_eq!((&limited["code"], &limited["id"]), (&json!("rate_limited"), &json!(2)));
    assert!(limited["retryAfterMs"].as_u64().unwrap() > 0);
}

#[test]
fn a_user_over_the_limit_is_told_in_connect_too() {
    let edge = Edge::start_with(|config| config.limits.connections_per_user = 1);
    let _first = edge.client("7");
    let mut second = Wire::open(edge.addr, "/ws", &[]);
    second.send_text(&json!({"id": 1, "type": "connect", "token": token("7")}).to_string());
    let error = second.json();
    assert_eq!((&error["type"], &error["code"], &error["id"]), (&json!("error"), &json!("limit_exceeded"), &json!(1)));
    assert_eq!(second.close_code().unwrap().0, 4429);
}
