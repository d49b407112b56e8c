//! A store with many live sessions, a lease and credentials each, made through the store itself.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::LazyLock;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::StreamExt;
use rolegate::app::{self, World};
use rolegate::config;
use rolegate::demo::idp::{DemoIdp, DemoUser, IdpSettings};
use rolegate::model::{
    Clock, Credentials, Lease, LeaseId, Narrowing, Offer, OsEntropy, Person, ReplayId, Secret,
    SessionId, SignIn, Subject, SubjectParts, SystemClock, Token, TokenKind,
};
use rolegate::policy::{Request, Rules, decide};
use rolegate::store::{ClaimOrder, NewSession, SessionState, Store};

use super::process::free_port;

pub(crate) const ROLE: &str = "arn:aws:iam::123456789012:role/science/data-scientist";
pub(crate) const ACCESS_KEY: &str = "ASIAEXAMPLEEXAMPLE00";
pub(crate) const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
/// As long as AWS's are.
pub(crate) static SESSION_TOKEN: LazyLock<String> = LazyLock::new(|| "FwoGZXIvYXdz".repeat(60));

pub(crate) struct Seeded {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) port: u16,
    pub(crate) idp: DemoIdp,
    pub(crate) tokens: Vec<String>,
}

pub(crate) struct Seed {
    id: ReplayId,
    parts: SubjectParts,
}

impl SignIn for Seed {
    type Proof = ();

    fn replay_ids(&self) -> Vec<ReplayId> {
        vec![self.id.clone()]
    }

    fn remember_until(&self) -> DateTime<Utc> {
        self.parts.issued_at + TimeDelta::minutes(5)
    }

    fn in_response_to(&self) -> Option<&str> {
        None
    }

    fn into_parts(self) -> (SubjectParts, ()) {
        (self.parts, ())
    }
}

/// What is made.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) persons: usize,
    pub(crate) leases_each: usize,
    /// Whether STS has issued already.
    pub(crate) issued: bool,
    /// Threads that serve; nothing is one for each core.
    pub(crate) workers: Option<u32>,
    /// The store; nothing is a file of its own.
    pub(crate) store: Option<&'static str>,
}

/// Makes persons with a session, leases and credentials each, in memory where the system offers a
/// file system there: what is measured is not how it was made.
pub(crate) async fn seed(plan: Plan) -> Seeded {
    let shm = Path::new("/dev/shm");
    let folder = if shm.is_dir() {
        tempfile::tempdir_in(shm).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    };
    let port = free_port();
    let idp = idp(port).await;
    std::fs::write(folder.path().join("idp.xml"), idp.metadata()).unwrap();
    let path = folder.path().join("rolegate.toml");
    let workers = plan.workers.map(|count| format!("workers = {count}"));
    let workers = workers.unwrap_or_default();
    let store = plan.store.map(|url| format!("[store]\nurl = \"{url}\"\n"));
    let store = store.unwrap_or_default();
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:{port}\"\npublic_url = \"http://127.0.0.1:{port}\"\n\
         [server.limits]\n{workers}\n{store}[[saml.idp]]\nname = \"bench\"\nmetadata_file = \"idp.xml\"\n\
         idp_initiated = \"allow\"\n\
         [[roles.entry]]\narn = \"{ROLE}\"\nmethod = \"relay\"\nrenew_for_seconds = 604800\n"
    );
    std::fs::write(&path, text).unwrap();
    let world = World {
        clock: Arc::new(SystemClock),
        entropy: Arc::new(OsEntropy),
    };
    let config = config::load(&path, &BTreeMap::new()).unwrap();
    let store = app::open_store(&config, &world).await.unwrap();
    let rules = Rules::new(config.roles.entries.clone(), app::limits(&config));
    let made = futures_util::stream::iter(0..plan.persons)
        .map(|at| one(&store, &rules, at, plan))
        .buffer_unordered(16);
    let tokens: Vec<Vec<String>> = made.collect().await;
    let tokens = tokens.into_iter().flatten().collect();
    store.close().await;
    Seeded {
        folder,
        port,
        idp,
        tokens,
    }
}

async fn idp(port: u16) -> DemoIdp {
    let user = DemoUser {
        name: "visitor".to_owned(),
        password: "visitor".to_owned(),
        role_session_name: "visitor".to_owned(),
        roles: vec!["arn:aws:iam::123456789012:role/other".to_owned()],
        session_duration: None,
        extra: (0..20)
            .map(|at| (format!("attribute{at}"), vec!["value".to_owned(); 5]))
            .collect(),
    };
    let settings = IdpSettings {
        entity_id: None,
        acs_url: format!("http://127.0.0.1:{port}/saml/acs"),
        sp_entity_id: "urn:amazon:webservices".to_owned(),
        users: vec![user],
        key: None,
        clock: Arc::new(SystemClock),
        entropy: Arc::new(OsEntropy),
    };
    DemoIdp::start(settings).await.unwrap()
}

async fn one(store: &Store, rules: &Rules, at: usize, plan: Plan) -> Vec<String> {
    let now = SystemClock.now();
    let fresh = store.accept(sign_in(at, now), None).await.unwrap();
    let open = NewSession {
        id: SessionId::fresh(&SystemClock, &OsEntropy),
        state: SessionState::Confirmed,
        token: None,
        confirm: None,
        expires_at: now + TimeDelta::hours(12),
    };
    let live = store.open_session(fresh, open).await.unwrap().live;
    if plan.issued {
        issue(store, rules, &live.subject).await;
    }
    let mut tokens = Vec::new();
    for _ in 0..plan.leases_each {
        tokens.push(lease(store, &live.subject).await);
    }
    tokens
}

/// Credentials as if STS had issued them.
pub(crate) async fn issue(store: &Store, rules: &Rules, subject: &Subject) {
    let now = SystemClock.now();
    let role = ROLE.parse().unwrap();
    let grant = decide(subject, &Request::of(&role, now), rules).unwrap();
    let (key, kind) = (grant.issue_key(), grant.kind());
    let order = ClaimOrder {
        key: &key,
        session: grant.session(),
        role: &role,
        method: grant.method(),
        kind: &kind,
        claimant: "seed",
        instead_of: None,
    };
    store.claim(&order).await.unwrap();
    let credentials = Credentials {
        access_key_id: ACCESS_KEY.to_owned(),
        secret_access_key: Secret::new(SECRET.to_owned()),
        session_token: Secret::new(SESSION_TOKEN.clone()),
        issued_at: now,
        expires_at: now + TimeDelta::hours(12),
    };
    let kept = store.put_credentials(&key, "seed", &credentials).await;
    assert!(kept.unwrap());
}

pub(crate) async fn lease(store: &Store, subject: &Subject) -> String {
    let now = SystemClock.now();
    let token = Token::fresh(TokenKind::Lease, &OsEntropy);
    let lease = Lease {
        id: LeaseId::fresh(&SystemClock, &OsEntropy),
        person: subject.person().clone(),
        role: ROLE.parse().unwrap(),
        job: "job".parse().unwrap(),
        launcher: Some("bench".parse().unwrap()),
        duration: None,
        narrowing: Narrowing::default(),
        created_at: now,
        expires_at: now + TimeDelta::days(1),
        revoked_at: None,
    };
    store.add_lease(&lease, &token.hash()).await.unwrap();
    token.into_secret().expose().to_owned()
}

/// A sign-in as directories give them: groups, mail, names.
pub(crate) fn sign_in(at: usize, now: DateTime<Utc>) -> Seed {
    let groups = (0..10).map(|group| format!("cn=group-{group},ou=people,dc=example,dc=org"));
    let attributes = BTreeMap::from([
        ("groups".to_owned(), groups.collect()),
        ("mail".to_owned(), vec![format!("user{at}@example.org")]),
        ("displayName".to_owned(), vec![format!("User {at}")]),
    ]);
    Seed {
        id: ReplayId(openssl::sha::sha256(&at.to_be_bytes())),
        parts: SubjectParts {
            person: Person {
                idp: "bench".parse().unwrap(),
                user: format!("user{at}@example.org").parse().unwrap(),
            },
            attributes,
            offers: vec![Offer {
                role: ROLE.parse().unwrap(),
                provider: None,
            }],
            refused_offers: Vec::new(),
            session_duration: None,
            assigned: false,
            web_identity: None,
            forwarding: None,
            issued_at: now,
            not_after: None,
            logout: None,
        },
    }
}
