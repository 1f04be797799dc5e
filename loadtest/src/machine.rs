//! The machine that the generator runs on, and what it allows.

use std::fs;

use crate::{error::LoadError, record::Machine};

/// Files that the generator opens beside its connections.
const FILES: u64 = 64;

/// Reads what `/proc` tells; fields stay empty on systems without.
pub fn describe() -> Machine {
    let line = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let cpuinfo = line("/proc/cpuinfo");
    let cpu = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let meminfo = line("/proc/meminfo");
    let memory = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:")).unwrap_or_default();
    let memory_kib: u64 = memory.trim().trim_end_matches("kB").trim().parse().unwrap_or(0);
    Machine {
        host: line("/proc/sys/kernel/hostname"),
        kernel: format!("{} {}", line("/proc/sys/kernel/ostype"), line("/proc/sys/kernel/osrelease")),
        cpu: cpu.trim_start_matches([' ', '\t', ':']).to_owned(),
        cpus: std::thread::available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(u32::MAX)),
        memory_bytes: memory_kib * 1_024,
    }
}

/// Refuses to begin what the limit of open files would end.
pub(crate) fn check_open_files(connections: u32) -> Result<(), LoadError> {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let wanted = u64::from(connections) + FILES;
    match open_files_max(&limits) {
        Some(allowed) if allowed < wanted => Err(LoadError::Settings(format!(
            "{connections} connections need {wanted} open files and {allowed} are allowed: `ulimit -n {wanted}` first"
        ))),
        _ => Ok(()),
    }
}

fn open_files_max(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_of_open_files_is_read() {
        let limits = "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 524288               files\n";
        assert_eq!(open_files_max(limits), Some(1_024));
        assert_eq!(open_files_max("Max open files unlimited unlimited files"), None);
        assert!(check_open_files(u32::MAX).is_err());
    }

    #[test]
    fn the_machine_has_a_name_and_memory() {
        let machine = describe();
        assert!(machine.cpus > 0 && machine.memory_bytes > 0 && !machine.host.is_empty());
    }
}
