//! Encrypted assertions: sealed as identity providers seal them, and in every way they must not be.
//!
//! Content keys, nonces and OAEP's seed are fixed, so that the fixtures stay what they are.

use openssl::hash::{MessageDigest, hash};
use openssl::rsa::{Padding, Rsa};
use openssl::symm::{Cipher, encrypt, encrypt_aead};

use super::*;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const XENC: &str = "http://www.w3.org/2001/04/xmlenc#";
const XENC11: &str = "http://www.w3.org/2009/xmlenc11#";
const MGF1P: &str = "http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p";
const OAEP: &str = "http://www.w3.org/2009/xmlenc11#rsa-oaep";
const GCM_256: &str = "http://www.w3.org/2009/xmlenc11#aes256-gcm";
const GCM_128: &str = "http://www.w3.org/2009/xmlenc11#aes128-gcm";
const CBC_128: &str = "http://www.w3.org/2001/04/xmlenc#aes128-cbc";
const CBC_256: &str = "http://www.w3.org/2001/04/xmlenc#aes256-cbc";
const SHA256: &str = "<ds:DigestMethod xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\" Algorithm=\"http://www.w3.org/2001/04/xmlenc#sha256\"></ds:DigestMethod>";

/// How an assertion is sealed.
#[derive(Clone)]
struct Seal {
    key: Rsa<openssl::pkey::Public>,
    block: &'static str,
    wrap: &'static str,
    parameters: String,
    digest: MessageDigest,
    mask: MessageDigest,
    beside: bool,
}

impl Seal {
    fn new(folder: &Path, key: &str, block: &'static str) -> Self {
        let pem = std::fs::read(folder.join(format!("{key}.crt"))).unwrap();
        let certificate = openssl::x509::X509::from_pem(&pem).unwrap();
        Self {
            key: certificate.public_key().unwrap().rsa().unwrap(),
            block,
            wrap: MGF1P,
            parameters: String::new(),
            digest: MessageDigest::sha1(),
            mask: MessageDigest::sha1(),
            beside: false,
        }
    }

    fn content_key(&self) -> Vec<u8> {
        vec![0x5a; if self.block.contains("256") { 32 } else { 16 }]
    }

    /// The ciphertext of `text`, nonce or vector in front.
    fn data(&self, text: &[u8]) -> Vec<u8> {
        let key = self.content_key();
        if self.block.contains("gcm") {
            let cipher = if key.len() == 32 {
                Cipher::aes_256_gcm()
            } else {
                Cipher::aes_128_gcm()
            };
            let (nonce, mut tag) = ([7; 12], [0; 16]);
            let sealed = encrypt_aead(cipher, &key, Some(&nonce), &[], text, &mut tag).unwrap();
            return [&nonce[..], &sealed, &tag].concat();
        }
        let cipher = if key.len() == 32 {
            Cipher::aes_256_cbc()
        } else {
            Cipher::aes_128_cbc()
        };
        let vector = [7; 16];
        // PKCS #7 writes the count into every byte, XML Encryption demands it of the last alone.
        [
            &vector[..],
            &encrypt(cipher, &key, Some(&vector), text).unwrap(),
        ]
        .concat()
    }

    /// RSA-OAEP (RFC 8017, 7.1.1) of the content key with a fixed seed, which OpenSSL does not offer.
    fn wrapped(&self) -> Vec<u8> {
        let size = usize::try_from(self.key.size()).unwrap();
        let empty = hash(self.digest, b"").unwrap();
        let (length, key) = (empty.len(), self.content_key());
        let mut block = empty.to_vec();
        block.resize(size - length - 2 - key.len(), 0);
        block.push(1);
        block.extend(&key);
        let mut seed = vec![9; length];
        exclusive_or(&mut block, &mask(self.mask, &seed, size - length - 1));
        exclusive_or(&mut seed, &mask(self.mask, &block, length));
        let message = [&[0][..], &seed, &block].concat();
        let mut wrapped = vec![0; size];
        self.key
            .public_encrypt(&message, &mut wrapped, Padding::NONE)
            .unwrap();
        wrapped
    }

    fn around(&self, text: &str) -> String {
        self.of(&self.data(text.as_bytes()), &self.wrapped())
    }

    /// The EncryptedAssertion with this ciphertext and this wrapped key, in canonical form.
    fn of(&self, data: &[u8], wrapped: &[u8]) -> String {
        let Self {
            block,
            wrap,
            parameters,
            ..
        } = self;
        let value = |bytes: &[u8]| {
            format!(
                "<xenc:CipherData><xenc:CipherValue>{}</xenc:CipherValue></xenc:CipherData>",
                STANDARD.encode(bytes)
            )
        };
        let (id, own) = if self.beside {
            (" Id=\"_k1\"", format!(" xmlns:xenc=\"{XENC}\""))
        } else {
            ("", String::new())
        };
        let key = format!(
            "<xenc:EncryptedKey{own}{id}><xenc:EncryptionMethod Algorithm=\"{wrap}\">{parameters}</xenc:EncryptionMethod>{}</xenc:EncryptedKey>",
            value(wrapped)
        );
        let (inside, behind) = if self.beside {
            (
                format!(
                    "<ds:RetrievalMethod Type=\"{XENC}EncryptedKey\" URI=\"#_k1\"></ds:RetrievalMethod>"
                ),
                key,
            )
        } else {
            (key, String::new())
        };
        format!(
            "<saml:EncryptedAssertion xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\"><xenc:EncryptedData xmlns:xenc=\"{XENC}\" Type=\"{XENC}Element\"><xenc:EncryptionMethod Algorithm=\"{block}\"></xenc:EncryptionMethod><ds:KeyInfo {DS}>{inside}</ds:KeyInfo>{}</xenc:EncryptedData>{behind}</saml:EncryptedAssertion>",
            value(data)
        )
    }
}

fn exclusive_or(to: &mut [u8], with: &[u8]) {
    for (to, with) in to.iter_mut().zip(with) {
        *to ^= with;
    }
}

/// MGF1 (RFC 8017, B.2.1).
fn mask(digest: MessageDigest, seed: &[u8], length: usize) -> Vec<u8> {
    let mut mask = Vec::new();
    let mut counter = 0_u32;
    while mask.len() < length {
        mask.extend_from_slice(&hash(digest, &[seed, &counter.to_be_bytes()].concat()).unwrap());
        counter += 1;
    }
    mask.truncate(length);
    mask
}

impl Maker {
    fn sealed_show(
        &mut self,
        file: &str,
        id: &str,
        expect: &str,
        document: String,
    ) -> &mut Exhibit {
        let exhibit = self.show(file, id, expect, document);
        exhibit.keys = 1;
        if expect != "accepted" {
            exhibit.twin = Some("valid/enc-gcm-256.xml".to_owned());
        }
        exhibit
    }

    pub(super) fn encryption(&mut self) {
        let folder = super::super::folder();
        self.opened(&folder);
        self.not_opened(&folder);
        self.not_taken(&folder);
    }

    /// What is accepted.
    fn opened(&mut self, folder: &Path) {
        let signed = sign(&assertion(), "_a1", &self.key);
        let seal = |block| Seal::new(folder, "sp", block);
        let own = |seal: &Seal| response(&seal.around(&signed));
        self.sealed_show("enc-gcm-256", "GOOD", "accepted", own(&seal(GCM_256)));
        self.sealed_show("enc-gcm-128", "GOOD", "accepted", own(&seal(GCM_128)));
        let beside = Seal {
            beside: true,
            ..seal(GCM_256)
        };
        self.sealed_show("enc-key-beside", "GOOD", "accepted", own(&beside));
        let sha256 = Seal {
            parameters: SHA256.to_owned(),
            digest: MessageDigest::sha256(),
            ..seal(GCM_256)
        };
        self.sealed_show("enc-oaep-sha-256", "GOOD", "accepted", own(&sha256));
        let newer = Seal {
            wrap: OAEP,
            parameters: format!(
                "{SHA256}<xenc11:MGF xmlns:xenc11=\"{XENC11}\" Algorithm=\"{XENC11}mgf1sha256\"></xenc11:MGF>"
            ),
            mask: MessageDigest::sha256(),
            ..sha256
        };
        self.sealed_show("enc-oaep-mgf1-sha-256", "GOOD", "accepted", own(&newer));
        for (file, block) in [
            ("enc-cbc-128-signed", CBC_128),
            ("enc-cbc-256-signed", CBC_256),
            ("enc-gcm-signed", GCM_256),
        ] {
            let whole = response(&seal(block).around(&assertion()));
            self.sealed_show(file, "GOOD", "accepted", sign(&whole, "_r0", &self.key));
        }
        let both = sign(&response(&seal(CBC_256).around(&signed)), "_r0", &self.key);
        self.sealed_show("enc-both-signed", "GOOD", "accepted", both)
            .require = "both".to_owned();
        let old = Seal::new(folder, "sp-old", GCM_256);
        self.sealed_show(
            "enc-for-the-older-of-two-keys",
            "GOOD",
            "accepted",
            own(&old),
        )
        .keys = 2;
    }

    /// What cannot or must not be decrypted.
    fn not_opened(&mut self, folder: &Path) {
        let signed = sign(&assertion(), "_a1", &self.key);
        let gcm = Seal::new(folder, "sp", GCM_256);
        let whole = response(&gcm.around(&signed));
        self.sealed_show("enc-no-key", "ENC-03", "encrypted_no_key", whole.clone())
            .keys = 0;
        self.sealed_show(
            "enc-03-another-key",
            "ENC-03",
            "decryption_failed",
            response(&Seal::new(folder, "sp-old", GCM_256).around(&signed)),
        );
        // PKCS #1 v1.5 pads at random: a key that is no key shows the shape as well.
        let broken = gcm.of(&gcm.data(signed.as_bytes()), &[3; 256]);
        let name = |to: &str| response(&broken.replace(MGF1P, to));
        self.sealed_show(
            "enc-01-rsa-1-5",
            "ENC-01",
            "encryption_algorithm",
            name("http://www.w3.org/2001/04/xmlenc#rsa-1_5"),
        );
        self.sealed_show(
            "enc-01-rsa-1-5-in-a-signed-response",
            "ENC-01",
            "encryption_algorithm",
            sign(
                &name("http://www.w3.org/2001/04/xmlenc#rsa-1_5"),
                "_r0",
                &self.key,
            ),
        );
        self.sealed_show(
            "enc-01-key-wrap",
            "ENC-01",
            "encryption_algorithm",
            name("http://www.w3.org/2001/04/xmlenc#kw-aes128"),
        );
        self.sealed_show(
            "enc-01-no-algorithm",
            "ENC-01",
            "encryption_algorithm",
            name(""),
        );
        self.sealed_show(
            "enc-01-triple-des",
            "ENC-01",
            "encryption_algorithm",
            whole.replace(GCM_256, "http://www.w3.org/2001/04/xmlenc#tripledes-cbc"),
        );
        self.sealed_show(
            "enc-01-label",
            "ENC-01",
            "encryption_algorithm",
            whole.replace(
                &format!("{MGF1P}\">"),
                &format!("{MGF1P}\"><xenc:OAEPparams>AAAA</xenc:OAEPparams>"),
            ),
        );
        self.sealed_show(
            "enc-01-sha-512",
            "ENC-01",
            "encryption_algorithm",
            whole.replace(
                &format!("{MGF1P}\">"),
                &format!("{MGF1P}\">{}", SHA256.replace("sha256", "sha512")),
            ),
        );
        self.sealed_show(
            "enc-03-key-that-does-not-unwrap",
            "ENC-03",
            "decryption_failed",
            response(&broken),
        );
        let cbc = Seal::new(folder, "sp", CBC_256);
        for (file, text) in [
            ("signed-inside", &signed),
            ("unsigned-inside", &assertion()),
        ] {
            self.sealed_show(
                &format!("enc-02-cbc-{file}"),
                "ENC-02",
                "encrypted_cbc_unsigned",
                response(&cbc.around(text)),
            );
        }
        let spoilt = sign(&response(&cbc.around(&signed)), "_r0", &self.key)
            .replace("<xenc:CipherValue>", "<xenc:CipherValue>AAAA");
        self.sealed_show(
            "enc-02-cbc-under-a-bad-signature",
            "ENC-02",
            "signature_invalid",
            spoilt,
        );
        let other = sign(&response(&cbc.around(&signed)), "_r0", &self.other);
        self.sealed_show(
            "enc-02-cbc-under-another-key",
            "SIG-03",
            "signature_invalid",
            other,
        );
        let data = gcm.data(signed.as_bytes());
        let mut flipped = data.clone();
        flipped[40] ^= 1;
        for (file, data) in [
            ("wrong-tag", &flipped[..]),
            ("no-tag", &data[..data.len() - 16]),
            ("cut", &data[..100]),
            ("nonce-alone", &data[..12]),
            ("one-byte", &data[..1]),
        ] {
            self.sealed_show(
                &format!("enc-03-gcm-{file}"),
                "ENC-03",
                "decryption_failed",
                response(&gcm.of(data, &gcm.wrapped())),
            );
        }
        let data = cbc.data(assertion().as_bytes());
        let mut padding = data.clone();
        let last = padding.len() - 17;
        padding[last] ^= 0x80;
        for (file, data) in [
            ("wrong-padding", &padding[..]),
            ("half-a-block", &data[..data.len() - 8]),
            ("vector-alone", &data[..16]),
        ] {
            let whole = response(&cbc.of(data, &cbc.wrapped()));
            self.sealed_show(
                &format!("enc-03-cbc-{file}"),
                "ENC-03",
                "decryption_failed",
                sign(&whole, "_r0", &self.key),
            );
        }
        self.sealed_show(
            "enc-03-empty",
            "ENC-03",
            "encrypted_shape",
            response(&gcm.of(&[], &gcm.wrapped())),
        );
        self.sealed_show(
            "enc-03-no-base64",
            "ENC-03",
            "encrypted_shape",
            whole.replacen("<xenc:CipherValue>", "<xenc:CipherValue>?", 1),
        );
        let reference = "<xenc:CipherReference URI=\"http://127.0.0.1/\"></xenc:CipherReference>";
        let start = whole.find("<xenc:CipherValue>").unwrap();
        let end = whole.find("</xenc:CipherValue>").unwrap() + "</xenc:CipherValue>".len();
        let fetched = format!("{}{reference}{}", &whole[..start], &whole[end..]);
        self.sealed_show(
            "enc-05-cipher-reference",
            "ENC-05",
            "encrypted_shape",
            fetched,
        );
    }

    /// What is decrypted, or would be, and is not an assertion alone.
    fn not_taken(&mut self, folder: &Path) {
        let signed = sign(&assertion(), "_a1", &self.key);
        let gcm = Seal::new(folder, "sp", GCM_256);
        let inside = |text: &str| response(&gcm.around(text));
        let good = self.good();
        let forged = signed.replace("alice@example.org", "admin@example.org");
        for (file, id, expect, text) in [
            ("04-a-response", "ENC-04", "encrypted_content", good.clone()),
            ("04-nothing", "ENC-04", "malformed", "   ".to_owned()),
            ("04-no-xml", "ENC-04", "malformed", "alice".to_owned()),
            ("04-two-assertions", "ENC-04", "malformed", format!("{signed}{signed}")),
            ("04-assertion-in-assertion", "ENC-04", "assertion_place", signed.replace("<saml:AttributeStatement>", &format!("<saml:AttributeStatement>{}", assertion().replace("_a1", "_a2")))),
            ("04-doctype", "ENC-04", "markup", format!("<!DOCTYPE a []>{signed}")),
            ("04-comment", "ENC-04", "markup", signed.replace(">alice<", ">ali<!-- -->ce<")),
            ("04-declaration", "ENC-04", "encrypted_content", format!("<?xml version=\"1.0\"?>{signed}")),
            ("04-undeclared-prefix", "ENC-04", "namespace", signed.replacen(" xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\"", "", 1)),
            ("04-id-of-the-response", "ENC-04", "duplicate_id", sign(&assertion().replace("_a1", "_r0"), "_r0", &self.key)),
            ("04-no-id", "ENC-04", "bad_id", assertion().replace(" ID=\"_a1\"", "")),
            ("04-encrypted-again", "ENC-04", "encrypted_content", gcm.around(&signed)),
            ("04-encrypted-id-inside", "ENC-07", "encrypted", signed.replace("<saml:AttributeStatement>", "<saml:AttributeStatement><saml:EncryptedID></saml:EncryptedID>")),
            ("06-unsigned-inside", "ENC-06", "unsigned", assertion()),
            ("06-changed-inside", "ENC-06", "signature_invalid", forged.clone()),
            ("06-another-key-inside", "SIG-03", "signature_invalid", sign(&assertion(), "_a1", &self.other)),
            ("06-wrapped-inside", "ENC-06", "assertion_place", assertion().replace("</saml:Issuer>", &format!("</saml:Issuer><ds:Signature {DS}><ds:Object>{signed}</ds:Object></ds:Signature>"))),
        ] {
            self.sealed_show(&format!("enc-{file}"), id, expect, inside(&text));
        }
        let unsigned = inside(&assertion());
        self.sealed_show(
            "enc-06-unsigned-inside-a-changed-response",
            "ENC-06",
            "signature_invalid",
            sign(&unsigned, "_r0", &self.key).replacen(
                "Destination=\"https://gate",
                "Destination=\"https://gat2",
                1,
            ),
        );
        self.sealed_show(
            "enc-06-response-must-be-signed",
            "ENC-06",
            "signature_required",
            inside(&signed),
        )
        .require = "response".to_owned();
        self.sealed_show(
            "enc-06-both-must-be-signed",
            "ENC-06",
            "signature_required",
            sign(&unsigned, "_r0", &self.key),
        )
        .require = "both".to_owned();
        let sealed = gcm.around(&signed);
        for (file, content) in [
            ("encrypted-first", format!("{sealed}{signed}")),
            ("clear-first", format!("{signed}{sealed}")),
            ("two", format!("{sealed}{sealed}")),
        ] {
            self.sealed_show(
                &format!("enc-05-{file}"),
                "ENC-05",
                "encrypted",
                response(&content),
            );
        }
        let whole = response(&sealed);
        for (file, from, to, expect) in [
            (
                "type-content",
                "xmlenc#Element",
                "xmlenc#Content",
                "encrypted_shape",
            ),
            (
                "nothing-inside",
                &sealed[..],
                "<saml:EncryptedAssertion xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\"></saml:EncryptedAssertion>",
                "encrypted_shape",
            ),
            (
                "retrieval-elsewhere",
                "<xenc:EncryptedKey>",
                "<ds:RetrievalMethod URI=\"http://127.0.0.1/\"></ds:RetrievalMethod><xenc:EncryptedKey>",
                "encrypted_shape",
            ),
            (
                "two-keys",
                "<xenc:EncryptedKey>",
                "<xenc:EncryptedKey></xenc:EncryptedKey><xenc:EncryptedKey>",
                "encrypted_shape",
            ),
            (
                "agreement",
                "<xenc:EncryptedKey>",
                "<xenc:AgreementMethod Algorithm=\"http://www.w3.org/2009/xmlenc11#ECDH-ES\"></xenc:AgreementMethod><xenc:EncryptedKey>",
                "encrypted_shape",
            ),
            (
                "object-in-status",
                "</samlp:Status>",
                "<samlp:StatusDetail><xenc:EncryptedData xmlns:xenc=\"http://www.w3.org/2001/04/xmlenc#\"></xenc:EncryptedData></samlp:StatusDetail></samlp:Status>",
                "encrypted",
            ),
            (
                "assertion-in-status",
                "</samlp:Status>",
                &format!("<samlp:StatusDetail>{signed}</samlp:StatusDetail></samlp:Status>"),
                "unexpected_element",
            ),
        ] {
            let changed = whole.replacen(from, to, 1);
            assert_ne!(changed, whole, "{from} is not there");
            self.sealed_show(&format!("enc-05-{file}"), "ENC-05", expect, changed);
        }
        let no_issuer = whole.replacen(&format!("<saml:Issuer xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\">{IDP}</saml:Issuer>"), "", 1);
        self.sealed_show("enc-05-no-issuer-outside", "ENC-05", "issuer", no_issuer);
        let huge = gcm.of(&vec![1; 50_000], &gcm.wrapped());
        self.sealed_show(
            "enc-03-huge",
            "ENC-03",
            "decryption_failed",
            response(&huge),
        );
        let name_id = format!(
            "<saml:NameID {}</saml:NameID>",
            between(&assertion(), "<saml:NameID ", "</saml:NameID>")
        );
        self.show(
            "enc-07-encrypted-id",
            "ENC-07",
            "encrypted",
            self.changed(&name_id, "<saml:EncryptedID></saml:EncryptedID>"),
        );
        let attribute =
            "<saml:AttributeStatement><saml:EncryptedAttribute></saml:EncryptedAttribute>";
        self.show(
            "enc-07-encrypted-attribute",
            "ENC-07",
            "encrypted",
            self.changed("<saml:AttributeStatement>", attribute),
        );
    }
}
