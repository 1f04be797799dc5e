//! Which pages may call a service from a browser.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Deserializer};

/// The origin of a page as its browser sends it: `https://app.example.com`, `http://localhost:5173`. Scheme and host in lower
/// case, a port where it is not the scheme's own, nothing behind. There is no `*`: what answers to every page is said elsewhere.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin(Arc<str>);

/// A text that is no origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an origin is http:// or https://, a host in lower case and perhaps a port, with nothing behind")]
pub struct InvalidOrigin;

impl Origin {
    /// Checks `text`; one `/` at its end and the scheme's own port are left out, as browsers do.
    pub fn new(text: &str) -> Result<Self, InvalidOrigin> {
        let text = text.strip_suffix('/').unwrap_or(text);
        let (host, text) = match text.split_once("://").ok_or(InvalidOrigin)? {
            ("http", host) => (host, text.strip_suffix(":80").unwrap_or(text)),
            ("https", host) => (host, text.strip_suffix(":443").unwrap_or(text)),
            _ => return Err(InvalidOrigin),
        };
        let is_host = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-:[]".contains(&byte);
        if host.is_empty() || host.len() > 260 || !host.bytes().all(is_host) {
            return Err(InvalidOrigin);
        }
        Ok(Self(text.into()))
    }

    /// As in the header `Origin`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Origin {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_browser_would_send_is_an_origin() {
        for (text, origin) in [
            ("https://app.example.com", "https://app.example.com"),
            ("http://localhost:5173/", "http://localhost:5173"),
            ("http://127.0.0.1:80", "http://127.0.0.1"),
            ("https://a.example:443/", "https://a.example"),
            ("http://[::1]:8000", "http://[::1]:8000"),
        ] {
            assert_eq!(Origin::new(text).unwrap().as_str(), origin);
        }
        for wrong in [
            "*",
            "",
            "app.example.com",
            "https://",
            "https://a/b",
            "https://a b",
            "ws://a",
            "https://A.example",
            "null",
        ] {
            assert_eq!(Origin::new(wrong), Err(InvalidOrigin), "{wrong}");
        }
    }
}
