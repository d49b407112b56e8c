//! What a client's certificate is known by: its subject, or a URI or DNS name that it carries.
//!
//! A name has one text, so that two of them are compared as texts: attribute types by their short names, values as
//! they are, escaped as RFC 4514 says. Never says whether a certificate is good; that was verified where it came in.

use std::fmt;
use std::str::FromStr;

use openssl::asn1::Asn1Object;
use openssl::nid::Nid;
use serde::{Serialize, Serializer};
use thiserror::Error;

/// Longer texts are no names.
const LONGEST: usize = 1024;
/// What RFC 4514 has escaped wherever it stands in a value.
const SPECIAL: &str = ",+\"\\<>;";

/// One name of a certificate, in its one text: `subject:CN=launcher,O=Example`, `uri:spiffe://example.org/launcher`
/// or `dns:launcher.example.org`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CertificateName(String);

/// The text names no certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CertificateNameError {
    /// None of the three kinds.
    #[error(
        "write subject:CN=launcher,O=Example, uri:spiffe://example.org/launcher or dns:launcher.example.org"
    )]
    Kind,
    /// No subject.
    #[error(
        "is no subject; write it as `openssl x509 -noout -subject -nameopt RFC2253` prints it, such as subject:CN=launcher,O=Example, with \\ before {SPECIAL} in a value"
    )]
    Subject,
    /// An attribute type that nobody knows.
    #[error(
        "has an attribute that is none; write its short name or its dotted number, such as CN, OU, O, C, DC, UID, emailAddress or 2.5.4.3"
    )]
    Attribute,
    /// Several attributes in one part.
    #[error(
        "has several attributes joined by +, which are not compared; name the certificate by uri: or dns:"
    )]
    Joined,
    /// No URI.
    #[error("is no URI; write the whole of it, such as uri:spiffe://example.org/launcher")]
    Uri,
    /// No host name.
    #[error("is no host name; write the whole of it, such as dns:launcher.example.org, without *")]
    Dns,
}

impl CertificateName {
    /// A subject of these attributes, type and value, the one that the certificate names first at the end, as
    /// RFC 4514 writes them. A value that no text could name, an empty or a control character's, gives none.
    pub fn subject<'a>(
        attributes: impl DoubleEndedIterator<Item = (&'a str, &'a str)>,
    ) -> Option<Self> {
        let mut text = String::from("subject:");
        for (at, (kind, value)) in attributes.rev().enumerate() {
            // OpenSSL writes what is no character as the last of these.
            let is_none = |sign: char| sign.is_control() || sign == char::REPLACEMENT_CHARACTER;
            if value.is_empty() || value.contains(is_none) {
                return None;
            }
            text.push_str(if at == 0 { "" } else { "," });
            text.push_str(kind);
            text.push('=');
            escape(value, &mut text);
        }
        (text.len() > "subject:".len() && text.len() <= LONGEST).then_some(Self(text))
    }

    /// A URI among the alternative names.
    pub fn uri(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once(':')?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        let good = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.bytes().all(plain)
            && !rest.is_empty()
            && rest.bytes().all(|byte| byte.is_ascii_graphic())
            && text.len() < LONGEST;
        good.then(|| Self(format!("uri:{text}")))
    }

    /// A host name among the alternative names; a pattern is none.
    pub fn dns(text: &str) -> Option<Self> {
        let label = |label: &str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
            (1..=63).contains(&label.len()) && label.bytes().all(plain)
        };
        let good = text.len() <= 253 && text.split('.').all(label);
        good.then(|| Self(format!("dns:{}", text.to_ascii_lowercase())))
    }

    /// Its one text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CertificateName {
    type Err = CertificateNameError;

    fn from_str(text: &str) -> Result<Self, CertificateNameError> {
        // A blank at the end may be one that a backslash keeps.
        let text = text.trim_start();
        if let Some(uri) = text.strip_prefix("uri:") {
            return Self::uri(uri.trim_end()).ok_or(CertificateNameError::Uri);
        }
        if let Some(host) = text.strip_prefix("dns:") {
            return Self::dns(host.trim_end()).ok_or(CertificateNameError::Dns);
        }
        let subject = match text.strip_prefix("subject:") {
            Some(subject) => subject,
            None if text.contains('=') && !text.contains("://") => text,
            None => return Err(CertificateNameError::Kind),
        };
        let parts = parts(subject)
            .map(attribute)
            .collect::<Result<Vec<_>, _>>()?;
        let attributes = parts
            .iter()
            .map(|(kind, value)| (kind.as_str(), value.as_str()));
        Self::subject(attributes.rev()).ok_or(CertificateNameError::Subject)
    }
}

impl fmt::Display for CertificateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for CertificateName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// What stands between commas that no backslash keeps.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    let mut escaped = false;
    text.split(move |sign| {
        let ends = sign == ',' && !escaped;
        escaped = sign == '\\' && !escaped;
        ends
    })
}

fn attribute(part: &str) -> Result<(String, String), CertificateNameError> {
    let (kind, value) = part.split_once('=').ok_or(CertificateNameError::Subject)?;
    let kind = attribute_type(kind.trim()).ok_or(CertificateNameError::Attribute)?;
    Ok((kind, unescape(value)?))
}

/// The short name of an attribute's type, or its dotted number where it has none.
fn attribute_type(text: &str) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-".contains(&byte);
    if text.is_empty() || !text.bytes().all(plain) {
        return None;
    }
    // Case does not count in types; OpenSSL's table says otherwise.
    let object = Asn1Object::from_str(text)
        .or_else(|_| Asn1Object::from_str(&text.to_ascii_uppercase()))
        .ok()?;
    match object.nid() {
        Nid::UNDEF => Some(object.to_string()),
        known => known.short_name().ok().map(ToOwned::to_owned),
    }
}

/// A value without its escapes and without the blanks around it.
fn unescape(text: &str) -> Result<String, CertificateNameError> {
    let text = text.trim_start_matches(' ');
    // BER in hexadecimal: never a text that a certificate is compared by.
    if text.starts_with('#') {
        return Err(CertificateNameError::Subject);
    }
    let (mut value, mut kept) = (Vec::new(), 0);
    let mut signs = text.chars();
    while let Some(sign) = signs.next() {
        match sign {
            '\\' => {
                escaped(&mut signs, &mut value)?;
                kept = value.len();
            }
            '+' => return Err(CertificateNameError::Joined),
            _ if SPECIAL.contains(sign) => return Err(CertificateNameError::Subject),
            _ => {
                value.extend_from_slice(sign.encode_utf8(&mut [0; 4]).as_bytes());
                kept = if sign == ' ' { kept } else { value.len() };
            }
        }
    }
    value.truncate(kept);
    String::from_utf8(value).map_err(|_| CertificateNameError::Subject)
}

/// What stands behind a backslash: a sign, or a byte as two hexadecimal digits.
fn escaped(
    signs: &mut std::str::Chars<'_>,
    value: &mut Vec<u8>,
) -> Result<(), CertificateNameError> {
    let bad = CertificateNameError::Subject;
    let sign = signs.next().ok_or(bad)?;
    if let Some(high) = sign.to_digit(16) {
        let low = signs.next().and_then(|low| low.to_digit(16)).ok_or(bad)?;
        value.push(u8::try_from(high * 16 + low).map_err(|_| bad)?);
        return Ok(());
    }
    if !SPECIAL.contains(sign) && !" =#".contains(sign) {
        return Err(bad);
    }
    value.push(u8::try_from(sign).map_err(|_| bad)?);
    Ok(())
}

fn escape(value: &str, text: &mut String) {
    let last = value.chars().count().saturating_sub(1);
    for (at, sign) in value.chars().enumerate() {
        let at_an_end = (at == 0 && " #".contains(sign)) || (at == last && sign == ' ');
        if at_an_end || SPECIAL.contains(sign) {
            text.push('\\');
        }
        text.push(sign);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> String {
        text.parse::<CertificateName>().unwrap().to_string()
    }

    #[test]
    fn a_name_has_one_text() {
        for (written, one) in [
            ("CN=launcher,O=Example", "subject:CN=launcher,O=Example"),
            (
                "subject: cn = launcher , o = Example ",
                "subject:CN=launcher,O=Example",
            ),
            ("commonName=launcher", "subject:CN=launcher"),
            ("2.5.4.3=launcher", "subject:CN=launcher"),
            ("1.2.3.4.5=x", "subject:1.2.3.4.5=x"),
            (
                "emailAddress=a@b.org,DC=b,dc=org",
                "subject:emailAddress=a@b.org,DC=b,DC=org",
            ),
            ("CN=a\\, b,O=\\C3\\96l", "subject:CN=a\\, b,O=Öl"),
            ("CN=a=b", "subject:CN=a=b"),
            ("CN=\\ a\\20", "subject:CN=\\ a\\ "),
            (
                "uri:spiffe://example.org/Launcher?a=b",
                "uri:spiffe://example.org/Launcher?a=b",
            ),
            ("dns:Launcher.Example.org", "dns:launcher.example.org"),
        ] {
            assert_eq!(text(written), one, "{written}");
            assert_eq!(text(one), one, "again");
        }
        // Values and their order count.
        assert_ne!(text("CN=a,O=b"), text("O=b,CN=a"));
        assert_ne!(text("CN=a"), text("CN=A"));
    }

    #[test]
    fn refuses_other_text_and_says_what_to_write() {
        use CertificateNameError as Error;
        for (bad, error) in [
            ("", Error::Kind),
            ("launcher", Error::Kind),
            ("spiffe://example.org/a=b", Error::Kind),
            ("subject:", Error::Subject),
            ("CN=", Error::Subject),
            ("CN=a,", Error::Subject),
            ("CN=a;O=b", Error::Subject),
            ("CN=\"a\"", Error::Subject),
            ("CN=#0403", Error::Subject),
            ("CN=a\\", Error::Subject),
            ("CN=a\\q", Error::Subject),
            ("CN=a\\00", Error::Subject),
            ("CN=\\FF", Error::Subject),
            ("/CN=a", Error::Attribute),
            ("nosuch=a", Error::Attribute),
            ("C\0N=a", Error::Attribute),
            ("CN=a+OU=b", Error::Joined),
            ("uri:launcher", Error::Uri),
            ("uri:spiffe://a b", Error::Uri),
            ("dns:*.example.org", Error::Dns),
            ("dns:a..b", Error::Dns),
        ] {
            assert_eq!(bad.parse::<CertificateName>(), Err(error), "{bad:?}");
        }
    }
}
