//! The gate's rules 4 and 5: names in their namespaces, one Assertion in its place, each ID once.
//!
//! It trusts nothing. It refuses every shape in which two readers could disagree on which assertion is
//! meant; the verified bytes are held against the same rules again.

use std::collections::HashSet;

use super::lexis::ncname;
use super::refusal::{Refusal, cut};
use super::xml::{Attribute, Element, Space};

/// Visits every element with its parent; the reader bounds the depth.
pub(super) fn each<'e, 'a>(
    element: &'e Element<'a>,
    visit: &mut impl FnMut(&'e Element<'a>, &'e Element<'a>) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    for child in &element.children {
        visit(child, element)?;
        each(child, visit)?;
    }
    Ok(())
}

/// Rule 4: names in their own namespaces, nothing that XML machinery would act on.
pub(super) fn check_names(root: &Element<'_>) -> Result<(), Refusal> {
    check_name(root)?;
    each(root, &mut |element, _| check_name(element))
}

fn check_name(element: &Element<'_>) -> Result<(), Refusal> {
    let foreign = home(element.local).is_some_and(|space| space != element.space);
    if foreign || element.space == Space::XInclude {
        return Err(Refusal::ForeignName {
            name: cut(element.local),
            space: cut(element.uri),
        });
    }
    let disguised = |attribute: &&Attribute<'_>| {
        let acts = attribute.local.eq_ignore_ascii_case("id") || attribute.local == "base";
        match attribute.space {
            Space::None => false,
            // xmlsec asks for `Algorithm` or `URI` by local name and takes the first, whatever its prefix.
            _ if matches!(element.space, Space::Signature | Space::ExclusiveC14n) => true,
            Space::Xml => !matches!(attribute.local, "lang" | "space"),
            _ => acts,
        }
    };
    if let Some(attribute) = element.attributes.iter().find(disguised) {
        return Err(Refusal::ForbiddenAttribute {
            name: cut(attribute.local),
        });
    }
    let mixed = !element.children.is_empty() && element.has_text();
    if mixed
        && matches!(
            element.space,
            Space::Protocol | Space::Assertion | Space::Signature | Space::Encryption
        )
        && element.local != "AttributeValue"
    {
        return Err(Refusal::Malformed {
            why: format!(
                "there is text between the elements of <{}>",
                cut(element.local)
            ),
        });
    }
    Ok(())
}

/// The namespace that a name belongs to, for the names that a rule or a reader relies on.
fn home(local: &str) -> Option<Space> {
    match local {
        "Response" | "Status" | "StatusCode" | "StatusMessage" | "StatusDetail" | "Extensions" => {
            Some(Space::Protocol)
        }
        "Assertion"
        | "EncryptedAssertion"
        | "Issuer"
        | "Subject"
        | "NameID"
        | "BaseID"
        | "EncryptedID"
        | "SubjectConfirmation"
        | "SubjectConfirmationData"
        | "Conditions"
        | "AudienceRestriction"
        | "Audience"
        | "OneTimeUse"
        | "ProxyRestriction"
        | "Advice"
        | "AuthnStatement"
        | "AuthnContext"
        | "AttributeStatement"
        | "Attribute"
        | "EncryptedAttribute"
        | "AttributeValue" => Some(Space::Assertion),
        "Signature"
        | "SignedInfo"
        | "SignatureValue"
        | "KeyInfo"
        | "CanonicalizationMethod"
        | "SignatureMethod"
        | "Reference"
        | "Transforms"
        | "Transform"
        | "DigestValue" => Some(Space::Signature),
        "EncryptedData" | "EncryptedKey" | "CipherData" | "CipherValue" | "CipherReference" => {
            Some(Space::Encryption)
        }
        _ => None,
    }
}

/// Rule 5: one Assertion in clear, directly in the Response; nothing where it does not belong.
pub(super) fn check_structure<'e, 'a>(root: &'e Element<'a>) -> Result<&'e Element<'a>, Refusal> {
    let mut assertions = 0;
    check_clear(root)?;
    each(root, &mut |element, parent| {
        if element.is(Space::Assertion, "Assertion") {
            assertions += 1;
            if !std::ptr::eq(parent, root) {
                return Err(Refusal::AssertionPlace {
                    parent: cut(parent.local),
                });
            }
        }
        Ok(())
    })?;
    let assertion = root
        .only(Space::Assertion, "Assertion")
        .ok_or(Refusal::AssertionCount { found: assertions })?;
    check_children(root, RESPONSE_CHILDREN)?;
    check_assertion(assertion)?;
    check_extensions(root)?;
    Ok(assertion)
}

/// Nothing that would have to be decrypted.
pub(super) fn check_clear(root: &Element<'_>) -> Result<(), Refusal> {
    each(root, &mut |element, _| {
        if element.space == Space::Encryption || element.local.contains("Encrypted") {
            return Err(Refusal::Encrypted {
                element: cut(element.local),
            });
        }
        Ok(())
    })
}

/// Rule 5 for the other legal shape: one EncryptedAssertion in the place of the Assertion. What stands in
/// it is for `encrypted_shape` to judge; around it is nothing encrypted, no assertion and no stray signature.
pub(super) fn check_encrypted(root: &Element<'_>) -> Result<(), Refusal> {
    let found = root.all(Space::Assertion, "EncryptedAssertion").count();
    if found != 1 {
        return Err(Refusal::AssertionCount { found });
    }
    check_children(root, ENCRYPTED_CHILDREN)?;
    for child in &root.children {
        if child.is(Space::Signature, "Signature") {
            each(child, &mut check_alone)?;
            continue;
        }
        if child.is(Space::Assertion, "EncryptedAssertion") {
            each(child, &mut check_sealed)?;
            continue;
        }
        check_clear(child)?;
        each(child, &mut |element, parent| {
            let stray =
                element.space == Space::Signature || element.is(Space::Assertion, "Assertion");
            if stray {
                Err(unexpected(element, parent))
            } else {
                Ok(())
            }
        })?;
    }
    check_extensions(root)
}

/// No signature stands in another: its KeyInfo is covered by nothing, so anybody could put one there.
fn check_alone(element: &Element<'_>, parent: &Element<'_>) -> Result<(), Refusal> {
    if element.is(Space::Signature, "Signature") {
        return Err(Refusal::SignaturePlace {
            parent: cut(parent.local),
        });
    }
    Ok(())
}

/// Of XML Signature only what describes a key may stand in an EncryptedAssertion, of SAML nothing: xmlsec looks
/// for signatures everywhere, and would run the transforms of one that it finds there.
fn check_sealed(element: &Element<'_>, parent: &Element<'_>) -> Result<(), Refusal> {
    let describes = element.local.starts_with("X509")
        || matches!(
            element.local,
            "KeyInfo"
                | "KeyName"
                | "KeyValue"
                | "RSAKeyValue"
                | "Modulus"
                | "Exponent"
                | "RetrievalMethod"
                | "DigestMethod"
        );
    match element.space {
        Space::Signature if !describes => Err(Refusal::SignaturePlace {
            parent: cut(parent.local),
        }),
        Space::Assertion | Space::Protocol => Err(unexpected(element, parent)),
        _ => Ok(()),
    }
}

fn check_extensions(root: &Element<'_>) -> Result<(), Refusal> {
    if let Some(extensions) = root.only(Space::Protocol, "Extensions") {
        each(extensions, &mut |element, parent| match element.space {
            Space::Protocol | Space::Assertion | Space::Signature => {
                Err(unexpected(element, parent))
            }
            _ => Ok(()),
        })?;
    }
    Ok(())
}

type Child = (Space, &'static str, Times);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Times {
    Once,
    Often,
}

const RESPONSE_CHILDREN: &[Child] = &[
    (Space::Assertion, "Issuer", Times::Once),
    (Space::Signature, "Signature", Times::Often),
    (Space::Protocol, "Extensions", Times::Once),
    (Space::Protocol, "Status", Times::Once),
    (Space::Assertion, "Assertion", Times::Once),
];
const ENCRYPTED_CHILDREN: &[Child] = &[
    (Space::Assertion, "Issuer", Times::Once),
    (Space::Signature, "Signature", Times::Often),
    (Space::Protocol, "Extensions", Times::Once),
    (Space::Protocol, "Status", Times::Once),
    (Space::Assertion, "EncryptedAssertion", Times::Once),
];
/// A second Signature is for rule 6 to refuse, a second Subject or Conditions for the conditions.
const ASSERTION_CHILDREN: &[Child] = &[
    (Space::Assertion, "Issuer", Times::Once),
    (Space::Signature, "Signature", Times::Often),
    (Space::Assertion, "Subject", Times::Often),
    (Space::Assertion, "Conditions", Times::Often),
    (Space::Assertion, "AuthnStatement", Times::Often),
    (Space::Assertion, "AttributeStatement", Times::Often),
    (Space::Assertion, "AuthzDecisionStatement", Times::Often),
];

fn check_children(parent: &Element<'_>, allowed: &[Child]) -> Result<(), Refusal> {
    for child in &parent.children {
        let known = allowed
            .iter()
            .find(|(space, local, _)| child.is(*space, local));
        let (space, local, times) = known.ok_or_else(|| unexpected(child, parent))?;
        if *times == Times::Once && parent.only(*space, local).is_none() {
            return Err(unexpected(child, parent));
        }
    }
    Ok(())
}

/// The shape of an Assertion; the verified one is held against it again.
pub(super) fn check_assertion(assertion: &Element<'_>) -> Result<(), Refusal> {
    each(assertion, &mut |element, parent| {
        if element.is(Space::Assertion, "Assertion") {
            return Err(Refusal::AssertionPlace {
                parent: cut(parent.local),
            });
        }
        Ok(())
    })?;
    check_children(assertion, ASSERTION_CHILDREN)?;
    match assertion.children.first() {
        Some(issuer) if issuer.is(Space::Assertion, "Issuer") => Ok(()),
        Some(other) => Err(unexpected(other, assertion)),
        None => Err(Refusal::Issuer {
            found: String::new(),
            expected: "an Issuer".to_owned(),
        }),
    }
}

pub(super) fn unexpected(element: &Element<'_>, parent: &Element<'_>) -> Refusal {
    Refusal::Unexpected {
        element: cut(element.local),
        parent: cut(parent.local),
    }
}

/// Rule 5, IDs: on Response and Assertion, well formed, each once in the document.
///
/// Other verifiers, and STS is sent this very document, take more attributes for IDs than SAML's: no two
/// elements may share a value under any of those names.
pub(super) fn check_ids(root: &Element<'_>, assertion: &Element<'_>) -> Result<(), Refusal> {
    let mut ids = HashSet::new();
    let mut take = |element: &Element<'_>| {
        let required = element.is(Space::Protocol, "Response") || std::ptr::eq(element, assertion);
        match element.attribute("ID") {
            None if required => return Err(bad_id(element, "")),
            Some(id) if !ncname(id) || id.len() > 256 => return Err(bad_id(element, id)),
            _ => {}
        }
        let values = ID_NAMES.iter().filter_map(|name| element.attribute(name));
        for id in values {
            if !ids.insert(id.to_owned()) {
                return Err(Refusal::DuplicateId { id: cut(id) });
            }
        }
        Ok(())
    };
    take(root)?;
    each(root, &mut |element, _| take(element))
}

/// Every value in `root` that somebody may take for an ID.
pub(super) fn ids(root: &Element<'_>) -> Vec<String> {
    let mut ids = Vec::new();
    let mut take = |element: &Element<'_>| {
        let values = ID_NAMES.iter().filter_map(|name| element.attribute(name));
        ids.extend(values.map(str::to_owned));
        Ok(())
    };
    let _all = take(root).and_then(|()| each(root, &mut |element, _| take(element)));
    ids
}

/// What verifiers of XML Signature take for an ID: SAML 2.0's first, XML Signature's, SAML 1.1's.
const ID_NAMES: [&str; 4] = ["ID", "Id", "id", "AssertionID"];

fn bad_id(element: &Element<'_>, found: &str) -> Refusal {
    Refusal::BadId {
        element: cut(element.local),
        found: cut(found),
    }
}
