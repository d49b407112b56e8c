//! Attacks as they were published, rebuilt with our own keys: parser differentials and what came of them.

use super::wrapping_sets::split;
use super::*;

/// The SHA-256 of nothing: what a canonicaliser that failed hands to the digest.
const NOTHING: &str = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
const COMMENTS: &str = "http://www.w3.org/2001/10/xml-exc-c14n#WithComments";

impl Maker {
    fn publish(&mut self, source: &str, file: &str, id: &str, expect: &str, document: String) {
        self.show(file, id, expect, document).source = Some(source.to_owned());
    }

    pub(super) fn published(&mut self) {
        self.truncated_texts();
        self.document_types();
        self.names_that_change();
        self.polluted_attributes();
        self.void_canonicalisation();
        self.second_signed_infos();
    }

    /// 2018: text ends at a comment for one reader and goes on for another.
    fn truncated_texts(&mut self) {
        const SOURCE: &str =
            "CVE-2017-11427, CVE-2017-11428, CVE-2017-11429, CVE-2017-11430, CVE-2018-0489";
        let name = ">alice@example.org<";
        for (file, from, split_at) in [
            ("session-name", name.to_owned(), 6),
            ("audience", format!(">{AUDIENCE}<"), 5),
            ("issuer", format!(">{IDP}<"), 12),
            ("role", format!(">{ROLE_A}<"), 30),
        ] {
            let (head, tail) = from.split_at(split_at);
            for (kind, markup, expect) in [
                ("comment", "<!-- x -->", "markup"),
                ("cdata", "<![CDATA[]]>", "markup"),
                ("instruction", "<?x?>", "instruction"),
                ("entity", "&x;", "entity"),
                ("element", "<x:y xmlns:x=\"urn:x\"></x:y>", "*"),
            ] {
                let expect = match (expect, file) {
                    ("*", "session-name") => "attribute_values",
                    ("*", "role") => continue,
                    ("*", _) => "malformed",
                    (other, _) => other,
                };
                let document = response(&sign(&assertion(), "_a1", &self.key));
                let document = if expect == "attribute_values" {
                    self.changed(&from, &format!("{head}{markup}{tail}"))
                } else {
                    document.replace(&from, &format!("{head}{markup}{tail}"))
                };
                self.publish(
                    SOURCE,
                    &format!("xml-01-{kind}-in-{file}"),
                    "XML-01",
                    expect,
                    document,
                );
            }
        }
    }

    /// 2025 and before: what a DOCTYPE does to one reader and not to the other.
    fn document_types(&mut self) {
        let good = self.good();
        let evil = good.replace("alice", "admin");
        let notation = format!(
            "<!DOCTYPE r [<!NOTATION x PUBLIC \"x\" 'x\"><!--'>]>{evil}<![CDATA[-->{good}]]>"
        );
        self.publish(
            "CVE-2025-25291",
            "xml-03-notation-that-quotes",
            "XML-03",
            "markup",
            notation,
        );
        let quoted = format!("<!DOCTYPE r [<!ENTITY a '\"><!--'>]>{good}<!-- -->{evil}");
        self.publish(
            "CVE-2025-25291",
            "xml-03-entity-that-quotes",
            "XML-03",
            "markup",
            quoted,
        );
        let inside = good.replace("<samlp:Status>", "<!DOCTYPE x><samlp:Status>");
        self.publish(
            "CVE-2025-25291",
            "xml-03-doctype-inside",
            "XML-03",
            "markup",
            inside,
        );
        for (file, id, dtd) in [
            (
                "03-parameter-entity",
                "XML-03",
                "<!DOCTYPE x [<!ENTITY % p SYSTEM \"http://127.0.0.1/p.dtd\">%p;]>",
            ),
            (
                "03-public",
                "XML-03",
                "<!DOCTYPE x PUBLIC \"-//x//y\" \"http://127.0.0.1/x.dtd\">",
            ),
            (
                "03-file-entity-in-a-value",
                "XML-03",
                "<!DOCTYPE x [<!ENTITY e SYSTEM \"file:///etc/passwd\">]>",
            ),
            ("03-lower-case", "XML-03", "<!doctype x>"),
            (
                "05-attlist-default-namespace",
                "XML-05",
                "<!DOCTYPE x [<!ATTLIST saml:Assertion xmlns CDATA #FIXED \"urn:x\">]>",
            ),
            (
                "05-attlist-recipient",
                "XML-05",
                "<!DOCTYPE x [<!ATTLIST saml:SubjectConfirmationData InResponseTo CDATA \"_q1\">]>",
            ),
        ] {
            self.show(&format!("xml-{file}"), id, "markup", format!("{dtd}{good}"));
        }
        let laughs: String = (1..10)
            .map(|n| format!("<!ENTITY l{n} \"{}\">", format!("&l{};", n - 1).repeat(10)))
            .collect();
        let laughs = format!("<!DOCTYPE x [<!ENTITY l0 \"lol\">{laughs}]>");
        let used = good.replace(">alice<", ">&l9;<");
        self.publish(
            "CVE-2003-1564",
            "xml-04-billion-laughs",
            "XML-04",
            "markup",
            format!("{laughs}{used}"),
        );
        let long = format!("<!DOCTYPE x [<!ENTITY a \"{}\">]>", "a".repeat(20_000));
        let used = good.replace(">alice<", &format!(">{}<", "&a;".repeat(10_000)));
        self.show(
            "xml-04-quadratic-blow-up",
            "XML-04",
            "markup",
            format!("{long}{used}"),
        );
        let bare = good.replace(">alice<", &format!(">{}<", "&a;".repeat(10_000)));
        self.show(
            "xml-04-references-without-a-doctype",
            "XML-04",
            "entity",
            bare,
        );
        let recursive = "<!DOCTYPE x [<!ENTITY a \"&b;\"><!ENTITY b \"&a;\">]>";
        self.show(
            "xml-04-recursive",
            "XML-04",
            "markup",
            format!("{recursive}{good}"),
        );
    }

    /// Names that one reader writes down otherwise than it read them.
    fn names_that_change(&mut self) {
        let go = "CVE-2020-29509";
        self.publish(
            go,
            "ref-16-attribute-with-an-empty-prefix",
            "REF-16",
            "malformed",
            self.mutated("ID=\"_r0\"", ":ID=\"_a1\" ID=\"_r0\""),
        );
        self.publish(
            go,
            "ref-16-empty-prefix-declared",
            "REF-16",
            "malformed",
            self.mutated("ID=\"_r0\"", "xmlns:=\"urn:x\" ID=\"_r0\""),
        );
        let go = "CVE-2020-29511, CVE-2020-27846";
        for (file, name) in [
            ("empty-prefix", ":Status"),
            ("two-colons", "samlp:x:Status"),
            ("double-colon", "samlp::Status"),
            ("empty-local", "samlp:"),
        ] {
            let document = self.good().replace("samlp:Status>", &format!("{name}>"));
            self.publish(
                go,
                &format!("ref-16-element-with-{file}"),
                "REF-16",
                "malformed",
                document,
            );
        }
        let go = "CVE-2020-29510";
        self.publish(
            go,
            "xml-03-directive-with-a-comment",
            "XML-03",
            "markup",
            self.mutated("<samlp:Status>", "<!x<!-- -->y><samlp:Status>"),
        );
        self.publish(
            go,
            "xml-03-directive-with-quotes",
            "XML-03",
            "markup",
            self.mutated("<samlp:Status>", "<!x \"<!--\"><samlp:Status>"),
        );
        let confused = "CVE-2025-25292, CVE-2025-66567";
        let (plain, sig) = split(&self.good());
        let both = |outer: &str| {
            plain.replace(
                "</saml:Issuer><saml:Subject>",
                &format!("</saml:Issuer>{outer}<saml:Subject>"),
            )
        };
        let rebound = sig.replacen(
            DS,
            "xmlns:ds=\"urn:evil\" xmlns:d=\"http://www.w3.org/2000/09/xmldsig#\"",
            1,
        );
        self.publish(
            confused,
            "ref-16-second-signature-in-another-namespace",
            "REF-16",
            "foreign_name",
            both(&format!("{sig}{rebound}")),
        );
        self.publish(
            confused,
            "ref-16-first-signature-in-another-namespace",
            "REF-16",
            "foreign_name",
            both(&format!("{rebound}{sig}")),
        );
        let default = sig
            .replace("<ds:", "<")
            .replace("</ds:", "</")
            .replace(DS, "xmlns=\"urn:evil\"");
        self.publish(
            confused,
            "ref-16-signature-in-the-default-namespace",
            "REF-16",
            "foreign_name",
            both(&format!("{default}{sig}")),
        );
        let undone = self
            .changed("<saml:Subject>", "<saml:Subject xmlns=\"urn:evil\">")
            .replace("<saml:Conditions ", "<saml:Conditions xmlns=\"\" ");
        self.publish(
            confused,
            "ref-14-default-namespace-undone",
            "REF-14",
            "namespace",
            undone,
        );
        self.publish(
            confused,
            "ref-16-xml-prefix-bound",
            "REF-16",
            "namespace",
            self.mutated(
                "<samlp:Response ",
                "<samlp:Response xmlns:xml=\"http://www.w3.org/XML/1998/namespace\" ",
            ),
        );
        self.publish(
            confused,
            "ref-16-xmlns-prefix-bound",
            "REF-16",
            "namespace",
            self.mutated("<samlp:Response ", "<samlp:Response xmlns:xmlns=\"urn:x\" "),
        );
        self.publish(
            confused,
            "ref-16-another-prefix-for-xml",
            "REF-16",
            "namespace",
            self.mutated(
                "<samlp:Response ",
                "<samlp:Response xmlns:q=\"http://www.w3.org/XML/1998/namespace\" ",
            ),
        );
        for (file, from) in [
            ("assertion", "<saml:Assertion "),
            ("attribute", "<saml:Attribute "),
        ] {
            let name = from
                .trim_start_matches("<saml:")
                .trim_end_matches(['>', ' ']);
            let document = self
                .good()
                .replace(from, &from.replace("saml:", "v1:"))
                .replace(&format!("</saml:{name}>"), &format!("</v1:{name}>"))
                .replacen(
                    "<samlp:Response ",
                    "<samlp:Response xmlns:v1=\"urn:oasis:names:tc:SAML:1.0:assertion\" ",
                    1,
                );
            self.show(
                &format!("xml-13-foreign-{file}-of-saml-1"),
                "XML-13",
                "foreign_name",
                document,
            );
        }
        let issuer = format!("<saml:Issuer>{IDP}</saml:Issuer>");
        let old = format!(
            "<v1:Issuer xmlns:v1=\"urn:oasis:names:tc:SAML:1.0:assertion\">{IDP}</v1:Issuer>"
        );
        self.show(
            "xml-13-foreign-issuer-of-saml-1",
            "XML-13",
            "foreign_name",
            self.mutated(&issuer, &old),
        );
        self.show(
            "xml-13-name-without-namespace",
            "XML-13",
            "foreign_name",
            self.mutated("<saml:Subject>", "<Subject></Subject><saml:Subject>"),
        );
        self.show(
            "xml-13-response-of-saml-1",
            "XML-13",
            "foreign_name",
            self.good()
                .replace("SAML:2.0:protocol", "SAML:1.0:protocol"),
        );
    }

    /// The Fragile Lock (2025): an attribute in a namespace, where libxml2's lookup does not ask for it.
    fn polluted_attributes(&mut self) {
        const SOURCE: &str = "The Fragile Lock (PortSwigger, 2025)";
        for (file, element, decoy) in [
            ("transform", "Transform", COMMENTS),
            ("canonicalization", "CanonicalizationMethod", COMMENTS),
            (
                "digest-method",
                "DigestMethod",
                "http://www.w3.org/2000/09/xmldsig#sha1",
            ),
            (
                "signature-method",
                "SignatureMethod",
                "http://www.w3.org/2000/09/xmldsig#rsa-sha1",
            ),
        ] {
            let document = self.with_second_algorithm(element, decoy);
            self.publish(
                SOURCE,
                &format!("ref-11-second-algorithm-of-{file}"),
                "REF-11",
                "forbidden_attribute",
                document,
            );
        }
        let x = "xmlns:x=\"urn:x\"";
        let uri = self.mutated(
            "<ds:Reference URI=\"#_a1\"",
            &format!("<ds:Reference {x} x:URI=\"http://127.0.0.1/x\" URI=\"#_a1\""),
        );
        self.publish(
            SOURCE,
            "ref-07-second-uri",
            "REF-07",
            "forbidden_attribute",
            uri,
        );
        let list = self.mutated(
            "PrefixList=\"xs\"",
            &format!("{x} x:PrefixList=\"ds saml\" PrefixList=\"xs\""),
        );
        self.publish(
            SOURCE,
            "ref-12-second-prefix-list",
            "REF-12",
            "forbidden_attribute",
            list,
        );
        for (file, from, to) in [
            (
                "id-in-samls-namespace",
                "ID=\"_r0\"",
                "samlp:ID=\"_a1\" ID=\"_r0\"",
            ),
            ("id-alone-in-a-namespace", "ID=\"_r0\"", "samlp:ID=\"_r0\""),
            (
                "id-of-a-status",
                "<samlp:StatusCode ",
                "<samlp:StatusCode samlp:Id=\"_a1\" ",
            ),
            (
                "id-in-the-assertion",
                "ID=\"_a1\"",
                "saml:id=\"_a2\" ID=\"_a1\"",
            ),
        ] {
            let document = self.mutated(from, to);
            self.publish(
                SOURCE,
                &format!("ref-15-{file}"),
                "REF-15",
                "forbidden_attribute",
                document,
            );
        }
        for (file, from, to, expect) in [
            (
                "destination",
                "Destination=",
                "samlp:Destination=",
                "accepted",
            ),
            (
                "status-value",
                "<samlp:StatusCode Value=",
                "<samlp:StatusCode samlp:Value=",
                "status",
            ),
            ("version", "Version=", "samlp:Version=", "version"),
        ] {
            let document = self.mutated(from, to);
            let prefix = if expect == "accepted" { "" } else { "ref-15-" };
            self.publish(
                SOURCE,
                &format!("{prefix}{file}-in-a-namespace"),
                "REF-15",
                expect,
                document,
            );
        }
    }

    /// Genuinely signed: canonical order puts the attribute in no namespace first, the document shows it last.
    fn with_second_algorithm(&self, element: &str, decoy: &str) -> String {
        let plain = assertion();
        let info = signed_info("_a1", &digest(&plain), RSA_SHA256);
        let open = format!("<ds:{element} ");
        let from = info.rfind(&open).unwrap() + open.len();
        let first = &info[from..from + info[from..].find('>').unwrap()];
        let second = format!("x:Algorithm=\"{decoy}\"");
        let canonical = format!("{open}xmlns:x=\"urn:x\" {first} {second}>");
        let shown = format!("{open}xmlns:x=\"urn:x\" {second} {first}>");
        let signed = info.replacen(&format!("{open}{first}>"), &canonical, 1);
        let signed = signature(&signed, &self.key, "");
        response(&insert(&plain, &signed.replacen(&canonical, &shown, 1)))
    }

    /// The Fragile Lock (2025): canonicalisation fails, and the digest of nothing is right for everything.
    fn void_canonicalisation(&mut self) {
        const SOURCE: &str = "CVE-2025-66568, CVE-2025-66578 (The Fragile Lock, 2025)";
        let evil = assertion().replace("alice", "admin");
        let info = signed_info("_a1", NOTHING, RSA_SHA256);
        let empty = insert(&evil, &signature(&info, &self.key, ""));
        self.publish(
            SOURCE,
            "ref-14-digest-of-nothing",
            "REF-14",
            "signature_invalid",
            response(&empty),
        );
        for (file, uri) in [
            ("relative", "1"),
            ("dots", "./x"),
            ("fragment", "#x"),
            ("query", "?x"),
            ("host", "//evil/x"),
            ("bad-scheme", "1x:y"),
            ("blank", "urn:x y"),
            ("colon", ":x"),
            ("unicode", "urn:\u{e4}"),
        ] {
            let attribute = format!(
                "<saml:Assertion xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\" xmlns:ns=\"{uri}\""
            );
            let void = response(&empty).replacen(
                "<saml:Assertion xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\"",
                &attribute,
                1,
            );
            self.publish(
                SOURCE,
                &format!("ref-14-void-{file}"),
                "REF-14",
                "namespace",
                void,
            );
        }
        let inner = response(&empty).replacen(
            "<ds:SignedInfo>",
            "<ds:SignedInfo xmlns:ns=\"relative\">",
            1,
        );
        self.publish(
            SOURCE,
            "ref-14-void-signed-info",
            "REF-14",
            "namespace",
            inner,
        );
    }

    /// March 2025: the SignedInfo that verifies is not the one that is read.
    fn second_signed_infos(&mut self) {
        let good = self.good();
        let info = format!(
            "<ds:SignedInfo>{}</ds:SignedInfo>",
            between(&good, "<ds:SignedInfo>", "</ds:SignedInfo>")
        );
        let evil = assertion().replace("alice", "admin");
        let forged = signed_info("_a1", &digest(&evil), RSA_SHA256);
        let read = good.replace(">alice", ">admin");
        for (file, both) in [
            ("forged-first", format!("{forged}{info}")),
            ("forged-last", format!("{info}{forged}")),
        ] {
            let document = read.replacen(&info, &both, 1);
            self.publish(
                "CVE-2025-29774",
                &format!("ref-01-{file}"),
                "REF-01",
                "signature_shape",
                document,
            );
        }
        let held = format!("<ds:Object>{forged}</ds:Object></ds:Signature>");
        let document = read.replacen("</ds:Signature>", &held, 1);
        self.publish(
            "CVE-2025-29774",
            "ref-01-forged-in-an-object",
            "REF-01",
            "signature_shape",
            document,
        );
        let value = between(&good, "<ds:DigestValue>", "</ds:DigestValue>");
        let other = digest(&evil);
        for (file, text, expect) in [
            (
                "forged-in-a-comment",
                format!("<!--{value}-->{other}"),
                "markup",
            ),
            (
                "genuine-behind-a-comment",
                format!("{other}<!--x-->{value}"),
                "markup",
            ),
            ("cdata", format!("<![CDATA[{other}]]>"), "markup"),
            (
                "instruction",
                format!("{other}<?x {value}?>"),
                "instruction",
            ),
            (
                "element",
                format!("{other}<x:y xmlns:x=\"urn:x\">{value}</x:y>"),
                "malformed",
            ),
            ("two-digests", format!("{other}{value}"), "signature_value"),
            ("entity", format!("&x;{value}"), "entity"),
        ] {
            let document = read.replacen(&value, &text, 1);
            self.publish(
                "CVE-2025-29775",
                &format!("ref-02-{file}"),
                "REF-02",
                expect,
                document,
            );
        }
    }
}
