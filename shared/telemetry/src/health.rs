//! Whether a service is ready, and if not, why.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The reasons why a service is not ready. Clones share them. Ready means that there is none.
#[derive(Debug, Clone, Default)]
pub struct Readiness {
    reasons: Arc<Mutex<BTreeSet<&'static str>>>,
}

impl Readiness {
    /// Ready.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds (`holds`) or takes away a reason not to be ready, such as `draining` or `backplane`.
    pub fn set(&self, reason: &'static str, holds: bool) {
        let mut reasons = self.lock();
        if holds {
            reasons.insert(reason);
        } else {
            reasons.remove(reason);
        }
    }

    /// Whether no reason holds.
    pub fn is_ready(&self) -> bool {
        self.lock().is_empty()
    }

    /// The reasons that hold, for the body of `/readyz`.
    pub fn reasons(&self) -> Vec<&'static str> {
        self.lock().iter().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<&'static str>> {
        // A set of names is whole whatever the thread that panicked was doing.
        self.reasons.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_means_that_no_reason_is_left() {
        let readiness = Readiness::new();
        let shared = readiness.clone();
        shared.set("draining", true);
        shared.set("backplane", true);
        assert!(!readiness.is_ready());
        assert_eq!(readiness.reasons(), ["backplane", "draining"]);
        shared.set("draining", false);
        shared.set("backplane", false);
        assert!(readiness.is_ready());
    }
}
