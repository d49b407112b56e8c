//! From a document that passed the gate to the bytes that were signed.
//!
//! It trusts the keys of the one provider it is given, and xmlsec to compute a signature. Every
//! signature in the document must verify with one and the same key of that provider: a bad one is
//! never passed over because another is good. What comes out is read anew and held against
//! what the gate saw.

use super::engine;
use super::gate::{self, Signed, View};
use super::refusal::{Refusal, cut};
use super::self_test;
use super::structure;
use super::trust::SigningKey;
use super::verify::Expectation;
use super::xml::{self, Element, Limits, Space};
use crate::model::rfc3339;

/// Verifies every signature of `xml`, which are those that `signed` says, and returns the bytes that they
/// cover: the Response where it is signed, else the Assertion.
pub(super) fn covered(
    xml: &str,
    signed: Signed,
    expectation: &Expectation<'_>,
) -> Result<String, Refusal> {
    covered_by(xml, signed, expectation, None).map(|(text, _)| text)
}

/// As [`covered`], and which key it was; with `only`, no other counts.
pub(super) fn covered_by<'e>(
    xml: &str,
    signed: Signed,
    expectation: &Expectation<'e>,
    only: Option<&SigningKey>,
) -> Result<(String, &'e SigningKey), Refusal> {
    let Expectation {
        trust,
        strict_certificates,
        now,
        ..
    } = *expectation;
    if !self_test::engine_is_up() {
        return Err(Refusal::Engine {});
    }
    let Signed {
        response: first,
        assertion: second,
    } = signed;
    let fits = |key: &&SigningKey| [first, second].contains(&Some(key.kind));
    let good = |key: &&SigningKey| !strict_certificates || now < key.not_after;
    let keys: Vec<&SigningKey> = trust.keys.iter().filter(fits).collect();
    if let Some(latest) = keys.iter().map(|key| key.not_after).max()
        && !keys.iter().any(good)
    {
        return Err(Refusal::CertificateExpired {
            not_after: rfc3339(latest),
        });
    }
    keys.into_iter()
        .filter(|key| good(key) && only.is_none_or(|only| std::ptr::eq(*key, only)))
        .find_map(|key| Some((engine::reduce(xml, &key.der)?, key)))
        .ok_or(Refusal::SignatureInvalid {})
}

/// Reads the covered bytes; the root must be what the gate expected.
pub(super) fn read<'t>(covered: &'t str, before: &View) -> Result<Element<'t>, Refusal> {
    let root = xml::read(covered, Limits::RESPONSE)
        .map_err(|refusal| differs("document", "readable", refusal.code()))?;
    if before.signed.response.is_some() {
        compare_response(&root, before)?;
    } else {
        if !root.is(Space::Assertion, "Assertion") {
            return Err(differs("root", "Assertion", root.local));
        }
        structure::check_assertion(&root)
            .map_err(|refusal| differs("shape", "good", refusal.code()))?;
        compare_assertion(&root, before)?;
    }
    Ok(root)
}

/// The Assertion in what [`read`] returned.
pub(super) fn assertion<'e, 'a>(root: &'e Element<'a>) -> Result<&'e Element<'a>, Refusal> {
    if root.is(Space::Assertion, "Assertion") {
        return Ok(root);
    }
    root.only(Space::Assertion, "Assertion")
        .ok_or_else(|| differs("Assertion", "one", "none or several"))
}

fn compare_response(root: &Element<'_>, before: &View) -> Result<(), Refusal> {
    if !root.is(Space::Protocol, "Response") {
        return Err(differs("root", "Response", root.local));
    }
    let bad = |refusal: Refusal| differs("shape", "good", refusal.code());
    let assertion = structure::check_structure(root).map_err(bad)?;
    let after = gate::view(root, assertion, before.signed).map_err(bad)?;
    same("Response ID", &before.response.id, &after.response.id)?;
    same("Assertion ID", &before.assertion_id, &after.assertion_id)?;
    same("Issuer", &before.assertion_issuer, &after.assertion_issuer)?;
    if *before == after {
        Ok(())
    } else {
        Err(differs("Response", "one view", "another"))
    }
}

fn compare_assertion(root: &Element<'_>, before: &View) -> Result<(), Refusal> {
    same(
        "Assertion ID",
        &before.assertion_id,
        root.attribute("ID").unwrap_or_default(),
    )?;
    let issuer = root
        .only(Space::Assertion, "Issuer")
        .and_then(Element::text);
    same(
        "Issuer",
        &before.assertion_issuer,
        issuer.unwrap_or_default(),
    )
}

fn same(what: &'static str, before: &str, verified: &str) -> Result<(), Refusal> {
    if before == verified {
        Ok(())
    } else {
        Err(differs(what, before, verified))
    }
}

pub(super) fn differs(what: &'static str, before: &str, verified: &str) -> Refusal {
    Refusal::VerifiedDiffers {
        what,
        before: cut(before),
        verified: cut(verified),
    }
}
