//! The cluster in one thread: shipped edges, emitters, backplane and clients on a simulated network, with faults, and an
//! oracle that knows what was promised. A seed decides everything; the same seed logs the same bytes.
//!
//! Reading order: [`scenario`] (who takes part, and when), [`cluster`] and [`hosts`] (what each runs), [`faults`],
//! [`oracle`] (what is judged), [`redis`] (the store's model), [`net`] and [`world`] (sockets, time, chance).

pub mod cluster;
pub mod faults;
pub mod hosts;
pub mod journal;
pub mod mutations;
pub mod net;
pub mod oracle;
pub mod redis;
pub mod scenario;
pub mod world;
