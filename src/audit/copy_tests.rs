//! The copy, against files that come, go and fill up.

use super::*;
use crate::audit::{Event, EventKind, Order, Recorder, list, prune};
use crate::store::testing::Bench;

async fn record(recorder: &Recorder, count: usize) {
    for _ in 0..count {
        recorder.record(Event::new(EventKind::Alarm)).await.unwrap();
    }
}

async fn exported(store: &Store) -> String {
    let records = list(store, 0, 1000).await.unwrap();
    records.iter().map(|record| record.line() + "\n").collect()
}

#[tokio::test]
async fn the_copy_is_what_an_export_prints_and_of_this_process_alone() {
    let bench = Bench::new();
    let store = bench.open().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let copy = Some(CopyTo::File(path.clone()));
    let recorder = Recorder::start_with(store.clone(), bench.clock.clone(), copy);
    record(&recorder, 20).await;
    recorder.settle().await;
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        exported(&store).await
    );
    let other = Recorder::start(store.clone(), bench.clock.clone());
    record(&other, 1).await;
    record(&recorder, 1).await;
    recorder.settle().await;
    let copied = std::fs::read_to_string(&path).unwrap();
    let last = copied.lines().last().unwrap();
    assert_eq!(copied.lines().count(), 21);
    assert!(last.contains("\"seq\":22"), "{last}");
    let counts = recorder.copy_counts().unwrap();
    assert_eq!((counts.written, counts.failed, counts.pending), (21, 0, 0));
}

#[tokio::test]
async fn what_could_not_be_written_follows_from_the_store_in_order() {
    let bench = Bench::new();
    let store = bench.open().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("later/audit.jsonl");
    let copy = Some(CopyTo::File(path.clone()));
    let recorder = Recorder::start_with(store.clone(), bench.clock.clone(), copy);
    record(&recorder, 300).await;
    let counts = recorder.copy_counts().unwrap();
    assert_eq!(counts.written, 0);
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    let settled = async {
        while recorder.copy_counts().unwrap().pending > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), settled)
        .await
        .unwrap();
    record(&recorder, 10).await;
    recorder.settle().await;
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        exported(&store).await
    );
    assert!(recorder.copy_counts().unwrap().failed > 0);
}

#[tokio::test]
async fn what_was_removed_before_it_was_copied_is_given_up_and_the_rest_follows() {
    let bench = Bench::new();
    let store = bench.open().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("later/audit.jsonl");
    let copy = Some(CopyTo::File(path.clone()));
    let recorder = Recorder::start_with(store.clone(), bench.clock.clone(), copy);
    record(&recorder, 20).await;
    bench.clock.advance(chrono::TimeDelta::days(1));
    let order = Order {
        before: bench.at(0),
        by: "local:root",
        export: None,
    };
    record(&recorder, 20).await;
    let other = Recorder::start(store.clone(), bench.clock.clone());
    prune(&store, &other, order).await.unwrap().unwrap();
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    let settled = async {
        while recorder.copy_counts().unwrap().pending > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), settled)
        .await
        .unwrap();
    let copied = std::fs::read_to_string(&path).unwrap();
    assert_eq!(copied.lines().count(), 20);
    assert!(copied.lines().next().unwrap().contains("\"seq\":21"));
}

#[tokio::test]
async fn a_full_disk_stops_nobody_who_records() {
    let bench = Bench::new();
    let store = bench.open().await;
    let copy = Some(CopyTo::File("/dev/full".into()));
    let recorder = Recorder::start_with(store.clone(), bench.clock.clone(), copy);
    record(&recorder, 50).await;
    let failed = async {
        while recorder.copy_counts().unwrap().failed == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), failed)
        .await
        .unwrap();
    record(&recorder, 50).await;
    let counts = recorder.copy_counts().unwrap();
    assert_eq!((counts.written, counts.pending), (0, 100));
    recorder.settle().await;
}
