//! Recording: one chain whoever writes, nothing half, and floods that are counted.

use chrono::TimeDelta;
use futures_util::future::join_all;

use super::*;
use crate::audit::{EventKind, Verdict, list, verify};
use crate::store::testing::Bench;

#[tokio::test]
async fn many_recorders_of_several_stores_make_one_chain() {
    let bench = Bench::new();
    let mut recorders = Vec::new();
    let mut stores = Vec::new();
    for _ in 0..4 {
        let store = bench.open().await;
        for _ in 0..3 {
            recorders.push(Recorder::start(store.clone(), bench.clock.clone()));
        }
        stores.push(store);
    }
    let writing = (0..600).map(|n| {
        let recorder = recorders[n % recorders.len()].clone();
        tokio::spawn(async move {
            let mut event = Event::new(EventKind::Decision);
            event.reason = Some(format!("event {n}"));
            recorder.record(event).await
        })
    });
    for written in join_all(writing).await {
        written.unwrap().unwrap();
    }
    let records = list(&stores[0], 0, 1000).await.unwrap();
    let numbers: Vec<i64> = records.iter().map(|record| record.seq).collect();
    assert_eq!(numbers, (1..=600).collect::<Vec<i64>>());
    let whole = Verdict::Whole { records: 600 };
    assert_eq!(verify(&stores[3]).await.unwrap(), whole);
}

#[tokio::test]
async fn a_transaction_that_fails_in_the_middle_leaves_neither_row_nor_gap() {
    let bench = Bench::new();
    let store = bench.open().await;
    let recorder = Recorder::start(store.clone(), bench.clock.clone());
    recorder.record(Event::new(EventKind::Alarm)).await.unwrap();
    // The second of three takes a number that is taken, so that the first of them is in and the head is not.
    let event = Event::new(EventKind::Alarm);
    let failed = store
        .append_audit(|head, _| {
            let first = chain::link(head, &event, bench.at(0));
            let mut second = chain::link(first.head, &event, bench.at(0));
            let third = chain::link(second.head, &event, bench.at(0));
            second.head.seq = 1;
            vec![first, second, third]
        })
        .await;
    assert!(failed.is_err());
    assert_eq!(list(&store, 0, 10).await.unwrap().len(), 1);
    recorder.record(Event::new(EventKind::Alarm)).await.unwrap();
    let whole = Verdict::Whole { records: 2 };
    assert_eq!(verify(&store).await.unwrap(), whole);
}

fn refusal(address: &str) -> Event {
    Event {
        address: Some(address.parse().unwrap()),
        reason: Some("markup: a document type declaration".to_owned()),
        ..Event::new(EventKind::SignInRefused)
    }
}

#[tokio::test]
async fn a_flood_leaves_few_records_with_the_right_number() {
    let bench = Bench::new();
    let store = bench.open().await;
    let recorder = Recorder::start(store.clone(), bench.clock.clone());
    for _ in 0..1000 {
        recorder.note(refusal("192.0.2.1"), "markup");
    }
    recorder.note(refusal("192.0.2.2"), "markup");
    bench.clock.advance(TimeDelta::seconds(61));
    // The next event brings the count along; without one the task looks by itself.
    recorder.record(Event::new(EventKind::Alarm)).await.unwrap();
    recorder.settle().await;
    let records = list(&store, 0, 1000).await.unwrap();
    let of = |kind: &str| {
        records
            .iter()
            .filter(|one| one.kind == kind)
            .collect::<Vec<_>>()
    };
    assert_eq!(of("sign_in_refused").len(), 21);
    let counted = of("refusals_counted");
    assert_eq!(counted.len(), 1);
    let fields = counted[0].fields();
    assert_eq!(fields["count"], 980);
    assert_eq!(fields["address"], "192.0.2.1");
    assert_eq!(fields["counted_kind"], "sign_in_refused");
    assert_eq!(fields["reason"], "markup");
}

#[tokio::test]
async fn what_is_counted_is_recorded_at_the_end_too() {
    let bench = Bench::new();
    let store = bench.open().await;
    let recorder = Recorder::start(store.clone(), bench.clock.clone());
    for _ in 0..30 {
        recorder.note(refusal("192.0.2.1"), "markup");
    }
    recorder.settle().await;
    let records = list(&store, 0, 1000).await.unwrap();
    assert_eq!(records.len(), 21);
    assert_eq!(records.last().unwrap().fields()["count"], 10);
    recorder.settle().await;
    assert_eq!(list(&store, 0, 1000).await.unwrap().len(), 21, "once");
}

#[tokio::test]
async fn what_cannot_be_written_is_counted_and_told_of_once_it_can() {
    let bench = Bench::new();
    let store = bench.open().await;
    let recorder = Recorder::start(store.clone(), bench.clock.clone());
    let alarm = || Event::new(EventKind::Alarm);
    recorder.record(alarm()).await.unwrap();
    bench.tamper("ALTER TABLE audit RENAME TO away").await;
    // Twenty one by one, and ten that fall due as a sum while nothing can be written.
    for _ in 0..30 {
        recorder.note(refusal("192.0.2.1"), "markup");
    }
    recorder.note_signed(refusal("192.0.2.1"), "replayed");
    assert!(recorder.record(alarm()).await.is_err());
    bench.clock.advance(TimeDelta::seconds(61));
    assert!(recorder.record(alarm()).await.is_err());
    bench.tamper("ALTER TABLE away RENAME TO audit").await;
    recorder.record(alarm()).await.unwrap();
    recorder.settle().await;
    let records = list(&store, 0, 1000).await.unwrap();
    let of = |kind: &str| records.iter().filter(|one| one.kind == kind).count();
    assert_eq!((of("alarm"), of("sign_in_refused")), (2, 0));
    let sums = records.iter().filter(|one| one.kind == "refusals_counted");
    let sums: Vec<_> = sums.map(Record::fields).collect();
    assert_eq!(sums.len(), 1, "{sums:?}");
    assert_eq!(
        (&sums[0]["count"], &sums[0]["reason"]),
        (&31.into(), &"not_written".into())
    );
    let whole = verify(&store).await.unwrap();
    assert_eq!(whole, Verdict::Whole { records: 3 });
}

#[tokio::test]
async fn every_sum_is_written_at_the_end() {
    let bench = Bench::new();
    let store = bench.open().await;
    let recorder = Recorder::start(store.clone(), bench.clock.clone());
    for sender in 1..=6 {
        for _ in 0..30 {
            recorder.note(refusal(&format!("192.0.2.{sender}")), "markup");
        }
    }
    // What stands one by one is written before, so that a slow disk does not count.
    recorder.record(Event::new(EventKind::Alarm)).await.unwrap();
    recorder.settle().await;
    let records = list(&store, 0, 1000).await.unwrap();
    let sums = records.iter().filter(|one| one.kind == "refusals_counted");
    let counted: Vec<u64> = sums
        .filter_map(|one| one.fields()["count"].as_u64())
        .collect();
    assert_eq!(counted, [10; 6]);
    assert_eq!(records.len(), 6 * 20 + 1 + 6);
}
