use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use tickwire_client::{
    Backoff, Client, ClientError, ClientOptions, ConnectionState, DisconnectReason, Encoding, SubscribeOptions,
    Subscription, SubscriptionEvent, TokenPlacement, TokenSource,
};
use tickwire_protocol::{ChannelName, ErrorCode, Position, RawJson};

use crate::edge::{Edge, connected, message, soon};

fn options(edges: &[&Edge]) -> ClientOptions {
    let mut options = ClientOptions::new("", TokenSource::Fixed("secret".into()));
    options.urls = edges.iter().map(|edge| edge.url()).collect();
    let short = Duration::from_millis(20);
    options.backoff = Backoff { first_max: short, min: Duration::from_millis(1), base: short, max: short };
    options.connect_timeout = Duration::from_secs(60);
    options.call_timeout = Duration::from_secs(60);
    options
}

fn channel() -> ChannelName {
    ChannelName::new("session:1").unwrap()
}

async fn subscribe(client: &Client) -> Subscription {
    client.subscribe(channel(), SubscribeOptions::default()).await.unwrap()
}

async fn next(subscription: &mut Subscription) -> SubscriptionEvent {
    soon("an event", subscription.next_event()).await.expect("not ended")
}

async fn next_offset(subscription: &mut Subscription) -> u64 {
    let delivery = soon("a message", subscription.next_message()).await.unwrap();
    delivery.message.position.unwrap().offset
}

async fn stopped(client: &Client) -> DisconnectReason {
    match soon("the client stops", client.state().wait_for(|state| matches!(state, ConnectionState::Disconnected(_))))
        .await
        .unwrap()
        .clone()
    {
        ConnectionState::Disconnected(reason) => reason,
        state => panic!("{state:?}"),
    }
}

#[tokio::test]
async fn a_connection_cut_in_mid_stream_is_resumed_at_the_next_address() {
    let (first, second) = (Edge::start().await, Edge::start().await);
    let client = Client::connect(options(&[&first, &second])).unwrap();
    let mut subscription = subscribe(&client).await;
    let mut connection = first.greet().await;
    assert_eq!(connection.authorization.as_deref(), Some("Bearer secret"));
    assert_eq!(connection.subscribed(3, false, &[]).await, None);
    connection.send(&message(4)).await;
    assert!(matches!(next(&mut subscription).await, SubscriptionEvent::Subscribed { .. }));
    assert_eq!(next_offset(&mut subscription).await, 4);
    drop(connection);

    let mut connection = second.greet().await;
    assert_eq!(connection.subscribed(6, true, &[message(5), message(6)]).await.as_deref(), Some("1-4"));
    connection.send(&message(6)).await;
    connection.send(&message(7)).await;
    assert!(matches!(next(&mut subscription).await, SubscriptionEvent::Recovered { complete: true, .. }));
    for offset in 5..=7 {
        assert_eq!(next_offset(&mut subscription).await, offset);
    }
}

#[tokio::test]
async fn packed_frames_are_unpacked_in_both_encodings() {
    for encoding in [Encoding::Json, Encoding::MsgPack] {
        let edge = Edge::start().await;
        let client = Client::connect(ClientOptions { encoding, ..options(&[&edge]) }).unwrap();
        let mut subscription = subscribe(&client).await;
        let mut connection = edge.greet().await;
        connection.subscribed(0, false, &[]).await;
        connection.send_packed(&[message(1), json!({"type": "of a newer server"}), message(2)]).await;
        assert_eq!(next_offset(&mut subscription).await, 1, "{encoding:?}");
        assert_eq!(next_offset(&mut subscription).await, 2, "{encoding:?}");
    }
}

#[tokio::test]
async fn a_close_code_that_says_stop_ends_every_subscription() {
    let edge = Edge::start().await;
    let client = Client::connect(options(&[&edge])).unwrap();
    let mut subscription = subscribe(&client).await;
    let mut connection = edge.greet().await;
    connection.subscribed(0, false, &[]).await;
    assert!(matches!(next(&mut subscription).await, SubscriptionEvent::Subscribed { .. }));
    connection.close(4403).await;
    let SubscriptionEvent::Ended(error) = next(&mut subscription).await else { panic!("not the end") };
    assert!(!error.is_retryable());
    assert!(subscription.next_event().await.is_none());
    assert!(matches!(stopped(&client).await, DisconnectReason::ClosedByServer { code: 4403, .. }));
    let late = client.ping().await.unwrap_err();
    assert!(matches!(late, ClientError::Disconnected(_)), "{late}");
}

#[tokio::test]
async fn an_expired_token_is_replaced_by_the_provider() {
    let edge = Edge::start().await;
    let asked = Arc::new(AtomicU32::new(0));
    let token = TokenSource::provider({
        let asked = asked.clone();
        move || {
            let number = asked.fetch_add(1, Ordering::SeqCst);
            async move { Ok(format!("token-{number}")) }
        }
    });
    let client = Client::connect(ClientOptions { token, ..options(&[&edge]) }).unwrap();
    let connection = edge.greet().await;
    assert_eq!(connection.authorization.as_deref(), Some("Bearer token-0"));
    connection.close(4401).await;
    let mut connection = edge.accept().await;
    assert_eq!(connection.authorization.as_deref(), Some("Bearer token-1"));
    // It ends in a second: a refresh comes first, on the same connection.
    let mut hello = connected();
    hello["expiresAt"] = json!(1_001_000);
    connection.send(&hello).await;
    let refresh = connection.command().await;
    assert_eq!((&refresh["type"], &refresh["token"]), (&json!("refresh"), &json!("token-2")));
    client.connected().await.unwrap();
}

#[tokio::test]
async fn a_refused_upgrade_is_tried_again_after_retry_after() {
    let edge = Edge::start().await;
    let client = Client::connect(options(&[&edge])).unwrap();
    let mut state = client.state();
    edge.refuse("429 Too Many Requests", "retry-after: 1\r\n").await;
    let told = state.wait_for(|state| matches!(state, ConnectionState::Reconnecting { .. }));
    let ConnectionState::Reconnecting { delay, .. } = soon("a reconnect", told).await.unwrap().clone() else {
        panic!("not reconnecting")
    };
    assert_eq!(delay, Duration::from_secs(1));
    let _connection = edge.greet().await;
    soon("connected", client.connected()).await.unwrap();
}

#[tokio::test]
async fn a_forbidden_upgrade_stops() {
    let edge = Edge::start().await;
    let client = Client::connect(options(&[&edge])).unwrap();
    edge.refuse("403 Forbidden", "").await;
    assert_eq!(stopped(&client).await, DisconnectReason::Refused { status: 403 });
}

#[tokio::test]
async fn a_token_in_a_frame_stays_out_of_the_upgrade() {
    let edge = Edge::start().await;
    let client =
        Client::connect(ClientOptions { token_placement: TokenPlacement::Frame, ..options(&[&edge]) }).unwrap();
    let mut connection = edge.accept().await;
    assert_eq!(connection.authorization, None);
    let connect = connection.command().await;
    assert_eq!((&connect["type"], &connect["token"]), (&json!("connect"), &json!("secret")));
    connection.send(&connected()).await;
    soon("connected", client.connected()).await.unwrap();
}

#[tokio::test]
async fn a_publish_cut_off_is_repeated_under_its_key() {
    let edge = Edge::start().await;
    let client = Client::connect(options(&[&edge])).unwrap();
    let publishing = tokio::spawn({
        let client = client.clone();
        async move { client.publish(channel(), RawJson::parse("1").unwrap(), None).await }
    });
    let mut connection = edge.greet().await;
    let first = connection.command().await;
    drop(connection);
    let mut connection = edge.greet().await;
    let again = connection.command().await;
    assert!(first["idempotencyKey"].is_string());
    assert_eq!(again, first);
    connection
        .send(&json!({"id": again["id"], "type": "published", "channel": "session:1", "position": "1-9", "duplicate": true}))
        .await;
    let published = soon("the answer", publishing).await.unwrap().unwrap();
    assert_eq!(published.position, Some(Position::new(1, 9)));
}

#[tokio::test]
async fn a_refusal_reaches_the_caller_with_its_code() {
    let edge = Edge::start().await;
    let client = Client::connect(options(&[&edge])).unwrap();
    let asking = tokio::spawn({
        let client = client.clone();
        async move { client.history(channel(), None, None, false).await }
    });
    let mut connection = edge.greet().await;
    let command = connection.command().await;
    let refusal =
        json!({"id": command["id"], "type": "error", "code": "forbidden", "message": "no", "retryable": false});
    connection.send(&refusal).await;
    let error = soon("the answer", asking).await.unwrap().unwrap_err();
    assert!(matches!(error, ClientError::Server { code: ErrorCode::Forbidden, .. }), "{error}");
}

#[tokio::test]
async fn a_consumer_that_does_not_read_holds_the_client_up_and_loses_nothing() {
    const COUNT: u64 = 500;
    let edge = Edge::start().await;
    let client = Client::connect(ClientOptions { subscription_buffer: 4, ..options(&[&edge]) }).unwrap();
    let mut subscription = subscribe(&client).await;
    let mut connection = edge.greet().await;
    connection.subscribed(0, false, &[]).await;
    let packed: Vec<_> = (1..=COUNT).map(message).collect();
    connection.send_packed(&packed).await;
    connection.send(&message(COUNT + 1)).await;
    for offset in 1..=COUNT + 1 {
        assert_eq!(next_offset(&mut subscription).await, offset);
    }
}

#[tokio::test]
async fn a_dropped_subscription_is_left() {
    let edge = Edge::start().await;
    let client = Client::connect(options(&[&edge])).unwrap();
    let mut subscription = subscribe(&client).await;
    let mut connection = edge.greet().await;
    connection.subscribed(0, false, &[]).await;
    next(&mut subscription).await;
    drop(subscription);
    let left = connection.command().await;
    assert_eq!((&left["type"], &left["channels"]), (&json!("unsubscribe"), &json!(["session:1"])));
}

#[tokio::test]
async fn closing_ends_the_task_and_says_goodbye() {
    let edge = Edge::start().await;
    let client = Client::connect(options(&[&edge])).unwrap();
    let _connection = edge.greet().await;
    client.connected().await.unwrap();
    soon("closed", client.close()).await;
    assert_eq!(stopped(&client).await, DisconnectReason::ClosedHere);
}

#[tokio::test]
async fn addresses_that_can_never_work_are_refused_at_once() {
    for url in ["", "http://a/ws", "ws://"] {
        let refused = Client::connect(ClientOptions::new(url, TokenSource::Fixed("t".into())));
        assert!(matches!(refused, Err(ClientError::InvalidOptions(_))), "{url}");
    }
}
