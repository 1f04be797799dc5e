use std::time::Duration;

use tickwire_client::{Backoff, ClientError, Emitter, EmitterOptions, emitter::Outgoing};
use tickwire_protocol::{ChannelName, ErrorCode, Position, RawJson};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::edge::soon;

const PUBLISHED: &str = r#"{"channel":"room:1","position":"1-7","duplicate":false}"#;

/// What a request looked like.
#[derive(Debug, PartialEq)]
struct Seen {
    line: String,
    authorization: String,
    key: String,
    body: serde_json::Value,
}

/// Answers one request a connection with each of `answers` (status line and headers, body), then gives what it saw. An
/// empty status cuts the connection instead.
async fn serve(listener: TcpListener, answers: Vec<(&'static str, &'static str)>) -> Vec<Seen> {
    let mut seen = Vec::new();
    for (head, body) in answers {
        let (mut stream, _) = soon("a request", listener.accept()).await.unwrap();
        seen.push(read(&mut stream).await);
        if !head.is_empty() {
            let answer =
                format!("HTTP/1.1 {head}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    }
    seen
}

async fn read(stream: &mut tokio::net::TcpStream) -> Seen {
    let mut bytes = Vec::new();
    loop {
        stream.read_buf(&mut bytes).await.unwrap();
        let text = String::from_utf8(bytes.clone()).unwrap();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let header = |name: &str| {
            let mut values = head.lines().filter_map(|line| line.split_once(": "));
            let value = values.find(|(key, _)| key.eq_ignore_ascii_case(name));
            value.map(|(_, value)| value.to_owned()).unwrap_or_default()
        };
        let length: usize = header("content-length").parse().unwrap_or(0);
        if body.len() >= length {
            return Seen {
                line: head.lines().next().unwrap().to_owned(),
                authorization: header("authorization"),
                key: header("idempotency-key"),
                body: serde_json::from_str(body).unwrap_or_default(),
            };
        }
    }
}

async fn start(answers: Vec<(&'static str, &'static str)>) -> (Emitter, tokio::task::JoinHandle<Vec<Seen>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut options = EmitterOptions::new(format!("http://{}/", listener.local_addr().unwrap()), "a-key");
    let short = Duration::from_millis(5);
    options.backoff = Backoff { first_max: short, min: short, base: short, max: short };
    options.timeout = Duration::from_secs(60);
    options.attempts_max = 4;
    (Emitter::new(options).unwrap(), tokio::spawn(serve(listener, answers)))
}

fn outgoing() -> Outgoing {
    Outgoing::new(ChannelName::new("room:1").unwrap(), RawJson::parse("{}").unwrap())
}

#[tokio::test]
async fn every_try_carries_the_same_key() {
    let unavailable = r#"{"error":{"code":"unavailable","message":"later","retryable":true}}"#;
    let (emitter, server) =
        start(vec![("503 Service Unavailable", unavailable), ("", ""), ("502 Bad Gateway", ""), ("200 OK", PUBLISHED)])
            .await;
    let published = emitter.publish(outgoing()).await.unwrap();
    assert_eq!(published.position, Some(Position::new(1, 7)));
    let seen = server.await.unwrap();
    assert_eq!(seen.len(), 4);
    assert_eq!(seen[0].line, "POST /v1/publish HTTP/1.1");
    assert_eq!(seen[0].authorization, "Bearer a-key");
    assert!(!seen[0].key.is_empty() && seen[0].body["idempotencyKey"].is_string());
    assert!(seen.iter().all(|other| *other == seen[0]), "{seen:?}");
}

#[tokio::test]
async fn tries_are_bounded() {
    let (emitter, server) = start(vec![("503 Service Unavailable", ""); 4]).await;
    let error = emitter.publish(outgoing()).await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
    assert_eq!(server.await.unwrap().len(), 4);
}

#[tokio::test]
async fn a_refusal_is_not_repeated() {
    let refusal = r#"{"error":{"code":"stale_message","message":"older than 60 s","retryable":false}}"#;
    let (emitter, server) = start(vec![("400 Bad Request", refusal)]).await;
    let error = emitter.publish(outgoing()).await.unwrap_err();
    assert!(matches!(error, ClientError::Server { code: ErrorCode::StaleMessage, .. }), "{error}");
    assert_eq!(server.await.unwrap().len(), 1);
}

#[tokio::test]
async fn retry_after_is_obeyed() {
    let (emitter, server) = start(vec![("429 Too Many Requests\r\nretry-after: 1", ""), ("200 OK", PUBLISHED)]).await;
    let start = std::time::Instant::now();
    emitter.publish(outgoing()).await.unwrap();
    assert!(start.elapsed() >= Duration::from_secs(1));
    server.await.unwrap();
}

#[tokio::test]
async fn a_batch_has_a_result_for_each_message() {
    let results = r#"{"results":[{"channel":"room:1","position":"1-7","duplicate":true},{"error":{"code":"forbidden","message":"no","retryable":false}}]}"#;
    let (emitter, server) = start(vec![("200 OK", results)]).await;
    let results = emitter.publish_batch(vec![outgoing(), outgoing()]).await.unwrap();
    assert!(results[0].as_ref().unwrap().duplicate);
    assert!(matches!(results[1], Err(ClientError::Server { code: ErrorCode::Forbidden, .. })));
    let seen = server.await.unwrap();
    let messages = seen[0].body["messages"].as_array().unwrap();
    assert_ne!(messages[0]["idempotencyKey"], messages[1]["idempotencyKey"]);
}
