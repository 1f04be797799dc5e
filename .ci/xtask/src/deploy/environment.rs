//! `.env`: what `docker compose` takes secrets and settings from.

use std::{
    fmt::Write as _,
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Read, Write},
    os::unix::fs::OpenOptionsExt,
};

use anyhow::{Context, bail};

use crate::shell::root;

/// Secrets that services share.
const SECRETS: &[&str] = &["AUTH_SECRET", "API_KEY", "TRADING_KEY", "ESCALATION_SECRET"];

/// `cargo xtask env`: writes it with fresh secrets. What is there is kept, since a new password would lock out the old data;
/// secrets that a newer release wants are added.
pub(crate) fn write() -> anyhow::Result<()> {
    let path = root().join(".env");
    let named = || path.display().to_string();
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let missing = missing(&fs::read_to_string(&path).with_context(named)?)?;
            if missing.is_empty() {
                bail!("{} exists and is kept: delete it first if its secrets shall be replaced", path.display());
            }
            OpenOptions::new().append(true).open(&path).with_context(named)?.write_all(missing.as_bytes())?;
            eprintln!("✔ {}: what was missing was added", path.display());
        }
        file => {
            file.with_context(named)?.write_all(text(&[])?.as_bytes())?;
            eprintln!("✔ {}", path.display());
        }
    }
    Ok(())
}

/// Lines with fresh secrets for those that `text` has not.
fn missing(text: &str) -> anyhow::Result<String> {
    let is_there =
        |name: &str| text.lines().any(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with('=')));
    let mut lines = String::new();
    for name in SECRETS.iter().filter(|name| !is_there(name)) {
        let start = if lines.is_empty() && !text.is_empty() && !text.ends_with('\n') { "\n" } else { "" };
        writeln!(lines, "{start}{name}={}", secret()?)?;
    }
    Ok(lines)
}

/// Fresh secrets, what else an operator sets, and `further` settings.
pub(crate) fn text(further: &[(&str, &str)]) -> anyhow::Result<String> {
    let mut text = String::from("# Secrets of this deployment: readable by its owner only, in no repository.\n");
    text += &missing(&text)?;
    let redis = secret()?;
    write!(
        text,
        "REDIS_PASSWORD={redis}\n\
         BACKPLANE_URL=redis://:{redis}@redis:6379\n\
         # With the profile `sentinel`:\n\
         # BACKPLANE_URL=redis+sentinel://:{redis}@sentinel-1:26379,sentinel-2:26379,sentinel-3:26379/tickwire\n\
         # With the profile `cluster`:\n\
         # BACKPLANE_URL=redis+cluster://:{redis}@redis-1:6379,redis-2:6379,redis-3:6379\n\
         # With the profile `tracing`:\n\
         # OTLP_ENDPOINT=http://collector:4317\n"
    )?;
    for (name, value) in further {
        writeln!(text, "{name}={value}")?;
    }
    Ok(text)
}

/// `text` as an operator changes it for the profile `tracing`, with every trace kept and shown.
pub(crate) fn with_tracing(text: &str) -> String {
    text.replace("# OTLP_ENDPOINT=", "OTLP_ENDPOINT=") + "SAMPLE_RATIO=1\nCOLLECTOR_VERBOSITY=detailed\n"
}

/// `text` as an operator changes it for a Redis of that profile: its address in place of the single one's.
pub(crate) fn with_redis(text: &str, profile: &str) -> String {
    let wanted = format!("# BACKPLANE_URL=redis+{profile}://");
    let lines = text.lines().filter(|line| !line.starts_with("BACKPLANE_URL="));
    lines.fold(String::new(), |text, line| {
        let line = if line.starts_with(&wanted) { &line[2..] } else { line };
        text + line + "\n"
    })
}

/// 32 random bytes in hex.
fn secret() -> anyhow::Result<String> {
    let mut bytes = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    let mut text = String::new();
    for byte in bytes {
        write!(text, "{byte:02x}")?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_kept_and_what_is_missing_is_added() {
        let old =
            text(&[]).unwrap().lines().filter(|line| !line.starts_with("TRADING_KEY=")).collect::<Vec<_>>().join("\n");
        let added = missing(&old).unwrap();
        assert!(added.starts_with("\nTRADING_KEY=") && added.lines().count() == 2, "{added}");
        assert_eq!(missing(&(old + &added)).unwrap(), "");
    }
}
