//! Wallets: what they hold and what moved.

use serde::{Deserialize, Serialize};
use tickwire_protocol::{RawJson, UserId};
use utoipa::ToSchema;

use super::{Audience, PlatformData};
use crate::{
    events::{InvalidEvent, Message},
    value::{Segment, Text, Unsigned},
};

/// Channels that wallets are spread over, so that no channel of latest values comes near its bound of keys.
const WALLET_SHARDS: u32 = 16;

/// What a wallet holds of an asset now.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct BalanceUpdate {
    #[schema(value_type = String)]
    user_id: UserId,
    #[schema(value_type = String)]
    wallet_id: Segment,
    #[schema(value_type = String, example = "BTC")]
    asset: Segment,
    /// All of it; 0 takes the asset out of the portfolio.
    #[schema(value_type = String, example = "0.50")]
    balance: Unsigned,
    /// What of it is free.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    available: Option<Unsigned>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    network: Option<Text>,
}

/// A transaction is final.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct TransactionConfirmed {
    #[schema(value_type = String)]
    user_id: UserId,
    #[schema(value_type = String)]
    wallet_id: Segment,
    #[schema(value_type = String)]
    transaction_id: Text,
    #[schema(value_type = String)]
    asset: Segment,
    #[schema(value_type = String)]
    amount: Unsigned,
    #[serde(skip_serializing_if = "Option::is_none")]
    direction: Option<Direction>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    fee: Option<Unsigned>,
    #[serde(skip_serializing_if = "Option::is_none")]
    confirmations: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    network: Option<Text>,
}

/// Whether it came or went.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Direction {
    In,
    Out,
}

impl PlatformData for BalanceUpdate {
    fn audience(&self) -> Audience<'_> {
        Audience::User(&self.user_id)
    }

    /// For services: the newest balance of every wallet and asset, which the portfolio is computed from.
    fn further(&self, data: &RawJson) -> Result<Vec<Message>, InvalidEvent> {
        let Self { user_id, wallet_id, asset, .. } = self;
        let shard = crc32fast::hash(user_id.as_str().as_bytes()) % WALLET_SHARDS;
        // No part holds a colon, so no two wallets share a key.
        let key = format!("{user_id}:{}:{}", wallet_id.as_str(), asset.as_str());
        Ok(vec![Message { key: Some(key), ..Message::new(&format!("wallets:{shard}"), data.clone())? }])
    }
}

impl PlatformData for TransactionConfirmed {
    fn audience(&self) -> Audience<'_> {
        Audience::User(&self.user_id)
    }
}
