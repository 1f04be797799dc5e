//! What server processes use, read from `/proc`: CPU time, memory, and the kernel's memory for sockets.
//!
//! A process is named on the command line by its id or by a port it listens on, so that a report can show an edge's
//! and Redis' share beside latencies. Nothing here needs rights over the processes beyond being the same user.

use std::{
    collections::HashSet,
    fmt,
    fs::{self, File},
    io,
    str::FromStr,
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// Which process to watch, and what a report calls it: `edge-a=pid:4711`, `redis=port:6379`, or either without a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    name: String,
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Pid(u32),
    Port(u16),
}

/// A [`Target`] that is none.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} names no process: write pid:ID or port:PORT, with NAME= in front if it shall have a name")]
pub struct BadTarget(String);

impl FromStr for Target {
    type Err = BadTarget;

    fn from_str(text: &str) -> Result<Self, BadTarget> {
        let bad = || BadTarget(text.to_owned());
        let (name, place) = text.split_once('=').unwrap_or((text, text));
        let place = match place.split_once(':').ok_or_else(bad)? {
            ("pid", id) => Place::Pid(id.parse().map_err(|_| bad())?),
            ("port", port) => Place::Port(port.parse().map_err(|_| bad())?),
            _ => return Err(bad()),
        };
        if name.is_empty() {
            return Err(bad());
        }
        Ok(Self { name: name.to_owned(), place })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Place::Pid(id) => write!(out, "{}=pid:{id}", self.name),
            Place::Port(port) => write!(out, "{}=port:{port}", self.name),
        }
    }
}

/// A running process under its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// What reports call it.
    pub name: String,
    /// Its id.
    pub pid: u32,
}

impl Process {
    /// The one that `target` means, now.
    pub fn find(target: &Target) -> io::Result<Self> {
        let pid = match target.place {
            Place::Pid(pid) => pid,
            Place::Port(port) => listener_of(port)?,
        };
        let process = Self { name: target.name.clone(), pid };
        process.usage()?;
        Ok(process)
    }

    /// This very process.
    pub fn own(name: &str) -> Self {
        Self { name: name.to_owned(), pid: std::process::id() }
    }

    /// What it has used so far. An error where it has ended.
    pub fn usage(&self) -> io::Result<Usage> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid))?;
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        usage(&stat, &status).ok_or_else(|| io::Error::other(format!("/proc/{} is in no known form", self.pid)))
    }

    /// Nanoseconds that its present threads have spent on a CPU: finer than [`Usage`]'s steps of 10 ms, but blind to
    /// threads that have ended.
    pub fn cpu_exact(&self) -> io::Result<Duration> {
        let mut nanoseconds = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.pid))? {
            let text = match fs::read_to_string(task?.path().join("schedstat")) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                text => text?,
            };
            let first = text.split_whitespace().next().and_then(|number| number.parse::<u64>().ok());
            nanoseconds += first.ok_or_else(|| io::Error::other("schedstat is in no known form"))?;
        }
        Ok(Duration::from_nanos(nanoseconds))
    }
}

/// What a process has used since it began (CPU) and holds now (memory).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// CPU time in its own code, all threads, ended ones too.
    pub user: Duration,
    /// CPU time in the kernel on its behalf.
    pub system: Duration,
    /// Resident memory, bytes.
    pub resident_bytes: u64,
    /// The anonymous part of it: heap and stacks, without mapped files.
    pub anonymous_bytes: u64,
}

impl Usage {
    /// User and system time together.
    pub fn cpu(&self) -> Duration {
        self.user + self.system
    }
}

fn usage(stat: &str, status: &str) -> Option<Usage> {
    // The command stands in parentheses and may hold anything; what follows it is numbers.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks =
        || Some(Duration::from_secs_f64(fields.next()?.parse::<u32>().ok().map(f64::from)? / ticks_per_s()));
    let (user, system) = (ticks()?, ticks()?);
    let kilobytes = |key: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()
    };
    let resident_bytes = kilobytes("VmRSS:")? * 1_024;
    Some(Usage { user, system, resident_bytes, anonymous_bytes: kilobytes("RssAnon:")? * 1_024 })
}

fn ticks_per_s() -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "it is 100 on every Linux in use")]
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    ticks
}

/// What the kernel holds for TCP sockets of the whole machine, both ends of loopback connections included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelSockets {
    /// TCP sockets.
    pub sockets: u64,
    /// Their send and receive buffers, bytes.
    pub buffer_bytes: u64,
    /// All the kernel's objects (`Slab` of `/proc/meminfo`), bytes: sockets, files and entries of epoll are among them.
    pub slab_bytes: u64,
}

impl KernelSockets {
    /// Reads `/proc/net/sockstat` and `/proc/meminfo`.
    pub fn read() -> io::Result<Self> {
        let sockstat = fs::read_to_string("/proc/net/sockstat")?;
        let meminfo = fs::read_to_string("/proc/meminfo")?;
        kernel_sockets(&sockstat, &meminfo).ok_or_else(|| io::Error::other("sockstat or meminfo is in no known form"))
    }
}

fn kernel_sockets(sockstat: &str, meminfo: &str) -> Option<KernelSockets> {
    let words: Vec<&str> = sockstat.lines().find_map(|line| line.strip_prefix("TCP:"))?.split_whitespace().collect();
    let value = |key: &str| -> Option<u64> {
        words.chunks_exact(2).find(|pair| pair[0] == key).and_then(|pair| pair[1].parse().ok())
    };
    let slab = meminfo.lines().find_map(|line| line.strip_prefix("Slab:"))?;
    Some(KernelSockets {
        sockets: value("alloc")?,
        buffer_bytes: value("mem")? * u64::try_from(rustix::param::page_size()).ok()?,
        slab_bytes: slab.trim().trim_end_matches("kB").trim().parse::<u64>().ok()? * 1_024,
    })
}

/// The process that listens on TCP `port`.
fn listener_of(port: u16) -> io::Result<u32> {
    let mut inodes = HashSet::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        match fs::read_to_string(table) {
            Ok(text) => inodes.extend(text.lines().filter_map(|line| listening_inode(line, port)).map(str::to_owned)),
            // A machine without IPv6 has no second table.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    let not_found = || io::Error::new(io::ErrorKind::NotFound, format!("nobody listens on port {port}"));
    if inodes.is_empty() {
        return Err(not_found());
    }
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // Other users' processes cannot be looked into, and some end meanwhile.
        let Ok(files) = fs::read_dir(entry.path().join("fd")) else { continue };
        for file in files.flatten() {
            let Ok(link) = fs::read_link(file.path()) else { continue };
            let inode = link.to_str().and_then(|link| link.strip_prefix("socket:[")?.strip_suffix(']'));
            if inode.is_some_and(|inode| inodes.contains(inode)) {
                return Ok(pid);
            }
        }
    }
    let hidden = format!("the process that listens on port {port} belongs to another user");
    Err(io::Error::new(io::ErrorKind::PermissionDenied, hidden))
}

/// The inode of a line of `/proc/net/tcp`, if it listens on `port`.
fn listening_inode(line: &str, port: u16) -> Option<&str> {
    const LISTEN: &str = "0A";
    let fields: Vec<&str> = line.split_whitespace().collect();
    let local = fields.get(1)?.rsplit_once(':')?.1;
    let is_it = u16::from_str_radix(local, 16).ok()? == port && *fields.get(3)? == LISTEN;
    is_it.then(|| fields.get(9).copied()).flatten()
}

/// Lets this process and its children open as many files as the machine's hard limit allows; answers how many.
pub fn raise_file_limit() -> io::Result<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    }
    // Without a number there is no limit; one descriptor at least must fit the kernel's tables.
    Ok(maximum.unwrap_or(u64::from(u32::MAX)))
}

/// Whether `/proc` is the Linux kind that this module reads.
pub fn is_readable() -> bool {
    File::open("/proc/self/stat").is_ok()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_target_is_an_id_or_a_port_with_or_without_a_name() {
        let text = |text: &str| text.parse::<Target>().map(|target| target.to_string()).ok();
        assert_eq!(text("edge-a=pid:7").as_deref(), Some("edge-a=pid:7"));
        assert_eq!(text("port:6379").as_deref(), Some("port:6379=port:6379"));
        for wrong in ["", "redis", "edge=7", "pid:x", "port:70000", "=pid:1", "a=file:3"] {
            assert_eq!(text(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn the_process_behind_a_port_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let found = Process::find(&format!("me=port:{port}").parse().unwrap()).unwrap();
        assert_eq!(found.pid, std::process::id());
        assert!(found.usage().unwrap().anonymous_bytes > 0);
        drop(listener);
        let gone = Process::find(&format!("me=port:{port}").parse().unwrap()).unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn work_shows_as_cpu_time() {
        let own = Process::own("test");
        let (coarse, exact) = (own.usage().unwrap().cpu(), own.cpu_exact().unwrap());
        let mut sum = 0_u64;
        while own.usage().unwrap().cpu() < coarse + Duration::from_millis(30) {
            sum = (0..100_000).fold(sum, |sum, next| std::hint::black_box(sum ^ next));
        }
        assert!(own.cpu_exact().unwrap() > exact);
    }

    #[test]
    fn a_command_with_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a) b) (c) S 1 7 7 0 -1 4194304 100 0 0 0 250 125 0 0 20 0 1 0 100 0 0";
        let status = "Name:\ta) b\nVmRSS:\t    2048 kB\nRssAnon:\t     512 kB\n";
        let usage = usage(stat, status).unwrap();
        assert_eq!(usage.cpu(), Duration::from_millis(3_750));
        assert_eq!((usage.resident_bytes, usage.anonymous_bytes), (2_048 * 1_024, 512 * 1_024));
    }

    #[test]
    fn the_kernels_memory_for_sockets_is_read() {
        let sockstat = "sockets: used 17\nTCP: inuse 1 orphan 0 tw 0 alloc 12 mem 3\nUDP: inuse 0 mem 9\n";
        let read = kernel_sockets(sockstat, "MemTotal: 1 kB\nSlab:  4 kB\n").unwrap();
        let page = u64::try_from(rustix::param::page_size()).unwrap();
        assert_eq!(read, KernelSockets { sockets: 12, buffer_bytes: 3 * page, slab_bytes: 4_096 });
        assert!(KernelSockets::read().is_ok());
    }
}
