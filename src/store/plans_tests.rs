//! How the engines look things up: no statement that people, jobs or the runner of jobs wait for may look through a
//! whole table that grows.
//!
//! The statements are not written down here again: they are what the store sends when it is used.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use sqlx::{AssertSqlSafe, Row};
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::{Layer, filter::Targets};

use super::testing::{Bench, TestSignIn, claim_of, idp, issue_key, person, role};
use super::*;
use crate::model::{
    LeaseId, OsEntropy, Reference, ReplayId, RolePattern, Token, TokenId, TokenKind, TokenRecord,
};

thread_local! {
    static WANTED: Cell<bool> = const { Cell::new(false) };
}

/// Whether a store that this thread opens shall tell its statements.
pub(super) fn are_wanted() -> bool {
    WANTED.get()
}

static SEEN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

struct Statements;

#[derive(Default)]
struct Statement {
    summary: String,
    whole: String,
}

impl Visit for Statement {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "summary" => value.clone_into(&mut self.summary),
            "db.statement" => value.trim().clone_into(&mut self.whole),
            _ => {}
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

impl<S: tracing::Subscriber> Layer<S> for Statements {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut statement = Statement::default();
        event.record(&mut statement);
        let text = if statement.whole.is_empty() {
            statement.summary
        } else {
            statement.whole
        };
        SEEN.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(text);
    }
}

/// Tables that grow with people, jobs or time, and the names that statements give them.
const GROW: [&str; 20] = [
    "audit",
    "sessions",
    "credentials",
    "leases",
    "replay_ids",
    "requests",
    "oidc_tokens",
    "idempotency",
    "arrivals",
    "revoked_leases",
    "refusals",
    "assignments",
    "session_tokens",
    "logins",
    "entry_history",
    // Aliases.
    "c",
    "l",
    "n",
    "s",
    "t",
];

/// What may look through a table after all: how the statement begins or ends, and why.
const MAY: [(&str, &str); 3] = [
    (
        "SELECT role FROM leases UNION SELECT role FROM credentials",
        "an admin revokes by a pattern; it reads indexes alone",
    ),
    (
        "JOIN sessions s ON s.id = c.session\n             WHERE c.expires_at > $1",
        "an admin revokes all that a launcher had: what lives is looked through",
    ),
    (
        "DELETE FROM logins WHERE state = 'pending'",
        "there are never more than 10,000 of them",
    ),
];

/// What a server cannot be asked about without values.
const UNASKED: [&str; 2] = ["INSERT INTO logins", "INSERT INTO session_tokens"];

/// Lines of a plan that look through a table that grows.
fn scans(plan: &[String]) -> Vec<String> {
    let is_scan = |line: &&String| {
        let mut words = line.split_whitespace();
        let (first, name) = (words.next(), words.next().unwrap_or_default());
        first == Some("SCAN") && GROW.contains(&name)
    };
    plan.iter().filter(is_scan).cloned().collect()
}

/// The same for a server, which says `Seq Scan on t`, or an index without a condition on it.
fn server_scans(plan: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for (at, line) in plan.iter().enumerate() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let Some(on) = words.iter().position(|word| *word == "on") else {
            continue;
        };
        let table = words.get(on + 1).copied().unwrap_or_default();
        let of_index = line.contains("Index Scan") || line.contains("Index Only Scan");
        let next = plan.get(at + 1).map_or("", |next| next.trim());
        let whole = of_index && !line.contains("Bitmap") && !next.starts_with("Index Cond");
        // There are only ever those of five minutes in it.
        let few = line.contains("sessions_pending");
        if GROW.contains(&table) && !few && (line.contains("Seq Scan") || whole) {
            found.push(line.clone());
        }
    }
    found
}

/// How many values a statement takes.
fn binds(sql: &str) -> usize {
    let numbers = sql.split('$').skip(1).filter_map(|rest| {
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<usize>().ok()
    });
    numbers.max().unwrap_or(0)
}

async fn explain(bench: &Bench, connection: &mut sqlx::AnyConnection, sql: &str) -> Vec<String> {
    if !bench.is_on_server() {
        let ask = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
        let rows = sqlx::raw_sql(ask).fetch_all(connection).await.unwrap();
        return rows.iter().map(|row| row.get("detail")).collect();
    }
    let nothing = vec!["NULL"; binds(sql)].join(", ");
    let values = if nothing.is_empty() {
        String::new()
    } else {
        format!("({nothing})")
    };
    for step in [
        "DEALLOCATE ALL".to_owned(),
        format!("PREPARE asked AS {sql}"),
    ] {
        let done = sqlx::raw_sql(AssertSqlSafe(step)).execute(&mut *connection);
        let done = done.await;
        assert!(done.is_ok(), "{sql}: {done:?}");
    }
    let ask = AssertSqlSafe(format!("EXPLAIN EXECUTE asked{values}"));
    let rows = sqlx::raw_sql(ask).fetch_all(connection).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn no_look_up_grows_with_its_table() {
    let subscriber = tracing_subscriber::registry().with(
        Statements.with_filter(Targets::new().with_target("sqlx::query", tracing::Level::DEBUG)),
    );
    tracing::subscriber::set_global_default(subscriber).unwrap();
    WANTED.set(true);
    let bench = Bench::new();
    let store = bench.open().await;
    WANTED.set(false);
    people(&bench, &store).await;
    sessions(&bench, &store).await;
    jobs(&bench, &store).await;
    records(&bench, &store).await;
    revocations(&bench, &store).await;
    store.purge().await.unwrap();
    let seen = SEEN.lock().unwrap().clone();
    let pool = bench.intruder().await;
    let mut connection = pool.acquire().await.unwrap();
    if bench.is_on_server() {
        // Tables that are empty are looked through where nothing is said.
        let set = "SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan";
        sqlx::raw_sql(set).execute(&mut *connection).await.unwrap();
        // They serve counting alone; of tables without statistics the planner takes them for the smallest.
        let counting = "DROP INDEX sessions_live; DROP INDEX leases_live";
        sqlx::raw_sql(counting)
            .execute(&mut *connection)
            .await
            .unwrap();
    }
    let mut asked = 0;
    let mut bad = Vec::new();
    for sql in &seen {
        let verb = sql.split_whitespace().next().unwrap_or_default();
        let is_one = ["SELECT", "INSERT", "UPDATE", "DELETE"].contains(&verb);
        let may = MAY
            .iter()
            .any(|(text, _)| sql.starts_with(text) || sql.ends_with(text));
        // Whether there is anything at all is said by the first row.
        let may = may || (sql.ends_with(" LIMIT 1") && !sql.contains("WHERE"));
        let unasked = bench.is_on_server() && UNASKED.iter().any(|text| sql.starts_with(text));
        if !is_one || may || unasked || sql.contains("pg_") || sql.contains("_sqlx_migrations") {
            continue;
        }
        asked += 1;
        let plan = explain(&bench, &mut connection, sql).await;
        let scans = if bench.is_on_server() {
            server_scans(&plan)
        } else {
            scans(&plan)
        };
        if !scans.is_empty() {
            bad.push(format!("{sql}\n    {}", scans.join("\n    ")));
        }
        // A page of one person's is not found by walking everybody's.
        if !bench.is_on_server() && sql.contains("LIMIT") && sql.contains("AND user_name = $3") {
            let by_key = plan.iter().any(|line| line.contains("(id>?)"));
            assert!(!by_key, "{sql}: {plan:?}");
        }
    }
    assert!(asked > 90, "{asked} statements were looked at: {seen:#?}");
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

/// Signing in and out.
async fn people(bench: &Bench, store: &Store) {
    let request = bench.consumed(store, "req").await;
    assert_eq!(request.id(), "req");
    store.find_request("req").await.unwrap();
    store.find_replay(&[ReplayId([1; 32])]).await.unwrap();
    store
        .take_logout(&ReplayId([2; 32]), bench.at(60))
        .await
        .unwrap();
    store
        .sessions_of_name_id(&idp("okta"), "name", bench.at(0))
        .await
        .unwrap();
    let session = bench.session(store, "a").await;
    let mut pending = bench.new_session(SessionState::Pending);
    pending.confirm = Some([5; 32]);
    bench.open_as(store, TestSignIn::new("b"), pending).await;
    let token = Token::fresh(TokenKind::Session, &OsEntropy).hash();
    store.subject_by_confirm(&[5; 32]).await.unwrap();
    store.confirm_session(&[5; 32], token).await.unwrap();
    store.confirm_opened(session.session()).await.unwrap();
    store.subject_by_token(&token).await.unwrap();
    store.session(session.session()).await.unwrap();
    store.session_of_leases(session.session()).await.unwrap();
    let ann = person("okta", "ann");
    store.newest_session(&ann).await.unwrap();
    store.idps_of_user(&ann.user).await.unwrap();
    for user in [None, Some(&ann.user)] {
        store.list_sessions(user, None, 10).await.unwrap();
    }
    let assignment = Assignment {
        person: ann.clone(),
        roles: vec![role("reader")],
        by: "local:root".to_owned(),
        reason: None,
        at: bench.at(0),
    };
    store.set_assignment(&assignment).await.unwrap();
    store.assignment(&ann).await.unwrap();
    let filter = AssignmentFilter {
        user: Some(ann.user.clone()),
        idp: None,
    };
    for filter in [AssignmentFilter::default(), filter] {
        store.assignments(&filter, None, 10).await.unwrap();
    }
    store.remove_assignment(&ann).await.unwrap();
    store.hold_on(&ann).await.unwrap();
    store.leased_roles(&ann).await.unwrap();
    store.live_leases(&ann, None, 10).await.unwrap();
    command_line(store, session.session()).await;
    store.end_browser(session.session()).await.unwrap();
}

async fn command_line(store: &Store, session: &crate::model::SessionId) {
    let address = std::net::IpAddr::from([127, 0, 0, 1]);
    let [device, token] = [TokenKind::Session; 2].map(|kind| Token::fresh(kind, &OsEntropy).hash());
    let login = NewLogin {
        device,
        user_code: [3; 32],
        address,
    };
    assert!(store.add_login(&login).await.unwrap());
    store.pending_login(&[3; 32]).await.unwrap();
    store
        .answer_login(&[3; 32], session, LoginAnswer::Allow)
        .await
        .unwrap();
    let poll = store.poll_login(&device, &token, address, chrono::TimeDelta::zero());
    assert!(matches!(poll.await.unwrap(), LoginPoll::Approved(_)));
}

/// Credentials and the tokens of OpenID providers.
async fn sessions(bench: &Bench, store: &Store) {
    let session = bench.session(store, "c").await;
    let key = bench.issue(store, session.session(), 3600).await;
    store.credentials(&key).await.unwrap();
    store.credentials_of(session.session()).await.unwrap();
    store
        .newest_issued(session.session(), &role("reader"))
        .await
        .unwrap();
    let ann = person("okta", "ann");
    store.last_issued_for(&ann, "kind").await.unwrap();
    let other = bench.session(store, "d").await;
    let key = issue_key(other.session());
    store
        .claim(&claim_of(&key, other.session(), "me"))
        .await
        .unwrap();
    store.put_failure(&key, "me", "no").await.unwrap();
    let oidc = bench.oidc_session(store, "e").await;
    store.oidc_tokens(oidc.session()).await.unwrap();
    let hour = chrono::TimeDelta::hours(1);
    store
        .claim_refresh(oidc.session(), "me", hour)
        .await
        .unwrap();
    store.due_refreshes(&idp("okta"), 10).await.unwrap();
    store
        .release_refresh(oidc.session(), "me", bench.at(0))
        .await
        .unwrap();
    store.end_session(oidc.session()).await.unwrap();
    let sign_out = |ended_at| SignOut {
        session: other.session().clone(),
        person: other.person().clone(),
        ended_at,
    };
    let both = [sign_out(None), sign_out(Some(bench.at(0)))];
    store.sign_out(&both).await.unwrap();
}

/// Leases, and what gateways keep.
async fn jobs(bench: &Bench, store: &Store) {
    let session = bench.session(store, "f").await;
    let standing = Standing {
        session: session.session().clone(),
        token: None,
    };
    let (lease, hash) = bench.lease("job-1");
    assert!(store.add_lease_of(&lease, &hash, &standing).await.unwrap());
    let (lease, _) = bench.lease("job-2");
    let token = Token::fresh(TokenKind::Lease, &OsEntropy);
    let hash = token.hash();
    let call = Repeatable {
        owner: "launcher:nightly".to_owned(),
        key: "key".to_owned(),
        request: [1; 32],
    };
    store
        .add_lease_once(&lease, &token.into_secret(), &hash, &call, &standing)
        .await
        .unwrap();
    store.repeated(&call).await.unwrap();
    store.lease(&lease.id).await.unwrap();
    store.lease_by_token(&hash).await.unwrap();
    store.token_leaves(&lease.id).await.unwrap();
    for filter in filters() {
        store.leases(filter, None::<&LeaseId>, 10).await.unwrap();
    }
    store.revoke_lease(&lease.id).await.unwrap();
    store.change_versions().await.unwrap();
    let position = store.last_arrival().await.unwrap();
    store.arrivals(position).await.unwrap();
    let position = store.last_revoked_lease().await.unwrap();
    store.revoked_leases(position).await.unwrap();
    let record = TokenRecord {
        id: TokenId::fresh(&*bench.clock, &OsEntropy),
        name: "nightly".parse().unwrap(),
        role: crate::model::Role::Launcher,
        for_roles: None,
        for_users: None,
        created_at: bench.at(0),
        expires_at: None,
        revoked_at: None,
        certificate_subject: None,
        without_token: false,
    };
    store.add_token(&record, &hash).await.unwrap();
    store.token(&hash).await.unwrap();
    store.revoke_tokens("nightly", true).await.unwrap();
    store.revoke_tokens("nightly", true).await.unwrap();
}

fn filters() -> Vec<LeaseFilter> {
    let ann = person("okta", "ann");
    let none = LeaseFilter::default;
    vec![
        LeaseFilter {
            user: Some(ann.user.clone()),
            ..none()
        },
        LeaseFilter {
            person: Some(ann),
            ..none()
        },
        LeaseFilter {
            job: Some("nothing".parse().unwrap()),
            ..none()
        },
        LeaseFilter {
            launcher: Some("nobody".parse().unwrap()),
            ..none()
        },
        LeaseFilter {
            launcher: Some("nobody".parse().unwrap()),
            job: Some("nothing".parse().unwrap()),
            ..none()
        },
        LeaseFilter {
            role: Some(role("nobody")),
            ..none()
        },
    ]
}

/// What is written down of it all.
async fn records(bench: &Bench, store: &Store) {
    let link = |head: AuditHead, _| {
        vec![AuditLink {
            head: AuditHead {
                seq: head.seq + 1,
                hash: [1; 32],
            },
            at: bench.at(0),
            kind: "sign-in",
            reference: Some("a".to_owned()),
            user: None,
            idp: None,
            record: "{}".to_owned(),
        }]
    };
    store.append_audit(link).await.unwrap();
    store.audit_rows_of("a").await.unwrap();
    let mut snapshot = store.audit_snapshot().await.unwrap();
    snapshot.page(1, 10).await.unwrap();
    drop(snapshot);
    let refusal = RefusalRecord {
        reference: Reference::fresh(&*bench.clock, &OsEntropy),
        signed: true,
        refused_at: bench.at(0),
        results: "[]".to_owned(),
    };
    let reference = refusal.reference.clone();
    store.keep_refusals(&[refusal]).await.unwrap();
    store.refusal(&reference).await.unwrap();
    let entry = store
        .add_entry(testing::draft("a"), "local:root")
        .await
        .unwrap();
    store.entry_history(&entry.id).await.unwrap();
}

async fn revocations(bench: &Bench, store: &Store) {
    let (lease, hash) = bench.lease("job-3");
    store.add_lease(&lease, &hash).await.unwrap();
    let session = bench.session(store, "g").await;
    let user: crate::model::UserName = "ann".parse().unwrap();
    let exact: RolePattern = role("reader").as_str().parse().unwrap();
    let pattern: RolePattern = "arn:aws:iam::123456789012:role/r*".parse().unwrap();
    for selector in [
        Selector::Lease(lease.id),
        Selector::Session(session.session().clone()),
        Selector::Role(exact),
        Selector::Role(pattern),
        Selector::Launcher("nightly".parse().unwrap()),
        Selector::User {
            user: user.clone(),
            idp: Some(idp("okta")),
        },
        Selector::User { user, idp: None },
    ] {
        let order = RevokeOrder {
            reason: "a test",
            by: "local:root",
            hold: true,
        };
        assert!(store.revoke(&selector, order).await.unwrap().is_some());
    }
    for hold in store.holds().await.unwrap() {
        store.release_hold(&hold.id, "local:root").await.unwrap();
    }
}
