//! Logout messages of a provider whose key we hold, and every way in which they are refused.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use samael::crypto::{Crypto, CryptoProvider};

use super::*;
use crate::model::{FixedClock, LogoutHandle, OsEntropy, Secret};
use crate::saml::binding::redirect_url;
use crate::saml::{ServiceKey, metadata, prepare};

const SLO: &str = "https://gate.example.org/saml/slo";
const IDP: &str = "https://idp.example.org/saml";

fn file(name: &str) -> String {
    std::fs::read_to_string(format!("fixtures/saml/{name}")).unwrap()
}

/// The provider's key, and another's.
fn key(name: &str) -> ServiceKey {
    let private = Secret::new(file(&format!("{name}.key")));
    ServiceKey::from_pem(&private, &file(&format!("{name}.crt"))).unwrap()
}

fn now() -> DateTime<Utc> {
    "2026-01-15T12:00:00Z".parse().unwrap()
}

fn trust() -> Trust {
    let logout = r#"<md:SingleLogoutService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="https://idp.example.org/slo?tenant=1" ResponseLocation="https://idp.example.org/slo/answer"/>"#;
    let first = "<md:SingleSignOnService";
    let xml = file("idp.xml").replacen(first, &format!("{logout}{first}"), 1);
    metadata::read_idp(&"okta".parse().unwrap(), xml.as_bytes(), now(), false).unwrap()
}

const REQUEST: &str = r#"<samlp:LogoutRequest xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="_r1" Version="2.0" IssueInstant="2026-01-15T12:00:00Z" Destination="https://gate.example.org/saml/slo" NotOnOrAfter="2026-01-15T12:05:00Z"><saml:Issuer>https://idp.example.org/saml</saml:Issuer><saml:NameID>alice</saml:NameID><samlp:SessionIndex>_s1</samlp:SessionIndex></samlp:LogoutRequest>"#;

/// By redirect, signed by the key of `signer`.
fn redirected(xml: &str, signer: &str) -> String {
    let key = key(signer);
    let url = redirect_url("https://a", Kind::Request, xml, Some("state"), Some(&key)).unwrap();
    url.split_once('?').unwrap().1.to_owned()
}

/// By POST, with an enveloped signature of `signer`'s key behind the Issuer.
fn posted(xml: &str, signer: &str) -> String {
    let private =
        openssl::pkey::PKey::private_key_from_pem(file(&format!("{signer}.key")).as_bytes());
    let template = r##"<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:SignedInfo><ds:CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/><ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"/><ds:Reference URI="#_r1"><ds:Transforms><ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"/><ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/></ds:Transforms><ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/><ds:DigestValue/></ds:Reference></ds:SignedInfo><ds:SignatureValue/></ds:Signature>"##;
    let unsigned = xml.replace("</saml:Issuer>", &format!("</saml:Issuer>{template}"));
    let whole =
        Crypto::sign_xml(unsigned, &private.unwrap().private_key_to_der().unwrap()).unwrap();
    // The signer writes a declaration, and the gate takes one.
    form(&whole)
}

fn form(xml: &str) -> String {
    let encoded = STANDARD.encode(xml);
    let encoded = utf8_percent_encode(&encoded, NON_ALPHANUMERIC);
    format!("SAMLRequest={encoded}&RelayState=state")
}

fn follow(delivery: Delivery<'_>) -> Result<VerifiedLogout, LogoutError> {
    prepare().unwrap();
    let trust = trust();
    let message = read(delivery)?;
    assert_eq!(message.issuer_hint(), IDP);
    Ok(message.verify(&LogoutExpectation {
        trust: &trust,
        destination: SLO,
        skew: TimeDelta::seconds(60),
        strict_certificates: false,
        now: now(),
    })?)
}

fn code(delivery: Delivery<'_>) -> &'static str {
    follow(delivery).map_or_else(|error| error.code(), |_| "followed")
}

#[test]
fn a_signed_request_says_who_is_meant_by_redirect_and_by_post() {
    let (query, body) = (redirected(REQUEST, "idp"), posted(REQUEST, "idp"));
    for delivery in [Delivery::Redirect(&query), Delivery::Post(body.as_bytes())] {
        let VerifiedLogout::Request(request) = follow(delivery).unwrap() else {
            panic!("no request");
        };
        assert_eq!(
            (request.id.as_str(), request.name_id.as_str()),
            ("_r1", "alice")
        );
        assert_eq!(request.session_indexes, ["_s1"]);
        assert_eq!(request.relay_state.as_deref(), Some("state"));
        assert_eq!(request.remember_until, now() + TimeDelta::hours(24));
    }
}

#[test]
fn nobody_else_can_ask() {
    let good = redirected(REQUEST, "idp");
    assert_eq!(code(Delivery::Redirect(&good)), "followed");
    let cut = good.split("&SigAlg").next().unwrap();
    assert_eq!(code(Delivery::Redirect(cut)), "logout_message");
    let other = redirected(REQUEST, "other");
    assert_eq!(code(Delivery::Redirect(&other)), "signature_invalid");
    let weak = good.replace("rsa%2Dsha256", "rsa%2Dsha1");
    assert_eq!(code(Delivery::Redirect(&weak)), "signature_algorithm");
    let moved = good.replace("RelayState=state", "RelayState=other");
    assert_eq!(code(Delivery::Redirect(&moved)), "signature_invalid");

    let good = posted(REQUEST, "idp");
    assert_eq!(code(Delivery::Post(good.as_bytes())), "followed");
    assert_eq!(
        code(Delivery::Post(form(REQUEST).as_bytes())),
        "logout_message"
    );
    let other = posted(REQUEST, "other");
    assert_eq!(code(Delivery::Post(other.as_bytes())), "signature_invalid");
    let encoded = good
        .strip_prefix("SAMLRequest=")
        .unwrap()
        .split('&')
        .next()
        .unwrap();
    let text = percent_encoding::percent_decode_str(encoded)
        .decode_utf8()
        .unwrap();
    let signed = String::from_utf8(STANDARD.decode(text.as_bytes()).unwrap()).unwrap();
    let changed = form(&signed.replace(">alice<", ">bob<"));
    assert_eq!(
        code(Delivery::Post(changed.as_bytes())),
        "signature_invalid"
    );
    let both = redirected(
        &signed.replace("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n", ""),
        "idp",
    );
    assert_eq!(code(Delivery::Redirect(&both)), "signature_place");
}

/// No signature covers its own KeyInfo: whoever holds a good message can put one there, and xmlsec runs the
/// transforms of every signature that it finds.
#[test]
fn a_signature_within_a_signature_is_refused_before_it_is_run() {
    let body = posted(REQUEST, "idp");
    let encoded = body.strip_prefix("SAMLRequest=").unwrap();
    let encoded = encoded.split('&').next().unwrap();
    let text = percent_encoding::percent_decode_str(encoded).decode_utf8();
    let signed = STANDARD.decode(text.unwrap().as_bytes()).unwrap();
    let signed = String::from_utf8(signed).unwrap();
    let (_, inner) = signed.split_once("<ds:Signature").unwrap();
    let (inner, _) = inner.split_once("</ds:Signature>").unwrap();
    let inner = format!("<ds:Signature{inner}</ds:Signature>");
    let with_info = |inside: &str| {
        let info = format!("<ds:KeyInfo><ds:X509Data>{inside}</ds:X509Data></ds:KeyInfo>");
        form(&signed.replacen("</ds:Signature>", &format!("{info}</ds:Signature>"), 1))
    };
    let plain = with_info("");
    assert_eq!(code(Delivery::Post(plain.as_bytes())), "followed");
    let hidden = with_info(&inner);
    assert_eq!(code(Delivery::Post(hidden.as_bytes())), "signature_place");
    let object = "<ds:Object xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\"/><saml:NameID>";
    let stray = form(&signed.replacen("<saml:NameID>", object, 1));
    assert_eq!(code(Delivery::Post(stray.as_bytes())), "signature_place");
}

#[test]
fn every_condition_refuses_for_its_own_reason() {
    for (from, to, wanted) in [
        (SLO, "https://gate.example.org/saml/acs", "destination"),
        (
            r#" Destination="https://gate.example.org/saml/slo""#,
            "",
            "destination",
        ),
        ("Version=\"2.0\"", "Version=\"1.1\"", "version"),
        (
            "IssueInstant=\"2026-01-15T12:00:00Z\"",
            "IssueInstant=\"2026-01-15T11:54:59Z\"",
            "issue_instant",
        ),
        (
            "IssueInstant=\"2026-01-15T12:00:00Z\"",
            "IssueInstant=\"2026-01-15T12:01:01Z\"",
            "issue_instant",
        ),
        (
            "IssueInstant=\"2026-01-15T12:00:00Z\"",
            "IssueInstant=\"now\"",
            "bad_time",
        ),
        (
            "NotOnOrAfter=\"2026-01-15T12:05:00Z\"",
            "NotOnOrAfter=\"2026-01-15T11:59:00Z\"",
            "expired",
        ),
        ("<saml:NameID>alice</saml:NameID>", "", "subject"),
        (
            "<saml:NameID>alice</saml:NameID>",
            "<saml:NameID>alice</saml:NameID><saml:NameID>bob</saml:NameID>",
            "subject",
        ),
        ("<saml:NameID>alice", "<saml:NameID>ali<!-- -->ce", "markup"),
        (
            "<saml:NameID>alice</saml:NameID>",
            "<saml:EncryptedID>alice</saml:EncryptedID>",
            "encrypted",
        ),
        ("<saml:NameID>", "<saml:NameID ID=\"_r1\">", "duplicate_id"),
        ("ID=\"_r1\"", "ID=\"1\"", "bad_id"),
        (
            "samlp:LogoutRequest",
            "samlp:LogoutResponse",
            "not_a_response",
        ),
    ] {
        let changed = REQUEST.replace(from, to);
        assert_ne!(changed, REQUEST, "{from}");
        let query = redirected(&changed, "idp");
        let found = read(Delivery::Redirect(&query))
            .map_err(|error| error.code())
            .and_then(|_| follow(Delivery::Redirect(&query)).map_err(|error| error.code()));
        assert_eq!(found.err(), Some(wanted), "{to}");
    }
}

#[test]
fn what_we_send_is_what_a_provider_may_follow() {
    let trust = trust();
    let signer = key("other");
    let sender = LogoutSender {
        trust: &trust,
        entity_id: "urn:amazon:webservices",
        signer: &signer,
        clock: &FixedClock::new(now()),
        entropy: &OsEntropy,
    };
    let handle = LogoutHandle {
        name_id: "<alice> & co".to_owned(),
        format: Some("urn:oasis:names:tc:SAML:2.0:nameid-format:persistent".to_owned()),
        name_qualifier: None,
        sp_name_qualifier: Some("urn:\"x\"".to_owned()),
        session_indexes: vec!["_s1".to_owned(), "_s2".to_owned()],
    };
    let url = sender.request(&handle).unwrap().unwrap();
    let query = url
        .strip_prefix("https://idp.example.org/slo?tenant=1&")
        .unwrap();
    let arrived = binding::read_query(query).unwrap();
    let root = xml::read(&arrived.xml, Limits::RESPONSE).unwrap();
    assert!(root.is(Space::Protocol, "LogoutRequest"));
    let name_id = root.only(Space::Assertion, "NameID").unwrap();
    assert_eq!(name_id.text(), Some("<alice> & co"));
    assert_eq!(name_id.attribute("SPNameQualifier"), Some("urn:\"x\""));
    assert_eq!(root.all(Space::Protocol, "SessionIndex").count(), 2);

    let Ok(VerifiedLogout::Request(request)) =
        follow(Delivery::Redirect(&redirected(REQUEST, "idp")))
    else {
        panic!("no request");
    };
    let url = sender.response(&request).unwrap().unwrap();
    let query = url
        .strip_prefix("https://idp.example.org/slo/answer?")
        .unwrap();
    let arrived = binding::read_query(query).unwrap();
    assert_eq!(
        (arrived.kind, arrived.relay_state.as_deref()),
        (Kind::Response, Some("state"))
    );
    let root = xml::read(&arrived.xml, Limits::RESPONSE).unwrap();
    assert_eq!(root.attribute("InResponseTo"), Some("_r1"));
    assert!(is_success(&root));
}

#[test]
fn an_answer_says_whether_it_went_well() {
    for (status, well) in [
        (SUCCESS, true),
        ("urn:oasis:names:tc:SAML:2.0:status:Responder", false),
    ] {
        let xml = REQUEST
            .replace("LogoutRequest", "LogoutResponse")
            .replace(
                " NotOnOrAfter=\"2026-01-15T12:05:00Z\"",
                " InResponseTo=\"_ours\"",
            )
            .replace(
                "<saml:NameID>alice</saml:NameID><samlp:SessionIndex>_s1</samlp:SessionIndex>",
                &format!(r#"<samlp:Status><samlp:StatusCode Value="{status}"/></samlp:Status>"#),
            );
        let url = redirect_url("https://a", Kind::Response, &xml, None, Some(&key("idp"))).unwrap();
        let answer = follow(Delivery::Redirect(url.split_once('?').unwrap().1)).unwrap();
        let VerifiedLogout::Response {
            in_response_to,
            success,
        } = answer
        else {
            panic!("no answer");
        };
        assert_eq!((in_response_to.as_deref(), success), (Some("_ours"), well));
    }
}

fn judged(query: &str, strict: bool, at: &str) -> Result<VerifiedLogout, Refusal> {
    prepare().unwrap();
    let message = read(Delivery::Redirect(query)).unwrap();
    message.verify(&LogoutExpectation {
        trust: &trust(),
        destination: SLO,
        skew: TimeDelta::seconds(60),
        strict_certificates: strict,
        now: at.parse().unwrap(),
    })
}

#[test]
fn another_issuer_s_name_under_our_provider_s_key_is_refused() {
    let code = |query: &str| {
        let judged = judged(query, false, "2026-01-15T12:00:00Z");
        judged.map_or_else(|refusal| refusal.code(), |_| "followed")
    };
    assert_eq!(code(&redirected(REQUEST, "idp")), "followed");
    let other = REQUEST.replace(IDP, "https://other.example.org/saml");
    assert_eq!(code(&redirected(&other, "idp")), "issuer");
}

#[test]
fn an_expired_key_verifies_nothing_where_certificates_are_strict() {
    let query = redirected(REQUEST, "idp");
    let code = |strict, at| {
        let judged = judged(&query, strict, at);
        judged.map_or_else(|refusal| refusal.code(), |_| "followed")
    };
    assert_eq!(code(true, "2026-01-15T12:00:00Z"), "followed");
    let end = trust().certificates()[0].not_after.to_rfc3339();
    assert_eq!(code(true, &end), "signature_invalid");
    // Its signature still holds; it is only too old a message by then.
    assert_eq!(code(false, &end), "issue_instant");
}

#[test]
fn a_signature_elsewhere_than_behind_the_issuer_is_refused() {
    let body = posted(REQUEST, "idp");
    let message = binding::read_form(body.as_bytes()).unwrap().xml;
    let from = message.find("<ds:Signature ").unwrap();
    let close = "</ds:Signature>";
    let to = message.find(close).unwrap() + close.len();
    let signature = message.get(from..to).unwrap();
    let without = message.replace(signature, "");
    let again = |text: &str| {
        read(Delivery::Post(form(text).as_bytes())).map_or_else(|error| error.code(), |_| "read")
    };
    assert_eq!(again(&message), "read");
    let root = "</samlp:LogoutRequest>";
    let moved = without.replace(root, &format!("{signature}{root}"));
    assert_eq!(again(&moved), "signature_place");
    let inside = format!("<samlp:Extensions>{signature}</samlp:Extensions>{root}");
    let inside = without.replace(root, &inside);
    assert_eq!(again(&inside), "signature_place");
}
