//! The runner of jobs: again and again, never two at once, whatever a job does.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

use super::*;
use crate::model::{FixedClock, OsEntropy};

fn jobs(table: Vec<Job>) -> Arc<Jobs> {
    let clock = Arc::new(FixedClock::new("2026-01-02T03:04:05Z".parse().unwrap()));
    Arc::new(Jobs::new(table, clock, Arc::new(OsEntropy)))
}

fn view(jobs: &Jobs) -> JobView {
    jobs.views().remove(0)
}

const MOMENT: Duration = Duration::from_millis(1);

fn away() -> JobError {
    StoreError::Unavailable("away".to_owned()).into()
}

#[tokio::test]
async fn a_job_runs_again_and_again_and_its_counts_can_be_read() {
    let (ran, runs) = (Arc::new(Notify::new()), Arc::new(AtomicU64::new(0)));
    let step = {
        let (ran, runs) = (Arc::clone(&ran), Arc::clone(&runs));
        move || {
            let number = runs.fetch_add(1, Ordering::Relaxed);
            ran.notify_one();
            // Every other step leaves something for the next, within the same run.
            async move {
                Ok(Step {
                    count: 3,
                    more: number.is_multiple_of(2),
                })
            }
        }
    };
    let jobs = jobs(vec![Job::new("a", "does a", step).every(MOMENT)]);
    assert_eq!((view(&jobs).runs, view(&jobs).last_run), (0, None));
    let running = tokio::spawn(Arc::clone(&jobs).run());
    while runs.load(Ordering::Relaxed) < 5 {
        ran.notified().await;
    }
    running.abort();
    let seen = view(&jobs);
    assert!(seen.runs >= 2, "{seen:?}");
    assert!(seen.count >= 12 && seen.count.is_multiple_of(3), "{seen:?}");
    assert!(seen.last_success.is_some() && seen.failures == 0);
}

#[tokio::test]
async fn a_failure_is_no_end_and_is_told_until_the_job_works_again() {
    let fails = Arc::new(AtomicU64::new(2));
    let step = {
        let fails = Arc::clone(&fails);
        move || {
            let left = fails.load(Ordering::Relaxed);
            fails.store(left.saturating_sub(1), Ordering::Relaxed);
            async move {
                if left > 0 {
                    return Err(away());
                }
                Ok(Step::whole(1))
            }
        }
    };
    let jobs = jobs(vec![Job::new("a", "does a", step)]);
    let once = async || jobs.run_once(&jobs.all[0]).await;
    once().await;
    once().await;
    let seen = view(&jobs);
    assert_eq!((seen.runs, seen.failures, seen.failed_in_a_row), (2, 2, 2));
    assert_eq!(seen.last_error, Some(away().to_string()));
    assert!(seen.last_run.is_some() && seen.last_success.is_none());
    once().await;
    let seen = view(&jobs);
    assert_eq!(
        (seen.failures, seen.failed_in_a_row, seen.last_count),
        (2, 0, 1)
    );
    assert!(seen.last_success.is_some() && seen.last_error.is_none());
}

#[tokio::test]
async fn one_that_hangs_is_stopped_and_one_that_panics_is_caught() {
    let mut hangs = Job::new("hangs", "waits for ever", std::future::pending);
    hangs.at_most = MOMENT;
    let panics = Job::new("panics", "panics", || async { panic!("a fault") });
    let jobs = jobs(vec![hangs, panics]);
    for kept in &jobs.all {
        jobs.run_once(kept).await;
    }
    let errors: Vec<_> = jobs.views().into_iter().map(|one| one.last_error).collect();
    let told = [JobError::TookTooLong(MOMENT), JobError::BrokeOff];
    assert_eq!(errors, told.map(|error| Some(error.to_string())));
    assert!(jobs.views().iter().all(|one| !one.running));
}

#[tokio::test]
async fn no_two_of_a_kind_run_at_once() {
    let (begun, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let step = {
        let (begun, go) = (Arc::clone(&begun), Arc::clone(&go));
        move || {
            let (begun, go) = (Arc::clone(&begun), Arc::clone(&go));
            async move {
                begun.notify_one();
                go.notified().await;
                Ok(Step::whole(1))
            }
        }
    };
    let jobs = jobs(vec![Job::new("a", "does a", step)]);
    let first = tokio::spawn({
        let jobs = Arc::clone(&jobs);
        async move { jobs.run_once(&jobs.all[0]).await }
    });
    begun.notified().await;
    assert!(view(&jobs).running);
    // Comes back at once: the step would wait.
    jobs.run_once(&jobs.all[0]).await;
    assert_eq!(view(&jobs).runs, 1);
    go.notify_one();
    first.await.unwrap();
    assert_eq!((view(&jobs).runs, view(&jobs).count), (1, 1));
}

#[test]
fn gateways_that_start_together_do_not_work_together() {
    let jobs = jobs(Vec::new());
    let chances: Vec<f64> = (0..100).map(|_| jobs.chance()).collect();
    assert!(chances.iter().all(|one| (0.0..=1.0).contains(one)));
    let (low, high) = chances.iter().fold((1.0_f64, 0.0_f64), |(low, high), one| {
        (low.min(*one), high.max(*one))
    });
    assert!(low < 0.4 && high > 0.6, "{low} {high}");
}
