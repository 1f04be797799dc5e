//! `/docs`: a page that lists the operations of `/openapi.json` and tries them. It loads nothing from elsewhere.

use std::sync::LazyLock;

use axum::response::{Html, IntoResponse, Response};
use base64::{Engine, prelude::BASE64_STANDARD};
use http::header;
use sha2::{Digest, Sha256};

const PAGE: &str = include_str!("docs.html");

/// Only the page's own script and style run, known by their hashes; requests go to this origin only.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let script = hash_of("script");
    let style = hash_of("style");
    format!(
        "default-src 'none'; script-src {script}; style-src {style}; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'"
    )
});

/// The source expression of the one element called `tag`.
fn hash_of(tag: &str) -> String {
    let content = PAGE
        .split_once(&format!("<{tag}>"))
        .and_then(|(_, rest)| rest.split_once(&format!("</{tag}>")))
        .map_or("", |(content, _)| content);
    format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(content)))
}

/// The page of the service called `name`: `session`, say.
pub fn page(name: &str) -> Response {
    let page = PAGE.replace("{name}", name);
    ([(header::CONTENT_SECURITY_POLICY, POLICY.as_str()), (header::REFERRER_POLICY, "no-referrer")], Html(page))
        .into_response()
}
