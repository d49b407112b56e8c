//! Documents that must not reach xmlsec, and those that must not pass it.

use super::*;
use crate::demo::idp::{ResponsePlan, Sign};
use crate::demo::stage::Stage;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The text of a signed response, and the certificate to check it by.
async fn signed(change: fn(&mut ResponsePlan)) -> (String, Vec<Vec<u8>>) {
    prepare();
    let stage = Stage::start().await;
    let mut plan = stage.plan();
    plan.assertion_id = "_assertion".to_owned();
    plan.response_id = "_response".to_owned();
    change(&mut plan);
    let text = String::from_utf8(STANDARD.decode(stage.idp.sign(&plan)).unwrap()).unwrap();
    let metadata = xml::parse(stage.idp.metadata()).unwrap();
    let all = metadata.all();
    let certificate = all
        .iter()
        .find(|one| one.name == "X509Certificate")
        .unwrap();
    (text, vec![STANDARD.decode(&certificate.text).unwrap()])
}

fn outcome(text: &str, certificates: &[Vec<u8>]) -> Result<Element, SignatureError> {
    verified(text, &xml::parse(text).unwrap(), certificates)
}

/// The part of `text` from `start` to the end of `end`.
fn cut<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let (before, rest) = text.split_once(start).unwrap();
    let (within, _) = rest.split_once(end).unwrap();
    let from = before.len();
    let to = from + start.len() + within.len() + end.len();
    text.get(from..to).unwrap()
}

#[tokio::test]
async fn the_assertion_is_read_from_what_was_signed() {
    let changes: [fn(&mut ResponsePlan); 3] = [
        |plan| plan.sign = Sign::Assertion,
        |plan| plan.sign = Sign::Response,
        |plan| plan.sign = Sign::Both,
    ];
    for change in changes {
        let (text, certificates) = signed(change).await;
        let assertion = outcome(&text, &certificates).unwrap();
        assert!(assertion.is(ASSERTION, "Assertion"));
        assert_eq!(assertion.attribute("ID"), Some("_assertion"));
        assert_eq!(outcome(&text, &[]).unwrap_err(), SignatureError::Value);
    }
    let (unsigned, certificates) = signed(|plan| plan.sign = Sign::None).await;
    let refused = outcome(&unsigned, &certificates).unwrap_err();
    assert_eq!(refused, SignatureError::Place);
}

#[tokio::test]
async fn references_lead_nowhere_but_to_the_parent() {
    const XSLT: &str =
        "<ds:Transform Algorithm=\"http://www.w3.org/TR/1999/REC-xslt-19991116\"></ds:Transform>";
    const RETRIEVAL: &str =
        "<ds:RetrievalMethod URI=\"http://127.0.0.1:9/\"></ds:RetrievalMethod></ds:KeyInfo>";
    const OBJECT: &str = "</ds:KeyInfo><ds:Object></ds:Object>";
    let (good, certificates) = signed(|_| ()).await;
    assert!(outcome(&good, &certificates).is_ok());
    let reference = cut(&good, "<ds:Reference", "</ds:Reference>");
    let transform = cut(&good, "<ds:Transform Alg", "</ds:Transform>");
    let uri = "URI=\"#_assertion";
    let more = format!("{transform}{XSLT}");
    for (part, other, why) in [
        (uri, "URI=\"http://127.0.0.1:9/", "what it refers to"),
        (uri, "URI=\"file:///dev/zero", "what it refers to"),
        (uri, "URI=\"", "what it refers to"),
        (uri, "URI=\"#_response", "what it refers to"),
        (reference, &reference.repeat(2), "SignedInfo"),
        (reference, "", "SignedInfo"),
        (transform, "", "transforms"),
        (transform, XSLT, "transforms"),
        (transform, &more, "transforms"),
        ("</ds:KeyInfo>", RETRIEVAL, "RetrievalMethod"),
        ("</ds:KeyInfo>", OBJECT, "its parts"),
        (
            "xml-exc-c14n#\"></ds:C",
            "xml-c14n11\"></ds:C",
            "canonicalisation",
        ),
    ] {
        let bad = good.replace(part, other);
        assert_ne!(bad, good, "{why}");
        let refused = outcome(&bad, &certificates).unwrap_err();
        assert_eq!(refused, SignatureError::Make(why), "{part} -> {other}");
    }
}

#[tokio::test]
async fn documents_of_another_shape_do_not_reach_xmlsec() {
    use SignatureError::{Assertions, Ids, Markup, Place};
    let (good, certificates) = signed(|_| ()).await;
    assert!(outcome(&good, &certificates).is_ok());
    let signature = cut(&good, "<ds:Signature ", "</ds:Signature>");
    let assertion = cut(&good, "<saml:Assertion", "</saml:Assertion>");
    let forged = assertion
        .replace(signature, "")
        .replace("_assertion", "_forged");
    let beside = format!("{forged}{assertion}");
    let status = "<samlp:Status>";
    let hidden = format!("<samlp:Extensions>{forged}</samlp:Extensions>{status}");
    let moved = format!("<a>{signature}</a>{status}");
    let same_id = format!("<a xmlns:x=\"urn:x\" x:ID=\"_assertion\"></a>{status}");
    for (part, other, why) in [
        ("alice</", "ali<!--x-->ce</", Markup),
        ("alice</", "ali<?x?>ce</", Markup),
        (signature, &signature.repeat(2), Place),
        (signature, "", Place),
        (status, &moved, Place),
        (assertion, &beside, Assertions),
        (status, &hidden, Assertions),
        ("samlp:Response", "samlp:ArtifactResponse", Assertions),
        ("\"_response\"", "\"_assertion\"", Ids),
        (status, &same_id, Ids),
    ] {
        let bad = good.replace(part, other);
        assert_ne!(bad, good, "{why:?}");
        assert_eq!(outcome(&bad, &certificates).unwrap_err(), why);
    }
}

#[tokio::test]
async fn what_was_changed_after_signing_is_refused() {
    let (good, certificates) = signed(|plan| plan.sign = Sign::Both).await;
    for (from, to) in [
        ("alice@example.org", "mallory@example.org"),
        ("rsa-sha256", "rsa-sha1"),
        ("xmlenc#sha256", "xmlenc#sha512"),
        ("Destination=\"", "Destination=\"https://evil.example/"),
    ] {
        let bad = good.replace(from, to);
        assert_ne!(bad, good);
        let refused = outcome(&bad, &certificates).unwrap_err();
        assert_eq!(refused, SignatureError::Value, "{from}");
    }
    assert!(outcome(&good, &certificates).is_ok());
    // With the Assertion alone signed, the wrapper may say what it likes: it only ever refuses.
    let (good, certificates) = signed(|plan| plan.sign = Sign::Assertion).await;
    let other = good.replace("Destination=\"", "Destination=\"https://evil.example/");
    assert!(outcome(&other, &certificates).is_ok());
}

#[tokio::test]
async fn many_threads_may_ask_at_once() {
    let (good, certificates) = signed(|_| ()).await;
    let bad = good.replace("alice@example.org", "mallory@example.org");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..25 {
                    assert!(outcome(&good, &certificates).is_ok());
                    assert!(outcome(&bad, &certificates).is_err());
                }
            });
        }
    });
}
