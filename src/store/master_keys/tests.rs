//! What a database demands of the keys it is opened with, and of the gateways at work when another takes over.

use super::*;
use crate::store::testing::Bench;
use crate::store::{GATEWAY_SILENCE, MasterKey, MasterKeys};

const OLD: [u8; 32] = [7; 32];
const NEW: [u8; 32] = [8; 32];

fn id(key: [u8; 32]) -> MasterKeyId {
    MasterKey::new(key).id()
}

fn states(rows: &[MasterKeyRow]) -> Vec<(MasterKeyId, MasterKeyState)> {
    rows.iter().map(|row| (row.id, row.state)).collect()
}

#[tokio::test]
async fn the_first_key_of_the_ring_seals_a_new_database() {
    let bench = Bench::new();
    let store = bench.open_ring(&[OLD, NEW]).await.unwrap();
    let known = store.master_keys().await.unwrap();
    assert_eq!(states(&known), [(id(OLD), MasterKeyState::Current)]);
    store.close().await;
    // Its place in the ring counts for nothing later.
    let store = bench.open_ring(&[NEW, OLD]).await.unwrap();
    assert_eq!(store.sealer().current(), Some(id(OLD)));
    assert_eq!(store.next_master_key().await, Ok(Some(id(NEW))));
}

#[tokio::test]
async fn a_database_that_knew_one_key_alone_is_taken_over() {
    let bench = Bench::new();
    let store = bench.open_with(OLD).await.unwrap();
    let check = store.sealer().seal(KEY_CHECK, CHECK).unwrap();
    store.close().await;
    bench.tamper("DELETE FROM sealing_keys").await;
    bench
        .tamper_with(
            "INSERT INTO meta (name, value) VALUES ('key_check', $1)",
            check,
        )
        .await;
    let wrong = bench.open_with(NEW).await.unwrap_err();
    assert!(matches!(wrong, StoreError::WrongMasterKey { .. }));
    let store = bench.open_with(OLD).await.unwrap();
    let known = store.master_keys().await.unwrap();
    assert_eq!(states(&known), [(id(OLD), MasterKeyState::Current)]);
    let mut connection = store.reader().to_read().await.unwrap();
    let left = read_meta(&mut connection, KEY_CHECK.row).await.unwrap();
    assert_eq!(left, None);
    drop(connection);
    store.close().await;
    assert!(bench.open_with(OLD).await.is_ok());
}

#[tokio::test]
async fn a_database_in_use_whose_keys_were_taken_out_is_no_new_one() {
    let bench = Bench::new();
    bench.open_with(OLD).await.unwrap().close().await;
    // Its audit would begin anew, without a trace of what stood there.
    bench.tamper("DELETE FROM sealing_keys").await;
    let left = async || {
        let refused = bench.open_with(OLD).await.unwrap_err().to_string();
        assert!(refused.contains("table sealing_keys"), "{refused}");
        refused
    };
    assert!(left().await.contains("table meta"));
    bench.tamper("DELETE FROM meta").await;
    let token = "INSERT INTO tokens (id, hash, name, role, created_at, without_token)
         VALUES ('tok_x', $1, 'x', 'admin', 0, 0)";
    bench.tamper_with(token, vec![0; 32]).await;
    assert!(left().await.contains("table tokens"));
    bench.tamper("DELETE FROM tokens").await;
    assert!(bench.open_with(OLD).await.is_ok(), "nothing is left of it");
}

#[tokio::test]
async fn a_check_that_was_exchanged_refuses() {
    let bench = Bench::new();
    let store = bench.open_ring(&[OLD, NEW]).await.unwrap();
    store.rotate_master_key(id(NEW)).await.unwrap();
    store.close().await;
    bench
        .tamper("UPDATE sealing_keys SET sealed = (SELECT sealed FROM sealing_keys WHERE state = 'current')")
        .await;
    let refused = bench.open_ring(&[OLD, NEW]).await.unwrap_err();
    assert!(matches!(
        refused,
        StoreError::Corrupt {
            table: "sealing_keys",
            ..
        }
    ));
}

#[tokio::test]
async fn a_gateway_that_lacks_the_new_key_keeps_it_from_taking_over() {
    let bench = Bench::new();
    let store = bench.open_ring(&[OLD, NEW]).await.unwrap();
    let lacking = bench.open_with(OLD).await.unwrap();
    store.join_gateways("one", "host-1", "1").await.unwrap();
    lacking.join_gateways("two", "host-2", "1").await.unwrap();
    let refused = store.rotate_master_key(id(NEW)).await.unwrap_err();
    let RotateError::NotHeld { gateways, .. } = refused else {
        panic!("{refused}");
    };
    let hosts: Vec<&str> = gateways.iter().map(|one| one.host.as_str()).collect();
    assert_eq!(hosts, ["host-2"]);
    let known = store.master_keys().await.unwrap();
    assert_eq!(states(&known), [(id(OLD), MasterKeyState::Current)]);
    // It reads its source again.
    lacking
        .sealer()
        .take(vec![MasterKey::new(OLD), MasterKey::new(NEW)]);
    assert_eq!(lacking.gateway_goes_on("two").await, Ok(true));
    store.rotate_master_key(id(NEW)).await.unwrap();
    assert!(lacking.refresh_master_keys().await.unwrap().is_empty());
    assert_eq!(lacking.sealer().current(), Some(id(NEW)));
}

#[tokio::test]
async fn a_gateway_that_is_silent_or_gone_counts_for_nothing_and_must_prove_its_keys_anew() {
    let bench = Bench::new();
    let store = bench.open_ring(&[OLD, NEW]).await.unwrap();
    let silent = bench.open_with(OLD).await.unwrap();
    silent.join_gateways("silent", "host-2", "1").await.unwrap();
    silent.join_gateways("gone", "host-3", "1").await.unwrap();
    silent.leave_gateways("gone").await.unwrap();
    assert_eq!(store.gateways().await.unwrap().len(), 1);
    bench.clock.advance(GATEWAY_SILENCE);
    assert_eq!(store.gateways().await, Ok(Vec::new()));
    store.rotate_master_key(id(NEW)).await.unwrap();
    assert_eq!(silent.gateway_goes_on("silent").await, Ok(false));
    let refused = silent.join_gateways("silent", "host-2", "1").await;
    let named = StoreError::MasterKeyNotHeld {
        id: id(NEW),
        origin: "a test".to_owned(),
    };
    assert_eq!(refused, Err(named));
    store.join_gateways("one", "host-1", "1").await.unwrap();
    assert_eq!(store.gateways().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_key_that_came_into_the_file_is_found_when_it_is_met() {
    let bench = Bench::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rolegate.key");
    let source = KeySource::File(path.clone());
    let keys = MasterKeys::load_or_create(source.clone(), false).await;
    let here = bench
        .open_holding(bench.url(), keys.unwrap())
        .await
        .unwrap();
    let next = source.add_key().unwrap().unwrap();
    let both = MasterKeys::load_or_create(source, true).await.unwrap();
    let there = bench.open_holding(bench.url(), both).await.unwrap();
    there.rotate_master_key(next).await.unwrap();
    assert!(!here.held_master_keys().contains(&next));
    bench.session(&there, "a").await;
    let newest = here
        .newest_session(&crate::store::testing::person("okta", "ann"))
        .await;
    assert!(newest.unwrap().is_some());
    assert!(here.held_master_keys().contains(&next));
}

#[tokio::test]
async fn a_line_that_goes_before_its_key_is_retired_is_told_while_the_key_is_held() {
    let bench = Bench::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rolegate.key");
    let source = KeySource::File(path.clone());
    let keys = MasterKeys::load_or_create(source.clone(), false).await;
    let store = bench
        .open_holding(bench.url(), keys.unwrap())
        .await
        .unwrap();
    let [first] = store.held_master_keys().try_into().unwrap();
    assert_eq!(store.unlisted_master_keys(), Some(vec![]));
    let good = std::fs::read(&path).unwrap();

    let second = source.add_key().unwrap().unwrap();
    source.remove_key(first).unwrap();
    store.reread_master_keys().await.unwrap();
    assert_eq!(store.unlisted_master_keys(), Some(vec![first]));
    assert!(store.held_master_keys().contains(&first), "still held");

    std::fs::write(&path, "half a line").unwrap();
    store.reread_master_keys().await.unwrap_err();
    assert_eq!(store.unlisted_master_keys(), None);

    std::fs::write(&path, good).unwrap();
    store.reread_master_keys().await.unwrap();
    assert_eq!(store.unlisted_master_keys(), Some(vec![]));
    assert!(!store.held_master_keys().contains(&second));
}

/// Former and current change places.
const SWAP: &str = "UPDATE sealing_keys SET state = 'retired' WHERE state = 'current';
    UPDATE sealing_keys SET state = 'current' WHERE state = 'former';
    UPDATE sealing_keys SET state = 'former' WHERE state = 'retired'";

async fn is_refused(bench: &Bench) {
    let refused = bench.open_ring(&[OLD, NEW]).await.unwrap_err();
    let named = matches!(
        refused,
        StoreError::Corrupt {
            table: "sealing_keys",
            ..
        }
    );
    assert!(named, "{refused}");
}

/// A bench whose key was changed, and the store of a gateway at work.
async fn rotated() -> (Bench, Store) {
    let bench = Bench::new();
    let store = bench.open_ring(&[OLD, NEW]).await.unwrap();
    store.rotate_master_key(id(NEW)).await.unwrap();
    while store.reseal_step(100).await.unwrap() > 0 {}
    (bench, store)
}

#[tokio::test]
async fn a_former_key_does_not_seal_again_because_the_table_says_so() {
    let (bench, store) = rotated().await;
    bench.open_ring(&[OLD, NEW]).await.unwrap().close().await;
    bench.tamper(SWAP).await;
    let refused = store.refresh_master_keys().await.unwrap_err();
    let named = format!("row {}", id(OLD));
    assert!(refused.to_string().contains(&named), "{refused}");
    assert_eq!(store.sealer().current(), Some(id(NEW)));
    assert!(store.reseal_step(100).await.is_err());
    let next = store.rotate_master_key(id([9; 32])).await;
    assert!(next.is_err(), "{next:?}");
    is_refused(&bench).await;
    bench.tamper(SWAP).await;
    assert_eq!(store.refresh_master_keys().await, Ok(Vec::new()));
    bench.open_ring(&[OLD, NEW]).await.unwrap();
}

#[tokio::test]
async fn nor_because_its_own_thief_says_so() {
    let (bench, store) = rotated().await;
    bench.tamper(SWAP).await;
    let swapped = store.master_keys().await.unwrap();
    let thief = Sealer::new(
        MasterKeys::given([OLD], "a thief"),
        std::sync::Arc::new(crate::model::OsEntropy),
    );
    let forged = "UPDATE sealing_keys SET sealed = $1 WHERE state = 'current'";
    let word = word::speak(&swapped, &thief, id(OLD)).unwrap();
    bench.tamper_with(forged, word).await;
    assert!(store.refresh_master_keys().await.is_err());
    assert_eq!(store.sealer().current(), Some(id(NEW)));
    is_refused(&bench).await;
    // Retired, the true one is not asked for, and whoever holds it hears it all the same.
    bench
        .tamper("UPDATE sealing_keys SET state = 'retired' WHERE state = 'former'")
        .await;
    let swapped = store.master_keys().await.unwrap();
    let word = word::speak(&swapped, &thief, id(OLD)).unwrap();
    bench.tamper_with(forged, word).await;
    assert!(store.refresh_master_keys().await.is_err());
    is_refused(&bench).await;
    // Without its row there are the values.
    bench
        .tamper("DELETE FROM sealing_keys WHERE state = 'retired'")
        .await;
    let alone = store.master_keys().await.unwrap();
    let word = word::speak(&alone, &thief, id(OLD)).unwrap();
    bench.tamper_with(forged, word).await;
    assert!(store.refresh_master_keys().await.is_err());
    is_refused(&bench).await;
}

#[tokio::test]
async fn a_retired_key_stays_retired() {
    let (bench, store) = rotated().await;
    let before = store.master_keys().await.unwrap();
    let current = before.iter().find(|row| row.id == id(NEW)).unwrap();
    assert_eq!(store.retire_master_key(id(OLD)).await, Ok(true));
    bench.open_ring(&[OLD, NEW]).await.unwrap().close().await;
    bench
        .tamper("UPDATE sealing_keys SET state = 'former' WHERE state = 'retired'")
        .await;
    assert!(store.refresh_master_keys().await.is_err());
    is_refused(&bench).await;
    // With the word of then it fits, and who heard the later one is not taken in.
    let put_back = "UPDATE sealing_keys SET sealed = $1 WHERE state = 'current'";
    bench.tamper_with(put_back, current.check.clone()).await;
    assert!(store.refresh_master_keys().await.is_err());
    assert!(!store.held_master_keys().contains(&id(OLD)));
}

#[tokio::test]
async fn a_key_that_was_let_say_nothing_is_taken_as_it_stands() {
    let bench = Bench::new();
    let store = bench.open_ring(&[OLD, NEW]).await.unwrap();
    let check = store
        .sealer()
        .seal(place(&id(OLD).to_string()), CHECK)
        .unwrap();
    bench
        .tamper_with("UPDATE sealing_keys SET sealed = $1", check)
        .await;
    store.close().await;
    let store = bench.open_ring(&[OLD, NEW]).await.unwrap();
    store.rotate_master_key(id(NEW)).await.unwrap();
    store.close().await;
    let store = bench.open_ring(&[OLD, NEW]).await.unwrap();
    assert_eq!(store.sealer().current(), Some(id(NEW)));
    bench.tamper(SWAP).await;
    is_refused(&bench).await;
}
