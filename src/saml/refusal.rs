//! Why a response is refused: one closed list, with what was found and what to change.
//!
//! The texts are for the log, the audit record and `explain`, never for the one who posted: text that
//! came in a response is quoted and cut, so that it cannot forge a line of a log.

use chrono::{DateTime, Utc};
use thiserror::Error;

use crate::model::{DurationError, NameError};

macro_rules! refusals {
    ($($(#[doc = $doc:literal])* $name:ident { $($field:ident: $type:ty),* }
        $code:literal, $text:literal, $mend:literal;)*) => {
        /// Why a response is refused. Each variant is one check; [`Refusal::code`] is stable.
        #[derive(Debug, Clone, PartialEq, Eq, Error)]
        #[expect(missing_docs, reason = "the fields are the facts that the text shows")]
        pub enum Refusal {
            $($(#[doc = $doc])* #[error($text)] $name { $($field: $type),* },)*
        }

        impl Refusal {
            /// Every code, in the order of the checks.
            pub const CODES: &'static [&'static str] = &[$($code),*];

            /// The check's stable name, for the log, the audit record and the fixtures.
            pub fn code(&self) -> &'static str {
                match self { $(Self::$name { .. } => $code,)* }
            }

            /// What to change, and where.
            pub fn mend(&self) -> &'static str {
                match self { $(Self::$name { .. } => $mend,)* }
            }
        }
    };
}

refusals! {
    /// The bytes are no UTF-8.
    NotUtf8 { at: usize }
        "not_utf8", "the response is no UTF-8 from byte {at} on", "send the response as UTF-8 XML, not compressed and not in another encoding";
    /// A byte order mark, or a character that XML forbids.
    Character { found: char, at: usize }
        "character", "the character {found:?} stands at byte {at}; XML forbids it", "remove the byte order mark or control character where the response is made";
    /// A comment, a CDATA section or a DTD.
    Markup {}
        "markup", "there is a comment, a CDATA section or a document type declaration", "an identity provider's response has none of these; look for what rewrites it on its way";
    /// A processing instruction.
    Instruction {}
        "instruction", "there is a processing instruction", "an identity provider's response has none; look for what rewrites it on its way";
    /// Another XML declaration than that of version 1.0 in UTF-8.
    Declaration { found: String }
        "declaration", "the XML declaration is {found:?}, not that of version 1.0 in UTF-8", "let the identity provider send XML 1.0 in UTF-8";
    /// A reference to anything but the five entities and legal characters.
    Entity { found: String }
        "entity", "{found:?} is no predefined entity and no legal character reference", "use the five predefined entities and character references alone";
    /// Not well-formed.
    Malformed { why: String }
        "malformed", "the XML is not well-formed: {why:?}", "post the response as the identity provider made it; it may have been cut or rewritten";
    /// More of something than any identity provider sends.
    Limit { what: &'static str, limit: usize }
        "limit", "there are more than {limit} {what}", "send fewer attributes or groups in the response";
    /// A namespace that is relative, empty, reserved or not declared.
    Namespace { found: String }
        "namespace", "{found:?} is no absolute, declared namespace", "declare every prefix with an absolute URI";
    /// A name of SAML or XML Signature in a namespace that is not its own.
    ForeignName { name: String, space: String }
        "foreign_name", "<{name}> stands in the namespace {space:?}, not in its own", "send SAML 2.0; SAML 1.1 and WS-Federation are not understood";
    /// An attribute that XML or XInclude would act on, an ID in disguise, or one in a signature that has a prefix.
    ForbiddenAttribute { name: String }
        "forbidden_attribute", "the attribute {name:?} is not allowed", "an identity provider's response has no xml:base, xml:id or prefixed ID, and no attribute with a prefix in its signature";
    /// The root is no Response.
    NotAResponse { found: String }
        "not_a_response", "the document is <{found}>, not a SAML 2.0 Response", "let the identity provider post a SAML 2.0 Response to this address";
    /// Something encrypted beside or in the one assertion.
    Encrypted { element: String }
        "encrypted", "there is an <{element}> where everything must be clear", "send one Assertion or one EncryptedAssertion, and in it no encrypted name or attribute";
    /// No assertion, or several.
    AssertionCount { found: usize }
        "assertion_count", "there are {found} assertions, not one", "let the identity provider send exactly one assertion; look at its status where there is none";
    /// An assertion somewhere else than directly in the Response.
    AssertionPlace { parent: String }
        "assertion_place", "an assertion stands in <{parent}>, not directly in the Response", "this is how signatures are wrapped; look for an attack or a proxy that rewrites responses";
    /// An element where SAML has none.
    Unexpected { element: String, parent: String }
        "unexpected_element", "<{element}> does not belong in <{parent}> there", "look for what rewrites the response on its way";
    /// An ID that is missing or no name.
    BadId { element: String, found: String }
        "bad_id", "the ID of <{element}> is {found:?}, not a name of at most 256 characters", "let the identity provider make IDs as the XML Schema type xs:ID demands";
    /// An ID that stands twice.
    DuplicateId { id: String }
        "duplicate_id", "the ID {id:?} stands twice", "this is how signatures are wrapped; look for an attack or a proxy that rewrites responses";
    /// Nothing is signed.
    Unsigned {}
        "unsigned", "nothing is signed", "let the identity provider sign the assertion, the response or both";
    /// A signature in a place where it covers nothing that is read, or more of them than one a parent.
    SignaturePlace { parent: String }
        "signature_place", "a signature stands in <{parent}>, not right after the Issuer of the Response or of the Assertion, or is its second", "this is how signatures are wrapped; look for an attack or a proxy that rewrites responses";
    /// A Signature, SignedInfo or Reference of another shape.
    SignatureShape { why: String }
        "signature_shape", "the signature has another shape than SAML's: {why}", "let the identity provider sign as SAML 2.0 core, section 5.4, says";
    /// Not exactly one Reference.
    ReferenceCount { found: usize }
        "reference_count", "the signature has {found} references, not one", "let the identity provider sign one element with one reference";
    /// A reference to something else than the signature's parent.
    Reference { found: String, expected: String }
        "reference", "the signature refers to {found:?}, not to {expected:?}", "let the signature refer to the ID of the element that it stands in";
    /// A canonicalisation other than exclusive without comments.
    Canonicalization { found: String }
        "canonicalization", "the canonicalization is {found:?}, not exclusive without comments", "choose exclusive XML canonicalization at the identity provider";
    /// Transforms other than enveloped-signature and exclusive canonicalisation, in this order.
    Transforms { found: String }
        "transforms", "the transforms are {found:?}, not enveloped-signature and exclusive canonicalization", "choose these two transforms at the identity provider";
    /// A signature algorithm that is not allowed.
    SignatureAlgorithm { found: String }
        "signature_algorithm", "the signature algorithm is {found:?}, not RSA or ECDSA with SHA-256, 384 or 512", "choose RSA-SHA256 at the identity provider; SHA-1 and MD5 are broken";
    /// A digest algorithm that is not allowed.
    DigestAlgorithm { found: String }
        "digest_algorithm", "the digest algorithm is {found:?}, not SHA-256, 384 or 512", "choose SHA-256 at the identity provider; SHA-1 and MD5 are broken";
    /// A SignatureValue or DigestValue that is no base64 of a plausible length.
    SignatureValue { element: &'static str }
        "signature_value", "the {element} is missing, empty, no base64 or too long", "post the response as the identity provider made it";
    /// A KeyInfo with something that would fetch or unwrap a key.
    KeyInfo { found: String }
        "key_info", "the KeyInfo holds <{found}>, not X509Data, KeyName or KeyValue", "let the identity provider send its certificate as X509Data";
    /// The Issuer is not the one whose keys are tried.
    Issuer { found: String, expected: String }
        "issuer", "the Issuer is {found:?}, expected {expected:?}", "register the identity provider's metadata with this entity id, or correct the Issuer";
    /// A signature that this configuration demands is not there.
    SignatureRequired { element: &'static str }
        "signature_required", "the {element} is not signed, and `require_signed` demands it", "let the identity provider sign it, or relax `require_signed`";
    /// No key of the identity provider is still good (`strict_certificates`).
    CertificateExpired { not_after: String }
        "certificate_expired", "the identity provider's certificate expired at {not_after}", "load the identity provider's new metadata, or set strict_certificates = false";
    /// A signature does not verify with any key of the identity provider.
    SignatureInvalid {}
        "signature_invalid", "the signature does not verify with any key of the identity provider", "load the identity provider's current metadata; if it is current, the response was changed";
    /// What was verified is not what the gate saw. An alarm, not only a refusal.
    VerifiedDiffers { what: &'static str, before: String, verified: String }
        "verified_differs", "the verified {what} is {verified:?}, the document showed {before:?}", "this is an attack on the reader of the XML, or a fault in it: keep the response and report it";
    /// The engine failed its self-test.
    Engine {}
        "engine", "the signature library does not work", "install libxml2 and xmlsec1 with its OpenSSL part, and start again";
    /// The Issuers of Response and Assertion differ.
    IssuersDiffer { response: String, assertion: String }
        "issuers_differ", "the Issuer of the Response is {response:?}, that of the Assertion {assertion:?}", "both must be the identity provider's entity id";
    /// Not SAML 2.0.
    Version { found: String }
        "version", "the version is {found:?}, not \"2.0\"", "let the identity provider send SAML 2.0";
    /// The identity provider says that the sign-in failed.
    Status { found: String }
        "status", "the status is {found:?}, not Success", "look at the identity provider's log: it refused the sign-in";
    /// A response for another address.
    Destination { found: String, expected: String }
        "destination", "the Destination is {found:?}, expected {expected}", "set the identity provider's destination to rolegate's address of /saml/acs";
    /// An answer to another request, or to none.
    InResponseTo { found: String, expected: String }
        "in_response_to", "InResponseTo is {found}, expected {expected}", "begin the sign-in again in the same browser; do not post a response twice or elsewhere";
    /// A time in another format.
    BadTime { what: &'static str, found: String }
        "bad_time", "{what} is {found:?}, not a time like 2026-01-31T12:00:00Z", "let the identity provider write times in UTC";
    /// Issued too long ago, or in the future.
    IssueInstant { what: &'static str, found: DateTime<Utc>, now: DateTime<Utc> }
        "issue_instant", "the IssueInstant of the {what} is {found}, and it is {now}: more than 5 minutes apart, or in the future", "set the clocks of both machines; a response must be posted within 5 minutes";
    /// No Conditions.
    NoConditions {}
        "no_conditions", "the assertion has no Conditions, or several", "let the identity provider send Conditions with an audience";
    /// A window that ends before it begins.
    TimesOrder { not_before: DateTime<Utc>, not_on_or_after: DateTime<Utc> }
        "times_order", "NotBefore {not_before} is not before NotOnOrAfter {not_on_or_after}", "correct the validity window at the identity provider";
    /// Not valid yet.
    NotYetValid { not_before: DateTime<Utc>, now: DateTime<Utc> }
        "not_yet_valid", "the assertion is valid from {not_before} on, and it is {now}", "set the clocks of both machines";
    /// Not valid any more.
    Expired { what: &'static str, not_on_or_after: DateTime<Utc>, now: DateTime<Utc> }
        "expired", "the {what} ended at {not_on_or_after}, and it is {now}", "sign in again; set the clocks of both machines if this happens at once";
    /// A condition that rolegate does not know.
    UnknownCondition { found: String }
        "unknown_condition", "the condition <{found}> is not known", "remove it at the identity provider";
    /// No AudienceRestriction, or an empty one.
    NoAudience {}
        "no_audience", "there is no audience", "set the audience at the identity provider to rolegate's entity id";
    /// An assertion for somebody else.
    Audience { found: String, expected: String }
        "audience", "the audience is {found}, expected {expected}", "set the audience at the identity provider to rolegate's entity id, or list it in accepted_audiences";
    /// Not exactly one Subject, NameID or SubjectConfirmation.
    Subject { what: &'static str, found: usize }
        "subject", "there are {found} {what}, not one", "let the identity provider send one Subject with one NameID and one bearer confirmation";
    /// A confirmation that is no bearer's.
    ConfirmationMethod { found: String }
        "confirmation_method", "the confirmation method is {found:?}, not bearer", "choose the bearer method at the identity provider";
    /// A confirmation with a NotBefore.
    ConfirmationNotBefore {}
        "confirmation_not_before", "the bearer confirmation has a NotBefore, which SAML forbids", "remove it at the identity provider";
    /// A confirmation without an end.
    ConfirmationEndless {}
        "confirmation_endless", "the bearer confirmation has no NotOnOrAfter", "let the identity provider send one";
    /// A confirmation for another address.
    Recipient { found: String, expected: String }
        "recipient", "the Recipient is {found}, expected {expected}", "set the identity provider's recipient to rolegate's address of /saml/acs";
    /// No AuthnStatement.
    NoAuthnStatement {}
        "no_authn_statement", "there is no AuthnStatement", "let the identity provider say when the person signed in";
    /// An attribute that stands twice.
    AttributeRepeated { name: String }
        "attribute_repeated", "the attribute {name:?} stands more than once", "send one Attribute with several values (Keycloak: switch \"Single Role Attribute\" on)";
    /// An attribute with several values where one is meant.
    AttributeValues { name: String, found: usize }
        "attribute_values", "the attribute {name:?} has {found} values, not one", "send one value";
    /// A session duration that AWS does not take.
    SessionDuration { found: String, reason: DurationError }
        "session_duration", "the SessionDuration {found:?} {reason}", "send whole seconds from 900 to 43200, or leave the attribute out";
    /// A session name that AWS does not take.
    SessionName { reason: NameError }
        "session_name", "{reason}", "map RoleSessionName to the login or mail address";
    /// No user.
    NoUser { name: String }
        "no_user", "the attribute {name:?}, which names the user, is missing or empty", "send it, or name another attribute with `user_attribute`";
    /// A user name that is none.
    UserName { reason: NameError }
        "user_name", "{reason}", "map the user attribute to the login or mail address";
    /// A user of a domain that this identity provider may not speak for.
    UserDomain { found: String, expected: String }
        "user_domain", "the user {found:?} is of none of the domains {expected}", "add the domain to `user_domains` if this identity provider may speak for it";
    /// An encrypted assertion, and nothing to decrypt it with.
    EncryptedNoKey {}
        "encrypted_no_key", "the assertion is encrypted, and rolegate has no encryption key", "run `rolegate keys generate --use encryption` and give the identity provider the new metadata, or switch assertion encryption off there";
    /// An EncryptedAssertion of another shape.
    EncryptionShape { why: String }
        "encryption_shape", "the EncryptedAssertion has another shape than SAML's: {why}", "let the identity provider encrypt for one recipient, with the encrypted key in the document";
    /// An encryption algorithm that is not allowed.
    EncryptionAlgorithm { found: String }
        "encryption_algorithm", "the encryption algorithm is {found:?}, not RSA-OAEP with AES-GCM or AES-CBC", "choose AES-256-GCM with RSA-OAEP at the identity provider; RSA 1.5 and Triple DES are broken";
    /// AES-CBC that no signature covers.
    EncryptedCbcUnsigned {}
        "encrypted_cbc_unsigned", "the assertion is encrypted by AES-CBC and the Response is not signed", "let the identity provider sign the response, or encrypt with AES-GCM: unsigned AES-CBC can be read by whoever may try";
    /// What is encrypted does not open.
    DecryptionFailed {}
        "decryption_failed", "the assertion does not decrypt with any of our keys", "give the identity provider rolegate's current metadata: it encrypts for another key, or the response was changed";
    /// Something else than one Assertion was encrypted.
    EncryptedContent { found: String }
        "encrypted_content", "what was encrypted is {found}, not one Assertion", "let the identity provider encrypt the Assertion alone";
}

impl Refusal {
    /// Whether somebody must look at it at once: the parsers disagreed.
    pub fn is_alarm(&self) -> bool {
        matches!(self, Self::VerifiedDiffers { .. } | Self::Engine {})
    }
}

/// Text from outside, cut for a log; it is quoted where it is shown.
pub(super) fn cut(text: &str) -> String {
    const MOST: usize = 200;
    let mut short: String = text.chars().take(MOST).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

/// A list for a text.
pub(super) fn listed<'a>(items: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = items
        .into_iter()
        .take(8)
        .map(|item| format!("{:?}", cut(item)))
        .collect();
    if quoted.is_empty() {
        "nothing".to_owned()
    } else {
        quoted.join(" or ")
    }
}
