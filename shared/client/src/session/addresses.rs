//! Where to connect: the addresses that the cluster names in `connected`, and behind them the program's own.

use std::sync::Arc;

use rand::{RngExt, rngs::StdRng, seq::SliceRandom};
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
    /// for TLS only: its token must not go out in clear because a server says so. `chance` puts them in an order of this
    /// client's own: those of a node that died scatter over all others.
    pub(super) fn learn(&mut self, named: &[String], chance: &mut StdRng) {
        let mut named: Vec<&String> = named.iter().collect();
        named.shuffle(chance);
        let mut all: Vec<Arc<str>> = Vec::new();
        let dialable = named.into_iter().filter_map(|url| self.dialable(url)).take(NAMED_MAX);
        for url in dialable.chain(self.given.iter().cloned()) {
            if !all.iter().any(|known| **known == *url) {
                all.push(url.into());
            }
        }
        if all.len() == self.all.len() && all.iter().all(|url| self.all.contains(url)) {
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
        let mut clusters = all(&addresses);
        assert_eq!(clusters.pop(), Some("wss://door/ws/trading?v=1"));
        clusters.sort_unstable();
        assert_eq!(clusters, ["wss://a/ws/trading?v=1", "wss://b:444/ws/trading?v=1", "wss://c/other"]);
        assert_eq!(&*addresses.current(), "wss://door/ws/trading?v=1", "the one in use stays");
        addresses.advance();
        assert_eq!(*addresses.current(), *all(&addresses)[0]);
    }

    #[test]
    fn clients_of_a_node_that_died_scatter_over_all_others() {
        let nodes: Vec<String> = (0..4).map(|node| format!("wss://{node}/ws")).collect();
        let mut chance = chance();
        let mut found: std::collections::BTreeMap<Arc<str>, usize> = std::collections::BTreeMap::new();
        for _ in 0..300 {
            let mut addresses = Addresses::new(named(&["wss://0/ws"]));
            addresses.learn(&nodes, &mut chance);
            addresses.advance();
            *found.entry(addresses.current()).or_default() += 1;
        }
        assert!(nodes[1..].iter().all(|node| found.get(&**node).is_some_and(|&clients| clients > 50)), "{found:?}");
    }

    #[test]
    fn the_same_addresses_once_more_change_nothing() {
        let nodes: Vec<String> = (0..9).map(|node| format!("wss://{node}/ws")).collect();
        let mut addresses = Addresses::new(named(&["wss://door/ws"]));
        let mut chance = chance();
        addresses.learn(&nodes, &mut chance);
        let before = addresses.all.clone();
        addresses.learn(&nodes, &mut chance);
        assert_eq!(addresses.all, before);
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
