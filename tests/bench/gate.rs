//! What a sign-in costs: the whole validation of a response, as a ratio to the least it could cost.
//!
//! The floor is libxml2's parse, exclusive canonicalisation, SHA-256 and one RSA-2048 verification of the
//! same bytes. Both are timed in one process, in interleaved rounds, and the median of the rounds'
//! ratios counts, so that the machine's mood does not. Run with `cargo bench --bench gate`; it exits
//! with 1 if a bound is broken.
//!
//! Then responses with more and more attribute values, up to as many as AWS takes, in each shape that a
//! provider sends: four times the values may take little more than four times the time.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "a bench that cannot go on should stop where it stands"
)]

#[path = "../it/many_values/maker.rs"]
mod maker;

use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::TimeDelta;
use maker::Shape;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Public};
use openssl::sign::{Signer, Verifier};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use rolegate::saml::{
    AttributeNames, Expectation, RawResponse, Refusal, RequireSigned, Trust, VerifiedAssertion,
    metadata, prepare, verify,
};

const ROUNDS: usize = 61;
const REPEATS: u32 = 20;
/// Of the responses with many values, which take longer.
const FEWER_ROUNDS: usize = 21;
const FEWER_REPEATS: u32 = 4;
/// Four times the values, in time.
const MOST_FOR_FOUR: f64 = 5.0;
/// Runs of each document of the museum, and what the best of them may take.
const RUNS: usize = 3;
const MOST: Duration = Duration::from_millis(10);
const IDP: &[u8] = include_bytes!("../../fixtures/saml/idp.xml");
const KEY: &[u8] = include_bytes!("../../fixtures/saml/idp.key");
const SMALL: &str = include_str!("../../fixtures/saml/valid/nine-kilobytes.xml");
const LARGE: &str = include_str!("../../fixtures/saml/valid/fifty-seven-kilobytes.xml");

fn main() -> ExitCode {
    prepare().unwrap();
    let now = "2026-01-15T12:00:00Z".parse().unwrap();
    let trust = metadata::read_idp(&"bench".parse().unwrap(), IDP, now, false).unwrap();
    let (small, large) = (form(SMALL), form(LARGE));
    let floor = Floor::of(SMALL);
    let (mut to_floor, mut to_small, mut times) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let least = time(REPEATS, || floor.run(SMALL));
        let whole = time(REPEATS, || validate(&small, &trust, now));
        let larger = time(REPEATS, || validate(&large, &trust, now));
        to_floor.push(ratio(whole, least));
        to_small.push(ratio(larger, whole));
        times.push((least, whole, larger));
    }
    times.sort_unstable();
    let (least, whole, larger) = times[times.len() / 2];
    println!(
        "response {} and {} bytes; median round: floor {least:?}, validation {whole:?} and {larger:?}",
        SMALL.len(),
        LARGE.len()
    );
    let figures = [
        ("validation of 9 KB to its floor", median(to_floor), 5.0),
        ("validation of 57 KB to 9 KB", median(to_small), 8.0),
    ];
    let (slowest, took) = slowest_exhibit(&trust, now);
    println!("slowest document of the museum: {slowest}, {took:?} (at most {MOST:?})");
    let mut broken = took > MOST;
    for (what, found, bound) in figures {
        let verdict = if found <= bound { "holds" } else { "BROKEN" };
        broken |= found > bound;
        println!("{what}: {found:.2}x (at most {bound}x) {verdict}");
    }
    for shape in Shape::ALL {
        broken |= !grows_linearly(shape, &trust);
    }
    ExitCode::from(u8::from(broken))
}

/// Times an eighth, a quarter, half and all of the values that fit, and says whether the bound holds.
fn grows_linearly(shape: Shape, trust: &Trust) -> bool {
    let now = maker::NOW.parse().unwrap();
    let most = shape.most();
    let steps = [8, 4, 2, 1].map(|part| most / part);
    let forms = steps.map(|values| form(maker::response(shape, values)));
    let (mut rounds, mut to_eighth) = (Vec::new(), Vec::new());
    let mut to_quarter = [Vec::new(), Vec::new()];
    for _ in 0..FEWER_ROUNDS {
        let times = [0, 1, 2, 3]
            .map(|step: usize| time(FEWER_REPEATS, || validate(&forms[step], trust, now)));
        to_eighth.push(ratio(times[3], times[0]));
        to_quarter[0].push(ratio(times[2], times[0]));
        to_quarter[1].push(ratio(times[3], times[1]));
        rounds.push(times);
    }
    rounds.sort_unstable();
    let median_round = rounds[rounds.len() / 2];
    let of_first = |step: usize| {
        let each = |step: usize| median_round[step].as_secs_f64() / steps[step] as f64;
        each(step) / each(0)
    };
    let found = to_quarter.map(median);
    let holds = found.iter().all(|found| *found <= MOST_FOR_FOUR);
    println!(
        "{shape:?}: {steps:?} values take {median_round:?}; a value, to one of the first: 1, {:.2}, {:.2}, {:.2}",
        of_first(1),
        of_first(2),
        of_first(3)
    );
    println!(
        "{shape:?}: half to an eighth {:.2}x, all to a quarter {:.2}x (at most {MOST_FOR_FOUR}x), all to an eighth {:.2}x {}",
        found[0],
        found[1],
        median(to_eighth),
        if holds { "holds" } else { "BROKEN" }
    );
    holds
}

/// The document in `fixtures/saml/` that takes longest, good or bad, at its best of several runs.
fn slowest_exhibit(trust: &Trust, now: chrono::DateTime<chrono::Utc>) -> (String, Duration) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/saml");
    let files = ["valid", "attacks"]
        .into_iter()
        .flat_map(|hall| std::fs::read_dir(format!("{folder}/{hall}")).unwrap());
    let timed = files.map(|file| {
        let path = file.unwrap().path();
        let body = form(std::fs::read(&path).unwrap());
        let runs = (0..RUNS).map(|_| time_once(|| drop(black_box(judge(&body, trust, now)))));
        (path.display().to_string(), runs.min().unwrap())
    });
    timed.max_by_key(|(_, took)| *took).unwrap()
}

fn time_once(run: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    run();
    begun.elapsed()
}

fn form(xml: impl AsRef<[u8]>) -> String {
    let encoded = STANDARD.encode(xml);
    format!(
        "SAMLResponse={}",
        percent_encode(encoded.as_bytes(), NON_ALPHANUMERIC)
    )
}

/// Everything from the form's body to the verified assertion, which must be a good one.
fn validate(body: &str, trust: &Trust, now: chrono::DateTime<chrono::Utc>) {
    black_box(judge(body, trust, now).unwrap());
}

fn judge(
    body: &str,
    trust: &Trust,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<VerifiedAssertion, Refusal> {
    let here = ["https://gate.example.org/saml/acs".to_owned()];
    let names = AttributeNames::default();
    let expectation = Expectation {
        trust,
        audiences: &["urn:amazon:webservices".to_owned()],
        recipients: &here,
        destinations: &here,
        request: None,
        require: RequireSigned::Assertion,
        skew: TimeDelta::seconds(60),
        attributes: &names,
        user_domains: &[],
        strict_certificates: false,
        decryption_keys: &[],
        now,
    };
    let kind = Some("application/x-www-form-urlencoded");
    let form = RawResponse::from_form(kind, None, body.as_bytes()).unwrap();
    verify(form.response.read()?, &expectation)
}

/// The least: parse, canonicalise, hash, verify.
struct Floor {
    key: PKey<Public>,
    signature: Vec<u8>,
}

impl Floor {
    fn of(xml: &str) -> Self {
        let private = PKey::private_key_from_pem(KEY).unwrap();
        let mut signer = Signer::new(MessageDigest::sha256(), &private).unwrap();
        let signature = signer.sign_oneshot_to_vec(&canonical::form(xml)).unwrap();
        let key = PKey::public_key_from_pem(&private.public_key_to_pem().unwrap()).unwrap();
        Self { key, signature }
    }

    fn run(&self, xml: &str) {
        let text = canonical::form(xml);
        let mut verifier = Verifier::new(MessageDigest::sha256(), &self.key).unwrap();
        assert!(verifier.verify_oneshot(&self.signature, &text).unwrap());
    }
}

#[expect(
    unsafe_code,
    reason = "libxml2's canonicalisation has no safe wrapper; it is the measure here"
)]
mod canonical {
    use libxml::bindings::{xmlC14NDocDumpMemory, xmlC14NMode_XML_C14N_EXCLUSIVE_1_0};

    unsafe extern "C" {
        fn free(pointer: *mut std::ffi::c_void);
    }

    /// The exclusive canonical form of a whole document.
    pub(super) fn form(xml: &str) -> Vec<u8> {
        let document = libxml::parser::Parser::default().parse_string(xml).unwrap();
        let mut text = std::ptr::null_mut();
        // SAFETY: the document lives to the end of this function; libxml2 gives `length` bytes in memory
        // of malloc's, which is copied and freed once.
        unsafe {
            let length = xmlC14NDocDumpMemory(
                document.doc_ptr(),
                std::ptr::null_mut(),
                i32::try_from(xmlC14NMode_XML_C14N_EXCLUSIVE_1_0).unwrap(),
                std::ptr::null_mut(),
                0,
                &raw mut text,
            );
            let length = usize::try_from(length).unwrap();
            let copy = std::slice::from_raw_parts(text, length).to_vec();
            free(text.cast());
            copy
        }
    }
}

fn time(repeats: u32, mut run: impl FnMut()) -> Duration {
    let begun = Instant::now();
    for _ in 0..repeats {
        run();
    }
    begun.elapsed() / repeats
}

fn ratio(a: Duration, b: Duration) -> f64 {
    a.as_secs_f64() / b.as_secs_f64()
}

fn median(mut ratios: Vec<f64>) -> f64 {
    ratios.sort_unstable_by(f64::total_cmp);
    ratios[ratios.len() / 2]
}
