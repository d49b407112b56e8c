//! Looking through the audit: what is found, and that pages join.

use std::sync::Arc;

use chrono::TimeDelta;

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

#[tokio::test]
async fn every_filter_finds_its_own_and_pages_join() {
    let bench = Bench::new();
    let store = filled(&bench).await;
    let all = page(&store, &AuditFilter::default(), 0, 1000)
        .await
        .unwrap();
    assert_eq!((all.records.len(), all.next), (60, None));
    let at = |record: &Record| -> chrono::DateTime<chrono::Utc> {
        record.fields()["at"].as_str().unwrap().parse().unwrap()
    };
    let text = |record: &Record, pointer: &str| {
        let value = Value::Object(record.fields());
        value
            .pointer(pointer)
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    let (from, to) = (bench.at(5), bench.at(40));
    let users = |record: &Record| text(record, "/person/user").or(text(record, "/user"));
    let idps = |record: &Record| text(record, "/person/idp").or(text(record, "/idp"));
    type Means<'a> = Box<dyn Fn(&Record) -> bool + 'a>;
    let default = AuditFilter::default;
    let cases: Vec<(AuditFilter, Means<'_>)> = vec![
        (default(), Box::new(|_| true)),
        (
            AuditFilter {
                from: Some(from),
                ..default()
            },
            Box::new(|one| at(one) >= from),
        ),
        (
            AuditFilter {
                to: Some(to),
                ..default()
            },
            Box::new(|one| at(one) < to),
        ),
        (
            AuditFilter {
                from: Some(from),
                to: Some(to),
                ..default()
            },
            Box::new(|one| at(one) >= from && at(one) < to),
        ),
        (
            AuditFilter {
                kinds: ["alarm"].into(),
                ..default()
            },
            Box::new(|one| one.kind == "alarm"),
        ),
        (
            AuditFilter {
                kinds: ["alarm", "decision"].into(),
                from: Some(from),
                ..default()
            },
            Box::new(|one| one.kind != "sign_in_accepted" && at(one) >= from),
        ),
        (
            AuditFilter {
                user: Some("ann".parse().unwrap()),
                ..default()
            },
            Box::new(|one| users(one).as_deref() == Some("ann")),
        ),
        (
            AuditFilter {
                idp: Some("okta".parse().unwrap()),
                ..default()
            },
            Box::new(|one| idps(one).as_deref() == Some("okta")),
        ),
        (
            AuditFilter {
                user: Some("ann".parse().unwrap()),
                idp: Some("entra".parse().unwrap()),
                kinds: ["decision"].into(),
                to: Some(to),
                ..default()
            },
            Box::new(|one| {
                users(one).as_deref() == Some("ann")
                    && idps(one).as_deref() == Some("entra")
                    && one.kind == "decision"
                    && at(one) < to
            }),
        ),
        (
            AuditFilter {
                from: Some(bench.at(90_000)),
                ..default()
            },
            Box::new(|_| false),
        ),
    ];
    for (filter, means) in cases {
        let meant = all.records.iter().filter(|one| means(one));
        let meant: Vec<i64> = meant.map(|one| one.seq).collect();
        for limit in [1, 2, 7, 100] {
            assert_eq!(
                walked(&store, &filter, limit).await,
                meant,
                "{filter:?} by {limit}"
            );
        }
        let mut pages = export(&store, filter, Some(30));
        let mut exported = Vec::new();
        loop {
            let page = pages.next_page().await.unwrap();
            if page.is_empty() {
                break;
            }
            exported.extend(page.into_iter().map(|one| one.seq));
        }
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
