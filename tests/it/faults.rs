//! What is there when something breaks: processes killed, servers and disks that go away, clocks that jump.
//!
//! Each test keeps a journal of what rolegate acknowledged, and asks for all of it at the end. `make test` runs few
//! rounds of each, `make faults` as many as `FAULTS_ROUNDS` says (100), and prints what was done. Moments are drawn
//! from a seed that is printed, and that `ROLEGATE_FAULTS_SEED` sets.

mod balanced;
mod chance;
mod clock;
mod disk;
mod fleet;
mod journal;
mod kills;
mod load;
mod proof;
mod secrets;
mod server;
mod starts;

/// Rounds of a test: `short` of them, or those that `make faults` asks for.
fn rounds(short: usize) -> usize {
    let asked = std::env::var("FAULTS_ROUNDS").ok();
    asked.map_or(short, |text| text.parse().unwrap())
}
