//! The edge: where clients attach.
//!
//! It terminates `WebSocket`s (and SSE, long polling), authenticates, subscribes at the backplane to just the channels that
//! its clients use, and fans out. A node holds nothing that a client could not get from another: positions are the
//! client's, history is the backplane's.
//!
//! Invariants:
//! - What serves a client lives on one shard (one thread, one current-thread runtime). Shards share atomics and the
//!   backplane, nothing else; no lock stands on the way of a message.
//! - A connection costs no read buffer, no queue and no timer while it idles.
//! - A publication is encoded once per dialect and node, and written to each connection at most once per batch.

pub mod accept;
pub mod config;
mod connection;
mod controls;
mod counted;
mod fallback;
mod figures;
pub mod framing;
mod hub;
pub mod limits;
pub mod metrics;
mod node;
pub mod offences;
mod outbox;
mod recovery;
mod run;
mod site;
mod tls;

pub use config::Config;
pub use run::{listen, run, run_here};
pub use site::Site;

/// Why an edge cannot run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EdgeError {
    /// Its listener.
    #[error("the edge cannot listen")]
    Listen(#[source] std::io::Error),
    /// Its keys.
    #[error("tokens cannot be verified")]
    Auth(#[source] tickwire_auth::AuthError),
    /// Half of a certificate's configuration.
    #[error("edge.tls_cert_file and edge.tls_key_file are given both or not at all")]
    TlsHalf,
    /// A certificate or key that cannot be read.
    #[error("{} cannot be read", path.display())]
    TlsFile {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file without what it should hold.
    #[error("{} holds no usable PEM", path.display())]
    TlsPem {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// A certificate and a key that do not belong together or cannot be used.
    #[error("the certificate cannot be served with this key")]
    TlsPair(#[source] rustls::Error),
    /// The dashboard's files or addresses.
    #[error("the dashboard cannot be served: {0}")]
    Site(String),
    /// A thread or its runtime.
    #[error("a shard cannot start")]
    Shard(#[source] std::io::Error),
    /// The backplane dropped a shard's subscriber.
    #[error("the backplane ended a shard's subscription")]
    BackplaneEnded,
    /// A shard ended by a panic.
    #[error("a shard panicked")]
    ShardPanicked,
}
