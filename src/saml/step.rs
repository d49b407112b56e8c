//! The steps from a document that passed the gate to the bytes that were signed.

use super::gate::UnverifiedResponse;

/// The steps to the signed bytes, as `explain` lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Signature,
    Encryption,
    Decryption,
    Content,
    InnerSignature,
}

impl Step {
    /// Those of `response`, in order. Whether there is a signature inside shows only then.
    pub(super) fn of(response: &UnverifiedResponse) -> &'static [Self] {
        const ALL: &[Step] = &[
            Step::Signature,
            Step::Encryption,
            Step::Decryption,
            Step::Content,
            Step::InnerSignature,
        ];
        match ALL {
            [first, ..] if !response.is_encrypted() => std::slice::from_ref(first),
            [_, inside @ ..] if response.view().signed.response.is_none() => inside,
            all => all,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Signature => "signature",
            Self::Encryption => "encryption",
            Self::Decryption => "decryption",
            Self::Content => "encrypted_content",
            Self::InnerSignature => "encrypted_signature",
        }
    }

    pub(super) fn expected(self) -> &'static str {
        match self {
            Self::Signature => "every signature verifies with one key of the identity provider",
            Self::Encryption => "RSA-OAEP for a key of ours, and AES-GCM or a signed Response",
            Self::Decryption => "the assertion opens with one of our keys",
            Self::Content => "one Assertion, covered by a signature",
            Self::InnerSignature => "the signature inside verifies with a key of the provider",
        }
    }
}
