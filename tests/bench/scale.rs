//! What grows with the store: a million audit records, 100,000 sessions with a lease and credentials each, as many
//! replay ids, and 10,000 entries of the allow-list, on SQLite and on PostgreSQL where that is installed.
//!
//! Each look-up is timed against the same on a store that is nearly empty, in turn and in one program, and may take
//! twice as long. Then what a purge, a check of the whole audit and taking up the allow-list cost, and the size on
//! disk. Run with `cargo bench --bench scale`; it exits with 1 if a bound is broken. `ROLEGATE_BENCH_ROWS` says how
//! many audit records (a tenth of that: sessions, a hundredth: entries).

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    reason = "a bench that cannot go on should stop where it stands, and shares files with another"
)]

mod fetch {
    pub(crate) mod bare;
    pub(crate) mod process;
    pub(crate) mod seed;
}
mod growth {
    pub(crate) mod fill;
    pub(crate) mod look_up;
    pub(crate) mod side;
}

use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use growth::fill;
use growth::look_up::LookUp;
use growth::side::{Engine, Side};
use rolegate::audit::{self, Event, EventKind};
use rolegate::model::{OsEntropy, Reference, SystemClock};
use rolegate::store::Leftover;

/// Rounds of each look-up, small and large store in turn, and look-ups in a round.
const ROUNDS: usize = 7;
const LOOK_UPS: usize = 40;
/// What a look-up may take, as a ratio to the nearly empty store.
const MOST: f64 = 2.0;
/// What one step of a purge may take: SQLite's one writer waits so long.
const STEP: Duration = Duration::from_millis(50);

fn rows() -> usize {
    let wanted = std::env::var("ROLEGATE_BENCH_ROWS");
    wanted.map_or(1_000_000, |text| text.parse().unwrap())
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if let Ok(server) = std::env::var("ROLEGATE_TEST_POSTGRES") {
        return verdict(runtime.block_on(measure(&Engine::Server(server))));
    }
    let holds = runtime.block_on(measure(&Engine::File));
    verdict(holds & on_postgres())
}

fn verdict(holds: bool) -> ExitCode {
    ExitCode::from(u8::from(!holds))
}

/// This very program once more, with a server of its own.
fn on_postgres() -> bool {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/on_postgres");
    if !Command::new(script)
        .arg("true")
        .status()
        .is_ok_and(|status| status.success())
    {
        println!("PostgreSQL: left out, it is not installed (tests/setup test)");
        return true;
    }
    let mut again = Command::new(script);
    again.arg(std::env::current_exe().unwrap());
    again.status().unwrap().success()
}

async fn measure(engine: &Engine) -> bool {
    let rows = rows();
    println!(
        "{engine}: {rows} audit records, {} sessions, leases, credentials and replay ids, {} entries",
        rows / 10,
        rows / 100
    );
    let small = Side::open(engine, "small", 10).await;
    let mut large = Side::open(engine, "large", rows / 100).await;
    let begun = Instant::now();
    if large.is_on_server {
        // One by one they would take longer than all the rest.
        fill::records(&large, rows).await;
    } else {
        records(&large, rows).await;
        large.records += i64::try_from(rows).unwrap();
    }
    fill::sessions(&large, rows / 10).await;
    large.store.optimize().await.unwrap();
    println!("filled in {:.0} s", begun.elapsed().as_secs_f64());
    // A purge of nothing is to look for it.
    for side in [&small, &large] {
        side.wait();
    }
    let mut holds = true;
    for look_up in LookUp::ALL {
        holds &= compare(look_up, &small, &large).await;
    }
    refresh(&large).await;
    if !large.is_on_server {
        verify(&large).await;
    }
    holds &= purge(&large, rows / 10).await;
    println!(
        "size on disk: {} MB, nearly empty {} MB",
        large.megabytes().await,
        small.megabytes().await
    );
    small.store.close().await;
    large.store.close().await;
    holds
}

/// Appends records as a gateway does, so that the chain is whole.
async fn records(side: &Side, count: usize) {
    let recorder = side.recorder();
    futures_util::stream::iter(0..count)
        .for_each_concurrent(1000, |_| {
            let event = Event {
                reference: Some(Reference::fresh(&SystemClock, &OsEntropy)),
                reason: Some("a reason as long as reasons are".to_owned()),
                ..Event::new(EventKind::GatewayStarted)
            };
            let recorder = &recorder;
            async move { recorder.record(event).await.unwrap() }
        })
        .await;
}

async fn compare(look_up: LookUp, small: &Side, large: &Side) -> bool {
    let mut rounds = Vec::new();
    for round in 0..ROUNDS {
        let mut medians = [Duration::ZERO; 2];
        for (side, median) in [small, large].into_iter().zip(&mut medians) {
            let mut times = Vec::new();
            for at in 0..LOOK_UPS {
                let begun = Instant::now();
                look_up.once(side, round * LOOK_UPS + at).await;
                times.push(begun.elapsed());
            }
            times.sort_unstable();
            *median = times[times.len() / 2];
        }
        rounds.push((medians[1].as_secs_f64() / medians[0].as_secs_f64(), medians));
    }
    rounds.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (ratio, [few, many]) = rounds[rounds.len() / 2];
    let word = if ratio <= MOST { "holds" } else { "BROKEN" };
    println!(
        "{}: {:.0} us, nearly empty {:.0} us: {ratio:.2} (at most {MOST}) {word}",
        look_up.name(),
        many.as_secs_f64() * 1e6,
        few.as_secs_f64() * 1e6
    );
    ratio <= MOST
}

/// What every gateway does when an admin edits the allow-list.
async fn refresh(side: &Side) {
    let mut times = Vec::new();
    for _ in 0..11 {
        let begun = Instant::now();
        side.allow_list.refresh().await.unwrap();
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    println!(
        "taking up an edit of the allow-list: {:.1} ms",
        times[5].as_secs_f64() * 1e3
    );
}

async fn verify(side: &Side) {
    let begun = Instant::now();
    let verdict = audit::verify(&side.store).await.unwrap();
    let took = begun.elapsed().as_secs_f64();
    println!(
        "check of the whole audit: {verdict}; {took:.1} s, {:.0} a second",
        side.records as f64 / took
    );
}

/// All of the filling ran out: how long the store is held at once.
async fn purge(side: &Side, count: usize) -> bool {
    fill::run_out(side).await;
    assert!(side.store.clock_goes_evenly(), "nothing would go");
    let begun = Instant::now();
    let mut steps = Vec::new();
    let mut removed = 0;
    for what in Leftover::ALL {
        loop {
            let step_begun = Instant::now();
            let step = side.store.purge_step(what).await.unwrap();
            if step.rows > 0 {
                steps.push(step_begun.elapsed());
            }
            removed += step.rows;
            if !step.more {
                break;
            }
        }
    }
    assert!(removed >= 3 * count as u64, "{removed} rows went");
    steps.sort_unstable();
    let (median, longest) = (steps[steps.len() / 2], steps[steps.len() - 1]);
    let word = if median <= STEP { "holds" } else { "BROKEN" };
    println!(
        "purge of {removed} rows: {:.1} s; a step {:.1} ms (at most {}) {word}, the longest {:.1} ms",
        begun.elapsed().as_secs_f64(),
        median.as_secs_f64() * 1e3,
        STEP.as_millis(),
        longest.as_secs_f64() * 1e3
    );
    median <= STEP
}
