//! Signatures and keys (SIG).

use super::*;

impl Maker {
    pub(super) fn signatures(&mut self) {
        self.show(
            "sig-01-unsigned",
            "SIG-01",
            "unsigned",
            response(&assertion()),
        );
        let removed = sign(&response(&assertion()), "_r0", &self.key);
        let from = removed.find("<ds:Signature ").unwrap();
        let to = removed.find("</ds:Signature>").unwrap() + "</ds:Signature>".len();
        let removed = format!("{}{}", &removed[..from], &removed[to..]);
        self.show("sig-02-removed", "SIG-02", "unsigned", removed)
            .twin = Some("valid/response-signed.xml".into());
        let other = response(&sign(&assertion(), "_a1", &self.other));
        self.show("sig-03-other-key", "SIG-03", "signature_invalid", &other);
        self.show(
            "sig-04-other-key-with-its-certificate",
            "SIG-04",
            "signature_invalid",
            &other,
        );
        let fetched = other.replace(
            "<ds:X509Data>",
            "<ds:RetrievalMethod URI=\"http://127.0.0.1/k\"></ds:RetrievalMethod><ds:X509Data>",
        );
        self.show("sig-04-retrieval-method", "SIG-04", "key_info", fetched);
        self.show(
            "sig-11-key-of-another-provider",
            "SIG-11",
            "signature_invalid",
            other,
        );
        self.show(
            "sig-05-hmac",
            "SIG-05",
            "signature_algorithm",
            self.with_info(
                RSA_SHA256,
                "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256",
            ),
        );
        self.show(
            "sig-06-sha1",
            "SIG-06",
            "signature_algorithm",
            self.with_info(RSA_SHA256, "http://www.w3.org/2000/09/xmldsig#rsa-sha1"),
        );
        self.show(
            "sig-06-md5",
            "SIG-06",
            "signature_algorithm",
            self.with_info(RSA_SHA256, "http://www.w3.org/2001/04/xmldsig-more#rsa-md5"),
        );
        self.show(
            "sig-06-sha1-digest",
            "SIG-06",
            "digest_algorithm",
            self.with_info(
                "http://www.w3.org/2001/04/xmlenc#sha256",
                "http://www.w3.org/2000/09/xmldsig#sha1",
            ),
        );
        let good = self.good();
        let expired = self.show(
            "sig-08-expired-certificate-strict",
            "SIG-08",
            "certificate_expired",
            &good,
        );
        (expired.metadata, expired.strict) = ("idp-expired.xml".to_owned(), true);
        expired.twin = Some("valid/expired-certificate.xml".to_owned());
        self.show("expired-certificate", "SIG-08", "accepted", &good)
            .metadata = "idp-expired.xml".to_owned();
        let value = between(&good, "<ds:SignatureValue>", "</ds:SignatureValue>");
        let element = format!("<ds:SignatureValue>{value}</ds:SignatureValue>");
        self.show(
            "sig-09-missing",
            "SIG-09",
            "signature_value",
            good.replace(&element, ""),
        );
        self.show(
            "sig-09-empty",
            "SIG-09",
            "signature_value",
            good.replace(&value, ""),
        );
        self.show(
            "sig-09-not-base64",
            "SIG-09",
            "signature_value",
            good.replace(&value, "!!!!"),
        );
        self.show(
            "sig-09-huge",
            "SIG-09",
            "signature_value",
            good.replace(&value, &"AAAA".repeat(5000)),
        );
        self.show(
            "sig-09-short",
            "SIG-09",
            "signature_invalid",
            good.replace(&value, "AAAA"),
        );
        self.show(
            "sig-10-hmac-output-length",
            "SIG-10",
            "signature_shape",
            self.with_info(
                "></ds:SignatureMethod>",
                "><ds:HMACOutputLength>8</ds:HMACOutputLength></ds:SignatureMethod>",
            ),
        );
        self.show(
            "sig-12-issuers-differ",
            "SIG-12",
            "issuers_differ",
            good.replacen(IDP, "https://evil.example.org/", 1),
        );
        let required = self.show("required-response", "SIG-02", "signature_required", &good);
        (required.require, required.twin) = (
            "response".into(),
            Some("valid/response-signed-required.xml".into()),
        );
        let only = sign(&response(&assertion()), "_r0", &self.key);
        let required = self.show("required-both", "SIG-02", "signature_required", only);
        (required.require, required.twin) =
            ("both".into(), Some("valid/both-signed-required.xml".into()));
        let inner_bad = sign(
            &response(&sign(&assertion(), "_a1", &self.other)),
            "_r0",
            &self.key,
        );
        for require in ["assertion", "both"] {
            let shown = self.show(
                &format!("two-signatures-inner-bad-{require}"),
                "SIG-03",
                "signature_invalid",
                &inner_bad,
            );
            (shown.require, shown.twin) = (require.into(), Some("valid/both-signed.xml".into()));
        }
        let outer_bad = sign(
            &response(&sign(&assertion(), "_a1", &self.key)),
            "_r0",
            &self.other,
        );
        self.show(
            "two-signatures-outer-bad",
            "SIG-03",
            "signature_invalid",
            outer_bad,
        )
        .twin = Some("valid/both-signed.xml".into());
    }
}
