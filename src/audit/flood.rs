//! Floods: what a stranger, or a job that never stops asking, may leave in the audit.
//!
//! Of refusals of one kind, from one address, lease or caller, for one reason, the first twenty in a minute are
//! recorded one by one and the rest are counted; a minute later one event says how many there were. While it goes on
//! there is that one event a minute. All refusals together are recorded one by one a thousand times a minute, and
//! at most ten thousand senders are told apart; beyond that is one common count, and what could not be recorded is
//! another, which comes once it can. What a provider signed is counted by
//! itself, with more room: few have any, but one is enough to be sent again and again. The time is handed in.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

use super::{Event, EventKind};
use crate::model::{LeaseId, Person, network};

/// How many are recorded one by one in a minute.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Of a sender.
    one_by_one: u32,
    /// Of all senders together.
    of_all: u32,
}

/// Of what anybody can send.
pub(super) const ANYBODYS: Bounds = Bounds {
    one_by_one: 20,
    of_all: 1000,
};
/// Of what a provider signed.
pub(super) const SIGNED: Bounds = Bounds {
    one_by_one: 200,
    of_all: 5000,
};
/// How many senders are told apart.
const SENDERS: usize = 10_000;
const MINUTE: TimeDelta = TimeDelta::minutes(1);

/// Counts refusals.
pub(super) struct Flood {
    bounds: Bounds,
    counts: Mutex<Counts>,
}

struct Counts {
    windows: HashMap<Key, Window>,
    /// What nobody is told apart by any more.
    common: Count,
    /// What was to be recorded and could not be.
    lost: Count,
    since: DateTime<Utc>,
    one_by_one: u32,
}

/// What makes refusals alike.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    kind: EventKind,
    code: &'static str,
    lease: Option<LeaseId>,
    address: Option<IpAddr>,
    person: Option<Person>,
    by: Option<String>,
}

impl Key {
    /// Of a lease the lease alone counts, wherever it is used; else the address, else who asked.
    fn of(event: &Event, code: &'static str) -> Self {
        let mut key = Self {
            kind: event.kind,
            code,
            lease: event.lease.clone(),
            address: None,
            person: None,
            by: None,
        };
        if key.lease.is_some() {
            return key;
        }
        key.address = event.address.map(network);
        if key.address.is_none() {
            key.person.clone_from(&event.person);
            key.by.clone_from(&event.by);
        }
        key
    }

    fn event(&self, count: Count) -> Event {
        Event {
            counted_kind: Some(self.kind),
            lease: self.lease.clone(),
            address: self.address,
            person: self.person.clone(),
            by: self.by.clone(),
            reason: Some(self.code.to_owned()),
            ..count.event()
        }
    }
}

struct Window {
    since: DateTime<Utc>,
    one_by_one: u32,
    count: Count,
}

/// Refusals that were counted.
#[derive(Clone, Copy, Default)]
struct Count {
    number: u64,
    first: Option<DateTime<Utc>>,
    last: Option<DateTime<Utc>>,
}

impl Count {
    fn add(&mut self, now: DateTime<Utc>) {
        self.put(Self {
            number: 1,
            first: Some(now),
            last: Some(now),
        });
    }

    /// Takes in what was counted elsewhere.
    fn put(&mut self, other: Self) {
        self.number = self.number.saturating_add(other.number);
        self.first = self.first.into_iter().chain(other.first).min();
        self.last = self.last.max(other.last);
    }

    /// Those that `event` stands for: itself, unless it is a sum.
    fn of(event: &Event, at: DateTime<Utc>) -> Self {
        Self {
            number: event.count.unwrap_or(1),
            first: event.first_at.or(Some(at)),
            last: event.last_at.or(Some(at)),
        }
    }

    /// Takes out what it holds, if anything, once a minute has gone by since the first; with `all` before.
    fn take_due(&mut self, now: DateTime<Utc>, all: bool) -> Option<Event> {
        let is_due = self.first.is_some_and(|first| all || is_over(first, now));
        is_due.then(|| std::mem::take(self).event())
    }

    fn event(self) -> Event {
        Event {
            count: Some(self.number),
            first_at: self.first,
            last_at: self.last,
            ..Event::new(EventKind::RefusalsCounted)
        }
    }
}

impl Flood {
    /// Nothing counted, at `now`.
    pub(super) fn new(bounds: Bounds, now: DateTime<Utc>) -> Self {
        Self {
            bounds,
            counts: Mutex::new(Counts {
                windows: HashMap::new(),
                common: Count::default(),
                lost: Count::default(),
                since: now,
                one_by_one: 0,
            }),
        }
    }

    /// Whether `event` is recorded; else it was counted.
    pub(super) fn admits(&self, event: &Event, code: &'static str, now: DateTime<Utc>) -> bool {
        let mut counts = self.locked();
        if is_over(counts.since, now) {
            (counts.since, counts.one_by_one) = (now, 0);
        }
        let (room, senders) = (counts.one_by_one < self.bounds.of_all, counts.windows.len());
        let key = Key::of(event, code);
        let Some(window) = counts.windows.get_mut(&key) else {
            if !room || senders >= SENDERS {
                counts.common.add(now);
                return false;
            }
            let window = Window {
                since: now,
                one_by_one: 1,
                count: Count::default(),
            };
            counts.windows.insert(key, window);
            counts.one_by_one += 1;
            return true;
        };
        if !room || window.one_by_one >= self.bounds.one_by_one {
            window.count.add(now);
            return false;
        }
        window.one_by_one += 1;
        counts.one_by_one += 1;
        true
    }

    /// Counts what was to be recorded `at` a time and could not be: a refusal, or a sum of them.
    pub(super) fn lost(&self, event: &Event, at: DateTime<Utc>) {
        self.locked().lost.put(Count::of(event, at));
    }

    /// The events of counts whose minute is over; with `all` of the others too.
    pub(super) fn due(&self, now: DateTime<Utc>, all: bool) -> Vec<Event> {
        let mut counts = self.locked();
        let mut events = Vec::new();
        counts.windows.retain(|key, window| {
            if !all && !is_over(window.since, now) {
                return true;
            }
            if window.count.number == 0 {
                return false;
            }
            events.push(key.event(window.count));
            // It goes on: the next minute is counted from its first on.
            window.since = now;
            window.one_by_one = self.bounds.one_by_one;
            window.count = Count::default();
            true
        });
        let common = counts.common.take_due(now, all);
        let lost = counts.lost.take_due(now, all);
        for (sum, code) in [(common, "many_senders"), (lost, "not_written")] {
            events.extend(sum.map(|sum| Event {
                reason: Some(code.to_owned()),
                ..sum
            }));
        }
        events
    }

    fn locked(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A clock that was set back ends the minute too.
fn is_over(since: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    now >= since + MINUTE || now < since
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{FixedClock, OsEntropy};

    fn at(seconds: i64) -> DateTime<Utc> {
        "2026-01-02T03:04:05Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::seconds(seconds)
    }

    fn from(address: &str) -> Event {
        Event {
            address: Some(address.parse().unwrap()),
            ..Event::new(EventKind::SignInRefused)
        }
    }

    fn admitted(flood: &Flood, event: &Event, code: &'static str, now: i64, times: usize) -> usize {
        let admitted = (0..times).filter(|_| flood.admits(event, code, at(now)));
        admitted.count()
    }

    #[test]
    fn the_first_are_recorded_and_the_rest_are_one_event_a_minute() {
        let flood = Flood::new(ANYBODYS, at(0));
        let event = from("192.0.2.1");
        assert_eq!(admitted(&flood, &event, "signature_invalid", 0, 500), 20);
        assert_eq!(admitted(&flood, &event, "signature_invalid", 30, 500), 0);
        assert_eq!(
            admitted(&flood, &event, "audience", 30, 5),
            5,
            "another reason"
        );
        let other = from("192.0.2.2");
        assert_eq!(admitted(&flood, &other, "signature_invalid", 30, 5), 5);
        assert!(flood.due(at(59), false).is_empty());
        let due = flood.due(at(60), false);
        assert_eq!(due.len(), 1);
        assert_eq!(due[0].count, Some(980));
        assert_eq!(due[0].first_at, Some(at(0)));
        assert_eq!(due[0].last_at, Some(at(30)));
        assert_eq!(due[0].address, event.address);
        assert_eq!(due[0].counted_kind, Some(EventKind::SignInRefused));
        assert_eq!(due[0].reason.as_deref(), Some("signature_invalid"));
        // While it goes on, none is recorded one by one.
        assert_eq!(admitted(&flood, &event, "signature_invalid", 61, 100), 0);
        assert_eq!(flood.due(at(120), false)[0].count, Some(100));
        // After a quiet minute they are again.
        assert!(flood.due(at(180), false).is_empty());
        assert_eq!(admitted(&flood, &event, "signature_invalid", 181, 100), 20);
        assert_eq!(flood.due(at(182), true)[0].count, Some(80), "at the end");
    }

    #[test]
    fn an_ipv6_network_is_one_sender_and_a_lease_is_one_wherever_it_is_used() {
        let flood = Flood::new(ANYBODYS, at(0));
        let near = (0..100)
            .filter(|host| flood.admits(&from(&format!("2001:db8::{host:x}")), "markup", at(0)));
        assert_eq!(near.count(), 20);
        assert!(flood.admits(&from("2001:db8:0:1::1"), "markup", at(0)));
        let due = flood.due(at(60), false);
        assert_eq!(due[0].address, Some("2001:db8::".parse().unwrap()));

        let mut lease = Event::new(EventKind::FetchRefused);
        let clock = FixedClock::new(at(0));
        lease.lease = Some(LeaseId::fresh(&clock, &OsEntropy));
        assert_eq!(admitted(&flood, &lease, "revoked", 60, 50), 20);
        lease.address = Some("192.0.2.9".parse().unwrap());
        assert_eq!(admitted(&flood, &lease, "revoked", 60, 50), 0);
    }

    #[test]
    fn many_senders_cost_neither_memory_nor_records() {
        let flood = Flood::new(ANYBODYS, at(0));
        let sender = |n: u32| from(&Ipv4(n).to_string());
        let recorded = (0..50_000).filter(|n| flood.admits(&sender(*n), "markup", at(0)));
        assert_eq!(recorded.count(), 1000);
        assert!(flood.locked().windows.len() <= SENDERS);
        let due = flood.due(at(60), false);
        assert_eq!(due.len(), 1, "one common count");
        assert_eq!(due[0].count, Some(49_000));
        assert_eq!(due[0].address, None);
        assert!(flood.locked().windows.is_empty());
        assert!(flood.admits(&sender(1), "markup", at(60)));
    }

    #[test]
    fn what_was_signed_has_more_room_and_no_endless_one() {
        let flood = Flood::new(SIGNED, at(0));
        let event = from("192.0.2.1");
        assert_eq!(admitted(&flood, &event, "replayed", 0, 10_000), 200);
        assert_eq!(admitted(&flood, &from("192.0.2.2"), "replayed", 0, 9), 9);
        let due = flood.due(at(60), false);
        assert_eq!(due[0].count, Some(9800));
        assert_eq!(admitted(&flood, &event, "replayed", 61, 100), 0);
    }

    #[test]
    fn what_could_not_be_recorded_is_counted_with_the_sums_among_it() {
        let flood = Flood::new(ANYBODYS, at(0));
        let event = from("192.0.2.1");
        flood.lost(&event, at(10));
        let sum = Event {
            count: Some(980),
            first_at: Some(at(1)),
            last_at: Some(at(5)),
            ..Event::new(EventKind::RefusalsCounted)
        };
        flood.lost(&sum, at(60));
        assert!(flood.due(at(60), false).is_empty());
        let due = flood.due(at(61), false);
        assert_eq!(due.len(), 1);
        assert_eq!(due[0].reason.as_deref(), Some("not_written"));
        let told = (due[0].count, due[0].first_at, due[0].last_at);
        assert_eq!(told, (Some(981), Some(at(1)), Some(at(10))));
        assert!(flood.due(at(200), true).is_empty(), "once");
    }

    #[test]
    fn a_clock_that_is_set_back_stops_nothing() {
        let flood = Flood::new(ANYBODYS, at(1000));
        let event = from("192.0.2.1");
        assert_eq!(admitted(&flood, &event, "markup", 1000, 30), 20);
        assert_eq!(flood.due(at(0), false)[0].count, Some(10));
        assert!(flood.due(at(60), false).is_empty());
        assert_eq!(admitted(&flood, &event, "markup", 61, 30), 20);
    }

    struct Ipv4(u32);

    impl std::fmt::Display for Ipv4 {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            std::net::Ipv4Addr::from(self.0 + 0x0a00_0000).fmt(f)
        }
    }
}
