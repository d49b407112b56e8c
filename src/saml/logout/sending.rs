//! Our half of single logout: requests and answers, signed, by redirect.

use std::fmt::Write;

use openssl::error::ErrorStack;
use quick_xml::escape::escape;

use super::{LogoutRequest, SUCCESS};
use crate::model::{Clock, Entropy, LogoutHandle, hex};
use crate::saml::ServiceKey;
use crate::saml::binding::{Kind, redirect_url};
use crate::saml::trust::Trust;

/// What a logout message of ours is made with.
pub struct LogoutSender<'a> {
    /// To whom.
    pub trust: &'a Trust,
    /// Who we are.
    pub entity_id: &'a str,
    /// What signs.
    pub signer: &'a ServiceKey,
    /// The time.
    pub clock: &'a dyn Clock,
    /// Randomness.
    pub entropy: &'a dyn Entropy,
}

impl LogoutSender<'_> {
    /// Where to send the browser so that the provider signs the person out; `None` where it takes no
    /// logout request by redirect.
    pub fn request(&self, handle: &LogoutHandle) -> Result<Option<String>, ErrorStack> {
        let Some(destination) = self.trust.slo_redirect_url() else {
            return Ok(None);
        };
        let mut content = name_id(handle);
        for index in &handle.session_indexes {
            let index = escape(index.as_str());
            let _written = write!(content, "<samlp:SessionIndex>{index}</samlp:SessionIndex>");
        }
        let xml = self.message("LogoutRequest", destination, "", &content);
        redirect_url(destination, Kind::Request, &xml, None, Some(self.signer)).map(Some)
    }

    /// Where to send the browser with the news that the person of `request` is signed out; `None` where
    /// the provider takes no answer by redirect.
    pub fn response(&self, request: &LogoutRequest) -> Result<Option<String>, ErrorStack> {
        let Some(destination) = self.trust.slo_response_url() else {
            return Ok(None);
        };
        let answers = format!(r#" InResponseTo="{}""#, escape(request.id.as_str()));
        let status =
            format!(r#"<samlp:Status><samlp:StatusCode Value="{SUCCESS}"/></samlp:Status>"#);
        let xml = self.message("LogoutResponse", destination, &answers, &status);
        let state = request.relay_state.as_deref();
        redirect_url(destination, Kind::Response, &xml, state, Some(self.signer)).map(Some)
    }

    fn message(&self, name: &str, destination: &str, more: &str, content: &str) -> String {
        let mut random = [0; 16];
        self.entropy.fill(&mut random);
        let id = hex(&random);
        let now = self.clock.now().format("%Y-%m-%dT%H:%M:%SZ");
        let (destination, issuer) = (escape(destination), escape(self.entity_id));
        format!(
            r#"<samlp:{name} xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="_{id}" Version="2.0" IssueInstant="{now}" Destination="{destination}"{more}><saml:Issuer>{issuer}</saml:Issuer>{content}</samlp:{name}>"#
        )
    }
}

/// The NameID as the assertion had it: providers compare its qualifiers too (core, 8.3).
fn name_id(handle: &LogoutHandle) -> String {
    let mut attributes = String::new();
    for (name, value) in [
        ("Format", &handle.format),
        ("NameQualifier", &handle.name_qualifier),
        ("SPNameQualifier", &handle.sp_name_qualifier),
    ] {
        if let Some(value) = value {
            // Writing to a String cannot fail.
            let _written = write!(attributes, r#" {name}="{}""#, escape(value.as_str()));
        }
    }
    let text = escape(handle.name_id.as_str());
    format!("<saml:NameID{attributes}>{text}</saml:NameID>")
}
