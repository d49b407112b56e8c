//! Wrapping, one to eight, for each thing that can be signed, with a new ID and with the genuine one (XSW).
//!
//! The order is that of Somorovsky et al. (USENIX Security 2012), as the tools that testers bring have it.

use super::*;

impl Maker {
    pub(super) fn wrapping_sets(&mut self) {
        for (ids, evil_id) in [("", "_evil"), ("-same-id", "_a1")] {
            let evil = assertion()
                .replace("_a1", evil_id)
                .replace("alice", "admin");
            self.wrapped_assertion(ids, &evil);
            self.wrapped_response(ids, &evil);
        }
        self.places_for_a_genuine_one();
        self.doubled_parts();
        self.two_readers();
        self.other_messages();
    }

    /// The Assertion is what is signed.
    fn wrapped_assertion(&mut self, ids: &str, evil: &str) {
        let signed = sign(&assertion(), "_a1", &self.key);
        let (plain, sig) = split(&signed);
        let whole = self.good();
        let forged = response(evil).replace("_r0", "_evil0");
        let around = evil.replace("</saml:Assertion>", &format!("{signed}</saml:Assertion>"));
        let extended = response(&signed).replace(
            "<samlp:Status>",
            &format!("<samlp:Extensions>{evil}</samlp:Extensions><samlp:Status>"),
        );
        let forms = [
            (1, insert(&forged, &into_signature(&sig, &whole))),
            (2, insert(&forged, &format!("{whole}{sig}"))),
            (3, response(&format!("{evil}{signed}"))),
            (4, response(&around)),
            (5, response(&format!("{}{plain}", insert(evil, &sig)))),
            (6, response(&insert(evil, &into_signature(&sig, &plain)))),
            (7, extended),
            (
                8,
                response(&insert(evil, &into_signature(&sig, &object(&plain)))),
            ),
        ];
        for (n, document) in forms {
            let expect = match n {
                3 | 5 => "assertion_count",
                _ => "assertion_place",
            };
            let file = format!("xsw-{n}-signed-assertion{ids}");
            self.show(&file, &format!("XSW-{n:02}"), expect, document);
        }
    }

    /// The Response is what is signed.
    fn wrapped_response(&mut self, ids: &str, evil: &str) {
        let signed = sign(&response(&assertion()), "_r0", &self.key);
        let (genuine, sig) = split(&signed);
        let forged = response(evil);
        let forged = if ids.is_empty() {
            forged.replace("_r0", "_evil0")
        } else {
            forged
        };
        let end = "</samlp:Response>";
        let extended = forged.replace(
            "<samlp:Status>",
            &format!("<samlp:Extensions>{signed}</samlp:Extensions><samlp:Status>"),
        );
        let forms = [
            (1, insert(&forged, &into_signature(&sig, &genuine))),
            (2, insert(&forged, &format!("{genuine}{sig}"))),
            (3, insert(&forged, &signed)),
            (
                4,
                forged.replace("</saml:Assertion>", &format!("{signed}</saml:Assertion>")),
            ),
            (
                5,
                insert(&forged, &sig).replace(end, &format!("{genuine}{end}")),
            ),
            (6, response(&insert(evil, &into_signature(&sig, &genuine)))),
            (7, extended),
            (8, insert(&forged, &into_signature(&sig, &object(&genuine)))),
        ];
        for (n, document) in forms {
            let file = format!("xsw-{n}-signed-response{ids}");
            self.show(&file, &format!("XSW-{n:02}"), "assertion_place", document)
                .twin = Some("valid/response-signed.xml".to_owned());
        }
    }

    /// XSW-10: what is genuine hides where nobody reads it, or where a search finds it first.
    fn places_for_a_genuine_one(&mut self) {
        let signed = sign(&assertion(), "_a1", &self.key);
        let (_, sig) = split(&signed);
        let evil = insert(&assertion().replace("alice", "admin"), &sig);
        let digest = between(&sig, "<ds:DigestValue>", "</ds:DigestValue>");
        let digest = format!("<ds:DigestValue {DS}>{digest}</ds:DigestValue>");
        let info = between(&sig, "<ds:SignedInfo>", "</ds:SignedInfo>");
        let info = format!("<ds:SignedInfo {DS}>{info}</ds:SignedInfo>");
        let code = "</samlp:StatusCode>";
        let ruby = "CVE-2024-45409";
        for (name, hidden) in [
            ("digest-value", &digest),
            ("signed-info", &info),
            ("signature", &sig),
        ] {
            let detail = format!("{code}<samlp:StatusDetail>{hidden}</samlp:StatusDetail>");
            self.show(
                &format!("xsw-10-{name}-in-status-detail"),
                "XSW-10",
                "signature_place",
                response(&evil).replace(code, &detail),
            )
            .source = Some(ruby.to_owned());
            let value = format!("{hidden}</saml:AttributeValue>");
            self.show(
                &format!("xsw-10-{name}-in-attribute-value"),
                "XSW-10",
                "signature_place",
                response(&evil.replacen("</saml:AttributeValue>", &value, 1)),
            )
            .source = Some(ruby.to_owned());
            let extended = format!("<samlp:Extensions>{hidden}</samlp:Extensions><samlp:Status>");
            self.show(
                &format!("xsw-10-{name}-in-extensions"),
                "XSW-10",
                "unexpected_element",
                response(&evil).replace("<samlp:Status>", &extended),
            );
        }
        let data = "</saml:SubjectConfirmationData>";
        self.show(
            "xsw-10-genuine-in-confirmation-data",
            "XSW-10",
            "assertion_place",
            response(&evil.replace(data, &format!("{signed}{data}"))),
        );
        let foreign = format!("<x:Box xmlns:x=\"urn:x\">{signed}</x:Box>");
        self.show(
            "xsw-10-genuine-in-a-foreign-element",
            "XSW-10",
            "assertion_place",
            response(&format!("{foreign}{evil}")),
        );
    }

    /// XSW-09, XSW-11: twice what should be there once.
    fn doubled_parts(&mut self) {
        let good = self.good();
        for name in [
            "CanonicalizationMethod",
            "Transforms",
            "DigestMethod",
            "SignatureValue",
            "KeyInfo",
        ] {
            let (from, to) = (format!("<ds:{name}"), format!("</ds:{name}>"));
            let part = format!("{from}{}{to}", between(&good, &from, &to));
            self.show(
                &format!("xsw-09-second-{}", name.to_lowercase()),
                "XSW-09",
                "signature_shape",
                good.replacen(&part, &part.repeat(2), 1),
            );
        }
        for (name, from, to) in [
            ("as-reference", "ID=\"_r0\"", "ID=\"_a&#49;\""),
            (
                "of-a-status",
                "<samlp:StatusCode ",
                "<samlp:StatusCode ID=\"_a1\" ",
            ),
            (
                "of-a-stranger",
                STATUS,
                &format!(
                    "<samlp:Extensions><x:y xmlns:x=\"urn:x\" ID=\"_a1\"></x:y></samlp:Extensions>{STATUS}"
                ),
            ),
        ] {
            let id = format!("xsw-11-{name}");
            self.show(&id, "XSW-11", "duplicate_id", self.mutated(from, to));
        }
        self.show(
            "xsw-11-id-in-the-assertion",
            "XSW-11",
            "duplicate_id",
            self.changed("<saml:Subject>", "<saml:Subject ID=\"_a1\">"),
        );
        for (name, to) in [
            ("empty", "ID=\"\""),
            ("of-white-space", "ID=\" _r0\""),
            ("endless", &format!("ID=\"_{}\"", "r".repeat(300))),
            ("lower-case", "id=\"_r0\""),
        ] {
            let document = self.mutated("ID=\"_r0\"", to);
            self.show(&format!("xsw-11-id-{name}"), "XSW-11", "bad_id", document);
        }
        for (name, before, after) in [
            ("text-before-the-root", "x", ""),
            ("reference-after-the-root", "", "&#120;"),
            ("end-tag-after-the-root", "", "</samlp:Response>"),
            ("element-before-the-root", "<x/>", ""),
            ("element-after-the-root", "", "<x/>"),
        ] {
            let document = format!("{before}{good}{after}");
            self.show(&format!("xsw-12-{name}"), "XSW-12", "malformed", document)
                .source = Some("CVE-2022-39299, CVE-2022-39353".to_owned());
        }
    }

    /// XSW-13 to XSW-18: one verifies, another is read.
    fn two_readers(&mut self) {
        let signed = sign(&assertion(), "_a1", &self.key);
        let (plain, sig) = split(&signed);
        let evil = plain.replace("_a1", "_evil").replace("alice", "admin");
        let twice = response(&signed.repeat(2));
        self.show(
            "xsw-13-one-genuine-twice",
            "XSW-13",
            "assertion_count",
            twice,
        );
        let three = response(&format!("{evil}{signed}{evil}"));
        self.show(
            "xsw-14-genuine-in-the-middle",
            "XSW-14",
            "assertion_count",
            three,
        );
        let before = response(&format!("{evil}{signed}"));
        self.show(
            "xsw-14-unsigned-before-signed",
            "XSW-14",
            "assertion_count",
            before,
        );
        let fallen = format!("{}{}", response(&signed), evil);
        self.show(
            "xsw-14-unsigned-behind-the-response",
            "XSW-14",
            "malformed",
            fallen,
        );
        let whole = sign(&response(&plain), "_r0", &self.key);
        let (genuine, outer) = split(&whole);
        let response_twin = Some("valid/response-signed.xml".to_owned());
        self.show(
            "xsw-15-the-responses-signature-in-the-assertion",
            "XSW-15",
            "reference",
            genuine.replace(&plain, &insert(&plain, &outer)),
        )
        .twin
        .clone_from(&response_twin);
        let subject = self.changed("<saml:Subject>", "<saml:Subject ID=\"_s9\">");
        self.show(
            "xsw-15-reference-to-a-child",
            "XSW-15",
            "reference",
            subject.replace("URI=\"#_a1\"", "URI=\"#_s9\""),
        );
        self.show(
            "xsw-16-both-carry-the-assertions",
            "XSW-16",
            "reference",
            insert(&response(&signed), &sig),
        );
        self.show(
            "xsw-16-both-carry-the-responses",
            "XSW-16",
            "reference",
            whole.replace(&plain, &insert(&plain, &outer)),
        )
        .twin = response_twin;
        let nested = response(&insert(&evil, &sig)).replace("_evil", "_a1");
        self.show(
            "xsw-18-forged-under-the-genuine-signature",
            "XSW-18",
            "signature_invalid",
            nested,
        );
        let late = evil.replace("_evil", "_a1");
        let late = response(&format!("{signed}<x:y xmlns:x=\"urn:x\">{late}</x:y>"));
        self.show(
            "xsw-18-copy-in-a-foreign-element",
            "XSW-18",
            "assertion_place",
            late,
        );
        let default = evil.replace("<saml:", "<").replace("</saml:", "</");
        let default = default.replace("xmlns:saml=", "xmlns=");
        let mixed = response(&format!("{signed}{default}"));
        self.show(
            "xsw-18-copy-without-prefix",
            "XSW-18",
            "assertion_count",
            mixed,
        );
    }

    /// XSW-19: a good signature of the provider's, over something else.
    fn other_messages(&mut self) {
        let signed = sign(&assertion(), "_a1", &self.key);
        let whole = sign(&response(&assertion()), "_r0", &self.key);
        for message in [
            "LogoutRequest",
            "AuthnRequest",
            "ArtifactResponse",
            "NameIDMappingResponse",
        ] {
            let plain = response("").replace("samlp:Response", &format!("samlp:{message}"));
            let document = sign(&plain, "_r0", &self.key);
            let file = format!("xsw-19-{}", message.to_lowercase());
            self.show(&file, "XSW-19", "not_a_response", document);
        }
        let artifact = format!(
            "<samlp:ArtifactResponse xmlns:samlp=\"urn:oasis:names:tc:SAML:2.0:protocol\" ID=\"_x\" Version=\"2.0\">{whole}</samlp:ArtifactResponse>"
        );
        self.show(
            "xsw-19-response-in-an-artifact",
            "XSW-19",
            "not_a_response",
            artifact,
        );
        let soap = format!(
            "<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body>{whole}</s:Body></s:Envelope>"
        );
        self.show("xsw-19-response-in-soap", "XSW-19", "not_a_response", soap);
        let federation = format!(
            "<t:RequestSecurityTokenResponse xmlns:t=\"http://schemas.xmlsoap.org/ws/2005/02/trust\">{signed}</t:RequestSecurityTokenResponse>"
        );
        self.show(
            "xsw-19-ws-federation",
            "XSW-19",
            "not_a_response",
            federation,
        );
        let failed = response("").replace("status:Success", "status:Requester");
        let failed = sign(&failed, "_r0", &self.key);
        self.show(
            "xsw-19-signed-failure",
            "XSW-19",
            "assertion_count",
            &failed,
        );
        // The provider signs its failures too: the repeated signature would take the forgery out of the digest.
        let (_, sig) = split(&failed);
        let evil = assertion().replace("alice", "admin");
        let decoy = into_signature(&sig, &object(&evil));
        let failed = failed.replace("</ds:Signature>", &format!("</ds:Signature>{decoy}"));
        self.show(
            "xsw-19-forgery-in-a-signed-failure",
            "XSW-19",
            "assertion_place",
            failed,
        );
    }
}

/// What is signed without its signature, and the signature.
pub(super) fn split(signed: &str) -> (String, String) {
    let from = signed.find("<ds:Signature ").unwrap();
    let to = signed.find("</ds:Signature>").unwrap() + "</ds:Signature>".len();
    let plain = format!("{}{}", &signed[..from], &signed[to..]);
    (plain, signed[from..to].to_owned())
}

fn into_signature(signature: &str, inner: &str) -> String {
    signature.replace("</ds:Signature>", &format!("{inner}</ds:Signature>"))
}

fn object(inner: &str) -> String {
    format!("<ds:Object>{inner}</ds:Object>")
}
