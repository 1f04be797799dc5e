//! What the crate promises its dependents: the vectors, codecs that are each other's inverse, and no panic on any bytes.

mod commands;
mod fuzz;
mod hostile;
mod messages;
mod names;
mod preferences;
mod round_trip;
mod sample;
mod vectors;
