//! Good responses changed at random: accepted only if what is read of them is unchanged.
//!
//! Three kinds of mutants: of structure (elements, attributes, namespaces, texts), of the document's bytes, and
//! of the form it is posted in. The dice are the same in every run. `PROPTEST_CASES=100000` throws them more
//! often, `PROPTEST_RNG_SEED` throws others; a failure prints the smallest mutant found.

mod mutator;
pub(crate) mod tree;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use proptest::collection::vec;
use proptest::prelude::{any, prop_assert, prop_assert_eq};
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};
use rolegate::saml::RawResponse;

use crate::judges::door::{Door, Reading};
use crate::judges::museum::valid;
use crate::judges::opinions;
use mutator::{Dice, change, change_bytes, wrapped_signature};

/// What is mutated: every way of signing and of writing.
const ORIGINALS: &[&str] = &[
    "okta-like",
    "response-signed",
    "both-signed",
    "sp-initiated",
    "signed-by-xmlsec",
    "key-info-of-keycloak",
    "line-ends-of-java",
    "declaration-and-line-ends",
    "one-time-use",
];

struct Original {
    name: &'static str,
    document: String,
    door: Door,
    reading: Reading,
}

fn originals() -> Vec<Original> {
    let exhibits = valid();
    let original = |name: &&'static str| {
        let file = format!("valid/{name}.xml");
        let exhibit = exhibits.iter().find(|exhibit| exhibit.file == file);
        let exhibit = exhibit.unwrap_or_else(|| panic!("{file} is not in the museum"));
        let (document, door) = (exhibit.document(), exhibit.door());
        let reading = door.judge(&document).unwrap();
        Original {
            name,
            document,
            door,
            reading,
        }
    };
    ORIGINALS.iter().map(original).collect()
}

/// As many cases as the environment says, or `cases`; the same ones each time unless it says otherwise.
fn runner(cases: u32) -> TestRunner {
    let mut config = Config {
        failure_persistence: None,
        ..Config::default()
    };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = cases;
    }
    if std::env::var_os("PROPTEST_RNG_SEED").is_none() {
        config.rng_seed = RngSeed::Fixed(20_260_115);
    }
    TestRunner::new(config)
}

/// What became of the mutants.
#[derive(Default)]
struct Tally {
    accepted: Cell<u32>,
    refused: RefCell<BTreeMap<&'static str, u32>>,
    slowest: Cell<Duration>,
}

impl Tally {
    /// Holds a mutant up and counts it. Accepted is only what says the same as the original, and that
    /// bergshamra takes too.
    fn judge(
        &self,
        original: &Original,
        document: Option<&str>,
        raw: impl Fn() -> Result<RawResponse, &'static str>,
    ) -> Result<(), TestCaseError> {
        let begun = Instant::now();
        let outcome = original.door.judge_raw(&raw);
        let mut took = begun.elapsed();
        if took > Duration::from_millis(50) {
            // The machine may have been busy with something else: what is slow is slow again.
            let again = Instant::now();
            drop(original.door.judge_raw(&raw));
            took = took.min(again.elapsed());
        }
        self.slowest.set(self.slowest.get().max(took));
        let reading = match outcome {
            Ok(reading) => reading,
            Err(code) => {
                *self.refused.borrow_mut().entry(code).or_default() += 1;
                return Ok(());
            }
        };
        self.accepted.set(self.accepted.get() + 1);
        prop_assert!(
            reading.says(&original.reading),
            "{} was accepted changed:\n{reading:#?}\n{document:?}",
            original.name
        );
        if let Some(document) = document.filter(|document| *document != original.document) {
            let second = opinions::bergshamra(&original.door.metadata, document);
            prop_assert_eq!(second, Ok(()), "{}: {}", original.name, document);
        }
        Ok(())
    }

    /// The mutants must be neither all good nor all bad, nor all bad for one reason; none may take long.
    fn is_worth_something(&self, least_accepted: u32, reasons: &[&str]) {
        let refused: u32 = self.refused.borrow().values().sum();
        let accepted = self.accepted.get();
        println!(
            "accepted {accepted}, refused {refused}, slowest {:?}: {:?}",
            self.slowest.get(),
            self.refused.borrow()
        );
        let all = accepted + refused;
        assert!(
            accepted * 1000 >= all * least_accepted,
            "{accepted} of {all} are accepted"
        );
        assert!(refused * 2 > all, "{refused} of {all} are refused");
        // A few cases alone need not meet them all.
        for reason in reasons.iter().filter(|_| all >= 500) {
            assert!(
                self.refused.borrow().contains_key(reason),
                "none is refused for {reason}"
            );
        }
        assert!(
            self.slowest.get() < Duration::from_secs(1),
            "one took {:?}",
            self.slowest.get()
        );
    }
}

#[test]
fn a_response_changed_in_structure_is_refused_or_says_the_same() {
    let (originals, tally) = (originals(), Tally::default());
    let steps = vec(any::<[u32; 6]>(), 1..4);
    runner(1200)
        .run(&(0..originals.len(), steps), |(which, steps)| {
            let original = &originals[which];
            let mutant = steps.iter().fold(original.document.clone(), |text, step| {
                change(&text, &mut Dice::new(step))
            });
            let encoded = STANDARD.encode(&mutant);
            tally.judge(original, Some(&mutant), || {
                RawResponse::from_text(&encoded).map_err(|error| error.code())
            })
        })
        .unwrap_or_else(|error| panic!("{error}"));
    tally.is_worth_something(
        50,
        &[
            "signature_invalid",
            "malformed",
            "markup",
            "namespace",
            "unexpected_element",
            "assertion_place",
            "signature_place",
        ],
    );
}

/// What the moves are worth: to ask only whether the signatures hold is not enough against them.
#[test]
fn a_wrapped_signature_is_refused_though_it_holds() {
    let (originals, tally) = (originals(), Tally::default());
    let holding = Cell::new(0);
    runner(250)
        .run(&(0..originals.len(), any::<[u32; 8]>()), |(which, dice)| {
            let original = &originals[which];
            let mutant = wrapped_signature(&original.document, &mut Dice::new(&dice));
            let Some(mutant) = mutant.filter(|text| text.contains("admin@example.org")) else {
                return Ok(());
            };
            if opinions::bergshamra(&original.door.metadata, &mutant).is_ok() {
                holding.set(holding.get() + 1);
            }
            tally.judge(original, Some(&mutant), || {
                RawResponse::from_text(&mutant).map_err(|error| error.code())
            })
        })
        .unwrap_or_else(|error| panic!("{error}"));
    println!("{} forged with signatures that hold", holding.get());
    let all: u32 = tally.refused.borrow().values().sum();
    assert!(
        holding.get() * 50 >= all || all < 100,
        "{} of {all}",
        holding.get()
    );
    assert_eq!(tally.accepted.get(), 0, "a forged copy was put in place");
}

#[test]
fn a_response_changed_in_its_bytes_is_refused_or_says_the_same() {
    let (originals, tally) = (originals(), Tally::default());
    let steps = vec(any::<[u32; 5]>(), 1..4);
    runner(800)
        .run(&(0..originals.len(), steps), |(which, steps)| {
            let original = &originals[which];
            let mut bytes = original.document.clone().into_bytes();
            for step in &steps {
                change_bytes(&mut bytes, &mut Dice::new(step));
            }
            let encoded = STANDARD.encode(&bytes);
            tally.judge(original, std::str::from_utf8(&bytes).ok(), || {
                RawResponse::from_text(&encoded).map_err(|error| error.code())
            })
        })
        .unwrap_or_else(|error| panic!("{error}"));
    tally.is_worth_something(5, &["signature_invalid", "malformed", "not_utf8"]);
}

#[test]
fn a_form_changed_in_its_bytes_is_refused_or_says_the_same() {
    let (originals, tally) = (originals(), Tally::default());
    let steps = vec(any::<[u32; 5]>(), 1..3);
    runner(500)
        .run(&(0..originals.len(), steps), |(which, steps)| {
            let original = &originals[which];
            let encoded = STANDARD.encode(&original.document);
            let value = percent_encode(encoded.as_bytes(), NON_ALPHANUMERIC);
            let mut body = format!("SAMLResponse={value}&RelayState=r").into_bytes();
            for step in &steps {
                change_bytes(&mut body, &mut Dice::new(step));
            }
            tally.judge(original, None, || {
                let kind = Some("application/x-www-form-urlencoded");
                RawResponse::from_form(kind, None, &body)
                    .map(|form| form.response)
                    .map_err(|error| error.code())
            })
        })
        .unwrap_or_else(|error| panic!("{error}"));
    tally.is_worth_something(5, &["signature_invalid", "not_base64"]);
}
