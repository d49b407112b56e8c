//! The chain, against a database in a temporary folder and somebody who edits it.

use futures_util::future::join_all;

use super::*;
use crate::audit::{Event, EventKind, Order, Recorder, by_reference, export, list, names, prune};
use crate::model::{OsEntropy, Reference};
use crate::store::AuditFilter;
use crate::store::testing::Bench;

async fn recorded(bench: &Bench, count: usize) -> (Store, Recorder) {
    let store = bench.open().await;
    let recorder = Recorder::start(store.clone(), bench.clock.clone());
    for at in 0..count {
        let mut event = Event::new(EventKind::ALL[at % EventKind::ALL.len()]);
        event.reason = Some(format!("event {at}"));
        recorder.record(event).await.unwrap();
    }
    (store, recorder)
}

#[tokio::test]
async fn a_chain_nobody_touched_is_whole_over_restarts_and_processes() {
    let bench = Bench::new();
    let (store, recorder) = recorded(&bench, 3).await;
    let (other, others) = recorded(&bench, 2).await;
    let both = (0..100).map(|n| {
        let recorder = if n % 2 == 0 { &recorder } else { &others }.clone();
        tokio::spawn(async move { recorder.record(Event::new(EventKind::Alarm)).await })
    });
    for written in join_all(both).await {
        written.unwrap().unwrap();
    }
    let whole = Verdict::Whole { records: 105 };
    assert_eq!(verify(&store).await.unwrap(), whole);
    assert_eq!(verify(&other).await.unwrap(), whole);
    drop((recorder, others));
    store.close().await;
    let store = bench.open().await;
    assert_eq!(verify(&store).await.unwrap(), whole);
}

#[tokio::test]
async fn an_empty_chain_is_whole() {
    let bench = Bench::new();
    let store = bench.open().await;
    assert_eq!(verify(&store).await.unwrap(), Verdict::Whole { records: 0 });
}

#[tokio::test]
async fn every_edit_is_named_by_its_first_record() {
    let head = 10;
    let edits = [
        ("UPDATE audit SET record = replace(record, 'event 3', 'event 9') WHERE seq = 4", Verdict::Changed { seq: 4 }),
        ("UPDATE audit SET hash = (SELECT hash FROM audit WHERE seq = 3) WHERE seq = 4", Verdict::Changed { seq: 4 }),
        ("UPDATE audit SET mac = (SELECT mac FROM audit WHERE seq = 2) WHERE seq = 1", Verdict::Changed { seq: 1 }),
        ("UPDATE audit SET at = at + 1 WHERE seq = 10", Verdict::Changed { seq: 10 }),
        ("UPDATE audit SET kind = 'alarm' WHERE seq = 2", Verdict::Changed { seq: 2 }),
        ("UPDATE audit SET reference = 'ref_x' WHERE seq = 2", Verdict::Changed { seq: 2 }),
        ("UPDATE audit SET user_name = 'bob' WHERE seq = 2", Verdict::Changed { seq: 2 }),
        ("UPDATE audit SET idp = 'okta' WHERE seq = 2", Verdict::Changed { seq: 2 }),
        ("DELETE FROM audit WHERE seq = 1", Verdict::Missing { seq: 1 }),
        ("DELETE FROM audit WHERE seq IN (5, 6)", Verdict::Missing { seq: 5 }),
        ("DELETE FROM audit WHERE seq = 5; UPDATE audit SET seq = seq - 1 WHERE seq > 5", Verdict::Missing { seq: 5 }),
        ("DELETE FROM audit WHERE seq > 7", Verdict::CutOff { after: 7, head }),
        ("UPDATE audit SET seq = 12 WHERE seq = 9", Verdict::Missing { seq: 9 }),
        ("DELETE FROM audit", Verdict::CutOff { after: 0, head }),
        ("INSERT INTO audit SELECT 0, at, kind, reference, record, hash, mac, user_name, idp FROM audit WHERE seq = 1", Verdict::Added { seq: 0 }),
        ("INSERT INTO audit SELECT 11, at, kind, reference, record, hash, mac, user_name, idp FROM audit WHERE seq = 1", Verdict::Added { seq: 11 }),
        ("INSERT INTO audit SELECT 12, at, kind, reference, record, hash, mac, user_name, idp FROM audit WHERE seq = 10", Verdict::Added { seq: 12 }),
        (
            "UPDATE audit SET seq = -seq WHERE seq >= 5; UPDATE audit SET seq = 1 - seq WHERE seq < 0;
             INSERT INTO audit SELECT 5, at, kind, reference, record, hash, mac, user_name, idp FROM audit WHERE seq = 2",
            Verdict::Added { seq: 5 },
        ),
        (
            "UPDATE audit SET seq = -seq WHERE seq >= 5; UPDATE audit SET seq = 1 - seq WHERE seq < 0;
             INSERT INTO audit SELECT 5, 0, 'alarm', NULL, '{}', hash, mac, NULL, NULL FROM audit WHERE seq = 1",
            Verdict::Added { seq: 5 },
        ),
        (
            "UPDATE audit SET seq = -1 WHERE seq = 5; UPDATE audit SET seq = 5 WHERE seq = 6; UPDATE audit SET seq = 6 WHERE seq = -1",
            Verdict::Missing { seq: 5 },
        ),
    ];
    for (sql, verdict) in edits {
        let bench = Bench::new();
        let (store, _recorder) = recorded(&bench, 10).await;
        let whole = verify(&store).await.unwrap();
        assert_eq!(whole, Verdict::Whole { records: head });
        bench.tamper(sql).await;
        assert_eq!(verify(&store).await.unwrap(), verdict, "{sql}");
    }
}

#[tokio::test]
async fn a_flipped_byte_anywhere_in_a_record_is_named() {
    let bench = Bench::new();
    let (store, _recorder) = recorded(&bench, 3).await;
    let text = bench.audit_text(2).await;
    for at in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[at] ^= 1;
        let Ok(flipped) = String::from_utf8(bytes) else {
            continue;
        };
        bench.put_audit_text(2, &flipped).await;
        let verdict = verify(&store).await.unwrap();
        assert_eq!(verdict, Verdict::Changed { seq: 2 }, "byte {at}");
    }
    bench.put_audit_text(2, &text).await;
    assert_eq!(verify(&store).await.unwrap(), Verdict::Whole { records: 3 });
}

#[tokio::test]
async fn a_lost_or_foreign_head_is_damage_and_stops_recording() {
    for sql in [
        "DELETE FROM meta WHERE name = 'audit_head'",
        "UPDATE meta SET value = (SELECT value FROM meta WHERE name = 'audit_key') WHERE name = 'audit_head'",
    ] {
        let bench = Bench::new();
        let (store, recorder) = recorded(&bench, 2).await;
        bench.tamper(sql).await;
        assert!(matches!(
            verify(&store).await,
            Err(StoreError::Corrupt { table: "meta", .. })
        ));
        let refused = recorder.record(Event::new(EventKind::Alarm)).await;
        assert!(matches!(
            refused,
            Err(StoreError::Corrupt { table: "meta", .. })
        ));
    }
}

#[tokio::test]
async fn records_are_listed_exported_and_found_by_reference() {
    let bench = Bench::new();
    let (store, recorder) = recorded(&bench, 3).await;
    bench.clock.advance(chrono::TimeDelta::seconds(10));
    let reference = Reference::fresh(&*bench.clock, &OsEntropy);
    let mut event = Event::new(EventKind::SignInRefused);
    event.reference = Some(reference.clone());
    recorder.record(event).await.unwrap();

    let listed = list(&store, 1, 2).await.unwrap();
    assert_eq!(
        listed.iter().map(|record| record.seq).collect::<Vec<_>>(),
        [2, 3]
    );
    let found = by_reference(&store, &reference).await.unwrap();
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(json[0]["seq"], 4);
    assert_eq!(json[0]["kind"], "sign_in_refused");
    assert_eq!(json[0]["at"], "2026-01-02T03:04:15.678Z");
    assert_eq!(json[0]["reference"], reference.as_str());
    let before = list(&store, 2, 1).await.unwrap();
    assert_eq!(json[0]["previous"], before[0].hash);

    let from = AuditFilter {
        from: Some(bench.at(0)),
        ..AuditFilter::default()
    };
    let mut late = export(&store, from, None);
    assert_eq!(late.next_page().await.unwrap(), found);
    assert!(late.next_page().await.unwrap().is_empty());
    let to = AuditFilter {
        to: Some(bench.at(0)),
        ..AuditFilter::default()
    };
    let mut early = export(&store, to, None);
    assert_eq!(early.next_page().await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_store_that_is_gone_is_told_to_whoever_records() {
    let bench = Bench::new();
    let (store, recorder) = recorded(&bench, 1).await;
    store.close().await;
    let event = || Event::new(EventKind::Alarm);
    let first = recorder.record(event()).await.unwrap_err();
    assert!(matches!(first, StoreError::Unavailable(_)));
    let clone = recorder.clone();
    drop(recorder);
    assert!(clone.record(event()).await.is_err());
}

#[tokio::test]
async fn events_of_a_recorder_that_is_dropped_are_still_written() {
    let bench = Bench::new();
    let (store, recorder) = recorded(&bench, 0).await;
    let writing = tokio::spawn({
        let recorder = recorder.clone();
        async move { recorder.record(Event::new(EventKind::Alarm)).await }
    });
    drop(recorder);
    writing.await.unwrap().unwrap();
    assert_eq!(verify(&store).await.unwrap(), Verdict::Whole { records: 1 });
}

/// Keeps the sealed head, to be put back.
const KEEP: &str =
    "INSERT INTO meta (name, value) SELECT 'kept', value FROM meta WHERE name = 'audit_head'";
const PUT_BACK: &str = "UPDATE meta SET value = (SELECT value FROM meta WHERE name = 'kept') WHERE name = 'audit_head';
    DELETE FROM meta WHERE name = 'kept'; DELETE FROM audit WHERE seq > 5";

async fn record(recorder: &Recorder, count: usize) {
    for _ in 0..count {
        let event = Event::new(EventKind::GatewayStarted);
        recorder.record(event).await.unwrap();
    }
}

async fn alarms(store: &Store) -> Vec<i64> {
    let records = list(store, 0, 1000).await.unwrap();
    let told = records
        .iter()
        .filter(|record| record.text.contains("\"reason\":\"audit_put_back: "));
    told.map(|record| record.seq).collect()
}

#[tokio::test]
async fn an_end_that_was_put_back_is_told_by_whoever_saw_a_later_one() {
    let bench = Bench::new();
    let (store, recorder) = recorded(&bench, 0).await;
    record(&recorder, 5).await;
    bench.tamper(KEEP).await;
    record(&recorder, 5).await;
    let (_, end) = prove(&store).await.unwrap();
    bench.tamper(PUT_BACK).await;
    // The chain itself does not show it, and who noted its end does.
    let (verdict, before) = prove(&store).await.unwrap();
    assert_eq!(verdict, Verdict::Whole { records: 5 });
    assert_eq!(names(&store, end).await, Ok(Some(false)));
    assert_eq!(names(&store, before).await, Ok(Some(true)));

    record(&recorder, 2).await;
    assert_eq!(alarms(&store).await, [6], "once, before what follows");
    let counted = recorder.counts().written();
    let counted = counted.filter(|(kind, _)| *kind == EventKind::Alarm);
    assert_eq!(counted.map(|(_, count)| count).sum::<u64>(), 1);
    assert_eq!(verify(&store).await.unwrap(), Verdict::Whole { records: 8 });
}

#[tokio::test]
async fn others_that_record_after_an_end_was_put_back_do_not_hide_it() {
    let bench = Bench::new();
    let (store, recorder) = recorded(&bench, 0).await;
    let (_other, others) = recorded(&bench, 0).await;
    record(&recorder, 4).await;
    record(&others, 1).await;
    bench.tamper(KEEP).await;
    record(&recorder, 5).await;
    bench.tamper(PUT_BACK).await;
    // Others, or they would be the very ones that are gone.
    bench.clock.advance(chrono::TimeDelta::seconds(1));
    record(&others, 10).await;
    assert_eq!(alarms(&store).await, Vec::<i64>::new());
    // Nothing more is removed before it was told.
    bench.clock.advance(chrono::TimeDelta::days(1));
    let order = Order {
        before: bench.at(0),
        by: "local:root",
        export: None,
    };
    let refused = prune(&store, &recorder, order).await.unwrap_err();
    assert!(refused.to_string().contains("put back"), "{refused}");
    record(&recorder, 1).await;
    assert_eq!(alarms(&store).await, [16]);
    prune(&store, &recorder, order).await.unwrap().unwrap();
}

#[tokio::test]
async fn what_retention_removed_elsewhere_is_no_end_that_was_put_back() {
    let bench = Bench::new();
    let (store, recorder) = recorded(&bench, 0).await;
    let (other, others) = recorded(&bench, 0).await;
    record(&recorder, 5).await;
    record(&others, 1).await;
    bench.clock.advance(chrono::TimeDelta::days(1));
    let order = Order {
        before: bench.at(0),
        by: "local:root",
        export: None,
    };
    prune(&other, &others, order).await.unwrap().unwrap();
    record(&recorder, 2).await;
    assert_eq!(alarms(&store).await, Vec::<i64>::new());
    assert!(verify(&store).await.unwrap().is_whole());
}
