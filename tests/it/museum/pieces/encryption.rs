//! Encrypted assertions: the good ones, and ENC-01 to 03: keys, modes, ciphertexts.

use super::*;
use crate::museum::seal::{Place, Sealing};

/// The good one that differs from most of the bad in the point at issue.
const TWIN: &str = "valid/enc-aes256-gcm.xml";
/// The same for the bad ones under a signed Response.
const TWIN_CBC: &str = "valid/enc-response-signed-aes256-cbc.xml";

impl Maker {
    /// An exhibit for a gateway that has the key `sp`.
    pub(super) fn show_sealed(
        &mut self,
        file: &str,
        id: &str,
        expect: &str,
        document: impl AsRef<[u8]>,
    ) -> &mut Exhibit {
        let exhibit = self.show(file, id, expect, document);
        exhibit.decryption = vec!["sp".to_owned()];
        if exhibit.twin.is_some() {
            exhibit.twin = Some(TWIN.to_owned());
        }
        exhibit
    }

    /// The same, with the twin that has a signed Response around CBC.
    pub(super) fn show_covered(
        &mut self,
        file: &str,
        id: &str,
        expect: &str,
        document: impl AsRef<[u8]>,
    ) {
        self.show_sealed(file, id, expect, document).twin = Some(TWIN_CBC.to_owned());
    }

    pub(super) fn signed_assertion(&self) -> String {
        sign(&assertion(), "_a1", &self.key)
    }

    /// `sealed` in a Response that is signed over the ciphertext.
    pub(super) fn covered(&self, sealed: &str) -> String {
        sign(&response(sealed), "_r0", &self.key)
    }

    pub(super) fn encryption(&mut self) {
        let sealing = Sealing::for_key(&crate::museum::folder(), "sp");
        self.good_encryption(&sealing);
        self.bad_keys(&sealing);
        self.bad_modes(&sealing);
        self.bad_ciphertexts(&sealing);
        self.bad_contents(&sealing);
        self.bad_places(&sealing);
        self.bad_signatures_inside(&sealing);
        self.bad_shapes(&sealing);
    }

    fn good_encryption(&mut self, sealing: &Sealing) {
        let signed = self.signed_assertion();
        for content in ["aes128-gcm", "aes192-gcm", "aes256-gcm"] {
            let document = response(&sealing.with(content).seal(&signed));
            self.show_sealed(&format!("enc-{content}"), "ENC-02", "accepted", document);
        }
        for content in ["aes128-cbc", "aes192-cbc", "aes256-cbc", "aes256-gcm"] {
            let document = self.covered(&sealing.with(content).seal(&assertion()));
            let file = format!("enc-response-signed-{content}");
            self.show_sealed(&file, "ENC-02", "accepted", document)
                .require = "response".to_owned();
        }
        for content in ["aes128-cbc", "aes256-gcm"] {
            let document = self.covered(&sealing.with(content).seal(&signed));
            let file = format!("enc-both-signed-{content}");
            self.show_sealed(&file, "ENC-06", "accepted", document)
                .require = "both".to_owned();
        }
        for (digest, mask) in [
            ("sha256", None),
            ("sha512", None),
            ("sha256", Some("sha1")),
            ("sha256", Some("sha256")),
            ("sha384", Some("sha384")),
            ("sha512", Some("sha512")),
        ] {
            let document = response(&sealing.hashed(digest, mask).seal(&signed));
            let file = format!("enc-oaep-{digest}-{}", mask.unwrap_or("mgf1p"));
            self.show_sealed(&file, "ENC-01", "accepted", document);
        }
        self.good_encryption_shapes(sealing, &signed);
    }

    fn good_encryption_shapes(&mut self, sealing: &Sealing, signed: &str) {
        let shown = |maker: &mut Self, file: &str, sealed: &str| {
            let document = response(sealed);
            maker.show_sealed(file, "ENC-05", "accepted", document);
        };
        let beside = sealing.at(Place::Beside).seal(signed);
        shown(self, "enc-key-beside", &beside);
        let unnamed = sealing.at(Place::BesideUnnamed).seal(signed);
        shown(self, "enc-key-beside-unnamed", &unnamed);
        let covered = sealing.at(Place::Beside).with("aes256-cbc");
        let covered = self.covered(&covered.seal(&assertion()));
        self.show_sealed(
            "enc-key-beside-response-signed",
            "ENC-05",
            "accepted",
            covered,
        );
        let plain = sealing.seal(signed);
        let in_key = |info: &str| {
            plain.replace(
                "</ds:DigestMethod></xenc:EncryptionMethod>",
                &format!("</ds:DigestMethod></xenc:EncryptionMethod>{info}"),
            )
        };
        shown(
            self,
            "enc-key-info-of-adfs",
            &in_key(
                "<KeyInfo xmlns=\"http://www.w3.org/2000/09/xmldsig#\"><X509Data><X509IssuerSerial><X509IssuerName>CN=gate.example.org</X509IssuerName><X509SerialNumber>1</X509SerialNumber></X509IssuerSerial></X509Data></KeyInfo>",
            ),
        );
        shown(
            self,
            "enc-key-info-of-pysaml2",
            &in_key(
                "<ds:KeyInfo><ds:KeyName></ds:KeyName><ds:X509Data><ds:X509Certificate>MII=</ds:X509Certificate></ds:X509Data></ds:KeyInfo>",
            )
            .replace(" Id=\"_ek1\"", " Id=\"_ek1\" Recipient=\"urn:amazon:webservices\""),
        );
        let wrapped = plain.replace("</xenc:CipherValue>", "\n</xenc:CipherValue>");
        let wrapped = wrapped.replace("<xenc:CipherValue>", "<xenc:CipherValue>\r\n");
        shown(self, "enc-line-ends", &wrapped);
        let java = sealing.with("aes256-cbc").seal(&assertion());
        let java = java.replace("</xenc:CipherValue>", "&#xD;\n</xenc:CipherValue>");
        let document = self.covered(&java);
        self.show_sealed("enc-line-ends-of-java", "ENC-05", "accepted", document);
        let spaced = plain
            .replace("<xenc:", "\n  <xenc:")
            .replace("<ds:KeyInfo", "\n  <ds:KeyInfo")
            .replace("</saml:EncryptedAssertion>", "\n</saml:EncryptedAssertion>");
        shown(self, "enc-white-space", &spaced);
        let no_ids = plain
            .replace(" Id=\"_ed1\"", "")
            .replace(" Id=\"_ek1\"", "");
        let no_type = no_ids.replace(" Type=\"http://www.w3.org/2001/04/xmlenc#Element\"", "");
        shown(self, "enc-without-ids-and-type", &no_type);
        let old = Sealing::for_key(&crate::museum::folder(), "sp-old").seal(signed);
        for (file, keys) in [
            ("enc-for-the-older-key", ["sp", "sp-old"]),
            ("enc-for-the-newer-key", ["sp-old", "sp"]),
        ] {
            self.show_sealed(file, "ENC-03", "accepted", response(&old))
                .decryption = keys.map(str::to_owned).to_vec();
        }
        let asked = assertion().replace(
            "SubjectConfirmationData Not",
            "SubjectConfirmationData InResponseTo=\"_q1\" Not",
        );
        let answer = response(&sealing.seal(&sign(&asked, "_a1", &self.key)))
            .replace(" ID=\"_r0\"", " ID=\"_r0\" InResponseTo=\"_q1\"");
        self.show_sealed("enc-sp-initiated", "GOOD", "accepted", answer)
            .request = Some("_q1".to_owned());
    }

    /// ENC-01: how the key came.
    fn bad_keys(&mut self, sealing: &Sealing) {
        let signed = self.signed_assertion();
        let content = sealing.ciphertext(signed.as_bytes());
        let disguised = sealing.element(&content, &sealing.wrapped_by_pkcs1());
        let named = |sealed: &str, algorithm: &str| {
            sealed.replace("http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p", algorithm)
        };
        let pkcs1 = named(&disguised, "http://www.w3.org/2001/04/xmlenc#rsa-1_5");
        let good = sealing.seal(&signed);
        let parameters = |inside: &str| {
            good.replace(
                "</ds:DigestMethod></xenc:EncryptionMethod>",
                &format!("</ds:DigestMethod>{inside}</xenc:EncryptionMethod>"),
            )
        };
        let labelled = sealing.element(&content, &sealing.wrap(&[0x42; 32], b"label"));
        let md5 = good.replace(
            "http://www.w3.org/2000/09/xmldsig#sha1",
            "http://www.w3.org/2001/04/xmldsig-more#md5",
        );
        for (file, sealed) in [
            ("pkcs1", pkcs1.clone()),
            (
                "key-wrap",
                named(&good, "http://www.w3.org/2001/04/xmlenc#kw-aes256"),
            ),
            ("no-algorithm", named(&good, "")),
            (
                "label",
                parameters("<xenc:OAEPparams>bGFiZWw=</xenc:OAEPparams>"),
            ),
            (
                "two-digests",
                parameters(
                    "<ds:DigestMethod Algorithm=\"http://www.w3.org/2000/09/xmldsig#sha1\"></ds:DigestMethod>",
                ),
            ),
            ("md5-digest", md5),
        ] {
            let document = response(&sealed);
            self.show_sealed(
                &format!("enc-01-{file}"),
                "ENC-01",
                "encryption_algorithm",
                document,
            );
        }
        let covered = self.covered(&pkcs1);
        self.show_covered(
            "enc-01-pkcs1-response-signed",
            "ENC-01",
            "encryption_algorithm",
            covered,
        );
        for (file, sealed) in [("pkcs1-as-oaep", disguised), ("label-unsaid", labelled)] {
            let document = response(&sealed);
            self.show_sealed(
                &format!("enc-01-{file}"),
                "ENC-01",
                "decryption_failed",
                document,
            );
        }
    }

    /// ENC-02: CBC without a signature over it, and triple DES.
    fn bad_modes(&mut self, sealing: &Sealing) {
        let signed = self.signed_assertion();
        for content in ["aes128-cbc", "aes256-cbc"] {
            let document = response(&sealing.with(content).seal(&signed));
            self.show_covered(
                &format!("enc-02-{content}-response-unsigned"),
                "ENC-02",
                "encrypted_cbc_unsigned",
                document,
            );
        }
        let cbc = sealing.with("aes256-cbc");
        let stranger = sign(&response(&cbc.seal(&signed)), "_r0", &self.other);
        self.show_covered(
            "enc-02-cbc-response-signed-by-other",
            "ENC-02",
            "signature_invalid",
            stranger,
        );
        let covered = self.covered(&cbc.seal(&assertion()));
        let other = cbc.seal(&assertion().replace("alice", "admin"));
        let value = |text: &str| {
            between(
                &text[text.find("</ds:KeyInfo><xenc:CipherData>").unwrap()..],
                "<xenc:CipherValue>",
                "<",
            )
        };
        let exchanged = covered.replace(&value(&covered), &value(&other));
        assert_ne!(exchanged, covered);
        self.show_covered(
            "enc-02-cbc-ciphertext-exchanged",
            "ENC-02",
            "signature_invalid",
            exchanged,
        );
        let as_gcm = covered.replace(
            "http://www.w3.org/2001/04/xmlenc#aes256-cbc",
            "http://www.w3.org/2009/xmlenc11#aes256-gcm",
        );
        self.show_covered(
            "enc-02-cbc-called-gcm",
            "ENC-02",
            "signature_invalid",
            as_gcm,
        );
        let unsigned = response(&cbc.seal(&signed)).replace(
            "http://www.w3.org/2001/04/xmlenc#aes256-cbc",
            "http://www.w3.org/2009/xmlenc11#aes256-gcm",
        );
        self.show_sealed(
            "enc-02-cbc-called-gcm-response-unsigned",
            "ENC-02",
            "decryption_failed",
            unsigned,
        );
        let triple = self.covered(&sealing.with("tripledes-cbc").seal(&assertion()));
        self.show_covered(
            "enc-02-triple-des",
            "ENC-02",
            "encryption_algorithm",
            triple,
        );
    }

    /// ENC-03: what does not decrypt, all with one code.
    fn bad_ciphertexts(&mut self, sealing: &Sealing) {
        let signed = self.signed_assertion();
        let good = sealing.ciphertext(signed.as_bytes());
        let key = sealing.wrapped();
        let flipped = |bytes: &[u8], at: usize| {
            let mut bytes = bytes.to_vec();
            bytes[at] ^= 1;
            bytes
        };
        let huge = vec![0; 52_000];
        for (file, content, wrapped) in [
            ("empty", Vec::new(), key.clone()),
            ("iv-alone", good[..12].to_vec(), key.clone()),
            ("short", good[..27].to_vec(), key.clone()),
            ("truncated", good[..good.len() - 1].to_vec(), key.clone()),
            ("longer", [good.as_slice(), &[0]].concat(), key.clone()),
            ("changed-tag", flipped(&good, good.len() - 1), key.clone()),
            ("changed-iv", flipped(&good, 0), key.clone()),
            ("changed-text", flipped(&good, 40), key.clone()),
            ("huge", huge, key.clone()),
            ("key-empty", good.clone(), Vec::new()),
            ("key-truncated", good.clone(), key[..255].to_vec()),
            ("key-longer", good.clone(), [&key[..], &[0]].concat()),
            ("key-changed", good.clone(), flipped(&key, 200)),
            ("key-zero", good.clone(), vec![0; 256]),
            ("key-above-modulus", good.clone(), vec![0xff; 256]),
            (
                "key-of-another-length",
                good.clone(),
                sealing.wrap(&[0x42; 16], b""),
            ),
            ("another-key", good.clone(), sealing.wrap(&[0x43; 32], b"")),
            (
                "no-text",
                sealing.ciphertext(&[b'<', 0xff, b'>']),
                key.clone(),
            ),
        ] {
            let document = response(&sealing.element(&content, &wrapped));
            self.show_sealed(
                &format!("enc-03-{file}"),
                "ENC-03",
                "decryption_failed",
                document,
            );
        }
        let document =
            response(&Sealing::for_key(&crate::museum::folder(), "sp-old").seal(&signed));
        self.show_sealed(
            "enc-03-for-somebody-else",
            "ENC-03",
            "decryption_failed",
            &document,
        );
        self.show_sealed("enc-03-no-key", "ENC-03", "encrypted_no_key", document)
            .decryption = Vec::new();
        self.bad_blocks(&sealing.with("aes256-cbc"));
    }

    /// ENC-03 with CBC: under a good signature, so that only the provider itself can get here.
    fn bad_blocks(&mut self, sealing: &Sealing) {
        let good = sealing.ciphertext(assertion().as_bytes());
        let padded_with = |last: u8| {
            let mut text = assertion().into_bytes();
            text.resize(text.len().next_multiple_of(16) + 15, b' ');
            text.push(last);
            sealing.blocks(&text)
        };
        for (file, content) in [
            ("padding-0", padded_with(0)),
            ("padding-17", padded_with(17)),
            ("padding-255", padded_with(255)),
            ("iv-alone", good[..16].to_vec()),
            ("iv-cut", good[..15].to_vec()),
            ("empty", Vec::new()),
            ("half-a-block", good[..good.len() - 8].to_vec()),
            ("changed-iv-and-last-block", {
                let mut changed = good.clone();
                changed[0] ^= 0x80;
                changed.iter_mut().rev().take(16).for_each(|b| *b ^= 0x55);
                changed
            }),
        ] {
            let document = self.covered(&sealing.element(&content, &sealing.wrapped()));
            self.show_covered(
                &format!("enc-03-cbc-{file}"),
                "ENC-03",
                "decryption_failed",
                document,
            );
        }
        let document = self.covered(&sealing.element(&good, &sealing.wrap(&[0x43; 32], b"")));
        self.show_covered(
            "enc-03-cbc-another-key",
            "ENC-03",
            "decryption_failed",
            document,
        );
    }
}
