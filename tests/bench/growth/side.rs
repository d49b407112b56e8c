//! One store with its allow-list and the people that look-ups are of.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rolegate::app::{self, World};
use rolegate::audit::{Event, EventKind, Recorder};
use rolegate::config;
use rolegate::flow::AllowList;
use rolegate::model::{
    Clock, EntryDraft, IssueKey, Lease, LeaseId, Method, Narrowing, OsEntropy, Reference,
    SessionId, Subject, SystemClock, Token, TokenHash, TokenKind,
};
use rolegate::policy::{Request, decide};
use rolegate::store::{NewSession, SessionState, Store};
use sqlx::{AnyConnection, AssertSqlSafe, Connection};

use super::super::fetch::seed::{self, ROLE};

/// People that look-ups are of.
pub(crate) const PEOPLE: usize = 300;

pub(crate) enum Engine {
    File,
    Server(String),
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "SQLite",
            Self::Server(_) => "PostgreSQL",
        })
    }
}

/// Somebody with a session, a lease and credentials.
pub(crate) struct Somebody {
    pub(crate) subject: Arc<Subject>,
    pub(crate) lease: TokenHash,
    pub(crate) key: IssueKey,
}

pub(crate) struct Side {
    pub(crate) store: Store,
    pub(crate) allow_list: AllowList,
    pub(crate) people: Vec<Somebody>,
    pub(crate) reference: Reference,
    /// The number of the last audit record.
    pub(crate) records: i64,
    pub(crate) is_on_server: bool,
    clock: Arc<Ahead>,
    url: String,
    folder: tempfile::TempDir,
}

/// The machine's clock, ahead by whole minutes: no store removes anything until its clock has gone evenly for ten.
#[derive(Default)]
struct Ahead(AtomicU64);

impl Ahead {
    fn by(&self) -> Duration {
        Duration::from_mins(self.0.load(Ordering::Relaxed))
    }
}

impl Clock for Ahead {
    fn now(&self) -> DateTime<Utc> {
        SystemClock.now() + TimeDelta::from_std(self.by()).unwrap()
    }

    fn steady(&self) -> Duration {
        SystemClock.steady() + self.by()
    }
}

impl Side {
    pub(crate) async fn open(engine: &Engine, name: &str, entries: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = match engine {
            Engine::File => format!("sqlite:{}/rolegate.db", folder.path().display()),
            Engine::Server(server) => database(server, name).await,
        };
        let path = folder.path().join("rolegate.toml");
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:1\"\npublic_url = \"http://127.0.0.1:1\"\n[store]\nurl = \"{url}\"\n"
        );
        std::fs::write(&path, text).unwrap();
        let config = config::load(&path, &BTreeMap::new()).unwrap();
        let clock = Arc::<Ahead>::default();
        let world = World {
            clock: Arc::<Ahead>::clone(&clock),
            entropy: Arc::new(OsEntropy),
        };
        let store = app::open_store(&config, &world).await.unwrap();
        store.add_entries(drafts(entries), "bench").await.unwrap();
        let allow_list = app::allow_list(&config, &store).await.unwrap();
        let reference = Reference::fresh(&SystemClock, &OsEntropy);
        let event = Event {
            reference: Some(reference.clone()),
            ..Event::new(EventKind::GatewayStarted)
        };
        let recorder = Recorder::start(store.clone(), world.clock);
        for _ in 0..10 {
            let other = Event::new(EventKind::GatewayStarted);
            recorder.record(other).await.unwrap();
        }
        recorder.record(event).await.unwrap();
        let mut side = Self {
            people: Vec::new(),
            reference,
            records: 11,
            is_on_server: matches!(engine, Engine::Server(_)),
            store,
            allow_list,
            clock,
            url,
            folder,
        };
        for at in 0..PEOPLE {
            let one = side.somebody(at).await;
            side.people.push(one);
        }
        side
    }

    pub(crate) fn recorder(&self) -> Recorder {
        let clock = Arc::<Ahead>::clone(&self.clock);
        Recorder::start(self.store.clone(), clock)
    }

    /// Lets ten minutes pass, as far as the store knows.
    pub(crate) fn wait(&self) {
        self.clock.0.fetch_add(10, Ordering::Relaxed);
    }

    /// Somebody new, with all that a job needs.
    pub(crate) async fn somebody(&self, at: usize) -> Somebody {
        let subject = self.sign_in(at).await;
        let rules = self.allow_list.rules();
        seed::issue(&self.store, &rules, &subject).await;
        let role = ROLE.parse().unwrap();
        let request = Request::of(&role, SystemClock.now());
        let key = decide(&subject, &request, &rules).unwrap().issue_key();
        let (lease, hash) = lease(&subject);
        self.store.add_lease(&lease, &hash).await.unwrap();
        Somebody {
            subject,
            lease: hash,
            key,
        }
    }

    /// What a verified sign-in writes.
    pub(crate) async fn sign_in(&self, at: usize) -> Arc<Subject> {
        let now = SystemClock.now();
        let fresh = self.store.accept(seed::sign_in(at, now), None).await;
        let open = NewSession {
            id: SessionId::fresh(&SystemClock, &OsEntropy),
            state: SessionState::Confirmed,
            token: Some(Token::fresh(TokenKind::Session, &OsEntropy).hash()),
            confirm: None,
            expires_at: now + chrono::TimeDelta::hours(12),
        };
        let opened = self.store.open_session(fresh.unwrap(), open).await;
        opened.unwrap().live.subject
    }

    /// A statement past the store.
    pub(crate) async fn run(&self, sql: String) {
        let mut connection = self.connect().await;
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
    }

    pub(crate) async fn megabytes(&self) -> u64 {
        if self.is_on_server {
            let mut connection = self.connect().await;
            let size: i64 = sqlx::query_scalar("SELECT pg_database_size(current_database())")
                .fetch_one(&mut connection)
                .await
                .unwrap();
            return u64::try_from(size).unwrap() / 1_000_000;
        }
        let file = self.folder.path().join("rolegate.db");
        std::fs::metadata(file).unwrap().len() / 1_000_000
    }

    async fn connect(&self) -> AnyConnection {
        sqlx::any::install_default_drivers();
        AnyConnection::connect(&self.url).await.unwrap()
    }
}

/// A lease of the person's, and the hash of its token.
pub(crate) fn lease(subject: &Subject) -> (Lease, TokenHash) {
    let now = SystemClock.now();
    let lease = Lease {
        id: LeaseId::fresh(&SystemClock, &OsEntropy),
        person: subject.person().clone(),
        role: ROLE.parse().unwrap(),
        job: "job".parse().unwrap(),
        launcher: Some("bench".parse().unwrap()),
        duration: None,
        narrowing: Narrowing::default(),
        created_at: now,
        expires_at: now + chrono::TimeDelta::days(1),
        revoked_at: None,
    };
    let hash = Token::fresh(TokenKind::Lease, &OsEntropy).hash();
    (lease, hash)
}

/// One that allows the role, and others: exact ones and patterns in turn.
fn drafts(count: usize) -> Vec<EntryDraft> {
    let allowing = |arn: String| {
        let mut draft = EntryDraft::allowing(arn.parse().unwrap());
        draft.method = Some(Method::Relay);
        draft.reason = Some("the team asked for it".to_owned());
        draft
    };
    let others = (1..count.max(2)).map(|at| {
        allowing(match at % 2 {
            0 => format!("arn:aws:iam::123456789012:role/science/role-{at}"),
            _ => format!("arn:aws:iam::123456789012:role/team-{at}/**"),
        })
    });
    std::iter::once(allowing(ROLE.to_owned()))
        .chain(others)
        .collect()
}

async fn database(server: &str, name: &str) -> String {
    sqlx::any::install_default_drivers();
    let mut connection = AnyConnection::connect(server).await.unwrap();
    let sql = AssertSqlSafe(format!("CREATE DATABASE scale_{name}"));
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    let (address, _) = server.rsplit_once('/').unwrap();
    format!("{address}/scale_{name}")
}
