//! The IdP from a browser's side.

use std::io::Write;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use reqwest::{Client, Response, StatusCode};

use super::*;
use crate::demo::stage::{ACS, AUDIENCE, ENTITY, idp_settings, key, start_of_time};
use crate::demo::xml::{self, ASSERTION, Element};
use crate::model::FixedClock;

const REQUEST: &str = "<samlp:AuthnRequest xmlns:samlp=\"urn:oasis:names:tc:SAML:2.0:protocol\" \
    xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\" ID=\"_request\" Version=\"2.0\" \
    IssueInstant=\"2026-03-01T12:00:00Z\" AssertionConsumerServiceURL=\"https://gate.example.org/saml/acs\">\
    <saml:Issuer>urn:amazon:webservices</saml:Issuer></samlp:AuthnRequest>";

async fn start() -> DemoIdp {
    let clock = Arc::new(FixedClock::new(start_of_time()));
    DemoIdp::start(idp_settings(key(), clock)).await.unwrap()
}

fn deflated(text: &str) -> String {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    STANDARD.encode(encoder.finish().unwrap())
}

async fn ask(idp: &DemoIdp, request: &str, relay_state: &str) -> Response {
    let query = [("SAMLRequest", request), ("RelayState", relay_state)];
    let url = url::Url::parse_with_params(&format!("{}/sso", idp.url()), query).unwrap();
    Client::new().get(url).send().await.unwrap()
}

fn read(response: &str) -> Element {
    let bytes = STANDARD.decode(response).unwrap();
    xml::parse(&String::from_utf8(bytes).unwrap()).unwrap()
}

#[tokio::test]
async fn a_request_leads_over_the_login_form_to_a_posted_response() {
    let idp = start().await;
    let page = ask(&idp, &deflated(REQUEST), "a\"><script>").await;
    assert_eq!(page.status(), StatusCode::OK);
    let page = page.text().await.unwrap();
    assert!(page.contains("type=\"password\"") && !page.contains("<script>"));
    let client = Client::new();
    let posted = idp.submit_login(&client, &page, "alice", "wonder<land>");
    let posted = posted.await.unwrap();
    assert_eq!(posted.action, ACS);
    assert_eq!(posted.relay_state.as_deref(), Some("a\"><script>"));
    let response = read(&posted.saml_response);
    assert_eq!(response.attribute("InResponseTo"), Some("_request"));
    assert_eq!(response.attribute("Destination"), Some(ACS));
    let assertion = response.only(ASSERTION, "Assertion").unwrap();
    let audience = assertion
        .all()
        .into_iter()
        .find(|one| one.name == "Audience");
    assert_eq!(audience.unwrap().text, AUDIENCE);
    for (name, password) in [("alice", "wrong"), ("mallory", "wonder<land>")] {
        let refused = idp.submit_login(&client, &page, name, password).await;
        assert!(refused.is_err(), "{name} {password}");
    }
    let url = idp.url().to_owned();
    idp.stop().await;
    let anew = Client::new().get(url).send().await;
    assert!(anew.is_err(), "nobody is there");
}

#[tokio::test]
async fn requests_that_are_not_for_it_are_refused() {
    let idp = start().await;
    let good = deflated(REQUEST);
    assert_eq!(ask(&idp, &good, "").await.status(), StatusCode::OK);
    let here = format!("{}/sso", idp.url());
    let to = |place: &str| REQUEST.replace("ID=", &format!("Destination=\"{place}\" ID="));
    let addressed = deflated(&to(&here));
    assert_eq!(ask(&idp, &addressed, "").await.status(), StatusCode::OK);
    let without_acs = REQUEST.replace(&format!("AssertionConsumerServiceURL=\"{ACS}\""), "");
    let without_acs = deflated(&without_acs);
    assert_eq!(ask(&idp, &without_acs, "").await.status(), StatusCode::OK);
    let bomb = format!("{}{REQUEST}", " ".repeat(70_000));
    for (bad, why) in [
        ("!".to_owned(), "base64"),
        (STANDARD.encode(REQUEST), "deflated"),
        (deflated(&bomb), "AuthnRequest"),
        (deflated("<a/>"), "AuthnRequest"),
        (deflated(&REQUEST.replace("_request", "")), "AuthnRequest"),
        (deflated(&REQUEST.replace("gate.", "evil.")), "ACS"),
        (
            deflated(&REQUEST.replace(AUDIENCE, "urn:other")),
            "registered",
        ),
        (deflated(&to("https://other.example.org/sso")), "this IdP"),
    ] {
        let answer = ask(&idp, &bad, "").await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{why}");
        let text = answer.text().await.unwrap();
        assert!(text.contains(why), "{text}");
    }
}

#[tokio::test]
async fn a_wrong_password_shows_the_form_again() {
    let idp = start().await;
    let request = deflated(REQUEST);
    for (password, status) in [
        ("wonder<land>", StatusCode::OK),
        ("", StatusCode::UNAUTHORIZED),
    ] {
        let form = [
            ("name", "alice"),
            ("password", password),
            ("SAMLRequest", &request),
        ];
        let url = format!("{}/sso", idp.url());
        let answer = Client::new().post(url).form(&form).send().await.unwrap();
        assert_eq!(answer.status(), status);
        let page = answer.text().await.unwrap();
        assert_eq!(page.contains("SAMLResponse"), status == StatusCode::OK);
        assert!(page.contains("<button>"));
    }
}

#[tokio::test]
async fn users_sign_in_from_its_start_page() {
    let idp = start().await;
    let client = Client::new();
    let start_page = client.get(idp.url()).send().await.unwrap();
    let start_page = start_page.text().await.unwrap();
    assert!(start_page.contains("<button>Sign in as alice</button>"));
    assert!(start_page.contains("wonder&lt;land&gt;"));
    let initiate = |name: &'static str| {
        let url = format!("{}/initiate", idp.url());
        client.post(url).form(&[("name", name)]).send()
    };
    let page = initiate("alice").await.unwrap().text().await.unwrap();
    let (_, rest) = page.split_once("name=\"SAMLResponse\" value=\"").unwrap();
    let response = read(rest.split_once('"').unwrap().0);
    assert_eq!(response.attribute("InResponseTo"), None);
    assert!(!page.contains("RelayState"));
    let unknown = initiate("mallory").await.unwrap();
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn scripts_get_the_response_alone() {
    let idp = start().await;
    let get = |query: &str| {
        Client::new()
            .get(format!("{}/api/response?{query}", idp.url()))
            .send()
    };
    let plain = get("user=alice").await.unwrap().text().await.unwrap();
    assert_eq!(read(&plain).attribute("InResponseTo"), None);
    let answer = get("user=alice&in_response_to=_x").await.unwrap();
    let answer = read(&answer.text().await.unwrap());
    assert_eq!(answer.attribute("InResponseTo"), Some("_x"));
    assert_eq!(
        get("user=mallory").await.unwrap().status(),
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn metadata_is_served_with_the_certificate() {
    let idp = start().await;
    let url = format!("{}/metadata", idp.url());
    let served = Client::new()
        .get(url)
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert_eq!(served, idp.metadata());
    let read = xml::parse(&served).unwrap();
    assert_eq!(read.attribute("entityID"), Some(ENTITY));
    assert_eq!(idp.entity_id(), ENTITY);
    let all = read.all();
    let certificate = all
        .iter()
        .find(|one| one.name == "X509Certificate")
        .unwrap();
    let der = STANDARD.decode(&certificate.text).unwrap();
    let certificate = openssl::x509::X509::from_der(&der).unwrap();
    let key = certificate.public_key().unwrap();
    assert!(certificate.verify(&key).unwrap() && key.bits() == 2048);
    let now = openssl::asn1::Asn1Time::from_unix(start_of_time().timestamp()).unwrap();
    assert!(certificate.not_before() < now && certificate.not_after() > now);
}
