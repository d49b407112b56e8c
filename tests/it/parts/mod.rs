//! Real parts that the tests talk to, started on loopback and stopped with the value that holds them.
//!
//! `tests/setup test` puts them in `target/parts`; a part that is not there fails the test and says so.

pub(crate) mod haproxy;
pub(crate) mod long_job;
pub(crate) mod node;
pub(crate) mod oidc_provider;
pub(crate) mod pgbouncer;
pub(crate) mod postgres;
pub(crate) mod prometheus;
pub(crate) mod python;
pub(crate) mod rogue_provider;
pub(crate) mod rust;
pub(crate) mod scripted;
pub(crate) mod search;
pub(crate) mod signers;
pub(crate) mod simplesamlphp;

use std::path::{Path, PathBuf};

/// A folder or file that `tests/setup test` made.
fn part(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("target/parts")
        .join(name);
    assert!(
        path.exists(),
        "{} is missing: run tests/setup test",
        path.display()
    );
    path
}

/// What the repository keeps for a part: configuration, scripts.
fn kept(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/parts")
        .join(name)
}
