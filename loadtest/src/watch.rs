//! Looks at processes once a second while a run goes on.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tickwire_protocol::time::now_ms;

use crate::{
    processes::{KernelSockets, Process, Target, Usage},
    record::{KernelSample, ProcessSample, ProcessSeries},
};

const INTERVAL: Duration = Duration::from_secs(1);
/// How soon the end of a run is noticed.
const STEP: Duration = Duration::from_millis(50);
/// Samples kept of each process; at this many every second one goes and looks become half as frequent.
const SAMPLES_MAX: usize = 7_200;

/// Processes under watch, on a thread of its own.
#[derive(Debug)]
pub struct Watch {
    ended: Arc<AtomicBool>,
    thread: JoinHandle<Observed>,
}

/// What was seen. Times are milliseconds since the Unix epoch until [`Observed::since`] shifts them.
#[derive(Debug, Default)]
pub struct Observed {
    /// Each process.
    pub processes: Vec<ProcessSeries>,
    /// The machine's kernel.
    pub kernel: Vec<KernelSample>,
}

impl Observed {
    /// The same with times counted from a run's start; what was seen before it is left out.
    #[must_use]
    pub fn since(mut self, started_at_ms: u64) -> Self {
        let shift = |at_ms: &mut u64| at_ms.checked_sub(started_at_ms).map(|since| *at_ms = since).is_some();
        for process in &mut self.processes {
            process.samples.retain_mut(|sample| shift(&mut sample.at_ms));
        }
        self.kernel.retain_mut(|sample| shift(&mut sample.at_ms));
        self
    }
}

impl Watch {
    /// Finds all `targets` and begins. An error where one is not there.
    pub fn begin(targets: &[Target]) -> io::Result<Self> {
        let watched = targets
            .iter()
            .map(|target| {
                Watched::find(target).map_err(|error| io::Error::new(error.kind(), format!("{target}: {error}")))
            })
            .collect::<io::Result<Vec<_>>>()?;
        let ended = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&ended);
        let thread = thread::Builder::new().name("watch".into()).spawn(move || observe(watched, &stop))?;
        Ok(Self { ended, thread })
    }

    /// Ends and answers what was seen.
    pub fn end(self) -> Observed {
        self.ended.store(true, Relaxed);
        // A watch that panicked has seen nothing that could be used.
        self.thread.join().unwrap_or_default()
    }
}

#[derive(Debug)]
struct Watched {
    target: Target,
    process: Process,
    before: (Instant, Usage),
    series: ProcessSeries,
}

impl Watched {
    fn find(target: &Target) -> io::Result<Self> {
        let process = Process::find(target)?;
        let before = (Instant::now(), process.usage()?);
        let series = ProcessSeries { name: process.name.clone(), pid: process.pid, samples: Vec::new() };
        Ok(Self { target: target.clone(), process, before, series })
    }

    /// One look. A process that has ended is looked for again: a restarted one continues its series, with nothing for
    /// the time between.
    fn look(&mut self, at_ms: u64) {
        let Ok(usage) = self.process.usage() else {
            if let Ok(again) = Self::find(&self.target) {
                (self.process, self.before) = (again.process, again.before);
            }
            return;
        };
        let now = Instant::now();
        let (then, before) = std::mem::replace(&mut self.before, (now, usage));
        let cores = |from: Duration, to: Duration| {
            to.saturating_sub(from).as_secs_f64() / now.duration_since(then).as_secs_f64().max(0.001)
        };
        self.series.samples.push(ProcessSample {
            at_ms,
            cpu_cores: cores(before.cpu(), usage.cpu()),
            cpu_kernel_cores: cores(before.system, usage.system),
            rss_bytes: usage.resident_bytes,
            anonymous_bytes: usage.anonymous_bytes,
        });
    }
}

fn observe(mut watched: Vec<Watched>, ended: &AtomicBool) -> Observed {
    let mut kernel: Vec<KernelSample> = Vec::new();
    let mut interval = INTERVAL;
    let mut due = Instant::now();
    loop {
        let is_last = ended.load(Relaxed);
        if !is_last && Instant::now() < due {
            thread::sleep(STEP.min(due.saturating_duration_since(Instant::now())));
            continue;
        }
        due += interval;
        let at_ms = now_ms();
        for watched in &mut watched {
            watched.look(at_ms);
        }
        // Machines without these files have no such plot.
        if let Ok(KernelSockets { sockets, buffer_bytes, slab_bytes }) = KernelSockets::read() {
            kernel.push(KernelSample { at_ms, sockets, buffer_bytes, slab_bytes });
        }
        if kernel.len() >= SAMPLES_MAX {
            interval *= 2;
            thin(&mut kernel);
            for watched in &mut watched {
                join_pairs(&mut watched.series.samples);
            }
        }
        if is_last {
            let processes = watched.into_iter().map(|watched| watched.series).collect();
            return Observed { processes, kernel };
        }
    }
}

fn thin(samples: &mut Vec<KernelSample>) {
    let mut keep = false;
    samples.retain(|_| {
        keep = !keep;
        keep
    });
}

/// Two neighbours become one: the second's level, the mean of their rates.
fn join_pairs(samples: &mut Vec<ProcessSample>) {
    *samples = samples
        .chunks(2)
        .map(|pair| {
            let (first, last) = (pair[0], pair[pair.len() - 1]);
            ProcessSample {
                cpu_cores: f64::midpoint(first.cpu_cores, last.cpu_cores),
                cpu_kernel_cores: f64::midpoint(first.cpu_kernel_cores, last.cpu_kernel_cores),
                ..last
            }
        })
        .collect();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watched_process_shows_its_work_and_memory() {
        let target: Target = format!("me=pid:{}", std::process::id()).parse().unwrap();
        let started_at_ms = now_ms();
        let watch = Watch::begin(&[target]).unwrap();
        let own = Process::own("me");
        let begun = own.usage().unwrap().cpu();
        // The kernel counts in steps of 10 ms, and a busy machine gives less than wall time.
        while own.usage().unwrap().cpu() < begun + Duration::from_millis(50) {
            std::hint::black_box(begun);
        }
        let observed = watch.end().since(started_at_ms);
        let me = &observed.processes[0];
        assert_eq!((me.name.as_str(), me.pid), ("me", std::process::id()));
        assert!(me.samples.iter().any(|sample| sample.cpu_cores > 0.0), "{me:?}");
        let last = me.samples.last().unwrap();
        assert!(last.anonymous_bytes > 0 && last.rss_bytes >= last.anonymous_bytes);
        assert_eq!(observed.kernel.len(), me.samples.len());
    }

    #[test]
    fn a_process_that_is_not_there_is_named() {
        let error = Watch::begin(&["edge=pid:4294967295".parse().unwrap()]).unwrap_err();
        assert!(error.to_string().starts_with("edge=pid:4294967295: "), "{error}");
    }

    #[test]
    fn long_runs_keep_their_mean() {
        let sample = |at_ms, cpu_cores| ProcessSample {
            at_ms,
            cpu_cores,
            cpu_kernel_cores: 0.0,
            rss_bytes: at_ms,
            anonymous_bytes: 0,
        };
        let mut samples = vec![sample(1, 1.0), sample(2, 0.0), sample(3, 0.5)];
        join_pairs(&mut samples);
        assert_eq!(samples, [sample(2, 0.5), sample(3, 0.5)]);
    }
}
