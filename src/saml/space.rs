//! The namespaces that the rules name; whatever else there is counts as other.

/// The namespaces that a rule names; whatever else is `Other`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Space {
    Protocol,
    Assertion,
    Signature,
    ExclusiveC14n,
    Encryption,
    Metadata,
    SchemaInstance,
    XInclude,
    Xml,
    Other,
    None,
}

const SPACES: [(&str, Space); 9] = [
    ("urn:oasis:names:tc:SAML:2.0:assertion", Space::Assertion),
    ("urn:oasis:names:tc:SAML:2.0:protocol", Space::Protocol),
    ("http://www.w3.org/2000/09/xmldsig#", Space::Signature),
    (
        "http://www.w3.org/2001/XMLSchema-instance",
        Space::SchemaInstance,
    ),
    (
        "http://www.w3.org/2001/10/xml-exc-c14n#",
        Space::ExclusiveC14n,
    ),
    ("http://www.w3.org/2001/04/xmlenc#", Space::Encryption),
    ("urn:oasis:names:tc:SAML:2.0:metadata", Space::Metadata),
    ("http://www.w3.org/2001/XInclude", Space::XInclude),
    ("http://www.w3.org/XML/1998/namespace", Space::Xml),
];

pub(super) fn space_of(uri: &str) -> Space {
    SPACES
        .iter()
        .find(|(known, _)| *known == uri)
        .map_or(Space::Other, |(_, space)| *space)
}
