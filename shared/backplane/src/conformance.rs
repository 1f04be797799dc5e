//! The suite both implementations pass.
