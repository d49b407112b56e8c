//! Checks a request's AWS Signature Version 4, as STS does for `GetCallerIdentity`.
//!
//! Knows the form with an Authorization header, which every SDK sends; presigned URLs it does not. The
//! body is hashed here; a hash that the client names is not believed.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDateTime, Utc};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::memcmp;
use openssl::pkey::PKey;
use openssl::sha::sha256;
use openssl::sign::Signer;

use crate::model::hex;

/// A request as it arrived.
pub(super) struct Signed<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) query: &'a str,
    /// Names in lower case.
    pub(super) headers: &'a HashMap<String, String>,
    pub(super) body: &'a [u8],
}

/// The parts of the Authorization header.
pub(super) struct Authorization<'a> {
    pub(super) access_key_id: &'a str,
    /// `date/region/service/aws4_request`.
    scope: &'a str,
    signed_headers: &'a str,
    signature: &'a str,
}

impl<'a> Authorization<'a> {
    /// Reads `AWS4-HMAC-SHA256 Credential=KEY/SCOPE, SignedHeaders=.., Signature=..`.
    pub(super) fn parse(header: &'a str) -> Option<Self> {
        let mut parts = header
            .strip_prefix("AWS4-HMAC-SHA256 ")?
            .split(',')
            .map(str::trim);
        let credential = parts.next()?.strip_prefix("Credential=")?;
        let (access_key_id, scope) = credential.split_once('/')?;
        let read = Self {
            access_key_id,
            scope,
            signed_headers: parts.next()?.strip_prefix("SignedHeaders=")?,
            signature: parts.next()?.strip_prefix("Signature=")?,
        };
        let well_formed = scope.split('/').count() == 4 && scope.ends_with("/aws4_request");
        Some(read).filter(|_| well_formed && parts.next().is_none())
    }

    /// The service that the signature is for.
    pub(super) fn service(&self) -> &str {
        self.scope.split('/').nth(2).unwrap_or("")
    }

    fn date(&self) -> &str {
        self.scope.split('/').next().unwrap_or("")
    }
}

impl Signed<'_> {
    /// Whether `secret` made the signature, over the host and the date among other headers.
    pub(super) fn is_by(&self, authorization: &Authorization<'_>, secret: &str) -> bool {
        let covers = |name: &str| {
            let mut names = authorization.signed_headers.split(';');
            names.any(|signed| signed == name)
        };
        let made_by = |expected: String| {
            let found = authorization.signature.as_bytes();
            expected.len() == found.len() && memcmp::eq(expected.as_bytes(), found)
        };
        covers("host")
            && covers("x-amz-date")
            && self.signature(authorization, secret).is_some_and(made_by)
    }

    /// When the request was signed.
    pub(super) fn time(&self) -> Option<DateTime<Utc>> {
        let text = self.headers.get("x-amz-date")?;
        let read = NaiveDateTime::parse_from_str(text, "%Y%m%dT%H%M%SZ");
        read.ok().map(|at| at.and_utc())
    }

    /// What `secret` makes of the request; `None` where a signed header is missing or the dates differ.
    pub(super) fn signature(
        &self,
        authorization: &Authorization<'_>,
        secret: &str,
    ) -> Option<String> {
        let canonical = self.canonical(authorization)?;
        let date = self.headers.get("x-amz-date")?;
        date.strip_prefix(authorization.date())?;
        let text = format!(
            "AWS4-HMAC-SHA256\n{date}\n{}\n{}",
            authorization.scope,
            hex(&sha256(canonical.as_bytes()))
        );
        let mut key = format!("AWS4{secret}").into_bytes();
        for part in authorization.scope.split('/') {
            key = hmac(&key, part).ok()?;
        }
        Some(hex(&hmac(&key, &text).ok()?))
    }

    /// The canonical request; the path is taken as it was sent, and the query's parts in order.
    fn canonical(&self, authorization: &Authorization<'_>) -> Option<String> {
        let mut query: Vec<&str> = self.query.split('&').collect();
        query.sort_unstable();
        let mut lines = vec![
            self.method.to_owned(),
            self.path.to_owned(),
            query.join("&"),
        ];
        for name in authorization.signed_headers.split(';') {
            let value = self.headers.get(name)?;
            let value: Vec<&str> = value.split_ascii_whitespace().collect();
            lines.push(format!("{name}:{}", value.join(" ")));
        }
        lines.push(String::new());
        lines.push(authorization.signed_headers.to_owned());
        lines.push(hex(&sha256(self.body)));
        Some(lines.join("\n"))
    }
}

/// HMAC-SHA256.
fn hmac(key: &[u8], text: &str) -> Result<Vec<u8>, ErrorStack> {
    let key = PKey::hmac(key)?;
    let mut signer = Signer::new(MessageDigest::sha256(), &key)?;
    signer.update(text.as_bytes())?;
    signer.sign_to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    const SCOPE: &str = "AKIDEXAMPLE/20150830/us-east-1/service/aws4_request";

    fn headers(more: &[(&str, &str)]) -> HashMap<String, String> {
        let always = [
            ("host", "example.amazonaws.com"),
            ("x-amz-date", "20150830T123600Z"),
        ];
        let all = always.iter().chain(more);
        all.map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    fn post<'a>(headers: &'a HashMap<String, String>, body: &'a [u8]) -> Signed<'a> {
        Signed {
            method: "POST",
            path: "/",
            query: "",
            headers,
            body,
        }
    }

    /// `get-vanilla` of AWS's signing test suite.
    #[test]
    fn agrees_with_the_published_vector() {
        let header = format!(
            "AWS4-HMAC-SHA256 Credential={SCOPE}, SignedHeaders=host;x-amz-date, \
             Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
        );
        let authorization = Authorization::parse(&header).unwrap();
        let headers = headers(&[]);
        let mut request = Signed {
            method: "GET",
            path: "/",
            query: "",
            headers: &headers,
            body: b"",
        };
        assert_eq!(authorization.service(), "service");
        assert_eq!(request.time().unwrap().timestamp(), 1_440_938_160);
        assert!(request.is_by(&authorization, SECRET));
        assert!(!request.is_by(&authorization, "another"));
        request.body = b"x";
        assert!(!request.is_by(&authorization, SECRET));
        request.body = b"";
        request.query = "x=1";
        assert!(!request.is_by(&authorization, SECRET));
    }

    /// `post-x-www-form-urlencoded` of the same suite, which is how SDKs call STS.
    #[test]
    fn agrees_with_the_published_vector_of_a_form() {
        const HASH: &str = "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e";
        let header = format!(
            "AWS4-HMAC-SHA256 Credential={SCOPE}, \
             SignedHeaders=content-length;content-type;host;x-amz-content-sha256;x-amz-date, \
             Signature=d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b"
        );
        let authorization = Authorization::parse(&header).unwrap();
        let good = [
            ("content-length", "13"),
            ("content-type", "application/x-www-form-urlencoded"),
            ("x-amz-content-sha256", HASH),
        ];
        let mut headers = headers(&good);
        assert!(post(&headers, b"Param1=value1").is_by(&authorization, SECRET));
        // The client's hash of the body is signed, and the body is another.
        assert!(!post(&headers, b"Param1=value2").is_by(&authorization, SECRET));
        headers.remove("content-type");
        assert!(!post(&headers, b"Param1=value1").is_by(&authorization, SECRET));
    }

    #[test]
    fn a_header_that_is_no_authorization_is_none() {
        let good = format!("AWS4-HMAC-SHA256 Credential={SCOPE}, SignedHeaders=host, Signature=00");
        assert!(Authorization::parse(&good).is_some());
        for bad in [
            "",
            "Bearer x",
            "AWS4-HMAC-SHA256 Credential=AKID, SignedHeaders=host, Signature=00",
            "AWS4-HMAC-SHA256 Credential=AKID/1/2/3/aws4, SignedHeaders=host, Signature=00",
            &good.replace("SignedHeaders=host, ", ""),
            &format!("{good}, More=1"),
        ] {
            assert!(Authorization::parse(bad).is_none(), "{bad}");
        }
    }
}
