//! `rolegate check` changes nothing.

use std::collections::BTreeMap;
use std::path::Path;

use sqlx::Connection;

use crate::gateway::{World, command};
use crate::parts::postgres::Postgres;

/// Forgets the last step of the schema, as a database of the version before would not have it.
const OLDER: &str =
    "DELETE FROM _sqlx_migrations WHERE version = (SELECT MAX(version) FROM _sqlx_migrations)";
const VERSION: &str = "SELECT MAX(version) FROM _sqlx_migrations";

/// Every file of `folder`.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    let read = entries.map(|entry| {
        let name = entry.file_name().into_string().unwrap();
        (name, std::fs::read(entry.path()).unwrap())
    });
    read.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_made_where_nothing_is() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    command(here, &["init"], &[]).await.good();
    let before = files(here);
    command(here, &["check"], &[]).await.good();
    assert_eq!(files(here), before);
    // A key file that is none is told of before the first start.
    std::fs::write(here.join("rolegate.key"), "no key").unwrap();
    let refused = command(here, &["check"], &[]).await;
    assert_eq!(refused.status.code(), Some(1), "{}", refused.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_database_stays_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    command(here, &["init"], &[]).await.good();
    command(here, &["store", "migrate"], &[]).await.good();
    let todays = files(here);
    let checked = command(here, &["check"], &[]).await;
    assert!(
        !checked.stderr.contains("older version"),
        "{}",
        checked.stderr
    );
    checked.good();
    assert_eq!(files(here), todays);

    let database = sqlx::sqlite::SqliteConnectOptions::new().filename(here.join("rolegate.db"));
    let mut database = sqlx::SqliteConnection::connect_with(&database)
        .await
        .unwrap();
    sqlx::query(OLDER).execute(&mut database).await.unwrap();
    database.close().await.unwrap();
    let older = files(here);
    assert_ne!(older, todays);
    let checked = command(here, &["check"], &[]).await;
    let stderr = checked.stderr.clone();
    checked.good();
    assert!(
        stderr.contains("brought up to date at the next start"),
        "{stderr}"
    );
    assert_eq!(files(here), older);

    let key = std::fs::read(here.join("rolegate.key")).unwrap();
    let other = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    std::fs::write(here.join("rolegate.key"), other).unwrap();
    let refused = command(here, &["check"], &[]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        refused.stderr.contains("is not the one"),
        "{}",
        refused.stderr
    );
    std::fs::remove_file(here.join("rolegate.key")).unwrap();
    let refused = command(here, &["check"], &[]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        refused.stderr.contains("is missing although"),
        "{}",
        refused.stderr
    );
    assert!(!here.join("rolegate.key").exists());
    std::fs::write(here.join("rolegate.key"), key).unwrap();
    assert_eq!(files(here), older);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_gateway_left_is_read_and_left() {
    let mut world = World::start().await;
    world.sign_in().await;
    let allow = [
        "roles",
        "allow",
        "arn:aws:iam::123456789012:role/late",
        "--reason",
        "x",
    ];
    world.gateway.command(&allow).await.good();
    world.gateway.kill().await;
    let here = world.folder.path();
    let database = || std::fs::read(here.join("rolegate.db")).unwrap();
    let log = || std::fs::read(here.join("rolegate.db-wal")).unwrap();
    let before = (database(), log());
    assert!(!before.1.is_empty());
    world.gateway.command(&["check"]).await.good();
    assert!(before == (database(), log()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_schema_on_postgresql_stays() {
    let server = Postgres::start();
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\npublic_url = \"http://127.0.0.1:1\"\n[store]\nurl = \"{}\"\n",
        server.url()
    );
    std::fs::write(here.join("rolegate.toml"), text).unwrap();
    command(here, &["check"], &[]).await.good();
    let mut database = sqlx::PgConnection::connect(&server.url()).await.unwrap();
    let made: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = 'public'",
    )
    .fetch_one(&mut database)
    .await
    .unwrap();
    assert_eq!((made, here.join("rolegate.key").exists()), (0, false));

    command(here, &["store", "migrate"], &[]).await.good();
    let version: i64 = sqlx::query_scalar(VERSION)
        .fetch_one(&mut database)
        .await
        .unwrap();
    sqlx::query(OLDER).execute(&mut database).await.unwrap();
    let older: i64 = sqlx::query_scalar(VERSION)
        .fetch_one(&mut database)
        .await
        .unwrap();
    assert!(older < version);
    let checked = command(here, &["check"], &[]).await;
    assert!(
        checked.stderr.contains("older version"),
        "{}",
        checked.stderr
    );
    checked.good();
    let after: i64 = sqlx::query_scalar(VERSION)
        .fetch_one(&mut database)
        .await
        .unwrap();
    assert_eq!(after, older);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_the_audit_that_cannot_be_written_is_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    command(here, &["init"], &[]).await.good();
    std::fs::create_dir(here.join("taken")).unwrap();
    for (copy, told) in [("taken", true), ("audit.jsonl", false), ("stdout", false)] {
        let variable = [("ROLEGATE_AUDIT__COPY", copy)];
        let checked = command(here, &["check"], &variable).await;
        let stderr = checked.stderr.clone();
        checked.good();
        assert_eq!(
            stderr.contains("warning: audit.copy"),
            told,
            "{copy}: {stderr}"
        );
    }
    assert!(!here.join("audit.jsonl").exists());
}
