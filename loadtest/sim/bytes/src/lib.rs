//! bytes, as all other crates of the build have it.

pub use shared::*;
