//! Changed copies of real responses: refused, or, where the change is to what nobody signed, read the same.

use regex_lite::Regex;

use super::{METADATA, all_of, now};
use crate::judges::door::{Door, Reading};
use crate::judges::museum::spoilt;
use crate::judges::opinions;
use crate::mutants::tree::{scan, splice};
use crate::parts::signers::{Made, Signer};

/// What was done to a copy, and the copy.
type Copy = (String, String);

/// Every copy in which something that matters was changed is refused by the door and, where it is the
/// signature that does not hold, by bergshamra.
pub(super) fn all_refused(door: &Door, document: &str) {
    let copies = certain(document);
    assert!(copies.len() > 25, "{} copies of {document}", copies.len());
    for (what, copy) in copies {
        assert_ne!(copy, document, "{what}");
        let code = door.judge(&copy).expect_err(&what);
        if code == "signature_invalid" {
            let second = opinions::bergshamra(&door.metadata, &copy);
            assert!(second.is_err(), "bergshamra takes it: {what}");
        }
    }
}

/// Every element and attribute changed, removed and doubled: refused, or read the same.
pub(super) fn never_another(door: &Door, original: &Reading, document: &str) {
    let (mut refused, mut same) = (0, 0);
    for (what, copy) in everywhere(document) {
        match door.judge(&copy) {
            Ok(reading) => {
                assert!(reading.says(original), "{what}: {copy}");
                same += 1;
            }
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 100, "{refused} refused, {same} the same");
    assert!(same > 0, "what nobody signed may change");
}

/// Copies in which what was signed is changed, or that it was signed at all.
fn certain(document: &str) -> Vec<Copy> {
    let mut copies = texts(document);
    copies.extend(other_attributes(document));
    copies.extend(more_elements(document));
    copies.extend(other_ids(document));
    copies
}

/// Every text that is read, every signature and digest; the signatures removed.
fn texts(document: &str) -> Vec<Copy> {
    let read = ["AttributeValue", "NameID", "Issuer", "Audience"];
    let signed = ["SignatureValue", "DigestValue"];
    let mut copies = Vec::new();
    for element in scan(document) {
        let name = &document[element.name.clone()];
        let text = &document[element.inside.clone()];
        let is_one_of = |names: &[&str]| names.iter().any(|local| element.is(document, local));
        if is_one_of(&read) {
            let other = splice(document, &element.inside, &format!("x{text}"));
            copies.push((format!("the text of {name}"), other));
        } else if is_one_of(&signed) {
            copies.push((format!("a letter of {name}"), spoilt(document, text)));
        }
    }
    copies.push(("no signature".to_owned(), unsigned(document)));
    copies
}

fn unsigned(document: &str) -> String {
    let signature = scan(document)
        .into_iter()
        .find(|element| element.is(document, "Signature"));
    signature.map_or_else(
        || document.to_owned(),
        |element| unsigned(&splice(document, &element.whole, "")),
    )
}

/// Times, addresses and names in the Assertion, each changed.
fn other_attributes(document: &str) -> Vec<Copy> {
    let assertion = Regex::new(r"<(?:\w+:)?Assertion[\s>]").unwrap();
    let begins = assertion.find(document).unwrap().start();
    let mut copies = Vec::new();
    for element in scan(document) {
        for attribute in &element.attributes {
            let name = &document[attribute.name.clone()];
            let value = &document[attribute.value.clone()];
            let other = match name {
                "NotBefore"
                | "NotOnOrAfter"
                | "IssueInstant"
                | "AuthnInstant"
                | "SessionNotOnOrAfter" => another_second(value),
                "Recipient" | "Name" | "Method" | "Version" | "Format" | "SessionIndex" => {
                    format!("{value}x")
                }
                _ => continue,
            };
            if element.whole.start >= begins {
                let what = format!("{name} of {}", &document[element.name.clone()]);
                copies.push((what, splice(document, &attribute.value, &other)));
            }
        }
    }
    copies
}

/// The time with another last digit of its seconds.
fn another_second(time: &str) -> String {
    let at = time.find(['.', 'Z']).unwrap() - 1;
    let digit = if time[at..].starts_with('1') {
        "2"
    } else {
        "1"
    };
    splice(time, &(at..at + 1), digit)
}

/// An attribute, a value, an assertion, a confirmation more, the same again and with another user.
fn more_elements(document: &str) -> Vec<Copy> {
    let elements = scan(document);
    let mut copies = Vec::new();
    for local in [
        "Assertion",
        "Signature",
        "Subject",
        "NameID",
        "SubjectConfirmation",
        "Audience",
        "Attribute",
        "AttributeValue",
    ] {
        let first = elements.iter().find(|element| element.is(document, local));
        let element = first.unwrap_or_else(|| panic!("there is no {local}"));
        let again = &document[element.whole.clone()];
        let at = element.whole.end..element.whole.end;
        for more in [again.to_owned(), again.replace("alice", "admin")] {
            copies.push((format!("{local} twice"), splice(document, &at, &more)));
        }
    }
    copies
}

/// The ID of what is signed, alone and with the Reference to it.
fn other_ids(document: &str) -> Vec<Copy> {
    let elements = scan(document);
    let mut copies = Vec::new();
    for parent in opinions::signed_elements(document) {
        let element = elements.iter().find(|element| element.is(document, parent));
        let id = element.unwrap().attribute(document, "ID").unwrap();
        let alone = document.replacen(&format!("ID=\"{id}\""), "ID=\"_other\"", 1);
        copies.push((format!("the ID of the {parent}"), alone));
        let with_reference = document.replace(id, "_other");
        copies.push((
            format!("the ID of the {parent} and its Reference"),
            with_reference,
        ));
    }
    copies
}

/// Every element removed and doubled, every attribute changed and removed, another certificate.
fn everywhere(document: &str) -> Vec<Copy> {
    let other = include_str!("../../../../fixtures/saml/other.crt");
    let lines = other.lines().filter(|line| !line.contains("---"));
    let other: String = lines.collect();
    let mut copies = Vec::new();
    for element in scan(document) {
        let name = &document[element.name.clone()];
        let whole = &document[element.whole.clone()];
        let end = element.whole.end..element.whole.end;
        copies.push((
            format!("{name} removed"),
            splice(document, &element.whole, ""),
        ));
        copies.push((format!("{name} twice"), splice(document, &end, whole)));
        if element.is(document, "X509Certificate") {
            let swapped = splice(document, &element.inside, &other);
            copies.push(("another certificate".to_owned(), swapped));
        }
        for attribute in &element.attributes {
            let what = format!("{} of {name}", &document[attribute.name.clone()]);
            let longer = format!("{}x", &document[attribute.value.clone()]);
            let changed = splice(document, &attribute.value, &longer);
            copies.push((format!("{what} changed"), changed));
            let without = splice(document, &attribute.whole, "");
            copies.push((format!("{what} removed"), without));
        }
    }
    copies
}

#[test]
fn changed_copies_of_pysaml2s_and_signxmls_responses_are_refused() {
    for signer in Signer::ALL {
        let door = Door::new(METADATA, now());
        let looked_at = |made: &&Made| made.hash == "sha256" && made.sign != "none";
        for made in all_of(signer).iter().filter(looked_at) {
            let reading = door.judge(&made.document).unwrap();
            all_refused(&door, &made.document);
            if made.sign == "assertion" {
                never_another(&door, &reading, &made.document);
            }
        }
    }
}
