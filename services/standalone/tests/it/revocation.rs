use tickwire_client::{ClientError, DisconnectReason, SubscribeOptions, emitter::Revocation};
use tickwire_protocol::UserId;

use crate::cluster::{Cluster, channel, message, soon, token};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_users_connections_end_on_every_node_and_nothing_is_delivered_after() {
    let cluster = Cluster::start().await;
    // One token throughout: a revocation spares those issued in a later second.
    let revoked = token("7");
    let mut subscriptions = Vec::new();
    for edge in [0, 1] {
        let client = cluster.client_with(revoked.clone(), edge);
        let mut subscription = client.subscribe(channel("session:r"), SubscribeOptions::default()).await.unwrap();
        soon("the subscription stands", subscription.next_event()).await.unwrap();
        subscriptions.push(subscription);
    }
    let bystander = cluster.client("8", 0);
    let mut untouched = bystander.subscribe(channel("session:r"), SubscribeOptions::default()).await.unwrap();
    soon("the subscription stands", untouched.next_event()).await.unwrap();

    let user_id = UserId::new("7").unwrap();
    cluster.emitter.revoke(&Revocation::User { user_id, iat: None }).await.unwrap();
    for subscription in &mut subscriptions {
        let ended = soon("the connection ends", subscription.next_message()).await.unwrap_err();
        assert!(matches!(ended, ClientError::Disconnected(DisconnectReason::Unauthenticated)), "{ended}");
    }
    cluster.emitter.publish(message("session:r", "1")).await.unwrap();
    assert_eq!(soon("the bystander's message", untouched.next_message()).await.unwrap().message.data.as_str(), "1");
    for subscription in &mut subscriptions {
        assert!(subscription.next_event().await.is_none());
    }
    let late = cluster.client_with(revoked, 1).connected().await.unwrap_err();
    assert!(matches!(late, ClientError::Disconnected(DisconnectReason::Unauthenticated)), "{late}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_token_ends_by_its_id() {
    let cluster = Cluster::start().await;
    let client = cluster.client("9", 1);
    client.connected().await.unwrap();
    cluster.emitter.revoke(&Revocation::Token { jti: "t-9".into() }).await.unwrap();
    let mut state = client.state();
    let stopped = state.wait_for(|state| matches!(state, tickwire_client::ConnectionState::Disconnected(_)));
    soon("the connection ends", stopped).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disconnected_user_is_told_to_stop() {
    let cluster = Cluster::start().await;
    let client = cluster.client("7", 0);
    client.connected().await.unwrap();
    cluster.emitter.disconnect(&UserId::new("7").unwrap(), "by an operator").await.unwrap();
    let mut state = client.state();
    let stopped = state.wait_for(|state| matches!(state, tickwire_client::ConnectionState::Disconnected(_)));
    let stopped = soon("the connection ends", stopped).await.unwrap().clone();
    let tickwire_client::ConnectionState::Disconnected(DisconnectReason::ClosedByServer { code, .. }) = stopped else {
        panic!("{stopped:?}");
    };
    assert_eq!(code, 4403);
}
