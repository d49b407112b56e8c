//! What a trust policy's conditions can ask of a request: IAM's context keys, compared without case.

use std::collections::HashMap;

use super::tags::Tag;

/// The keys of STS and IAM that are filled in here.
const KNOWN: &[&str] = &[
    "saml:aud",
    "saml:iss",
    "saml:sub",
    "saml:sub_type",
    "saml:namequalifier",
    "sts:externalid",
    "sts:rolesessionname",
    "sts:sourceidentity",
    "sts:transitivetagkeys",
    "sts:durationseconds",
    "sts:roleauthorizedbyidp",
    "aws:tagkeys",
    "aws:principalarn",
    "aws:principalaccount",
    "aws:sourceidentity",
    "aws:federatedprovider",
];

/// Whether a policy may name `key`: one that is known, one with a tag's name, or one of an issuer's
/// claims, `HOST/PATH:claim`.
pub(super) fn is_known(key: &str) -> bool {
    let key = key.to_lowercase();
    let tagged = ["aws:requesttag/", "aws:principaltag/"]
        .iter()
        .any(|start| key.strip_prefix(start).is_some_and(|tag| !tag.is_empty()));
    let of_issuer = key.rsplit_once(':').is_some_and(|(issuer, claim)| {
        let host = issuer.split('/').next().unwrap_or("");
        (host.contains('.') || host.starts_with("localhost"))
            && matches!(claim, "aud" | "sub" | "amr")
    });
    KNOWN.contains(&key.as_str()) || tagged || of_issuer
}

/// Key and values of one request.
#[derive(Debug, Default)]
pub(super) struct Context(HashMap<String, Vec<String>>);

impl Context {
    /// With `key`, whose value there may be.
    pub(super) fn with(mut self, key: &str, value: Option<&str>) -> Self {
        if let Some(value) = value {
            self.0.insert(key.to_lowercase(), vec![value.to_owned()]);
        }
        self
    }

    /// With `key`, of which there may be several values or none.
    pub(super) fn with_all(mut self, key: &str, values: Vec<String>) -> Self {
        if !values.is_empty() {
            self.0.insert(key.to_lowercase(), values);
        }
        self
    }

    /// With the request's session tags.
    pub(super) fn with_tags(mut self, tags: &[Tag], transitive: &[String]) -> Self {
        for tag in tags {
            self = self.with(&format!("aws:RequestTag/{}", tag.key), Some(&tag.value));
        }
        let keys = tags.iter().map(|tag| tag.key.clone()).collect();
        self.with_all("aws:TagKeys", keys)
            .with_all("sts:TransitiveTagKeys", transitive.to_vec())
    }

    pub(super) fn get(&self, key: &str) -> Option<&[String]> {
        self.0.get(key).map(Vec::as_slice)
    }
}
