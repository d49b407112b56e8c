//! SAML providers as IAM keeps them: entity id and signing certificates from the metadata.

use std::io;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::SamlProvider;
use crate::demo::xml::{self, Element, METADATA, SIGNATURE};
use crate::model::SamlProviderArn;

/// A provider to check assertions by.
pub(super) struct Provider {
    pub(super) arn: SamlProviderArn,
    pub(super) entity_id: String,
    /// DER.
    pub(super) certificates: Vec<Vec<u8>>,
}

/// Reads what was uploaded; without a signing certificate there is no provider.
pub(super) fn read(provider: &SamlProvider) -> io::Result<Provider> {
    let bad = |what: String| {
        let text = format!("SAML provider {}: {what}", provider.arn);
        io::Error::new(io::ErrorKind::InvalidInput, text)
    };
    let arn = provider.arn.parse();
    let metadata =
        xml::parse(&provider.metadata_xml).map_err(|error| bad(format!("its metadata {error}")))?;
    let entity_id = metadata.attribute("entityID");
    let entity_id = entity_id.filter(|_| metadata.is(METADATA, "EntityDescriptor"));
    let certificates = certificates(&metadata)
        .ok_or_else(|| bad("its metadata holds a certificate that is not base64".to_owned()))?;
    if certificates.is_empty() {
        return Err(bad("its metadata has no signing certificate".to_owned()));
    }
    Ok(Provider {
        arn: arn.map_err(|error| bad(format!("the ARN {error}")))?,
        entity_id: entity_id
            .ok_or_else(|| bad("its metadata is no EntityDescriptor with an entityID".to_owned()))?
            .to_owned(),
        certificates,
    })
}

fn certificates(metadata: &Element) -> Option<Vec<Vec<u8>>> {
    metadata
        .children(METADATA, "IDPSSODescriptor")
        .flat_map(|idp| idp.children(METADATA, "KeyDescriptor"))
        .filter(|key| key.attribute("use") != Some("encryption"))
        .flat_map(Element::all)
        .filter(|element| element.is(SIGNATURE, "X509Certificate"))
        .map(|element| {
            let text: String = element.text.split_whitespace().collect();
            STANDARD.decode(text).ok()
        })
        .collect()
}
