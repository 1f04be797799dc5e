//! Each fault of a simulated exchange against a live adapter: what is wrong is never published as live.

use std::sync::Arc;

use serde_json::Value;
use tickwire_backplane::{Backplane, memory::MemoryBackplane};
use tickwire_feed::model::Exchange;

use crate::rig::{Exchanges, Feed, Listener, book, is_live, is_suspect};

/// Venues whose recorded book messages build on the one before. Kraken's have a checksum instead; Bybit's recording is of depth
/// one, where each message is the whole book and nothing can be missed.
const SEQUENCED: [Exchange; 3] = [Exchange::Binance, Exchange::Coinbase, Exchange::Okx];

/// A live book, and what its subscriber sees from then on.
struct Scene {
    venue: Exchanges,
    listener: Listener,
    _feed: Feed,
}

async fn scene(exchange: Exchange) -> Scene {
    let backplane: Arc<dyn Backplane> = MemoryBackplane::new();
    let venue = Exchanges::start(exchange, &[]).await;
    let feed = Feed::start(&[&venue], Arc::clone(&backplane), "a").await;
    let mut listener = Listener::to(&*backplane, &[book(exchange), "system".to_owned()]).await;
    listener.until(is_live).await;
    Scene { venue, listener, _feed: feed }
}

impl Scene {
    fn inject(&self, fault: &str) {
        self.venue.simulator.inject(fault.parse().unwrap());
    }

    /// The book turns suspect for `reason`, and lives again by a snapshot.
    async fn turns_suspect_and_recovers(&mut self, reason: Option<&str>) {
        let seen = self.listener.until(is_suspect).await;
        let last = seen.last().unwrap();
        assert_eq!(last["kind"], "state");
        if let Some(reason) = reason {
            assert_eq!(last["reason"], reason, "{last}");
        }
        let after = self.listener.until(is_live).await;
        let first_live = after.last().unwrap();
        assert_eq!(first_live["kind"], "snapshot", "a book that was suspect begins anew: {first_live}");
        let told = seen.iter().chain(&after).any(|data| data["type"] == "feed_status" && data["status"] == "suspect");
        assert!(told || self.system_alert().await, "an alert on `system`");
    }

    async fn system_alert(&mut self) -> bool {
        let seen = self.listener.until(|data: &Value| data["type"] == "feed_status").await;
        !seen.is_empty()
    }
}

#[tokio::test]
async fn a_lost_message_turns_the_book_suspect_until_a_new_snapshot() {
    for exchange in SEQUENCED {
        let mut scene = scene(exchange).await;
        scene.inject("drop@1");
        scene.turns_suspect_and_recovers(Some("gap")).await;
    }
}

#[tokio::test]
async fn a_crossed_book_is_never_published_as_live() {
    // Bybit's recording has no changes, only whole books.
    for exchange in [Exchange::Binance, Exchange::Coinbase, Exchange::Kraken, Exchange::Okx] {
        let mut scene = scene(exchange).await;
        scene.inject("cross@1");
        scene.turns_suspect_and_recovers(Some("crossed")).await;
    }
}

#[tokio::test]
async fn swapped_messages_are_a_gap() {
    for exchange in SEQUENCED {
        let mut scene = scene(exchange).await;
        scene.inject("swap@1");
        scene.turns_suspect_and_recovers(Some("gap")).await;
    }
}

#[tokio::test]
async fn a_duplicate_is_ignored() {
    for exchange in Exchange::ALL {
        let mut scene = scene(exchange).await;
        scene.inject("duplicate@1x5");
        for _ in 0..12 {
            let (_, data) = scene.listener.next().await;
            assert!(is_live(&data), "{exchange}: {data}");
        }
    }
}

#[tokio::test]
async fn a_truncated_frame_does_not_end_the_service() {
    let mut scene = scene(Exchange::Binance).await;
    scene.inject("truncate@1");
    scene.turns_suspect_and_recovers(Some("gap")).await;
}

#[tokio::test]
async fn connections_that_end_in_any_way_are_made_again() {
    let faults =
        ["close:1000@1", "close:1001@1", "close:1006@1", "close:1008@1", "close:4004@1", "reset@1", "refuse:503"];
    for fault in faults {
        let mut scene = scene(Exchange::Binance).await;
        if fault.starts_with("refuse") {
            scene.inject(fault);
            scene.inject("close:1006@1");
        } else {
            scene.inject(fault);
        }
        scene.turns_suspect_and_recovers(Some("disconnected")).await;
    }
}

#[tokio::test]
async fn frames_of_five_megabytes_and_binary_ones_do_no_harm() {
    let mut scene = scene(Exchange::Binance).await;
    scene.inject("huge@1");
    scene.inject("binary@3");
    let mut live = 0;
    while live < 10 {
        let (_, data) = scene.listener.next().await;
        live += usize::from(is_live(&data));
    }
}

#[tokio::test]
async fn an_announced_close_is_answered_before_it_happens() {
    let mut scene = scene(Exchange::Binance).await;
    scene.inject("maintenance@1");
    let until = tokio::time::Instant::now() + std::time::Duration::from_secs(6);
    while tokio::time::Instant::now() < until {
        let (_, data) = scene.listener.next().await;
        assert!(is_live(&data), "make before break: {data}");
    }
}

#[tokio::test]
async fn a_venue_that_was_away_comes_back_with_new_books() {
    for exchange in Exchange::ALL {
        comes_back_with_new_books(exchange).await;
    }
}

async fn comes_back_with_new_books(exchange: Exchange) {
    let mut scene = scene(exchange).await;
    scene.venue.kill().await;
    let seen = scene.listener.until(is_suspect).await;
    assert_eq!(seen.last().unwrap()["reason"], "disconnected");
    let told = scene.listener.until(|data| data["type"] == "feed_status" && data["status"] == "down").await;
    assert!(!told.iter().any(is_live), "nothing is live while the venue is away");
    scene.venue.bring_back().await;
    let back = scene.listener.until(is_live).await;
    assert_eq!(back.last().unwrap()["kind"], "snapshot");
}

#[tokio::test]
async fn a_lost_message_fails_krakens_checksum() {
    let mut scene = scene(Exchange::Kraken).await;
    scene.inject("drop@1x20");
    scene.turns_suspect_and_recovers(Some("checksum")).await;
}

#[tokio::test]
async fn a_corrupt_level_fails_the_checksum() {
    let mut scene = scene(Exchange::Kraken).await;
    scene.inject("corrupt@1x20");
    scene.turns_suspect_and_recovers(Some("checksum")).await;
}

#[tokio::test]
async fn a_refused_subscription_leaves_the_others_alone() {
    let backplane: Arc<dyn Backplane> = MemoryBackplane::new();
    let venue = Exchanges::start(Exchange::Okx, &[]).await;
    let _feed = Feed::start(&[&venue], Arc::clone(&backplane), "a").await;
    let channels = [book(Exchange::Okx), "book:okx:NO/SUCH".to_owned()];
    let mut listener = Listener::to(&*backplane, &channels).await;
    let seen = listener.until(is_live).await;
    assert_eq!(seen.last().unwrap()["symbol"], "BTC/USDT");
}
