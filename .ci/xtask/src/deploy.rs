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

pub(crate) use environment::write as write_environment;

use crate::shell::cargo;

/// Services that have a binary and an image.
const SERVICES: &[&str] = &["edge", "emitter", "loadtest"];

/// `cargo xtask test-deploy`: files first, then the engine. `writes`: generated documents are renewed, not compared.
pub(crate) fn test(writes: bool) -> anyhow::Result<()> {
    tools::prepare()?;
    files::check()?;
    chart::check(writes)?;
    tools::prepare_engine()?;
    let mut build = vec!["build", "--locked"];
    let packages: Vec<String> = SERVICES.iter().map(|service| format!("tickwire-{service}")).collect();
    build.extend(packages.iter().flat_map(|package| ["-p", package]));
    cargo(&build)?;
    let engine = engine::Engine::start()?;
    images::prepare(&engine, SERVICES, "debug")?;
    compose::check(&engine, "debug", writes)
}
