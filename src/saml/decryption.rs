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

/// The text in `sealed`, opened with whichever of `keys` it was encrypted for.
pub(super) fn open(sealed: &Sealed, keys: &[ServiceKey]) -> Result<String, Refusal> {
    let plain = content_key(sealed, keys).and_then(|content| match sealed.block {
        Block::Gcm { .. } => gcm(&sealed.data, &content),
        Block::Cbc { .. } => cbc(&sealed.data, &content),
    });
    // What failed stands in this thread's queue, where the next TLS call would find it.
    drop(ErrorStack::get());
    plain
        .and_then(|plain| String::from_utf8(plain).ok())
        .ok_or(Refusal::DecryptionFailed {})
}

/// The content key that one of `keys` unwraps, else one that opens nothing. Which key fits is settled by
/// OAEP alone: what a wrong key decrypts may look padded.
fn content_key(sealed: &Sealed, keys: &[ServiceKey]) -> Option<Zeroizing<Vec<u8>>> {
    let (Block::Gcm { key: size } | Block::Cbc { key: size }) = sealed.block;
    let mut content = rejected(sealed, keys.first()?, size).ok()?;
    for key in keys {
        let unwrapped = unwrap_key(sealed, key).ok();
        if let Some(unwrapped) = unwrapped.filter(|unwrapped| unwrapped.len() == size) {
            content = unwrapped;
        }
    }
    Some(content)
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

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use openssl::encrypt::Encrypter;
    use openssl::symm::encrypt;

    use super::*;

    fn keys() -> [ServiceKey; 2] {
        let now: DateTime<Utc> = "2026-01-15T12:00:00Z".parse().unwrap();
        [0, 1].map(|_| ServiceKey::generate("gate.example.org", now).unwrap())
    }

    /// AES-CBC for `key`, whose padding a wrong key hits one time in sixteen.
    fn sealed(key: &ServiceKey, text: &str) -> Sealed {
        let (content, vector) = ([5; 16], [6; BLOCK]);
        let mut encrypter = Encrypter::new(key.private()).unwrap();
        encrypter.set_rsa_padding(Padding::PKCS1_OAEP).unwrap();
        let mut wrapped = vec![0; encrypter.encrypt_len(&content).unwrap()];
        let length = encrypter.encrypt(&content, &mut wrapped).unwrap();
        wrapped.truncate(length);
        let cipher = Cipher::aes_128_cbc();
        let blocks = encrypt(cipher, &content, Some(&vector), text.as_bytes()).unwrap();
        Sealed {
            block: Block::Cbc { key: 16 },
            digest: Hash::Sha1,
            mask: Hash::Sha1,
            wrapped,
            data: [&vector[..], &blocks].concat(),
        }
    }

    #[test]
    fn of_two_keys_the_right_one_opens_every_time() {
        let keys = keys();
        for (round, key) in keys.iter().cycle().take(160).enumerate() {
            let text = format!("<assertion {round}/>");
            assert_eq!(open(&sealed(key, &text), &keys), Ok(text));
        }
    }

    #[test]
    fn every_failure_is_one_failure_and_the_same_again() {
        let keys = keys();
        // Long enough that what a wrong key makes of it is no text by chance, also where its padding fits.
        let text = format!("<a>{}</a>", "x".repeat(200));
        let good = sealed(&keys[0], &text);
        assert_eq!(open(&good, &keys[..1]), Ok(text.clone()));
        let failed = Err(Refusal::DecryptionFailed {});
        let spoilt = |change: fn(&mut Sealed)| {
            let mut sealed = sealed(&keys[0], &text);
            change(&mut sealed);
            open(&sealed, &keys)
        };
        assert_eq!(spoilt(|sealed| sealed.data.clear()), failed);
        assert_eq!(spoilt(|sealed| sealed.data.truncate(BLOCK)), failed);
        assert_eq!(spoilt(|sealed| sealed.data.truncate(BLOCK + 7)), failed);
        assert_eq!(
            spoilt(|sealed| sealed.block = Block::Gcm { key: 16 }),
            failed
        );
        assert_eq!(spoilt(|sealed| sealed.digest = Hash::Sha256), failed);
        assert_eq!(spoilt(|sealed| sealed.wrapped.clear()), failed);
        let other = sealed(&keys[1], &text);
        let rejected = || content_key(&other, &keys[..1]).unwrap();
        assert_eq!(rejected(), rejected(), "trying again teaches nothing");
    }
}
