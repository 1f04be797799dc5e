//! What happens, written down once for the log and told to the oracle.

use std::{cell::RefCell, fmt::Write, rc::Rc, time::Duration};

use crate::oracle::{Event, Oracle, Reader, Violation};

/// Shared by everything that takes part. Cloning gives another handle.
#[derive(Clone, Default)]
pub struct Journal(Rc<RefCell<Written>>);

#[derive(Default)]
struct Written {
    oracle: Oracle,
    log: String,
    next_id: u64,
    /// Of the director, who stands outside every host.
    outside: Duration,
}

impl Journal {
    /// An event, now.
    pub fn tell(&self, event: Event) {
        let mut written = self.0.borrow_mut();
        let now = turmoil::sim_elapsed().unwrap_or(written.outside);
        let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        // Writing to a String does not fail.
        let _ = writeln!(written.log, "{now_ms:>6} {event:?}");
        written.oracle.see(now_ms, &event);
    }

    /// Moves the director's clock.
    pub fn set_time(&self, elapsed: Duration) {
        self.0.borrow_mut().outside = elapsed;
    }

    /// A name for a new message; later ones are greater.
    pub fn next_id(&self) -> u64 {
        let mut written = self.0.borrow_mut();
        written.next_id += 1;
        written.next_id
    }

    /// The oracle's last word.
    pub fn audit(&self, standing: &[(Reader, &str)]) {
        let mut written = self.0.borrow_mut();
        let now_ms = u64::try_from(written.outside.as_millis()).unwrap_or(u64::MAX);
        written.oracle.audit(now_ms, standing);
    }

    /// What was broken.
    pub fn violations(&self) -> Vec<Violation> {
        self.0.borrow().oracle.violations().to_vec()
    }

    /// Whether something was broken.
    pub fn is_clean(&self) -> bool {
        self.0.borrow().oracle.violations().is_empty()
    }

    /// Everything that was told, a line each.
    pub fn log(&self) -> String {
        self.0.borrow().log.clone()
    }

    /// Counts.
    pub fn summary(&self) -> String {
        self.0.borrow().oracle.summary()
    }
}
