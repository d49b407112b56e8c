//! An encrypter for the museum: XML Encryption with every byte chosen, so that a fixture stays itself.
//!
//! It shares nothing with the code under test: OAEP is encoded here, by RFC 8017, 7.1.1, with a fixed
//! seed, and only the bare RSA and AES are OpenSSL's. It writes its own canonical form, as `forge.rs`
//! needs it. Encrypting odd things is its purpose.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use openssl::hash::{MessageDigest, hash};
use openssl::pkey::Public;
use openssl::rsa::{Padding, Rsa};
use openssl::symm::{Cipher, Crypter, Mode, encrypt_aead};

const XENC: &str = "http://www.w3.org/2001/04/xmlenc#";
const XENC11: &str = "http://www.w3.org/2009/xmlenc11#";
const DS: &str = "xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\"";
const IV: [u8; 16] = [0x17; 16];

/// Where the EncryptedKey stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In the KeyInfo of the EncryptedData.
    Inside,
    /// Behind the EncryptedData, which names it.
    Beside,
    /// Behind the EncryptedData, which has no KeyInfo.
    BesideUnnamed,
}

/// How to encrypt, and for whom.
#[derive(Clone)]
pub(super) struct Sealing {
    /// Such as `aes256-gcm`.
    pub(super) content: &'static str,
    /// `sha1` where there is none.
    pub(super) digest: Option<&'static str>,
    /// With one, the algorithm is xmlenc11's.
    pub(super) mask: Option<&'static str>,
    pub(super) place: Place,
    key: Rsa<Public>,
}

impl Sealing {
    pub(super) fn for_key(folder: &Path, name: &str) -> Self {
        let pem = std::fs::read(folder.join(format!("{name}.crt"))).unwrap();
        let certificate = openssl::x509::X509::from_pem(&pem).unwrap();
        Self {
            content: "aes256-gcm",
            digest: None,
            mask: None,
            place: Place::Inside,
            key: certificate.public_key().unwrap().rsa().unwrap(),
        }
    }

    pub(super) fn with(&self, content: &'static str) -> Self {
        Self {
            content,
            ..self.clone()
        }
    }

    pub(super) fn hashed(&self, digest: &'static str, mask: Option<&'static str>) -> Self {
        Self {
            digest: Some(digest),
            mask,
            ..self.clone()
        }
    }

    pub(super) fn at(&self, place: Place) -> Self {
        Self {
            place,
            ..self.clone()
        }
    }

    /// The EncryptedAssertion around `plain`.
    pub(super) fn seal(&self, plain: &str) -> String {
        self.element(&self.ciphertext(plain.as_bytes()), &self.wrapped())
    }

    fn cipher(&self) -> Cipher {
        match self.content {
            "aes128-gcm" => Cipher::aes_128_gcm(),
            "aes192-gcm" => Cipher::aes_192_gcm(),
            "aes256-gcm" => Cipher::aes_256_gcm(),
            "aes128-cbc" => Cipher::aes_128_cbc(),
            "aes192-cbc" => Cipher::aes_192_cbc(),
            "aes256-cbc" => Cipher::aes_256_cbc(),
            "tripledes-cbc" => Cipher::des_ede3_cbc(),
            other => panic!("{other} is no cipher"),
        }
    }

    fn content_key(&self) -> Vec<u8> {
        vec![0x42; self.cipher().key_len()]
    }

    /// The initialization vector, `plain`, and what belongs behind it.
    pub(super) fn ciphertext(&self, plain: &[u8]) -> Vec<u8> {
        if !self.content.ends_with("gcm") {
            let size = self.cipher().block_size();
            let padding = size - plain.len() % size;
            let mut padded = plain.to_vec();
            padded.resize(plain.len() + padding - 1, 0xab);
            padded.push(u8::try_from(padding).unwrap());
            return self.blocks(&padded);
        }
        let (iv, mut tag) = (&IV[..12], [0; 16]);
        let key = self.content_key();
        let text = encrypt_aead(self.cipher(), &key, Some(iv), &[], plain, &mut tag).unwrap();
        [iv, &text, &tag].concat()
    }

    /// CBC over whole blocks, whatever their padding says.
    pub(super) fn blocks(&self, padded: &[u8]) -> Vec<u8> {
        let cipher = self.cipher();
        let iv = &IV[..cipher.iv_len().unwrap()];
        let mut crypter =
            Crypter::new(cipher, Mode::Encrypt, &self.content_key(), Some(iv)).unwrap();
        crypter.pad(false);
        let mut text = vec![0; padded.len() + cipher.block_size()];
        let mut length = crypter.update(padded, &mut text).unwrap();
        length += crypter.finalize(&mut text[length..]).unwrap();
        [iv, &text[..length]].concat()
    }

    /// The content key by OAEP.
    pub(super) fn wrapped(&self) -> Vec<u8> {
        self.wrap(&self.content_key(), b"")
    }

    /// RFC 8017, 7.1.1, with a seed that never changes.
    pub(super) fn wrap(&self, message: &[u8], label: &[u8]) -> Vec<u8> {
        let (digest, mask) = (digest(self.digest), digest(self.mask));
        let label = hash(digest, label).unwrap();
        let size = usize::try_from(self.key.size()).unwrap();
        let mut data = label.to_vec();
        data.resize(size - label.len() - 1 - message.len() - 1, 0);
        data.push(1);
        data.extend_from_slice(message);
        let mut seed = vec![0x5e; label.len()];
        xor(&mut data, &mgf1(mask, &seed, size));
        xor(&mut seed, &mgf1(mask, &data, label.len()));
        self.raw(&[&[0], seed.as_slice(), &data].concat())
    }

    /// The content key by PKCS#1 v1.5 (RFC 8017, 7.2.1).
    pub(super) fn wrapped_by_pkcs1(&self) -> Vec<u8> {
        let key = self.content_key();
        let filling = usize::try_from(self.key.size()).unwrap() - key.len() - 3;
        self.raw(&[&[0, 2], vec![0x5e; filling].as_slice(), &[0], &key].concat())
    }

    fn raw(&self, block: &[u8]) -> Vec<u8> {
        let mut out = vec![0; block.len()];
        self.key
            .public_encrypt(block, &mut out, Padding::NONE)
            .unwrap();
        out
    }

    /// The EncryptedAssertion with `content` and `wrapped` as they are.
    pub(super) fn element(&self, content: &[u8], wrapped: &[u8]) -> String {
        let space = if self.content.ends_with("gcm") {
            XENC11
        } else {
            XENC
        };
        let (info, beside) = match self.place {
            Place::Inside => (
                format!(
                    "<ds:KeyInfo {DS}>{}</ds:KeyInfo>",
                    self.encrypted_key(wrapped, "", "")
                ),
                String::new(),
            ),
            Place::Beside => (
                format!(
                    "<ds:KeyInfo {DS}><ds:RetrievalMethod Type=\"{XENC}EncryptedKey\" URI=\"#_ek1\"></ds:RetrievalMethod></ds:KeyInfo>"
                ),
                self.beside(wrapped),
            ),
            Place::BesideUnnamed => (String::new(), self.beside(wrapped)),
        };
        format!(
            r#"<saml:EncryptedAssertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"><xenc:EncryptedData xmlns:xenc="{XENC}" Id="_ed1" Type="{XENC}Element"><xenc:EncryptionMethod Algorithm="{space}{}"></xenc:EncryptionMethod>{info}<xenc:CipherData><xenc:CipherValue>{}</xenc:CipherValue></xenc:CipherData></xenc:EncryptedData>{beside}</saml:EncryptedAssertion>"#,
            self.content,
            STANDARD.encode(content),
        )
    }

    fn beside(&self, wrapped: &[u8]) -> String {
        let list = "<xenc:ReferenceList><xenc:DataReference URI=\"#_ed1\"></xenc:DataReference></xenc:ReferenceList>";
        let key = self.encrypted_key(wrapped, &format!(" {DS}"), list);
        key.replacen(" Id=", &format!(" xmlns:xenc=\"{XENC}\" Id="), 1)
    }

    fn encrypted_key(&self, wrapped: &[u8], ds: &str, list: &str) -> String {
        let algorithm = match self.mask {
            Some(_) => format!("{XENC11}rsa-oaep"),
            None => format!("{XENC}rsa-oaep-mgf1p"),
        };
        let digest = self.digest.map_or_else(
            || "http://www.w3.org/2000/09/xmldsig#sha1".to_owned(),
            |name| format!("{XENC}{name}"),
        );
        let mask = self.mask.map_or_else(String::new, |name| {
            format!("<xenc11:MGF xmlns:xenc11=\"{XENC11}\" Algorithm=\"{XENC11}mgf1{name}\"></xenc11:MGF>")
        });
        format!(
            r#"<xenc:EncryptedKey Id="_ek1"><xenc:EncryptionMethod Algorithm="{algorithm}"><ds:DigestMethod{ds} Algorithm="{digest}"></ds:DigestMethod>{mask}</xenc:EncryptionMethod><xenc:CipherData><xenc:CipherValue>{}</xenc:CipherValue></xenc:CipherData>{list}</xenc:EncryptedKey>"#,
            STANDARD.encode(wrapped)
        )
    }
}

fn digest(name: Option<&str>) -> MessageDigest {
    match name {
        None | Some("sha1") => MessageDigest::sha1(),
        Some("sha256") => MessageDigest::sha256(),
        Some("sha384") => MessageDigest::sha384(),
        Some("sha512") => MessageDigest::sha512(),
        Some(other) => panic!("{other} is no digest"),
    }
}

/// RFC 8017, B.2.1.
fn mgf1(digest: MessageDigest, seed: &[u8], length: usize) -> Vec<u8> {
    let block = |counter: u32| hash(digest, &[seed, &counter.to_be_bytes()].concat()).unwrap();
    let mut mask: Vec<u8> =
        (0..)
            .map(block)
            .take(length / digest.size() + 1)
            .fold(Vec::new(), |mut mask, block| {
                mask.extend_from_slice(&block);
                mask
            });
    mask.truncate(length);
    mask
}

fn xor(data: &mut [u8], mask: &[u8]) {
    for (byte, mask) in data.iter_mut().zip(mask) {
        *byte ^= mask;
    }
}
