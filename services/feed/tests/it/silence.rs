//! Sockets on which nothing comes any more, and none was closed.

use std::{net::SocketAddr, sync::Arc};

use futures_util::future::join_all;
use tickwire_backplane::{Backplane, memory::MemoryBackplane};
use tickwire_feed::{
    book::BookState,
    model::{Channel, Exchange, Market, Symbol, Topic},
    venue::{Adapter, Effect, Frame, Instruments, Moment, Setup, facts},
};
use tokio::{net::TcpListener, time::Instant};

use crate::rig::{Exchanges, Feed, Listener, book, is_live, is_suspect};

/// Venues whose heartbeat comes every second: their silence is found within seconds.
const BEATING: [Exchange; 2] = [Exchange::Coinbase, Exchange::Kraken];

async fn falls_silent(exchange: Exchange, fault: &str) {
    let backplane: Arc<dyn Backplane> = MemoryBackplane::new();
    let venue = Exchanges::start(exchange, &[]).await;
    let feed = Feed::start(&[&venue], Arc::clone(&backplane), "a").await;
    let mut listener = Listener::to(&*backplane, &[book(exchange)]).await;
    listener.until(is_live).await;
    venue.simulator.inject(fault.parse().unwrap());
    let told = listener.until(is_suspect).await;
    assert_eq!(told.last().unwrap()["reason"], "silence", "{exchange}");
    let back = listener.until(is_live).await;
    assert_eq!(back.last().unwrap()["kind"], "snapshot", "{exchange}");
    feed.reaches("tickwire_feed_faults_total", &[exchange.name(), "network"], 1.0).await;
    feed.reaches("tickwire_feed_reconnects_total", &[exchange.name()], 1.0).await;
}

#[tokio::test]
async fn a_half_open_socket_is_found_and_replaced() {
    join_all(BEATING.map(|exchange| falls_silent(exchange, "half-open@1"))).await;
}

#[tokio::test]
async fn a_frame_that_never_ends_is_silence() {
    join_all(BEATING.map(|exchange| falls_silent(exchange, "slow-loris@1"))).await;
}

/// Takes connections, and what they send, and says nothing.
async fn mute() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(tokio_tungstenite::accept_async(stream).await);
        }
    });
    address
}

#[tokio::test]
async fn a_venue_that_accepts_and_says_nothing_holds_up_no_other() {
    let backplane: Arc<dyn Backplane> = MemoryBackplane::new();
    let coinbase = Exchanges::start(Exchange::Coinbase, &[]).await;
    let venues = [(Exchange::Coinbase, coinbase.address), (Exchange::Kraken, mute().await)];
    let feed = Feed::of(&venues, Arc::clone(&backplane), "a").await;
    let channels = [book(Exchange::Coinbase), book(Exchange::Kraken)];
    let mut listener = Listener::to(&*backplane, &channels).await;
    listener.until(is_live).await;
    let mut live = 0;
    let began = Instant::now();
    // Two of the mute one's connections are given up in this time, and the other's book stays live over it.
    while feed.metric("tickwire_feed_reconnects_total", &["kraken"]).await < 2.0 {
        assert!(began.elapsed() < crate::rig::PATIENCE, "silence is never found");
        let (_, data) = listener.next().await;
        if data["exchange"] == "coinbase" {
            assert!(is_live(&data), "{data}");
            live += 1;
        } else {
            assert!(!is_live(&data), "{data}");
        }
    }
    assert!(live > 20, "{live}");
    assert_eq!(feed.metric("tickwire_feed_reconnects_total", &["coinbase"]).await.to_string(), "0");
}

/// An adapter that was connected at 0 and wants a book.
fn adapter(exchange: Exchange) -> Adapter {
    let instruments = Instruments::derived(exchange, Market::Spot);
    let (market, conn) = (Market::Spot, Arc::from("test"));
    let mut adapter = Adapter::new(Setup { exchange, market, conn, instruments, http: None, accept_all: false });
    adapter.connected(at(0));
    let topic = Topic { symbol: Symbol::new("BTC/USDT"), channel: Channel::Orderbook };
    adapter.want(&[topic], at(0));
    adapter.effects().for_each(drop);
    adapter
}

fn at(mono_ms: u64) -> Moment {
    Moment { mono_ms, wall_ns: i64::try_from(mono_ms).unwrap() * 1_000_000 }
}

#[test]
fn every_venues_silence_is_found_within_its_bound() {
    for exchange in Exchange::ALL {
        let mut adapter = adapter(exchange);
        let heartbeat = facts(exchange).heartbeat;
        let found = (0..=heartbeat.silence_max_ms).step_by(250).find(|now_ms| {
            adapter.poll(at(*now_ms));
            adapter.effects().any(|effect| matches!(effect, Effect::Recycle(_)))
        });
        let found = found.unwrap_or_else(|| panic!("{exchange}: never"));
        assert!(found >= heartbeat.silence_min_ms, "{exchange}: after {found} ms already");
    }
}

#[test]
fn a_ping_without_its_pong_is_no_death_while_data_comes() {
    for exchange in Exchange::ALL {
        let mut adapter = adapter(exchange);
        for now_ms in (0..600_000).step_by(1_000) {
            adapter.frame(Frame::Text("{}"), at(now_ms));
            adapter.poll(at(now_ms));
            let is_dead =
                adapter.effects().any(|effect| matches!(&effect, Effect::Recycle(fault) if fault.symbol.is_none()));
            assert!(!is_dead, "{exchange} after {now_ms} ms");
        }
        assert!(adapter.books().all(|(_, book)| book.state() != BookState::Live));
    }
}
