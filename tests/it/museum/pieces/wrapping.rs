//! Wrapping (XSW).

use super::*;

impl Maker {
    pub(super) fn wrapping(&mut self) {
        let twin =
            |exhibit: &mut Exhibit| exhibit.twin = Some("valid/response-signed.xml".to_owned());
        let signed = sign(&assertion(), "_a1", &self.key);
        let evil = assertion()
            .replace("_a1", "_evil")
            .replace("alice", "admin");
        let whole = sign(&response(&assertion()), "_r0", &self.key);
        let from = whole.find("<ds:Signature ").unwrap();
        let to = whole.find("</ds:Signature>").unwrap();
        let (genuine, sig) = (
            format!("{}{}", &whole[..from], &whole[to + 15..]),
            &whole[from..to],
        );
        let forged = response(&evil).replace("_r0", "_evil0");
        let held = format!("{sig}<ds:Object>{genuine}</ds:Object></ds:Signature>");
        twin(self.show(
            "xsw-1-response-in-object",
            "XSW-01",
            "assertion_place",
            insert(&forged, &held),
        ));
        let beside = format!("{genuine}{sig}</ds:Signature>");
        twin(self.show(
            "xsw-2-response-beside-signature",
            "XSW-02",
            "assertion_place",
            insert(&forged, &beside),
        ));
        self.show(
            "xsw-3-forged-before",
            "XSW-03",
            "assertion_count",
            response(&format!("{evil}{signed}")),
        );
        let around = evil.replace("</saml:Assertion>", &format!("{signed}</saml:Assertion>"));
        self.show(
            "xsw-4-forged-around",
            "XSW-04",
            "assertion_place",
            response(&around),
        );
        let plain = assertion();
        let from = signed.find("<ds:Signature ").unwrap();
        let to = signed.find("</ds:Signature>").unwrap() + 15;
        let sig = &signed[from..to];
        self.show(
            "xsw-5-signature-moved",
            "XSW-05",
            "assertion_count",
            response(&format!("{}{plain}", insert(&evil, sig))),
        );
        let inside = sig.replace("</ds:Signature>", &format!("{plain}</ds:Signature>"));
        self.show(
            "xsw-6-genuine-in-signature",
            "XSW-06",
            "assertion_place",
            response(&insert(&evil, &inside)),
        );
        let extended = response(&signed).replace(
            "<samlp:Status>",
            &format!("<samlp:Extensions>{evil}</samlp:Extensions><samlp:Status>"),
        );
        self.show(
            "xsw-7-forged-in-extensions",
            "XSW-07",
            "assertion_place",
            extended,
        );
        let inside = sig.replace(
            "</ds:Signature>",
            &format!("<ds:Object>{plain}</ds:Object></ds:Signature>"),
        );
        self.show(
            "xsw-8-genuine-in-object",
            "XSW-08",
            "assertion_place",
            response(&insert(&evil, &inside)),
        );
        self.show(
            "xsw-09-second-signature-method",
            "XSW-09",
            "signature_shape",
            self.mutated(
                "</ds:SignatureMethod>",
                "</ds:SignatureMethod><ds:SignatureMethod Algorithm=\"x:y\"></ds:SignatureMethod>",
            ),
        );
        self.show(
            "xsw-09-second-digest-value",
            "XSW-09",
            "signature_shape",
            self.mutated(
                "</ds:DigestValue>",
                "</ds:DigestValue><ds:DigestValue>AAAA</ds:DigestValue>",
            ),
        );
        let detail = response(&insert(&evil, sig)).replace(
            "</samlp:StatusCode>",
            &format!("</samlp:StatusCode><samlp:StatusDetail>{plain}</samlp:StatusDetail>"),
        );
        self.show(
            "xsw-10-genuine-in-status-detail",
            "XSW-10",
            "assertion_place",
            detail,
        );
        let advice = evil.replace(
            "</saml:Conditions>",
            &format!("</saml:Conditions><saml:Advice>{signed}</saml:Advice>"),
        );
        self.show(
            "xsw-10-genuine-in-advice",
            "XSW-10",
            "assertion_place",
            response(&advice),
        );
        let valued = evil.replace(
            "</saml:AttributeValue>",
            &format!("{signed}</saml:AttributeValue>"),
        );
        self.show(
            "xsw-10-genuine-in-attribute-value",
            "XSW-10",
            "assertion_place",
            response(&valued),
        );
        self.show(
            "xsw-11-duplicate-id",
            "XSW-11",
            "duplicate_id",
            self.mutated("ID=\"_r0\"", "ID=\"_a1\""),
        );
        self.show(
            "xsw-12-second-root",
            "XSW-12",
            "malformed",
            format!("{}{}", self.good(), self.good()),
        );
        self.show(
            "xsw-12-text-after-root",
            "XSW-12",
            "malformed",
            format!("{} x", self.good()),
        );
        let second = sign(&evil, "_evil", &self.key);
        self.show(
            "xsw-13-two-genuine",
            "XSW-13",
            "assertion_count",
            response(&format!("{signed}{second}")),
        );
        self.show(
            "xsw-14-unsigned-after-signed",
            "XSW-14",
            "assertion_count",
            response(&format!("{signed}{evil}")),
        );
        let both = self.both();
        let crossed = both.replacen("URI=\"#_r0\"", "URI=\"#_a1\"", 1);
        twin(self.show(
            "xsw-15-reference-to-another",
            "XSW-15",
            "reference",
            crossed,
        ));
        self.show(
            "xsw-16-response-carries-the-assertions",
            "XSW-16",
            "reference",
            insert(&response(&plain), sig),
        );
        let sealed = "<saml:EncryptedAssertion xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\"></saml:EncryptedAssertion>";
        self.show(
            "xsw-17-encrypted-beside-genuine",
            "XSW-17",
            "encrypted",
            response(&format!("{signed}{sealed}")),
        );
        let copies = response(&format!("{signed}{}", plain.replace("alice", "admin")));
        self.show(
            "xsw-18-two-copies-of-one-id",
            "XSW-18",
            "assertion_count",
            copies,
        );
        let logout = response(&signed).replace("samlp:Response", "samlp:LogoutResponse");
        self.show("xsw-19-another-message", "XSW-19", "not_a_response", logout);
        self.show("xsw-19-assertion-alone", "XSW-19", "not_a_response", signed);
    }
}
