//! Reports of a run, made from its record alone: JSON to keep, one HTML file to read, lines for the terminal.

pub mod chart;
pub mod figures;
mod html;
pub mod page;
mod plots;
mod terminal;

pub use html::render as html;
pub use terminal::render as terminal;
