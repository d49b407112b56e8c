//! Opening what an identity provider encrypted for us: RSA-OAEP, then AES (XML Encryption 1.1, 5.2, 5.5.2).
//!
//! It trusts nothing that it opens. Every failure is one failure: which step failed, OAEP's padding, the
//! tag or the block padding, is told to nobody, and where the content key does not open the data is
//! decrypted all the same, with a key that only we could guess. All keys are tried, whichever fits.

use openssl::encrypt::Decrypter;
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::rsa::Padding;
use openssl::sign::Signer;
use openssl::symm::{Cipher, Crypter, Mode, decrypt_aead};
use zeroize::Zeroizing;

use super::encrypted_shape::{Block, Hash, Sealed};
use super::refusal::Refusal;
use super::service_key::ServiceKey;

/// Of AES-GCM's nonce, in bytes (XML Encryption 1.1, 5.2.4).
const NONCE: usize = 12;
/// Of AES-GCM's tag, in bytes.
const TAG: usize = 16;
/// Of AES's block, in bytes.
const BLOCK: usize = 16;

/// The text in `sealed`, opened with the first of `keys` that does.
pub(super) fn open(sealed: &Sealed, keys: &[ServiceKey]) -> Result<String, Refusal> {
    let mut found = None;
    for key in keys {
        let plain = open_with(sealed, key);
        found = found.or(plain);
    }
    // What failed stands in this thread's queue, where the next TLS call would find it.
    drop(ErrorStack::get());
    found
        .and_then(|plain| String::from_utf8(plain).ok())
        .ok_or(Refusal::DecryptionFailed {})
}

fn open_with(sealed: &Sealed, key: &ServiceKey) -> Option<Vec<u8>> {
    let size = match sealed.block {
        Block::Gcm { key } | Block::Cbc { key } => key,
    };
    let unlikely = rejected(sealed, key, size).ok()?;
    let content = unwrap_key(sealed, key)
        .ok()
        .filter(|content| content.len() == size)
        .unwrap_or(unlikely);
    match sealed.block {
        Block::Gcm { .. } => gcm(&sealed.data, &content),
        Block::Cbc { .. } => cbc(&sealed.data, &content),
    }
}

fn unwrap_key(sealed: &Sealed, key: &ServiceKey) -> Result<Zeroizing<Vec<u8>>, ErrorStack> {
    let mut decrypter = Decrypter::new(key.private())?;
    decrypter.set_rsa_padding(Padding::PKCS1_OAEP)?;
    decrypter.set_rsa_oaep_md(digest(sealed.digest))?;
    decrypter.set_rsa_mgf1_md(digest(sealed.mask))?;
    let mut content = Zeroizing::new(vec![0; decrypter.decrypt_len(&sealed.wrapped)?]);
    let length = decrypter.decrypt(&sealed.wrapped, &mut content)?;
    content.truncate(length);
    Ok(content)
}

/// A content key for what does not open: the same each time for the same message, so that nothing can be
/// learnt from trying it again, and unknown to whoever has not the private key.
fn rejected(
    sealed: &Sealed,
    key: &ServiceKey,
    size: usize,
) -> Result<Zeroizing<Vec<u8>>, ErrorStack> {
    let private = Zeroizing::new(key.private().private_key_to_der()?);
    let secret = PKey::hmac(&openssl::sha::sha256(&private))?;
    let mut signer = Signer::new(MessageDigest::sha256(), &secret)?;
    let mut content = Zeroizing::new(signer.sign_oneshot_to_vec(&sealed.wrapped)?);
    content.truncate(size);
    Ok(content)
}

fn digest(hash: Hash) -> MessageDigest {
    match hash {
        Hash::Sha1 => MessageDigest::sha1(),
        Hash::Sha256 => MessageDigest::sha256(),
        Hash::Sha384 => MessageDigest::sha384(),
        Hash::Sha512 => MessageDigest::sha512(),
    }
}

fn gcm(data: &[u8], key: &[u8]) -> Option<Vec<u8>> {
    let cipher = match key.len() {
        16 => Cipher::aes_128_gcm(),
        24 => Cipher::aes_192_gcm(),
        _ => Cipher::aes_256_gcm(),
    };
    let (nonce, rest) = data.split_at_checked(NONCE)?;
    let (text, tag) = rest.split_at_checked(rest.len().checked_sub(TAG)?)?;
    decrypt_aead(cipher, key, Some(nonce), &[], text, tag).ok()
}

/// The last byte says how many were added (XML Encryption 1.1, 5.2.3); the others say nothing.
fn cbc(data: &[u8], key: &[u8]) -> Option<Vec<u8>> {
    let cipher = match key.len() {
        16 => Cipher::aes_128_cbc(),
        24 => Cipher::aes_192_cbc(),
        _ => Cipher::aes_256_cbc(),
    };
    let (vector, blocks) = data.split_at_checked(BLOCK)?;
    let mut crypter = Crypter::new(cipher, Mode::Decrypt, key, Some(vector)).ok()?;
    crypter.pad(false);
    let mut plain = vec![0; blocks.len().checked_add(BLOCK)?];
    let mut length = crypter.update(blocks, &mut plain).ok()?;
    length = length.checked_add(crypter.finalize(plain.get_mut(length..)?).ok()?)?;
    plain.truncate(length);
    let padding = usize::from(*plain.last()?);
    if !(1..=BLOCK).contains(&padding) {
        return None;
    }
    plain.truncate(length.checked_sub(padding)?);
    Some(plain)
}
