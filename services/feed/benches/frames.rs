//! Frames a second through parser, book and normaliser, on one core, and the memory that it takes.
//!
//! `cargo bench -p tickwire-feed` runs a million recorded Binance frames (bookTicker, depth, trades) from memory.

use std::{hint::black_box, sync::Arc, time::Instant};

use tickwire_feed::{
    model::{Exchange, Market},
    recording::{Direction, Recording},
    venue::{Adapter, Answer, Frame, Instruments, Moment, Setup},
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const FRAMES: u64 = 1_000_000;

fn adapter() -> Adapter {
    let (exchange, market) = (Exchange::Binance, Market::Spot);
    let instruments = Instruments::derived(exchange, market);
    let mut adapter =
        Adapter::new(Setup { exchange, market, conn: Arc::from("bench"), instruments, http: None, accept_all: true });
    adapter.connected(Moment::default());
    adapter
}

/// Resident memory, from `/proc/self/statm`.
fn resident_kib() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4
}

#[allow(clippy::print_stdout, clippy::unwrap_used, reason = "a bench prints, and a broken recording ends it")]
fn main() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/binance-spot.jsonl.gz");
    let mut recording = Recording::open(path.as_ref()).unwrap();
    let mut records = Vec::new();
    while let Some(record) = recording.next_record().unwrap() {
        let at = record.received_ns();
        let now = Moment { mono_ms: u64::try_from(at / 1_000_000).unwrap(), wall_ns: at };
        records.push((record.dir, record.raw.to_string(), now));
    }
    let (mut frames, mut effects, mut bytes) = (0u64, 0u64, 0u64);
    let mut resident = Vec::new();
    let began = Instant::now();
    while frames < FRAMES {
        let mut adapter = adapter();
        for (direction, raw, now) in &records {
            match direction {
                Direction::In => {
                    adapter.frame(Frame::Text(black_box(raw)), *now);
                    frames += 1;
                    bytes += raw.len() as u64;
                }
                Direction::Http => {
                    let symbol = adapter.books().map(|(symbol, _)| symbol.clone()).next().unwrap();
                    adapter.answered(&symbol, Answer::Body(raw), *now);
                }
                _ => {}
            }
            effects += adapter.effects().map(black_box).count() as u64;
        }
        resident.push(resident_kib());
    }
    let seconds = began.elapsed().as_secs_f64();
    #[allow(clippy::cast_precision_loss, reason = "rates for people")]
    let rate = |count: u64| count as f64 / seconds;
    println!("{:.0} frames/s, {:.0} MB/s, {frames} frames, {effects} effects", rate(frames), rate(bytes) / 1e6);
    println!("resident KiB after the first pass {}, after the last {}", resident[0], resident[resident.len() - 1]);
}
