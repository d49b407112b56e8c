//! The gate: what a document must be before any C code sees it (rules 3 to 7).
//!
//! It trusts nothing and believes nothing: what it reads is a view, good only for refusing and for
//! choosing whose keys to try. It never looks at a key in the document. xmlsec follows references
//! and runs transforms before it looks at a signature's value, so every shape that would make it do
//! anything but hash one element of this document ends here.

use std::fmt;

use super::encrypted_shape;
use super::lexis;
use super::refusal::{Refusal, cut};
use super::signature_shape::{self, KeyKind};
use super::structure::{
    check_encrypted, check_ids, check_names, check_structure, each, unexpected,
};
use super::xml::{self, Element, Limits, Space};

/// The gate's rules in their order, as `explain` lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    Characters,
    Xml,
    Names,
    Structure,
    Ids,
    Signatures,
}

impl Rule {
    pub(super) const ALL: [Self; 6] = [
        Self::Characters,
        Self::Xml,
        Self::Names,
        Self::Structure,
        Self::Ids,
        Self::Signatures,
    ];

    pub(super) fn expected(self) -> &'static str {
        match self {
            Self::Characters => "UTF-8 without DTD, comment, CDATA or control character",
            Self::Xml => "well-formed XML within the limits, every namespace absolute",
            Self::Names => "a SAML 2.0 Response, every name in its own namespace",
            Self::Structure => "one Assertion or EncryptedAssertion directly in the Response",
            Self::Ids => "an ID on Response and Assertion, each ID once",
            Self::Signatures => {
                "a signature of SAML's shape on the Response, the Assertion or both"
            }
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Characters => "characters",
            Self::Xml => "xml",
            Self::Names => "names",
            Self::Structure => "structure",
            Self::Ids => "ids",
            Self::Signatures => "signature_shape",
        }
    }
}

/// A response that has a shape worth verifying, and not one word of which is believed.
pub struct UnverifiedResponse {
    encoded: String,
    xml: String,
    view: View,
    encrypted: bool,
}

impl UnverifiedResponse {
    /// The Assertion's Issuer as it stands there: whose keys to try, nothing more.
    pub fn issuer_hint(&self) -> &str {
        &self.view.assertion_issuer
    }

    /// The request that it claims to answer: which request of ours to look up, nothing more.
    pub fn request_hint(&self) -> Option<&str> {
        self.view
            .confirmed_request
            .as_deref()
            .or(self.view.response.in_response_to.as_deref())
    }

    pub(super) fn view(&self) -> &View {
        &self.view
    }

    /// Whether the assertion is encrypted.
    pub(super) fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    pub(super) fn xml(&self) -> &str {
        &self.xml
    }

    pub(super) fn into_encoded(self) -> String {
        self.encoded
    }
}

impl fmt::Debug for UnverifiedResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UnverifiedResponse(..)")
    }
}

/// What a document says of itself: the gate's view, or the verified one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct View {
    pub(super) response: Wrapper,
    pub(super) assertion_id: String,
    pub(super) assertion_issuer: String,
    pub(super) confirmed_request: Option<String>,
    pub(super) signed: Signed,
}

/// The attributes and small children of the Response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrapper {
    pub(super) id: String,
    pub(super) version: String,
    pub(super) issue_instant: String,
    pub(super) destination: Option<String>,
    pub(super) in_response_to: Option<String>,
    pub(super) issuer: Option<String>,
    pub(super) status: String,
}

/// Which elements carry a signature, and of what kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Signed {
    pub(super) response: Option<KeyKind>,
    pub(super) assertion: Option<KeyKind>,
}

impl Signed {
    /// Neither.
    pub(super) const NOTHING: Self = Self {
        response: None,
        assertion: None,
    };
}

/// Holds `xml` against rules 3 to 7.
pub(super) fn pass(
    encoded: String,
    xml: String,
    passed: &mut dyn FnMut(Rule),
) -> Result<UnverifiedResponse, Refusal> {
    lexis::check_characters(&xml)?;
    passed(Rule::Characters);
    let (view, encrypted) = {
        let root = xml::read(&xml, Limits::RESPONSE)?;
        passed(Rule::Xml);
        check_names(&root)?;
        if !root.is(Space::Protocol, "Response") {
            return Err(Refusal::NotAResponse {
                found: cut(root.local),
            });
        }
        passed(Rule::Names);
        let encrypted = is_encrypted(&root);
        let view = if encrypted {
            pass_encrypted(&root, passed)?
        } else {
            pass_clear(&root, passed)?
        };
        (view, encrypted)
    };
    Ok(UnverifiedResponse {
        encoded,
        xml,
        view,
        encrypted,
    })
}

/// The other legal shape: one EncryptedAssertion where the Assertion would stand.
fn is_encrypted(root: &Element<'_>) -> bool {
    let mut sealed = root.all(Space::Assertion, "EncryptedAssertion");
    sealed.next().is_some() && root.all(Space::Assertion, "Assertion").next().is_none()
}

fn pass_clear(root: &Element<'_>, passed: &mut dyn FnMut(Rule)) -> Result<View, Refusal> {
    let assertion = check_structure(root)?;
    passed(Rule::Structure);
    check_ids(root, assertion)?;
    passed(Rule::Ids);
    let signed = check_signatures(root, assertion)?;
    passed(Rule::Signatures);
    view(root, assertion, signed)
}

fn pass_encrypted(root: &Element<'_>, passed: &mut dyn FnMut(Rule)) -> Result<View, Refusal> {
    check_encrypted(root)?;
    if let Some(sealed) = root.only(Space::Assertion, "EncryptedAssertion") {
        encrypted_shape::read(sealed)?;
    }
    passed(Rule::Structure);
    check_ids(root, root)?;
    passed(Rule::Ids);
    let signed = Signed {
        response: signature_of(root)?,
        assertion: None,
    };
    passed(Rule::Signatures);
    encrypted_view(root, signed)
}

/// What a Response with an EncryptedAssertion says of itself; whose it is only its own Issuer can tell.
pub(super) fn encrypted_view(root: &Element<'_>, signed: Signed) -> Result<View, Refusal> {
    check_encrypted(root)?;
    let response = wrapper(root)?;
    Ok(View {
        assertion_id: String::new(),
        assertion_issuer: response.issuer.clone().unwrap_or_default(),
        confirmed_request: None,
        response,
        signed,
    })
}

/// Rules 6 and 7: where signatures stand and what shape they have.
fn check_signatures(root: &Element<'_>, assertion: &Element<'_>) -> Result<Signed, Refusal> {
    check_places(root, assertion)?;
    match (Signed {
        response: signature_of(root)?,
        assertion: signature_of(assertion)?,
    }) {
        Signed::NOTHING => Err(Refusal::Unsigned {}),
        signed => Ok(signed),
    }
}

/// Rule 6: signatures stand in the Response and in the Assertion alone, and their parts in them.
pub(super) fn check_places(root: &Element<'_>, assertion: &Element<'_>) -> Result<(), Refusal> {
    each(root, &mut |element, parent| {
        let covers = std::ptr::eq(parent, root) || std::ptr::eq(parent, assertion);
        let in_place = match (element.space, element.local) {
            (Space::Signature, "Signature") => covers,
            (Space::Signature, _) => parent.space == Space::Signature,
            _ => true,
        };
        if in_place {
            Ok(())
        } else {
            Err(Refusal::SignaturePlace {
                parent: cut(parent.local),
            })
        }
    })
}

/// The kind of the one signature right behind the Issuer of `parent`, if there is one.
pub(super) fn signature_of(parent: &Element<'_>) -> Result<Option<KeyKind>, Refusal> {
    let mut kind = None;
    for (place, child) in parent.children.iter().enumerate() {
        if !child.is(Space::Signature, "Signature") {
            continue;
        }
        let behind_issuer = place == 1
            && parent
                .children
                .first()
                .is_some_and(|first| first.is(Space::Assertion, "Issuer"));
        if !behind_issuer {
            return Err(Refusal::SignaturePlace {
                parent: cut(parent.local),
            });
        }
        kind = Some(signature_shape::check(
            child,
            parent.attribute("ID").unwrap_or_default(),
        )?);
    }
    Ok(kind)
}

/// Reads what the Response and the Assertion say of themselves.
pub(super) fn view(
    root: &Element<'_>,
    assertion: &Element<'_>,
    signed: Signed,
) -> Result<View, Refusal> {
    Ok(View {
        response: wrapper(root)?,
        assertion_id: assertion.attribute("ID").unwrap_or_default().to_owned(),
        assertion_issuer: issuer(assertion)?.unwrap_or_default(),
        confirmed_request: confirmed_request(assertion),
        signed,
    })
}

fn wrapper(root: &Element<'_>) -> Result<Wrapper, Refusal> {
    let owned = |name: &str| root.attribute(name).map(str::to_owned);
    Ok(Wrapper {
        id: owned("ID").unwrap_or_default(),
        version: owned("Version").unwrap_or_default(),
        issue_instant: owned("IssueInstant").unwrap_or_default(),
        destination: owned("Destination"),
        in_response_to: owned("InResponseTo"),
        issuer: issuer(root)?,
        status: status(root),
    })
}

fn issuer(element: &Element<'_>) -> Result<Option<String>, Refusal> {
    let Some(issuer) = element.only(Space::Assertion, "Issuer") else {
        return Ok(None);
    };
    let text = issuer.text().ok_or_else(|| unexpected(issuer, element))?;
    Ok(Some(text.to_owned()))
}

/// The top status code; what stands inside it is the identity provider's own affair.
fn status(root: &Element<'_>) -> String {
    root.only(Space::Protocol, "Status")
        .and_then(|status| status.only(Space::Protocol, "StatusCode"))
        .and_then(|code| code.attribute("Value"))
        .unwrap_or_default()
        .to_owned()
}

fn confirmed_request(assertion: &Element<'_>) -> Option<String> {
    assertion
        .only(Space::Assertion, "Subject")?
        .only(Space::Assertion, "SubjectConfirmation")?
        .only(Space::Assertion, "SubjectConfirmationData")?
        .attribute("InResponseTo")
        .map(str::to_owned)
}
