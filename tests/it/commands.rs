//! The commands, as an admin types them.

use std::collections::BTreeSet;

use reqwest::StatusCode;
use serde_json::Value;

use crate::gateway::{Setting, World, command, command_hung_up, pair, role};

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect(text)
}

#[tokio::test(flavor = "multi_thread")]
async fn init_then_check_then_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let missing = command(here, &["check"], &[]).await;
    assert_eq!(missing.status.code(), Some(1));
    assert!(
        missing.stderr.contains("rolegate.toml") && missing.stderr.contains("rolegate init"),
        "{}",
        missing.stderr
    );
    command(here, &["init"], &[]).await.good();
    let again = command(here, &["init"], &[]).await;
    assert_eq!(
        again.status.code(),
        Some(1),
        "a file that is there is left as it is"
    );
    let checked = command(here, &["check"], &[]).await;
    assert!(
        checked.stderr.contains("no identity provider"),
        "{}",
        checked.stderr
    );
    assert!(checked.good().contains("/saml/acs"));
    assert!(!here.join("rolegate.db").exists(), "check makes nothing");
    let warned = "allows a role";
    assert!(command(here, &["check"], &[]).await.stderr.contains(warned));
    let allow = ["roles", "allow", &role("x"), "--reason", "r"];
    command(here, &allow, &[]).await.good();
    let checked = command(here, &["check"], &[]).await;
    assert!(!checked.stderr.contains(warned), "the store allows one");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_refuses_with_file_key_and_mend() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let text = "[server]\npublic_url = \"http://gate.example.org\"\nlisten = \"127.0.0.1:0\"\ncolour = \"red\"\n\
        [[saml.idp]]\nname = \"okta\"\nmetadata_file = \"none.xml\"\n";
    std::fs::write(here.join("rolegate.toml"), text).unwrap();
    for refused in [
        command(here, &["check"], &[]).await,
        command(here, &["serve"], &[]).await,
    ] {
        assert_eq!(refused.status.code(), Some(1));
        for named in [
            "rolegate.toml",
            "server.public_url",
            "server.colour",
            "saml.idp.okta.metadata_file",
        ] {
            assert!(
                refused.stderr.contains(named),
                "{named}: {}",
                refused.stderr
            );
        }
    }
    let variable = [("ROLEGATE_SERVER__COLOUR", "red")];
    command(here, &["--config", "other.toml", "init"], &[])
        .await
        .good();
    let refused = command(here, &["--config", "other.toml", "check"], &variable).await;
    assert!(
        refused.stderr.contains("ROLEGATE_SERVER__COLOUR"),
        "{}",
        refused.stderr
    );
    let ignored = [("ROLEGATE_COLOUR", "red")];
    command(here, &["--config", "other.toml", "check"], &ignored)
        .await
        .good();
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_are_imported_whole_or_not_at_all_and_listed() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    command(here, &["init"], &[]).await.good();
    let list = format!("{},{}, {}", role("a"), role("b,c"), role("team/*"));
    std::fs::write(here.join("roles.txt"), &list).unwrap();
    std::fs::write(
        here.join("bad.txt"),
        format!("{list},arn:aws:iam::1:role/x"),
    )
    .unwrap();
    let refused = command(here, &["roles", "import", "bad.txt"], &[]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        refused.stderr.contains("arn:aws:iam::1:role/x"),
        "{}",
        refused.stderr
    );
    let listed = || async {
        json(
            &command(here, &["roles", "list", "--json"], &[])
                .await
                .good(),
        )
    };
    assert_eq!(
        listed().await,
        serde_json::json!([]),
        "nothing was imported"
    );
    let made = command(
        here,
        &["roles", "import", "roles.txt", "--reason", "moved"],
        &[],
    )
    .await
    .good();
    assert_eq!(made.lines().count(), 3);
    let entries = listed().await;
    let arns: Vec<&str> = entries
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["arn"].as_str().unwrap())
        .collect();
    assert_eq!(arns, [role("a"), role("b,c"), role("team/*")]);
    assert_eq!(
        (&entries[0]["method"], &entries[0]["source"]),
        (&"saml".into(), &"store".into())
    );
    let exported = command(here, &["roles", "export"], &[]).await.good();
    std::fs::write(here.join("export.json"), exported).unwrap();
    command(here, &["roles", "import", "export.json"], &[])
        .await
        .good();
    assert_eq!(listed().await.as_array().unwrap().len(), 6);
    let id = made.lines().next().unwrap();
    let remove = ["roles", "remove", id, "--reason", "left the team"];
    command(here, &remove, &[]).await.good();
    let audit = command(here, &["audit", "export"], &[]).await.good();
    let newest = json(audit.lines().last().unwrap());
    assert_eq!(newest["kind"], "entry_removed");
    assert!(
        newest["reason"]
            .as_str()
            .unwrap()
            .ends_with("left the team")
    );
    assert_ne!(newest["by"], "local:unknown");
    assert_eq!(
        command(here, &["roles", "remove", id], &[])
            .await
            .status
            .code(),
        Some(1)
    );
    assert_eq!(
        command(here, &["roles", "allow", &role("x")], &[])
            .await
            .status
            .code(),
        Some(2),
        "no reason"
    );
    let wide = [
        "roles",
        "allow",
        "arn:aws:iam::*:role/x",
        "--method",
        "broker",
        "--reason",
        "r",
    ];
    assert_eq!(
        command(here, &wide, &[]).await.status.code(),
        Some(1),
        "broker entries name the account"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_of_file_and_environment_are_read_only() {
    let world = World::start().await;
    let allowed = [("ROLEGATE_ALLOWED_ROLES", role("late"))];
    let variables: Vec<(&str, &str)> = allowed
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let here = world.folder.path();
    let entries = json(
        &command(here, &["roles", "list", "--json"], &variables)
            .await
            .good(),
    );
    let sources: Vec<&str> = entries
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["source"].as_str().unwrap())
        .collect();
    assert_eq!(sources, ["file", "file", "environment"]);
    for (at, place) in [(0, "rolegate.toml"), (2, "ROLEGATE_ALLOWED_ROLES")] {
        let id = entries[at]["id"].as_str().unwrap();
        let refused = command(here, &["roles", "remove", id], &variables).await;
        assert_eq!(refused.status.code(), Some(1));
        assert!(
            refused.stderr.contains(place) && refused.stderr.contains("read-only"),
            "{}",
            refused.stderr
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_says_what_a_sign_in_would_and_consumes_nothing() {
    let world = World::with(Setting {
        roles: vec![pair("reader"), pair("admin"), "nonsense".to_owned()],
        ..Setting::default()
    })
    .await;
    let response = world.response();
    std::fs::write(world.folder.path().join("response.txt"), &response).unwrap();
    let told = world
        .gateway
        .command(&["explain", "response.txt", "--json"])
        .await;
    let told = json(&told.good());
    let keys = |value: &Value| {
        value
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(
        keys(&told),
        BTreeSet::from(["checks", "decisions"].map(str::to_owned))
    );
    let wanted = ["check", "expected", "found", "mend", "ok"].map(str::to_owned);
    assert_eq!(keys(&told["checks"][0]), BTreeSet::from(wanted));
    let wanted = ["entry", "granted", "reasons", "role_arn"].map(str::to_owned);
    assert_eq!(keys(&told["decisions"][0]), BTreeSet::from(wanted));
    let granted: Vec<bool> = told["decisions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["granted"].as_bool().unwrap())
        .collect();
    assert_eq!(granted, [true, false, false]);

    let mut old = world.plan();
    old.audiences = vec!["urn:other".to_owned()];
    std::fs::write(world.folder.path().join("bad.txt"), world.idp.sign(&old)).unwrap();
    let told = world
        .gateway
        .command(&["explain", "bad.txt", "--json"])
        .await;
    assert_eq!(told.status.code(), Some(1));
    let told = json(&told.stdout);
    let failed: Vec<&Value> = told["checks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|check| check["ok"] == false)
        .collect();
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert!(
        failed[0]["found"].as_str().unwrap().contains("urn:other")
            && !failed[0]["mend"].as_str().unwrap().is_empty()
    );
    let later = world
        .gateway
        .command(&["explain", "response.txt", "--at", "2999-01-01T00:00:00Z"])
        .await;
    assert_eq!(later.status.code(), Some(1));

    assert_eq!(
        world.post(&response).await.0,
        StatusCode::OK,
        "nothing was consumed"
    );
    let told = world
        .gateway
        .command(&["explain", "--user", "alice", "--json"])
        .await;
    assert_eq!(json(&told.good())["decisions"].as_array().unwrap().len(), 3);
    let (_, problem) = world.post(&response).await;
    let reference = problem["reference"].as_str().unwrap();
    let told = world
        .gateway
        .command(&["explain", "--reference", reference])
        .await;
    assert_eq!(told.status.code(), Some(1));
    assert!(
        told.stdout.contains("replayed"),
        "{}{}",
        told.stdout,
        told.stderr
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_and_trust_policies_have_their_shapes() {
    let provider = "[roles]\nsaml_providers = { \"123456789012\" = \"arn:aws:iam::123456789012:saml-provider/Demo\" }\n";
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let text = format!(
        "[server]\npublic_url = \"https://gate.example.org\"\nbehind_proxy = true\ntrusted_proxies = [\"10.0.0.1\"]\n{provider}"
    );
    std::fs::write(here.join("rolegate.toml"), text).unwrap();
    let bare = ["tokens", "create", "batch", "--role", "launcher"];
    let refused = command(here, &bare, &[]).await;
    assert!(
        refused.status.code() == Some(2) && refused.stderr.contains("--for-roles"),
        "{}",
        refused.stderr
    );
    let whole = [
        "tokens",
        "create",
        "batch",
        "--role",
        "launcher",
        "--for-roles",
        "*",
        "--for-users",
        "*",
        "--json",
    ];
    let made = json(&command(here, &whole, &[]).await.good());
    assert_eq!(
        (&made["name"], &made["role"]),
        (&"batch".into(), &"launcher".into())
    );
    assert!(
        made["token"].as_str().unwrap().starts_with("rgl_")
            && made["id"].as_str().unwrap().starts_with("tok_")
    );
    let of_admin = ["tokens", "create", "me", "--role", "admin"];
    for (more, says) in [
        (["--expires", "soon"], "a length from now"),
        (["--expires", "2020-01-01T00:00:00Z"], "has passed already"),
        (["--for-roles", "*"], "are for launchers"),
    ] {
        let told = command(here, &[&of_admin[..], &more].concat(), &[]).await;
        assert_eq!(told.status.code(), Some(2), "{more:?}");
        assert!(told.stderr.contains(says), "{}", told.stderr);
    }
    let slip = command(here, &["keys", "retire", "mk_12"], &[]).await;
    assert_eq!(slip.status.code(), Some(2));
    assert!(
        slip.stderr.contains("mk_ and eight digits"),
        "{}",
        slip.stderr
    );
    let admin = command(here, &["tokens", "create", "me", "--role", "admin"], &[])
        .await
        .good();
    assert!(admin.starts_with("rga_"), "the token alone");
    let listed = command(here, &["tokens", "list"], &[]).await.good();
    assert!(
        listed.contains("batch") && !listed.contains("rgl_"),
        "{listed}"
    );
    let policy = json(
        &command(here, &["trust-policy", &role("reader")], &[])
            .await
            .good(),
    );
    let statement = &policy["Statement"][0];
    assert_eq!(
        statement["Condition"]["StringEquals"]["SAML:aud"],
        "https://gate.example.org/saml/acs"
    );
    assert_eq!(
        statement["Principal"]["Federated"],
        "arn:aws:iam::123456789012:saml-provider/Demo"
    );
    let unknown = command(
        here,
        &["trust-policy", "arn:aws:iam::210987654321:role/x"],
        &[],
    )
    .await;
    assert_eq!(unknown.status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_byte_in_the_audit_is_named() {
    let world = World::start().await;
    world.sign_in().await;
    world.gateway.command(&["audit", "verify"]).await.good();
    let exported = world.gateway.command(&["audit", "export"]).await.good();
    let kinds: Vec<String> = exported
        .lines()
        .map(|line| json(line)["kind"].as_str().unwrap().to_owned())
        .collect();
    for kind in [
        "gateway_started",
        "sign_in_accepted",
        "decision",
        "credentials_issued",
    ] {
        assert!(kinds.iter().any(|known| known == kind), "{kind}: {kinds:?}");
    }
    let change = "import sqlite3; db = sqlite3.connect('rolegate.db'); \
        [db.execute(f'UPDATE audit SET {c[1]} = replace({c[1]}, \"sign_in_accepted\", \"sign_in_accepteD\") WHERE seq = 2') \
         for c in db.execute('PRAGMA table_info(audit)').fetchall() if c[2].upper() == 'TEXT']; db.commit()";
    let changed = std::process::Command::new(crate::parts::python::python())
        .args(["-c", change])
        .current_dir(world.folder.path())
        .status()
        .unwrap();
    assert!(changed.success());
    let told = world.gateway.command(&["audit", "verify"]).await;
    assert_eq!(told.status.code(), Some(1));
    assert!(
        told.stderr.contains("record 2 was changed"),
        "{}",
        told.stderr
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_or_a_lost_one_refuses() {
    let world = World::start().await;
    let key = world.folder.path().join("rolegate.key");
    let good = std::fs::read(&key).unwrap();
    std::fs::remove_file(&key).unwrap();
    let lost = world.gateway.command(&["roles", "list"]).await;
    assert!(
        !lost.status.success() && lost.stderr.contains("rolegate.key"),
        "{}",
        lost.stderr
    );
    std::fs::write(&key, openssl::base64::encode_block(&[7; 32])).unwrap();
    let wrong = world.gateway.command(&["roles", "list"]).await;
    assert!(
        !wrong.status.success() && wrong.stderr.contains("rolegate.key"),
        "{}",
        wrong.stderr
    );
    std::fs::write(&key, good).unwrap();
    world.gateway.command(&["roles", "list"]).await.good();
}

#[tokio::test(flavor = "multi_thread")]
async fn check_says_who_else_may_read_the_master_key() {
    use std::os::unix::fs::PermissionsExt;
    let world = crate::gateway::World::start().await;
    let key = world.folder.path().join("rolegate.key");
    for (mode, warned) in [(0o600, false), (0o644, true)] {
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
        let check = world.gateway.command(&["check"]).await;
        assert!(check.status.success(), "{}", check.stderr);
        assert_eq!(
            check.stderr.contains("chmod 600"),
            warned,
            "{}",
            check.stderr
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_look_or_take_make_no_database_and_no_key() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    command(here, &["init"], &[]).await.good();
    for words in [
        "roles export",
        "roles remove ent_x",
        "users list",
        "users get-role-arns alice --idp okta",
        "users unset-role-arns alice --idp okta",
        "keys rotate",
        "keys list",
        "keys retire rky_01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "tokens list",
        "sessions list",
        "audit verify",
    ] {
        let words: Vec<&str> = words.split(' ').collect();
        let refused = command(here, &words, &[]).await;
        let told = refused.stderr;
        assert_eq!(refused.status.code(), Some(1), "{words:?}: {told}");
        assert!(
            told.contains("there is no database yet"),
            "{words:?}: {told}"
        );
        for made in ["rolegate.db", "rolegate.key", "out"] {
            assert!(!here.join(made).exists(), "{words:?} made {made}");
        }
    }
    let allow = ["roles", "allow", &role("x"), "--reason", "a test"];
    command(here, &allow, &[]).await.good();
    let listed = command(here, &["roles", "list"], &[]).await.good();
    assert!(listed.contains(&role("x")), "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn store_commands_take_only_from_what_is_there_and_say_what_to_mend() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    command(here, &["init"], &[]).await.good();
    let away = "postgres://gate:hunter2@127.0.0.1:1/gate";
    let (backup, copy) = (["store", "backup", "b.db"], ["store", "copy", away]);
    for arguments in [backup, copy] {
        let refused = command(here, &arguments, &[]).await;
        assert_eq!(refused.status.code(), Some(1));
        assert!(
            refused.stderr.contains("nothing to take"),
            "{}",
            refused.stderr
        );
        assert!(!here.join("rolegate.db").exists() && !here.join("b.db").exists());
    }
    command(here, &["store", "migrate"], &[]).await.good();
    command(here, &backup, &[]).await.good();
    let (lite, other) = ("sqlite:x.db", "mysql://gate:hunter2@127.0.0.1/gate");
    let server = "postgres://USER@HOST/DATABASE";
    for (arguments, code, mend) in [
        (backup, 1, "name a file that does not exist yet"),
        (copy, 1, "the database to copy into cannot be used"),
        (["store", "copy", lite], 2, server),
        (["store", "copy", other], 2, server),
    ] {
        let refused = command(here, &arguments, &[]).await;
        assert_eq!(refused.status.code(), Some(code));
        assert!(refused.stderr.contains(mend), "{}", refused.stderr);
        assert!(!refused.stderr.contains("store.url"), "{}", refused.stderr);
        assert!(!refused.stderr.contains("hunter2"), "{}", refused.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_says_nothing_is_not_waited_for_and_a_sighup_meanwhile_ends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let mute = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("postgres://gate@{}/gate", mute.local_addr().unwrap());
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\npublic_url = \"http://127.0.0.1:1\"\n[store]\nurl = \"{url}\"\n"
    );
    std::fs::write(here.join("rolegate.toml"), text).unwrap();
    let mut kept = None;
    let begun = async { kept = Some(mute.accept().await.unwrap()) };
    let ended = command_hung_up(here, &["serve"], begun).await;
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("did not answer within") && ended.stderr.contains("store.url"),
        "{}",
        ended.stderr
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_not_there_is_told_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let list = ["users", "list", "--url", "http://127.0.0.1:1"];
    let refused = command(folder.path(), &list, &[("ROLEGATE_TOKEN", "rga_x")]).await;
    assert_eq!(refused.status.code(), Some(1));
    for named in ["cannot be reached", "refused", "--url"] {
        assert!(refused.stderr.contains(named), "{}", refused.stderr);
    }
}
