//! Over TLS: cookies that no other site and no plain connection can touch.

mod clients;
mod pki;
mod under_load;

use std::path::Path;

use openssl::asn1::Asn1Time;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::rsa::Rsa;
use openssl::x509::extension::SubjectAlternativeName;
use openssl::x509::{X509, X509NameBuilder};
use reqwest::header::SET_COOKIE;
use reqwest::{Certificate, Client, StatusCode, redirect::Policy};

use crate::gateway::{Setting, World};

/// Writes `gate.pem` and `gate.key` for 127.0.0.1.
pub(crate) fn certify(folder: &Path) -> Vec<u8> {
    let rsa = Rsa::generate(2048).unwrap();
    let key = PKey::from_rsa(rsa).unwrap();
    let mut name = X509NameBuilder::new().unwrap();
    name.append_entry_by_text("CN", "127.0.0.1").unwrap();
    let name = name.build();
    let mut certificate = X509::builder().unwrap();
    certificate.set_version(2).unwrap();
    certificate.set_subject_name(&name).unwrap();
    certificate.set_issuer_name(&name).unwrap();
    certificate.set_pubkey(&key).unwrap();
    certificate
        .set_not_before(&Asn1Time::days_from_now(0).unwrap())
        .unwrap();
    certificate
        .set_not_after(&Asn1Time::days_from_now(2).unwrap())
        .unwrap();
    let context = certificate.x509v3_context(None, None);
    let address = SubjectAlternativeName::new()
        .ip("127.0.0.1")
        .build(&context)
        .unwrap();
    certificate.append_extension(address).unwrap();
    certificate.sign(&key, MessageDigest::sha256()).unwrap();
    let pem = certificate.build().to_pem().unwrap();
    std::fs::write(folder.join("gate.pem"), &pem).unwrap();
    std::fs::write(
        folder.join("gate.key"),
        key.private_key_to_pem_pkcs8().unwrap(),
    )
    .unwrap();
    pem
}

fn cookies(answer: &reqwest::Response) -> Vec<String> {
    let all = answer.headers().get_all(SET_COOKIE);
    all.iter()
        .map(|cookie| cookie.to_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn cookies_are_bound_to_host_and_tls() {
    let setting = Setting {
        scheme: "https",
        server_lines: "tls = { certificate_file = \"gate.pem\", key_file = \"gate.key\" }",
        idp_lines: "idp_initiated = \"allow\"",
        prepare: |folder| drop(certify(folder)),
        ..Setting::default()
    };
    let world = World::with(setting).await;
    let pem = std::fs::read(world.folder.path().join("gate.pem")).unwrap();
    let client = Client::builder()
        .add_root_certificate(Certificate::from_pem(&pem).unwrap())
        .redirect(Policy::none())
        .build()
        .unwrap();
    let begun = client
        .get(world.gateway.at("/saml/demo/login"))
        .send()
        .await
        .unwrap();
    assert_eq!(begun.status(), StatusCode::SEE_OTHER);
    let [binding] = &cookies(&begun)[..] else {
        panic!("one cookie");
    };
    assert!(binding.starts_with("__Host-rolegate-request="), "{binding}");
    for flag in ["; HttpOnly", "; Secure", "; SameSite=None", "; Path=/"] {
        assert!(binding.contains(flag), "{flag}: {binding}");
    }
    let form = [("SAMLResponse", world.response())];
    let answer = client
        .post(world.gateway.at("/saml/acs"))
        .form(&form)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    assert!(
        answer.headers()["strict-transport-security"]
            .to_str()
            .unwrap()
            .contains("max-age")
    );
    let set = cookies(&answer);
    let session = set
        .iter()
        .find(|cookie| cookie.starts_with("__Host-rolegate="))
        .unwrap();
    for flag in ["; HttpOnly", "; Secure", "; SameSite=Lax", "; Path=/"] {
        assert!(session.contains(flag), "{flag}: {session}");
    }
    let plain = reqwest::get(world.gateway.at("/healthz").replace("https", "http")).await;
    assert!(plain.is_err(), "nothing is served in clear");
}

/// The certificate that a new connection to `address` is shown, and the connection.
async fn shown(address: &str, trusted: &[u8]) -> Result<Client, reqwest::Error> {
    let client = Client::builder()
        .add_root_certificate(Certificate::from_pem(trusted).unwrap())
        .build()
        .unwrap();
    client.get(address).send().await.map(|_| client)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_served_and_a_bad_one_is_not() {
    let setting = Setting {
        scheme: "https",
        server_lines: "tls = { certificate_file = \"gate.pem\", key_file = \"gate.key\" }",
        prepare: |folder| drop(certify(folder)),
        ..Setting::default()
    };
    let world = World::with(setting).await;
    let folder = world.folder.path();
    let health = world.gateway.at("/healthz");
    let old = std::fs::read(folder.join("gate.pem")).unwrap();
    let old_client = shown(&health, &old).await.unwrap();

    let new = certify(folder);
    world.gateway.hang_up();
    world.gateway.logged("tls_certificate_changed").await;
    assert!(shown(&health, &new).await.is_ok());
    assert!(
        shown(&health, &old).await.is_err(),
        "nobody is shown the old one"
    );
    // Its connection stands: it would trust no new one.
    let kept = old_client.get(&health).send().await.unwrap();
    assert_eq!(kept.status(), StatusCode::OK);

    // Another pair's key, as when the second file is not replaced yet.
    let key = std::fs::read(folder.join("gate.key")).unwrap();
    certify(folder);
    std::fs::write(folder.join("gate.key"), &key).unwrap();
    world.gateway.hang_up();
    world.gateway.logged("tls_certificate_bad").await;
    assert!(
        shown(&health, &new).await.is_ok(),
        "the one in force is kept"
    );
    // By itself, without being asked.
    let last = certify(folder);
    world
        .gateway
        .logged_times("tls_certificate_changed", 2)
        .await;
    assert!(shown(&health, &last).await.is_ok());
    let pinned = rolegate_speaks_1_1(&health);
    assert!(pinned.is_err(), "nothing below TLS 1.2");
}

/// A handshake with nothing newer than TLS 1.1.
fn rolegate_speaks_1_1(url: &str) -> Result<(), String> {
    use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode, SslVersion};

    let url: url::Url = url.parse().unwrap();
    let mut connector = SslConnector::builder(SslMethod::tls_client()).unwrap();
    connector.set_verify(SslVerifyMode::NONE);
    connector.set_security_level(0);
    connector.set_min_proto_version(None).unwrap();
    connector
        .set_max_proto_version(Some(SslVersion::TLS1_1))
        .unwrap();
    let stream = std::net::TcpStream::connect(("127.0.0.1", url.port().unwrap())).unwrap();
    let shaken = connector.build().connect("127.0.0.1", stream);
    shaken.map(drop).map_err(|error| error.to_string())
}
