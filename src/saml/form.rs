//! The first door: an HTTP form, base64, and nothing decided yet (rules 1 and 2 of the gate).
//!
//! It trusts nothing and reads no XML. What was posted is kept to the letter, since AWS is sent it.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

use super::gate::{self, UnverifiedResponse};
use super::lexis::is_white_space;
use super::refusal::Refusal;

/// The largest body that is looked at, in bytes.
pub const MAX_BODY: usize = 256 * 1024;
/// What STS takes as `SAMLAssertion`, in characters.
const MAX_ENCODED: usize = 100_000;

/// A posted response: its text as posted and its bytes. Nothing of it is believed.
pub struct RawResponse {
    encoded: String,
    xml: Vec<u8>,
}

impl fmt::Debug for RawResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RawResponse(..)")
    }
}

/// What a form held.
#[derive(Debug)]
pub struct PostedForm {
    /// The response.
    pub response: RawResponse,
    /// The `RelayState`, not judged.
    pub relay_state: Option<String>,
}

/// Why a body is no posted response.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FormError {
    /// Not a form.
    #[error(
        "the body is not application/x-www-form-urlencoded; post the form that the identity provider made"
    )]
    NotAForm,
    /// A compressed body.
    #[error("the body has a Content-Encoding; post it as it is")]
    ContentEncoding,
    /// Too large a body.
    #[error("the body is larger than 256 KiB")]
    TooLarge,
    /// A form that does not decode.
    #[error("the form does not decode to text")]
    BadForm,
    /// No `SAMLResponse`, or an empty one.
    #[error("there is no SAMLResponse")]
    Missing,
    /// A parameter that stands twice.
    #[error("{0} stands more than once")]
    Repeated(&'static str),
    /// More than STS takes.
    #[error(
        "the SAMLResponse is longer than the 100000 characters that AWS takes; send fewer groups"
    )]
    TooLong,
    /// Not base64 with padding.
    #[error("the SAMLResponse is no base64 with padding")]
    NotBase64,
}

impl FormError {
    /// The stable name, for the log and the fixtures.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotAForm => "not_a_form",
            Self::ContentEncoding => "content_encoding",
            Self::TooLarge => "too_large",
            Self::BadForm => "bad_form",
            Self::Missing => "no_response",
            Self::Repeated(_) => "repeated_parameter",
            Self::TooLong => "too_long",
            Self::NotBase64 => "not_base64",
        }
    }
}

impl RawResponse {
    /// Takes the response out of a posted form. `content_type` and `content_encoding` as sent.
    pub fn from_form(
        content_type: Option<&str>,
        content_encoding: Option<&str>,
        body: &[u8],
    ) -> Result<PostedForm, FormError> {
        let media_type = content_type
            .and_then(|text| text.split(';').next())
            .unwrap_or("");
        if !media_type
            .trim()
            .eq_ignore_ascii_case("application/x-www-form-urlencoded")
        {
            return Err(FormError::NotAForm);
        }
        if content_encoding.is_some_and(|coding| !coding.trim().eq_ignore_ascii_case("identity")) {
            return Err(FormError::ContentEncoding);
        }
        if body.len() > MAX_BODY {
            return Err(FormError::TooLarge);
        }
        let (mut encoded, mut relay_state) = (None, None);
        for pair in body.split(|byte| *byte == b'&') {
            let mut halves = pair.splitn(2, |byte| *byte == b'=');
            let (name, value) = (
                halves.next().unwrap_or_default(),
                halves.next().unwrap_or_default(),
            );
            match decode(name)?.as_str() {
                "SAMLResponse" => once(&mut encoded, "SAMLResponse", value)?,
                "RelayState" => once(&mut relay_state, "RelayState", value)?,
                _ => {}
            }
        }
        let response = Self::from_base64(encoded.ok_or(FormError::Missing)?)?;
        Ok(PostedForm {
            response,
            relay_state,
        })
    }

    /// Takes a response from a file: XML, or its base64.
    pub fn from_text(xml_or_base64: &str) -> Result<Self, FormError> {
        let text = xml_or_base64.trim_matches(is_white_space);
        if text.starts_with('<') {
            let encoded = STANDARD.encode(text);
            let xml = text.as_bytes().to_vec();
            return if encoded.len() > MAX_ENCODED {
                Err(FormError::TooLong)
            } else {
                Ok(Self { encoded, xml })
            };
        }
        Self::from_base64(text.to_owned())
    }

    fn from_base64(encoded: String) -> Result<Self, FormError> {
        if encoded.len() > MAX_ENCODED {
            return Err(FormError::TooLong);
        }
        let skipped = |byte: u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        let text: Cow<'_, [u8]> = if encoded.bytes().all(|byte| byte > b' ') {
            Cow::Borrowed(encoded.as_bytes())
        } else {
            Cow::Owned(encoded.bytes().filter(|byte| !skipped(*byte)).collect())
        };
        if text.is_empty() {
            return Err(FormError::Missing);
        }
        let xml = STANDARD.decode(text).map_err(|_| FormError::NotBase64)?;
        Ok(Self { encoded, xml })
    }

    /// What may be the Issuer, for choosing words of advice and nothing else: found by looking, not by
    /// reading, so that it is there for a document that the gate refuses.
    pub(super) fn issuer_guess(&self) -> Option<&str> {
        let text = std::str::from_utf8(&self.xml).ok()?;
        let (_, rest) = text.split_once("Issuer")?;
        let (_, rest) = rest.split_once('>')?;
        rest.split_once('<').map(|(issuer, _)| issuer.trim())
    }

    /// Holds the document against the gate. What comes out is still unverified.
    pub fn read(self) -> Result<UnverifiedResponse, Refusal> {
        self.read_noting(&mut |_| {})
    }

    /// As [`RawResponse::read`], and tells `passed` of every rule that held, in order.
    pub(super) fn read_noting(
        self,
        passed: &mut dyn FnMut(gate::Rule),
    ) -> Result<UnverifiedResponse, Refusal> {
        let xml = String::from_utf8(self.xml).map_err(|error| Refusal::NotUtf8 {
            at: error.utf8_error().valid_up_to(),
        })?;
        gate::pass(self.encoded, xml, passed)
    }
}

fn once(slot: &mut Option<String>, name: &'static str, value: &[u8]) -> Result<(), FormError> {
    match slot.replace(decode(value)?) {
        None => Ok(()),
        Some(_) => Err(FormError::Repeated(name)),
    }
}

/// `+` is a blank, `%` and two digits a byte; a `%` without two digits is refused.
fn decode(text: &[u8]) -> Result<String, FormError> {
    let mut decoded = Vec::with_capacity(text.len());
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let mut rest = text;
    while let Some(place) = rest.iter().position(|byte| matches!(byte, b'+' | b'%')) {
        let (plain, tail) = rest.split_at_checked(place).unwrap_or((rest, &[]));
        decoded.extend_from_slice(plain);
        if tail.first() == Some(&b'+') {
            decoded.push(b' ');
            rest = tail.get(1..).unwrap_or_default();
            continue;
        }
        let value = digit(tail.get(1)).zip(digit(tail.get(2)));
        let value = value.and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
        decoded.push(value.ok_or(FormError::BadForm)?);
        rest = tail.get(3..).unwrap_or_default();
    }
    decoded.extend_from_slice(rest);
    String::from_utf8(decoded).map_err(|_| FormError::BadForm)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: Option<&str> = Some("application/x-www-form-urlencoded");

    fn code(body: &str) -> &'static str {
        RawResponse::from_form(FORM, None, body.as_bytes())
            .map_or_else(|error| error.code(), |_| "taken")
    }

    #[test]
    fn takes_one_response_and_keeps_it_to_the_letter() {
        let form = RawResponse::from_form(
            Some("application/x-www-form-urlencoded; charset=UTF-8"),
            None,
            b"RelayState=%2Fjobs&SAMLResponse=PGEv%0D%0APg%3D%3D&other=1",
        )
        .unwrap();
        assert_eq!(form.response.xml, b"<a/>");
        assert_eq!(form.response.encoded, "PGEv\r\nPg==");
        assert_eq!(form.relay_state.as_deref(), Some("/jobs"));
    }

    #[test]
    fn refuses_every_other_form() {
        assert_eq!(code("SAMLResponse=PGEvPg%3D%3D"), "taken");
        assert_eq!(
            code("SAMLResponse=PGEvPg%3D%3D&SAMLResponse=PGEvPg%3D%3D"),
            "repeated_parameter"
        );
        assert_eq!(
            code("SAMLResponse=PGEvPg%3D%3D&%53AMLResponse=PGEvPg%3D%3D"),
            "repeated_parameter"
        );
        assert_eq!(
            code("SAMLResponse=PGEvPg%3D%3D&RelayState=a&RelayState=b"),
            "repeated_parameter"
        );
        for none in [
            "",
            "samlresponse=PGEvPg%3D%3D",
            "SAMLResponse=",
            "SAMLResponse=+%0A",
            "SAMLResponse",
        ] {
            assert_eq!(code(none), "no_response", "{none}");
        }
        for odd in [
            "PGEvPg",
            "PGEvPg%3D",
            "PGEvPg-_",
            "PGEvPg%3D%3D%3D%3D",
            "PGEvPg%3D%3D%00",
            "PGEvPh%3D%3D",
            "%C2%A0PGEvPg%3D%3D",
        ] {
            assert_eq!(code(&format!("SAMLResponse={odd}")), "not_base64", "{odd}");
        }
        for bad in [
            "SAMLResponse=%",
            "SAMLResponse=%4",
            "SAMLResponse=%zz",
            "SAMLResponse=%ff",
        ] {
            assert_eq!(code(bad), "bad_form", "{bad}");
        }
        assert_eq!(
            code(&format!("SAMLResponse={}", "A".repeat(100_000))),
            "taken"
        );
        assert_eq!(
            code(&format!("SAMLResponse={}", "A".repeat(100_004))),
            "too_long"
        );
        assert_eq!(code(&"a".repeat(MAX_BODY + 1)), "too_large");
    }

    #[test]
    fn refuses_other_bodies() {
        let body = b"SAMLResponse=PGEvPg%3D%3D";
        for other in [
            None,
            Some("multipart/form-data; boundary=x"),
            Some("application/json"),
            Some(""),
        ] {
            assert_eq!(
                RawResponse::from_form(other, None, body).unwrap_err(),
                FormError::NotAForm
            );
        }
        for coding in ["gzip", "deflate, identity", ""] {
            let refused = RawResponse::from_form(FORM, Some(coding), body).unwrap_err();
            assert_eq!(refused, FormError::ContentEncoding);
        }
    }

    #[test]
    fn files_hold_xml_or_base64() {
        assert_eq!(
            RawResponse::from_text(" <a/>\n").unwrap().encoded,
            "PGEvPg=="
        );
        assert_eq!(RawResponse::from_text("PGEv\nPg==\n").unwrap().xml, b"<a/>");
        assert_eq!(
            RawResponse::from_text("a,b").unwrap_err(),
            FormError::NotBase64
        );
    }
}
