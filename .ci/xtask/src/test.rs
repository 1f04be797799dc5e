//! `cargo xtask test`: everything that must hold, quickest first.

use std::time::Instant;

use crate::{
    chaos, machine,
    shell::{cargo, run_with},
    sim, tidy, web,
};

/// Runs all checks, or only the tests that match `filter`.
pub(crate) fn test(filter: Option<&str>) -> anyhow::Result<()> {
    let begun = Instant::now();
    machine::prepare()?;
    if filter.is_none() {
        cargo(&["fmt", "--all", "--check"])?;
        tidy::tidy()?;
        cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"])?;
        run_with(
            "cargo",
            &["doc", "--workspace", "--no-deps", "--document-private-items", "--locked"],
            &[("RUSTDOCFLAGS", "-D warnings -A rustdoc::private_intra_doc_links")],
        )?;
    }
    machine::nextest(filter)?;
    if filter.is_none() {
        cargo(&["test", "--workspace", "--doc", "--locked", "--quiet"])?;
        web::check()?;
        sim::check()?;
        chaos::short()?;
    }
    eprintln!("\nAll checks passed in {} s.", begun.elapsed().as_secs());
    Ok(())
}
