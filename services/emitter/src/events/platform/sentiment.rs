//! What the world says about a symbol.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Audience, PlatformData};
use crate::value::{Amount, Symbol, Text};

/// How a symbol is spoken of.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Sentiment {
    #[schema(value_type = String)]
    symbol: Symbol,
    /// By the source's own scale; negative is bad.
    #[schema(value_type = String)]
    score: Amount,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    source: Option<Text>,
    /// Texts it was made from.
    #[serde(skip_serializing_if = "Option::is_none")]
    samples: Option<u64>,
}

/// News.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Article {
    #[schema(value_type = String)]
    title: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    summary: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    url: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    source: Option<Text>,
    /// What it is about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    symbols: Vec<Symbol>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    sentiment: Option<Amount>,
    /// Milliseconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    published_at: Option<u64>,
}

impl PlatformData for Sentiment {
    fn audience(&self) -> Audience<'_> {
        Audience::Everyone(Some(self.symbol.as_str()))
    }
}

impl PlatformData for Article {
    fn audience(&self) -> Audience<'_> {
        Audience::Everyone(None)
    }
}
