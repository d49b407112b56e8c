//! The signature on metadata, where an admin asks for one (SAML 2.0 metadata, 3).
//!
//! It trusts the key of one certificate, the admin's `metadata_certificate_file`, whatever that certificate
//! says of its own time or issuer; a key in the document never counts. The order is the gate's: every
//! shape that would make xmlsec do anything but hash the root ends here, before any C code runs, and
//! what was not hashed is never read.

use std::collections::HashSet;

use openssl::x509::X509;

use super::engine;
use super::lexis::{check_declaration, is_legal, ncname};
use super::metadata::MetadataError;
use super::refusal::{Refusal, cut};
use super::self_test;
use super::signature_shape;
use super::structure::each;
use super::trust::{Certificate, KeyError, SigningKey};
use super::xml::{self, Attribute, Element, Limits, Space};

/// The key that signs an identity provider's metadata.
#[derive(Debug)]
pub struct MetadataSigner(SigningKey);

impl MetadataSigner {
    /// The key of the first certificate in `pem`.
    pub fn from_pem(pem: &[u8]) -> Result<Self, KeyError> {
        let chain = X509::stack_from_pem(pem).map_err(|_| KeyError::Unreadable)?;
        let first = chain.first().ok_or(KeyError::Unreadable)?;
        let der = first.to_der().map_err(|_| KeyError::Unreadable)?;
        Ok(Self(SigningKey::from_der(der)?))
    }

    /// The certificate, for lists.
    pub fn certificate(&self) -> Certificate {
        self.0.describe()
    }

    /// The bytes of `text` that the signature covers: the whole EntityDescriptor, without the signature.
    pub(super) fn covered(&self, text: &str) -> Result<String, MetadataError> {
        let id = pass(text, &self.0)?;
        if !self_test::engine_is_up() {
            return Err(MetadataError::Engine);
        }
        let covered = engine::reduce(text, &self.0.der)
            .ok_or_else(|| MetadataError::SignatureInvalid(self.certificate().sha256))?;
        let root = xml::read(&covered, Limits::METADATA).map_err(MetadataError::Xml)?;
        let same = root.is(Space::Metadata, "EntityDescriptor")
            && root.attribute("ID") == Some(id.as_str());
        drop(root);
        if same {
            Ok(covered)
        } else {
            Err(MetadataError::VerifiedDiffers)
        }
    }
}

/// Holds the document against the rules, and gives the root's ID.
fn pass(text: &str, key: &SigningKey) -> Result<String, MetadataError> {
    let bad = MetadataError::SignatureShape;
    check_text(text).map_err(bad)?;
    let root = xml::read(text, Limits::METADATA).map_err(MetadataError::Xml)?;
    if !root.is(Space::Metadata, "EntityDescriptor") {
        return Err(MetadataError::Root(cut(root.local)));
    }
    let id = check_ids(&root).map_err(bad)?;
    let signature = signature(&root)?;
    let kind = signature_shape::check(signature, &id).map_err(bad)?;
    if kind == key.kind {
        Ok(id)
    } else {
        Err(MetadataError::SignatureInvalid(key.describe().sha256))
    }
}

/// What the C library would read otherwise than our own reader: another encoding, a comment that splits the
/// text of a signature.
fn check_text(text: &str) -> Result<(), Refusal> {
    check_declaration(text)?;
    if let Some((at, found)) = text.char_indices().find(|(_, c)| !is_legal(*c)) {
        return Err(Refusal::Character { found, at });
    }
    let from = text.find("SignedInfo").unwrap_or(0);
    let to = text.rfind("SignatureValue").unwrap_or(text.len());
    match text.get(from..to) {
        Some(between) if !between.contains("<!") => Ok(()),
        _ => Err(Refusal::Markup {}),
    }
}

/// Every ID once, none in disguise; the root has one.
fn check_ids(root: &Element<'_>) -> Result<String, Refusal> {
    let mut ids = HashSet::new();
    let mut take = |element: &Element<'_>| {
        check_attributes(element)?;
        match element.attribute("ID") {
            Some(id) if !ncname(id) || id.len() > 256 => Err(bad_id(element, id)),
            Some(id) if !ids.insert(id.to_owned()) => Err(Refusal::DuplicateId { id: cut(id) }),
            _ => Ok(()),
        }
    };
    take(root)?;
    each(root, &mut |element, _| take(element))?;
    let id = root.attribute("ID").ok_or_else(|| bad_id(root, ""))?;
    Ok(id.to_owned())
}

fn check_attributes(element: &Element<'_>) -> Result<(), Refusal> {
    if element.space == Space::XInclude {
        return Err(Refusal::ForeignName {
            name: cut(element.local),
            space: cut(element.uri),
        });
    }
    let disguised = |attribute: &&Attribute<'_>| match attribute.space {
        Space::None => attribute.local != "ID" && attribute.local.eq_ignore_ascii_case("id"),
        Space::Xml => !matches!(attribute.local, "lang" | "space"),
        _ => attribute.local.eq_ignore_ascii_case("id"),
    };
    match element.attributes.iter().find(disguised) {
        Some(attribute) => Err(Refusal::ForbiddenAttribute {
            name: cut(attribute.local),
        }),
        None => Ok(()),
    }
}

/// The one Signature of the document, a child of the root.
fn signature<'e, 'a>(root: &'e Element<'a>) -> Result<&'e Element<'a>, MetadataError> {
    each(root, &mut |element, parent| {
        let of_signature = matches!(element.local, "Signature" | "SignedInfo" | "Reference");
        let in_place = match element.local {
            "Signature" => std::ptr::eq(parent, root) && element.space == Space::Signature,
            _ => parent.space == Space::Signature && element.space == Space::Signature,
        };
        if in_place || !of_signature {
            Ok(())
        } else {
            Err(Refusal::SignaturePlace {
                parent: cut(parent.local),
            })
        }
    })
    .map_err(MetadataError::SignatureShape)?;
    let mut signatures = root.all(Space::Signature, "Signature");
    match (signatures.next(), signatures.next()) {
        (Some(signature), None) => Ok(signature),
        (None, _) => Err(MetadataError::Unsigned),
        (Some(_), Some(_)) => Err(MetadataError::SignatureShape(Refusal::SignaturePlace {
            parent: cut(root.local),
        })),
    }
}

fn bad_id(element: &Element<'_>, found: &str) -> Refusal {
    Refusal::BadId {
        element: cut(element.local),
        found: cut(found),
    }
}
