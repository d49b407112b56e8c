//! Two opinions on a signed document: bergshamra's and that of the program `xmlsec1`.
//!
//! Both get the certificates of the provider's metadata and none of the document's. Every signature must
//! hold.

use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bergshamra::keys::loader;
use bergshamra::{DsigContext, KeysManager, VerifyResult};
use regex_lite::Regex;

const PROTOCOL: &str = "urn:oasis:names:tc:SAML:2.0:protocol";
const ASSERTION: &str = "urn:oasis:names:tc:SAML:2.0:assertion";

/// Both opinions; who says no, and why.
pub(crate) fn all(metadata: &str, document: &str) -> Result<(), String> {
    bergshamra(metadata, document)?;
    xmlsec1(metadata, document)
}

/// The certificates in `metadata`, in DER.
pub(crate) fn certificates(metadata: &str) -> Vec<Vec<u8>> {
    let element = Regex::new(r"<(?:\w+:)?X509Certificate>([^<]+)<").unwrap();
    let texts = element
        .captures_iter(metadata)
        .map(|found| found[1].split_whitespace().collect::<String>());
    texts.map(|text| STANDARD.decode(text).unwrap()).collect()
}

/// How many signatures stand in `document`.
pub(crate) fn signatures(document: &str) -> usize {
    let element = Regex::new(r"<(?:\w+:)?Signature[\s>]").unwrap();
    element.find_iter(document).count()
}

/// What bergshamra says.
pub(crate) fn bergshamra(metadata: &str, document: &str) -> Result<(), String> {
    let no = |why: String| format!("bergshamra: {why}");
    let mut keys = KeysManager::new();
    for certificate in certificates(metadata) {
        keys.add_key(loader::load_x509_cert_der(&certificate).unwrap());
    }
    // Its defaults: no key of the document counts, and a signature covers what it stands in or beside.
    let context = DsigContext::new(keys);
    let results =
        bergshamra::verify_all(&context, document).map_err(|error| no(error.to_string()))?;
    if results.len() != signatures(document) {
        return Err(no(format!("saw {} signatures", results.len())));
    }
    for result in &results {
        if let VerifyResult::Invalid { reason } = result {
            return Err(no(reason.clone()));
        }
        if !result.all_reference_digests_verified() {
            return Err(no("a digest was not computed".to_owned()));
        }
    }
    Ok(())
}

/// What the program `xmlsec1` says, of each signature with each key of the metadata.
pub(crate) fn xmlsec1(metadata: &str, document: &str) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("document.xml");
    std::fs::write(&file, document).unwrap();
    let places = [
        ("Response", "/*/*[local-name()='Signature']"),
        ("Assertion", "/*/*/*[local-name()='Signature']"),
    ];
    let standing = signed_elements(document);
    if standing.is_empty() {
        return Err("xmlsec1: nothing is signed".to_owned());
    }
    for (parent, place) in places {
        if !standing.contains(&parent) {
            continue;
        }
        let mut said = String::new();
        let held = certificates(metadata).iter().any(|der| {
            let pem = openssl::x509::X509::from_der(der)
                .unwrap()
                .to_pem()
                .unwrap();
            let key = folder.path().join("key.pem");
            std::fs::write(&key, pem).unwrap();
            let output = Command::new("xmlsec1")
                .args(["--verify", "--id-attr:ID"])
                .arg(format!("{PROTOCOL}:Response"))
                .arg("--id-attr:ID")
                .arg(format!("{ASSERTION}:Assertion"))
                // Of KeyInfo nothing is read but names, and no name is known.
                .args([
                    "--enabled-key-data",
                    "key-name",
                    "--enabled-reference-uris",
                    "same-doc",
                ])
                .args(["--node-xpath", place, "--pubkey-cert-pem"])
                .args([&key, &file])
                .stdin(Stdio::null())
                .output()
                .expect("xmlsec1 is missing: run tests/setup test");
            said = String::from_utf8_lossy(&output.stderr).into_owned();
            output.status.success()
        });
        if !held {
            return Err(format!("xmlsec1: the signature of the {parent}: {said}"));
        }
    }
    Ok(())
}

/// Which of Response and Assertion have a signature: the Response's stands before the Assertion begins.
pub(crate) fn signed_elements(document: &str) -> Vec<&'static str> {
    let assertion = Regex::new(r"<(?:\w+:)?Assertion[\s>]").unwrap();
    let begins = assertion
        .find(document)
        .map_or(document.len(), |found| found.start());
    let (before, after) = document.split_at(begins);
    [("Response", before), ("Assertion", after)]
        .into_iter()
        .filter(|(_, part)| signatures(part) > 0)
        .map(|(parent, _)| parent)
        .collect()
}
