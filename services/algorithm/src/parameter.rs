//! Parameters as a form asks for them: what they are called, what they do, and within which bounds they are taken.

use serde::Serialize;
use utoipa::ToSchema;

/// What a parameter is in a session's `parameters`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Type {
    /// A JSON number without a fraction.
    Integer,
    /// A JSON number.
    Number,
    /// A decimal in a JSON string.
    Decimal,
    /// `true` or `false`.
    Flag,
}

/// What its number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Sampled prices.
    Samples,
    /// A book's levels.
    Levels,
    /// A part of a whole, 1 being all of it: people read it in percent.
    Share,
    /// Standard deviations.
    Deviations,
    /// Milliseconds.
    Milliseconds,
    /// Nothing.
    None,
}

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Parameter {
    /// As in a session's `parameters`.
    pub name: &'static str,
    /// For people.
    pub title: &'static str,
    /// What it does, in a sentence.
    pub help: &'static str,
    /// What it is on the wire.
    #[serde(rename = "type")]
    pub kind: Type,
    /// What it counts.
    pub unit: Unit,
    /// What it is where it is left out, as decimal text; `true` or `false` of a flag.
    pub default: &'static str,
    /// Least value, as decimal text; empty of a flag.
    pub min: &'static str,
    /// Greatest value, likewise.
    pub max: &'static str,
    /// Another parameter that it must be greater than.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub above: Option<&'static str>,
    /// Another parameter that it must not be greater than.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_most: Option<&'static str>,
    /// `null` is a value, too: without it.
    pub is_optional: bool,
}

impl Parameter {
    /// One of `kind`, that others are made of.
    pub const fn new(name: &'static str, title: &'static str, kind: Type, unit: Unit) -> Self {
        Self {
            name,
            title,
            help: "",
            kind,
            unit,
            default: "",
            min: "",
            max: "",
            above: None,
            at_most: None,
            is_optional: false,
        }
    }

    /// With its default and its bounds.
    #[must_use]
    pub const fn within(self, default: &'static str, min: &'static str, max: &'static str) -> Self {
        Self { default, min, max, ..self }
    }

    /// With what it does.
    #[must_use]
    pub const fn help(self, help: &'static str) -> Self {
        Self { help, ..self }
    }
}
