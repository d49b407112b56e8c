//! The catalogue: every class of attack that the list of threats names, and what shows it.
//!
//! A class is shown by a document of the manifest, by a form in `posts.rs`, or by a test that is named
//! here and must exist. The chapter `src/manual/threats.rs` must speak of the same classes, no more and
//! no fewer.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use chrono::TimeDelta;
use rolegate::model::SignIn;
use rolegate::saml::prepare;

use super::{folder, form, judge, manifest, posts, trust};

/// The classes, by group.
const CLASSES: &[(&str, &[u32])] = &[
    ("SIG", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]),
    (
        "XSW",
        &[
            1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19,
        ],
    ),
    (
        "REF",
        &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17],
    ),
    ("XML", &[1, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14]),
    ("COND", &[1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]),
    ("REP", &[1, 2, 3, 4, 6, 7, 9]),
    ("ATT", &[1, 2, 4, 5, 6, 7, 9, 10, 11, 13]),
    ("WEB", &[1, 2, 3, 4, 5, 6, 8]),
    ("ENC", &[1, 2, 3, 4, 5, 6, 7]),
];

/// Classes that a test shows, beside documents or instead of them: class, file, function.
const TESTS: &[(&str, &str, &str)] = &[
    (
        "SIG-07",
        "src/saml/metadata.rs",
        "refuses_weak_and_other_keys",
    ),
    (
        "SIG-08",
        "src/saml/metadata.rs",
        "tells_of_expired_certificates_and_refuses_them_when_strict",
    ),
    (
        "REF-07",
        "tests/it/museum.rs",
        "references_open_no_file_no_fifo_and_no_connection",
    ),
    (
        "REF-08",
        "tests/it/sign_in.rs",
        "a_reference_to_a_device_opens_nothing_and_takes_no_time",
    ),
    (
        "REF-08",
        "tests/it/museum.rs",
        "the_library_itself_opens_nothing",
    ),
    (
        "XML-08",
        "src/saml/xml.rs",
        "refuses_what_is_not_well_formed",
    ),
    (
        "XML-10",
        "tests/it/sign_in.rs",
        "a_body_that_never_ends_is_not_waited_for",
    ),
    ("XML-12", "src/saml/form.rs", "refuses_every_other_form"),
    (
        "XML-12",
        "tests/it/museum/posts.rs",
        "bodies_that_say_their_length_twice_are_refused_and_chunks_are_not",
    ),
    (
        "COND-06",
        "src/store/requests.rs",
        "a_request_lives_ten_minutes",
    ),
    (
        "COND-06",
        "tests/it/sign_in.rs",
        "a_request_that_is_not_ours_is_refused",
    ),
    (
        "COND-06",
        "tests/it/sign_in.rs",
        "a_sign_in_that_we_began_needs_no_confirmation_and_returns",
    ),
    ("COND-09", "src/saml/time.rs", "refuses_every_other_format"),
    (
        "REP-01",
        "tests/it/museum.rs",
        "a_signed_response_is_accepted_once_by_either_id",
    ),
    (
        "REP-01",
        "src/store/ledger.rs",
        "one_known_id_refuses_all_and_takes_none",
    ),
    (
        "REP-02",
        "tests/it/sign_in.rs",
        "sixty_four_copies_at_once_are_one_sign_in",
    ),
    (
        "REP-02",
        "src/store/ledger.rs",
        "of_64_at_once_exactly_one_is_fresh",
    ),
    (
        "REP-03",
        "src/store/ledger.rs",
        "what_one_replica_accepted_no_other_accepts",
    ),
    (
        "REP-03",
        "src/store/ledger.rs",
        "a_replay_is_still_one_after_a_restart_and_a_purge",
    ),
    (
        "REP-04",
        "tests/it/museum.rs",
        "a_signed_response_is_accepted_once_by_either_id",
    ),
    (
        "REP-06",
        "tests/it/sign_in.rs",
        "a_kill_under_load_loses_no_sign_in_that_was_acknowledged",
    ),
    (
        "REP-07",
        "tests/it/museum/catalogue.rs",
        "what_is_forgotten_is_refused_for_its_age",
    ),
    (
        "REP-09",
        "tests/it/jobs.rs",
        "trouble_at_sts_denies_the_grant_and_not_the_sign_in",
    ),
    (
        "ATT-07",
        "src/model/pattern.rs",
        "an_exact_arn_matches_itself_alone",
    ),
    (
        "ATT-09",
        "src/policy/tests.rs",
        "a_role_that_was_not_offered_is_denied_however_wide_the_list",
    ),
    (
        "ATT-09",
        "tests/it/jobs.rs",
        "a_launcher_reaches_as_far_as_its_token",
    ),
    (
        "ATT-13",
        "tests/it/museum.rs",
        "a_bad_role_value_is_a_refused_offer_and_stops_no_other",
    ),
    (
        "WEB-01",
        "tests/it/sign_in.rs",
        "a_browser_confirms_before_it_becomes_somebody",
    ),
    (
        "WEB-02",
        "tests/it/sign_in.rs",
        "a_sign_in_that_we_began_needs_no_confirmation_and_returns",
    ),
    (
        "WEB-03",
        "src/flow/sign_in/rules.rs",
        "goes_only_where_it_was_told",
    ),
    (
        "WEB-03",
        "tests/it/museum/strangers.rs",
        "a_relay_state_leads_nowhere_else_and_writes_no_header_or_log_line",
    ),
    (
        "WEB-04",
        "tests/it/museum/strangers.rs",
        "a_sign_in_makes_a_session_of_its_own",
    ),
    (
        "WEB-06",
        "tests/it/routes.rs",
        "every_answer_carries_the_headers_that_guard_it",
    ),
    (
        "WEB-08",
        "tests/it/museum/strangers.rs",
        "a_stranger_cannot_tell_one_refused_document_from_another",
    ),
    (
        "WEB-08",
        "tests/it/sign_in.rs",
        "refusals_look_alike_outside_and_differ_inside",
    ),
];

fn source(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn classes() -> BTreeSet<String> {
    let named = |(group, numbers): &(&str, &[u32])| {
        let group = (*group).to_owned();
        let named = numbers.iter().map(move |n| format!("{group}-{n:02}"));
        named.collect::<Vec<_>>()
    };
    CLASSES.iter().flat_map(named).collect()
}

/// Whether `text` is a class's name.
fn is_class(text: &str) -> bool {
    let Some((group, number)) = text.split_once('-') else {
        return false;
    };
    CLASSES.iter().any(|(known, _)| *known == group)
        && number.len() == 2
        && number.bytes().all(|byte| byte.is_ascii_digit())
}

#[test]
fn every_class_is_shown_and_every_named_test_exists() {
    let mut shown: BTreeMap<String, usize> = BTreeMap::new();
    for exhibit in manifest() {
        if is_class(&exhibit.id) {
            *shown.entry(exhibit.id).or_default() += 1;
        } else {
            assert!(
                ["GOOD", "BENCH"].contains(&exhibit.id.as_str()),
                "{}",
                exhibit.id
            );
        }
    }
    for id in posts::SHOWN {
        *shown.entry((*id).to_owned()).or_default() += 1;
    }
    for (id, file, function) in TESTS {
        let text = source(file);
        let declared = text.contains(&format!("fn {function}("));
        assert!(declared, "{id}: {file} has no test {function}");
        *shown.entry((*id).to_owned()).or_default() += 1;
    }
    let expected = classes();
    let found: BTreeSet<String> = shown.keys().cloned().collect();
    assert_eq!(found, expected);
}

#[test]
fn most_classes_of_documents_have_several_constructions() {
    let mut count: BTreeMap<String, usize> = BTreeMap::new();
    for exhibit in manifest() {
        *count.entry(exhibit.id).or_default() += 1;
    }
    // Two kinds of Assertion side by side: there is no other way to put it.
    let once = ["XSW-17"];
    for (id, found) in count {
        assert!(
            found > 1 || once.contains(&id.as_str()),
            "{id} has one construction"
        );
    }
}

#[test]
fn the_chapter_of_threats_speaks_of_the_same_classes() {
    let chapter = source("src/manual/threats.rs");
    let words = chapter.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    let mut named: BTreeSet<String> = BTreeSet::new();
    for word in words {
        let word = word.trim_matches('-');
        if is_class(word) {
            named.insert(word.to_owned());
        }
    }
    assert_eq!(named, classes());
    for exhibit in manifest() {
        let Some(source) = exhibit.source else {
            continue;
        };
        for cve in source
            .split([',', ' ', '('])
            .filter(|word| word.starts_with("CVE-"))
        {
            assert!(
                chapter.contains(cve),
                "{cve} of {} is not in the chapter",
                exhibit.file
            );
        }
    }
}

/// An id is kept as long as the document could be taken, and longer: there is no gap between the two.
#[test]
fn what_is_forgotten_is_refused_for_its_age() {
    prepare().unwrap();
    for mut exhibit in manifest() {
        if exhibit.expect != "accepted" {
            continue;
        }
        let body = form(&std::fs::read(folder().join(&exhibit.file)).unwrap());
        let trust = trust(&exhibit.metadata, exhibit.at);
        let verified = judge(&exhibit, &trust, &body).unwrap();
        assert!(verified.remember_until() >= exhibit.at + TimeDelta::hours(24));
        exhibit.at = verified.remember_until();
        let refused = judge(&exhibit, &trust, &body).unwrap_err();
        assert_eq!(refused.code(), "issue_instant", "{}", exhibit.file);
    }
}
