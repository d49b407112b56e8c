//! The signature of a response: from a document that anybody may have made to the Assertion that the
//! provider signed.
//!
//! xmlsec follows references before it looks at the signature's value, so the document's shape is
//! checked first: every Signature stands where SAML wants it and refers to its own parent by `#ID`.
//! Afterwards only the bytes that were hashed are read. KeyInfo never chooses the key.

use std::collections::HashSet;
use std::sync::{Mutex, Once, PoisonError};

use samael::crypto::{
    AllowedSignatureAlgorithm as Algorithm, CertificateDer, Crypto, CryptoProvider, ReduceMode,
};
use thiserror::Error;

use crate::demo::xml::{self, ASSERTION, Element, PROTOCOL, SIGNATURE};

const EXCLUSIVE: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";
const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";

const ALLOWED: [Algorithm; 6] = [
    Algorithm::RsaSha256,
    Algorithm::RsaSha384,
    Algorithm::RsaSha512,
    Algorithm::EcdsaSha256,
    Algorithm::EcdsaSha384,
    Algorithm::EcdsaSha512,
];

/// libxml2 before 2.12 races on first use, and nothing here is in a hurry.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
static FIRST_USE: Once = Once::new();

/// Why a document has no signed Assertion.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum SignatureError {
    #[error("has a declaration or processing instruction")]
    Markup,
    #[error("is no Response with exactly one Assertion directly within")]
    Assertions,
    #[error("has an ID twice, or a signed element without one")]
    Ids,
    #[error("has no signature, or one where none may stand")]
    Place,
    #[error("has a signature of an unusual make: {0}")]
    Make(&'static str),
    #[error("is not signed with a key of the provider")]
    Value,
    #[error("was signed as something other than what it shows")]
    Content,
}

/// Makes xmlsec ready, so that no two threads meet in its first use.
pub(super) fn prepare() {
    FIRST_USE.call_once(|| {
        let refused = reduce("<unsigned/>", &[]);
        debug_assert!(refused.is_none(), "an unsigned document has no signed part");
    });
}

/// The Assertion as one of `certificates` signed it. `document` is `text` read.
pub(super) fn verified(
    text: &str,
    document: &Element,
    certificates: &[Vec<u8>],
) -> Result<Element, SignatureError> {
    if text.contains("<!") || text.trim_start_matches("<?xml ").contains("<?") {
        return Err(SignatureError::Markup);
    }
    let assertion = only_assertion(document)?;
    unique_ids(document)?;
    let signed = signed_elements(document, assertion)?;
    let bytes = reduce(text, certificates).ok_or(SignatureError::Value)?;
    let read = xml::parse(&bytes).map_err(|_| SignatureError::Content)?;
    // With two signatures, samael gives the Response's bytes.
    let outermost = signed.first().ok_or(SignatureError::Place)?;
    if read.name != outermost.name
        || read.namespace != outermost.namespace
        || read.attribute("ID") != outermost.attribute("ID")
    {
        return Err(SignatureError::Content);
    }
    let found = if read.is(ASSERTION, "Assertion") {
        Some(read)
    } else {
        let mut inner = read.children.into_iter();
        inner.find(|child| child.is(ASSERTION, "Assertion"))
    };
    found
        .filter(|found| found.attribute("ID") == assertion.attribute("ID"))
        .ok_or(SignatureError::Content)
}

fn reduce(text: &str, certificates: &[Vec<u8>]) -> Option<String> {
    let certificates: Vec<CertificateDer> = certificates
        .iter()
        .cloned()
        .map(CertificateDer::from)
        .collect();
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    Crypto::reduce_xml_to_signed_with_allowed_algorithms(
        text,
        &certificates,
        ReduceMode::PreDigest,
        Some(&ALLOWED),
    )
    .ok()
}

fn only_assertion(document: &Element) -> Result<&Element, SignatureError> {
    let all = document.all();
    let count = |name: &str| all.iter().filter(|found| found.name == name).count();
    document
        .only(ASSERTION, "Assertion")
        .filter(|_| document.is(PROTOCOL, "Response"))
        .filter(|_| count("Assertion") == 1 && count("Response") == 1)
        .filter(|_| count("EncryptedAssertion") == 0)
        .ok_or(SignatureError::Assertions)
}

fn unique_ids(document: &Element) -> Result<(), SignatureError> {
    let mut seen = HashSet::new();
    let mut ids = document.all().into_iter().flat_map(Element::ids);
    if ids.all(|id| seen.insert(id)) {
        Ok(())
    } else {
        Err(SignatureError::Ids)
    }
}

/// The elements that are signed, outermost first; every signature is a good one of Response or Assertion.
fn signed_elements<'a>(
    document: &'a Element,
    assertion: &'a Element,
) -> Result<Vec<&'a Element>, SignatureError> {
    let mut signed = Vec::new();
    for parent in [document, assertion] {
        let mut signatures = parent.children(SIGNATURE, "Signature");
        if let Some(signature) = signatures.next() {
            check(signature, parent)?;
            signed.push(parent);
        }
        if signatures.next().is_some() {
            return Err(SignatureError::Place);
        }
    }
    let all = document.all();
    let everywhere = all.iter().filter(|found| found.name == "Signature").count();
    if signed.is_empty() || everywhere != signed.len() {
        return Err(SignatureError::Place);
    }
    Ok(signed)
}

/// Holds `signature` to SAML core 5.4: one reference, to `parent`, and nothing that leads elsewhere.
fn check(signature: &Element, parent: &Element) -> Result<(), SignatureError> {
    let names = |element: &Element| -> Vec<String> {
        let child = |child: &Element| match child.namespace.as_str() {
            SIGNATURE => child.name.clone(),
            other => format!("{{{other}}}{}", child.name),
        };
        element.children.iter().map(child).collect()
    };
    let make = |holds: bool, what: &'static str| {
        let wrong = SignatureError::Make(what);
        if holds { Ok(()) } else { Err(wrong) }
    };
    let parts = names(signature);
    let (parts, key_info) = parts.split_at(parts.len().min(2));
    make(parts == ["SignedInfo", "SignatureValue"], "its parts")?;
    make(key_info.is_empty() || key_info == ["KeyInfo"], "its parts")?;
    let foreign = |element: &&Element| element.name == "RetrievalMethod";
    make(!signature.all().iter().any(foreign), "RetrievalMethod")?;
    let info = signature.only(SIGNATURE, "SignedInfo");
    let info = info.ok_or(SignatureError::Make("SignedInfo"))?;
    let wanted = ["CanonicalizationMethod", "SignatureMethod", "Reference"];
    make(names(info) == wanted, "SignedInfo")?;
    let algorithms = |element: &Element, name: &str| -> Vec<String> {
        let found = element.children(SIGNATURE, name);
        found
            .map(|one| one.attribute("Algorithm").unwrap_or("").to_owned())
            .collect()
    };
    let canonical = algorithms(info, "CanonicalizationMethod");
    make(canonical == [EXCLUSIVE], "canonicalisation")?;
    let reference = info.only(SIGNATURE, "Reference");
    let reference = reference.ok_or(SignatureError::Make("Reference"))?;
    let wanted = ["Transforms", "DigestMethod", "DigestValue"];
    make(names(reference) == wanted, "Reference")?;
    let transforms = reference.only(SIGNATURE, "Transforms");
    let transforms = transforms.ok_or(SignatureError::Make("Transforms"))?;
    let found = algorithms(transforms, "Transform");
    make(found == [ENVELOPED, EXCLUSIVE], "transforms")?;
    make(transforms.children.len() == 2, "transforms")?;
    let id = parent.attribute("ID").filter(|id| !id.is_empty());
    let id = id.ok_or(SignatureError::Ids)?;
    let uri = reference.attribute("URI").unwrap_or("");
    make(uri.strip_prefix('#') == Some(id), "what it refers to")
}

#[cfg(test)]
mod tests;
