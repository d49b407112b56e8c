//! What a fetch costs, with 100,000 live sessions, a lease and credentials each: CPU and p99 as ratios to a
//! bare actix handler that returns the same JSON, one worker each, in the same program; memory; and p99 while
//! sign-ins use half a core; and how often STS is asked when 10,000 leases wake at once. Run with `cargo bench --bench fetch`; it exits with 1 if a bound is broken.

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

use std::process::ExitCode;
use std::time::Duration;

use fetch::load::{Client, paced, percentile};
use fetch::process::Process;
use fetch::seed::{Plan, Seeded};
use fetch::sign_ins::SignIns;
use fetch::{bare, seed, stampede};

const LEASES: usize = 100_000;
const PLAN: Plan = Plan {
    persons: LEASES,
    leases_each: 1,
    issued: true,
    workers: Some(1),
    store: None,
};
/// Rounds of each, taken in turn, and fetches in a round.
const ROUNDS: usize = 7;
const FETCHES: usize = 20_000;
/// Fetches a second where p99 is read, and for how long: far below what either can do.
const RATE: u32 = 1000;
const WHILE: Duration = Duration::from_secs(8);

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(bare::MODE) {
        return bare::serve();
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let seeded = runtime.block_on(seed::seed(PLAN));
    // Nothing is issued here: nobody listens there.
    let gateway = Process::gateway(&seeded, "http://127.0.0.1:9");
    let plain = Process::bare();
    warm(&gateway, &seeded);
    let memory = gateway.resident_megabytes();
    let cpu = cpu_ratio(&gateway, &plain, &seeded);
    let bare_p99 = percentile(&mut paced(&plain, &seeded.tokens, RATE, WHILE));
    let p99 = percentile(&mut paced(&gateway, &seeded.tokens, RATE, WHILE));
    let sign_ins = SignIns::prepare(&seeded, &gateway);
    let busy = sign_ins.beside(|| percentile(&mut paced(&gateway, &seeded.tokens, RATE, WHILE)));
    println!("sign-ins beside: {:.2} of a core", busy.cores);
    let figures = [
        ("CPU of a fetch to a bare handler's", cpu, 1.5),
        ("resident memory, MB", memory, 400.0),
        ("p99 of a fetch to a bare handler's", p99 / bare_p99, 2.0),
        ("the same while people sign in", busy.found / bare_p99, 3.0),
    ];
    let mut broken = busy.cores < 0.4;
    drop((gateway, plain));
    let stampedes = stampede::figures(&runtime);
    for (what, found, bound) in figures.into_iter().chain(stampedes) {
        let verdict = if found <= bound { "holds" } else { "BROKEN" };
        broken |= found > bound;
        println!("{what}: {found:.2} (at most {bound}) {verdict}");
    }
    ExitCode::from(u8::from(broken))
}

/// Every lease once: its first fetch reads the store and is audited.
fn warm(gateway: &Process, seeded: &Seeded) {
    let parts = seeded.tokens.chunks(LEASES.div_ceil(16));
    std::thread::scope(|scope| {
        for part in parts {
            scope.spawn(move || {
                let mut client = Client::connect(gateway.address);
                for token in part {
                    client.fetch(token);
                }
            });
        }
    });
}

/// CPU time of the same fetches, gateway and bare handler in turn; the median of the rounds' ratios.
fn cpu_ratio(gateway: &Process, plain: &Process, seeded: &Seeded) -> f64 {
    let mut ratios = Vec::new();
    for round in 0..ROUNDS {
        let tokens = seeded.tokens.iter().cycle().skip(round * FETCHES);
        let tokens: Vec<&String> = tokens.take(FETCHES).collect();
        let mut spent = [gateway, plain].map(|server| {
            let before = server.cpu_seconds();
            let mut client = Client::connect(server.address);
            for token in &tokens {
                client.fetch(token);
            }
            server.cpu_seconds() - before
        });
        for seconds in &mut spent {
            *seconds *= 1e6 / FETCHES as f64;
        }
        println!("round {round}: {:.1} us and {:.1} us", spent[0], spent[1]);
        ratios.push(spent[0] / spent[1]);
    }
    ratios.sort_by(f64::total_cmp);
    ratios[ratios.len() / 2]
}
