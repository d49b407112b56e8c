//! Whatever is sent to the logout address: followed is only what a fixture says, since the fuzzer holds no key.
//!
//! The input is taken as a query, as a form's body, and as the message within each.

#![no_main]

mod door;

use std::io::Write;
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::TimeDelta;
use door::{SLO, TRUST, now};
use flate2::Compression;
use flate2::write::DeflateEncoder;
use libfuzzer_sys::fuzz_target;
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use rolegate::saml::logout::{Delivery, LogoutExpectation, VerifiedLogout, read};

/// The good twins: else a door that follows nothing would look safe.
static TWINS: LazyLock<bool> = LazyLock::new(|| {
    follow(Delivery::Redirect(include_str!("../seeds/logout/query")))
        && follow(Delivery::Post(include_bytes!("../seeds/logout/form")))
});

fn follow(delivery: Delivery<'_>) -> bool {
    let trust = &*TRUST;
    let Ok(message) = read(delivery) else {
        return false;
    };
    let verified = message.verify(&LogoutExpectation {
        trust,
        destination: SLO,
        skew: TimeDelta::seconds(60),
        strict_certificates: false,
        now: now(),
    });
    match verified {
        Ok(VerifiedLogout::Request(request)) => {
            assert_eq!(
                (request.id.as_str(), request.name_id.as_str()),
                ("_r1", "alice")
            );
            assert_eq!(request.session_indexes, ["_s1"]);
            true
        }
        Ok(VerifiedLogout::Response { .. }) => panic!("no answer was ever signed"),
        Err(refusal) => refusal.code().is_empty(),
    }
}

fn encoded(bytes: &[u8]) -> String {
    let text = STANDARD.encode(bytes);
    percent_encode(text.as_bytes(), NON_ALPHANUMERIC).to_string()
}

fuzz_target!(|data: &[u8]| {
    assert!(*TWINS);
    if let Ok(query) = std::str::from_utf8(data) {
        follow(Delivery::Redirect(query));
    }
    follow(Delivery::Post(data));
    if data.first() == Some(&b'<') {
        follow(Delivery::Post(
            format!("SAMLRequest={}", encoded(data)).as_bytes(),
        ));
        follow(Delivery::Post(
            format!("SAMLResponse={}", encoded(data)).as_bytes(),
        ));
        let mut deflater = DeflateEncoder::new(Vec::new(), Compression::fast());
        deflater.write_all(data).unwrap();
        let message = encoded(&deflater.finish().unwrap());
        let method = encoded_text("http://www.w3.org/2001/04/xmldsig-more#rsa-sha256");
        let query = format!("SAMLRequest={message}&SigAlg={method}&Signature=AAAA");
        follow(Delivery::Redirect(&query));
    }
});

fn encoded_text(text: &str) -> String {
    percent_encode(text.as_bytes(), NON_ALPHANUMERIC).to_string()
}
