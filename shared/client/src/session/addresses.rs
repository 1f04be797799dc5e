//! Where to connect: the addresses that the cluster names in `connected`, and behind them the program's own.

use std::sync::Arc;

use rand::{RngExt, rngs::StdRng};
use tokio_tungstenite::tungstenite::http::Uri;

/// Addresses taken of those that the cluster names.
const NAMED_MAX: usize = 64;
/// Bytes of one of them.
const NAMED_BYTES_MAX: usize = 512;

/// All of them, and which one is in use.
#[derive(Debug)]
pub(super) struct Addresses {
    given: Vec<String>,
    all: Vec<Arc<str>>,
    at: usize,
}

impl Addresses {
    /// `given` are the program's, at least one.
    pub(super) fn new(given: Vec<String>) -> Self {
        Self { all: given.iter().map(|url| url.as_str().into()).collect(), given, at: 0 }
    }

    pub(super) fn current(&self) -> Arc<str> {
        self.all.get(self.at).cloned().unwrap_or_default()
    }

    /// Its place, for [`Addresses::set`].
    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn set(&mut self, at: usize) {
        self.at = at;
    }

    /// The next one, after a failure.
    pub(super) fn advance(&mut self) {
        self.at = (self.at + 1) % self.all.len().max(1);
    }

    /// The cluster names its edges. Those that cannot be dialled are left out, and so are plain ones where the program asked
    /// for TLS only: its token must not go out in clear because a server says so. Where the address in use is not among
    /// them, `chance` decides where to go on: clients who came through one door leave through many.
    pub(super) fn learn(&mut self, named: &[String], chance: &mut StdRng) {
        let mut all: Vec<Arc<str>> = Vec::new();
        let named = named.iter().take(NAMED_MAX).filter_map(|url| self.dialable(url));
        for url in named.chain(self.given.iter().cloned()) {
            if !all.iter().any(|known| **known == *url) {
                all.push(url.into());
            }
        }
        if all == self.all {
            return;
        }
        let current = self.current();
        let known = all.iter().position(|url| *url == current);
        self.at = known.unwrap_or_else(|| chance.random_range(0..all.len()));
        self.all = all;
    }

    /// The address with the program's path, where it has none of its own: an area such as `/ws/trading` stays the same.
    fn dialable(&self, url: &str) -> Option<String> {
        let (scheme, _) = url.split_once("://").filter(|_| url.len() <= NAMED_BYTES_MAX)?;
        let is_plain = match scheme {
            "wss" => false,
            "ws" => true,
            _ => return None,
        };
        if is_plain && !self.given.iter().any(|given| given.starts_with("ws://")) {
            return None;
        }
        let uri: Uri = url.parse().ok()?;
        let authority = uri.authority()?;
        let path_of = |uri: &Uri| uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let own = path_of(&self.given.first()?.parse().ok()?);
        let keeps_its_own = path_of(&uri) != "/" || own == "/";
        Some(if keeps_its_own { url.to_owned() } else { format!("{scheme}://{authority}{own}") })
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn chance() -> StdRng {
        StdRng::seed_from_u64(7)
    }

    fn named(urls: &[&str]) -> Vec<String> {
        urls.iter().map(|&url| url.to_owned()).collect()
    }

    fn all(addresses: &Addresses) -> Vec<&str> {
        addresses.all.iter().map(|url| &**url).collect()
    }

    #[test]
    fn the_clusters_addresses_come_before_the_programs_own_and_keep_its_path() {
        let mut addresses = Addresses::new(named(&["wss://door/ws/trading?v=1"]));
        addresses.learn(&named(&["wss://a", "wss://b:444/", "wss://c/other"]), &mut chance());
        let expected =
            ["wss://a/ws/trading?v=1", "wss://b:444/ws/trading?v=1", "wss://c/other", "wss://door/ws/trading?v=1"];
        assert_eq!(all(&addresses), expected);
        assert_eq!(&*addresses.current(), "wss://door/ws/trading?v=1", "the one in use stays");
        addresses.advance();
        assert_eq!(&*addresses.current(), "wss://a/ws/trading?v=1");
    }

    #[test]
    fn no_address_of_the_server_takes_a_token_out_of_tls() {
        let mut addresses = Addresses::new(named(&["wss://door/ws"]));
        addresses.learn(
            &named(&["ws://a", "http://b", "wss://", "junk", &format!("wss://{}", "x".repeat(600))]),
            &mut chance(),
        );
        assert_eq!(all(&addresses), ["wss://door/ws"]);
    }

    #[test]
    fn an_address_named_twice_stands_once_and_there_is_a_bound() {
        let mut addresses = Addresses::new(named(&["ws://a/ws"]));
        addresses.learn(&named(&["ws://a", "ws://a/ws"]), &mut chance());
        assert_eq!(all(&addresses), ["ws://a/ws"]);
        let many: Vec<String> = (0..200).map(|number| format!("ws://edge-{number}")).collect();
        addresses.learn(&many, &mut chance());
        assert_eq!(addresses.all.len(), NAMED_MAX + 1);
    }
}
