//! Who is kept out for a while: by the edges, which count offences, or by an operator.

use std::{net::IpAddr, sync::Arc};

use axum::{
    Json,
    extract::{Request, State},
};
use serde::{Deserialize, Serialize};
use tickwire_backplane::{Control, Offender};
use tickwire_protocol::{UserId, time::now_ms};
use utoipa::ToSchema;

use super::{App, Refusal, access::OrderedBody, body, caller::Operator};
use crate::value::Text;

/// A ban by an operator lasts at most this long, seconds: what is meant for ever belongs where tokens are issued.
const BAN_SECONDS_MAX: u64 = 7 * 86_400;

/// Whom to keep out: an address or a user.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct BanBody {
    /// An address; of IPv6 its /64.
    #[schema(value_type = Option<String>, example = "192.0.2.1")]
    address: Option<IpAddr>,
    #[schema(value_type = Option<String>)]
    user_id: Option<UserId>,
    /// How long, at most a week.
    seconds: u64,
    #[schema(value_type = Option<String>)]
    reason: Option<Text>,
}

/// Bans in force.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BansBody {
    /// The one that ends first comes first.
    bans: Vec<Ban>,
}

/// One ban: `address` or `userId`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Ban {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    address: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    user_id: Option<UserId>,
    /// What was counted, or an operator's words.
    reason: String,
    /// Milliseconds since the Unix epoch.
    expires_at: u64,
}

pub(crate) async fn list(State(app): State<Arc<App>>, _: Operator) -> Result<Json<BansBody>, Refusal> {
    let controls = app.backplane.controls().await?;
    let mut bans: Vec<Ban> = controls
        .into_iter()
        .filter_map(|control| {
            let Control::Ban { offender, until_ms, reason } = control else { return None };
            let (address, user_id) = match offender {
                Offender::Address(ip) => (Some(ip), None),
                Offender::User(user) => (None, Some(user)),
            };
            Some(Ban { address, user_id, reason, expires_at: until_ms })
        })
        .collect();
    bans.sort_by_key(|ban| ban.expires_at);
    Ok(Json(BansBody { bans }))
}

pub(crate) async fn impose(
    State(app): State<Arc<App>>,
    operator: Operator,
    request: Request,
) -> Result<Json<OrderedBody>, Refusal> {
    let (head, stream) = request.into_parts();
    let text = body::read(app.config.emitter.body_timeout(), &head, stream, app.config.emitter.body_bytes_max).await?;
    let BanBody { address, user_id, seconds, reason } = body::parse(&text)?;
    let offender = match (address, user_id) {
        (Some(ip), None) => Offender::Address(ip),
        (None, Some(user)) => Offender::User(user),
        _ => return Err(Refusal::bad_request("give either `address` or `userId`")),
    };
    if !(1..=BAN_SECONDS_MAX).contains(&seconds) {
        return Err(Refusal::bad_request(format!("`seconds` is 1 to {BAN_SECONDS_MAX}")));
    }
    let until_ms = now_ms() + seconds * 1_000;
    let reason = reason.unwrap_or_else(|| Text::from("banned by an operator".to_owned())).into();
    app.order(&operator, Control::Ban { offender, until_ms, reason }).await?;
    Ok(Json(OrderedBody::until(until_ms)))
}
