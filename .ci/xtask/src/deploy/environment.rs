//! `.env`: what `docker compose` takes secrets and settings from.

use std::{
    fmt::Write as _,
    fs::{File, OpenOptions},
    io::{ErrorKind, Read, Write},
    os::unix::fs::OpenOptionsExt,
};

use anyhow::{Context, bail};

use crate::shell::root;

/// `cargo xtask env`: writes it with fresh secrets. What is there is kept: a new password would lock out the old data.
pub(crate) fn write() -> anyhow::Result<()> {
    let path = root().join(".env");
    let mut file = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            bail!("{} exists and is kept: delete it first if its secrets shall be replaced", path.display())
        }
        file => file.with_context(|| path.display().to_string())?,
    };
    file.write_all(text(&[])?.as_bytes())?;
    eprintln!("✔ {}", path.display());
    Ok(())
}

/// Fresh secrets, what else an operator sets, and `further` settings.
pub(crate) fn text(further: &[(&str, &str)]) -> anyhow::Result<String> {
    let mut text = String::from("# Secrets of this deployment: readable by its owner only, in no repository.\n");
    for name in ["AUTH_SECRET", "API_KEY", "ESCALATION_SECRET"] {
        writeln!(text, "{name}={}", secret()?)?;
    }
    let redis = secret()?;
    write!(
        text,
        "REDIS_PASSWORD={redis}\n\
         BACKPLANE_URL=redis://:{redis}@redis:6379\n\
         # With the profile `sentinel`:\n\
         # BACKPLANE_URL=redis+sentinel://:{redis}@sentinel-1:26379,sentinel-2:26379,sentinel-3:26379/tickwire\n\
         # CRITICAL_REPLICAS=1\n\
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
