//! What is said before a certificate ends, where it is measured, and the way to a host over TLS.

use openssl::ssl::{SslAcceptor, SslFiletype, SslMethod};
use reqwest::{Client, StatusCode};

use super::host::{Host, document};
use super::party::{Place, in_days, table, url};
use crate::gateway::free_port;

#[tokio::test(flavor = "multi_thread")]
async fn check_says_how_near_the_end_is() {
    for (days, words) in [
        (59, "ends within 60 days"),
        (29, "ends within 30 days"),
        (6, "ends within 7 days"),
        (-1, "ended at"),
    ] {
        let place = Place::new();
        let idp = place.idp_ending_in("idp", days).await;
        place.write("idp.xml", idp.metadata());
        place.configure("", &table("near", "metadata_file = \"idp.xml\"", ""));
        let checked = place.check(&[]).await;
        assert!(checked.stderr.contains(words), "{days}: {}", checked.stderr);
        checked.good();
    }
    let place = Place::new();
    let idp = place.idp_ending_in("idp", 61).await;
    place.write("idp.xml", idp.metadata());
    place.configure("", &table("far", "metadata_file = \"idp.xml\"", ""));
    let checked = place.check(&[]).await;
    assert!(
        !checked.stderr.contains("signing certificate"),
        "{}",
        checked.stderr
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn log_and_metrics_tell_of_the_end() {
    let place = Place::new();
    let idp = place.idp_ending_in("idp", 20).await;
    let until = format!(" validUntil=\"{}\" entityID", in_days(3));
    let host = Host::start(document(&idp.metadata().replacen(" entityID", &until, 1)));
    let metrics = format!("127.0.0.1:{}", free_port());
    let server = format!("metrics_listen = \"{metrics}\"");
    let desk = place
        .start(&server, &table("late", &url(&host.url), ""))
        .await;
    desk.logged("idp_certificate_expires", 1).await;
    let token = desk.auditor().await;
    let [view] = &desk.idps(&token).await[..] else {
        panic!("one IdP");
    };
    assert_eq!(view["keys"][0]["days_left"], 20);
    let end = view["keys"][0]["not_after"].as_str().unwrap();
    let end = chrono::DateTime::parse_from_rfc3339(end)
        .unwrap()
        .timestamp();
    let sha256 = view["keys"][0]["sha256"].as_str().unwrap();
    host.give("<nothing/>");
    desk.refresh("is <nothing>").await;
    let open = reqwest::get(format!("http://{metrics}/metrics"))
        .await
        .unwrap();
    assert!(
        open.headers()["content-type"]
            .to_str()
            .unwrap()
            .starts_with("application/openmetrics-text")
    );
    let open = open.text().await.unwrap();
    for line in [
        format!(
            "rolegate_idp_certificate_not_after_seconds{{idp=\"late\",sha256=\"{sha256}\"}} {end}"
        ),
        "rolegate_idp_ready{idp=\"late\"} 1".to_owned(),
        "# TYPE rolegate_idp_metadata_age_seconds gauge".to_owned(),
        "# TYPE rolegate_idp_metadata_valid_until_seconds gauge".to_owned(),
        "# EOF".to_owned(),
    ] {
        assert!(open.lines().any(|found| found == line), "{line}\n{open}");
    }
    for name in [
        "idp_metadata_age_seconds",
        "idp_metadata_valid_until_seconds",
    ] {
        assert!(
            open.contains(&format!("\nrolegate_{name}{{idp=\"late\"}} ")),
            "{name}\n{open}"
        );
    }
    let failures = "\nrolegate_idp_metadata_refresh_failures_total{idp=\"late\"} ";
    let (_, failures) = open.split_once(failures).expect(&open);
    assert!(!failures.starts_with('0'), "{open}");
    let elsewhere = reqwest::get(format!("http://{metrics}/healthz"))
        .await
        .unwrap();
    assert_eq!(
        elsewhere.status(),
        StatusCode::NOT_FOUND,
        "nothing else is there"
    );
    let inside = Client::new()
        .get(desk.gateway.at("/metrics"))
        .bearer_auth(&token);
    let inside = inside.send().await.unwrap().text().await.unwrap();
    assert!(inside.contains(sha256), "{inside}");
    assert_eq!(desk.get("/metrics").await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_trusted_by_the_authorities_alone() {
    let place = Place::new();
    let idp = place.idp("idp", "alice").await;
    crate::tls::certify(place.path());
    let file = |name: &str| place.path().join(name);
    let mut tls = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).unwrap();
    tls.set_certificate_chain_file(file("gate.pem")).unwrap();
    tls.set_private_key_file(file("gate.key"), SslFiletype::PEM)
        .unwrap();
    let host = Host::with(document(idp.metadata()), Some(tls.build()));
    place.configure("", &table("late", &url(&host.url), ""));
    let untrusted = place.check(&[]).await;
    assert!(
        untrusted.stderr.contains("cannot be reached") && untrusted.stderr.contains("certificate"),
        "{}",
        untrusted.stderr
    );
    assert_eq!(host.asked().len(), 0, "nothing was sent");
    let authorities = file("gate.pem");
    let trusted = place
        .check(&[("SSL_CERT_FILE", authorities.to_str().unwrap())])
        .await;
    assert!(
        !trusted.stderr.contains("metadata_url"),
        "{}",
        trusted.stderr
    );
    assert!(trusted.good().contains("saml.idp.late: RSA 2048 key"));
    let nowhere = place.check(&[("SSL_CERT_FILE", "/nowhere.pem")]).await;
    assert!(
        nowhere.status.code() == Some(1) && nowhere.stderr.contains("SSL_CERT_FILE"),
        "{}",
        nowhere.stderr
    );
}
