//! What to change at the identity provider, in the words of its own admin console.
//!
//! A table: the codes of refusals, and a line for each of the four consoles, whose labels stand in
//! quotes. It chooses words and nothing else: the vendor is guessed from text that nobody has verified.

/// An identity provider whose console we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vendor {
    /// Okta.
    Okta,
    /// Microsoft Entra ID.
    Entra,
    /// Google Workspace.
    Google,
    /// Keycloak.
    Keycloak,
}

impl Vendor {
    /// Every one, in the order in which advice for all of them is given.
    pub const ALL: [Self; 4] = [Self::Okta, Self::Entra, Self::Google, Self::Keycloak];

    /// Whose entity id this looks like.
    pub fn of(entity_id: &str) -> Option<Self> {
        const MARKS: &[(&str, Vendor)] = &[
            ("sts.windows.net/", Vendor::Entra),
            ("login.microsoftonline.com/", Vendor::Entra),
            ("accounts.google.com/o/saml2", Vendor::Google),
            ("/realms/", Vendor::Keycloak),
            ("okta.com/", Vendor::Okta),
            ("oktapreview.com/", Vendor::Okta),
            ("okta-emea.com/", Vendor::Okta),
        ];
        let known = MARKS.iter().find(|(mark, _)| entity_id.contains(mark));
        known.map(|(_, vendor)| *vendor)
    }

    /// What its makers call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Okta => "Okta",
            Self::Entra => "Entra",
            Self::Google => "Google",
            Self::Keycloak => "Keycloak",
        }
    }
}

/// `general`, then a line of what to do in `vendor`'s console about `code`, or in each of the four
/// where the vendor is not known.
pub fn mend(code: &str, general: &str, vendor: Option<Vendor>) -> String {
    let Some(advice) = TABLE.iter().find(|advice| advice.codes.contains(&code)) else {
        return general.to_owned();
    };
    let mut text = general.to_owned();
    for known in Vendor::ALL {
        if vendor.is_none_or(|vendor| vendor == known) {
            text.push('\n');
            text.push_str(known.name());
            text.push_str(": ");
            text.push_str(advice.line(known));
        }
    }
    text
}

/// The codes that one setting mends, and that setting in each console.
struct Advice {
    codes: &'static [&'static str],
    okta: &'static str,
    entra: &'static str,
    google: &'static str,
    keycloak: &'static str,
}

impl Advice {
    fn line(&self, vendor: Vendor) -> &'static str {
        match vendor {
            Vendor::Okta => self.okta,
            Vendor::Entra => self.entra,
            Vendor::Google => self.google,
            Vendor::Keycloak => self.keycloak,
        }
    }
}

const TABLE: &[Advice] = &[
    Advice {
        codes: &["destination", "recipient"],
        okta: r#"SAML Settings: "Single sign-on URL" is rolegate's /saml/acs, and "Use this for Recipient URL and Destination URL" is ticked"#,
        entra: r#"Basic SAML Configuration: "Reply URL (Assertion Consumer Service URL)" is rolegate's /saml/acs, and it is the default one"#,
        google: r#"Service provider details: "ACS URL" is rolegate's /saml/acs"#,
        keycloak: r#"client > Advanced: "Assertion Consumer Service POST Binding URL" is rolegate's /saml/acs (or "Master SAML Processing URL" under Settings), and "Valid redirect URIs" lists it"#,
    },
    Advice {
        codes: &["audience", "no_audience", "no_conditions"],
        okta: r#"SAML Settings: "Audience URI (SP Entity ID)" is rolegate's entity id"#,
        entra: r#"Basic SAML Configuration: "Identifier (Entity ID)" is rolegate's entity id"#,
        google: r#"Service provider details: "Entity ID" is rolegate's entity id"#,
        keycloak: r#"client > Settings: "Client ID" is rolegate's entity id; Keycloak sends it as the audience"#,
    },
    Advice {
        codes: &["issuer", "issuers_differ"],
        okta: r#"Sign On: save what "Metadata URL" serves as metadata_file again; "SAML Issuer ID" of the SAML Settings must be what it says"#,
        entra: r#"Set up: "Microsoft Entra Identifier" is the Issuer; download "Federation Metadata XML" again and save it as metadata_file"#,
        google: r#"Google Identity Provider details: "Entity ID" is the Issuer; "Download metadata" again and save it as metadata_file"#,
        keycloak: r#"Realm settings > General: "Frontend URL" decides the Issuer; save "SAML 2.0 Identity Provider Metadata" as metadata_file again"#,
    },
    Advice {
        codes: &["unsigned", "signature_required"],
        okta: r#"SAML Settings > Show Advanced Settings: "Assertion Signature" Signed, "Response" Signed"#,
        entra: r#"SAML Certificates > Edit: "Signing Option" "Sign SAML assertion", or "Sign SAML response and assertion" where both are wanted"#,
        google: r#"Service provider details: "Signed response" ticked signs the Response, not ticked the Assertion; both at once Google does not do"#,
        keycloak: r#"client > Settings > Signature and Encryption: "Sign assertions" On signs the Assertion, "Sign documents" On the Response"#,
    },
    Advice {
        codes: &["signature_algorithm", "digest_algorithm"],
        okta: r#"SAML Settings > Show Advanced Settings: "Signature Algorithm" RSA-SHA256, "Digest Algorithm" SHA256"#,
        entra: r#"SAML Certificates > Edit: "Signing Algorithm" SHA-256"#,
        google: r#"there is no setting: add a certificate under "Manage certificates", choose it for the app, and save the metadata again"#,
        keycloak: r#"client > Settings > Signature and Encryption: "Signature algorithm" RSA_SHA256"#,
    },
    Advice {
        codes: &["canonicalization", "transforms"],
        okta: "there is no setting: Okta signs as rolegate wants; look for what rewrites the response on its way",
        entra: "there is no setting: Entra signs as rolegate wants; look for what rewrites the response on its way",
        google: "there is no setting: Google signs as rolegate wants; look for what rewrites the response on its way",
        keycloak: r#"client > Settings > Signature and Encryption: "Canonicalization method" EXCLUSIVE"#,
    },
    Advice {
        codes: &["signature_invalid", "certificate_expired"],
        okta: r#"Sign On > SAML Signing Certificates: see which one is Active, then save what "Metadata URL" serves as metadata_file again"#,
        entra: r#"SAML Certificates: see which one is Active, then download "Federation Metadata XML" again and save it as metadata_file"#,
        google: r#"the app's "Certificate": see which one it uses ("Manage certificates"), then "Download metadata" and save it as metadata_file"#,
        keycloak: r#"Realm settings > Keys: see which RSA key is active, then save "SAML 2.0 Identity Provider Metadata" of Realm settings as metadata_file again"#,
    },
    Advice {
        codes: &["encrypted"],
        okta: r#"SAML Settings > Show Advanced Settings: "Assertion Encryption" Unencrypted"#,
        entra: r#"Security > "Token encryption": deactivate or remove the certificate"#,
        google: "Google does not encrypt assertions; look for what rewrites the response on its way",
        keycloak: r#"client > Keys: "Encrypt assertions" Off"#,
    },
    Advice {
        codes: &["encrypted_no_key", "decryption_failed"],
        okta: r#"SAML Settings > Show Advanced Settings: "Encryption Certificate" must be that of `rolegate metadata`, or "Assertion Encryption" Unencrypted"#,
        entra: r#"Security > "Token encryption": import and activate the encryption certificate of `rolegate metadata`, or deactivate it"#,
        google: "Google does not encrypt assertions; look for what rewrites the response on its way",
        keycloak: r#"client > Keys: "Encrypt assertions" with the encryption certificate of `rolegate metadata`, or Off"#,
    },
    Advice {
        codes: &["encryption_algorithm", "encrypted_cbc_unsigned"],
        okta: r#"SAML Settings > Show Advanced Settings: "Encryption Algorithm" AES256-GCM, "Key Transport Algorithm" RSA-OAEP, "Response" Signed"#,
        entra: r#"SAML Certificates: "Signing Option" Sign SAML response and assertion; Entra encrypts by AES-256-CBC"#,
        google: "Google does not encrypt assertions; look for what rewrites the response on its way",
        keycloak: r#"client > Settings > Signature and Encryption: "Sign documents" On; "Encryption algorithm" AES_256_GCM and "Key transport algorithm" RSA-OAEP, where offered"#,
    },
    Advice {
        codes: &["attribute_repeated"],
        okta: r#"SAML Settings: one entry of "Attribute Statements" for each name, and not the same name under "Group Attribute Statements""#,
        entra: r#""Attributes & Claims": one claim for each name and namespace; a group claim must not be renamed to it"#,
        google: r#""Attribute mapping": one mapping for each name under "App attributes"; several values come from one multi-value attribute"#,
        keycloak: r#"client > Client scopes: in the "Role list" mapper switch "Single Role Attribute" On, and remove the scope role_list, which sends a second one"#,
    },
    Advice {
        codes: &["attribute_values"],
        okta: r#"Attribute Statements: "Value" is one text such as user.email, not an array"#,
        entra: r#""Attributes & Claims": "Source attribute" has one value, such as user.userprincipalname"#,
        google: r#""Attribute mapping": map a field with one value, such as "Primary email", not a multi-value one"#,
        keycloak: r#"client > Client scopes: use the mapper "User Property" with property email, and no list"#,
    },
    Advice {
        codes: &["session_name", "user_name", "no_user"],
        okta: r#"Attribute Statements: "Name" https://aws.amazon.com/SAML/Attributes/RoleSessionName, "Name format" URI Reference, "Value" user.email"#,
        entra: r#""Attributes & Claims": claim "Name" RoleSessionName, "Namespace" https://aws.amazon.com/SAML/Attributes, "Source attribute" user.userprincipalname"#,
        google: r#""Attribute mapping": "Primary email" to the app attribute https://aws.amazon.com/SAML/Attributes/RoleSessionName"#,
        keycloak: r#"client > Client scopes > dedicated scope: mapper "User Property", property email, "SAML Attribute Name" https://aws.amazon.com/SAML/Attributes/RoleSessionName"#,
    },
    Advice {
        codes: &["session_duration"],
        okta: r#"Attribute Statements: https://aws.amazon.com/SAML/Attributes/SessionDuration with "Value" "28800", or no such statement"#,
        entra: r#""Attributes & Claims": claim SessionDuration of namespace https://aws.amazon.com/SAML/Attributes with "Source attribute" "28800", or no such claim"#,
        google: r#""Attribute mapping": https://aws.amazon.com/SAML/Attributes/SessionDuration from a custom attribute that holds 28800, or no such mapping"#,
        keycloak: r#"client > Client scopes > dedicated scope: mapper "Hardcoded attribute", https://aws.amazon.com/SAML/Attributes/SessionDuration with "Attribute value" 28800, or no such mapper"#,
    },
    Advice {
        codes: &["role_missing"],
        okta: r#"Attribute Statements: https://aws.amazon.com/SAML/Attributes/Role with "Value" appuser.awsRoles; on "Assignments" give the person's group values for it"#,
        entra: r#""Attributes & Claims": claim Role of namespace https://aws.amazon.com/SAML/Attributes from user.assignedroles; on "Users and groups" assign the person an app role whose "Value" is the pair"#,
        google: r#""Attribute mapping": a custom multi-value attribute to https://aws.amazon.com/SAML/Attributes/Role; fill it in for the person under Directory > Users"#,
        keycloak: r#"client > Client scopes > dedicated scope: mapper "Role list", "Role attribute name" https://aws.amazon.com/SAML/Attributes/Role; assign the client's role to the person"#,
    },
    Advice {
        codes: &["in_response_to", "request_unknown"],
        okta: "begin at rolegate's /login or at the app's tile, not at a bookmark of Okta's sign-in page",
        entra: r#"Basic SAML Configuration: "Sign on URL" is empty or rolegate's /saml/IDP/login; begin there or at the app in My Apps, not at a bookmark"#,
        google: "begin at rolegate's /login or at the app in Google's app launcher, not at a bookmark of the sign-in page",
        keycloak: r#"begin at rolegate's /login, or at the URL under "IDP-Initiated SSO URL name" of the client, not at a bookmark of the sign-in page"#,
    },
    Advice {
        codes: &["issue_instant", "not_yet_valid", "expired", "times_order"],
        okta: "Okta's clock is right: set that of rolegate's machine by NTP, and begin a new sign-in",
        entra: "Entra's clock is right: set that of rolegate's machine by NTP, and begin a new sign-in",
        google: "Google's clock is right: set that of rolegate's machine by NTP, and begin a new sign-in",
        keycloak: r#"set the clocks of both machines by NTP; client > Advanced: "Assertion Lifespan" is 1 minute or more"#,
    },
    Advice {
        codes: &["no_authn_statement"],
        okta: "Okta always sends one; look for what rewrites the response on its way",
        entra: "Entra always sends one; look for what rewrites the response on its way",
        google: "Google always sends one; look for what rewrites the response on its way",
        keycloak: r#"client > Settings > SAML capabilities: "Include AuthnStatement" On"#,
    },
    Advice {
        codes: &["subject"],
        okta: r#"SAML Settings: "Name ID format" and "Application username" are set, and the person has a value for it"#,
        entra: r#""Attributes & Claims": "Unique User Identifier (Name ID)" has a source attribute that the person has"#,
        google: r#"Service provider details: "Name ID format" and "Name ID" are set, such as EMAIL and "Primary email""#,
        keycloak: r#"client > Settings > SAML capabilities: "Name ID format" is one that the person has a value for, such as username"#,
    },
    Advice {
        codes: &["status"],
        okta: r#"Reports > "System Log" says why the sign-in failed; often the person is not assigned to the app ("Assignments")"#,
        entra: r#""Sign-in logs" say why the sign-in failed; often the person is not under "Users and groups""#,
        google: r#"Reporting > "SAML log events" say why the sign-in failed; often the app's "User access" is off for the person"#,
        keycloak: r#""Events" (saved where Realm settings > Events says so) tell why the sign-in failed"#,
    },
    Advice {
        codes: &["limit", "too_long"],
        okta: r#"SAML Settings: narrow the filter of "Group Attribute Statements""#,
        entra: r#""Attributes & Claims" > group claim: choose "Groups assigned to the application""#,
        google: r#""Attribute mapping" > "Group membership": choose fewer groups"#,
        keycloak: r#"client > Client scopes: remove the "Group list" mapper, or the roles and scopes that the client does not need ("Full scope allowed" Off)"#,
    },
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::saml::{FormError, Refusal};

    #[test]
    fn every_code_of_the_table_is_a_refusal_s_and_stands_once() {
        let of_flow = ["role_missing", "request_unknown"];
        let mut seen = HashSet::new();
        for code in TABLE.iter().flat_map(|advice| advice.codes) {
            let known = Refusal::CODES.contains(code)
                || of_flow.contains(code)
                || *code == FormError::TooLong.code();
            assert!(known, "{code} is no code");
            assert!(seen.insert(*code), "{code} stands twice");
        }
    }

    #[test]
    fn a_known_vendor_s_admin_sees_one_line_and_others_four() {
        for (entity_id, vendor, label) in [
            (
                "http://www.okta.com/exk1",
                Vendor::Okta,
                "Audience URI (SP Entity ID)",
            ),
            (
                "https://sts.windows.net/0f/",
                Vendor::Entra,
                "Identifier (Entity ID)",
            ),
            (
                "https://accounts.google.com/o/saml2?idpid=C0",
                Vendor::Google,
                "\"Entity ID\"",
            ),
            (
                "https://keycloak.example.org/realms/staff",
                Vendor::Keycloak,
                "Client ID",
            ),
        ] {
            assert_eq!(Vendor::of(entity_id), Some(vendor));
            let text = mend("audience", "set the audience", Vendor::of(entity_id));
            assert_eq!(text.lines().count(), 2, "{text}");
            assert!(text.contains(label), "{text}");
        }
        assert_eq!(Vendor::of("https://idp.example.org/metadata"), None);
        let text = mend("audience", "set the audience", None);
        assert_eq!(text.lines().count(), 5, "{text}");
        assert_eq!(mend("xyz", "general", Some(Vendor::Okta)), "general");
    }
}
