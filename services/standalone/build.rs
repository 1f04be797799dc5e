//! Puts the dashboard's built files into the program, where there are any.

use std::{
    env,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

fn main() -> std::io::Result<()> {
    let home = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let dist = home.join("../dashboard/dist");
    // A directory that is not there cannot be watched. Where none can be made (sources that are read-only) none comes later.
    if fs::create_dir_all(&dist).is_ok() {
        println!("cargo:rerun-if-changed={}", dist.display());
    }
    let mut files = Vec::new();
    collect(&dist, &dist, &mut files)?;
    files.sort();
    let mut text = "const FILES: &[(&str, &[u8])] = &[\n".to_owned();
    for (name, path) in &files {
        let path = path.to_str().unwrap_or_default();
        writeln!(text, "    ({name:?}, include_bytes!({path:?})),").map_err(std::io::Error::other)?;
    }
    text.push_str("];\n");
    fs::write(PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("dashboard.rs"), text)
}

fn collect(root: &Path, directory: &Path, files: &mut Vec<(String, PathBuf)>) -> std::io::Result<()> {
    if !directory.is_dir() {
        return Ok(());
    }
    for entry in directory.read_dir()? {
        let path = entry?.path();
        if path.is_dir() {
            collect(root, &path, files)?;
        } else if let Some(name) = path.strip_prefix(root).ok().and_then(Path::to_str) {
            files.push((name.replace('\\', "/"), path.canonicalize()?));
        }
    }
    Ok(())
}
