//! Retention, against a database and somebody who edits it.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use super::*;
use crate::audit::{CopyTo, FileError, list, verify, verify_file};
use crate::model::FixedClock;
use crate::store::testing::Bench;

/// Ten records a day apart, numbered from 1 on; the next is of the eleventh day.
async fn days(bench: &Bench, count: i64) -> (Store, Recorder) {
    let store = bench.open().await;
    let recorder = Recorder::start(store.clone(), bench.clock.clone());
    record_days(bench, &recorder, count).await;
    (store, recorder)
}

async fn record_days(bench: &Bench, recorder: &Recorder, count: i64) {
    for day in 0..count {
        let mut event = Event::new(EventKind::Alarm);
        event.reason = Some(format!("day {day}"));
        recorder.record(event).await.unwrap();
        bench.clock.advance(TimeDelta::days(1));
    }
}

fn order(bench: &Bench, days_ago: i64) -> Order<'static> {
    Order {
        before: bench.at(0) - TimeDelta::days(days_ago),
        by: "local:root",
        export: None,
    }
}

#[tokio::test]
async fn the_oldest_go_and_the_rest_is_proved_from_where_it_begins() {
    let bench = Bench::new();
    let (store, recorder) = days(&bench, 10).await;
    let fourth = list(&store, 3, 1).await.unwrap().remove(0);
    let none = prune(&store, &recorder, order(&bench, 100)).await.unwrap();
    assert_eq!(none, None);
    let pruned = prune(&store, &recorder, order(&bench, 6)).await.unwrap();
    assert_eq!(pruned, Some(Pruned { first: 1, last: 4 }));

    let verdict = verify(&store).await.unwrap();
    let whole = Verdict::WholeSince {
        removed: 4,
        removed_at: bench.at(0).duration_trunc_millis(),
        last: 11,
    };
    assert_eq!(verdict, whole);
    let told = verdict.to_string();
    assert!(
        told.starts_with("records 1 to 4 were removed by retention at 2026-01-12T"),
        "{told}"
    );
    assert!(
        told.ends_with("records 5 to 11 are as they were written"),
        "{told}"
    );
    let records = list(&store, 0, 100).await.unwrap();
    assert_eq!(records[0].seq, 5);
    let said = serde_json::to_value(records.last().unwrap()).unwrap();
    assert_eq!(said["kind"], "audit_pruned");
    assert_eq!(
        (&said["first_seq"], &said["last_seq"]),
        (&1.into(), &4.into())
    );
    assert_eq!(said["last_hash"], fourth.hash);
    assert_eq!(
        (&said["count"], &said["by"]),
        (&4.into(), &"local:root".into())
    );

    // Again, over a restart, and with all that is there.
    recorder.record(Event::new(EventKind::Alarm)).await.unwrap();
    drop(recorder);
    store.close().await;
    let store = bench.open().await;
    let recorder = Recorder::start(store.clone(), bench.clock.clone());
    bench.clock.advance(TimeDelta::days(1));
    let pruned = prune(&store, &recorder, order(&bench, 0)).await.unwrap();
    assert_eq!(pruned, Some(Pruned { first: 5, last: 12 }));
    assert!(verify(&store).await.unwrap().is_whole());
    assert_eq!(list(&store, 0, 100).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_record_of_a_clock_ahead_goes_with_those_behind_it() {
    let bench = Bench::new();
    let (store, recorder) = days(&bench, 3).await;
    // A clock years ahead, for three records.
    let ahead = Arc::new(FixedClock::new(bench.at(0) + TimeDelta::days(4000)));
    let astray = Recorder::start(store.clone(), ahead);
    for _ in 0..3 {
        astray.record(Event::new(EventKind::Alarm)).await.unwrap();
    }
    let keep = TimeDelta::days(5);
    // As long as nothing behind them is old enough they stay, and hold nothing up that is.
    record_days(&bench, &recorder, 1).await;
    bench.clock.advance(TimeDelta::days(3));
    let done = retain(&store, &recorder, keep).await.unwrap();
    assert_eq!(done, Some(Pruned { first: 1, last: 2 }));
    assert_eq!(retain(&store, &recorder, keep).await.unwrap(), None);
    // Behind them is the seventh, and once that is old they are.
    bench.clock.advance(TimeDelta::days(4));
    let done = retain(&store, &recorder, keep).await.unwrap();
    assert_eq!(done, Some(Pruned { first: 3, last: 7 }));
    assert!(verify(&store).await.unwrap().is_whole());
}

#[tokio::test]
async fn an_export_ends_before_records_of_a_clock_ahead_that_nothing_follows() {
    let bench = Bench::new();
    let (store, recorder) = days(&bench, 3).await;
    let ahead = Arc::new(FixedClock::new(bench.at(0) + TimeDelta::days(4000)));
    let astray = Recorder::start(store.clone(), ahead);
    astray.record(Event::new(EventKind::Alarm)).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("old.jsonl");
    let order = Order {
        export: Some(&path),
        ..order(&bench, 0)
    };
    let pruned = prune(&store, &recorder, order).await.unwrap();
    assert_eq!(pruned, Some(Pruned { first: 1, last: 3 }));
    let proved = verify_file(&path, Some(&store)).await.unwrap();
    assert_eq!((proved.first, proved.last), (1, 3));
    assert_eq!(proved.named, Some(true));
}

trait Millis {
    fn duration_trunc_millis(self) -> Self;
}

impl Millis for DateTime<Utc> {
    fn duration_trunc_millis(self) -> Self {
        DateTime::from_timestamp_millis(self.timestamp_millis()).unwrap()
    }
}

#[tokio::test]
async fn edits_after_a_removal_are_named() {
    let copy =
        "SELECT 4, at, kind, reference, record, hash, mac, user_name, idp FROM audit WHERE seq = 5";
    let again: &'static str = format!("INSERT INTO audit {copy}").leak();
    for (sql, verdict) in [
        (
            "DELETE FROM audit WHERE seq = 5",
            Verdict::Missing { seq: 5 },
        ),
        (
            "DELETE FROM audit WHERE seq IN (5, 6)",
            Verdict::Missing { seq: 5 },
        ),
        (
            "UPDATE audit SET record = replace(record, 'day 4', 'day 9') WHERE seq = 5",
            Verdict::Changed { seq: 5 },
        ),
        (
            "DELETE FROM audit WHERE seq = 5; UPDATE audit SET seq = 5 WHERE seq = 6",
            Verdict::Missing { seq: 5 },
        ),
        (again, Verdict::Added { seq: 4 }),
        (
            "DELETE FROM audit WHERE seq > 8",
            Verdict::CutOff { after: 8, head: 11 },
        ),
        ("DELETE FROM audit", Verdict::CutOff { after: 4, head: 11 }),
    ] {
        let bench = Bench::new();
        let (store, recorder) = days(&bench, 10).await;
        prune(&store, &recorder, order(&bench, 6)).await.unwrap();
        assert!(verify(&store).await.unwrap().is_whole());
        bench.tamper(sql).await;
        assert_eq!(verify(&store).await.unwrap(), verdict, "{sql}");
    }
}

#[tokio::test]
async fn a_base_that_is_forged_taken_away_or_put_back_is_named() {
    for sql in [
        "DELETE FROM meta WHERE name = 'audit_base'",
        "UPDATE meta SET value = (SELECT value FROM meta WHERE name = 'audit_key') WHERE name = 'audit_base'",
        "UPDATE meta SET value = (SELECT value FROM meta WHERE name = 'audit_head') WHERE name = 'audit_base'",
        "UPDATE meta SET value = (SELECT value FROM meta WHERE name = 'kept') WHERE name = 'audit_base'",
    ] {
        let bench = Bench::new();
        let (store, recorder) = days(&bench, 10).await;
        prune(&store, &recorder, order(&bench, 8)).await.unwrap();
        bench
            .tamper("INSERT INTO meta SELECT 'kept', value FROM meta WHERE name = 'audit_base'")
            .await;
        prune(&store, &recorder, order(&bench, 6)).await.unwrap();
        assert!(verify(&store).await.unwrap().is_whole());
        bench.tamper(sql).await;
        let told = verify(&store).await.unwrap_err();
        assert!(
            matches!(&told, StoreError::Corrupt { table: "meta", row, .. } if row == "audit_base"),
            "{sql}: {told:?}"
        );
    }
}

#[tokio::test]
async fn what_was_changed_stays_and_is_named() {
    let bench = Bench::new();
    let (store, recorder) = days(&bench, 10).await;
    bench
        .tamper("UPDATE audit SET record = replace(record, 'day 2', 'day 7') WHERE seq = 3")
        .await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gone.jsonl");
    let mut careful = order(&bench, 1);
    careful.export = Some(&file);
    let refused = prune(&store, &recorder, careful).await;
    assert!(matches!(
        refused,
        Err(PruneError::Damaged(Verdict::Changed { seq: 3 }))
    ));
    assert!(!file.exists());
    // What stands before it is good, and may go.
    let refused = prune(&store, &recorder, order(&bench, 1)).await;
    assert!(matches!(
        refused,
        Err(PruneError::Damaged(Verdict::Changed { seq: 3 }))
    ));
    assert_eq!(list(&store, 0, 1).await.unwrap()[0].seq, 3);
    assert_eq!(verify(&store).await.unwrap(), Verdict::Changed { seq: 3 });
}

#[tokio::test]
async fn what_goes_is_written_first_and_the_file_is_proved_afterwards() {
    let bench = Bench::new();
    let (store, recorder) = days(&bench, 10).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gone.jsonl");
    let mut kept = order(&bench, 6);
    kept.export = Some(&file);
    let pruned = prune(&store, &recorder, kept).await.unwrap();
    assert_eq!(pruned, Some(Pruned { first: 1, last: 4 }));
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let proved = verify_file(&file, Some(&store)).await.unwrap();
    assert_eq!(
        (proved.first, proved.last, proved.named),
        (1, 4, Some(true))
    );
    assert_eq!(verify_file(&file, None).await.unwrap().named, None);
    let mut again = order(&bench, 1);
    again.export = Some(&file);
    let refused = prune(&store, &recorder, again).await;
    assert!(matches!(refused, Err(PruneError::File { .. })));
    assert_eq!(
        list(&store, 0, 1).await.unwrap()[0].seq,
        5,
        "nothing was removed"
    );

    // A later removal moves the base on; its own record still names the file's end.
    let second = folder.path().join("gone-2.jsonl");
    again.export = Some(&second);
    prune(&store, &recorder, again).await.unwrap().unwrap();
    let proved = verify_file(&file, Some(&store)).await.unwrap();
    assert_eq!(proved.named, Some(true));
    let proved = verify_file(&second, Some(&store)).await.unwrap();
    assert_eq!((proved.first, proved.last), (5, 9));
    let mut none = order(&bench, 100);
    let third = folder.path().join("gone-3.jsonl");
    none.export = Some(&third);
    assert_eq!(prune(&store, &recorder, none).await.unwrap(), None);
    assert!(!third.exists());
    let full = Some(Path::new("/dev/full/x"));
    let refused = prune(
        &store,
        &recorder,
        Order {
            export: full,
            ..order(&bench, 0)
        },
    )
    .await;
    assert!(matches!(refused, Err(PruneError::File { .. })));
}

#[tokio::test]
async fn a_file_that_was_edited_is_not_proved() {
    let bench = Bench::new();
    let (store, recorder) = days(&bench, 5).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gone.jsonl");
    let mut kept = order(&bench, 0);
    kept.export = Some(&file);
    prune(&store, &recorder, kept).await.unwrap().unwrap();
    let good = std::fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = good.lines().collect();
    let check = async |text: String| {
        std::fs::write(&file, text).unwrap();
        verify_file(&file, Some(&store)).await
    };
    assert!(check(good.clone()).await.is_ok());
    assert!(
        check(lines[1..].join("\n")).await.is_ok(),
        "a piece is one too"
    );
    let changed = good.replace("day 2", "day 7");
    assert!(matches!(check(changed).await, Err(FileError::Changed(3))));
    let cut = [&lines[..2], &lines[3..]].concat().join("\n");
    assert!(matches!(check(cut).await, Err(FileError::Missing(3))));
    let twice = [&lines[..2], &lines[1..]].concat().join("\n");
    assert!(matches!(check(twice).await, Err(FileError::Order(2))));
    assert!(matches!(
        check("{}\n".to_owned()).await,
        Err(FileError::Line(1))
    ));
    assert!(matches!(check(String::new()).await, Err(FileError::Empty)));
    // Another gateway's chain has good hashes too.
    let other = Bench::new();
    let (other_store, _recorder) = days(&other, 5).await;
    let mut foreign = String::new();
    for record in list(&other_store, 0, 10).await.unwrap() {
        foreign.push_str(&(record.line() + "\n"));
    }
    let foreign = foreign.replace("day", "night");
    assert!(check(foreign).await.is_err());
    let one = crate::audit::list(&other_store, 0, 1).await.unwrap()[0].line();
    std::fs::write(&file, one).unwrap();
    bench.clock.advance(TimeDelta::days(1));
    let seen = verify_file(&file, Some(&other_store)).await.unwrap();
    assert_eq!(seen.named, Some(true));
    // The same number, another record.
    bench.tamper("DELETE FROM meta WHERE name = 'none'").await;
    let mine = verify_file(&file, Some(&store)).await;
    assert_eq!(
        mine.unwrap().named,
        None,
        "record 1 is gone here, and no removal ended with it"
    );
}

#[tokio::test]
async fn retention_takes_a_bounded_step_and_leaves_a_quiet_gateway_alone() {
    let bench = Bench::new();
    let (store, recorder) = days(&bench, 10).await;
    let keep = TimeDelta::days(6);
    let step = async || retain(&store, &recorder, keep).await.unwrap();
    assert_eq!(step().await, Some(Pruned { first: 1, last: 4 }));
    assert_eq!(step().await, None);
    // A day later one record is due, and stays a day at most.
    bench.clock.advance(TimeDelta::hours(23));
    assert_eq!(step().await, None);
    bench.clock.advance(TimeDelta::hours(26));
    assert_eq!(step().await, Some(Pruned { first: 5, last: 7 }));
    assert!(verify(&store).await.unwrap().is_whole());

    let many = (0..2 * BATCH).map(|_| recorder.record(Event::new(EventKind::Alarm)));
    futures_util::future::try_join_all(many).await.unwrap();
    bench.clock.advance(keep + TimeDelta::seconds(1));
    let step = step().await.unwrap();
    assert_eq!(usize::try_from(step.last - step.first + 1), Ok(BATCH));
    assert!(verify(&store).await.unwrap().is_whole());
}

#[tokio::test]
async fn two_that_remove_and_many_that_record_make_one_chain() {
    let bench = Bench::new();
    let (store, recorder) = days(&bench, 1).await;
    let many = (0..3000).map(|_| recorder.record(Event::new(EventKind::Alarm)));
    futures_util::future::try_join_all(many).await.unwrap();
    let other = bench.open().await;
    let others = Recorder::start(other.clone(), bench.clock.clone());
    bench.clock.advance(TimeDelta::days(1));
    let order = order(&bench, 0);
    let mut longest = std::time::Duration::ZERO;
    let writing = async {
        for _ in 0..50 {
            let begun = Instant::now();
            recorder.record(Event::new(EventKind::Alarm)).await.unwrap();
            longest = longest.max(begun.elapsed());
        }
    };
    let (one, two, ()) = tokio::join!(
        prune(&store, &recorder, order),
        prune(&other, &others, order),
        writing
    );
    assert!(one.unwrap().is_some() | two.unwrap().is_some());
    // A batch or two; generous, since the machine may have other work: who is starved is given up after so long.
    assert!(longest < std::time::Duration::from_secs(5), "{longest:?}");
    assert!(verify(&store).await.unwrap().is_whole());
    let left = list(&store, 0, 1000).await.unwrap();
    assert_eq!(left[0].seq, 3002, "each was removed once");
}

#[tokio::test]
async fn what_a_removal_records_is_copied_too() {
    let bench = Bench::new();
    let (store, first) = days(&bench, 3).await;
    drop(first);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let copy = Some(CopyTo::File(path.clone()));
    let recorder = Recorder::start_with(store.clone(), bench.clock.clone(), copy);
    prune(&store, &recorder, order(&bench, 0))
        .await
        .unwrap()
        .unwrap();
    recorder.settle().await;
    let copied = std::fs::read_to_string(&path).unwrap();
    assert_eq!(copied.lines().count(), 1);
    assert!(copied.contains("audit_pruned"), "{copied}");
}

#[tokio::test]
async fn a_line_that_two_readers_read_differently_is_no_record() {
    let bench = Bench::new();
    let (store, recorder) = days(&bench, 3).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gone.jsonl");
    let mut kept = order(&bench, 0);
    kept.export = Some(&file);
    prune(&store, &recorder, kept).await.unwrap().unwrap();
    let good = std::fs::read_to_string(&file).unwrap();
    assert!(verify_file(&file, Some(&store)).await.is_ok());
    // Readers take the first of two keys, or the last.
    let twice = good.replacen("{\"at\"", "{\"reason\":\"nothing happened\",\"at\"", 2);
    for text in [twice, good.replacen(",\"kind\"", ", \"kind\"", 1)] {
        assert_ne!(text, good);
        std::fs::write(&file, text).unwrap();
        let refused = verify_file(&file, Some(&store)).await;
        assert!(matches!(refused, Err(FileError::Line(1))), "{refused:?}");
    }
}

#[tokio::test]
async fn a_table_that_was_made_to_fit_a_file_proves_nothing() {
    let bench = Bench::new();
    let (store, recorder) = days(&bench, 5).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("export.jsonl");
    let lines = async || {
        let records = list(&store, 0, 100).await.unwrap();
        let lines: Vec<String> = records.iter().map(|record| record.line() + "\n").collect();
        lines.concat()
    };
    std::fs::write(&file, lines().await).unwrap();
    let proved = verify_file(&file, Some(&store)).await.unwrap();
    assert_eq!(proved.named, Some(true));
    // Whoever writes to the table, without the master key, makes the last record anew; its hash needs no key.
    let last = list(&store, 4, 1).await.unwrap().remove(0);
    let forged = last.text.replace("day 4", "day 9");
    let told: serde_json::Value = serde_json::from_str(&forged).unwrap();
    let hash = chain::hash(told["previous"].as_str().unwrap(), &forged);
    let rewrite = format!("UPDATE audit SET record = '{forged}', hash = $1 WHERE seq = 5");
    bench.tamper_with(rewrite.leak(), hash.to_vec()).await;
    let text = lines().await;
    assert!(text.contains("day 9"));
    std::fs::write(&file, text).unwrap();
    let refused = verify_file(&file, Some(&store)).await;
    assert!(matches!(refused, Err(FileError::Foreign(5))), "{refused:?}");
    drop(recorder);
}
