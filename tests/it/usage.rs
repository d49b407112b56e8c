//! What scripts hold to: how a command ends that is typed wrong, and how every list writes a time.

use serde_json::Value;

use crate::gateway::{command, role};

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect(text)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_typed_wrong_ends_with_2_and_makes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    command(here, &["init"], &[]).await.good();
    let reader = role("reader");
    let wrong: &[(&[&str], &str)] = &[
        (&["trust-policy", &reader, "--idp", "okta"], "leave it out"),
        (
            &[
                "roles", "allow", &reader, "--reason", "r", "--when", "a=1", "--when", "a=2",
            ],
            "give it once",
        ),
        (
            &["roles", "deny", &reader, "--when", "a=1", "--when", "a=2"],
            "give it once",
        ),
        (
            &["roles", "allow", &reader, "--reason", " "],
            "a reason is needed",
        ),
        (
            &["roles", "deny", &reader, "--reason", ""],
            "a reason is needed",
        ),
        (
            &["roles", "remove", "ent_1", "--reason", ""],
            "a reason is needed",
        ),
        (
            &["roles", "import", "-", "--reason", ""],
            "a reason is needed",
        ),
        (
            &["store", "copy", "postgres://gate:hunter2@[/gate"],
            "the URL",
        ),
    ];
    for (arguments, mend) in wrong {
        let told = command(here, arguments, &[]).await;
        assert_eq!(
            told.status.code(),
            Some(2),
            "{arguments:?}: {}",
            told.stderr
        );
        assert!(told.stderr.contains(mend), "{arguments:?}: {}", told.stderr);
        assert!(!told.stderr.contains("hunter2"), "{}", told.stderr);
    }
    assert!(!here.join("rolegate.db").exists());
    let good = [
        "roles", "allow", &reader, "--reason", "r", "--when", "a=1", "--when", "b=2",
    ];
    command(here, &good, &[]).await.good();
    for file in ["nowhere.json", "bad.json"] {
        std::fs::write(here.join("bad.json"), "[1]").unwrap();
        let told = command(here, &["roles", "import", file], &[]).await;
        assert_eq!(told.status.code(), Some(1));
        assert!(
            told.stderr.contains("roles export` wrote"),
            "{}",
            told.stderr
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_list_writes_times_in_one_way() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    command(here, &["init"], &[]).await.good();
    let token = [
        "tokens",
        "create",
        "eyes",
        "--role",
        "auditor",
        "--expires",
        "30d",
    ];
    command(here, &token, &[]).await.good();
    command(here, &["tokens", "revoke", "eyes"], &[])
        .await
        .good();
    let entry = ["roles", "deny", &role("x"), "--expires", "30d"];
    command(here, &entry, &[]).await.good();
    let mut times = 0;
    for list in ["tokens", "roles"] {
        let listed = command(here, &[list, "list", "--json"], &[]).await.good();
        let row = json(&listed)[0].clone();
        let fields = row.as_object().unwrap().iter();
        for (name, value) in fields.filter(|(name, _)| name.ends_with("_at")) {
            let value = value.as_str().unwrap();
            let whole = chrono::NaiveDateTime::parse_from_str(value, "%Y-%m-%dT%H:%M:%SZ");
            assert!(whole.is_ok(), "{list}: {name} is {value}");
            times += 1;
        }
    }
    assert_eq!(times, 4);
}
