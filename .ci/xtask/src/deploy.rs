//! Deployment: what an operator starts, checked against schemas and tried in a container engine.

mod balancers;
mod chart;
mod compose;
mod documents;
mod engine;
mod environment;
mod files;
mod images;
mod metrics;
mod tools;
mod tracing;
mod trading;

pub(crate) use environment::write as write_environment;

use crate::{
    dashboard,
    shell::{cargo, output},
    web,
};

/// Services that have a binary and an image.
const SERVICES: &[&str] = &["algorithm", "edge", "emitter", "feed", "loadtest", "risk", "session"];

/// `cargo xtask test-deploy`: files first, then the engine. `writes`: generated documents are renewed, not compared. `is_quick`: without
/// the profile `tracing`, whose collector is built from its sources.
pub(crate) fn test(writes: bool, is_quick: bool) -> anyhow::Result<()> {
    tools::prepare()?;
    files::check()?;
    chart::check(writes)?;
    tools::prepare_engine()?;
    let mut build = vec!["build", "--locked"];
    let packages: Vec<String> = SERVICES.iter().map(|service| format!("tickwire-{service}")).collect();
    build.extend(packages.iter().flat_map(|package| ["-p", package]));
    cargo(&build)?;
    capacity(writes)?;
    web::node()?;
    dashboard::build_if_stale()?;
    let engine = engine::Engine::start()?;
    images::prepare(&engine, SERVICES, "debug")?;
    compose::check(&engine, "debug", writes)?;
    if is_quick {
        return Ok(());
    }
    tracing::prepare(&engine)?;
    compose::check_tracing(&engine, "debug")
}

/// The page of sizes says what the command says.
fn capacity(writes: bool) -> anyhow::Result<()> {
    let table = output("target/debug/tickwire-loadtest", &["plan"])?;
    let text = format!(
        "# How much of it\n\n\
         `tickwire-loadtest plan` computes sizes from measured costs. Its defaults are this project's own figures (top README,\n\
         \"Numbers\") and the load of a trading day; each is an option. Measure with `cargo xtask bench` or a load-test Job on your\n\
         machines, and put the figures in. By itself it says (made by `cargo xtask test-deploy --write`):\n\n{table}"
    );
    documents::keep("helm/CAPACITY.md", &text, writes)
}
