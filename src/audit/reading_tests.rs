//! Looking through the audit: what is found, and that pages join.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::*;
use crate::audit::{Event, EventKind, Recorder};
use crate::model::{Clock, FixedClock};
use crate::store::testing::{Bench, person};

/// Sixty records, a second apart but for one whose clock is an hour ahead and one whose clock is an hour behind.
async fn filled(bench: &Bench) -> Store {
    let store = bench.open().await;
    let start = bench.clock.now();
    for n in 0..60_i64 {
        let off = match n {
            10 => 3600,
            50 => -3600,
            _ => 0,
        };
        let at = start + TimeDelta::seconds(n + off);
        let recorder = Recorder::start(store.clone(), Arc::new(FixedClock::new(at)));
        let kind = match n % 3 {
            0 => EventKind::SignInAccepted,
            1 => EventKind::Decision,
            _ => EventKind::Alarm,
        };
        let mut event = Event::new(kind);
        match n % 4 {
            0 => event.person = Some(person("okta", "ann")),
            1 => event.person = Some(person("entra", "ann")),
            2 => event.user = Some("bob".parse().unwrap()),
            _ => event.idp = Some("okta".parse().unwrap()),
        }
        recorder.record(event).await.unwrap();
    }
    store
}

/// All that `filter` means, by pages of `limit`.
async fn walked(store: &Store, filter: &AuditFilter, limit: u32) -> Vec<i64> {
    let (mut found, mut after, mut pages) = (Vec::new(), 0, 0);
    loop {
        let next = page(store, filter, after, limit).await.unwrap();
        assert!(next.records.len() <= usize::try_from(limit).unwrap());
        found.extend(next.records.iter().map(|record| record.seq));
        pages += 1;
        assert!(pages < 100, "it does not end");
        match next.next {
            None => return found,
            Some(seq) => {
                assert!(seq > after);
                after = seq;
            }
        }
    }
}

fn at(record: &Record) -> DateTime<Utc> {
    let fields = record.fields();
    fields["at"].as_str().unwrap().parse().unwrap()
}

/// A name that the record says, of its person or by itself.
fn says(record: &Record, name: &str) -> Option<String> {
    let fields = Value::Object(record.fields());
    let of_person = fields.pointer(&format!("/person/{name}"));
    let said = of_person.or(fields.get(name))?;
    Some(said.as_str()?.to_owned())
}

fn with(change: impl FnOnce(&mut AuditFilter)) -> AuditFilter {
    let mut filter = AuditFilter::default();
    change(&mut filter);
    filter
}

/// Whether `filter` means the record, by what the record itself says.
fn means(filter: &AuditFilter, record: &Record) -> bool {
    let at = at(record);
    let user = filter.user.as_ref().map(ToString::to_string);
    let idp = filter.idp.as_ref().map(ToString::to_string);
    filter.from.is_none_or(|from| at >= from)
        && filter.to.is_none_or(|to| at < to)
        && (filter.kinds.is_empty() || filter.kinds.contains(record.kind.as_str()))
        && (user.is_none() || says(record, "user") == user)
        && (idp.is_none() || says(record, "idp") == idp)
}

#[tokio::test]
async fn every_filter_finds_its_own_and_pages_join() {
    let bench = Bench::new();
    let store = filled(&bench).await;
    let all = page(&store, &AuditFilter::default(), 0, 1000)
        .await
        .unwrap();
    assert_eq!((all.records.len(), all.next), (60, None));
    let (from, to) = (Some(bench.at(5)), Some(bench.at(40)));
    let cases = [
        AuditFilter::default(),
        with(|one| one.from = from),
        with(|one| one.to = to),
        with(|one| (one.from, one.to) = (from, to)),
        with(|one| one.kinds = ["alarm"].into()),
        with(|one| (one.kinds, one.from) = (["alarm", "decision"].into(), from)),
        with(|one| one.user = Some("ann".parse().unwrap())),
        with(|one| one.idp = Some("okta".parse().unwrap())),
        with(|one| {
            one.user = Some("ann".parse().unwrap());
            one.idp = Some("entra".parse().unwrap());
            one.kinds = ["decision"].into();
            one.to = to;
        }),
        with(|one| one.from = Some(bench.at(90_000))),
    ];
    for filter in cases {
        let meant = all.records.iter().filter(|one| means(&filter, one));
        let meant: Vec<i64> = meant.map(|one| one.seq).collect();
        for limit in [1, 2, 7, 100] {
            let found = walked(&store, &filter, limit).await;
            assert_eq!(found, meant, "{filter:?} by {limit}");
        }
        let mut pages = export(&store, filter, Some(30));
        let exported = pages.next_page().await.unwrap();
        assert!(pages.next_page().await.unwrap().is_empty());
        let exported: Vec<i64> = exported.iter().map(|one| one.seq).collect();
        let behind: Vec<i64> = meant.into_iter().filter(|seq| *seq > 30).collect();
        assert_eq!(exported, behind);
    }
}

#[test]
fn a_line_is_the_record_with_its_hash() {
    let record = Record {
        seq: 1,
        kind: "alarm".to_owned(),
        hash: "00ff".to_owned(),
        text: r#"{"at":"x","kind":"alarm","previous":"","seq":1}"#.to_owned(),
    };
    let line = r#"{"at":"x","kind":"alarm","previous":"","seq":1,"hash":"00ff"}"#;
    assert_eq!(record.line(), line);
    assert_eq!(serde_json::to_string(&record).unwrap(), line);
}
