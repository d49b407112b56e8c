//! Sustained sign-ins and fetches a second: one gateway on SQLite, and one and two gateways on one PostgreSQL, where
//! that is installed. Real processes on loopback; responses that the demo IdP signed ahead; the sandbox STS.
//!
//! A fetch is hot where the gateway has the credentials in memory, and cold where it is a lease's first: the store is
//! read, STS is asked by method relay, the result is sealed and audited. Run with `cargo bench --bench replicas`; it
//! exits with 1 if a bound is broken. `ROLEGATE_BENCH_LEASES` says how many leases and sign-ins there are.
//!
//! All of it shares the machine's cores, clients, STS and PostgreSQL too: two replicas here show that nobody stands
//! in another's way, not what two machines do.

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
    pub(crate) mod load;
    pub(crate) mod process;
    pub(crate) mod seed;
    pub(crate) mod sign_ins;
    pub(crate) mod stampede;
}

use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fetch::load::Client;
use fetch::process::Process;
use fetch::seed::{Plan, Seeded, seed};
use fetch::{sign_ins, stampede};
use sqlx::{AnyConnection, AssertSqlSafe, Connection};

/// Clients at once.
const CLIENTS: usize = 8;
/// How long hot fetches go on.
const WHILE: Duration = Duration::from_secs(5);
/// What one gateway does of what two do on the same cores: two may not stand in each other's way.
const MOST: f64 = 1.5;

fn leases() -> usize {
    let wanted = std::env::var("ROLEGATE_BENCH_LEASES");
    wanted.map_or(2_000, |text| text.parse().unwrap())
}

/// What a setting does in a second.
#[derive(Clone, Copy)]
struct Rates {
    sign_ins: f64,
    hot: f64,
    cold: f64,
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if let Ok(server) = std::env::var("ROLEGATE_TEST_POSTGRES") {
        let one = database(&runtime, &server, "one");
        let one = runtime.block_on(measure("PostgreSQL, one gateway", Some(one), 1));
        let two = database(&runtime, &server, "two");
        let two = runtime.block_on(measure("PostgreSQL, two gateways", Some(two), 2));
        return ExitCode::from(u8::from(!beside(one, two)));
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!("{cores} cores for gateways, clients, STS and PostgreSQL together");
    runtime.block_on(measure("SQLite, one gateway", None, 1));
    ExitCode::from(u8::from(!on_postgres()))
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

fn beside(one: Rates, two: Rates) -> bool {
    let figures = [
        ("sign-ins", one.sign_ins / two.sign_ins),
        ("hot fetches", one.hot / two.hot),
        ("cold fetches", one.cold / two.cold),
    ];
    let mut holds = true;
    for (what, found) in figures {
        let word = if found <= MOST { "holds" } else { "BROKEN" };
        holds &= found <= MOST;
        println!(
            "{what} of one gateway to those of two on these cores: {found:.2} (at most {MOST}) {word}"
        );
    }
    holds
}

fn database(runtime: &tokio::runtime::Runtime, server: &str, name: &str) -> &'static str {
    runtime.block_on(async {
        sqlx::any::install_default_drivers();
        let mut connection = AnyConnection::connect(server).await.unwrap();
        let sql = AssertSqlSafe(format!("CREATE DATABASE replicas_{name}"));
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    });
    let (address, _) = server.rsplit_once('/').unwrap();
    format!("{address}/replicas_{name}").leak()
}

async fn measure(what: &str, store: Option<&'static str>, count: usize) -> Rates {
    let plan = Plan {
        persons: leases(),
        leases_each: 1,
        issued: false,
        workers: None,
        store,
    };
    let seeded = seed(plan).await;
    let sts = stampede::sandbox(&seeded).await;
    let url = sts.url().to_owned();
    let rates = tokio::task::spawn_blocking(move || {
        let mut gateways = vec![Process::gateway(&seeded, &url)];
        gateways.extend((1..count).map(|_| Process::replica(&seeded, &url)));
        rates(&gateways, &seeded)
    });
    let rates = rates.await.unwrap();
    sts.stop().await;
    println!(
        "{what}: {:.0} sign-ins a second, {:.0} hot fetches, {:.0} cold",
        rates.sign_ins, rates.hot, rates.cold
    );
    rates
}

fn rates(gateways: &[Process], seeded: &Seeded) -> Rates {
    let bodies = sign_ins::bodies(seeded, leases() / 2);
    let sign_ins = all(&bodies, |client, body| {
        sign_ins::post(&gateways[client % gateways.len()], body);
    });
    // Each lease at every gateway: cold at the first, in memory afterwards.
    let cold = fetches(gateways, &seeded.tokens);
    for gateway in gateways {
        let only = std::slice::from_ref(gateway);
        fetches(only, &seeded.tokens);
    }
    Rates {
        sign_ins,
        cold,
        hot: hot(gateways, &seeded.tokens),
    }
}

/// Does `work` with each of `items` once, by all clients; how many a second.
fn all(items: &[String], work: impl Fn(usize, &str) + Sync) -> f64 {
    let (next, begun) = (AtomicUsize::new(0), Instant::now());
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (next, work) = (&next, &work);
            scope.spawn(move || {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    work(client, item);
                }
            });
        }
    });
    items.len() as f64 / begun.elapsed().as_secs_f64()
}

/// Every lease once, until it is served; an SDK asks again after a 503.
fn fetches(gateways: &[Process], tokens: &[String]) -> f64 {
    let (next, begun) = (AtomicUsize::new(0), Instant::now());
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let next = &next;
            scope.spawn(move || {
                let mut client = Client::connect(gateways[client % gateways.len()].address);
                while let Some(token) = tokens.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let served = (0..50).any(|_| match client.ask(token) {
                        200 => true,
                        status => {
                            assert_eq!(status, 503);
                            std::thread::sleep(Duration::from_millis(100));
                            false
                        }
                    });
                    assert!(served, "a lease was not served");
                }
            });
        }
    });
    tokens.len() as f64 / begun.elapsed().as_secs_f64()
}

/// The same leases again and again.
fn hot(gateways: &[Process], tokens: &[String]) -> f64 {
    let begun = Instant::now();
    let count: usize = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                scope.spawn(move || {
                    let address = gateways[client % gateways.len()].address;
                    let mut connection = Client::connect(address);
                    let mut count = 0;
                    let mut tokens = tokens.iter().cycle().skip(client * 97);
                    while begun.elapsed() < WHILE {
                        connection.fetch(tokens.next().unwrap());
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        clients.into_iter().map(|one| one.join().unwrap()).sum()
    });
    count as f64 / begun.elapsed().as_secs_f64()
}
