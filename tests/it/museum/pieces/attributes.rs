//! Attributes and encryption (ATT, ENC).

use super::*;

impl Maker {
    pub(super) fn attributes(&mut self) {
        let (role, name, duration) = (
            attribute("Role", &[ROLE_A, ROLE_B]),
            attribute("RoleSessionName", &["alice@example.org"]),
            attribute("SessionDuration", &["7200"]),
        );
        let nil = "<saml:AttributeValue xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:nil=\"true\"></saml:AttributeValue>";
        let with = |values: &[&str]| attribute("Role", values);
        for (file, id, roles) in [
            ("role-missing", "ATT-01", String::new()),
            ("role-empty", "ATT-01", with(&[""])),
            (
                "role-nil",
                "ATT-01",
                with(&[]).replace("</saml:Attribute>", &format!("{nil}</saml:Attribute>")),
            ),
            (
                "role-near-miss-names",
                "ATT-02",
                role.replace("Attributes/Role", "Attributes/role"),
            ),
            (
                "role-odd-separators",
                "ATT-04",
                with(&[
                    &ROLE_A.replace(',', ";"),
                    &format!("\u{200b}{ROLE_A}"),
                    &format!("{ROLE_A},{ROLE_A}"),
                ]),
            ),
            (
                "role-of-another-account",
                "ATT-05",
                with(&[&ROLE_A.replacen("123456789012", "210987654321", 1)]),
            ),
            (
                "role-wildcards",
                "ATT-06",
                with(&[
                    "arn:aws:iam::123456789012:role/*",
                    "arn:aws:iam::12345678901:role/x",
                    "arn:aws:iam::123456789012:role/../x",
                ]),
            ),
            (
                "role-with-markup",
                "ATT-13",
                with(&["&lt;script&gt;alert(1)&lt;/script&gt;", "a\nSet-Cookie: b"]),
            ),
        ] {
            let document = self.changed(&role, &roles);
            self.show(&format!("att-{file}"), id, "accepted", document);
        }
        self.show(
            "att-02-role-repeated",
            "ATT-02",
            "attribute_repeated",
            self.changed(&role, &role.repeat(2)),
        );
        self.show(
            "att-02-name-repeated",
            "ATT-02",
            "attribute_repeated",
            self.changed(&name, &name.repeat(2)),
        );
        self.show(
            "att-02-duration-repeated",
            "ATT-02",
            "attribute_repeated",
            self.changed(&duration, &duration.repeat(2)),
        );
        self.show(
            "att-10-name-two-values",
            "ATT-10",
            "attribute_values",
            self.changed(&name, &attribute("RoleSessionName", &["alice", "bob"])),
        );
        self.show(
            "att-10-no-user",
            "ATT-10",
            "no_user",
            self.changed(&name, ""),
        );
        for (n, value) in [
            "a",
            "alice smith",
            "alice\n",
            "\u{e4}lice",
            "alice&#xA;",
            "alice/x",
            &"a".repeat(65),
        ]
        .into_iter()
        .enumerate()
        {
            // A reference to a line feed is canonical as the line feed itself.
            let value = value.replace("&#xA;", "\n\n");
            self.show(
                &format!("att-10-name-{n}"),
                "ATT-10",
                "session_name",
                self.changed(&name, &attribute("RoleSessionName", &[&value])),
            );
        }
        for (n, value) in [
            "+3600",
            "03600",
            "3600.0",
            "1e4",
            "-1",
            "899",
            "43201",
            "18446744073709551616",
            " 3600",
        ]
        .into_iter()
        .enumerate()
        {
            self.show(
                &format!("att-11-duration-{n}"),
                "ATT-11",
                "session_duration",
                self.changed(&duration, &attribute("SessionDuration", &[value])),
            );
        }
        self.show(
            "att-11-duration-two-values",
            "ATT-11",
            "attribute_values",
            self.changed(&duration, &attribute("SessionDuration", &["3600", "900"])),
        );
        for (file, value) in [("900", "900"), ("43200", "43200"), ("empty", "")] {
            self.show(
                &format!("att-duration-{file}"),
                "ATT-11",
                "accepted",
                self.changed(&duration, &attribute("SessionDuration", &[value])),
            );
        }
        self.show(
            "att-13-name-with-markup",
            "ATT-13",
            "session_name",
            self.changed(
                &name,
                &attribute("RoleSessionName", &["&lt;b&gt;alice&lt;/b&gt;"]),
            ),
        );
    }
}
