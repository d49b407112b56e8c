//! More documents that are refused for their bytes and their size (XML), and for what a signature points at (REF).

use super::*;

const EXCLUSIVE: &str = "<ds:Transform Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#\"><ec:InclusiveNamespaces xmlns:ec=\"http://www.w3.org/2001/10/xml-exc-c14n#\" PrefixList=\"xs\"></ec:InclusiveNamespaces></ds:Transform>";
const SHEET: &str = "<xsl:stylesheet xmlns:xsl=\"http://www.w3.org/1999/XSL/Transform\" version=\"1.0\"><xsl:template match=\"/\"><xsl:value-of select=\"document('file:///etc/passwd')\"></xsl:value-of></xsl:template></xsl:stylesheet>";

impl Maker {
    pub(super) fn raw(&mut self) {
        self.references();
        self.encodings();
        self.torn();
        self.sizes();
        self.log_lines();
    }

    fn references(&mut self) {
        const REF: &str = "URI=\"#_a1\"";
        for (file, id, uri) in [
            ("05-absent-altogether", "REF-05", "Type=\"x\""),
            ("05-blank", "REF-05", "URI=\" \""),
            ("05-hash-alone", "REF-05", "URI=\"#\""),
            (
                "06-xpointer-other",
                "REF-06",
                "URI=\"#xpointer(//*[@ID='_a1'])\"",
            ),
            ("06-escaped", "REF-06", "URI=\"#%5Fa1\""),
            ("06-trailing-blank", "REF-06", "URI=\"#_a1 \""),
            (
                "07-file-with-fragment",
                "REF-07",
                "URI=\"file:///etc/passwd#_a1\"",
            ),
            ("07-jar", "REF-07", "URI=\"jar:http://127.0.0.1/x!/y\""),
            ("07-data", "REF-07", "URI=\"data:text/xml,x\""),
            ("07-netdoc", "REF-07", "URI=\"netdoc:///etc/passwd\""),
            (
                "07-metadata-service",
                "REF-07",
                "URI=\"http://169.254.169.254/latest/meta-data/\"",
            ),
            ("08-proc", "REF-08", "URI=\"/proc/self/environ\""),
            ("08-dev-tcp", "REF-08", "URI=\"/dev/tcp/127.0.0.1/80\""),
            ("08-dev-random", "REF-08", "URI=\"file:///dev/random\""),
        ] {
            let document = self.with_info(REF, uri);
            self.show(&format!("ref-{file}"), id, "reference", document);
        }
        let typed = self.with_info(
            REF,
            "Type=\"http://www.w3.org/2000/09/xmldsig#Manifest\" URI=\"#_a1\"",
        );
        self.show(
            "ref-13-reference-to-a-manifest",
            "REF-13",
            "reference",
            typed,
        );
        for (file, id, algorithm, inner) in [
            (
                "09-xslt-that-reads-a-file",
                "REF-09",
                "http://www.w3.org/TR/1999/REC-xslt-19991116",
                SHEET,
            ),
            (
                "10-xpath-filter-2",
                "REF-10",
                "http://www.w3.org/2002/06/xmldsig-filter2",
                "<f:XPath xmlns:f=\"http://www.w3.org/2002/06/xmldsig-filter2\" Filter=\"intersect\">//*</f:XPath>",
            ),
            (
                "10-xpointer",
                "REF-10",
                "http://www.w3.org/2001/04/xmldsig-more/xptr",
                "",
            ),
            (
                "11-decryption",
                "REF-11",
                "http://www.w3.org/2002/07/decrypt#XML",
                "",
            ),
            (
                "11-inclusive",
                "REF-11",
                "http://www.w3.org/TR/2001/REC-xml-c14n-20010315",
                "",
            ),
            (
                "11-comments",
                "REF-11",
                "http://www.w3.org/2001/10/xml-exc-c14n#WithComments",
                "",
            ),
            ("11-empty-algorithm", "REF-11", "", ""),
        ] {
            let transform =
                format!("<ds:Transform Algorithm=\"{algorithm}\">{inner}</ds:Transform>");
            let document = self.with_info(EXCLUSIVE, &transform);
            self.show(&format!("ref-{file}"), id, "transforms", document);
        }
        self.show("ref-09-xslt-beside", "REF-09", "transforms", self.with_info("</ds:Transforms>", &format!("<ds:Transform Algorithm=\"http://www.w3.org/TR/1999/REC-xslt-19991116\">{SHEET}</ds:Transform></ds:Transforms>")))
            .source = Some("CVE-2022-47966".to_owned());
        let hundred = self.with_info(EXCLUSIVE, &EXCLUSIVE.repeat(100));
        self.show("ref-11-a-hundred", "REF-11", "transforms", hundred);
        let c14n11 = self.with_info(
            "Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#\"></ds:Canon",
            "Algorithm=\"http://www.w3.org/2006/12/xml-c14n11\"></ds:Canon",
        );
        self.show("ref-12-inclusive-1-1", "REF-12", "canonicalization", c14n11)
            .source = Some("CVE-2013-2172".to_owned());
        let listed = self.with_info("xml-exc-c14n#\"></ds:Canon", &format!("xml-exc-c14n#\"><ec:InclusiveNamespaces xmlns:ec=\"http://www.w3.org/2001/10/xml-exc-c14n#\" PrefixList=\"{}\"></ec:InclusiveNamespaces></ds:Canon", "xs ".repeat(100)));
        self.show(
            "ref-12-giant-prefix-list-of-the-signed-info",
            "REF-12",
            "canonicalization",
            listed,
        );
        let with_id = |id: &str| format!("<ds:Signature {DS} Id=\"{id}\">");
        let own = self.mutated(&format!("<ds:Signature {DS}>"), &with_id("_s1"));
        self.show("signature-id", "REF-15", "accepted", own);
        let taken = self.mutated(&format!("<ds:Signature {DS}>"), &with_id("_a1"));
        self.show(
            "ref-15-signature-id-of-the-assertion",
            "REF-15",
            "duplicate_id",
            taken,
        );
        let info = format!("<ds:SignedInfo {DS}></ds:SignedInfo>");
        self.show(
            "ref-17-signed-info-beside-the-signature",
            "REF-17",
            "unexpected_element",
            self.mutated("<saml:Subject>", &format!("{info}<saml:Subject>")),
        );
        self.show(
            "ref-17-signed-info-in-a-value",
            "REF-17",
            "signature_place",
            self.changed(
                "</saml:AttributeValue>",
                &format!("{info}</saml:AttributeValue>"),
            ),
        );
        self.show(
            "ref-17-reference-in-the-key-info",
            "REF-17",
            "key_info",
            self.mutated(
                "<ds:X509Data>",
                "<ds:Reference URI=\"#_a1\"></ds:Reference><ds:X509Data>",
            ),
        );
        self.show("ref-13-signature-properties", "REF-13", "signature_shape", self.mutated("</ds:KeyInfo>", "</ds:KeyInfo><ds:Object><ds:SignatureProperties></ds:SignatureProperties></ds:Object>"));
        self.show(
            "ref-04-reference-in-a-box",
            "REF-04",
            "signature_place",
            self.good()
                .replace("<ds:Reference ", "<x:Box xmlns:x=\"urn:x\"><ds:Reference ")
                .replace("</ds:Reference>", "</ds:Reference></x:Box>"),
        );
        self.show(
            "ref-03-second-in-another-namespace",
            "REF-03",
            "foreign_name",
            self.with_info(
                "</ds:SignedInfo>",
                "<x:Reference xmlns:x=\"urn:x\" URI=\"#_a1\"></x:Reference></ds:SignedInfo>",
            ),
        );
        self.show(
            "ref-03-first-genuine-second-remote",
            "REF-03",
            "reference_count",
            self.with_info(
                "</ds:SignedInfo>",
                "<ds:Reference URI=\"http://127.0.0.1/x\"></ds:Reference></ds:SignedInfo>",
            ),
        )
        .source = Some("CVE-2022-34716".to_owned());
    }

    fn encodings(&mut self) {
        let good = self.good();
        for (file, declared) in [
            ("utf-16", "UTF-16"),
            ("utf-7", "UTF-7"),
            ("ebcdic", "IBM037"),
            ("utf-32", "UCS-4"),
            ("windows", "windows-1252"),
        ] {
            let document = format!("<?xml version=\"1.0\" encoding=\"{declared}\"?>{good}");
            self.show(
                &format!("xml-07-declared-{file}"),
                "XML-07",
                "declaration",
                document,
            );
        }
        let seven = good.replace(">alice<", ">+ADw-alice<");
        let seven = format!("<?xml version='1.0' encoding='UTF-7'?>{seven}");
        self.show("xml-07-utf-7-markup", "XML-07", "declaration", seven);
        let big: Vec<u8> = [0xfe, 0xff]
            .into_iter()
            .chain(good.bytes().flat_map(|b| [0, b]))
            .collect();
        self.show("xml-07-utf-16-big-endian", "XML-07", "not_utf8", big);
        let bare: Vec<u8> = good.bytes().flat_map(|b| [b, 0]).collect();
        self.show("xml-07-utf-16-without-bom", "XML-07", "character", bare);
        let wide: Vec<u8> = good.bytes().flat_map(|b| [0, 0, 0, b]).collect();
        self.show(
            "xml-07-utf-32",
            "XML-07",
            "character",
            &wide[..wide.len().min(40_000)],
        );
        let place = good.find(">alice<").unwrap() + 1;
        for (file, bytes) in [
            ("overlong-slash", &[0xc0, 0xaf][..]),
            ("overlong-nul", &[0xc0, 0x80]),
            ("three-byte-overlong", &[0xe0, 0x80, 0xbc]),
            ("surrogate", &[0xed, 0xa0, 0x80]),
            ("beyond-unicode", &[0xf4, 0x90, 0x80, 0x80]),
            ("lone-continuation", &[0x80]),
            ("latin-1-letter", &[0xe4]),
            ("cut-sequence", &[0xe2, 0x82]),
        ] {
            let mut document = good.clone().into_bytes();
            document.splice(place..place, bytes.iter().copied());
            self.show(&format!("xml-07-{file}"), "XML-07", "not_utf8", document);
        }
        self.show(
            "xml-07-not-a-character",
            "XML-07",
            "character",
            self.mutated(">alice<", ">al\u{ffff}ice<"),
        );
        self.show(
            "xml-07-nul-at-the-end",
            "XML-07",
            "character",
            format!("{good}\0"),
        );
        let blank = format!(" <?xml version=\"1.0\"?>{good}");
        self.show(
            "xml-07-declaration-after-a-blank",
            "XML-07",
            "instruction",
            blank,
        );
        let twice = format!("<?xml version=\"1.0\"?><?xml version=\"1.0\"?>{good}");
        self.show("xml-07-two-declarations", "XML-07", "instruction", twice);
        self.show(
            "xml-06-instruction-behind",
            "XML-06",
            "instruction",
            format!("{good}<?php phpinfo()?>"),
        );
        self.show("xml-06-xinclude-of-a-file", "XML-06", "foreign_name", self.mutated("<saml:Subject>", "<xi:include xmlns:xi=\"http://www.w3.org/2001/XInclude\" href=\"file:///etc/passwd\" parse=\"text\"></xi:include><saml:Subject>"));
        self.show(
            "xml-06-base-in-the-assertion",
            "XML-06",
            "forbidden_attribute",
            self.changed(
                "<saml:Subject>",
                "<saml:Subject xml:base=\"http://127.0.0.1/\">",
            ),
        );
    }

    fn torn(&mut self) {
        let good = self.good();
        for (file, document) in [
            ("blank", "  ".to_owned()),
            ("text", "alice".to_owned()),
            ("json", "{\"user\":\"admin\"}".to_owned()),
            ("open-tag", "<samlp:Response".to_owned()),
            ("half-of-it", good[..good.len() / 2].to_owned()),
            (
                "wrong-end-tag",
                good.replace("</samlp:Status>", "</samlp:Statu>"),
            ),
            ("end-tag-missing", good.replace("</samlp:Status>", "")),
            (
                "attribute-without-quotes",
                good.replace("ID=\"_r0\"", "ID=_r0"),
            ),
            (
                "attribute-without-value",
                good.replace("ID=\"_r0\"", "ID=\"_r0\" x"),
            ),
            ("cdata-end-in-text", good.replace(">alice<", ">]]><")),
            (
                "duplicate-by-two-prefixes",
                good.replace(
                    "ID=\"_r0\"",
                    "xmlns:p=\"urn:x\" xmlns:q=\"urn:x\" p:a=\"\" q:a=\"\" ID=\"_r0\"",
                ),
            ),
            (
                "same-prefix-twice",
                good.replace(
                    "ID=\"_r0\"",
                    "xmlns:p=\"urn:x\" xmlns:p=\"urn:y\" ID=\"_r0\"",
                ),
            ),
            (
                "name-with-a-letter-beyond-ascii",
                good.replace("samlp:Status>", "samlp:St\u{e4}tus>"),
            ),
        ] {
            self.show(&format!("xml-08-{file}"), "XML-08", "malformed", document);
        }
        for (file, reference) in [
            ("nul", "&#0;"),
            ("control", "&#x1b;"),
            ("surrogate", "&#xD800;"),
            ("beyond", "&#x110000;"),
            ("signed", "&#+65;"),
            ("upper-x", "&#X41;"),
            ("empty", "&#;"),
            ("endless", "&#x00000000041;"),
        ] {
            let document = self.mutated(">alice<", &format!(">{reference}<"));
            self.show(
                &format!("xml-08-reference-{file}"),
                "XML-08",
                "entity",
                document,
            );
        }
        let gzip = [
            0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xb3, 0xa9, 0xd0, 0xb7, 3, 0,
        ];
        self.show("xml-11-gzip", "XML-11", "not_utf8", gzip);
        let mut deflated =
            flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
        std::io::Write::write_all(&mut deflated, good.as_bytes()).unwrap();
        self.show(
            "xml-11-deflated-as-for-a-redirect",
            "XML-11",
            "not_utf8",
            deflated.finish().unwrap(),
        );
        let again = openssl::base64::encode_block(good.as_bytes());
        self.show("xml-11-base64-twice", "XML-11", "malformed", again);
    }

    fn sizes(&mut self) {
        let nested =
            "<samlp:StatusCode Value=\"x\">".repeat(40) + &"</samlp:StatusCode>".repeat(40);
        self.show(
            "xml-10-nested-status",
            "XML-10",
            "limit",
            self.mutated(
                "</samlp:StatusCode>",
                &format!("{nested}</samlp:StatusCode>"),
            ),
        );
        let many = "<saml:AttributeValue></saml:AttributeValue>".repeat(800) + "</saml:Attribute>";
        self.show(
            "eight-hundred-values",
            "XML-10",
            "accepted",
            self.changed("</saml:Attribute>", &many),
        );
        let wide = "<x:y xmlns:x=\"urn:x\"></x:y>".repeat(1200);
        let wide = format!("<samlp:Extensions>{wide}</samlp:Extensions><samlp:Status>");
        self.show(
            "unsigned-junk",
            "XML-10",
            "accepted",
            self.mutated("<samlp:Status>", &wide),
        );
        let long = format!("<samlp:Status {}=\"\">", "a".repeat(60_000));
        self.show(
            "xml-10-endless-name",
            "XML-10",
            "signature_invalid",
            self.mutated("<samlp:Status>", &long)
                .replace(">alice<", ">admin<"),
        );
        let value = format!("<samlp:Status x=\"{}\">", "&amp;".repeat(6_000));
        self.show(
            "xml-10-endless-attribute",
            "XML-10",
            "signature_invalid",
            self.mutated("<samlp:Status>", &value)
                .replace(">alice<", ">admin<"),
        );
        let spaces: String = (0..8)
            .map(|n| {
                format!(
                    "<x:y xmlns:x=\"urn:x\" {}>",
                    (0..9)
                        .map(|m| format!("xmlns:a{n}{m}=\"urn:{n}{m}\" "))
                        .collect::<String>()
                )
            })
            .collect();
        let spaces = format!(
            "<samlp:Extensions>{spaces}{}</samlp:Extensions><samlp:Status>",
            "</x:y>".repeat(8)
        );
        self.show(
            "xml-10-namespaces-in-scope",
            "XML-10",
            "limit",
            self.mutated("<samlp:Status>", &spaces),
        );
        self.show(
            "xml-10-open-tags-alone",
            "XML-10",
            "limit",
            "<a>".repeat(20_000),
        );
        self.show(
            "xml-10-references-alone",
            "XML-10",
            "signature_invalid",
            self.mutated(">alice<", &format!(">{}<", "&#x61;".repeat(5_000))),
        );
    }

    fn log_lines(&mut self) {
        let issuer = |text: &str| self.changed(IDP, text);
        let shown = [
            (
                "terminal-colours-in-an-issuer",
                issuer("https://idp.example.org/&#x9b;31m"),
            ),
            (
                "right-to-left-in-an-issuer",
                issuer("https://idp.example.org/\u{202e}lmas"),
            ),
            (
                "markup-in-an-issuer",
                issuer("&lt;script&gt;alert(1)&lt;/script&gt;"),
            ),
            (
                "json-in-an-issuer",
                issuer("\",\"level\":\"INFO\",\"x\":\""),
            ),
            ("endless-issuer", issuer(&"a".repeat(50_000))),
        ];
        for (file, document) in shown {
            self.show(&format!("xml-14-{file}"), "XML-14", "issuer", document);
        }
        self.show(
            "xml-14-carriage-return",
            "XML-14",
            "destination",
            self.mutated(
                &format!("Destination=\"{ACS}\""),
                "Destination=\"x&#13;&#10;event=forged\"",
            ),
        );
        self.show(
            "xml-14-bell-as-reference",
            "XML-14",
            "entity",
            self.mutated(">alice<", ">&#7;<"),
        );
        self.show(
            "xml-14-backspace",
            "XML-14",
            "character",
            self.mutated(">alice<", ">\u{8}<"),
        );
    }
}
