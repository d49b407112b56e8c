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
    let signature = signature(&root)?;
    let id = check_ids(&root).map_err(bad)?;
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

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};

    use super::*;
    use crate::saml::Trust;
    use crate::saml::metadata::{read_idp, read_signed_idp};

    const SIGNED: &str = include_str!("../../fixtures/saml/idp-signed.xml");
    const SIGNER: &[u8] = include_bytes!("../../fixtures/saml/other.crt");

    fn now() -> DateTime<Utc> {
        "2026-11-21T12:00:00Z".parse().unwrap()
    }

    fn read_by(pem: &[u8], xml: &str) -> Result<Trust, MetadataError> {
        let signer = MetadataSigner::from_pem(pem).unwrap();
        let name = "okta".parse().unwrap();
        read_signed_idp(&name, xml.as_bytes(), Some(&signer), now(), false)
    }

    fn read(xml: &str) -> Result<Trust, MetadataError> {
        read_by(SIGNER, xml)
    }

    /// The code of what is wrong with the shape around the signature.
    fn shape(xml: &str) -> &'static str {
        match read(xml) {
            Err(MetadataError::SignatureShape(refusal) | MetadataError::Xml(refusal)) => {
                refusal.code()
            }
            Err(MetadataError::SignatureInvalid(_)) => "invalid",
            Err(MetadataError::Unsigned) => "unsigned",
            Err(MetadataError::Root(_)) => "root",
            Err(other) => panic!("{other}"),
            Ok(_) => "read",
        }
    }

    #[test]
    fn reads_what_the_named_key_signed() {
        let trust = read(SIGNED).unwrap();
        assert_eq!(trust.entity_id(), "https://idp.example.org/saml");
        assert_eq!(trust.cache_duration().unwrap().num_hours(), 6);
        assert_eq!(
            trust.valid_until(),
            Some("2036-01-01T00:00:00Z".parse().unwrap())
        );
        let name = "okta".parse().unwrap();
        let unasked = read_idp(&name, SIGNED.as_bytes(), now(), false).unwrap();
        assert_eq!(unasked.certificates(), trust.certificates());
        for good in [
            format!("\u{feff}{SIGNED}"),
            format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!-- by us -->\n{SIGNED}\n"),
            SIGNED.replacen(
                "<md:KeyDescriptor",
                "<!-- not hashed --><md:KeyDescriptor",
                1,
            ),
        ] {
            assert_eq!(shape(&good), "read");
        }
    }

    #[test]
    fn the_signer_is_one_strong_certificate() {
        let signer = MetadataSigner::from_pem(SIGNER).unwrap();
        assert_eq!(signer.certificate().algorithm, "RSA 2048");
        let weak = include_bytes!("../../fixtures/saml/weak.crt");
        assert!(matches!(
            MetadataSigner::from_pem(weak),
            Err(KeyError::Weak(_))
        ));
        for bad in [
            &b""[..],
            b"no PEM",
            include_bytes!("../../fixtures/saml/idp.key"),
        ] {
            assert!(MetadataSigner::from_pem(bad).is_err());
        }
    }

    #[test]
    fn another_key_and_a_changed_document_are_refused() {
        for pem in [
            &include_bytes!("../../fixtures/saml/idp.crt")[..],
            include_bytes!("../../fixtures/saml/ec.crt"),
        ] {
            let refused = read_by(pem, SIGNED).unwrap_err();
            assert!(
                matches!(refused, MetadataError::SignatureInvalid(_)),
                "{refused}"
            );
        }
        for (from, to) in [
            ("idp.example.org/saml", "evil.example.org/saml"),
            ("/sso", "/evil"),
            ("use=\"signing\"", ""),
            ("2036-01-01", "2037-01-01"),
            ("<md:KeyDescriptor", " <md:KeyDescriptor"),
            ("<ds:SignatureValue>", "<ds:SignatureValue>AAAA"),
        ] {
            assert_eq!(shape(&SIGNED.replacen(from, to, 1)), "invalid", "{to}");
        }
    }

    /// The fixture's signature, and the document without it.
    fn parts() -> (String, String) {
        let (before, rest) = SIGNED.split_once("<ds:Signature ").unwrap();
        let (inside, after) = rest.split_once("</ds:Signature>").unwrap();
        let signature = format!("<ds:Signature {inside}</ds:Signature>");
        (signature, format!("{before}{after}"))
    }

    #[test]
    fn a_signature_elsewhere_ends_before_the_library_sees_it() {
        let (signature, without) = parts();
        let inside = |what: &str| without.replacen("<md:IDPSSO", &format!("{what}<md:IDPSSO"), 1);
        let extended = |what: &str| inside(&format!("<md:Extensions>{what}</md:Extensions>"));
        let foreign = signature.replace("http://www.w3.org/2000/09/xmldsig#", "urn:x");
        assert_eq!(shape(&inside(&signature)), "read", "the good twin");
        for (xml, code) in [
            (without.clone(), "unsigned"),
            (extended(&signature), "signature_place"),
            (extended(SIGNED), "signature_place"),
            (inside(&foreign), "signature_place"),
            (inside(&signature.repeat(2)), "signature_place"),
            (format!("<x>{SIGNED}</x>"), "root"),
        ] {
            assert_eq!(shape(&xml), code, "{xml}");
        }
    }

    #[test]
    fn every_other_shape_ends_before_the_library_sees_it() {
        let include = "<i:include xmlns:i=\"http://www.w3.org/2001/XInclude\" href=\"x\"/>";
        let included = format!("{include}<md:KeyDescriptor");
        for (from, to, code) in [
            ("<md:KeyDescriptor", "\u{1}<md:KeyDescriptor", "character"),
            ("<md:KeyDescriptor", &included, "foreign_name"),
            (
                "<md:Key",
                "<md:Other ID=\"_metadata\"/><md:Key",
                "duplicate_id",
            ),
            (" ID=\"_metadata\"", "", "bad_id"),
            (" ID=\"_metadata\"", " ID=\"0\"", "bad_id"),
            (
                " ID=\"_metadata\"",
                " Id=\"_metadata\"",
                "forbidden_attribute",
            ),
            (
                " ID=\"_metadata\"",
                " xml:id=\"_metadata\"",
                "forbidden_attribute",
            ),
            ("<ds:DigestValue>", "<ds:DigestValue><!-- -->", "markup"),
            ("<ds:DigestValue>", "<ds:DigestValue><![CDATA[]]>", "markup"),
            ("URI=\"#_metadata\"", "URI=\"\"", "reference"),
            (
                "URI=\"#_metadata\"",
                "URI=\"file:///dev/zero\"",
                "reference",
            ),
            ("#rsa-sha256", "#hmac-sha256", "signature_algorithm"),
            (
                "<md:EntityD",
                "<?xml version=\"1.0\" encoding=\"UTF-16\"?><md:EntityD",
                "declaration",
            ),
        ] {
            let xml = SIGNED.replacen(from, to, 1);
            assert_eq!(shape(&xml), code, "{xml}");
        }
    }
}
