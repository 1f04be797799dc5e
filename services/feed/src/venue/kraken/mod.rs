//! Kraken.

pub mod instruments;
pub mod limits;

use crate::{
    json::Parsed,
    model::Channel,
    venue::{Protocol, desk::Desk},
};

/// Kraken's side of a connection.
#[derive(Debug, Default)]
pub(crate) struct Kraken {}

impl Protocol for Kraken {
    fn connected(&mut self, _: &mut Desk) {}

    fn text(&mut self, _: &str, desk: &mut Desk) -> Parsed<()> {
        desk.counters.unknown_messages += 1;
        Ok(())
    }

    fn subscribe(&mut self, _: &[(usize, Channel)], _: &mut Desk) {}

    fn unsubscribe(&mut self, _: &[(usize, Channel)], _: &mut Desk) {}

    fn resync(&mut self, _: usize, _: &mut Desk) {}

    fn ping(&mut self, _: &mut Desk) {}
}
