use std::{fs, path::Path};

use tickwire_sim::mutations::MUTATIONS;

/// A mutant whose text is not found any more would break nothing, and prove nothing.
#[test]
fn every_mutant_of_rust_finds_what_it_breaks() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let read = |path: &str| fs::read_to_string(root.join(path)).ok();
    let mut files = 0;
    for mutation in MUTATIONS.iter().filter(|mutation| mutation.is_rust()) {
        for (path, broken) in mutation.files(read).unwrap_or_else(|path| panic!("{}: {path}", mutation.name)) {
            assert_ne!(Some(broken), read(path), "{}", mutation.name);
            files += 1;
        }
    }
    assert!(files > 0);
}
