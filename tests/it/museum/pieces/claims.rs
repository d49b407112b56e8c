//! More of what is genuinely signed and says the wrong thing (COND, ATT).

use super::*;

impl Maker {
    pub(super) fn claims(&mut self) {
        self.addresses();
        self.statements();
        self.roles();
        self.names_and_durations();
    }

    fn addresses(&mut self) {
        let acs = |attribute: &str| format!("{attribute}=\"{ACS}\"");
        for (file, to) in [
            ("prefix", "https://gate.example.org/saml/acs.evil.example"),
            ("case", "https://GATE.example.org/saml/acs"),
            ("slash", "https://gate.example.org/saml/acs/"),
            ("port", "https://gate.example.org:443/saml/acs"),
            ("query", "https://gate.example.org/saml/acs?x"),
            ("user", "https://gate.example.org@evil.example/saml/acs"),
            ("http", "http://gate.example.org/saml/acs"),
        ] {
            let outside = self.mutated(&acs("Destination"), &format!("Destination=\"{to}\""));
            self.show(
                &format!("cond-01-destination-other-{file}"),
                "COND-01",
                "destination",
                outside,
            );
            let inside = self.changed(&acs("Recipient"), &format!("Recipient=\"{to}\""));
            self.show(
                &format!("cond-03-recipient-other-{file}"),
                "COND-03",
                "recipient",
                inside,
            );
        }
        self.show(
            "cond-03-recipient-empty",
            "COND-03",
            "recipient",
            self.changed(&acs("Recipient"), "Recipient=\"\""),
        );
        let audience = format!("<saml:Audience>{AUDIENCE}</saml:Audience>");
        for (file, to) in [
            ("case", "URN:amazon:webservices"),
            ("prefix", "urn:amazon:webservices:govcloud"),
            ("blank", "urn:amazon:webservices "),
            ("list", "urn:amazon:webservices urn:x"),
            ("wildcard", "*"),
            ("empty", ""),
        ] {
            let document = self.changed(&audience, &format!("<saml:Audience>{to}</saml:Audience>"));
            self.show(
                &format!("cond-04-audience-other-{file}"),
                "COND-04",
                "audience",
                document,
            );
        }
        for (file, to) in [
            ("blank", format!("{IDP} ")),
            ("slash", format!("{IDP}/")),
            ("empty", String::new()),
        ] {
            let document = self.changed(IDP, &to);
            self.show(
                &format!("cond-05-issuer-other-{file}"),
                "COND-05",
                "issuer",
                document,
            );
        }
        let asked = "<saml:SubjectConfirmationData InResponseTo=\"\" ";
        let empty = self.changed("<saml:SubjectConfirmationData ", asked);
        self.show("cond-06-empty-inside", "COND-06", "in_response_to", empty);
        let prefix = self.changed(
            "<saml:SubjectConfirmationData ",
            "<saml:SubjectConfirmationData InResponseTo=\"_q1\" ",
        );
        let shown = self.show(
            "cond-06-longer-than-the-request",
            "COND-06",
            "in_response_to",
            prefix,
        );
        (shown.request, shown.twin) = (
            Some("_q".to_owned()),
            Some("valid/sp-initiated.xml".to_owned()),
        );
        let node = self.show(
            "cond-06-genuine-in-a-wrapper-of-their-own",
            "COND-06",
            "in_response_to",
            self.mutated("ID=\"_r0\"", "ID=\"_stolen\" InResponseTo=\"_q1\""),
        );
        (node.request, node.twin) = (
            Some("_q1".to_owned()),
            Some("valid/sp-initiated.xml".to_owned()),
        );
    }

    fn statements(&mut self) {
        for (file, to) in [
            ("requester", "status:Requester"),
            ("version-mismatch", "status:VersionMismatch"),
            ("lower-case", "status:success"),
            ("prefix", "status:SuccessNot"),
        ] {
            let document = self.mutated("status:Success", to);
            self.show(&format!("cond-07-{file}"), "COND-07", "status", document);
        }
        let nested = "<samlp:StatusCode Value=\"urn:oasis:names:tc:SAML:2.0:status:Responder\"><samlp:StatusCode Value=\"urn:oasis:names:tc:SAML:2.0:status:Success\"></samlp:StatusCode></samlp:StatusCode>";
        self.show(
            "cond-07-success-inside-a-failure",
            "COND-07",
            "status",
            response(&sign(&assertion(), "_a1", &self.key)).replace(
                &between(STATUS, "<samlp:Status>", "</samlp:Status>"),
                nested,
            ),
        );
        self.show(
            "cond-07-two-codes",
            "COND-07",
            "status",
            self.mutated(
                "</samlp:StatusCode>",
                "</samlp:StatusCode><samlp:StatusCode Value=\"x\"></samlp:StatusCode>",
            ),
        );
        for (file, to) in [
            ("empty", "Version=\"\""),
            ("one", "Version=\"2\""),
            ("long", "Version=\"2.00\""),
        ] {
            let document = self.changed("Version=\"2.0\"", to);
            self.show(
                &format!("cond-08-version-{file}"),
                "COND-08",
                "version",
                document,
            );
        }
        self.show(
            "cond-08-version-missing",
            "COND-08",
            "version",
            self.changed(" Version=\"2.0\"", ""),
        );
        for (file, method) in [
            ("sender-vouches", "cm:sender-vouches"),
            ("artifact", "cm:artifact"),
            ("case", "cm:Bearer"),
        ] {
            let document = self.changed("cm:bearer", method);
            self.show(
                &format!("cond-11-{file}"),
                "COND-11",
                "confirmation_method",
                document,
            );
        }
        let restriction = format!(
            "<saml:AudienceRestriction><saml:Audience>{AUDIENCE}</saml:Audience></saml:AudienceRestriction>"
        );
        let alone = self.changed(&format!("<saml:Conditions NotBefore=\"2026-01-15T11:58:30Z\" NotOnOrAfter=\"2026-01-15T12:06:00Z\">{restriction}</saml:Conditions>"), "<saml:Conditions></saml:Conditions>");
        self.show("cond-12-empty-conditions", "COND-12", "no_audience", alone);
        self.show("cond-13-unknown-of-samls-own", "COND-13", "unknown_condition", self.changed("</saml:Conditions>", "<saml:Condition xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"x\"></saml:Condition></saml:Conditions>"));
        self.show(
            "cond-13-condition-in-no-namespace",
            "COND-13",
            "unknown_condition",
            self.changed("</saml:Conditions>", "<Odd></Odd></saml:Conditions>"),
        );
        self.show(
            "cond-14-another-statement",
            "COND-14",
            "no_authn_statement",
            self.changed(
                &format!(
                    "<saml:AuthnStatement {}</saml:AuthnStatement>",
                    between(
                        &assertion(),
                        "<saml:AuthnStatement ",
                        "</saml:AuthnStatement>"
                    )
                ),
                "<saml:AuthzDecisionStatement></saml:AuthzDecisionStatement>",
            ),
        );
        let name_id = format!(
            "<saml:NameID {}</saml:NameID>",
            between(&assertion(), "<saml:NameID ", "</saml:NameID>")
        );
        self.show(
            "cond-15-base-id",
            "COND-15",
            "subject",
            self.changed(&name_id, "<saml:BaseID></saml:BaseID>"),
        );
    }

    fn roles(&mut self) {
        const ROLE: &str = "arn:aws:iam::123456789012:role/data-scientist";
        const IDP_ARN: &str = "arn:aws:iam::123456789012:saml-provider/Okta";
        let role = attribute("Role", &[ROLE_A, ROLE_B]);
        let pair = |role: &str| format!("{role},{IDP_ARN}");
        let shown: [(&str, &str, Vec<String>); 9] = [
            (
                "role-of-blanks",
                "ATT-01",
                vec![" ".to_owned(), "\n".to_owned()],
            ),
            (
                "role-with-hidden-characters",
                "ATT-04",
                vec![
                    pair(&ROLE.replace("data", "da\u{200d}ta")),
                    pair(&format!("{ROLE}\u{202e}")),
                    format!("{ROLE}\u{ff0c}{IDP_ARN}"),
                    pair(&format!("{ROLE}\u{a0}")),
                ],
            ),
            (
                "role-several-in-a-value",
                "ATT-04",
                vec![
                    format!("{ROLE} {ROLE}"),
                    format!("{ROLE}\n{IDP_ARN}"),
                    format!("{ROLE},{IDP_ARN},{ROLE}"),
                    format!("{ROLE}|{IDP_ARN}"),
                    format!(",{ROLE}"),
                ],
            ),
            (
                "role-two-providers",
                "ATT-05",
                vec![format!("{IDP_ARN},{IDP_ARN}"), IDP_ARN.to_owned()],
            ),
            (
                "role-of-another-partition",
                "ATT-06",
                vec![
                    format!("{},{IDP_ARN}", ROLE.replace("arn:aws:", "arn:aws-cn:")),
                    ROLE.replace("arn:aws:", "arn:evil:"),
                    ROLE.replace("arn:", "ARN:"),
                ],
            ),
            (
                "role-odd-accounts",
                "ATT-06",
                vec![
                    ROLE.replace("123456789012", "1234567890123"),
                    ROLE.replace("123456789012", ""),
                    ROLE.replace("123456789012", "12345678901x"),
                    ROLE.replace("123456789012", "\u{661}23456789012"),
                ],
            ),
            (
                "role-odd-names",
                "ATT-06",
                vec![
                    format!("{ROLE}*"),
                    format!("{ROLE}?"),
                    ROLE.replace("role/data-scientist", "role/"),
                    ROLE.replace("role/data-scientist", "role//x"),
                    ROLE.replace("role/", "user/"),
                    format!("{ROLE}{}", "x".repeat(2048)),
                ],
            ),
            (
                "role-lines-for-a-header",
                "ATT-13",
                vec![
                    format!("{ROLE}\r\nX-Evil: 1").replace('\r', ""),
                    "\"&gt;&lt;img src=x&gt;".to_owned(),
                ],
            ),
            (
                "role-none-of-a-hundred",
                "ATT-04",
                vec!["x".to_owned(); 100],
            ),
        ];
        for (file, id, values) in shown {
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            let document = self.changed(&role, &attribute("Role", &values));
            self.show(&format!("att-{file}"), id, "accepted", document);
        }
        for (file, near) in [
            ("trailing-blank", "Attributes/Role "),
            ("slash", "Attributes/Role/"),
            ("plain", "Role"),
            ("fragment", "Attributes/Role#"),
        ] {
            let name = if near == "Role" {
                "urn:Role".to_owned()
            } else {
                format!("https://aws.amazon.com/SAML/{near}")
            };
            let document = self.changed(&role, &attribute(&name, &[ROLE_A]));
            self.show(
                &format!("att-role-near-miss-{file}"),
                "ATT-02",
                "accepted",
                document,
            );
        }
        let split = format!(
            "{}</saml:AttributeStatement><saml:AttributeStatement>{}",
            role,
            attribute("Role", &[ROLE_A])
        );
        self.show(
            "att-02-role-in-two-statements",
            "ATT-02",
            "attribute_repeated",
            self.changed(&role, &split),
        );
        let escaped = role.replace("Attributes/Role", "Attributes/Rol&#101;");
        let twice = self.good().replace(&role, &format!("{role}{escaped}"));
        self.show(
            "att-02-role-repeated-after-signing",
            "ATT-02",
            "signature_invalid",
            twice,
        );
    }

    fn names_and_durations(&mut self) {
        let (name, duration) = (
            attribute("RoleSessionName", &["alice@example.org"]),
            attribute("SessionDuration", &["7200"]),
        );
        for (file, value) in [
            ("zero-width", "al\u{200b}ice".to_owned()),
            ("homograph", "\u{430}lice".to_owned()),
            ("full-width", "\u{ff41}lice".to_owned()),
            ("tab", "alice\tx".to_owned()),
            ("leading-blank", " alice".to_owned()),
            ("colon", "alice:admin".to_owned()),
            ("asterisk", "alice*".to_owned()),
            ("apostrophe", "al'ice".to_owned()),
        ] {
            let document = self.changed(&name, &attribute("RoleSessionName", &[&value]));
            self.show(
                &format!("att-10-name-with-{file}"),
                "ATT-10",
                "session_name",
                document,
            );
        }
        self.show(
            "att-10-name-empty",
            "ATT-10",
            "session_name",
            self.changed(&name, &attribute("RoleSessionName", &[""])),
        );
        for (file, value) in [
            ("header", "alice\nX-Evil: 1"),
            ("script", "&lt;script&gt;"),
            ("quote", "alice\"onload=x"),
        ] {
            let document = self.changed(&name, &attribute("RoleSessionName", &[value]));
            self.show(
                &format!("att-13-name-{file}"),
                "ATT-13",
                "session_name",
                document,
            );
        }
        for (file, value) in [
            ("0", "0"),
            ("hex", "0x1000"),
            ("digits-of-another-script", "\u{663}\u{666}\u{660}\u{660}"),
            ("unit", "1h"),
            ("newline", "3600\n"),
            ("under-score", "3_600"),
            ("minus-zero", "-0"),
            ("not-a-number", "NaN"),
            ("2-32", "4294970896"),
        ] {
            let document = self.changed(&duration, &attribute("SessionDuration", &[value]));
            self.show(
                &format!("att-11-duration-of-{file}"),
                "ATT-11",
                "session_duration",
                document,
            );
        }
    }
}
