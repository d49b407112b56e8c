//! How often a provider was asked for new tokens, and how it answered.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::oidc::OidcError;

/// Counters of one provider since the process started.
#[derive(Debug, Default)]
pub(in crate::flow) struct Refreshes {
    answered: AtomicU64,
    refused: AtomicU64,
    away: AtomicU64,
}

impl Refreshes {
    pub(super) fn count<T>(&self, answer: &Result<T, OidcError>) {
        let count = match answer {
            Ok(_) => &self.answered,
            Err(error) if error.is_transient() => &self.away,
            Err(_) => &self.refused,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// Each outcome with how often it was.
    pub(in crate::flow) fn read(&self) -> [(&'static str, u64); 3] {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        [
            ("answered", load(&self.answered)),
            ("refused", load(&self.refused)),
            ("away", load(&self.away)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_counts_once() {
        let refreshes = Refreshes::default();
        refreshes.count(&Ok(()));
        refreshes.count::<()>(&Err(OidcError::TimedOut));
        refreshes.count::<()>(&Err(OidcError::Authorities("none".to_owned())));
        assert_eq!(
            refreshes.read(),
            [("answered", 1), ("refused", 1), ("away", 1)]
        );
    }
}
