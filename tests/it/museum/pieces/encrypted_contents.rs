//! Encrypted assertions: ENC-04 to 07, what was encrypted, where it stands, who vouches for it.

use super::*;
use crate::museum::seal::{Place, Sealing};

impl Maker {
    /// ENC-04: what must not have been encrypted.
    pub(super) fn bad_contents(&mut self, sealing: &Sealing) {
        let signed = self.signed_assertion();
        let evil = assertion()
            .replace("_a1", "_evil")
            .replace("alice", "admin");
        let in_evil =
            |place: &str, inside: &str| evil.replacen(place, &format!("{inside}{place}"), 1);
        let value = "</saml:AttributeValue>";
        let signature = format!(
            "<ds:Signature {}</ds:Signature>",
            between(&signed, "<ds:Signature ", "</ds:Signature>")
        );
        let object = signature.replace(
            "</ds:Signature>",
            &format!("<ds:Object>{}</ds:Object></ds:Signature>", assertion()),
        );
        let with_id = |id: &str| sign(&assertion().replace("_a1", id), id, &self.key);
        let prefix = " xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\"";
        let nested = sealing.seal(&signed);
        let long = format!("{}{}", "<a>".repeat(40), "</a>".repeat(40));
        let cases = [
            ("response", "encrypted_content", response(&signed)),
            (
                "another-element",
                "encrypted_content",
                evil.replace("saml:Assertion", "saml:Evidence"),
            ),
            (
                "declaration",
                "encrypted_content",
                format!("<?xml version=\"1.0\"?>{signed}"),
            ),
            ("nested", "encrypted_content", nested.clone()),
            ("nothing", "malformed", String::new()),
            ("text", "malformed", "alice".to_owned()),
            ("two-assertions", "malformed", format!("{signed}{evil}")),
            ("two-the-other-way", "malformed", format!("{evil}{signed}")),
            ("text-behind", "malformed", format!("{signed}x")),
            ("cut", "malformed", signed[..signed.len() - 3].to_owned()),
            ("dtd", "markup", format!("<!DOCTYPE a>{signed}")),
            (
                "entity-bomb",
                "markup",
                format!("<!DOCTYPE a [<!ENTITY b \"bbbb\"><!ENTITY c \"&b;&b;\">]>{signed}"),
            ),
            (
                "comment",
                "markup",
                signed.replacen("alice", "al<!---->ice", 1),
            ),
            (
                "cdata",
                "markup",
                signed.replacen("alice", "<![CDATA[alice]]>", 1),
            ),
            (
                "instruction",
                "instruction",
                signed.replacen("alice", "al<?x?>ice", 1),
            ),
            (
                "control",
                "character",
                signed.replacen("alice", "al\u{0}", 1),
            ),
            ("byte-order-mark", "character", format!("\u{feff}{signed}")),
            (
                "undeclared-prefix",
                "namespace",
                signed.replacen(prefix, "", 1),
            ),
            (
                "relative-namespace",
                "namespace",
                signed.replacen(prefix, &format!("{prefix} xmlns:x=\"x\""), 1),
            ),
            (
                "foreign-assertion",
                "foreign_name",
                signed.replace("urn:oasis:names:tc:SAML:2.0:assertion", "urn:evil"),
            ),
            ("depth", "limit", in_evil(value, &long)),
            (
                "genuine-in-value",
                "assertion_place",
                in_evil(value, &signed),
            ),
            (
                "genuine-in-advice",
                "assertion_place",
                in_evil(
                    "<saml:AuthnStatement ",
                    &format!("<saml:Advice>{signed}</saml:Advice>"),
                ),
            ),
            (
                "genuine-in-object",
                "assertion_place",
                insert(&evil, &object),
            ),
            (
                "signature-of-another",
                "reference",
                insert(&evil, &signature),
            ),
            (
                "signature-moved",
                "signature_place",
                in_evil(value, &signature),
            ),
            ("response-s-id", "duplicate_id", with_id("_r0")),
            ("ciphertext-s-id", "duplicate_id", with_id("_ed1")),
            ("no-id", "bad_id", evil.replace(" ID=\"_evil\"", "")),
            (
                "no-issuer",
                "unexpected_element",
                evil.replace(&format!("<saml:Issuer>{IDP}</saml:Issuer>"), ""),
            ),
            (
                "encrypted-inside",
                "encrypted",
                in_evil("<saml:AttributeStatement>", &nested),
            ),
        ];
        for (file, expect, plain) in cases {
            let document = response(&sealing.seal(&plain));
            self.show_sealed(&format!("enc-04-{file}"), "ENC-04", expect, document);
        }
        let covered = self.covered(
            &sealing
                .with("aes256-cbc")
                .seal(&response(&assertion()).replace("_r0", "_r1")),
        );
        self.show_covered(
            "enc-04-response-in-signed",
            "ENC-04",
            "encrypted_content",
            covered,
        );
    }

    /// ENC-05: clear and encrypted together, and ciphertexts in other places.
    pub(super) fn bad_places(&mut self, sealing: &Sealing) {
        let signed = self.signed_assertion();
        let sealed = sealing.seal(&signed);
        let evil = sealing.seal(
            &assertion()
                .replace("_a1", "_evil")
                .replace("alice", "admin"),
        );
        let second = evil.replace("_ed1", "_ed2").replace("_ek1", "_ek2");
        let extensions = |inside: &str| format!("<samlp:Extensions>{inside}</samlp:Extensions>");
        let status = "</samlp:StatusCode>";
        let cases = [
            (
                "alone",
                "encryption_shape",
                response(
                    "<saml:EncryptedAssertion xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\"><xenc:EncryptedData xmlns:xenc=\"http://www.w3.org/2001/04/xmlenc#\"></xenc:EncryptedData></saml:EncryptedAssertion>",
                ),
            ),
            (
                "clear-and-encrypted",
                "encrypted",
                response(&format!("{signed}{evil}")),
            ),
            (
                "encrypted-and-clear",
                "encrypted",
                response(&format!("{evil}{signed}")),
            ),
            (
                "forged-clear-and-genuine",
                "encrypted",
                response(&format!("{}{sealed}", assertion().replace("_a1", "_evil"))),
            ),
            (
                "two-encrypted",
                "assertion_count",
                response(&format!("{sealed}{second}")),
            ),
            (
                "in-extensions",
                "encrypted",
                response(&signed).replace(
                    "<samlp:Status>",
                    &format!("{}<samlp:Status>", extensions(&evil)),
                ),
            ),
            (
                "in-status",
                "encrypted",
                response(&signed).replace(
                    status,
                    &format!("{status}<samlp:StatusDetail>{evil}</samlp:StatusDetail>"),
                ),
            ),
            (
                "data-in-response",
                "encrypted",
                response(&format!(
                    "{signed}{}",
                    evil.replace("saml:EncryptedAssertion", "saml:Assertion2")
                )),
            ),
            (
                "in-a-foreign-namespace",
                "foreign_name",
                response(&sealed.replace("urn:oasis:names:tc:SAML:2.0:assertion", "urn:evil")),
            ),
            (
                "data-in-a-foreign-namespace",
                "foreign_name",
                response(&sealed.replace(
                    "xmlns:xenc=\"http://www.w3.org/2001/04/xmlenc#\"",
                    "xmlns:xenc=\"urn:evil\"",
                )),
            ),
            (
                "same-ids",
                "duplicate_id",
                response(&sealed.replace("_ek1", "_ed1")),
            ),
            (
                "response-s-id",
                "duplicate_id",
                response(&sealed.replace("_ed1", "_r0")),
            ),
        ];
        for (file, expect, document) in cases {
            self.show_sealed(&format!("enc-05-{file}"), "ENC-05", expect, document);
        }
        let issuer = format!(
            "<saml:Issuer xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\">{IDP}</saml:Issuer>"
        );
        let whole = response(&sealed);
        self.show_sealed(
            "enc-05-no-issuer-outside",
            "ENC-05",
            "issuer",
            whole.replacen(&issuer, "", 1),
        );
        self.show_sealed(
            "enc-05-other-issuer-outside",
            "ENC-05",
            "issuer",
            whole.replacen(IDP, "https://other.example.org/saml", 1),
        );
        let other = assertion().replace(IDP, "https://other.example.org/saml");
        let other = sealing.seal(&sign(&other, "_a1", &self.key));
        self.show_sealed(
            "enc-05-issuers-differ",
            "ENC-05",
            "issuers_differ",
            response(&other),
        );
    }

    /// ENC-06: what nobody, or somebody else, vouches for; ENC-07: parts alone encrypted.
    pub(super) fn bad_signatures_inside(&mut self, sealing: &Sealing) {
        let signed = self.signed_assertion();
        let strange = sign(&assertion(), "_a1", &self.other);
        let changed = signed.replacen("alice", "admin", 1);
        let genuine = |plain: &str| response(&sealing.seal(plain));
        let covered = |maker: &Self, plain: &str| maker.covered(&sealing.seal(plain));
        let cases = [
            ("unsigned", "unsigned", genuine(&assertion())),
            ("changed", "signature_invalid", genuine(&changed)),
            (
                "both-signed-inner-by-other",
                "signature_invalid",
                covered(self, &strange),
            ),
            (
                "both-signed-inner-changed",
                "signature_invalid",
                covered(self, &changed),
            ),
            (
                "both-signed-outer-by-other",
                "signature_invalid",
                sign(&response(&sealing.seal(&signed)), "_r0", &self.other),
            ),
            (
                "audience",
                "audience",
                genuine(&sign(
                    &assertion().replace(AUDIENCE, "urn:other"),
                    "_a1",
                    &self.key,
                )),
            ),
        ];
        for (file, expect, document) in cases {
            self.show_sealed(&format!("enc-06-{file}"), "ENC-06", expect, document);
        }
        // Another class, because the other key is a good one elsewhere.
        let document = genuine(&strange);
        self.show_sealed(
            "enc-06-signed-by-other",
            "SIG-03",
            "signature_invalid",
            document,
        );
        for (file, require, document) in [
            ("response-required", "response", genuine(&signed)),
            ("both-required-outer-missing", "both", genuine(&signed)),
            (
                "both-required-inner-missing",
                "both",
                covered(self, &assertion()),
            ),
        ] {
            self.show_sealed(
                &format!("enc-06-{file}"),
                "ENC-06",
                "signature_required",
                document,
            )
            .require = require.to_owned();
        }
        let name_id = format!(
            "<saml:NameID {}</saml:NameID>",
            between(&assertion(), "<saml:NameID ", "</saml:NameID>")
        );
        let id = assertion().replace(&name_id, "<saml:EncryptedID></saml:EncryptedID>");
        let new_id = assertion().replace(
            &name_id,
            "<samlp:NewEncryptedID xmlns:samlp=\"urn:oasis:names:tc:SAML:2.0:protocol\"></samlp:NewEncryptedID>",
        );
        let attribute = assertion().replace(
            "<saml:AttributeStatement>",
            "<saml:AttributeStatement><saml:EncryptedAttribute></saml:EncryptedAttribute>",
        );
        for (file, odd) in [
            ("encrypted-id", id),
            ("new-encrypted-id", new_id),
            ("encrypted-attribute", attribute),
        ] {
            let odd = sign(&odd, "_a1", &self.key);
            self.show(
                &format!("enc-07-{file}"),
                "ENC-07",
                "encrypted",
                response(&odd),
            );
            let document = genuine(&odd);
            self.show_sealed(
                &format!("enc-07-{file}-inside"),
                "ENC-07",
                "encrypted",
                document,
            );
        }
    }

    /// What would fetch, unwrap twice or choose: the shape is closed.
    pub(super) fn bad_shapes(&mut self, sealing: &Sealing) {
        let signed = self.signed_assertion();
        let good = sealing.seal(&signed);
        let beside = sealing.at(Place::Beside).seal(&signed);
        let key = format!(
            "<xenc:EncryptedKey {}</xenc:EncryptedKey>",
            between(&good, "<xenc:EncryptedKey ", "</xenc:EncryptedKey>")
        );
        let other_key = key.replace("_ek1", "_ek2");
        let in_info =
            |inside: &str| good.replacen("</ds:KeyInfo>", &format!("{inside}</ds:KeyInfo>"), 1);
        let retrieval = |uri: &str| beside.replace("URI=\"#_ek1\"", &format!("URI=\"{uri}\""));
        let reference = |uri: &str| {
            let value = between(
                &good,
                "<xenc:CipherData><xenc:CipherValue>",
                "</xenc:CipherData>",
            );
            good.replacen(
                &format!("<xenc:CipherValue>{value}"),
                &format!("<xenc:CipherReference URI=\"{uri}\"></xenc:CipherReference>"),
                1,
            )
        };
        let last = good.rfind("<xenc:CipherValue>").unwrap();
        let content_reference = format!(
            "{}<xenc:CipherReference URI=\"http://127.0.0.1:9/x\"></xenc:CipherReference></xenc:CipherData></xenc:EncryptedData></saml:EncryptedAssertion>",
            &good[..last]
        );
        let value = between(&good[last..], "<xenc:CipherValue>", "<");
        let cases = [
            ("cipher-reference", content_reference),
            ("cipher-reference-of-the-key", reference("file:///dev/zero")),
            ("retrieval-http", retrieval("http://127.0.0.1:9/x")),
            ("retrieval-file", retrieval("file:///dev/zero")),
            ("retrieval-of-the-data", retrieval("#_ed1")),
            ("retrieval-of-everything", retrieval("")),
            (
                "retrieval-by-xslt",
                beside.replace(
                    "</ds:RetrievalMethod>",
                    "<ds:Transforms><ds:Transform Algorithm=\"http://www.w3.org/TR/1999/REC-xslt-19991116\"></ds:Transform></ds:Transforms></ds:RetrievalMethod>",
                ),
            ),
            (
                "retrieval-of-a-certificate",
                beside.replace(
                    "Type=\"http://www.w3.org/2001/04/xmlenc#EncryptedKey\"",
                    "Type=\"http://www.w3.org/2000/09/xmldsig#X509Data\"",
                ),
            ),
            (
                "retrieval-beside-a-key",
                in_info("<ds:RetrievalMethod URI=\"http://127.0.0.1:9/x\"></ds:RetrievalMethod>"),
            ),
            ("two-keys-inside", in_info(&other_key)),
            (
                "key-inside-and-beside",
                good.replace(
                    "</xenc:EncryptedData>",
                    &format!(
                        "</xenc:EncryptedData>{}",
                        other_key.replace("<ds:DigestMethod", &format!("<ds:DigestMethod {DS}"))
                    ),
                )
                .replace(
                    "<saml:EncryptedAssertion ",
                    "<saml:EncryptedAssertion xmlns:xenc=\"http://www.w3.org/2001/04/xmlenc#\" ",
                ),
            ),
            (
                "key-for-the-key",
                good.replacen(
                    "</ds:DigestMethod></xenc:EncryptionMethod>",
                    &format!("</ds:DigestMethod></xenc:EncryptionMethod><ds:KeyInfo>{other_key}</ds:KeyInfo>"),
                    1,
                ),
            ),
            (
                "key-agreement",
                in_info("<xenc:AgreementMethod Algorithm=\"http://www.w3.org/2009/xmlenc11#ECDH-ES\"></xenc:AgreementMethod>"),
            ),
            ("no-key", good.replacen(&key, "", 1)),
            (
                "content-type",
                good.replace("xmlenc#Element", "xmlenc#Content"),
            ),
            (
                "encoding",
                good.replace(
                    " Id=\"_ed1\"",
                    " Encoding=\"http://www.w3.org/2000/09/xmldsig#base64\" Id=\"_ed1\"",
                ),
            ),
            (
                "properties",
                good.replace(
                    "</xenc:EncryptedData>",
                    "<xenc:EncryptionProperties></xenc:EncryptionProperties></xenc:EncryptedData>",
                ),
            ),
            (
                "reference-to-another",
                beside.replace("URI=\"#_ed1\"", "URI=\"#_r0\""),
            ),
            (
                "reference-to-a-key",
                beside
                    .replace("<xenc:DataReference ", "<xenc:KeyReference ")
                    .replace("</xenc:DataReference>", "</xenc:KeyReference>"),
            ),
            ("no-base64", good.replace(&value, "***")),
            ("url-safe-base64", good.replace(&value, "-_-_")),
            (
                "two-values",
                good.replace(
                    &format!("{value}</xenc:CipherValue>"),
                    &format!("{value}</xenc:CipherValue><xenc:CipherValue></xenc:CipherValue>"),
                ),
            ),
            (
                "two-data",
                good.replace(
                    "</saml:EncryptedAssertion>",
                    &good[good.find("<xenc:EncryptedData").unwrap()..].replace("_ed1", "_ed2").replace("_ek1", "_ek2"),
                ),
            ),
        ];
        for (file, sealed) in cases {
            assert!(sealed != good && sealed != beside, "{file} changes nothing");
            let expect = match file {
                "retrieval-by-xslt" => "signature_place",
                _ => "encryption_shape",
            };
            self.show_sealed(
                &format!("enc-05-shape-{file}"),
                "ENC-05",
                expect,
                response(&sealed),
            );
        }
        let text = good.replacen("<xenc:CipherData>", "x<xenc:CipherData>", 1);
        self.show_sealed(
            "enc-05-shape-text-between",
            "ENC-05",
            "malformed",
            response(&text),
        );
        let signature = format!(
            "<ds:Signature {}</ds:Signature>",
            between(&signed, "<ds:Signature ", "</ds:Signature>")
        );
        self.show_sealed(
            "enc-05-shape-signature-in-key-info",
            "ENC-05",
            "signature_place",
            response(&in_info(&signature)),
        );
        let signature = signature.replace(
            "<ec:InclusiveNamespaces xmlns:ec=\"http://www.w3.org/2001/10/xml-exc-c14n#\" PrefixList=\"xs\"></ec:InclusiveNamespaces>",
            "",
        );
        self.show_sealed(
            "enc-05-shape-signature-in-x509-data",
            "ENC-05",
            "signature_place",
            response(&in_info(&format!("<ds:X509Data>{signature}</ds:X509Data>"))),
        );
        // xmlsec looks for signatures everywhere: where the Response's own is good, this one would be run.
        let xslt = signature.replacen(
            "<ds:Transform Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#\">",
            "<ds:Transform Algorithm=\"http://www.w3.org/TR/1999/REC-xslt-19991116\">",
            1,
        );
        assert_ne!(xslt, signature);
        // No signature covers its own KeyInfo: whoever holds a good document can put one there.
        let covered = self.covered(&sealing.seal(&assertion()));
        for (kind, hidden) in [("signature", &signature), ("xslt", &xslt)] {
            let added = covered.replacen("<ds:X509Data>", &format!("<ds:X509Data>{hidden}"), 1);
            assert_ne!(added, covered);
            self.show_covered(
                &format!("enc-05-{kind}-in-the-key-info-outside"),
                "ENC-05",
                "signature_place",
                added,
            );
        }
        let leaves = [
            (
                "carried-key-name",
                "</xenc:EncryptedKey>",
                "xenc:CarriedKeyName",
            ),
            ("key-size", "</xenc:EncryptionMethod>", "xenc:KeySize"),
        ];
        for (file, before, name) in leaves {
            for (kind, hidden, expect) in [
                ("signature", signature.as_str(), "signature_place"),
                ("xslt", &xslt, "signature_place"),
                ("assertion", &assertion(), "unexpected_element"),
            ] {
                let leaf = format!("<{name}>{hidden}</{name}>{before}");
                let sealed = good.replacen(before, &leaf, 1);
                assert_ne!(sealed, good);
                self.show_covered(
                    &format!("enc-05-{kind}-in-{file}"),
                    "ENC-05",
                    expect,
                    self.covered(&sealed),
                );
            }
        }
    }
}
