//! A response whose assertion is encrypted: its order of steps (SAML 2.0 core, 2.3.4 and 6).
//!
//! A signed Response is verified over the ciphertext before anything is decrypted, so that nobody but the
//! provider can have us try a ciphertext; what is not covered by such a signature is taken in AES-GCM
//! alone. The plaintext is a document of a stranger: it passes the gate and the signature rules anew.

use std::borrow::Cow;

use super::conditions::check_signed;
use super::decryption;
use super::encrypted_shape::{self, Block, Sealed};
use super::gate::{self, Signed, UnverifiedResponse};
use super::lexis::check_characters;
use super::refusal::{Refusal, cut};
use super::signature::{self, differs};
use super::structure::{check_assertion, check_clear, check_ids, check_names};
use super::verify::{Covered, Expectation};
use super::xml::{self, Element, Limits, Space};

/// The signed bytes of the assertion in an encrypted `response`, if enough is signed.
pub(super) fn covered(
    response: &UnverifiedResponse,
    expectation: &Expectation<'_>,
) -> Result<Covered, Refusal> {
    let outer = outer(response, expectation)?;
    let sealed = {
        let root = xml::read(&outer, Limits::RESPONSE)
            .map_err(|refusal| differs("document", "readable", refusal.code()))?;
        sealed(&root, response)?
    };
    let around = response.view().signed.response;
    if matches!(sealed.block, Block::Cbc { .. }) && around.is_none() {
        return Err(Refusal::EncryptedCbcUnsigned {});
    }
    let plain = decryption::open(&sealed, expectation.decryption_keys)?;
    let (before, inside) = {
        let assertion = read(&plain)?;
        let id = assertion.attribute("ID").unwrap_or_default();
        if id == response.view().response.id {
            return Err(Refusal::DuplicateId { id: cut(id) });
        }
        (named(&assertion), gate::signature_of(&assertion)?)
    };
    let signed = Signed {
        response: around,
        assertion: inside,
    };
    if signed == Signed::NOTHING {
        return Err(Refusal::Unsigned {});
    }
    check_signed(signed, expectation.require)?;
    let text = if inside.is_some() {
        let own = Signed {
            response: None,
            ..signed
        };
        let text = signature::covered(&plain, own, expectation)?;
        let after = named(&verified(&text)?);
        if before != after {
            return Err(differs("Assertion", &before.0, &after.0));
        }
        text
    } else {
        plain
    };
    Ok(Covered::decrypted(text, signed))
}

/// What the ciphertext is read from: the signed bytes where the Response is signed.
fn outer<'r>(
    response: &'r UnverifiedResponse,
    expectation: &Expectation<'_>,
) -> Result<Cow<'r, str>, Refusal> {
    let signed = response.view().signed;
    if signed.response.is_none() {
        return Ok(response.xml().into());
    }
    signature::covered(response.xml(), signed, expectation).map(Cow::Owned)
}

/// The ciphertext, in a Response that reads as the gate saw it.
fn sealed(root: &Element<'_>, response: &UnverifiedResponse) -> Result<Sealed, Refusal> {
    let before = response.view();
    if before.signed.response.is_some() {
        let bad = |refusal: Refusal| differs("shape", "good", refusal.code());
        let after = gate::encrypted_view(root, before.signed).map_err(bad)?;
        if !root.is(Space::Protocol, "Response") || *before != after {
            return Err(differs("Response", "one view", "another"));
        }
    }
    let sealed = root.only(Space::Assertion, "EncryptedAssertion");
    encrypted_shape::read(sealed.ok_or_else(|| differs("EncryptedAssertion", "one", "none"))?)
}

/// The plaintext as the gate reads it: one Assertion and nothing around it.
pub(super) fn read(plain: &str) -> Result<Element<'_>, Refusal> {
    check_characters(plain)?;
    if plain.trim_start().starts_with("<?") {
        return Err(content("an XML declaration"));
    }
    let root = verified(plain)?;
    check_names(&root)?;
    check_clear(&root)?;
    check_assertion(&root)?;
    check_ids(&root, &root)?;
    gate::check_places(&root, &root)?;
    Ok(root)
}

fn verified(text: &str) -> Result<Element<'_>, Refusal> {
    let root = xml::read(text, Limits::RESPONSE)?;
    if root.is(Space::Assertion, "Assertion") {
        Ok(root)
    } else {
        Err(content(&format!("<{}>", cut(root.local))))
    }
}

/// ID and Issuer, which must be the same before and after the signature.
fn named(assertion: &Element<'_>) -> (String, String) {
    let issuer = assertion.only(Space::Assertion, "Issuer");
    (
        assertion.attribute("ID").unwrap_or_default().to_owned(),
        issuer
            .and_then(Element::text)
            .unwrap_or_default()
            .to_owned(),
    )
}

fn content(found: &str) -> Refusal {
    Refusal::EncryptedContent {
        found: found.to_owned(),
    }
}
