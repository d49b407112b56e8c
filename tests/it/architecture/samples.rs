//! The checkers on samples: each bad one must be found, its good twin must pass.

use super::assert_none;
use super::reader::Reader;
use super::rules::*;

fn rooms(path: &str, text: &str) -> usize {
    check_rooms(path, &Reader::read(path, text)).len()
}

fn crates(path: &str, text: &str) -> usize {
    check_crates(path, &Reader::read(path, text)).len()
}

#[test]
fn every_way_to_name_a_room_is_seen() {
    for bad in [
        "use crate::store::Ledger;",
        "use crate::{model::Arn, store::Ledger};",
        "use crate::store as shelf;",
        "use super::super::store::Ledger;",
        "use crate::*;",
        "pub use rolegate::store::Ledger;",
        "fn f() { crate::store::open(); }",
        "fn f(x: &crate::store::Ledger) {}",
        "fn f() { tracing::info!(n = crate::store::count(), \"n\"); }",
        "#[derive(crate::store::Row)] struct S;",
        "mod inner { use super::super::super::store::Ledger; }",
        "#[cfg(not(test))] mod inner { use crate::store::Ledger; }",
        "#[cfg(any(test, unix))] use crate::store::Ledger;",
    ] {
        assert_eq!(rooms("src/saml/gate.rs", bad), 1, "{bad}");
    }
    for good in [
        "use crate::model::Arn;",
        "use super::signature::verify;",
        "use crate::saml::signature;",
        "use super::super::model::Arn;",
        "/// See [`crate::store`].\nfn f() { let _ = \"a\"; }",
        "#[cfg(test)] mod tests { use crate::store::Ledger; }",
        "#[cfg(test)] use crate::store::Ledger;",
        "#[cfg(all(test, unix))] mod tests { use crate::store::Ledger; }",
        "struct S; impl S { #[cfg(test)] fn f() { crate::store::open(); } }",
    ] {
        assert_eq!(rooms("src/saml/gate.rs", good), 0, "{good}");
    }
}

#[test]
fn a_room_is_known_by_its_folder() {
    let text = "use crate::store::Store;";
    assert_eq!(rooms("src/flow/mint.rs", text), 0);
    assert_eq!(rooms("src/app.rs", text), 0);
    assert_eq!(rooms("src/demo/run.rs", text), 0);
    assert_eq!(rooms("src/demo/idp.rs", text), 1);
    assert_eq!(rooms("src/http/mod.rs", text), 1);
    assert_eq!(rooms("src/helpers.rs", ""), 1);
    assert_eq!(rooms("src/sts/mod.rs", "use crate::policy::Grant;"), 0);
    assert_eq!(rooms("src/sts/mod.rs", "use crate::policy::decide;"), 1);
}

#[test]
fn every_way_to_name_a_crate_is_seen() {
    for bad in [
        "use sqlx::Row;",
        "use sqlx;",
        "use ::sqlx::Row;",
        "extern crate sqlx;",
        "#[derive(sqlx::FromRow)] struct S;",
        "#[sqlx::test] fn f() {}",
        "fn f() { vec![sqlx::query(\"\")]; }",
        "type T = Vec<sqlx::Pool>;",
        "use actix_web::web;",
        "use aws_sdk_sts::Client;",
        "use samael::schema;",
        "use openidconnect::Nonce;",
    ] {
        assert_eq!(crates("src/policy/mod.rs", bad), 1, "{bad}");
    }
    for (path, good) in [
        ("src/store/mod.rs", "use sqlx::Row;"),
        ("src/http/mod.rs", "use actix_web::web;"),
        ("src/sts/mod.rs", "use aws_sdk_sts::Client;"),
        ("src/saml/mod.rs", "use samael::schema;"),
        ("src/oidc/mod.rs", "use openidconnect::Nonce;"),
        ("src/policy/mod.rs", "use chrono::Utc; // not sqlx::Row"),
    ] {
        assert_eq!(crates(path, good), 0, "{good}");
    }
}

#[test]
fn vouching_and_exposing_are_seen() {
    let vouch = |path, text| check_vouchers(path, &Reader::read(path, text)).len();
    let expose = |path, text| check_exposers(path, &Reader::read(path, text)).len();
    for bad in [
        "fn f() { Subject::vouch(a, b, c); }",
        "fn f() { let f = crate::model::Subject::vouch; }",
        "fn f() { dbg!(Subject::vouch(a, b, c)); }",
    ] {
        assert_eq!(vouch("src/flow/mint.rs", bad), 1, "{bad}");
        assert_eq!(vouch("src/store/ledger.rs", bad), 0, "{bad}");
    }
    let test = "#[cfg(test)] mod tests { fn f() { Subject::vouch(a); s.expose(); } }";
    assert_eq!(vouch("src/flow/mint.rs", test), 0);
    for bad in [
        "fn f() { s.expose(); }",
        "fn f() { s.map(Secret::expose); }",
        "fn f() { println!(\"{}\", s.expose()); }",
    ] {
        assert_eq!(expose("src/flow/mint.rs", bad), 1, "{bad}");
        assert_eq!(expose(EXPOSERS[0], bad), 0, "{bad}");
    }
    assert_eq!(expose("src/flow/mint.rs", test), 0);
}

#[test]
fn unsafe_code_is_seen_wherever_it_hides() {
    let file = |path: &str, text| (path.to_owned(), Reader::read(path, text));
    for bad in [
        "fn f() { unsafe { g() } }",
        "unsafe fn f() {}",
        "unsafe impl Send for S {}",
        "unsafe extern \"C\" { fn f(); }",
        "#[unsafe(no_mangle)] fn f() {}",
        "m! { unsafe { g() } }",
        "#[cfg(test)] mod tests { fn f() { unsafe { g() } } }",
    ] {
        assert_eq!(check_unsafe(&[file("src/sts/a.rs", bad)]).len(), 1, "{bad}");
        assert_eq!(
            check_unsafe(&[file("src/saml/a.rs", bad)]).len(),
            0,
            "{bad}"
        );
        let two = [file("src/saml/a.rs", bad), file("src/saml/b.rs", bad)];
        assert_eq!(check_unsafe(&two).len(), 1, "{bad}");
    }
    let good = "/// Not unsafe.\nfn f() { let _ = \"unsafe\"; }";
    assert_eq!(check_unsafe(&[file("src/sts/a.rs", good)]).len(), 0);
}

#[test]
fn test_files_are_left_out_by_their_declaration() {
    let file = |path: &str, text| (path.to_owned(), Reader::read(path, text));
    let body = "use crate::store::Ledger;";
    let left = |declaration| {
        without_test_files(vec![
            file("src/saml/mod.rs", declaration),
            file("src/saml/museum.rs", body),
        ])
        .len()
    };
    assert_eq!(left("#[cfg(test)] mod museum;"), 1);
    assert_eq!(left("mod museum;"), 2);
}

#[test]
fn long_and_unintroduced_files_are_seen() {
    let line = "const A: u8 = 1;\n";
    let fitting = format!("//! A room.\n{}", line.repeat(LONGEST_FILE - 1));
    assert_none(&check_shape("src/a.rs", &fitting));
    assert_eq!(
        check_shape("src/a.rs", &format!("{fitting}{line}")).len(),
        1
    );
    assert_eq!(check_shape("src/a.rs", line).len(), 1);
    let tests = "#[cfg(test)]\nmod tests {\n    const A: u8 = 1;\n}\n";
    assert_none(&check_shape("src/a.rs", &format!("{fitting}{tests}")));
    assert_eq!(lines_without_tests(&format!("{tests}{line}")), 1);
    assert_eq!(
        lines_without_tests(&format!("#[cfg(test)]\nmod t;\n{line}")),
        1
    );
}

#[test]
fn strays_and_places_are_seen() {
    assert_none(&check_top_level(["src/lib.rs", ".ci/run", "Makefile"]));
    assert_eq!(
        check_top_level(["src/lib.rs", "notes.md", "docs/a", "docs/b"]).len(),
        2
    );
    for place in FOREIGN_PLACES {
        assert_eq!(check_places("README.md", &format!("see {place} ")).len(), 1);
        assert_eq!(check_places("Cargo.lock", place).len(), 0);
    }
    assert_none(&check_places(
        "README.md",
        "https://gate.example.org/saml/acs",
    ));
}
