//! What a publish costs Redis: CPU time of `redis-server` per message, and messages a second, by delivery class and by how
//! many go down the connection together.
//!
//! `cargo bench -p tickwire-backplane --bench publish [-- MESSAGES]`: starts its own server, publishes on 50 channels with one
//! subscriber each, and reads `used_cpu_*_main_thread` before and after. A second divided by the CPU time of a message is
//! what one core of Redis can take.
#![allow(clippy::print_stdout, reason = "a benchmark prints its table")]
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot run ends")]
#![allow(clippy::cast_precision_loss, reason = "measured values are far below 2^53")]

use std::{sync::Arc, time::Instant};

use futures_util::{StreamExt, stream};
use tickwire_backplane::{
    Backplane, Publish,
    redis::{RedisBackplane, RedisConfig},
    testing::RedisServer,
};
use tickwire_protocol::{
    ChannelName, RawJson,
    namespace::{Access, Policy},
};

/// Messages of each kind unless given on the command line.
const MESSAGES: usize = 20_000;
const CHANNELS: usize = 50;
/// Payload, bytes.
const PAYLOAD_BYTES: usize = 256;
/// Messages that one call publishes, and callers that publish one each at the same time.
const TOGETHER: usize = 64;

fn main() {
    let messages = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(MESSAGES);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(run(messages));
}

async fn run(messages: usize) {
    println!("{:<26}{:<10}{:>16}{:>14}", "class", "way", "Redis CPU, us", "messages/s");
    let kinds = [
        ("reliable", Policy::reliable(Access::Anyone), false),
        ("reliable, idempotent", Policy::reliable(Access::Anyone), true),
        ("latest", Policy::latest(), false),
        ("volatile, no history", Policy::volatile(0), false),
    ];
    for (name, policy, is_keyed) in kinds {
        for way in [Way::Batch, Way::Callers] {
            let server = RedisServer::start();
            let backplane = RedisBackplane::connect(RedisConfig::new(server.url())).await.unwrap();
            let subscriber = backplane.subscriber(64);
            let channels: Vec<_> = (0..CHANNELS).map(|number| (channel(number), policy.clone())).collect();
            backplane.subscribe(subscriber.id, &channels).await.unwrap();
            let batch: Vec<Publish> = (0..messages).map(|number| message(number, &policy, is_keyed)).collect();
            let (before, began) = (cpu_s(&server), Instant::now());
            publish(&backplane, batch, way).await;
            let (took_s, used_s) = (began.elapsed().as_secs_f64(), cpu_s(&server) - before);
            let per_message_us = used_s * 1e6 / messages as f64;
            println!("{name:<26}{:<10}{per_message_us:>16.2}{:>14.0}", way.name(), messages as f64 / took_s);
        }
    }
}

/// How messages are handed over.
#[derive(Clone, Copy)]
enum Way {
    /// [`TOGETHER`] in one call.
    Batch,
    /// [`TOGETHER`] calls of one at a time.
    Callers,
}

impl Way {
    const fn name(self) -> &'static str {
        match self {
            Self::Batch => "batches",
            Self::Callers => "callers",
        }
    }
}

async fn publish(backplane: &Arc<RedisBackplane>, batch: Vec<Publish>, way: Way) {
    match way {
        Way::Batch => {
            for chunk in batch.chunks(TOGETHER) {
                for result in backplane.publish_batch(chunk.to_vec()).await {
                    result.unwrap();
                }
            }
        }
        Way::Callers => {
            let calls = stream::iter(batch).map(|message| backplane.publish(message)).buffer_unordered(TOGETHER);
            calls.for_each(|result| async move { assert!(result.is_ok(), "{result:?}") }).await;
        }
    }
}

fn channel(number: usize) -> ChannelName {
    ChannelName::new(&format!("session:{number}")).unwrap()
}

fn message(number: usize, policy: &Policy, is_keyed: bool) -> Publish {
    let data = RawJson::of(&"x".repeat(PAYLOAD_BYTES)).unwrap();
    let idempotency_key = is_keyed.then(|| format!("order-{number}"));
    Publish { idempotency_key, ..Publish::new(channel(number % CHANNELS), policy.clone(), data) }
}

/// CPU time of the server's main thread so far, seconds.
fn cpu_s(server: &RedisServer) -> f64 {
    let info: String = server.command(&["INFO", "cpu"]);
    let of = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok()).unwrap();
    of("used_cpu_user_main_thread:") + of("used_cpu_sys_main_thread:")
}
