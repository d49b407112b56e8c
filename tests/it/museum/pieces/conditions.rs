//! Conditions, genuinely signed (COND).

use super::*;

impl Maker {
    pub(super) fn conditions(&mut self) {
        const DATA: &str = "<saml:SubjectConfirmationData ";
        self.show(
            "cond-01-destination",
            "COND-01",
            "destination",
            self.mutated(
                &format!("Destination=\"{ACS}\""),
                "Destination=\"https://other.example.org/saml/acs\"",
            ),
        );
        self.show(
            "cond-01-destination-empty",
            "COND-01",
            "destination",
            self.mutated(&format!("Destination=\"{ACS}\""), "Destination=\"\""),
        );
        self.show(
            "destination-absent",
            "COND-01",
            "accepted",
            self.mutated(&format!(" Destination=\"{ACS}\""), ""),
        );
        self.show(
            "cond-03-recipient",
            "COND-03",
            "recipient",
            self.changed(
                &format!("Recipient=\"{ACS}\""),
                "Recipient=\"https://signin.aws.amazon.com/saml\"",
            ),
        );
        self.show(
            "cond-03-recipient-missing",
            "COND-03",
            "recipient",
            self.changed(&format!(" Recipient=\"{ACS}\""), ""),
        );
        self.show(
            "cond-03-recipient-prefix",
            "COND-03",
            "recipient",
            self.changed(
                &format!("Recipient=\"{ACS}\""),
                &format!("Recipient=\"{ACS}/x\""),
            ),
        );
        let restriction = format!(
            "<saml:AudienceRestriction><saml:Audience>{AUDIENCE}</saml:Audience></saml:AudienceRestriction>"
        );
        let foreign = restriction.replace(AUDIENCE, "https://other.example.org/");
        self.show(
            "cond-04-audience",
            "COND-04",
            "audience",
            self.changed(&restriction, &foreign),
        );
        self.show(
            "cond-04-audience-missing",
            "COND-04",
            "no_audience",
            self.changed(&restriction, ""),
        );
        self.show(
            "cond-04-audience-empty",
            "COND-04",
            "audience",
            self.changed(
                &restriction,
                "<saml:AudienceRestriction></saml:AudienceRestriction>",
            ),
        );
        self.show(
            "cond-04-one-of-two-wrong",
            "COND-04",
            "audience",
            self.changed(&restriction, &format!("{restriction}{foreign}")),
        );
        self.show(
            "two-audiences-in-one",
            "COND-04",
            "accepted",
            self.changed(
                "</saml:Audience>",
                "</saml:Audience><saml:Audience>https://other.example.org/</saml:Audience>",
            ),
        );
        self.show(
            "cond-05-issuer",
            "COND-05",
            "issuer",
            self.changed(IDP, "https://evil.example.org/saml"),
        );
        self.show(
            "cond-05-issuer-case",
            "COND-05",
            "issuer",
            self.changed(IDP, "https://IDP.example.org/saml"),
        );
        let asked = self.changed(DATA, &format!("{DATA}InResponseTo=\"_q1\" "));
        let outer = self.mutated("ID=\"_r0\"", "ID=\"_r0\" InResponseTo=\"_q1\"");
        let sp = |exhibit: &mut Exhibit, request: Option<&str>| {
            exhibit.request = request.map(str::to_owned);
            exhibit.twin = Some("valid/sp-initiated.xml".to_owned());
        };
        sp(
            self.show("cond-06-unasked", "COND-06", "in_response_to", &asked),
            None,
        );
        sp(
            self.show(
                "cond-06-unasked-outside",
                "COND-06",
                "in_response_to",
                &outer,
            ),
            None,
        );
        sp(
            self.show(
                "cond-06-another-request",
                "COND-06",
                "in_response_to",
                &asked,
            ),
            Some("_q2"),
        );
        sp(
            self.show("cond-06-only-outside", "COND-06", "in_response_to", &outer),
            Some("_q1"),
        );
        sp(
            self.show("cond-06-nowhere", "COND-06", "in_response_to", self.good()),
            Some("_q1"),
        );
        let disagree = asked.replace("ID=\"_r0\"", "ID=\"_r0\" InResponseTo=\"_q9\"");
        sp(
            self.show(
                "cond-06-halves-disagree",
                "COND-06",
                "in_response_to",
                disagree,
            ),
            Some("_q1"),
        );
        sp(
            self.show(
                "cond-06-empty",
                "COND-06",
                "in_response_to",
                self.mutated("ID=\"_r0\"", "ID=\"_r0\" InResponseTo=\"\""),
            ),
            None,
        );
        self.show(
            "cond-07-status",
            "COND-07",
            "status",
            self.mutated("status:Success", "status:Responder"),
        );
        self.show(
            "cond-07-status-missing",
            "COND-07",
            "status",
            self.mutated(STATUS, ""),
        );
        self.show(
            "cond-08-version",
            "COND-08",
            "version",
            self.changed("Version=\"2.0\"", "Version=\"1.1\""),
        );
        self.show(
            "cond-08-version-outside",
            "COND-08",
            "version",
            self.mutated("Version=\"2.0\"", "Version=\"2.1\""),
        );
        let confirmation = format!(
            "<saml:SubjectConfirmation {}</saml:SubjectConfirmation>",
            between(
                &assertion(),
                "<saml:SubjectConfirmation ",
                "</saml:SubjectConfirmation>"
            )
        );
        self.show(
            "cond-11-no-confirmation",
            "COND-11",
            "subject",
            self.changed(&confirmation, ""),
        );
        self.show(
            "cond-11-two-confirmations",
            "COND-11",
            "subject",
            self.changed(&confirmation, &confirmation.repeat(2)),
        );
        self.show(
            "cond-11-holder-of-key",
            "COND-11",
            "confirmation_method",
            self.changed("cm:bearer", "cm:holder-of-key"),
        );
        self.show(
            "cond-11-not-before",
            "COND-11",
            "confirmation_not_before",
            self.changed(DATA, &format!("{DATA}NotBefore=\"2026-01-15T11:58:30Z\" ")),
        );
        self.show(
            "cond-11-endless",
            "COND-11",
            "confirmation_endless",
            self.changed(" NotOnOrAfter=\"2026-01-15T12:05:00Z\"", ""),
        );
        let conditions = format!(
            "<saml:Conditions {}</saml:Conditions>",
            between(&assertion(), "<saml:Conditions ", "</saml:Conditions>")
        );
        self.show(
            "cond-12-no-conditions",
            "COND-12",
            "no_conditions",
            self.changed(&conditions, ""),
        );
        self.show(
            "cond-12-two-conditions",
            "COND-12",
            "no_conditions",
            self.changed(&conditions, &conditions.repeat(2)),
        );
        self.show(
            "cond-13-unknown-condition",
            "COND-13",
            "unknown_condition",
            self.changed(
                "</saml:Conditions>",
                "<e:Odd xmlns:e=\"urn:evil\"></e:Odd></saml:Conditions>",
            ),
        );
        self.show(
            "one-time-use",
            "COND-13",
            "accepted",
            self.changed(
                "</saml:Conditions>",
                "<saml:OneTimeUse></saml:OneTimeUse></saml:Conditions>",
            ),
        );
        let statement = format!(
            "<saml:AuthnStatement {}</saml:AuthnStatement>",
            between(
                &assertion(),
                "<saml:AuthnStatement ",
                "</saml:AuthnStatement>"
            )
        );
        self.show(
            "cond-14-no-authn-statement",
            "COND-14",
            "no_authn_statement",
            self.changed(&statement, ""),
        );
        let name_id = format!(
            "<saml:NameID {}</saml:NameID>",
            between(&assertion(), "<saml:NameID ", "</saml:NameID>")
        );
        self.show(
            "cond-15-no-name-id",
            "COND-15",
            "subject",
            self.changed(&name_id, ""),
        );
        self.show(
            "cond-15-two-name-ids",
            "COND-15",
            "subject",
            self.changed(&name_id, &name_id.repeat(2)),
        );
        self.show(
            "cond-15-empty-name-id",
            "COND-15",
            "subject",
            self.changed(">alice<", "><"),
        );
        let domain = self.show("att-user-domain", "COND-05", "user_domain", self.good());
        (domain.user_domains, domain.twin) = (
            vec!["other.example.org".into()],
            Some("valid/user-domain.xml".into()),
        );
        self.show("user-domain", "GOOD", "accepted", self.good())
            .user_domains = vec!["example.org".to_owned()];
    }
}
