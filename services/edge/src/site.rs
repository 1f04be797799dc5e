//! The dashboard's files, as an edge serves them beside its sockets.
//!
//! Everything is in memory and read once. What the build names by its content may be cached for ever; the rest is asked
//! for again each time. A path that is no file and looks like no file is one of the dashboard's own routes and gets its
//! `index.html`. Beside the files stand two documents: `dashboard.json` (where the other services are) and, for development
//! on loopback addresses only, `development.json` (tokens that a button signs in with).

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{
        ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HOST,
        IF_NONE_MATCH, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
    },
};
use sha1::{Digest, Sha1};

use crate::{
    EdgeError,
    accept::answer::{self, Answer},
};

/// Files of a site at most; the dashboard has about thirty.
const FILES_MAX: usize = 1_000;
/// Bytes of all of them together at most.
const BYTES_MAX: usize = 64 * 1024 * 1024;
/// Where the build puts what is named by its content.
const IMMUTABLE: &str = "assets/";

/// A file and how it is answered.
#[derive(Debug, Clone)]
struct File {
    plain: Bytes,
    /// Made by the build, as `name.gz` beside it.
    gzip: Option<Bytes>,
    content_type: &'static str,
    etag: HeaderValue,
    is_immutable: bool,
}

/// The dashboard's files and what is said beside them.
#[derive(Debug, Clone)]
pub struct Site {
    files: HashMap<String, File>,
    settings: Bytes,
    development: Option<Bytes>,
    policy: HeaderValue,
}

impl Site {
    /// A site of `files` (path without leading slash, content). `services` are the bases of other services' addresses by
    /// name, such as `emitter` → `https://api.example.com/emitter` or `/emitter`: told to the dashboard, and opened for it in
    /// the content security policy. So are `nodes`, the edges' public addresses: the page connects to any of them.
    pub fn new(
        files: impl IntoIterator<Item = (String, Bytes)>,
        services: &BTreeMap<String, String>,
        nodes: &[String],
    ) -> Result<Self, EdgeError> {
        let mut all: HashMap<String, Bytes> = files.into_iter().collect();
        let bytes: usize = all.values().map(Bytes::len).sum();
        if all.len() > FILES_MAX || bytes > BYTES_MAX {
            return Err(site(format!("{} files of {bytes} bytes are more than a dashboard has", all.len())));
        }
        if !all.contains_key("index.html") {
            return Err(site("there is no index.html".into()));
        }
        let names: Vec<String> = all.keys().filter(|name| extension(name) != "gz").cloned().collect();
        let mut files = HashMap::new();
        for name in names {
            let gzip = all.remove(&format!("{name}.gz"));
            let plain = all.remove(&name).unwrap_or_default();
            files.insert(name.clone(), File::new(&name, plain, gzip));
        }
        let settings = serde_json::json!({ "services": services }).to_string().into();
        Ok(Self { files, settings, development: None, policy: policy(services, nodes)? })
    }

    /// The files below `directory`.
    pub fn load(directory: &Path, services: &BTreeMap<String, String>, nodes: &[String]) -> Result<Self, EdgeError> {
        let mut files = Vec::new();
        let mut open = vec![directory.to_owned()];
        let failed = |path: &Path, error: std::io::Error| site(format!("{}: {error}", path.display()));
        while let Some(path) = open.pop() {
            for entry in path.read_dir().map_err(|error| failed(&path, error))? {
                let entry = entry.map_err(|error| failed(&path, error))?.path();
                if entry.is_dir() {
                    open.push(entry);
                } else if let Some(name) = entry.strip_prefix(directory).ok().and_then(Path::to_str) {
                    let bytes = std::fs::read(&entry).map_err(|error| failed(&entry, error))?;
                    files.push((name.to_owned(), bytes.into()));
                }
                if files.len() + open.len() > 2 * FILES_MAX {
                    return Err(site(format!("{} holds more than a dashboard", directory.display())));
                }
            }
        }
        Self::new(files, services, nodes)
    }

    /// Adds credentials for development: a JSON document that only a browser on this machine is shown.
    #[must_use]
    pub fn with_development(self, document: Bytes) -> Self {
        Self { development: Some(document), ..self }
    }

    /// The answer for `path`, or `None` where the site has nothing.
    pub(crate) fn answer(&self, path: &str, headers: &HeaderMap) -> Option<Answer> {
        let name = path.strip_prefix('/')?;
        let mut answer = match name {
            "dashboard.json" => answer::whole(StatusCode::OK, "application/json", self.settings.clone()),
            "development.json" => {
                let document = self.development.as_ref().filter(|_| is_for_loopback(headers))?;
                answer::whole(StatusCode::OK, "application/json", document.clone())
            }
            _ => self.file(name)?.answer(headers),
        };
        let fixed: [(HeaderName, HeaderValue); 4] = [
            (CONTENT_SECURITY_POLICY, self.policy.clone()),
            (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
            (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
            (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
        ];
        answer.headers_mut().extend(fixed);
        Some(answer)
    }

    fn file(&self, name: &str) -> Option<&File> {
        // A last segment with a dot is a file that was meant: an answer of HTML would only hide that it is missing.
        let is_route = !name.starts_with(IMMUTABLE) && !name.rsplit('/').next().unwrap_or(name).contains('.');
        self.files.get(name).or_else(|| is_route.then(|| self.files.get("index.html")).flatten())
    }
}

impl File {
    fn new(name: &str, plain: Bytes, gzip: Option<Bytes>) -> Self {
        let digest = Sha1::digest(&plain);
        let short = digest.iter().take(8).fold(0_u64, |short, &byte| short << 8 | u64::from(byte));
        // Hexadecimal digits in quotes are always a header.
        let etag = HeaderValue::from_str(&format!("W/\"{short:x}\"")).unwrap_or(HeaderValue::from_static("W/\"\""));
        Self { plain, gzip, content_type: content_type(name), etag, is_immutable: name.starts_with(IMMUTABLE) }
    }

    fn answer(&self, request: &HeaderMap) -> Answer {
        let is_known = request.get(IF_NONE_MATCH).is_some_and(|known| known == self.etag);
        let takes_gzip = request.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or("");
        let gzip = self.gzip.as_ref().filter(|_| takes_gzip.contains("gzip"));
        let (status, body) = match gzip {
            _ if is_known => (StatusCode::NOT_MODIFIED, Bytes::new()),
            Some(gzip) => (StatusCode::OK, gzip.clone()),
            None => (StatusCode::OK, self.plain.clone()),
        };
        let mut answer = answer::whole(status, self.content_type, body);
        let headers = answer.headers_mut();
        let cache = if self.is_immutable { "public, max-age=31536000, immutable" } else { "no-cache" };
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache));
        headers.insert(ETAG, self.etag.clone());
        headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
        if is_known {
            headers.remove(CONTENT_TYPE);
        } else if gzip.is_some() {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        answer
    }
}

fn site(why: String) -> EdgeError {
    EdgeError::Site(why)
}

/// Only its own scripts and styles run, nothing frames it, and only this edge and the services named are reached.
fn policy(services: &BTreeMap<String, String>, nodes: &[String]) -> Result<HeaderValue, EdgeError> {
    let mut connect = "'self'".to_owned();
    for (name, base) in services {
        let wrong = || site(format!("the address of `{name}` is a path or an http(s) address, not `{base}`"));
        if base.starts_with('/') && !base.starts_with("//") && is_clean(base) {
            continue;
        }
        let (scheme, host) =
            origin_of(base).filter(|(scheme, _)| matches!(*scheme, "http" | "https")).ok_or_else(wrong)?;
        connect.extend([" ", scheme, "://", host]);
    }
    for node in nodes {
        let wrong = || site(format!("an address of `edge.nodes` is ws:// or wss://, not `{node}`"));
        let (scheme, host) = origin_of(node).filter(|(scheme, _)| matches!(*scheme, "ws" | "wss")).ok_or_else(wrong)?;
        // Where no WebSocket gets through, the same node is asked over HTTP.
        let http = if scheme == "wss" { "https" } else { "http" };
        connect.extend([" ", scheme, "://", host, " ", http, "://", host]);
    }
    let text = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; manifest-src 'self'; \
         connect-src {connect}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    HeaderValue::from_str(&text).map_err(|_| site("the content security policy is not a header".into()))
}

/// Nothing in it ends an expression of the policy.
fn is_clean(address: &str) -> bool {
    address.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"'`,;\\<>".contains(&byte))
}

/// Scheme and host with port.
fn origin_of(address: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = address.split_once("://").filter(|_| is_clean(address))?;
    let host = rest.split('/').next().filter(|host| !host.is_empty())?;
    Some((scheme, host))
}

/// Whether the request was sent to a loopback name, and by no proxy: a page elsewhere whose own name was pointed at this machine
/// sends its own.
fn is_for_loopback(headers: &HeaderMap) -> bool {
    if ["forwarded", "x-forwarded-for", "x-real-ip", "via"].iter().any(|name| headers.contains_key(*name)) {
        return false;
    }
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("");
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(""),
        None => host.split(':').next().unwrap_or(""),
    };
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn extension(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(_, extension)| extension)
}

fn content_type(name: &str) -> &'static str {
    match extension(name) {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" | "webmanifest" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Site {
        let files = [
            ("index.html", "<title>Tickwire</title>"),
            ("assets/a-1.js", "run()"),
            ("assets/a-1.js.gz", "zipped"),
            ("icon.svg", "<svg/>"),
        ];
        let services = BTreeMap::from([
            ("emitter".to_owned(), "https://api.example.com/emitter".to_owned()),
            ("feed".to_owned(), "/feed".to_owned()),
        ]);
        let nodes = ["wss://b.example.com/ws".to_owned()];
        let files = files.map(|(name, text)| (name.to_owned(), Bytes::from_static(text.as_bytes())));
        Site::new(files, &services, &nodes).unwrap()
    }

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    fn ask(site: &Site, path: &str, pairs: &[(HeaderName, &str)]) -> Option<Answer> {
        site.answer(path, &headers(pairs))
    }

    #[test]
    fn routes_of_the_page_get_the_page_and_missing_files_nothing() {
        let site = sample();
        for route in ["/", "/markets", "/sessions/s.1/x"] {
            let answer = ask(&site, route, &[]).unwrap();
            assert_eq!(answer.headers()[CONTENT_TYPE], "text/html; charset=utf-8", "{route}");
            assert_eq!(answer.headers()[CACHE_CONTROL], "no-cache");
        }
        for missing in ["/assets/a-2.js", "/assets/gone", "/favicon.ico", "/a/b.js", "/development.json", ""] {
            assert!(ask(&site, missing, &[]).is_none(), "{missing}");
        }
    }

    #[test]
    fn what_is_named_by_its_content_is_kept_for_ever_and_comes_compressed() {
        let site = sample();
        let answer = ask(&site, "/assets/a-1.js", &[(ACCEPT_ENCODING, "br, gzip")]).unwrap();
        assert!(answer.headers()[CACHE_CONTROL].to_str().unwrap().contains("immutable"));
        assert_eq!(answer.headers()[CONTENT_ENCODING], "gzip");
        let etag = answer.headers()[ETAG].to_str().unwrap().to_owned();
        let again = ask(&site, "/assets/a-1.js", &[(IF_NONE_MATCH, &etag)]).unwrap();
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        assert!(!ask(&site, "/assets/a-1.js", &[]).unwrap().headers().contains_key(CONTENT_ENCODING));
    }

    #[test]
    fn the_policy_opens_the_services_and_nothing_else() {
        let answer = ask(&sample(), "/", &[]).unwrap();
        let policy = answer.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
        assert!(
            policy.contains("connect-src 'self' https://api.example.com wss://b.example.com https://b.example.com;"),
            "{policy}"
        );
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"));
        for bad in ["//evil.example", "ftp://x", "https://a;script-src *", "javascript:x", "https://", "a b"] {
            let services = BTreeMap::from([("emitter".to_owned(), bad.to_owned())]);
            let files = [("index.html".to_owned(), Bytes::new())];
            assert!(Site::new(files.clone(), &services, &[]).is_err(), "{bad}");
            assert!(Site::new(files, &BTreeMap::new(), &[bad.to_owned()]).is_err(), "{bad}");
        }
    }

    #[test]
    fn tokens_for_development_are_shown_to_this_machines_browser_only() {
        let site = sample().with_development(Bytes::from_static(b"{}"));
        for host in ["localhost:8000", "127.0.0.1:8000", "[::1]:8000"] {
            assert!(ask(&site, "/development.json", &[(HOST, host)]).is_some(), "{host}");
        }
        for host in ["evil.example:8000", "192.0.2.1", "127.0.0.1.evil.example", ""] {
            assert!(ask(&site, "/development.json", &[(HOST, host)]).is_none(), "{host}");
        }
    }

    #[test]
    fn a_directory_without_a_page_is_refused() {
        assert!(Site::load(Path::new("/nonexistent"), &BTreeMap::new(), &[]).is_err());
        assert!(Site::new([("a.js".to_owned(), Bytes::new())], &BTreeMap::new(), &[]).is_err());
    }
}
