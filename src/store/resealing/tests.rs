//! A filled store that another master key takes over: whole, cut short, beside others at work.

use std::collections::BTreeSet;

use sqlx::AssertSqlSafe;

use super::*;
use crate::audit::{Event, EventKind, Recorder, Verdict, verify};
use crate::model::{
    KeyUse, OsEntropy, RelayKeyRecord, Secret, ServiceKeyRecord, SessionId, Token, TokenKind,
};
use crate::store::testing::{Bench, SECRET, TestSignIn, idp, issue_key, person, role};
use crate::store::{
    Assignment, CredentialState, GoodMetadata, Once, RefusalRecord, Repeatable, RetireError,
    RotateError, SignInRequest, Standing,
};

const OLD: [u8; 32] = [7; 32];
const NEW: [u8; 32] = [8; 32];

fn id(key: [u8; 32]) -> MasterKeyId {
    crate::store::MasterKey::new(key).id()
}

fn request(name: &str) -> SignInRequest {
    SignInRequest {
        id: name.to_owned(),
        idp: idp("okta"),
        binding: [7; 32],
        return_to: None,
        secret: Some(Secret::new("a verifier".to_owned())),
    }
}

fn call() -> Repeatable {
    Repeatable {
        owner: "launcher:nightly".to_owned(),
        key: "a".to_owned(),
        request: [1; 32],
    }
}

fn document(bench: &Bench) -> GoodMetadata {
    GoodMetadata {
        document: b"<mine/>".to_vec(),
        etag: None,
        last_modified: None,
        fetched_at: bench.at(0),
    }
}

/// What a filled store holds.
struct Filled {
    session: SessionId,
    oidc: SessionId,
    lease_token: Secret,
}

/// One sealed value of each kind at least.
async fn fill(bench: &Bench, store: &Store) -> Filled {
    let session = bench.session(store, "a").await.session().clone();
    bench.issue(store, &session, 3600).await;
    let by_ben = TestSignIn::new("b").by(person("entra", "ben"));
    let oidc = bench.oidc_session_of(store, by_ben, "b").await;
    store.save_request(request("req-1")).await.unwrap();
    let token = Token::fresh(TokenKind::Lease, &OsEntropy);
    let hash = token.hash();
    let lease_token = token.into_secret();
    let standing = Standing {
        session: session.clone(),
        token: None,
    };
    let (lease, _) = bench.lease("job-1");
    let call = call();
    let once = store.add_lease_once(&lease, &lease_token, &hash, &call, &standing);
    assert!(matches!(once.await.unwrap(), Once::First));
    let refusal = RefusalRecord {
        reference: "ref_a".parse().unwrap(),
        signed: true,
        refused_at: bench.at(0),
        results: "[]".to_owned(),
    };
    store.keep_refusals(&[refusal]).await.unwrap();
    let assignment = Assignment {
        person: person("okta", "bob"),
        roles: vec![role("reader")],
        by: "local:root".to_owned(),
        reason: None,
        at: bench.at(0),
    };
    store.set_assignment(&assignment).await.unwrap();
    let url = "https://idp.example.org";
    let good = document(bench);
    let saved = store.save_idp_metadata(&idp("okta"), url, &good).await;
    saved.unwrap();
    fill_keys(bench, store).await;
    let recorder = Recorder::start(store.clone(), bench.clock.clone());
    recorder.record(Event::new(EventKind::Alarm)).await.unwrap();
    Filled {
        session,
        oidc: oidc.session().clone(),
        lease_token,
    }
}

async fn fill_keys(bench: &Bench, store: &Store) {
    let service = ServiceKeyRecord {
        id: "key_1".parse().unwrap(),
        usage: KeyUse::Signing,
        private_key: Secret::new("a private half".to_owned()),
        certificate: "a certificate".to_owned(),
        created_at: bench.at(0),
        not_after: bench.at(0),
    };
    store.add_service_key(&service).await.unwrap();
    let relay = RelayKeyRecord {
        id: "rky_1".parse().unwrap(),
        number: 1,
        private_key: Secret::new("a private half".to_owned()),
        public_jwk: "{}".to_owned(),
        created_at: bench.at(0),
        signs_from: bench.at(0),
        retired_at: None,
    };
    assert!(store.add_relay_key(&relay).await.unwrap());
}

/// Reads everything that [`fill`] wrote.
async fn read_all(store: &Store, filled: &Filled) {
    let live = store.session(&filled.session).await.unwrap();
    assert!(live.is_some());
    let issued = store.credentials(&issue_key(&filled.session)).await;
    let Some(CredentialState::Issued(issued)) = issued.unwrap() else {
        panic!("no credentials");
    };
    assert_eq!(issued.secret_access_key.expose(), SECRET);
    let tokens = store.oidc_tokens(&filled.oidc).await.unwrap().unwrap();
    assert_eq!(tokens.id_token.jwt.expose(), "b");
    assert_eq!(tokens.refresh_token.unwrap().expose(), "refresh-b");
    let again = store.repeated(&call()).await.unwrap();
    let Some(Once::Again { token, .. }) = again else {
        panic!("no lease");
    };
    assert_eq!(token, filled.lease_token);
    let reference = "ref_a".parse().unwrap();
    assert_eq!(store.refusal(&reference).await.unwrap().unwrap(), "[]");
    let assigned = store.assignment(&person("okta", "bob")).await.unwrap();
    assert_eq!(assigned.unwrap().roles, [role("reader")]);
    let url = "https://idp.example.org";
    let known = store.idp_metadata(&idp("okta"), url).await.unwrap();
    assert_eq!(known.unwrap().good.unwrap().document, b"<mine/>");
    assert_eq!(store.service_keys().await.unwrap().len(), 1);
    assert_eq!(store.relay_keys().await.unwrap().len(), 1);
    assert_eq!(verify(store).await.unwrap(), Verdict::Whole { records: 1 });
    let consumed = store.consume_request("req-1", &idp("okta"), &[7; 32]).await;
    let consumed = consumed.unwrap().unwrap();
    assert_eq!(consumed.secret().unwrap().expose(), "a verifier");
}

async fn reseal_all(store: &Store) -> u64 {
    let mut done = 0;
    loop {
        match store.reseal_step(3).await.unwrap() {
            0 => return done,
            more => {
                assert!(more <= 3);
                done += more;
            }
        }
    }
}

#[tokio::test]
async fn every_column_of_bytes_is_sealed_or_known() {
    const KNOWN: &[(&str, &str)] = &[
        ("audit", "hash"),
        ("audit", "mac"),
        ("idempotency", "request"),
        ("leases", "token"),
        ("logins", "device"),
        ("logins", "user_code"),
        ("replay_ids", "id"),
        ("requests", "binding"),
        ("revoked_leases", "token"),
        // A key's name, and the check that stays under the key itself.
        ("sealing_keys", "id"),
        ("sealing_keys", "sealed"),
        ("session_tokens", "hash"),
        ("sessions", "confirm"),
        ("sessions", "name_id"),
        ("sessions", "token"),
        ("tokens", "hash"),
    ];
    let bench = Bench::new();
    let store = bench.open().await;
    let sql = if bench.is_on_server() {
        "SELECT CAST(table_name || '.' || column_name AS TEXT) FROM information_schema.columns
         WHERE table_schema = current_schema() AND data_type = 'bytea' AND table_name <> '_sqlx_migrations'"
    } else {
        "SELECT m.name || '.' || c.name FROM sqlite_master m, pragma_table_info(m.name) c
         WHERE m.type = 'table' AND c.type = 'BLOB' AND m.name <> '_sqlx_migrations'"
    };
    let there: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql))
        .fetch_all(store.reader())
        .await
        .unwrap();
    let there: BTreeSet<String> = there.into_iter().collect();
    let listed = SEALED.iter().map(|one| (one.table, one.column));
    let listed = listed.chain(KNOWN.iter().copied());
    let listed: BTreeSet<String> = listed.map(|(a, b)| format!("{a}.{b}")).collect();
    assert_eq!(
        there, listed,
        "sealed columns stand in SEALED, others in KNOWN"
    );
}

#[tokio::test]
async fn everything_opens_under_the_new_key_alone_once_the_old_one_is_retired() {
    let bench = Bench::new();
    let store = bench.open_ring(&[OLD, NEW]).await.unwrap();
    let filled = fill(&bench, &store).await;
    let mut kinds = 0;
    for one in SEALED {
        let rows = store.under(one, id(OLD), 100, 0).await.unwrap();
        assert!(!rows.is_empty(), "{}.{}: fill it", one.table, one.column);
        kinds += rows.len();
    }
    assert_eq!(store.reseal_step(100).await, Ok(0), "nothing is former");
    assert_eq!(store.next_master_key().await, Ok(Some(id(NEW))));
    store.rotate_master_key(id(NEW)).await.unwrap();
    assert_eq!(store.next_master_key().await, Ok(None));
    let again = store.rotate_master_key(id(NEW)).await;
    assert_eq!(again, Err(RotateError::Known(id(NEW))));
    let values = u64::try_from(kinds).unwrap();
    let refused = store.retire_master_key(id(OLD)).await;
    let in_use = RetireError::InUse {
        id: id(OLD),
        values,
    };
    assert_eq!(refused, Err(in_use));
    let current = store.retire_master_key(id(NEW)).await;
    assert_eq!(current, Err(RetireError::Current(id(NEW))));
    let unknown = store.retire_master_key(id([9; 32])).await;
    assert_eq!(unknown, Err(RetireError::Unknown(id([9; 32]))));
    assert_eq!(reseal_all(&store).await, values);
    assert_eq!(store.retire_master_key(id(OLD)).await, Ok(true));
    assert_eq!(store.retire_master_key(id(OLD)).await, Ok(false));
    store.close().await;
    let store = bench.open_ring(&[NEW]).await.unwrap();
    read_all(&store, &filled).await;
    store.close().await;
    // A retired key that is still held is not the next one.
    let store = bench.open_ring(&[NEW, OLD]).await.unwrap();
    assert_eq!(store.next_master_key().await, Ok(None));
    assert_eq!(store.held_master_keys(), [id(NEW)]);
}

#[tokio::test]
async fn a_re_sealing_that_was_cut_short_goes_on() {
    let bench = Bench::new();
    let store = bench.open_ring(&[OLD, NEW]).await.unwrap();
    let filled = fill(&bench, &store).await;
    let all = store.sealed_under(id(OLD)).await.unwrap();
    assert_eq!(store.under_former().await, Ok(0));
    store.rotate_master_key(id(NEW)).await.unwrap();
    for _ in 0..2 {
        assert_eq!(store.reseal_step(2).await, Ok(2));
    }
    store.close().await;
    for missing in [OLD, NEW] {
        let refused = bench.open_with(missing).await.unwrap_err();
        let gone = if missing == OLD { NEW } else { OLD };
        let named = StoreError::MasterKeyNotHeld {
            id: id(gone),
            origin: "a test".to_owned(),
        };
        assert_eq!(refused, named);
    }
    let store = bench.open_ring(&[OLD, NEW]).await.unwrap();
    assert_eq!(store.sealed_under(id(OLD)).await, Ok(all - 4));
    assert_eq!(store.under_former().await, Ok(all - 4));
    assert_eq!(reseal_all(&store).await, all - 4);
    assert_eq!(store.under_former().await, Ok(0));
    assert_eq!(store.retire_master_key(id(OLD)).await, Ok(true));
    store.close().await;
    let store = bench.open_with(NEW).await.unwrap();
    read_all(&store, &filled).await;
}

#[tokio::test]
async fn another_store_goes_on_sealing_and_opening_meanwhile() {
    let bench = Bench::new();
    let here = bench.open_ring(&[OLD, NEW]).await.unwrap();
    let there = bench.open_ring(&[OLD, NEW]).await.unwrap();
    let filled = fill(&bench, &here).await;
    let at_work = async {
        let mut sessions = Vec::new();
        for number in 0..30 {
            let session = bench.session(&there, &format!("w{number}")).await;
            bench.issue(&there, session.session(), 3600).await;
            sessions.push(session.session().clone());
            if number == 20 {
                assert!(there.refresh_master_keys().await.unwrap().is_empty());
            }
        }
        sessions
    };
    let rotating = async {
        here.rotate_master_key(id(NEW)).await.unwrap();
        reseal_all(&here).await
    };
    let (sessions, _) = futures_util::future::join(at_work, rotating).await;
    // What was sealed under the former key after that is found too.
    reseal_all(&here).await;
    assert_eq!(here.retire_master_key(id(OLD)).await, Ok(true));
    for store in [&here, &there] {
        for session in &sessions {
            let known = store.credentials(&issue_key(session)).await.unwrap();
            assert!(matches!(known, Some(CredentialState::Issued(_))));
        }
    }
    here.close().await;
    there.close().await;
    let store = bench.open_with(NEW).await.unwrap();
    read_all(&store, &filled).await;
}

#[tokio::test]
async fn nothing_comes_in_under_a_retired_key() {
    let bench = Bench::new();
    let here = bench.open_ring(&[OLD, NEW]).await.unwrap();
    let there = bench.open_ring(&[OLD, NEW]).await.unwrap();
    there.save_request(request("before")).await.unwrap();
    here.rotate_master_key(id(NEW)).await.unwrap();
    reseal_all(&here).await;
    here.retire_master_key(id(OLD)).await.unwrap();
    // It has not heard yet.
    let refused = there.save_request(request("after")).await.unwrap_err();
    assert!(
        matches!(&refused, StoreError::Unavailable(why) if why.contains("retired master key")),
        "{refused}"
    );
    assert!(there.refresh_master_keys().await.unwrap().is_empty());
    there.save_request(request("after")).await.unwrap();
    assert_eq!(here.sealed_under(id(OLD)).await, Ok(0));
}

#[tokio::test]
async fn who_retires_a_key_waits_for_who_seals_under_it() {
    let bench = Bench::new();
    let here = bench.open_ring(&[OLD, NEW]).await.unwrap();
    let there = bench.open_ring(&[OLD, NEW]).await.unwrap();
    here.rotate_master_key(id(NEW)).await.unwrap();
    reseal_all(&here).await;
    let place = Place {
        table: "refusals",
        row: "ref_a",
        column: "sealed",
    };
    let late = there.sealer().seal(place, b"[]").unwrap();
    assert_eq!(MasterKeyId::of(&late), Some(id(OLD)));
    let mut writing = there.writer().begin().await.unwrap();
    sqlx::query(
        "INSERT INTO refusals (reference, signed, refused_at, sealed) VALUES ('ref_a', 1, 0, $1)",
    )
    .bind(late)
    .execute(&mut *writing)
    .await
    .unwrap();
    let mut retiring = Box::pin(here.retire_master_key(id(OLD)));
    let moment = std::time::Duration::from_millis(300);
    let waits = tokio::time::timeout(moment, &mut retiring).await;
    assert!(waits.is_err(), "{waits:?}");
    writing.commit().await.unwrap();
    let in_use = RetireError::InUse {
        id: id(OLD),
        values: 1,
    };
    assert_eq!(retiring.await, Err(in_use));
    assert_eq!(reseal_all(&here).await, 1);
    assert_eq!(here.retire_master_key(id(OLD)).await, Ok(true));
}

#[tokio::test]
async fn a_value_that_does_not_open_is_passed_over_and_told_of() {
    let bench = Bench::new();
    let store = bench.open_ring(&[OLD, NEW]).await.unwrap();
    for name in ["a", "b", "c"] {
        store.save_request(request(name)).await.unwrap();
    }
    bench
        .tamper("UPDATE requests SET idp = 'entra' WHERE id = 'b'")
        .await;
    store.rotate_master_key(id(NEW)).await.unwrap();
    // The audit chain's key and head, and two of three.
    assert_eq!(store.reseal_step(100).await, Ok(4));
    let told = store.reseal_step(100).await.unwrap_err();
    assert!(
        matches!(&told, StoreError::Corrupt { table: "requests", row, .. } if row == "b"),
        "{told}"
    );
    let refused = store.retire_master_key(id(OLD)).await;
    assert!(matches!(refused, Err(RetireError::InUse { values: 1, .. })));
}

#[tokio::test]
async fn however_many_do_not_open_what_stands_behind_them_is_reached() {
    let bench = Bench::new();
    let store = bench.open_ring(&[OLD, NEW]).await.unwrap();
    for number in 0..20 {
        let name = format!("bad-{number}");
        store.save_request(request(&name)).await.unwrap();
    }
    bench.tamper("UPDATE requests SET idp = 'entra'").await;
    for number in 0..5 {
        let name = format!("good-{number}");
        store.save_request(request(&name)).await.unwrap();
    }
    // Of a column that comes later.
    fill_keys(&bench, &store).await;
    store.rotate_master_key(id(NEW)).await.unwrap();
    let mut done = 0;
    let told = loop {
        match store.reseal_step(3).await {
            Ok(0) => panic!("not all of them are sealed anew"),
            Ok(more) => done += more,
            Err(error) => break error,
        }
    };
    // The audit chain's key and head, five requests, a key of each kind.
    assert_eq!(done, 2 + 5 + 2);
    assert!(matches!(
        told,
        StoreError::Corrupt {
            table: "requests",
            ..
        }
    ));
    assert_eq!(store.sealed_under(id(OLD)).await, Ok(20));
}

#[tokio::test]
async fn a_backup_and_a_copy_have_the_keys_standing_with_them() {
    let (file, server) = (Bench::in_file(), Bench::new());
    let from = file.open_ring(&[OLD, NEW]).await.unwrap();
    let filled = fill(&file, &from).await;
    from.rotate_master_key(id(NEW)).await.unwrap();
    assert_eq!(from.reseal_step(2).await, Ok(2));
    let path = file.path().with_file_name("backup.db");
    from.backup(&path).await.unwrap();
    let url = format!("sqlite:{}", path.display());
    let both = crate::store::MasterKeys::given([OLD, NEW], "a test");
    let copy = file.open_holding(url, both).await.unwrap();
    assert_eq!(copy.sealer().current(), Some(id(NEW)));
    read_all(&copy, &filled).await;
    if !server.is_on_server() {
        return;
    }
    let into = server.open_ring(&[OLD, NEW]).await.unwrap();
    from.copy_into(&into).await.unwrap();
    into.close().await;
    let into = server.open_ring(&[OLD, NEW]).await.unwrap();
    assert_eq!(into.sealer().current(), Some(id(NEW)));
    assert!(reseal_all(&into).await > 0);
    assert_eq!(into.retire_master_key(id(OLD)).await, Ok(true));
    into.close().await;
    let into = server.open_with(NEW).await.unwrap();
    read_all(&into, &filled).await;
}
