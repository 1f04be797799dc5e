//! What the HTTP APIs of Tickwire's services have in common: connections, bodies, errors, callers, and the description.
//!
//! Every error has the form of the wire contract (`{"error":{"code","message","retryable"}}`) and is made in one place,
//! [`Refusal`]; every body is read whole, within bounds, into a closed struct ([`body`]); each operation is described where it is
//! routed ([`openapi`]). Nothing here knows of a service.

pub mod body;
pub mod credentials;
pub mod docs;
pub mod openapi;
mod refusal;
mod serve;

pub use credentials::{Bearer, Credentials};
pub use refusal::{ErrorBody, ErrorFields, Refusal};
pub use serve::serve;
