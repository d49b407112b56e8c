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
use super::signature_shape::KeyKind;
use super::step::Step;
use super::structure::{check_assertion, check_clear, check_ids, check_names, ids};
use super::trust::SigningKey;
use super::verify::{Covered, Expectation};
use super::xml::{self, Element, Limits, Space};

/// The signed bytes of the assertion in an encrypted `response`, if enough is signed.
pub(super) fn covered(
    response: &UnverifiedResponse,
    expectation: &Expectation<'_>,
    passed: &mut dyn FnMut(Step),
) -> Result<Covered, Refusal> {
    let (outer, key) = outer(response, expectation)?;
    let (sealed, taken) = {
        let root = xml::read(&outer, Limits::RESPONSE)
            .map_err(|refusal| differs("document", "readable", refusal.code()))?;
        (sealed(&root, response)?, ids(&root))
    };
    if key.is_some() {
        passed(Step::Signature);
    }
    check_openable(&sealed, key.is_some(), expectation)?;
    passed(Step::Encryption);
    let plain = decryption::open(&sealed, expectation.decryption_keys)?;
    passed(Step::Decryption);
    let inside = Inside::of(&plain, response, &taken)?;
    let signed = Signed {
        response: response.view().signed.response,
        assertion: inside.signature,
    };
    if signed == Signed::NOTHING {
        return Err(Refusal::Unsigned {});
    }
    check_signed(signed, expectation.require)?;
    passed(Step::Content);
    if inside.signature.is_none() {
        return Ok(Covered::decrypted(plain, signed));
    }
    let text = inside.verified(&plain, expectation, key)?;
    passed(Step::InnerSignature);
    Ok(Covered::decrypted(text, signed))
}

/// AES-CBC is opened under a signature alone, and nothing without a key.
fn check_openable(
    sealed: &Sealed,
    is_signed: bool,
    expectation: &Expectation<'_>,
) -> Result<(), Refusal> {
    if matches!(sealed.block, Block::Cbc { .. }) && !is_signed {
        return Err(Refusal::EncryptedCbcUnsigned {});
    }
    if expectation.decryption_keys.is_empty() {
        return Err(Refusal::EncryptedNoKey {});
    }
    Ok(())
}

/// What a plaintext says of itself before its signature is looked at.
#[derive(Debug)]
struct Inside {
    id: String,
    issuer: String,
    signature: Option<KeyKind>,
}

impl Inside {
    /// Reads `plain`, whose ID must be none of those `taken` around it, and whose Issuer the same as there.
    fn of(plain: &str, response: &UnverifiedResponse, taken: &[String]) -> Result<Self, Refusal> {
        let assertion = read(plain)?;
        let (id, issuer) = named(&assertion);
        if taken.contains(&id) {
            return Err(Refusal::DuplicateId { id: cut(&id) });
        }
        let outside = &response.view().assertion_issuer;
        if issuer != *outside {
            return Err(Refusal::IssuersDiffer {
                response: cut(outside),
                assertion: cut(&issuer),
            });
        }
        let signature = gate::signature_of(&assertion)?;
        Ok(Self {
            id,
            issuer,
            signature,
        })
    }

    /// The bytes of `plain` that its own signature covers, which must name what was named before.
    fn verified(
        &self,
        plain: &str,
        expectation: &Expectation<'_>,
        key: Option<&SigningKey>,
    ) -> Result<String, Refusal> {
        let signed = Signed {
            response: None,
            assertion: self.signature,
        };
        let (text, _) = signature::covered_by(plain, signed, expectation, key)?;
        let (id, issuer) = named(&read(&text)?);
        if id != self.id || issuer != self.issuer {
            return Err(differs("Assertion", &self.id, &id));
        }
        Ok(text)
    }
}

/// What the ciphertext is read from: the signed bytes where the Response is signed, and by which key; a
/// signature inside must be by the same.
fn outer<'r, 'e>(
    response: &'r UnverifiedResponse,
    expectation: &Expectation<'e>,
) -> Result<(Cow<'r, str>, Option<&'e SigningKey>), Refusal> {
    let signed = response.view().signed;
    if signed.response.is_none() {
        return Ok((response.xml().into(), None));
    }
    let (text, key) = signature::covered_by(response.xml(), signed, expectation, None)?;
    Ok((text.into(), Some(key)))
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
    let root = xml::read(plain, Limits::RESPONSE)?;
    check_names(&root)?;
    check_root(&root)?;
    check_clear(&root)?;
    check_assertion(&root)?;
    check_ids(&root, &root)?;
    gate::check_places(&root, &root)?;
    Ok(root)
}

fn check_root(root: &Element<'_>) -> Result<(), Refusal> {
    if root.is(Space::Assertion, "Assertion") {
        Ok(())
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
