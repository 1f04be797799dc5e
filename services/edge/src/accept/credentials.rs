//! The token that came with a request. Its text is a secret: it is handed to the verifier and to nothing else.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, header::AUTHORIZATION};

use super::upgrade;

/// A subprotocol entry that carries a token, base64url without padding, since `.`-separated JWTs are allowed there but
/// `=` is not.
const BEARER_SUBPROTOCOL: &str = "bearer.";

/// The token of a request: `Authorization: Bearer`, else the `token` query parameter, else the subprotocol entry
/// `bearer.<token>`. The first that is present counts, even if it is bad.
pub(super) fn token<'r>(headers: &'r HeaderMap, query: Option<&'r str>) -> Option<Cow<'r, str>> {
    from_header(headers).or_else(|| parameter(query, "token")).or_else(|| from_subprotocol(headers))
}

/// Whether a subprotocol entry is a token, which must never be echoed or logged.
pub(super) fn is_bearer(subprotocol: &str) -> bool {
    subprotocol.starts_with(BEARER_SUBPROTOCOL)
}

/// The first value of a query parameter, decoded; `None` if it is absent or empty.
pub(crate) fn parameter<'q>(query: Option<&'q str>, name: &str) -> Option<Cow<'q, str>> {
    let mut pairs = form_urlencoded::parse(query?.as_bytes());
    pairs.find_map(|(key, value)| (key == name && !value.is_empty()).then_some(value))
}

fn from_header(headers: &HeaderMap) -> Option<Cow<'_, str>> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer")).then(|| token.trim().into())
}

/// The entry is `bearer.` and the token: as it is, for a JWT is base64url already, or encoded once more.
fn from_subprotocol(headers: &HeaderMap) -> Option<Cow<'_, str>> {
    let entry = upgrade::offered(headers).find_map(|entry| entry.strip_prefix(BEARER_SUBPROTOCOL))?;
    if entry.contains('.') {
        return Some(entry.into());
    }
    let decoded = URL_SAFE_NO_PAD.decode(entry).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    Some(decoded.map_or(entry.into(), Cow::Owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for &(name, value) in pairs {
            headers.append(name, http::HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn the_header_comes_before_the_query_and_the_subprotocol() {
        let all = headers(&[("authorization", "bearer h.h.h"), ("sec-websocket-protocol", "grekko-v1, bearer.s.s.s")]);
        assert_eq!(token(&all, Some("a=1&token=q.q.q")).unwrap(), "h.h.h");
        let two = headers(&[("sec-websocket-protocol", "grekko-v1, bearer.s.s.s")]);
        assert_eq!(token(&two, Some("a=1&token=q%2Eq.q")).unwrap(), "q.q.q");
        assert_eq!(token(&two, Some("token=")).unwrap(), "s.s.s");
        assert_eq!(token(&headers(&[("authorization", "Basic eDp5")]), None), None);
    }

    #[test]
    fn a_subprotocol_may_carry_the_token_encoded_once_more() {
        let encoded = headers(&[("sec-websocket-protocol", "bearer.YS5iLmM, tickwire.v1.json")]);
        assert_eq!(token(&encoded, None).unwrap(), "a.b.c");
    }
}
