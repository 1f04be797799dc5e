//! Who calls.

use std::{
    hash::BuildHasher,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Instant,
};

use axum::extract::{ConnectInfo, FromRequestParts};
use http::request::Parts;
use tickwire_http::Bearer;
use tickwire_protocol::{ErrorCode, UserId};

use super::{App, Refusal, metrics_code};

/// A caller that may publish: an API key, or a token with role `service`.
#[derive(Debug)]
pub(crate) struct Service;

/// A caller that may end other people's access: a [`Service`], or a token with role `operator`.
#[derive(Debug)]
pub(crate) struct Operator {
    /// For the audit log: a user, or a key's fingerprint.
    pub(crate) who: String,
    pub(crate) address: IpAddr,
    /// A [`Service`] as well, and not a person.
    pub(crate) is_service: bool,
}

/// Whose rate a request counts for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum CallerId {
    Token(UserId),
    /// A hash of the key, which itself is not kept.
    Key(u64),
}

struct Caller {
    id: CallerId,
    who: String,
    is_service: bool,
    is_operator: bool,
}

impl FromRequestParts<Arc<App>> for Service {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Refusal> {
        let caller = admit(app, parts).await?;
        if caller.is_service { Ok(Self) } else { Err(forbidden("service")) }
    }
}

impl FromRequestParts<Arc<App>> for Operator {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Refusal> {
        let caller = admit(app, parts).await?;
        if !caller.is_service && !caller.is_operator {
            return Err(forbidden("service` or `operator"));
        }
        Ok(Self { who: caller.who, address: address(parts), is_service: caller.is_service })
    }
}

fn forbidden(role: &str) -> Refusal {
    Refusal::new(ErrorCode::Forbidden, format!("a token with role `{role}` is needed here"))
}

fn address(parts: &Parts) -> IpAddr {
    let address = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    address.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(address)| address.ip().to_canonical())
}

/// Authenticates, and counts the request for its caller.
async fn admit(app: &App, parts: &Parts) -> Result<Caller, Refusal> {
    let ip = address(parts);
    if let Some(failures) = &app.failures {
        failures.peek(ip, Instant::now()).map_err(|wait| {
            let message = "too many failed authentications from this address";
            Refusal::new(ErrorCode::RateLimited, message).retry_after(wait)
        })?;
    }
    let caller = match identify(app, parts).await {
        Ok(caller) => caller,
        Err(refusal) => {
            app.metrics.auth_failures.get_or_create(&metrics_code(refusal.code)).inc();
            // A key set that cannot be fetched is not the caller's failure.
            if let (Some(failures), false) = (&app.failures, refusal.code == ErrorCode::Unavailable) {
                // The limit itself is looked at before; here the event is only counted.
                let _limited = failures.take(ip, Instant::now());
            }
            return Err(refusal);
        }
    };
    if let Some(callers) = &app.callers {
        callers.take(caller.id.clone(), Instant::now()).map_err(|wait| {
            let message = "more requests a second than this caller may make";
            Refusal::new(ErrorCode::RateLimited, message).retry_after(wait)
        })?;
    }
    Ok(caller)
}

async fn identify(app: &App, parts: &Parts) -> Result<Caller, Refusal> {
    match app.credentials.identify(parts).await? {
        Bearer::Key(key) => {
            let who = format!("key {}", tickwire_auth::fingerprint(key.expose()));
            Ok(Caller {
                id: CallerId::Key(app.hasher.hash_one(key.expose())),
                who,
                is_service: true,
                is_operator: true,
            })
        }
        Bearer::Token(identity) => Ok(Caller {
            is_service: identity.has_role("service"),
            is_operator: identity.has_role("operator"),
            who: format!("user {}", identity.user),
            id: CallerId::Token(identity.user),
        }),
    }
}
