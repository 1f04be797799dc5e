//! Recurring tasks.
fn main() {}
