//! Who someone is, and what they may see: tokens, keys, grants, revocation, API keys.
//!
//! A token becomes an [`Identity`] in [`Verifier::verify`]; an identity and a channel become a [`access::Decision`] in
//! [`access`]; [`Revocations`] says which identities have been withdrawn since.
//!
//! Invariants:
//! - The algorithm comes from the key. A header that names another one, or `none`, matches no key.
//! - Keys fetched from a URL are public keys only; a shared secret is never taken from the network.
//! - Time is [`tickwire_protocol::time::now_ms`]; nothing else reads the wall clock.
//! - Whatever a stranger sends costs a bounded amount: token bytes, keys tried, fetches caused.
//! - Secrets never appear in `Debug`, `Serialize`, errors or logs.

pub mod access;
mod api_key;
mod claims;
mod config;
mod error;
mod identity;
pub mod issue;
mod jwks;
mod key;
mod pattern;
mod revocation;
mod secret;
mod verifier;

pub use access::{Decision, may_publish, may_read};
pub use api_key::{ApiKeys, fingerprint};
pub use config::{AuthConfig, PublicKeyConfig};
pub use error::AuthError;
pub use identity::Identity;
pub use jsonwebtoken::Algorithm;
pub use pattern::{InvalidPattern, Pattern};
pub use revocation::Revocations;
pub use secret::Secret;
pub use verifier::{KeyFetches, Verifier};
