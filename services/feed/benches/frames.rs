//! Frames a second through parser, book and normaliser, on one core, and the memory that it takes.
//!
//! `cargo bench -p tickwire-feed --bench frames [-- VENUE]` runs recorded frames of each venue from memory, a million of Binance's. Each pass over
//! a recording is a new connection: its books begin with a snapshot, as after a reconnect.

use std::{hint::black_box, sync::Arc, time::Instant};

use tickwire_feed::{
    model::{Exchange, Market},
    recording::{Direction, Recording},
    venue::{Adapter, Answer, Frame, Instruments, Moment, Setup},
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What is replayed how long.
struct Case {
    exchange: Exchange,
    market: Market,
    file: &'static str,
    frames: u64,
}

const CASES: [Case; 6] = [
    Case { exchange: Exchange::Binance, market: Market::Spot, file: "tests/data/binance-spot", frames: 1_000_000 },
    Case { exchange: Exchange::Binance, market: Market::Linear, file: "tests/data/binance-usdm", frames: 500_000 },
    Case { exchange: Exchange::Coinbase, market: Market::Spot, file: "recordings/coinbase", frames: 300_000 },
    Case { exchange: Exchange::Kraken, market: Market::Spot, file: "tests/data/kraken-v2-derived", frames: 300_000 },
    Case { exchange: Exchange::Bybit, market: Market::Spot, file: "recordings/bybit", frames: 300_000 },
    Case { exchange: Exchange::Okx, market: Market::Spot, file: "tests/data/okx-seq-derived", frames: 300_000 },
];

/// A recorded message, and the connection that it came through.
struct Message {
    conn: usize,
    direction: Direction,
    raw: String,
    now: Moment,
}

/// What passed, and in which time.
#[derive(Default)]
struct Passed {
    frames: u64,
    bytes: u64,
    effects: u64,
}

fn adapter(case: &Case) -> Adapter {
    let instruments = Instruments::derived(case.exchange, case.market);
    let conn = Arc::from("bench");
    let setup = Setup { exchange: case.exchange, market: case.market, conn, instruments, http: None, accept_all: true };
    let mut adapter = Adapter::new(setup);
    adapter.connected(Moment::default());
    adapter
}

/// Resident memory, from `/proc/self/statm`.
fn resident_kib() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4
}

#[allow(clippy::unwrap_used, reason = "a broken recording ends the bench")]
fn read(case: &Case) -> (Vec<Message>, usize) {
    let path = format!("{}/{}.jsonl.gz", env!("CARGO_MANIFEST_DIR"), case.file);
    let mut recording = Recording::open(path.as_ref()).unwrap();
    let (mut messages, mut conns): (Vec<Message>, Vec<String>) = (Vec::new(), Vec::new());
    while let Some(record) = recording.next_record().unwrap() {
        if !matches!(record.dir, Direction::In | Direction::Http) {
            continue;
        }
        let at = record.received_ns();
        let conn = conns.iter().position(|conn| *conn == record.conn).unwrap_or(conns.len());
        if conn == conns.len() && record.dir == Direction::In {
            conns.push(record.conn.to_string());
        }
        let now = Moment { mono_ms: u64::try_from(at / 1_000_000).unwrap(), wall_ns: at };
        messages.push(Message { conn, direction: record.dir, raw: record.raw.to_string(), now });
    }
    (messages, conns.len())
}

/// The recording once, over new connections.
fn pass(case: &Case, messages: &[Message], conns: usize, passed: &mut Passed) {
    let mut adapters: Vec<Adapter> = (0..conns).map(|_| adapter(case)).collect();
    for Message { conn, direction, raw, now } in messages {
        if *direction == Direction::In {
            let adapter = &mut adapters[*conn];
            adapter.frame(Frame::Text(black_box(raw)), *now);
            passed.frames += 1;
            passed.bytes += raw.len() as u64;
            passed.effects += adapter.effects().map(black_box).count() as u64;
            continue;
        }
        // Binance's snapshot: these recordings have a book each.
        for adapter in &mut adapters {
            let symbol = adapter.books().map(|(symbol, _)| symbol.clone()).next();
            if let Some(symbol) = symbol {
                adapter.answered(&symbol, Answer::Body(raw), *now);
                passed.effects += adapter.effects().map(black_box).count() as u64;
            }
        }
    }
}

#[allow(clippy::print_stdout, reason = "a bench prints")]
fn main() {
    let only: Option<Exchange> = std::env::args().skip(1).find_map(|argument| argument.parse().ok());
    for case in CASES.iter().filter(|case| only.is_none_or(|only| case.exchange == only)) {
        let (messages, conns) = read(case);
        pass(case, &messages, conns, &mut Passed::default());
        let (first_kib, began) = (resident_kib(), Instant::now());
        let mut passed = Passed::default();
        while passed.frames < case.frames {
            pass(case, &messages, conns, &mut passed);
        }
        let seconds = began.elapsed().as_secs_f64();
        #[allow(clippy::cast_precision_loss, reason = "rates for people")]
        let rate = |count: u64| count as f64 / seconds;
        let Passed { frames, bytes, effects } = passed;
        println!(
            "{:>8} {:<6} {:>9.0} frames/s {:>5.0} MB/s; {frames} frames of {} bytes, {effects} effects; resident {first_kib} KiB after a \
             pass, {} KiB at the end",
            case.exchange.name(),
            if case.market == Market::Linear { "linear" } else { "spot" },
            rate(frames),
            rate(bytes) / 1e6,
            bytes / frames.max(1),
            resident_kib(),
        );
    }
}
