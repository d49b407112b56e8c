//! More of signatures and keys: what a document says of the key it wants to be judged by (SIG).

use super::wrapping_sets::split;
use super::*;

const VALUE: (&str, &str) = ("<ds:SignatureValue>", "</ds:SignatureValue>");

impl Maker {
    pub(super) fn keys(&mut self) {
        self.unsigned();
        self.keys_of_their_own();
        self.algorithms();
        self.values();
        self.issuers();
    }

    fn unsigned(&mut self) {
        let evil = assertion().replace("alice", "admin");
        self.show("sig-01-forged", "SIG-01", "unsigned", response(&evil));
        let only_info = format!("<ds:KeyInfo {DS}></ds:KeyInfo>");
        self.show(
            "sig-01-key-info-alone",
            "SIG-01",
            "unexpected_element",
            response(&insert(&assertion(), &only_info)),
        );
        let empty = format!("<ds:Signature {DS}></ds:Signature>");
        self.show(
            "sig-01-empty-signature",
            "SIG-01",
            "signature_shape",
            response(&insert(&assertion(), &empty)),
        );
        let (bare, _) = split(&self.good());
        self.show(
            "sig-02-removed-from-the-assertion",
            "SIG-02",
            "unsigned",
            &bare,
        );
        let evil = bare.replace("alice", "admin");
        self.show("sig-02-removed-and-forged", "SIG-02", "unsigned", evil)
            .source = Some("CVE-2020-2021".to_owned());
        let (outer_gone, _) = split(&self.both());
        self.show(
            "sig-02-the-responses-removed",
            "SIG-02",
            "signature_required",
            outer_gone,
        )
        .require = "both".to_owned();
        self.made.last_mut().unwrap().0.twin = Some("valid/both-signed-required.xml".to_owned());
    }

    fn keys_of_their_own(&mut self) {
        let other = response(&sign(&assertion(), "_a1", &self.other));
        let (_, sig) = split(&other);
        let info = between(&sig, "<ds:KeyInfo>", "</ds:KeyInfo>");
        let bare = other.replace(&format!("<ds:KeyInfo>{info}</ds:KeyInfo>"), "");
        self.show(
            "sig-03-other-key-without-key-info",
            "SIG-03",
            "signature_invalid",
            bare,
        );
        let ours = key_info(&self.key.certificate);
        let genuine = other.replace(&info, &between(&ours, "<ds:KeyInfo>", "</ds:KeyInfo>"));
        self.show(
            "sig-03-other-key-with-the-genuine-certificate",
            "SIG-03",
            "signature_invalid",
            genuine,
        );
        let whole = sign(&response(&assertion()), "_r0", &self.other);
        self.show(
            "sig-03-other-key-over-the-response",
            "SIG-03",
            "signature_invalid",
            &whole,
        )
        .twin = Some("valid/response-signed.xml".to_owned());
        let rsa = "<ds:KeyValue><ds:RSAKeyValue><ds:Modulus>AQAB</ds:Modulus><ds:Exponent>AQAB</ds:Exponent></ds:RSAKeyValue></ds:KeyValue>";
        self.show(
            "sig-04-key-value",
            "SIG-04",
            "signature_invalid",
            other.replace(&info, rsa),
        )
        .source = Some("CVE-2021-21239".to_owned());
        let named = other.replace(&info, "<ds:KeyName>/etc/ssl/private/key.pem</ds:KeyName>");
        self.show(
            "sig-04-key-name-of-a-file",
            "SIG-04",
            "signature_invalid",
            named,
        );
        for (name, element) in [
            ("mgmt-data", "<ds:MgmtData>x</ds:MgmtData>"),
            ("pgp-data", "<ds:PGPData></ds:PGPData>"),
            (
                "der-value",
                "<d:DEREncodedKeyValue xmlns:d=\"http://www.w3.org/2009/xmldsig11#\">AAAA</d:DEREncodedKeyValue>",
            ),
            (
                "info-reference",
                "<d:KeyInfoReference xmlns:d=\"http://www.w3.org/2009/xmldsig11#\" URI=\"http://127.0.0.1/k\"></d:KeyInfoReference>",
            ),
            (
                "retrieval-of-a-file",
                "<ds:RetrievalMethod URI=\"file:///dev/zero\" Type=\"http://www.w3.org/2000/09/xmldsig#rawX509Certificate\"></ds:RetrievalMethod>",
            ),
        ] {
            self.show(
                &format!("sig-04-{name}"),
                "SIG-04",
                "key_info",
                other.replace(&info, element),
            );
        }
        let sealed = "<xenc:EncryptedKey xmlns:xenc=\"http://www.w3.org/2001/04/xmlenc#\"></xenc:EncryptedKey>";
        self.show(
            "sig-04-encrypted-key",
            "SIG-04",
            "encrypted",
            other.replace(&info, sealed),
        );
    }

    fn algorithms(&mut self) {
        for (file, id, method) in [
            (
                "05-hmac-sha1",
                "SIG-05",
                "http://www.w3.org/2000/09/xmldsig#hmac-sha1",
            ),
            (
                "05-hmac-sha512",
                "SIG-05",
                "http://www.w3.org/2001/04/xmldsig-more#hmac-sha512",
            ),
            (
                "06-dsa-sha1",
                "SIG-06",
                "http://www.w3.org/2000/09/xmldsig#dsa-sha1",
            ),
            (
                "06-ecdsa-sha1",
                "SIG-06",
                "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha1",
            ),
            (
                "06-rsa-sha224",
                "SIG-06",
                "http://www.w3.org/2001/04/xmldsig-more#rsa-sha224",
            ),
            (
                "06-ripemd160",
                "SIG-06",
                "http://www.w3.org/2001/04/xmldsig-more#rsa-ripemd160",
            ),
            ("06-none", "SIG-06", "none"),
            ("06-empty", "SIG-06", ""),
            (
                "06-upper-case",
                "SIG-06",
                "HTTP://WWW.W3.ORG/2001/04/XMLDSIG-MORE#RSA-SHA256",
            ),
            (
                "06-white-space",
                "SIG-06",
                " http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
            ),
        ] {
            let document = self.with_info(RSA_SHA256, method);
            self.show(&format!("sig-{file}"), id, "signature_algorithm", document);
        }
        let hmac = self.with_certificate_as_secret();
        self.show(
            "sig-05-keyed-with-the-certificate",
            "SIG-05",
            "signature_algorithm",
            hmac,
        );
        for (file, method) in [
            ("md5", "http://www.w3.org/2001/04/xmldsig-more#md5"),
            ("sha224", "http://www.w3.org/2001/04/xmldsig-more#sha224"),
            ("ripemd160", "http://www.w3.org/2001/04/xmlenc#ripemd160"),
        ] {
            let document = self.with_info("http://www.w3.org/2001/04/xmlenc#sha256", method);
            self.show(
                &format!("sig-06-{file}-digest"),
                "SIG-06",
                "digest_algorithm",
                document,
            );
        }
        let zero = "><ds:HMACOutputLength>0</ds:HMACOutputLength></ds:SignatureMethod>";
        let method = "http://www.w3.org/2000/09/xmldsig#hmac-sha1\">";
        let truncated = self
            .with_info("></ds:SignatureMethod>", zero)
            .replace(&format!("{RSA_SHA256}\">"), method);
        self.show(
            "sig-10-truncated-to-nothing",
            "SIG-10",
            "signature_shape",
            truncated,
        )
        .source = Some("CVE-2009-0217".to_owned());
        let odd = self.with_info(
            "></ds:DigestMethod>",
            "><x:y xmlns:x=\"urn:x\"></x:y></ds:DigestMethod>",
        );
        self.show(
            "sig-10-digest-with-parameters",
            "SIG-10",
            "signature_shape",
            odd,
        );
    }

    /// What an HMAC keyed with the public certificate would say.
    fn with_certificate_as_secret(&self) -> String {
        let method = "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256";
        let info = signed_info("_a1", &digest(&assertion()), method);
        let canonical = info.replacen("<ds:SignedInfo>", &format!("<ds:SignedInfo {DS}>"), 1);
        let key = openssl::pkey::PKey::hmac(self.key.certificate.as_bytes()).unwrap();
        let sha256 = openssl::hash::MessageDigest::sha256();
        let mut signer = openssl::sign::Signer::new(sha256, &key).unwrap();
        let value = signer.sign_oneshot_to_vec(canonical.as_bytes()).unwrap();
        let value = openssl::base64::encode_block(&value);
        let info = format!(
            "<ds:Signature {DS}>{info}<ds:SignatureValue>{value}</ds:SignatureValue></ds:Signature>"
        );
        response(&insert(&assertion(), &info))
    }

    fn values(&mut self) {
        let good = self.good();
        let value = between(&good, VALUE.0, VALUE.1);
        for (file, to, expect) in [
            (
                "with-an-element",
                format!("<x:y xmlns:x=\"urn:x\"></x:y>{value}"),
                "malformed",
            ),
            (
                "with-an-element-alone",
                "<x:y xmlns:x=\"urn:x\"></x:y>".to_owned(),
                "signature_value",
            ),
            (
                "url-alphabet",
                value.replace(['+', '/'], "-"),
                "signature_value",
            ),
            (
                "without-padding",
                value.trim_end_matches('=').to_owned(),
                "signature_value",
            ),
            (
                "of-zeros",
                format!("{}==", "A".repeat(342)),
                "signature_invalid",
            ),
            (
                "of-ones",
                format!("{}w==", "/".repeat(341)),
                "signature_invalid",
            ),
            (
                "twice",
                value.trim_end_matches('=').repeat(2),
                "signature_invalid",
            ),
        ] {
            let document = good.replacen(&value, &to, 1);
            self.show(&format!("sig-09-{file}"), "SIG-09", expect, document);
        }
    }

    fn issuers(&mut self) {
        let other = assertion().replace(IDP, "https://other-idp.example.org/");
        let foreign = response(&sign(&other, "_a1", &self.other));
        self.show(
            "sig-11-unknown-provider-with-its-own-key",
            "SIG-11",
            "issuer",
            foreign,
        );
        let ours = response(&sign(&other, "_a1", &self.key));
        self.show(
            "sig-11-genuine-key-under-another-issuer",
            "SIG-11",
            "issuer",
            ours,
        );
        let whole = sign(&response(&assertion()), "_r0", &self.other);
        self.show(
            "sig-11-key-of-another-provider-over-the-response",
            "SIG-11",
            "signature_invalid",
            whole,
        )
        .twin = Some("valid/response-signed.xml".to_owned());
        let inside = response(&assertion().replace(IDP, "https://evil.example.org/"));
        let inside = sign(&inside, "_r0", &self.key);
        self.show("sig-12-another-issuer-inside", "SIG-12", "issuer", inside)
            .twin = Some("valid/response-signed.xml".to_owned());
        let empty = self.good().replacen(IDP, "", 1);
        self.show(
            "sig-12-empty-issuer-outside",
            "SIG-12",
            "issuers_differ",
            empty,
        );
        let blank = self.good().replacen(IDP, &format!(" {IDP}"), 1);
        self.show(
            "sig-12-blank-before-the-issuer-outside",
            "SIG-12",
            "issuers_differ",
            blank,
        );
        let missing = self.good().replacen(
            &format!("<saml:Issuer xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\">{IDP}</saml:Issuer>"),
            "",
            1,
        );
        self.show(
            "issuer-on-the-assertion-alone",
            "SIG-12",
            "accepted",
            missing,
        );
    }
}
