//! Every dependency's licence is one that a closed or an open product may take in.
//!
//! Reads `cargo metadata`, so what counts is what the licence fields say; it never opens a crate.

use std::process::Command;

use serde::Deserialize;
use spdx::expression::Expression;
use spdx::{LicenseReq, ParseMode};

/// Permissive, or copyleft a file at a time. Never GPL, LGPL, AGPL or SSPL.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MPL-2.0",
    "OpenSSL",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
}

/// What is wrong with a licence expression, if anything.
fn objection(licence: Option<&str>) -> Option<String> {
    let Some(licence) = licence else {
        return Some("names no licence".to_owned());
    };
    // Old crates write `MIT/Apache-2.0`.
    let Ok(expression) = Expression::parse_mode(licence, ParseMode::LAX) else {
        return Some(format!("{licence:?} is no licence expression"));
    };
    if expression.evaluate(is_allowed) {
        None
    } else {
        Some(format!("{licence} is not on the list of licences allowed"))
    }
}

/// An exception (`WITH ..`) only gives more freedom, so the licence alone decides.
fn is_allowed(requirement: &LicenseReq) -> bool {
    requirement
        .license
        .id()
        .is_some_and(|id| ALLOWED.contains(&id.name))
}

/// The packages of this platform: others are neither built nor fetched.
fn packages() -> Vec<Package> {
    let rustc = Command::new("rustc").arg("-vV").output().unwrap();
    let version = String::from_utf8(rustc.stdout).unwrap();
    let host = version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .unwrap();
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .args(["--filter-platform", host])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "cargo metadata: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Metadata = serde_json::from_slice(&output.stdout).unwrap();
    metadata.packages
}

#[test]
fn every_dependency_has_a_licence_that_is_allowed() {
    let packages = packages();
    assert!(packages.iter().any(|package| package.name == "samael"));
    let objections: Vec<_> = packages
        .iter()
        .filter_map(|package| {
            let objection = objection(package.license.as_deref())?;
            Some(format!("{} {}: {objection}", package.name, package.version))
        })
        .collect();
    assert!(objections.is_empty(), "{}", objections.join("\n"));
}

#[test]
fn a_licence_is_judged_as_a_whole() {
    for good in [
        "MIT",
        "MIT/Apache-2.0",
        "Apache-2.0 WITH LLVM-exception",
        "MIT OR GPL-3.0-only",
        "(MIT OR Apache-2.0) AND Unicode-3.0",
    ] {
        assert_eq!(objection(Some(good)), None, "{good}");
    }
    for bad in [
        "GPL-3.0-or-later",
        "MIT AND GPL-2.0-only",
        "AGPL-3.0-only",
        "LGPL-2.1-or-later OR GPL-2.0-only",
        "SSPL-1.0",
        "LicenseRef-Company",
        "free as in beer",
    ] {
        assert!(objection(Some(bad)).is_some(), "{bad}");
    }
    assert!(objection(None).is_some());
}
