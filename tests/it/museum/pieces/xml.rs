//! XML that is not what it seems (XML).

use super::*;

impl Maker {
    pub(super) fn xml(&mut self) {
        let good = self.good();
        self.show(
            "xml-01-comment-in-name-id",
            "XML-01",
            "markup",
            self.mutated(">alice<", ">alice<!---->.evil<"),
        );
        self.show(
            "xml-01-cdata-in-value",
            "XML-01",
            "markup",
            self.mutated(">alice@", "><![CDATA[alice]]>@"),
        );
        self.show(
            "xml-01-instruction-in-value",
            "XML-01",
            "instruction",
            self.mutated(">alice@", "><?x y?>alice@"),
        );
        for (name, id, dtd) in [
            ("03-doctype", "XML-03", "<!DOCTYPE x>"),
            (
                "03-external",
                "XML-03",
                "<!DOCTYPE x SYSTEM \"file:///etc/passwd\">",
            ),
            (
                "03-external-entity",
                "XML-03",
                "<!DOCTYPE x [<!ENTITY e SYSTEM \"http://127.0.0.1/\">]>",
            ),
            (
                "04-entity-bomb",
                "XML-04",
                "<!DOCTYPE x [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;&a;&a;\"><!ENTITY c \"&b;&b;&b;&b;\">]>",
            ),
            (
                "05-attlist",
                "XML-05",
                "<!DOCTYPE x [<!ATTLIST x ID ID \"_a1\">]>",
            ),
        ] {
            self.show(&format!("xml-{name}"), id, "markup", format!("{dtd}{good}"));
        }
        self.show(
            "xml-06-stylesheet",
            "XML-06",
            "instruction",
            format!("<?xml version=\"1.0\"?><?xml-stylesheet href=\"x\"?>{good}"),
        );
        self.show(
            "xml-06-stylesheet-first",
            "XML-06",
            "declaration",
            format!("<?xml-stylesheet href=\"x\"?>{good}"),
        );
        self.show("xml-06-xinclude", "XML-06", "foreign_name", self.mutated("<samlp:StatusCode ", "<i:include xmlns:i=\"http://www.w3.org/2001/XInclude\" href=\"x\"></i:include><samlp:StatusCode "));
        self.show(
            "xml-06-base",
            "XML-06",
            "forbidden_attribute",
            self.mutated("ID=\"_r0\"", "ID=\"_r0\" xml:base=\"http://127.0.0.1/\""),
        );
        self.show(
            "xml-07-latin-1",
            "XML-07",
            "declaration",
            format!("<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>{good}"),
        );
        self.show(
            "xml-07-version-1-1",
            "XML-07",
            "declaration",
            format!("<?xml version=\"1.1\"?>{good}"),
        );
        self.show(
            "xml-07-bom",
            "XML-07",
            "character",
            format!("\u{feff}{good}"),
        );
        let utf16: Vec<u8> = [0xff, 0xfe]
            .into_iter()
            .chain(good.bytes().flat_map(|b| [b, 0]))
            .collect();
        self.show("xml-07-utf-16", "XML-07", "not_utf8", utf16);
        let mut overlong = good.clone().into_bytes();
        let place = good.find(">alice<").unwrap() + 1;
        overlong.splice(place..place, [0xc0, 0xbc]);
        self.show("xml-07-overlong", "XML-07", "not_utf8", overlong);
        self.show(
            "xml-07-nul",
            "XML-07",
            "character",
            self.mutated(">alice<", ">al\0ice<"),
        );
        self.show(
            "xml-08-truncated",
            "XML-08",
            "malformed",
            &good[..good.len() - 20],
        );
        self.show(
            "xml-08-trailing",
            "XML-08",
            "malformed",
            format!("{good}</x>"),
        );
        self.show(
            "xml-08-undefined-entity",
            "XML-08",
            "entity",
            self.mutated(">alice<", ">al&nbsp;ice<"),
        );
        self.show(
            "xml-08-bad-reference",
            "XML-08",
            "entity",
            self.mutated(">alice<", ">al&#0;ice<"),
        );
        self.show(
            "xml-08-duplicate-attribute",
            "XML-08",
            "malformed",
            self.mutated("ID=\"_r0\"", "ID=\"_r0\" ID=\"_r1\""),
        );
        self.show(
            "xml-08-unbound-prefix",
            "XML-08",
            "namespace",
            self.mutated("<samlp:StatusCode ", "<q:x></q:x><samlp:StatusCode "),
        );
        self.show(
            "xml-08-attributes-without-blank",
            "XML-08",
            "malformed",
            self.mutated("\" ID=\"_r0\"", "\"ID=\"_r0\""),
        );
        self.show(
            "xml-08-less-than-in-attribute",
            "XML-08",
            "malformed",
            self.mutated("ID=\"_r0\"", "ID=\"_r0\" a=\"<\""),
        );
        self.show(
            "xml-10-depth",
            "XML-10",
            "limit",
            self.mutated(
                "<samlp:StatusCode ",
                &format!(
                    "{}{}<samlp:StatusCode ",
                    "<x>".repeat(5000),
                    "</x>".repeat(5000)
                ),
            ),
        );
        self.show(
            "xml-10-siblings",
            "XML-10",
            "limit",
            self.mutated(
                "<samlp:StatusCode ",
                &format!("{}<samlp:StatusCode ", "<x/>".repeat(16_000)),
            ),
        );
        let wide: String = (0..6500).map(|n| format!(" a{n}=\"\"")).collect();
        self.show(
            "xml-10-attributes",
            "XML-10",
            "limit",
            self.mutated("<samlp:Status>", &format!("<samlp:Status{wide}>")),
        );
        let spaces: String = (0..2000)
            .map(|n| format!(" xmlns:a{n}=\"urn:x\""))
            .collect();
        self.show(
            "xml-10-namespaces",
            "XML-10",
            "limit",
            self.mutated("<samlp:Status>", &format!("<samlp:Status{spaces}>")),
        );
        self.show(
            "xml-10-text",
            "XML-10",
            "signature_invalid",
            self.mutated(">alice<", &format!(">{}<", "a".repeat(66_000))),
        );
        self.show(
            "xml-11-compressed",
            "XML-11",
            "not_utf8",
            [0x78, 0x9c, 0xb3, 0xc9, 0x30, 0xb2, 0x03, 0x00],
        );
        self.show(
            "xml-13-foreign-assertion",
            "XML-13",
            "foreign_name",
            self.mutated(
                "xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\" ID",
                "xmlns:saml=\"urn:oasis:names:tc:SAML:1.0:assertion\" ID",
            ),
        );
        self.show("xml-13-foreign-attributes", "XML-13", "foreign_name", self.changed("<saml:AttributeStatement>", "<e:AttributeStatement xmlns:e=\"urn:evil\"></e:AttributeStatement><saml:AttributeStatement>"));
        self.show(
            "xml-14-line-break-in-issuer",
            "XML-14",
            "issuer",
            self.changed(IDP, "https://idp.example.org/saml\n{\"level\":\"forged\"}"),
        );
        self.show(
            "xml-14-escape",
            "XML-14",
            "character",
            self.mutated(">alice<", ">\u{1b}[2Jalice<"),
        );
    }
}
