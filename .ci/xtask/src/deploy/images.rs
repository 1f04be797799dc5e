//! Images without a registry: one Debian root under the names of all that Debian has, and the services from ready binaries.

use std::fs;

use anyhow::Context;

use super::{engine::Engine, tools};
use crate::shell::{root, run};

/// What the compose file names and Debian has, besides the base image.
const FROM_DEBIAN: &[&str] =
    &["debian:bookworm-slim", "redis:7.2-bookworm", "haproxy:2.8-bookworm", "prom/prometheus:v3.5.0"];
const PACKAGES: &str = "--include=ca-certificates,redis-server,redis-sentinel,haproxy,prometheus,curl";
/// The users and directories that the images of those names have.
const HOOK: &str = r#"--customize-hook=chroot "$1" sh -c 'mkdir /data /prometheus && chown redis /data'"#;

/// Makes every image that the compose file uses here.
pub(crate) fn prepare(engine: &Engine, services: &[&str], profile: &str) -> anyhow::Result<()> {
    from_debian(engine)?;
    let prebuilt = root().join("target/prebuilt");
    fs::create_dir_all(&prebuilt)?;
    for service in services {
        let binary = format!("target/{profile}/tickwire-{service}");
        let ready = prebuilt.join(format!("tickwire-{service}"));
        run("strip", &["-o", &ready.display().to_string(), &binary])?;
        build(engine, service)?;
    }
    Ok(())
}

fn from_debian(engine: &Engine) -> anyhow::Result<()> {
    let have = |name: &&str| engine.ask(&["image", "inspect", "--format", "{{.Id}}", name]).is_ok();
    if FROM_DEBIAN.iter().all(have) {
        return Ok(());
    }
    let archive = tools::directory()?.join("debian.tar");
    let path = archive.display().to_string();
    if !archive.exists() {
        let partial = format!("{path}.partial");
        run("mmdebstrap", &["--quiet", "--variant=minbase", "--format=tar", PACKAGES, HOOK, "bookworm", &partial])?;
        fs::rename(&partial, &archive).context("the archive of the base image")?;
    }
    engine.docker(&["import", &path, FROM_DEBIAN[0]])?;
    FROM_DEBIAN[1..].iter().try_for_each(|name| engine.docker(&["tag", FROM_DEBIAN[0], name]))
}

fn build(engine: &Engine, service: &str) -> anyhow::Result<()> {
    let target = match service {
        "loadtest" => "tool",
        "edge" => "edge",
        _ => "service",
    };
    let (context, file) = (root().display().to_string(), root().join("services/Dockerfile").display().to_string());
    let name = format!("tickwire/{service}:dev");
    let argument = format!("SERVICE={service}");
    engine.docker(&[
        "build",
        "--quiet",
        "-f",
        &file,
        "--target",
        target,
        "--build-arg",
        &argument,
        "--build-arg",
        "BINARIES=prebuilt",
        "-t",
        &name,
        &context,
    ])
}
