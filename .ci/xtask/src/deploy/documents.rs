//! Documents made from what they describe: compared, or written anew.

use std::fs;

use anyhow::{Context, bail};

use crate::shell::root;

/// Fails where the file is not `text`; writes it where `writes`.
pub(crate) fn keep(path: &str, text: &str, writes: bool) -> anyhow::Result<()> {
    let file = root().join(path);
    if writes {
        return fs::write(&file, text).with_context(|| path.to_owned());
    }
    if fs::read_to_string(&file).unwrap_or_default() != text {
        bail!("{path} is not what it is made from: run `cargo xtask test-deploy --write`");
    }
    eprintln!("✔ {path}");
    Ok(())
}
