//! Ending access: disconnecting a user, revoking tokens.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, Request, State},
};
use serde::{Deserialize, Serialize};
use tickwire_backplane::Control;
use tickwire_protocol::{UserId, time::now_ms};
use utoipa::ToSchema;

use super::{App, Refusal, body, caller::Operator, inbox::user};
use crate::{publish::check_key, value::Text};

/// Why a user is disconnected.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct DisconnectBody {
    #[schema(value_type = Option<String>)]
    reason: Option<Text>,
}

/// Which tokens to revoke: one by `jti`, or a user's, issued at or before `iat`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RevokeBody {
    jti: Option<String>,
    #[schema(value_type = Option<String>)]
    user_id: Option<UserId>,
    /// Seconds since the Unix epoch; now, if absent. Beside `userId` only.
    iat: Option<u64>,
    /// Until when to remember it, milliseconds since the Unix epoch: when the last such token ends.
    expires_at: Option<u64>,
}

/// The order went out to every node.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OrderedBody {
    ordered: bool,
    /// Until when a revocation or a ban holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<u64>,
}

impl OrderedBody {
    pub(super) const fn until(expires_at_ms: u64) -> Self {
        Self { ordered: true, expires_at: Some(expires_at_ms) }
    }
}

pub(crate) async fn disconnect(
    State(app): State<Arc<App>>,
    operator: Operator,
    Path(id): Path<String>,
    request: Request,
) -> Result<Json<OrderedBody>, Refusal> {
    let user = user(&id)?;
    let (head, stream) = request.into_parts();
    let text = body::read(app.config.emitter.body_timeout(), &head, stream, app.config.emitter.body_bytes_max).await?;
    let body = if text.is_empty() { DisconnectBody::default() } else { body::parse(&text)? };
    let reason = body.reason.unwrap_or_else(|| Text::from("disconnected by an operator".to_owned())).into();
    app.order(&operator, Control::Disconnect { user, reason }).await?;
    Ok(Json(OrderedBody { ordered: true, expires_at: None }))
}

pub(crate) async fn revoke(
    State(app): State<Arc<App>>,
    operator: Operator,
    request: Request,
) -> Result<Json<OrderedBody>, Refusal> {
    let (head, stream) = request.into_parts();
    let text = body::read(app.config.emitter.body_timeout(), &head, stream, app.config.emitter.body_bytes_max).await?;
    let RevokeBody { jti, user_id, iat, expires_at } = body::parse(&text)?;
    let now = now_ms();
    let kept_ms = app.config.emitter.revocation_ttl_s.saturating_mul(1_000);
    let expires_at_ms = expires_at.unwrap_or_else(|| now.saturating_add(kept_ms));
    if expires_at_ms <= now {
        return Err(Refusal::bad_request("`expiresAt` is not in the future"));
    }
    let control = match (jti, user_id, iat) {
        (Some(jti), None, None) => {
            check_key("jti", &jti)?;
            Control::RevokeToken { jti, expires_at_ms }
        }
        // A token may carry an `iat` of a clock a little ahead; later ones are refused by every verifier.
        (None, Some(_), Some(iat)) if iat > now / 1_000 + 300 => {
            return Err(Refusal::bad_request("`iat` is in the future; it counts seconds"));
        }
        (None, Some(user), iat) => {
            let issued_until_s = iat.unwrap_or(now / 1_000);
            Control::RevokeUser { user, issued_until_s, expires_at_ms }
        }
        _ => return Err(Refusal::bad_request("give either `jti`, or `userId` and perhaps `iat`")),
    };
    app.order(&operator, control).await?;
    Ok(Json(OrderedBody::until(expires_at_ms)))
}
