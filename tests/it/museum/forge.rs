//! A signer for the museum: XML Signature over text that is written in canonical form already.
//!
//! It shares nothing with the code under test: the pieces are written so that their exclusive canonical
//! form is their own text (attributes sorted, no empty-element tags, every namespace declared where it is
//! used), so that a hash and an RSA signature are all it takes. Signing odd things is its purpose.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::sign::Signer;

pub(super) const RSA_SHA256: &str = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256";

pub(super) struct Key {
    private: PKey<Private>,
    pub(super) certificate: String,
}

impl Key {
    pub(super) fn load(folder: &Path, name: &str) -> Self {
        let read = |ending: &str| std::fs::read(folder.join(format!("{name}.{ending}"))).unwrap();
        Self {
            private: PKey::private_key_from_pem(&read("key")).unwrap(),
            certificate: certificate(folder, name),
        }
    }

    /// PKCS#8 DER, for samael's signer.
    pub(super) fn der(&self) -> Vec<u8> {
        self.private.private_key_to_der().unwrap()
    }

    fn sign(&self, text: &str) -> Vec<u8> {
        let mut signer = Signer::new(MessageDigest::sha256(), &self.private).unwrap();
        let signature = signer.sign_oneshot_to_vec(text.as_bytes()).unwrap();
        match self.private.ec_key() {
            // XML Signature wants r and s side by side, not OpenSSL's DER.
            Ok(_) => {
                let both = openssl::ecdsa::EcdsaSig::from_der(&signature).unwrap();
                [
                    both.r().to_vec_padded(32).unwrap(),
                    both.s().to_vec_padded(32).unwrap(),
                ]
                .concat()
            }
            Err(_) => signature,
        }
    }
}

/// The base64 of the DER of `name.crt`.
pub(super) fn certificate(folder: &Path, name: &str) -> String {
    let pem = std::fs::read(folder.join(format!("{name}.crt"))).unwrap();
    STANDARD.encode(
        openssl::x509::X509::from_pem(&pem)
            .unwrap()
            .to_der()
            .unwrap(),
    )
}

pub(super) fn digest(text: &str) -> String {
    STANDARD.encode(openssl::sha::sha256(text.as_bytes()))
}

pub(super) fn key_info(certificate: &str) -> String {
    format!(
        "<ds:KeyInfo><ds:X509Data><ds:X509Certificate>{certificate}</ds:X509Certificate></ds:X509Data></ds:KeyInfo>"
    )
}

/// A SignedInfo over `id` with `digest`, as it stands in the document.
pub(super) fn signed_info(id: &str, digest: &str, method: &str) -> String {
    format!(
        r##"<ds:SignedInfo><ds:CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"></ds:CanonicalizationMethod><ds:SignatureMethod Algorithm="{method}"></ds:SignatureMethod><ds:Reference URI="#{id}"><ds:Transforms><ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"></ds:Transform><ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"><ec:InclusiveNamespaces xmlns:ec="http://www.w3.org/2001/10/xml-exc-c14n#" PrefixList="xs"></ec:InclusiveNamespaces></ds:Transform></ds:Transforms><ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"></ds:DigestMethod><ds:DigestValue>{digest}</ds:DigestValue></ds:Reference></ds:SignedInfo>"##
    )
}

/// The Signature around `signed_info`, signed with `key`.
pub(super) fn signature(signed_info: &str, key: &Key, key_info: &str) -> String {
    let canonical = signed_info.replacen(
        "<ds:SignedInfo>",
        "<ds:SignedInfo xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\">",
        1,
    );
    let value = STANDARD.encode(key.sign(&canonical));
    format!(
        r#"<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#">{signed_info}<ds:SignatureValue>{value}</ds:SignatureValue>{key_info}</ds:Signature>"#
    )
}

/// Puts `signature` behind the first Issuer of `element`.
pub(super) fn insert(element: &str, signature: &str) -> String {
    element.replacen("</saml:Issuer>", &format!("</saml:Issuer>{signature}"), 1)
}

/// Signs `element`, whose ID is `id`, by one enveloped signature.
pub(super) fn sign(element: &str, id: &str, key: &Key) -> String {
    let info = signed_info(id, &digest(element), RSA_SHA256);
    insert(element, &signature(&info, key, &key_info(&key.certificate)))
}
