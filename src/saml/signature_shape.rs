//! The shape of a `ds:Signature` (rule 6): what xmlsec is asked to do is exactly this and no more.
//!
//! It trusts nothing: no key, certificate or address in the signature is ever used. XML Signature,
//! clauses 4.2 to 4.5, as narrowed by SAML 2.0 core, 5.4.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::lexis::is_white_space;
use super::refusal::{Refusal, cut};
use super::xml::{Element, Space};

const EXCLUSIVE: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";
const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";
/// A PrefixList longer than this is no identity provider's.
const MAX_PREFIX_LIST: usize = 256;
/// The base64 of an RSA signature of 16,384 bits, with room for line ends.
const MAX_SIGNATURE: usize = 4096;

/// The kind of key that a signature needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyKind {
    Rsa,
    Ec,
}

/// Checks `signature`, whose parent has the ID `parent_id`.
pub(super) fn check(signature: &Element<'_>, parent_id: &str) -> Result<KeyKind, Refusal> {
    let signed_infos = signature.all(Space::Signature, "SignedInfo").count();
    if signed_infos != 1 {
        return Err(shape(&format!("it has {signed_infos} SignedInfo")));
    }
    let (signed_info, value, key_info) = match signature.children.as_slice() {
        [signed_info, value] => (signed_info, value, None),
        [signed_info, value, key_info] => (signed_info, value, Some(key_info)),
        children => return Err(shape(&format!("it has {} children", children.len()))),
    };
    named(signed_info, "SignedInfo")?;
    check_value(value)?;
    if let Some(key_info) = key_info {
        check_key_info(key_info)?;
    }
    check_signed_info(signed_info, parent_id)
}

fn check_value(value: &Element<'_>) -> Result<(), Refusal> {
    let refused = || Refusal::SignatureValue {
        element: "SignatureValue",
    };
    named(value, "SignatureValue").map_err(|_| refused())?;
    let decoded = base64_text(value, MAX_SIGNATURE).ok_or_else(refused)?;
    if decoded.is_empty() {
        Err(refused())
    } else {
        Ok(())
    }
}

fn check_key_info(key_info: &Element<'_>) -> Result<(), Refusal> {
    named(key_info, "KeyInfo")?;
    let known = |child: &&Element<'_>| {
        child.space == Space::Signature
            && matches!(child.local, "X509Data" | "KeyName" | "KeyValue")
    };
    match key_info.children.iter().find(|child| !known(child)) {
        Some(other) => Err(Refusal::KeyInfo {
            found: cut(other.local),
        }),
        None => Ok(()),
    }
}

fn check_signed_info(signed_info: &Element<'_>, parent_id: &str) -> Result<KeyKind, Refusal> {
    let references = signed_info.all(Space::Signature, "Reference").count();
    if references != 1 {
        return Err(Refusal::ReferenceCount { found: references });
    }
    let [canonicalization, method, reference] = signed_info.children.as_slice() else {
        return Err(shape(&format!(
            "SignedInfo has {} children",
            signed_info.children.len()
        )));
    };
    named(canonicalization, "CanonicalizationMethod")?;
    named(method, "SignatureMethod")?;
    named(reference, "Reference")?;
    check_exclusive(canonicalization).map_err(|found| Refusal::Canonicalization { found })?;
    let kind = check_method(method)?;
    check_reference(reference, parent_id)?;
    Ok(kind)
}

fn check_method(method: &Element<'_>) -> Result<KeyKind, Refusal> {
    if !method.children.is_empty() {
        return Err(shape("SignatureMethod has parameters"));
    }
    let found = algorithm(method);
    match found.strip_prefix("http://www.w3.org/2001/04/xmldsig-more#") {
        Some("rsa-sha256" | "rsa-sha384" | "rsa-sha512") => Ok(KeyKind::Rsa),
        Some("ecdsa-sha256" | "ecdsa-sha384" | "ecdsa-sha512") => Ok(KeyKind::Ec),
        _ => Err(Refusal::SignatureAlgorithm { found: cut(found) }),
    }
}

fn check_reference(reference: &Element<'_>, parent_id: &str) -> Result<(), Refusal> {
    let found = reference.attribute("URI").unwrap_or("nothing");
    if found.strip_prefix('#') != Some(parent_id) || reference.attributes.len() != 1 {
        return Err(Refusal::Reference {
            found: cut(found),
            expected: cut(&format!("#{parent_id}")),
        });
    }
    let [transforms, method, value] = reference.children.as_slice() else {
        return Err(shape(&format!(
            "Reference has {} children",
            reference.children.len()
        )));
    };
    named(transforms, "Transforms")?;
    named(method, "DigestMethod")?;
    named(value, "DigestValue")?;
    check_transforms(transforms)?;
    check_digest(method, value)
}

fn check_transforms(transforms: &Element<'_>) -> Result<(), Refusal> {
    let refused = || Refusal::Transforms {
        found: cut(&transforms
            .children
            .iter()
            .map(algorithm)
            .collect::<Vec<_>>()
            .join(" ")),
    };
    let [enveloped, exclusive] = transforms.children.as_slice() else {
        return Err(refused());
    };
    named(enveloped, "Transform")?;
    named(exclusive, "Transform")?;
    if algorithm(enveloped) != ENVELOPED || !enveloped.children.is_empty() {
        return Err(refused());
    }
    check_exclusive(exclusive).map_err(|_| refused())
}

fn check_digest(method: &Element<'_>, value: &Element<'_>) -> Result<(), Refusal> {
    let length = match algorithm(method) {
        "http://www.w3.org/2001/04/xmlenc#sha256" => 32,
        "http://www.w3.org/2001/04/xmldsig-more#sha384" => 48,
        "http://www.w3.org/2001/04/xmlenc#sha512" => 64,
        other => return Err(Refusal::DigestAlgorithm { found: cut(other) }),
    };
    if !method.children.is_empty() {
        return Err(shape("DigestMethod has parameters"));
    }
    match base64_text(value, MAX_SIGNATURE) {
        Some(digest) if digest.len() == length => Ok(()),
        _ => Err(Refusal::SignatureValue {
            element: "DigestValue",
        }),
    }
}

/// Exclusive canonicalisation without comments, with a short PrefixList at most.
fn check_exclusive(method: &Element<'_>) -> Result<(), String> {
    let found = algorithm(method);
    if found != EXCLUSIVE {
        return Err(cut(found));
    }
    match method.children.as_slice() {
        [] => Ok(()),
        [inclusive]
            if inclusive.is(Space::ExclusiveC14n, "InclusiveNamespaces")
                && inclusive.children.is_empty()
                && inclusive
                    .attribute("PrefixList")
                    .is_some_and(|list| list.len() <= MAX_PREFIX_LIST) =>
        {
            Ok(())
        }
        _ => Err("parameters other than a short PrefixList".to_owned()),
    }
}

fn algorithm<'e>(element: &'e Element<'_>) -> &'e str {
    element.attribute("Algorithm").unwrap_or_default()
}

fn base64_text(element: &Element<'_>, limit: usize) -> Option<Vec<u8>> {
    let text = element.text().filter(|text| text.len() <= limit)?;
    let text: String = text.chars().filter(|c| !is_white_space(*c)).collect();
    STANDARD.decode(text).ok()
}

fn named(element: &Element<'_>, local: &str) -> Result<(), Refusal> {
    if element.is(Space::Signature, local) {
        Ok(())
    } else {
        Err(shape(&format!(
            "there is <{}> where <{local}> belongs",
            cut(element.local)
        )))
    }
}

fn shape(why: &str) -> Refusal {
    Refusal::SignatureShape {
        why: why.to_owned(),
    }
}
