//! The WebSocket opening handshake as a function of the request's head (RFC 6455 §4.2).

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{
    HeaderMap, HeaderValue, Method, Response, StatusCode, Version,
    header::{
        CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
        SEC_WEBSOCKET_VERSION, UPGRADE,
    },
    request::Parts,
};
use sha1::{Digest, Sha1};

const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The only version that RFC 6455 knows.
pub(super) const VERSION: HeaderValue = HeaderValue::from_static("13");

/// A request that may be upgraded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upgrade {
    accept: String,
}

/// Why it may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotUpgradable {
    /// Another method than GET, or HTTP/1.0.
    #[error("a WebSocket is opened with GET over HTTP/1.1")]
    Method,
    /// No `Upgrade: websocket` with `Connection: upgrade`.
    #[error("this is a WebSocket endpoint: send Upgrade: websocket and Connection: Upgrade")]
    PlainHttp,
    /// Another `Sec-WebSocket-Version` than 13.
    #[error("only WebSocket version 13 is supported")]
    Version,
    /// `Sec-WebSocket-Key` is absent, doubled or not 16 bytes in base64.
    #[error("Sec-WebSocket-Key must be given once and be 16 bytes in base64")]
    Key,
}

impl NotUpgradable {
    /// The status to answer with; 426 goes with `Upgrade: websocket` and `Sec-WebSocket-Version: 13`.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::PlainHttp | Self::Version => StatusCode::UPGRADE_REQUIRED,
            Self::Key => StatusCode::BAD_REQUEST,
        }
    }
}

impl Upgrade {
    /// Checks a request's head.
    pub fn check(head: &Parts) -> Result<Self, NotUpgradable> {
        if head.method != Method::GET || head.version != Version::HTTP_11 {
            return Err(NotUpgradable::Method);
        }
        let headers = &head.headers;
        if !has_token(headers, &CONNECTION, "upgrade") || !has_token(headers, &UPGRADE, "websocket") {
            return Err(NotUpgradable::PlainHttp);
        }
        if headers.get(SEC_WEBSOCKET_VERSION) != Some(&VERSION) {
            return Err(NotUpgradable::Version);
        }
        let mut keys = headers.get_all(SEC_WEBSOCKET_KEY).iter();
        let (Some(key), None) = (keys.next(), keys.next()) else { return Err(NotUpgradable::Key) };
        if STANDARD.decode(key).is_ok_and(|nonce| nonce.len() == 16) {
            let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
            Ok(Self { accept: STANDARD.encode(digest) })
        } else {
            Err(NotUpgradable::Key)
        }
    }

    /// The 101 answer, echoing `subprotocol` and saying what was agreed of `extension`.
    pub fn response<B: Default>(
        self,
        subprotocol: Option<&'static str>,
        extension: Option<&'static str>,
    ) -> Response<B> {
        let mut response = Response::new(B::default());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        if let Ok(accept) = HeaderValue::try_from(self.accept) {
            headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        }
        if let Some(subprotocol) = subprotocol {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(subprotocol));
        }
        if let Some(extension) = extension {
            headers.insert(SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static(extension));
        }
        response
    }
}

/// The subprotocols a client offers, in its order.
pub(super) fn offered(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    list(headers, &SEC_WEBSOCKET_PROTOCOL)
}

fn has_token(headers: &HeaderMap, name: &http::HeaderName, token: &str) -> bool {
    list(headers, name).any(|entry| entry.eq_ignore_ascii_case(token))
}

/// The entries of a comma-separated header, over all its lines.
fn list<'h>(headers: &'h HeaderMap, name: &http::HeaderName) -> impl Iterator<Item = &'h str> {
    let lines = headers.get_all(name).iter();
    lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(',')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(edit: impl FnOnce(&mut Parts)) -> Parts {
        let request = http::Request::get("/ws")
            .header(CONNECTION, "keep-alive, Upgrade")
            .header(UPGRADE, "WebSocket")
            .header(SEC_WEBSOCKET_VERSION, "13")
            .header(SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ==")
            .body(())
            .unwrap();
        let mut head = request.into_parts().0;
        edit(&mut head);
        head
    }

    #[test]
    fn the_key_of_rfc_6455_gets_its_answer() {
        let upgrade = Upgrade::check(&head(|_| ())).unwrap();
        let response: Response<()> = upgrade.response(Some("grekko-v1"), None);
        assert_eq!(response.headers()[SEC_WEBSOCKET_ACCEPT], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(response.headers()[SEC_WEBSOCKET_PROTOCOL], "grekko-v1");
    }

    #[test]
    fn what_is_no_handshake_is_refused_by_name() {
        let outcome = |edit: fn(&mut Parts)| Upgrade::check(&head(edit)).unwrap_err();
        assert_eq!(outcome(|head| head.method = Method::POST), NotUpgradable::Method);
        assert_eq!(outcome(|head| head.version = Version::HTTP_10), NotUpgradable::Method);
        assert_eq!(outcome(|head| drop(head.headers.remove(UPGRADE))), NotUpgradable::PlainHttp);
        assert_eq!(outcome(|head| drop(head.headers.remove(CONNECTION))), NotUpgradable::PlainHttp);
        assert_eq!(outcome(|head| drop(head.headers.remove(SEC_WEBSOCKET_VERSION))), NotUpgradable::Version);
        let eight = |head: &mut Parts| drop(head.headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("8")));
        assert_eq!(outcome(eight), NotUpgradable::Version);
        assert_eq!(outcome(|head| drop(head.headers.remove(SEC_WEBSOCKET_KEY))), NotUpgradable::Key);
        for key in ["", "AAAA", "not base64 at all!!!!!!!", "AAAAAAAAAAAAAAAAAAAAAAAAAAA="] {
            let bad = head(|head| drop(head.headers.insert(SEC_WEBSOCKET_KEY, HeaderValue::from_static(key))));
            assert_eq!(Upgrade::check(&bad), Err(NotUpgradable::Key), "{key}");
        }
        let twice = |head: &mut Parts| {
            head.headers.append(SEC_WEBSOCKET_KEY, HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="));
        };
        assert_eq!(outcome(twice), NotUpgradable::Key);
    }

    #[test]
    fn subprotocols_are_read_over_all_lines() {
        let head = head(|head| {
            head.headers.append(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("a, bearer.x"));
            head.headers.append(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("tickwire.v1.json"));
        });
        assert_eq!(offered(&head.headers).collect::<Vec<_>>(), ["a", "bearer.x", "tickwire.v1.json"]);
    }
}
