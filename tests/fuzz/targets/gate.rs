//! Whatever is posted to the ACS: nothing panics, `examine` and `verify` agree, and what is accepted says what
//! a fixture says, since the fuzzer holds no key.
//!
//! The input is taken as a file (XML or base64), as the bytes within the base64 of a form, and as a form's body.

#![no_main]

mod door;

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use door::{Reading, judge};
use libfuzzer_sys::fuzz_target;
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use rolegate::saml::RawResponse;

const FORM: Option<&str> = Some("application/x-www-form-urlencoded");

/// Every good document, which are the only signatures that there are.
static GENUINE: LazyLock<Vec<Reading>> = LazyLock::new(|| {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/saml/valid");
    let readings: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| std::fs::read_to_string(entry.unwrap().path()).ok())
        .filter_map(|document| judge(|| RawResponse::from_text(&document).ok())?.ok())
        .collect();
    assert!(
        readings.len() > 10,
        "only {} fixtures are accepted",
        readings.len()
    );
    readings
});

fn hold_up(raw: impl Fn() -> Option<RawResponse>) {
    let genuine = &*GENUINE;
    if let Some(Ok(reading)) = judge(raw) {
        assert!(
            genuine.iter().any(|one| reading.says(one)),
            "accepted, and nobody signed it"
        );
    }
}

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data) {
        hold_up(|| RawResponse::from_text(text).ok());
    } else {
        let encoded = STANDARD.encode(data);
        let encoded = percent_encode(encoded.as_bytes(), NON_ALPHANUMERIC).to_string();
        let body = format!("SAMLResponse={encoded}");
        hold_up(|| {
            Some(
                RawResponse::from_form(FORM, None, body.as_bytes())
                    .ok()?
                    .response,
            )
        });
    }
    hold_up(|| Some(RawResponse::from_form(FORM, None, data).ok()?.response));
});
