//! Which pages may use this edge from a browser.

use http::{
    HeaderMap, HeaderValue,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, HOST, ORIGIN, VARY,
    },
};

use crate::config::EdgeConfig;

/// The Origin rule of a node.
///
/// `*` in the list allows every origin. An empty list allows the origin that the request itself was sent to, and, on an
/// edge that listens on loopback, where only this machine's user comes, every origin. A token is never sent by a browser on its
/// own, as a cookie is, so this is a second line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OriginPolicy<'c> {
    /// `edge.allowed_origins`.
    pub(super) allowed: &'c [String],
    /// The edge listens on a loopback address.
    pub(super) loopback: bool,
}

impl<'c> OriginPolicy<'c> {
    pub(super) fn of(config: &'c EdgeConfig) -> Self {
        Self { allowed: &config.allowed_origins, loopback: config.listen.ip().is_loopback() }
    }

    /// Whether a request with these headers is allowed. Without `Origin` it comes from no browser, and is.
    pub(super) fn allows(self, headers: &HeaderMap) -> bool {
        let Some(origin) = headers.get(ORIGIN) else { return true };
        let Ok(origin) = origin.to_str() else { return false };
        if self.allowed.is_empty() {
            return self.loopback || is_own(origin, headers);
        }
        let same = |allowed: &String| allowed.trim_end_matches('/').eq_ignore_ascii_case(origin);
        self.allowed.iter().any(|allowed| allowed == "*" || same(allowed))
    }
}

fn is_own(origin: &str, headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    authority.zip(host).is_some_and(|(authority, host)| authority.eq_ignore_ascii_case(host))
}

/// Lets the page that asked read the answer. Call it only for an origin that was allowed.
pub(super) fn share(request: &HeaderMap, answer: &mut HeaderMap) {
    answer.insert(VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = request.get(ORIGIN) {
        answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        answer.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("retry-after"));
    }
}

/// The rest of the answer to a preflight.
pub(super) fn preflight(answer: &mut HeaderMap) {
    answer.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET"));
    answer
        .insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("authorization, cache-control, last-event-id"));
    answer.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(origin: Option<&'static str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("edge.example.com:8000"));
        if let Some(origin) = origin {
            headers.insert(ORIGIN, HeaderValue::from_static(origin));
        }
        headers
    }

    fn policy(allowed: &[String], loopback: bool) -> OriginPolicy<'_> {
        OriginPolicy { allowed, loopback }
    }

    #[test]
    fn a_listed_origin_is_allowed_and_no_other() {
        let listed = ["https://App.example.com/".to_owned()];
        let policy = policy(&listed, true);
        assert!(policy.allows(&from(Some("https://app.example.com"))));
        assert!(policy.allows(&from(None)));
        for other in
            ["https://app.example.com.evil.net", "http://app.example.com", "null", "https://edge.example.com:8000"]
        {
            assert!(!policy.allows(&from(Some(other))), "{other}");
        }
    }

    #[test]
    fn without_a_list_a_page_of_the_same_origin_is_allowed() {
        assert!(policy(&[], false).allows(&from(Some("https://edge.example.com:8000"))));
        assert!(!policy(&[], false).allows(&from(Some("https://evil.net"))));
        assert!(policy(&[], true).allows(&from(Some("https://evil.net"))));
        assert!(policy(&["*".into()], false).allows(&from(Some("https://evil.net"))));
    }
}
