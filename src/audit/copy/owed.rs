//! Which records are still to be copied, as ranges of their numbers: bounded, however long writing fails.

use std::collections::BTreeMap;

/// How many ranges are told apart. Beyond, neighbours become one, and what another process wrote between them is
/// copied too.
const RANGES: usize = 4096;

/// Ranges of numbers, none touching another.
#[derive(Default)]
pub(super) struct Owed(BTreeMap<i64, i64>);

impl Owed {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first range.
    pub(super) fn next(&self) -> Option<(i64, i64)> {
        self.0
            .first_key_value()
            .map(|(first, last)| (*first, *last))
    }

    pub(super) fn add(&mut self, mut first: i64, mut last: i64) {
        let touching = self.0.range(..=last.saturating_add(1)).rev();
        let touching = touching.take_while(|(_, end)| end.saturating_add(1) >= first);
        let touching: Vec<(i64, i64)> = touching.map(|(first, last)| (*first, *last)).collect();
        for (begin, end) in touching {
            self.0.remove(&begin);
            first = first.min(begin);
            last = last.max(end);
        }
        self.0.insert(first, last);
        if self.0.len() > RANGES
            && let Some((begin, _)) = self.0.pop_first()
            && let Some((_, end)) = self.0.pop_first()
        {
            self.0.insert(begin, end);
        }
    }

    /// All up to `last` was written.
    pub(super) fn paid(&mut self, last: i64) {
        let rest = self.0.split_off(&last.saturating_add(1));
        let cut = self.0.last_key_value().map(|(_, end)| *end);
        self.0 = rest;
        if let Some(end) = cut.filter(|end| *end > last) {
            self.0.insert(last + 1, end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(owed: &Owed) -> Vec<(i64, i64)> {
        owed.0.iter().map(|(first, last)| (*first, *last)).collect()
    }

    #[test]
    fn ranges_that_touch_are_one_and_what_is_paid_goes() {
        let mut owed = Owed::default();
        for (first, last) in [(10, 12), (1, 3), (20, 20), (13, 14), (4, 4), (21, 25)] {
            owed.add(first, last);
        }
        assert_eq!(ranges(&owed), [(1, 4), (10, 14), (20, 25)]);
        owed.add(2, 11);
        assert_eq!(ranges(&owed), [(1, 14), (20, 25)]);
        owed.paid(5);
        assert_eq!(ranges(&owed), [(6, 14), (20, 25)]);
        owed.paid(14);
        assert_eq!(owed.next(), Some((20, 25)));
        owed.paid(30);
        assert!(owed.is_empty());
    }

    #[test]
    fn however_many_there_are_the_memory_is_bounded_and_none_is_lost() {
        let mut owed = Owed::default();
        for at in 0..20_000 {
            owed.add(at * 2, at * 2);
        }
        let ranges = ranges(&owed);
        assert_eq!(ranges.len(), RANGES);
        let covered = |seq: i64| {
            ranges
                .iter()
                .any(|(first, last)| (*first..=*last).contains(&seq))
        };
        assert!((0..20_000).all(|at| covered(at * 2)));
    }
}
