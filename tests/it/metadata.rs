//! IdP metadata by file and URL through a running gateway: rollover, failures, restarts, signatures, federations.

mod expiry;
mod host;
mod party;

use host::{Host, Says, document};
use party::{Desk, MetadataKey, Place, in_days, table, url, with_keys_of};
use reqwest::StatusCode;
use serde_json::Value;

use crate::gateway::silent_port;

/// A host with the metadata of an IdP `idp`, and a gateway that knows it by URL as `late`.
async fn by_url(lines: &str) -> (Desk, Host, rolegate::demo::idp::DemoIdp) {
    let place = Place::new();
    let idp = place.idp("idp", "alice").await;
    let host = Host::start(document(idp.metadata()));
    let desk = place
        .start("", &table("late", &url(&host.url), lines))
        .await;
    (desk, host, idp)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_rolled_over_without_a_restart() {
    let (desk, host, old) = by_url("").await;
    let new = desk.place.idp("idp", "alice").await;
    let token = desk.auditor().await;
    assert!(desk.accepts(&old, "alice").await, "ready when it serves");
    assert!(!desk.accepts(&new, "alice").await);
    let before = desk.idps(&token).await;

    host.give(&with_keys_of(old.metadata(), new.metadata()));
    desk.refresh("idp_key_added").await;
    assert!(desk.accepts(&old, "alice").await, "both are tried");
    assert!(desk.accepts(&new, "alice").await, "both are tried");
    assert_eq!(
        desk.idps(&token).await[0]["keys"].as_array().unwrap().len(),
        2
    );

    host.give(new.metadata());
    desk.refresh("idp_key_removed").await;
    assert!(
        !desk.accepts(&old, "alice").await,
        "what is no longer published"
    );
    assert!(desk.accepts(&new, "alice").await);

    let [after] = &desk.idps(&token).await[..] else {
        panic!("one IdP");
    };
    let (added, removed) = (
        desk.audited("idp_key_added").await,
        desk.audited("idp_key_removed").await,
    );
    assert_eq!((added.len(), removed.len()), (1, 1));
    for (event, view) in [(&added[0], after), (&removed[0], &before[0])] {
        let key = &view["keys"][0];
        assert_eq!(event["certificate_sha256"], key["sha256"]);
        assert_eq!(event["certificate_not_after"], key["not_after"]);
        assert_eq!(
            (&event["idp"], &key["algorithm"]),
            (&"late".into(), &"RSA 2048".into())
        );
        assert!(
            (363..366).contains(&key["days_left"].as_i64().unwrap()),
            "{key}"
        );
    }
    let without_age = |view: &Value| {
        let mut view = view.clone();
        let fields = view.as_object_mut().unwrap();
        for passing in [
            "metadata_age_seconds",
            "metadata_seen_at",
            "refresh_failures",
        ] {
            assert!(!fields.remove(passing).unwrap().is_null(), "{passing}");
        }
        view
    };
    assert_eq!(
        without_age(after),
        without_age(&desk.listed().await[0]),
        "one shape"
    );
    assert_eq!(
        (&after["source"], &after["ready"]),
        (&"url".into(), &true.into())
    );
    assert_eq!(after["entity_id"], "https://idp.example.org");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_good_metadata_stays_whatever_the_url_does() {
    let (desk, host, idp) = by_url("").await;
    let other = Host::start(document(idp.metadata()));
    let token = desk.auditor().await;
    let good = idp.metadata();
    let status = |status, line: &str| Says::Status(status, line.to_owned());
    let to = |place: &str| status(302, &format!("Location: {place}"));
    let renamed = good.replace("https://idp.example.org", "https://renamed.example.org");
    let weak = std::fs::read_to_string("fixtures/saml/idp-weak.xml").unwrap();
    let huge = format!("{good}<!-- {} -->", "x".repeat(1024 * 1024));
    let past = good.replacen(
        " entityID",
        &format!(" validUntil=\"{}\" entityID", in_days(-1)),
        1,
    );
    let turns = [
        (status(500, "X: y"), "answered with status 500"),
        (status(404, "X: y"), "answered with status 404"),
        (status(304, "X: y"), "answered with status 304"),
        (
            document("<html>sign in</html>"),
            "is <html>, not an EntityDescriptor",
        ),
        (
            document("<EntitiesDescriptor xmlns=\"urn:oasis:names:tc:SAML:2.0:metadata\"/>"),
            "cut the identity provider's EntityDescriptor out",
        ),
        (document(&huge), "more than 1 MiB"),
        (document(&weak), "RSA 1024"),
        (document(&renamed), "give the IdP another name"),
        (document(&past), "was valid until"),
        (
            to(&format!("{}/metadata", other.url)),
            "which is another host",
        ),
        (
            to(&host.url.replace("127.0.0.1", "localhost")),
            "which is another host",
        ),
        (to("/metadata?app=1"), "more than 3 times"),
        (Says::Nothing, "did not answer whole within"),
    ];
    for (says, words) in turns {
        host.say(says);
        desk.refresh(words).await;
        assert!(desk.accepts(&idp, "alice").await, "{words}");
        let [view] = &desk.idps(&token).await[..] else {
            panic!("one IdP");
        };
        assert!(
            view["last_error"].as_str().unwrap().contains(words),
            "{view}"
        );
    }
    let told = desk.listed().await[0]["last_error"].to_string();
    assert!(
        told.contains("did not answer whole"),
        "the command knows: {told}"
    );
    assert_eq!(other.asked().len(), 0, "another host is not asked");
    let longer = with_keys_of(good, desk.place.idp("idp", "alice").await.metadata());
    host.give(&longer);
    desk.refresh("idp_key_added").await;
    assert_eq!(desk.idps(&token).await[0]["last_error"], Value::Null);
    let failures = desk.idps(&token).await[0]["refresh_failures"]
        .as_u64()
        .unwrap();
    assert!(failures >= 13, "{failures}");
    desk.forgot_the_error().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_within_the_host_is_followed() {
    let place = Place::new();
    let idp = place.idp("idp", "alice").await;
    let host = Host::start(Says::Redirecting(2, idp.metadata().to_owned()));
    let desk = place.start("", &table("late", &url(&host.url), "")).await;
    assert!(desk.accepts(&idp, "alice").await);
    assert_eq!(host.asked().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_needs_no_url() {
    let (mut desk, host, idp) = by_url("").await;
    assert!(desk.accepts(&idp, "alice").await);
    host.say(Says::Status(503, "X: y".to_owned()));
    desk.gateway.kill_and_restart().await;
    assert!(desk.accepts(&idp, "alice").await, "from the store");
    let response = idp.sign(&idp.plan("alice"));
    desk.place.write("response.txt", &response);
    let explained = desk.gateway.command(&["explain", "response.txt"]).await;
    explained.good();
    assert_eq!(desk.get("/readyz").await.0, StatusCode::OK);
    desk.logged("answered with status 503", 1).await;
    // What was in force at the last start is what a document is held against.
    host.give(&idp.metadata().replace("https://idp.", "https://other."));
    desk.refresh("give the IdP another name").await;
    assert!(desk.accepts(&idp, "alice").await);
    let new = desk.place.idp("idp", "alice").await;
    host.give(new.metadata());
    desk.refresh("idp_key_added").await;
    desk.gateway.kill_and_restart().await;
    assert!(desk.accepts(&new, "alice").await && !desk.accepts(&idp, "alice").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_never_answered_keeps_nobody_else_out() {
    let place = Place::new();
    let (near, far) = (
        place.idp("near", "alice").await,
        place.idp("far", "bob").await,
    );
    let host = Host::start(Says::Status(503, "X: y".to_owned()));
    place.write("near.xml", near.metadata());
    let idps = [
        table("near", "metadata_file = \"near.xml\"", ""),
        table("far", &url(&host.url), ""),
    ];
    place.configure("", &idps.concat());
    let checked = place.check(&[]).await;
    for said in ["status 503", "saml.idp.far: nobody can sign in"] {
        assert!(checked.stderr.contains(said), "{}", checked.stderr);
    }
    assert!(checked.good().contains("saml.idp.near: RSA 2048 key"));
    let desk = place.start("", &idps.concat()).await;
    assert!(desk.accepts(&near, "alice").await && !desk.accepts(&far, "bob").await);
    let (status, ready) = desk.get("/readyz").await;
    assert!(
        status == StatusCode::OK && ready.contains("IdP far cannot be used yet"),
        "{ready}"
    );
    let login = desk.get("/login").await.1;
    assert!(
        login.contains("far cannot be used yet") && login.contains("Sign in with near"),
        "{login}"
    );
    assert_eq!(
        desk.get("/saml/far/login").await.0,
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert_eq!(
        desk.get("/saml/nobody/login").await.0,
        StatusCode::NOT_FOUND
    );
    let listed = desk.listed().await;
    assert_eq!(
        (&listed[1]["ready"], &listed[1]["entity_id"]),
        (&false.into(), &Value::Null)
    );
    host.give(far.metadata());
    desk.refresh("IdP metadata taken up").await;
    assert!(desk.accepts(&far, "bob").await);
    assert!(!desk.get("/login").await.1.contains("cannot be used yet"));
    assert!(!desk.get("/readyz").await.1.contains("cannot be used yet"));
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_and_without_an_answer_it_is_not_ready() {
    let place = Place::new();
    let (_kept, port) = silent_port();
    let nowhere = format!("http://127.0.0.1:{port}");
    let desk = place.start("", &table("far", &url(&nowhere), "")).await;
    let (status, ready) = desk.get("/readyz").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(ready.contains("IdP far cannot be used yet"), "{ready}");
    assert!(
        desk.listed().await[0]["last_error"]
            .as_str()
            .unwrap()
            .contains("cannot be reached")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_etag_saves_the_document() {
    let place = Place::new();
    let idp = place.idp("idp", "alice").await;
    let host = Host::start(Says::Document {
        body: idp.metadata().to_owned(),
        etag: Some("\"v1\"".to_owned()),
    });
    let mut desk = place.start("", &table("late", &url(&host.url), "")).await;
    assert!(
        !host.asked()[0].contains("if-none-match"),
        "{:?}",
        host.asked()
    );
    let asked_again = |times: usize| {
        let shown = host
            .asked()
            .iter()
            .filter(|head| head.contains("if-none-match: \"v1\""))
            .count();
        shown >= times
    };
    for times in 1..3 {
        desk.gateway.hang_up();
        until(|| asked_again(times)).await;
    }
    desk.gateway.kill_and_restart().await;
    until(|| asked_again(3)).await;
    assert!(desk.accepts(&idp, "alice").await);
    assert_eq!(desk.listed().await[0]["last_error"], Value::Null);
    assert_eq!(
        desk.gateway.log().matches("idp_metadata_changed").count(),
        0,
        "not after the restart"
    );
    host.say(Says::Document {
        body: with_keys_of(
            idp.metadata(),
            desk.place.idp("idp", "alice").await.metadata(),
        ),
        etag: Some("\"v2\"".to_owned()),
    });
    desk.refresh("idp_key_added").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hang_up_during_the_start_is_heeded_after_it() {
    let place = Place::new();
    let idp = place.idp("idp", "alice").await;
    let host = Host::start(Says::Nothing);
    let begun = until(|| !host.asked().is_empty());
    let desk = place
        .start_hung_up(&table("late", &url(&host.url), ""), begun)
        .await;
    host.give(idp.metadata());
    desk.gateway.logged("idp_metadata_changed").await;
    assert!(desk.accepts(&idp, "alice").await);
}

/// Waits for `done`, at most a minute.
async fn until(done: impl Fn() -> bool) {
    let mut ticks = tokio::time::interval(std::time::Duration::from_millis(50));
    for _ in 0..1200 {
        ticks.tick().await;
        if done() {
            return;
        }
    }
    panic!("it did not happen");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_is_checked_where_its_certificate_is_named() {
    let place = Place::new();
    let idp = place.idp("idp", "alice").await;
    let (key, other) = (MetadataKey::load("idp"), MetadataKey::load("other"));
    place.write("federation.pem", &key.pem);
    let signed = key.sign(idp.metadata());
    let host = Host::start(document(&signed));
    let lines = "metadata_certificate_file = \"federation.pem\"";
    let mut desk = place
        .start("", &table("late", &url(&host.url), lines))
        .await;
    assert!(desk.accepts(&idp, "alice").await);
    let wrapped = idp.metadata().replacen(
        "<md:IDPSSODescriptor",
        &format!("<md:Extensions>{signed}</md:Extensions><md:IDPSSODescriptor"),
        1,
    );
    let split = signed.replacen("<ds:DigestValue>", "<ds:DigestValue><!-- -->", 1);
    let elsewhere = signed.replacen("URI=\"#_metadata\"", "URI=\"\"", 1);
    for (bad, words) in [
        (idp.metadata().to_owned(), "is not signed"),
        (other.sign(idp.metadata()), "does not verify"),
        (signed.replace("/sso\"", "/evil\""), "does not verify"),
        (wrapped, "has a signature that is not looked into"),
        (split, "has a signature that is not looked into"),
        (elsewhere, "has a signature that is not looked into"),
    ] {
        host.give("<nothing/>");
        desk.refresh("is <nothing>").await;
        host.give(&bad);
        desk.refresh(words).await;
        assert!(desk.accepts(&idp, "alice").await, "{words}");
    }
    desk.gateway.kill_and_restart().await;
    assert!(
        desk.accepts(&idp, "alice").await,
        "what is kept verifies too"
    );
    // The federation changes its key: the admin puts the new certificate there.
    host.give(&other.sign(idp.metadata()));
    desk.place.write("federation.pem", &other.pem);
    desk.refresh("idp_metadata_changed").await;
    assert!(desk.accepts(&idp, "alice").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_s_signature_is_checked_too() {
    let place = Place::new();
    let idp = place.idp("idp", "alice").await;
    let (key, other) = (MetadataKey::load("idp"), MetadataKey::load("other"));
    place.write("federation.pem", &key.pem);
    place.write("idp.xml", &other.sign(idp.metadata()));
    let idps = table(
        "file",
        "metadata_file = \"idp.xml\"",
        "metadata_certificate_file = \"federation.pem\"",
    );
    place.configure("", &idps);
    let refused = place.check(&[]).await;
    assert!(
        refused.status.code() == Some(1)
            && refused
                .stderr
                .contains("idp.xml: saml.idp.file.metadata_file: has a signature"),
        "{}",
        refused.stderr
    );
    let weak = std::fs::read_to_string("fixtures/saml/weak.crt").unwrap();
    place.write("federation.pem", &weak);
    let refused = place.check(&[]).await;
    assert!(
        refused.status.code() == Some(1)
            && refused
                .stderr
                .contains("metadata_certificate_file has an RSA 1024 key"),
        "{}",
        refused.stderr
    );
    place.write("federation.pem", &key.pem);
    place.write("idp.xml", &key.sign(idp.metadata()));
    let mut desk = place.start("", &idps).await;
    assert!(desk.accepts(&idp, "alice").await);
    let new = desk.place.idp("idp", "alice").await;
    desk.place.write("idp.xml", new.metadata());
    desk.refresh("is not signed").await;
    desk.place.write("idp.xml", &key.sign(new.metadata()));
    desk.refresh("idp_key_added").await;
    assert!(desk.accepts(&new, "alice").await && !desk.accepts(&idp, "alice").await);
    // Changed while nothing runs: the audit hears of it at the next start.
    desk.place.write("idp.xml", &key.sign(idp.metadata()));
    desk.gateway.kill_and_restart().await;
    assert!(desk.accepts(&idp, "alice").await);
    assert_eq!(desk.audited("idp_key_added").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_federation_never_mixes() {
    let place = Place::new();
    let (a, b) = (
        place.idp("a", "ann@a.example").await,
        place.idp("b", "bob@b.example").await,
    );
    let (host_a, host_b) = (
        Host::start(document(a.metadata())),
        Host::start(document(b.metadata())),
    );
    let idps = [
        table("a", &url(&host_a.url), "user_domains = [\"a.example\"]"),
        table("b", &url(&host_b.url), "user_domains = [\"b.example\"]"),
    ];
    let desk = place.start("", &idps.concat()).await;
    assert!(desk.accepts(&a, "ann@a.example").await && desk.accepts(&b, "bob@b.example").await);
    let mut foreign = b.plan("bob@b.example");
    foreign.issuer = a.entity_id().to_owned();
    assert_eq!(
        desk.post(&b.sign(&foreign)).await.0,
        StatusCode::FORBIDDEN,
        "b's key under a's name"
    );
    let impostor = desk.place.idp("b", "ann@a.example").await;
    host_b.give(&with_keys_of(b.metadata(), impostor.metadata()));
    desk.refresh("idp_key_added").await;
    assert!(
        !desk.accepts(&impostor, "ann@a.example").await,
        "a's user at b"
    );
    // b's host serves a's metadata, with b's key: neither b nor a may take that over.
    let stolen = b
        .metadata()
        .replace("https://b.example.org", "https://a.example.org");
    host_b.give(&stolen);
    desk.refresh("idp_metadata_bad").await;
    assert_eq!(desk.post(&b.sign(&foreign)).await.0, StatusCode::FORBIDDEN);
    assert!(desk.accepts(&a, "ann@a.example").await && desk.accepts(&b, "bob@b.example").await);
    let listed = desk.listed().await;
    assert_eq!(listed[0]["entity_id"], "https://a.example.org");
    assert_eq!(listed[1]["entity_id"], "https://b.example.org");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entity_id_is_one_idp_s_at_every_start_and_answer() {
    let place = Place::new();
    let (first, second) = (
        place.idp("same", "alice").await,
        place.idp("same", "alice").await,
    );
    place.write("first.xml", first.metadata());
    place.write("second.xml", second.metadata());
    let file = |name: &str| table(name, &format!("metadata_file = \"{name}.xml\""), "");
    place.configure("", &[file("first"), file("second")].concat());
    let refused = place.check(&[]).await;
    assert!(
        refused.status.code() == Some(1) && refused.stderr.contains("have the same entityID"),
        "{}",
        refused.stderr
    );
    let host = Host::start(document(second.metadata()));
    let idps = [table("late", &url(&host.url), ""), file("first")];
    let desk = place.start("", &idps.concat()).await;
    desk.logged("have the same entityID", 1).await;
    assert!(desk.accepts(&first, "alice").await && !desk.accepts(&second, "alice").await);
    let own = desk.place.idp("own", "alice").await;
    host.give(own.metadata());
    desk.refresh("idp_metadata_changed").await;
    assert!(desk.accepts(&own, "alice").await && desk.accepts(&first, "alice").await);
}
