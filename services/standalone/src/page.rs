//! The page at `/`: live messages in a browser, nothing else.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use sha2::{Digest, Sha256};
use tickwire_edge::config::Page;

const HTML: &str = include_str!("page.html");

/// The page with a policy under which only its own script and style run, and only this edge is reached.
pub(crate) fn page() -> Page {
    let script = hash(between(HTML, "<script>", "</script>"));
    let style = hash(between(HTML, "<style>", "</style>"));
    Page {
        html: Bytes::from_static(HTML.as_bytes()),
        content_security_policy: format!(
            "default-src 'none'; script-src '{script}'; style-src '{style}'; connect-src 'self'; base-uri 'none'; \
             form-action 'none'; frame-ancestors 'none'"
        ),
    }
}

fn between<'a>(text: &'a str, open: &str, close: &str) -> &'a str {
    let inner = text.split_once(open).and_then(|(_, rest)| rest.split_once(close));
    inner.map_or("", |(inner, _)| inner)
}

fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_one_script_and_one_style_and_asks_nobody_else() {
        for tag in ["<script", "<style"] {
            assert_eq!(HTML.matches(tag).count(), 1, "{tag}");
        }
        for outside in ["http://", "https://", " src=", "innerHTML", " style=", "onclick="] {
            assert!(!HTML.contains(outside), "{outside}");
        }
        assert!(!between(HTML, "<script>", "</script>").is_empty());
        assert!(!between(HTML, "<style>", "</style>").is_empty());
    }
}
