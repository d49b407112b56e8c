//! The shape of an `EncryptedAssertion`: one EncryptedData and the one EncryptedKey that opens it, each a
//! base64 text in the document itself (XML Encryption 1.1, clauses 3 to 5; SAML 2.0 core, 2.3.4).
//!
//! It trusts nothing: whatever would fetch, transform or nest is refused before any key is touched, and
//! algorithms are read from a list. The EncryptedKey stands in the data's KeyInfo or right behind the
//! data, as identity providers do it; a RetrievalMethod may only say so.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::lexis::is_white_space;
use super::refusal::{Refusal, cut};
use super::structure::each;
use super::xml::{Element, Space};

const ELEMENT: &str = "http://www.w3.org/2001/04/xmlenc#Element";
const ENCRYPTED_KEY: &str = "http://www.w3.org/2001/04/xmlenc#EncryptedKey";
/// `xenc11`, where the newer mask functions live.
const XMLENC11: &str = "http://www.w3.org/2009/xmlenc11#";

/// How the assertion is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Block {
    /// AES in Galois counter mode: a change is noticed.
    Gcm {
        /// Of the key, in bytes.
        key: usize,
    },
    /// AES in cipher block chaining: a change is not noticed.
    Cbc {
        /// Of the key, in bytes.
        key: usize,
    },
}

/// A hash function of OAEP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hash {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

/// What is to be opened.
#[derive(Debug)]
pub(super) struct Sealed {
    /// The cipher of the data.
    pub(super) block: Block,
    /// OAEP's hash.
    pub(super) digest: Hash,
    /// The hash of OAEP's mask function.
    pub(super) mask: Hash,
    /// The content key, encrypted for us.
    pub(super) wrapped: Vec<u8>,
    /// The assertion, encrypted with the content key.
    pub(super) data: Vec<u8>,
}

/// Reads the EncryptedAssertion `sealed`.
pub(super) fn read(sealed: &Element<'_>) -> Result<Sealed, Refusal> {
    let (data, beside) = match sealed.children.as_slice() {
        [data] => (data, None),
        [data, key] => (data, Some(key)),
        other => {
            return Err(shape(&format!(
                "EncryptedAssertion has {} children",
                other.len()
            )));
        }
    };
    named(data, "EncryptedData")?;
    if data.attribute("Type").is_some_and(|found| found != ELEMENT) {
        return Err(shape("the EncryptedData is not of an Element"));
    }
    if data.attribute("Encoding").is_some() {
        return Err(shape("the EncryptedData has an Encoding"));
    }
    let (method, info, value) = match data.children.as_slice() {
        [method, value] => (method, None, value),
        [method, info, value] => (method, Some(info), value),
        other => {
            return Err(shape(&format!(
                "EncryptedData has {} children",
                other.len()
            )));
        }
    };
    let key = encrypted_key(info, beside)?;
    let (digest, mask, wrapped) = read_key(key, data.attribute("Id"))?;
    Ok(Sealed {
        block: block(method)?,
        digest,
        mask,
        wrapped,
        data: cipher_value(value)?,
    })
}

/// The one EncryptedKey: inside the KeyInfo, or beside the data.
fn encrypted_key<'e, 'a>(
    info: Option<&'e Element<'a>>,
    beside: Option<&'e Element<'a>>,
) -> Result<&'e Element<'a>, Refusal> {
    let mut inside = None;
    for child in info.map_or(&[][..], |info| info.children.as_slice()) {
        if child.is(Space::Encryption, "EncryptedKey") && inside.is_none() {
            inside = Some(child);
        } else if !refers_beside(child, beside) && !describes_key(child) {
            return Err(shape(&format!(
                "the KeyInfo of the data holds <{}>",
                cut(child.local)
            )));
        }
    }
    if let Some(info) = info
        && !info.is(Space::Signature, "KeyInfo")
    {
        return Err(shape("there is no KeyInfo where one belongs"));
    }
    match (inside, beside) {
        (Some(key), None) | (None, Some(key)) => {
            named(key, "EncryptedKey")?;
            Ok(key)
        }
        (None, None) => Err(shape("there is no EncryptedKey")),
        (Some(_), Some(_)) => Err(shape("there are two EncryptedKeys")),
    }
}

/// A RetrievalMethod that only points at the EncryptedKey right behind the data.
fn refers_beside(method: &Element<'_>, beside: Option<&Element<'_>>) -> bool {
    let id = beside.and_then(|key| key.attribute("Id"));
    let uri = method
        .attribute("URI")
        .and_then(|uri| uri.strip_prefix('#'));
    let of_key = method
        .attribute("Type")
        .is_none_or(|found| found == ENCRYPTED_KEY);
    method.is(Space::Signature, "RetrievalMethod")
        && method.children.is_empty()
        && of_key
        && id.is_some()
        && uri == id
}

/// A description of whose key it is; it chooses nothing.
fn describes_key(child: &Element<'_>) -> bool {
    let part = |part: &Element<'_>| {
        part.local.starts_with("X509")
            || matches!(part.local, "RSAKeyValue" | "Modulus" | "Exponent")
    };
    let plain = each(child, &mut |inner, _| {
        if inner.space == Space::Signature && part(inner) {
            Ok(())
        } else {
            Err(shape("a KeyInfo describes more than a key"))
        }
    });
    child.space == Space::Signature
        && matches!(child.local, "X509Data" | "KeyName" | "KeyValue")
        && plain.is_ok()
}

/// A list that names the data, which is all that the key opens.
fn names(list: &Element<'_>, data: Option<&str>) -> bool {
    data.is_some()
        && list.children.iter().all(|reference| {
            reference.is(Space::Encryption, "DataReference")
                && reference.children.is_empty()
                && reference
                    .attribute("URI")
                    .and_then(|uri| uri.strip_prefix('#'))
                    == data
        })
}

fn read_key(key: &Element<'_>, data: Option<&str>) -> Result<(Hash, Hash, Vec<u8>), Refusal> {
    let mut children = key.children.iter();
    let method = children
        .next()
        .ok_or_else(|| shape("the EncryptedKey is empty"))?;
    let (digest, mask) = oaep(method)?;
    let mut wrapped = None;
    for child in children {
        match (child.space, child.local) {
            (Space::Signature, "KeyInfo") if child.children.iter().all(describes_key) => {}
            (Space::Encryption, "CipherData") if wrapped.is_none() => {
                wrapped = Some(cipher_value(child)?);
            }
            (Space::Encryption, "CarriedKeyName") if wrapped.is_some() => leaf(child)?,
            (Space::Encryption, "ReferenceList") if wrapped.is_some() && names(child, data) => {}
            _ => {
                return Err(shape(&format!(
                    "the EncryptedKey holds <{}>",
                    cut(child.local)
                )));
            }
        }
    }
    let wrapped = wrapped.ok_or_else(|| shape("the EncryptedKey has no CipherData"))?;
    Ok((digest, mask, wrapped))
}

/// RSA-OAEP and its parameters (XML Encryption 1.1, 5.5.2). The older name has MGF1 with SHA-1 always.
fn oaep(method: &Element<'_>) -> Result<(Hash, Hash), Refusal> {
    named(method, "EncryptionMethod")?;
    let found = algorithm(method);
    let newer = match found {
        "http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p" => false,
        "http://www.w3.org/2009/xmlenc11#rsa-oaep" => true,
        other => return Err(unknown(other)),
    };
    let (mut digest, mut mask) = (None, None);
    for child in &method.children {
        leaf(child)?;
        let algorithm = algorithm(child);
        match (child.space, child.local) {
            (Space::Signature, "DigestMethod") if digest.is_none() => {
                digest = Some(match algorithm {
                    "http://www.w3.org/2000/09/xmldsig#sha1" => Hash::Sha1,
                    "http://www.w3.org/2001/04/xmlenc#sha256" => Hash::Sha256,
                    "http://www.w3.org/2001/04/xmldsig-more#sha384"
                    | "http://www.w3.org/2001/04/xmlenc#sha384" => Hash::Sha384,
                    "http://www.w3.org/2001/04/xmlenc#sha512" => Hash::Sha512,
                    other => return Err(unknown(other)),
                });
            }
            (_, "MGF") if newer && child.uri == XMLENC11 && mask.is_none() => {
                mask = Some(match algorithm.strip_prefix(XMLENC11) {
                    Some("mgf1sha1") => Hash::Sha1,
                    Some("mgf1sha256") => Hash::Sha256,
                    Some("mgf1sha384") => Hash::Sha384,
                    Some("mgf1sha512") => Hash::Sha512,
                    _ => return Err(unknown(algorithm)),
                });
            }
            (Space::Encryption, "KeySize") => {}
            // A label would have to be agreed on; no identity provider sends one.
            _ => return Err(unknown(&format!("{found} with <{}>", child.local))),
        }
    }
    Ok((digest.unwrap_or(Hash::Sha1), mask.unwrap_or(Hash::Sha1)))
}

fn block(method: &Element<'_>) -> Result<Block, Refusal> {
    named(method, "EncryptionMethod")?;
    let plain =
        |child: &Element<'_>| child.is(Space::Encryption, "KeySize") && child.children.is_empty();
    if !method.children.iter().all(plain) {
        return Err(shape("the EncryptionMethod of the data has parameters"));
    }
    match algorithm(method) {
        "http://www.w3.org/2009/xmlenc11#aes128-gcm" => Ok(Block::Gcm { key: 16 }),
        "http://www.w3.org/2009/xmlenc11#aes192-gcm" => Ok(Block::Gcm { key: 24 }),
        "http://www.w3.org/2009/xmlenc11#aes256-gcm" => Ok(Block::Gcm { key: 32 }),
        "http://www.w3.org/2001/04/xmlenc#aes128-cbc" => Ok(Block::Cbc { key: 16 }),
        "http://www.w3.org/2001/04/xmlenc#aes192-cbc" => Ok(Block::Cbc { key: 24 }),
        "http://www.w3.org/2001/04/xmlenc#aes256-cbc" => Ok(Block::Cbc { key: 32 }),
        other => Err(unknown(other)),
    }
}

/// The one CipherValue; a CipherReference would be fetched.
fn cipher_value(data: &Element<'_>) -> Result<Vec<u8>, Refusal> {
    named(data, "CipherData")?;
    let [value] = data.children.as_slice() else {
        return Err(shape("there is not exactly one CipherValue"));
    };
    named(value, "CipherValue")?;
    leaf(value)?;
    let text = value.text().unwrap_or_default();
    let text: String = text.chars().filter(|c| !is_white_space(*c)).collect();
    STANDARD
        .decode(text)
        .map_err(|_| shape("a CipherValue is no base64"))
}

/// Nothing may hide where a text or nothing is meant.
fn leaf(element: &Element<'_>) -> Result<(), Refusal> {
    match element.children.first() {
        None => Ok(()),
        Some(child) => Err(shape(&format!(
            "<{}> holds <{}>",
            cut(element.local),
            cut(child.local)
        ))),
    }
}

fn algorithm<'e>(element: &'e Element<'_>) -> &'e str {
    element.attribute("Algorithm").unwrap_or_default()
}

fn named(element: &Element<'_>, local: &str) -> Result<(), Refusal> {
    if element.is(Space::Encryption, local) {
        Ok(())
    } else {
        Err(shape(&format!(
            "there is <{}> where <{local}> belongs",
            cut(element.local)
        )))
    }
}

fn unknown(found: &str) -> Refusal {
    Refusal::EncryptionAlgorithm { found: cut(found) }
}

fn shape(why: &str) -> Refusal {
    Refusal::EncryptionShape {
        why: why.to_owned(),
    }
}
