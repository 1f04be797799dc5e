//! The dashboard out of this program's own file.

use std::{collections::BTreeMap, net::SocketAddr};

use bytes::Bytes;
use tickwire_edge::{EdgeError, Site};

use crate::{Config, Trading};

include!(concat!(env!("OUT_DIR"), "/dashboard.rs"));

/// Stands at `/` where the program was built without the dashboard.
const ABSENT: &str = "<!doctype html><html lang=en><meta charset=utf-8><title>Tickwire</title><h1>Tickwire runs</h1>\
    <p>This program was built without its dashboard. <code>cargo xtask up</code> builds it, and needs Node 20 or newer.</html>";

/// What is served at `/`: the configured directory's files, or those built in; `development` is offered to this machine's
/// browser only.
pub(crate) fn site(
    config: &Config,
    emitter: SocketAddr,
    feed: Option<SocketAddr>,
    development: Option<Bytes>,
) -> Result<Site, EdgeError> {
    let mut services: BTreeMap<String, String> = config.edge.edge.dashboard_services.clone();
    // One that takes any free port is not known yet.
    let known = |address: SocketAddr| Some(address).filter(|address| address.port() != 0);
    let trading =
        |listen: fn(&Trading) -> SocketAddr| config.trading.as_ref().and_then(|trading| known(listen(trading)));
    for (name, address) in [
        ("emitter", Some(emitter)),
        ("feed", feed),
        ("session", trading(|trading| trading.session.listen)),
        ("algorithm", trading(|trading| trading.algorithm.listen)),
        ("risk", trading(|trading| trading.risk.listen)),
    ] {
        // Where all addresses are listened on, only whoever runs it knows by which a browser comes.
        if let Some(address) = address.filter(|address| !address.ip().is_unspecified()) {
            services.entry(name.to_owned()).or_insert_with(|| format!("http://{address}"));
        }
    }
    let nodes = &config.edge.edge.nodes;
    let site = match &config.edge.edge.dashboard_dir {
        Some(directory) => Site::load(directory, &services, nodes)?,
        None if FILES.is_empty() => {
            Site::new([("index.html".to_owned(), Bytes::from_static(ABSENT.as_bytes()))], &services, nodes)?
        }
        None => {
            let files = FILES.iter().map(|&(name, bytes)| (name.to_owned(), Bytes::from_static(bytes)));
            Site::new(files, &services, nodes)?
        }
    };
    Ok(match development {
        Some(document) => site.with_development(document),
        None => site,
    })
}
