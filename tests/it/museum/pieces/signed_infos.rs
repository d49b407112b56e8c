//! What a signature says it covers (REF).

use super::*;

impl Maker {
    pub(super) fn signed_infos(&mut self) {
        const REF: &str = "URI=\"#_a1\"";
        const C14N: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";
        const ENVELOPED: &str = "<ds:Transform Algorithm=\"http://www.w3.org/2000/09/xmldsig#enveloped-signature\"></ds:Transform>";
        let good = self.good();
        let info = format!(
            "<ds:SignedInfo>{}</ds:SignedInfo>",
            between(&good, "<ds:SignedInfo>", "</ds:SignedInfo>")
        );
        let reference = format!(
            "<ds:Reference {}</ds:Reference>",
            between(&good, "<ds:Reference ", "</ds:Reference>")
        );
        self.show(
            "ref-01-two-signed-infos",
            "REF-01",
            "signature_shape",
            good.replacen(&info, &format!("{info}{info}"), 1),
        );
        self.show(
            "ref-02-comment-in-digest",
            "REF-02",
            "markup",
            self.mutated("<ds:DigestValue>", "<ds:DigestValue><!--x-->"),
        );
        self.show(
            "ref-03-two-references",
            "REF-03",
            "reference_count",
            self.with_info("</ds:SignedInfo>", &format!("{reference}</ds:SignedInfo>")),
        );
        self.show(
            "ref-03-800-references",
            "REF-03",
            "reference_count",
            good.replacen(
                &reference,
                &"<ds:Reference URI=\"#_a1\"></ds:Reference>".repeat(800),
                1,
            ),
        );
        self.show(
            "ref-04-no-reference",
            "REF-04",
            "reference_count",
            good.replacen(&reference, "", 1),
        );
        for (name, id, uri) in [
            ("05-empty", "REF-05", "URI=\"\""),
            ("05-absent", "REF-05", "Id=\"x\""),
            ("06-no-hash", "REF-06", "URI=\"_a1\""),
            ("06-quoted", "REF-06", "URI=\"#'_a1'\""),
            ("06-xpointer", "REF-06", "URI=\"#xpointer(id('_a1'))\""),
            ("06-xpointer-root", "REF-06", "URI=\"#xpointer(/)\""),
            ("07-http", "REF-07", "URI=\"http://127.0.0.1/x\""),
            ("07-https", "REF-07", "URI=\"https://127.0.0.1/x#_a1\""),
            ("07-ftp", "REF-07", "URI=\"ftp://127.0.0.1/x\""),
            ("07-file", "REF-07", "URI=\"file:///etc/passwd\""),
            ("07-relative", "REF-07", "URI=\"x.xml#_a1\""),
            ("08-dev-zero", "REF-08", "URI=\"file:///dev/zero\""),
            ("08-dev-stdin", "REF-08", "URI=\"/dev/stdin\""),
        ] {
            self.show(
                &format!("ref-{name}"),
                id,
                "reference",
                self.with_info(REF, uri),
            );
        }
        for (name, id, transforms) in [
            (
                "09-xslt",
                "REF-09",
                "<ds:Transform Algorithm=\"http://www.w3.org/TR/1999/REC-xslt-19991116\"></ds:Transform>",
            ),
            (
                "10-xpath",
                "REF-10",
                "<ds:Transform Algorithm=\"http://www.w3.org/TR/1999/REC-xpath-19991116\"><ds:XPath>not(ancestor-or-self::*)</ds:XPath></ds:Transform>",
            ),
            ("11-missing", "REF-11", ""),
            (
                "11-base64",
                "REF-11",
                "<ds:Transform Algorithm=\"http://www.w3.org/2000/09/xmldsig#base64\"></ds:Transform>",
            ),
        ] {
            self.show(
                &format!("ref-{name}"),
                id,
                "transforms",
                self.with_info(ENVELOPED, transforms),
            );
        }
        self.show(
            "ref-11-repeated",
            "REF-11",
            "transforms",
            self.with_info(ENVELOPED, &ENVELOPED.repeat(2)),
        );
        let swapped = self.with_info(ENVELOPED, "").replacen(
            "</ds:Transforms>",
            &format!("{ENVELOPED}</ds:Transforms>"),
            1,
        );
        self.show("ref-11-swapped", "REF-11", "transforms", swapped);
        let xslt = ENVELOPED.to_owned()
            + "<ds:Transform Algorithm=\"http://www.w3.org/TR/1999/REC-xslt-19991116\"></ds:Transform>";
        self.show(
            "ref-11-three",
            "REF-11",
            "transforms",
            self.with_info(ENVELOPED, &xslt),
        );
        self.show(
            "ref-12-with-comments",
            "REF-12",
            "canonicalization",
            self.with_info(C14N, "http://www.w3.org/2001/10/xml-exc-c14n#WithComments"),
        );
        self.show(
            "ref-12-inclusive",
            "REF-12",
            "canonicalization",
            self.with_info(C14N, "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"),
        );
        self.show(
            "ref-12-giant-prefix-list",
            "REF-12",
            "transforms",
            self.with_info(
                "PrefixList=\"xs\"",
                &format!("PrefixList=\"{}\"", "xs ".repeat(100)),
            ),
        );
        self.show(
            "ref-13-object",
            "REF-13",
            "signature_shape",
            self.mutated("</ds:KeyInfo>", "</ds:KeyInfo><ds:Object></ds:Object>"),
        );
        self.show(
            "ref-13-manifest",
            "REF-13",
            "signature_shape",
            self.mutated(
                "</ds:KeyInfo>",
                "</ds:KeyInfo><ds:Object><ds:Manifest></ds:Manifest></ds:Object>",
            ),
        );
        for (name, uri) in [
            ("relative", "../x"),
            ("empty", ""),
            ("plain", "x"),
            ("xmlns", "http://www.w3.org/2000/xmlns/"),
        ] {
            self.show(
                &format!("ref-14-namespace-{name}"),
                "REF-14",
                "namespace",
                self.mutated(
                    "<samlp:Response ",
                    &format!("<samlp:Response xmlns:q=\"{uri}\" "),
                ),
            );
        }
        self.show(
            "ref-15-prefixed-id",
            "REF-15",
            "forbidden_attribute",
            self.mutated("ID=\"_r0\"", "ID=\"_r0\" xmlns:x=\"urn:x\" x:ID=\"_a1\""),
        );
        self.show(
            "ref-15-xml-id",
            "REF-15",
            "forbidden_attribute",
            self.mutated("ID=\"_r0\"", "ID=\"_r0\" xml:id=\"_a1\""),
        );
        self.show(
            "ref-16-ds-elsewhere",
            "REF-16",
            "foreign_name",
            self.mutated(DS, "xmlns:ds=\"urn:evil\""),
        );
        self.show(
            "ref-16-rebound",
            "REF-16",
            "foreign_name",
            self.mutated("<saml:Subject>", "<saml:Subject xmlns:saml=\"urn:evil\">"),
        );
        self.show(
            "ref-17-signed-info-elsewhere",
            "REF-17",
            "signature_place",
            self.mutated(
                "<samlp:Status>",
                &format!("<samlp:Status><ds:SignedInfo {DS}></ds:SignedInfo>"),
            ),
        );
        let signature = format!(
            "<ds:Signature {DS}>{}</ds:Signature>",
            between(&good, &format!("<ds:Signature {DS}>"), "</ds:Signature>")
        );
        self.show(
            "ref-17-signature-in-signature",
            "REF-17",
            "signature_place",
            self.mutated("<ds:X509Data>", &format!("{signature}<ds:X509Data>")),
        );
        self.show(
            "ref-17-signature-not-behind-issuer",
            "REF-17",
            "signature_place",
            good.replacen(&signature, "", 1).replacen(
                "<saml:Conditions ",
                &format!("{signature}<saml:Conditions "),
                1,
            ),
        );
        self.show(
            "ref-17-two-signatures-in-one",
            "REF-17",
            "signature_place",
            good.replacen(&signature, &signature.repeat(2), 1),
        );
    }
}
