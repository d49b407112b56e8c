//! Our own metadata, for the identity provider's admin.
//!
//! It publishes addresses and no key: requests are not signed, and assertions must come in clear,
//! because an encrypted one cannot be forwarded to AWS.

use quick_xml::escape::escape;

/// The metadata of rolegate as a service provider (SAML 2.0 metadata, 2.4.4).
pub fn service_provider(entity_id: &str, acs_url: &str) -> String {
    let (entity_id, acs_url) = (escape(entity_id), escape(acs_url));
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" entityID="{entity_id}">
  <md:SPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol" AuthnRequestsSigned="false" WantAssertionsSigned="true">
    <md:NameIDFormat>urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified</md:NameIDFormat>
    <md:AssertionConsumerService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="{acs_url}" index="0" isDefault="true"/>
  </md:SPSSODescriptor>
</md:EntityDescriptor>
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::saml::xml::{Limits, Space, read};

    #[test]
    fn holds_what_was_given_and_nothing_that_it_could_smuggle() {
        let text = service_provider(
            "urn:x\"><evil/>",
            "https://gate.example.org/saml/acs?a=1&b=2",
        );
        let root = read(&text, Limits::METADATA).unwrap();
        assert_eq!(root.attribute("entityID"), Some("urn:x\"><evil/>"));
        let role = root.only(Space::Metadata, "SPSSODescriptor").unwrap();
        assert_eq!(role.attribute("WantAssertionsSigned"), Some("true"));
        assert_eq!(role.attribute("AuthnRequestsSigned"), Some("false"));
        let acs = role
            .only(Space::Metadata, "AssertionConsumerService")
            .unwrap();
        assert_eq!(
            acs.attribute("Location"),
            Some("https://gate.example.org/saml/acs?a=1&b=2")
        );
        assert_eq!(role.all(Space::Metadata, "KeyDescriptor").count(), 0);
    }
}
