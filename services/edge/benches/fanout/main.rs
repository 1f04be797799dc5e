//! CPU per delivered message beside a raw loop that writes ready frames to the same sockets, and memory per idle
//! connection; the same over the edge's own TLS.
//!
//! `cargo bench -p tickwire-edge --bench fanout [-- CONNECTIONS]`: three processes on loopback. One serves (the edge on the memory
//! backplane, or the raw loop), one holds the client ends and only counts, this one paces both and reads the server's
//! CPU time and memory from `/proc`. Ratios within a run mean something; absolute times are the machine's.
#![allow(clippy::print_stdout, reason = "a benchmark prints its table")]
#![allow(clippy::cast_precision_loss, reason = "measured values are far below 2^53")]

mod clients;
mod edge;
mod process;
mod raw;

use std::{path::Path, time::Duration};

use anyhow::Context;
use process::{Child, Usage};
use tickwire_backplane::testing::TlsFiles;

/// Payload of each message, bytes of JSON.
const PAYLOAD_BYTES: u16 = 128;
/// Client ends unless given on the command line.
const CONNECTIONS: usize = 2_000;
/// Messages that go out one at a time.
const LONE_MESSAGES: usize = 150;
/// Bursts of [`BURST`] messages.
const BURSTS: usize = 150;
/// Messages in one burst.
const BURST: usize = 16;
/// Channels of each connection where there are several.
const CHANNELS: usize = 10;
/// Connections that get [`RATE`] messages a second each, over [`CHANNELS`] channels.
const PACED_CONNECTIONS: usize = 200;
const RATE: usize = 1_000;
const PACED_SECONDS: usize = 5;
/// Messages that the raw loop puts into one write at that rate: what comes in the edge's longest delay.
const PACED_BATCH: usize = 2;
/// Connections that come all at once.
const STORM_CONNECTIONS: usize = 5_000;
/// Such storms in a row where memory alone is measured.
const STORMS: usize = 3;
/// Until a server that has nothing to do holds what it keeps.
const SETTLE: Duration = Duration::from_secs(1);
/// Longest wait for any one step.
const STEP: Duration = Duration::from_secs(60);

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.first().map(String::as_str) {
        Some("serve-edge") => edge::serve(arguments.get(1).zip(arguments.get(2))),
        Some("serve-raw") => raw::serve(),
        Some("clients") => {
            let number = |at: usize| anyhow::Ok(arguments.get(at).context("count")?.parse()?);
            let trusted = arguments.get(6).map(String::as_str);
            let wanted = clients::Wanted { channels: number(3)?, at_once: number(4)?, packs: number(5)? > 0, trusted };
            clients::run(arguments.get(1).context("address")?, number(2)?, wanted)
        }
        Some("memory") => memory(),
        Some(count) => compare(count.parse().context("usage: fanout [CONNECTIONS | memory]")?),
        None => compare(CONNECTIONS),
    }
}

/// What one server cost.
struct Cost {
    lone_us: f64,
    burst_us: f64,
    /// To let a client in and subscribe it.
    connect_us: f64,
    /// Before any client came.
    empty_bytes: f64,
    /// Of all connections, with what handshakes leave behind.
    idle_bytes: f64,
    /// Of the second half alone: what one more connection costs.
    further_bytes: f64,
    /// What the kernel's allocations grew by for each connection: the whole machine's, with the clients' ends.
    kernel_bytes: f64,
}

fn compare(connections: usize) -> anyhow::Result<()> {
    println!("1 channel to {connections} connections, {PAYLOAD_BYTES} B payload, loopback");
    let raw = measure(&["serve-raw"], None, connections)?;
    let edge = measure(&["serve-edge"], None, connections)?;
    println!("{:<34}{:>12}{:>12}{:>9}", "server", "raw loop", "edge", "ratio");
    let line = |what: &str, raw: f64, edge: f64| println!("{what:<34}{raw:>12.2}{edge:>12.2}{:>9.2}", edge / raw);
    line("CPU us a delivery, one at a time", raw.lone_us, edge.lone_us);
    line(&format!("CPU us a delivery, bursts of {BURST}"), raw.burst_us, edge.burst_us);
    let bytes = |what: &str, raw: f64, edge: f64| println!("{what:<34}{raw:>12.0}{edge:>12.0}");
    bytes("anonymous memory when empty, B", raw.empty_bytes, edge.empty_bytes);
    bytes("more for each connection, B", raw.idle_bytes, edge.idle_bytes);
    bytes("for each of the second half, B", raw.further_bytes, edge.further_bytes);
    bytes("kernel, both ends, each, B", raw.kernel_bytes, edge.kernel_bytes);
    compare_tls(&edge, connections)?;
    let (raw_us, edge_us, packed_us) =
        (paced("serve-raw", false)?, paced("serve-edge", false)?, paced("serve-edge", true)?);
    let paced = format!("CPU us, {CHANNELS} channels, {RATE}/s each");
    line(&paced, raw_us, edge_us);
    line(&format!("{paced}, packed"), raw_us, packed_us);
    let storm = resting(STORM_CONNECTIONS, STORM_CONNECTIONS, 1)?[0];
    println!("{:<34}{:>12}{storm:>12.0}", format!("{STORM_CONNECTIONS} at once, each, B"), "");
    Ok(())
}

/// The edge's own TLS beside the same without.
fn compare_tls(plain: &Cost, connections: usize) -> anyhow::Result<()> {
    let files = TlsFiles::generate();
    let path = |path: &Path| path.to_str().map(str::to_owned).context("a path that is no text");
    let (cert, key) = (path(files.ca_file())?, path(files.key_file())?);
    let tls = measure(&["serve-edge", &cert, &key], Some(&cert), connections)?;
    println!("{:<34}{:>12}{:>12}{:>9}", "edge", "plain", "TLS", "ratio");
    let line = |what: &str, plain: f64, tls: f64| println!("{what:<34}{plain:>12.2}{tls:>12.2}{:>9.2}", tls / plain);
    line("CPU us a delivery, one at a time", plain.lone_us, tls.lone_us);
    line(&format!("CPU us a delivery, bursts of {BURST}"), plain.burst_us, tls.burst_us);
    line("CPU us a connection", plain.connect_us, tls.connect_us);
    line("more for each connection, B", plain.idle_bytes, tls.idle_bytes);
    line("for each of the second half, B", plain.further_bytes, tls.further_bytes);
    Ok(())
}

/// `trusted` is the certificate of a server that speaks TLS.
fn measure(server: &[&str], trusted: Option<&str>, connections: usize) -> anyhow::Result<Cost> {
    let mut server = Child::start(server)?;
    let address = server.expect("listening ", STEP)?;
    // It listens before its shards run: what they need is not the connections'.
    std::thread::sleep(SETTLE);
    let empty = server.usage()?;
    let kernel_before = process::kernel_bytes()?;
    let mut clients = start_clients(&address, connections, 1, clients::CONNECTING_MAX, false, trusted)?;
    clients.expect("half", STEP)?;
    // Connected and subscribed: let the last handshakes' buffers go before weighing.
    std::thread::sleep(SETTLE);
    let half = server.usage()?;
    clients.tell("go on")?;
    clients.expect("ready", STEP)?;
    std::thread::sleep(SETTLE);
    let idle = server.usage()?;
    let kernel_bytes = (process::kernel_bytes()? - kernel_before) / connections as f64;
    let mut received = 0;
    let mut round = |messages: usize, bursts: usize| -> anyhow::Result<f64> {
        let begun = server.usage()?;
        for _ in 0..bursts {
            server.tell(&format!("publish {messages}"))?;
            received += messages * connections;
            clients.tell(&format!("await {received}"))?;
            clients.expect("received", STEP)?;
        }
        Ok(cpu_us(&begun, &server.usage()?) / (messages * bursts * connections) as f64)
    };
    round(1, 10)?;
    let lone_us = round(1, LONE_MESSAGES)?;
    let burst_us = round(BURST, BURSTS)?;
    let grown = |from: &Usage, to: &Usage| to.anonymous_bytes as f64 - from.anonymous_bytes as f64;
    let idle_bytes = grown(&empty, &idle) / connections as f64;
    let further = (connections - connections / 2) as f64;
    let further_bytes = grown(&half, &idle) / further;
    let connect_us = cpu_us(&half, &idle) / further;
    let empty_bytes = empty.anonymous_bytes as f64;
    Ok(Cost { lone_us, burst_us, connect_us, empty_bytes, idle_bytes, further_bytes, kernel_bytes })
}

/// CPU of a delivery where each connection has several channels with many messages a second.
fn paced(role: &str, packs: bool) -> anyhow::Result<f64> {
    let mut server = Child::start(&[role])?;
    let address = server.expect("listening ", STEP)?;
    let mut clients = start_clients(&address, PACED_CONNECTIONS, CHANNELS, clients::CONNECTING_MAX, packs, None)?;
    clients.expect("half", STEP)?;
    clients.tell("go on")?;
    clients.expect("ready", STEP)?;
    std::thread::sleep(SETTLE);
    let begun = server.usage()?;
    server.tell(&format!("pace {}", RATE * PACED_SECONDS))?;
    let deliveries = RATE * PACED_SECONDS * PACED_CONNECTIONS;
    clients.tell(&format!("await {deliveries}"))?;
    clients.expect("received", STEP)?;
    Ok(cpu_us(&begun, &server.usage()?) / deliveries as f64)
}

/// Memory for each of many connections that came at once.
/// Memory alone, in some seconds: one after the other, and all at once again and again.
fn memory() -> anyhow::Result<()> {
    let orderly = resting(CONNECTIONS, clients::CONNECTING_MAX, 1)?;
    println!("{CONNECTIONS} connections, {} at once: {:.0} B each", clients::CONNECTING_MAX, orderly[0]);
    for at_once in [STORM_CONNECTIONS / 5, STORM_CONNECTIONS] {
        let storms: Vec<_> =
            resting(at_once, at_once, STORMS)?.iter().map(|bytes| format!("{bytes:.0} B each")).collect();
        println!("{at_once} at once, {STORMS} storms: {}", storms.join(", "));
    }
    Ok(())
}

/// What the edge holds for each connection, after each of `storms` crowds of which the one before has left.
fn resting(count: usize, at_once: usize, storms: usize) -> anyhow::Result<Vec<f64>> {
    let mut server = Child::start(&["serve-edge"])?;
    let address = server.expect("listening ", STEP)?;
    std::thread::sleep(SETTLE);
    let empty = server.usage()?;
    let mut each = Vec::new();
    for _ in 0..storms {
        // The first half of twice as many.
        let mut clients = start_clients(&address, 2 * count, 1, at_once, false, None)?;
        clients.expect("half", STEP)?;
        std::thread::sleep(SETTLE);
        let grown = server.usage()?.anonymous_bytes as f64 - empty.anonymous_bytes as f64;
        each.push(grown / count as f64);
        drop(clients);
        std::thread::sleep(SETTLE);
    }
    Ok(each)
}

fn start_clients(
    address: &str,
    count: usize,
    channels: usize,
    at_once: usize,
    packs: bool,
    trusted: Option<&str>,
) -> anyhow::Result<Child> {
    let [count, channels, at_once] = [count, channels, at_once].map(|number| number.to_string());
    let mut arguments = vec!["clients", address, &count, &channels, &at_once, if packs { "1" } else { "0" }];
    arguments.extend(trusted);
    Child::start(&arguments)
}

fn cpu_us(from: &Usage, to: &Usage) -> f64 {
    to.cpu.saturating_sub(from.cpu).as_secs_f64() * 1e6
}
