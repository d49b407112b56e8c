//! A plan as a signed SAML Response.
//!
//! The text is written in the form of Exclusive XML Canonicalization from the start (attributes in
//! order, no empty-element tags, namespaces where they are first used), so that what is hashed is what
//! is sent, and no XML library takes part: those that verify it are the ones under test.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat, Utc};
use openssl::error::ErrorStack;
use openssl::sha::sha256;

use super::key::IdpKey;
use super::plan::{ResponsePlan, Sign};
use crate::demo::xml::{
    ASSERTION, PROTOCOL, SIGNATURE, canonical_text as text, canonical_value as value,
};

/// The base64 of the response.
pub(super) fn sign(plan: &ResponsePlan, key: &IdpKey) -> Result<String, ErrorStack> {
    let mut assertion = plan.assertion("");
    if matches!(plan.sign, Sign::Assertion | Sign::Both) {
        assertion = plan.assertion(&signature(&plan.assertion_id, &assertion, key)?);
    }
    let mut response = plan.response("", &assertion);
    if matches!(plan.sign, Sign::Response | Sign::Both) {
        let signature = signature(&plan.response_id, &response, key)?;
        response = plan.response(&signature, &assertion);
    }
    Ok(STANDARD.encode(response))
}

/// The `Signature` of the element with this `id`, whose canonical form without it is `element`.
fn signature(id: &str, element: &str, key: &IdpKey) -> Result<String, ErrorStack> {
    let digest = STANDARD.encode(sha256(element.as_bytes()));
    // Alone, as it is signed, SignedInfo declares the prefix; within Signature it need not.
    let declaration = format!(" xmlns:ds=\"{SIGNATURE}\"");
    let signed = key.sign(&signed_info(&declaration, id, &digest))?;
    Ok(format!(
        "<ds:Signature{declaration}>{}<ds:SignatureValue>{signed}</ds:SignatureValue>\
         <ds:KeyInfo><ds:X509Data><ds:X509Certificate>{}</ds:X509Certificate></ds:X509Data></ds:KeyInfo>\
         </ds:Signature>",
        signed_info("", id, &digest),
        key.certificate_base64()
    ))
}

fn signed_info(declaration: &str, id: &str, digest: &str) -> String {
    let method = |name: &str, algorithm: &str| {
        format!("<ds:{name} Algorithm=\"http://www.w3.org/{algorithm}\"></ds:{name}>")
    };
    format!(
        "<ds:SignedInfo{declaration}>{}{}<ds:Reference URI=\"#{}\"><ds:Transforms>{}{}</ds:Transforms>\
         {}<ds:DigestValue>{digest}</ds:DigestValue></ds:Reference></ds:SignedInfo>",
        method("CanonicalizationMethod", "2001/10/xml-exc-c14n#"),
        method("SignatureMethod", "2001/04/xmldsig-more#rsa-sha256"),
        value(id),
        method("Transform", "2000/09/xmldsig#enveloped-signature"),
        method("Transform", "2001/10/xml-exc-c14n#"),
        method("DigestMethod", "2001/04/xmlenc#sha256"),
    )
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// ` name="..."`, or nothing.
fn optional(name: &str, content: Option<&str>) -> String {
    content.map_or_else(String::new, |content| {
        format!(" {name}=\"{}\"", value(content))
    })
}

/// The text if there is any.
fn filled(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

/// An element `name` for each text.
fn elements(name: &str, texts: &[String]) -> String {
    let element = |one: &String| format!("<saml:{name}>{}</saml:{name}>", text(one));
    let elements: Vec<String> = texts.iter().map(element).collect();
    elements.concat()
}

impl ResponsePlan {
    fn response(&self, signature: &str, assertion: &str) -> String {
        let at = self.response_issue_instant.unwrap_or(self.issue_instant);
        format!(
            "<samlp:Response xmlns:samlp=\"{PROTOCOL}\"{} ID=\"{}\"{} IssueInstant=\"{}\" Version=\"2.0\">\
             <saml:Issuer xmlns:saml=\"{ASSERTION}\">{}</saml:Issuer>{signature}<samlp:Status>\
             <samlp:StatusCode Value=\"{}\"></samlp:StatusCode></samlp:Status>{assertion}</samlp:Response>",
            optional("Destination", self.destination.as_deref()),
            value(&self.response_id),
            optional("InResponseTo", self.in_response_to.as_deref()),
            time(at),
            text(&self.issuer),
            value(&self.status),
        )
    }

    fn assertion(&self, signature: &str) -> String {
        format!(
            "<saml:Assertion xmlns:saml=\"{ASSERTION}\" ID=\"{}\" IssueInstant=\"{}\" Version=\"2.0\">\
             <saml:Issuer>{}</saml:Issuer>{signature}{}{}{}{}</saml:Assertion>",
            value(&self.assertion_id),
            time(self.issue_instant),
            text(&self.issuer),
            self.subject(),
            self.conditions(),
            self.authn_statement(),
            self.attribute_statement(),
        )
    }

    fn subject(&self) -> String {
        let confirmation = format!(
            "<saml:SubjectConfirmation Method=\"urn:oasis:names:tc:SAML:2.0:cm:bearer\">\
             <saml:SubjectConfirmationData{}{}{}></saml:SubjectConfirmationData></saml:SubjectConfirmation>",
            optional("InResponseTo", self.in_response_to.as_deref()),
            optional(
                "NotOnOrAfter",
                self.confirmation_not_on_or_after.map(time).as_deref()
            ),
            optional("Recipient", filled(&self.recipient)),
        );
        let name_id = filled(&self.name_id).map_or_else(String::new, |name_id| {
            let format = optional("Format", filled(&self.name_id_format));
            format!("<saml:NameID{format}>{}</saml:NameID>", text(name_id))
        });
        let confirmations = confirmation.repeat(self.confirmations);
        format!("<saml:Subject>{name_id}{confirmations}</saml:Subject>")
    }

    fn conditions(&self) -> String {
        if !self.has_conditions {
            return String::new();
        }
        let restriction = |audiences: &Vec<String>| {
            let audiences = elements("Audience", audiences);
            format!("<saml:AudienceRestriction>{audiences}</saml:AudienceRestriction>")
        };
        let first = Some(&self.audiences).filter(|audiences| !audiences.is_empty());
        let restrictions: String = first
            .into_iter()
            .chain(&self.further_audiences)
            .map(restriction)
            .collect();
        format!(
            "<saml:Conditions NotBefore=\"{}\" NotOnOrAfter=\"{}\">{restrictions}</saml:Conditions>",
            time(self.not_before),
            time(self.not_on_or_after),
        )
    }

    fn authn_statement(&self) -> String {
        let end = self.session_not_on_or_after.map(time);
        format!(
            "<saml:AuthnStatement AuthnInstant=\"{}\" SessionIndex=\"{}\"{}><saml:AuthnContext>\
             <saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport\
             </saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>",
            time(self.issue_instant),
            value(&self.assertion_id),
            optional("SessionNotOnOrAfter", end.as_deref()),
        )
    }

    fn attribute_statement(&self) -> String {
        let element = |(name, values): &(String, Vec<String>)| {
            let values = elements("AttributeValue", values);
            format!(
                "<saml:Attribute Name=\"{}\" NameFormat=\"urn:oasis:names:tc:SAML:2.0:attrname-format:uri\">\
                 {values}</saml:Attribute>",
                value(name)
            )
        };
        let attributes: String = self.attributes.iter().map(element).collect();
        if attributes.is_empty() {
            return attributes;
        }
        format!("<saml:AttributeStatement>{attributes}</saml:AttributeStatement>")
    }
}
