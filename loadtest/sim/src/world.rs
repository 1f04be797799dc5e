//! One seed's world: its time, its chance, its network.

use std::{sync::Once, time::Duration};

use rand::{SeedableRng, rngs::StdRng};

/// How far all clocks move at once.
const TICK: Duration = Duration::from_millis(2);
/// Segments of one connection and direction under way.
pub(crate) const SEGMENTS_MAX: usize = 256;

/// Makes everything that this process does from now on a function of `seed`: clocks, chance, sockets. Once a process; what
/// comes later shares the first one's chance.
pub fn begin(seed: u64) -> turmoil::Sim<'static> {
    static BEGUN: Once = Once::new();
    BEGUN.call_once(|| {
        mad_turmoil::rand::set_rng(StdRng::seed_from_u64(seed));
        // Simulated until the process ends.
        std::mem::forget(mad_turmoil::time::SimClocksGuard::init());
        tokio::net::install(crate::net::Turmoil);
    });
    turmoil::Builder::new()
        .rng_seed(seed)
        .tick_duration(TICK)
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(Duration::from_millis(4))
        .simulation_duration(Duration::from_secs(600))
        .tcp_capacity(SEGMENTS_MAX)
        .build()
}
