//! What the store's tests share: a database in a temporary folder, a clock that stands, sign-ins.

mod server;
mod sign_ins;

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::AssertSqlSafe;

use super::{
    ConsumedRequest, MasterKeys, NewSession, SessionState, SignInRequest, Store, StoreError,
    StoreSettings,
};
use crate::model::{
    Clock, Credentials, EntryDraft, FixedClock, IdToken, IdpName, IssueKey, Lease, LeaseId, Method,
    OidcTokens, OsEntropy, Person, RoleArn, Secret, SessionDuration, SessionId, Subject, Token,
    TokenHash, TokenKind,
};
use server::ServerDatabase;
pub(crate) use sign_ins::{TestOidcSignIn, TestSignIn};

pub(crate) const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
pub(crate) const SESSION_TOKEN: &str = "FwoGZXIvYXdzEPT-a-session-token-in-the-clear";

pub(crate) fn idp(name: &str) -> IdpName {
    name.parse().unwrap()
}

pub(crate) fn person(idp_name: &str, user: &str) -> Person {
    Person {
        idp: idp(idp_name),
        user: user.parse().unwrap(),
    }
}

pub(crate) fn role(name: &str) -> RoleArn {
    format!("arn:aws:iam::123456789012:role/{name}")
        .parse()
        .unwrap()
}

pub(crate) fn draft(name: &str) -> EntryDraft {
    let mut draft = EntryDraft::allowing(role(name).as_str().parse().unwrap());
    draft.reason = Some("a test".to_owned());
    draft
}

/// A database to be, and a clock. In a folder of its own; or where `ROLEGATE_TEST_POSTGRES` names a server, there,
/// so that one suite proves both engines.
pub(crate) struct Bench {
    folder: tempfile::TempDir,
    server: Option<ServerDatabase>,
    pub(crate) clock: Arc<FixedClock>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::on(ServerDatabase::of_environment())
    }

    /// In a file, whatever the environment says: for what is SQLite's alone.
    pub(crate) fn in_file() -> Self {
        Self::on(None)
    }

    fn on(server: Option<ServerDatabase>) -> Self {
        let start = "2026-01-02T03:04:05.678Z".parse().unwrap();
        Self {
            folder: tempfile::tempdir().unwrap(),
            server,
            clock: Arc::new(FixedClock::new(start)),
        }
    }

    pub(crate) fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("rolegate.db")
    }

    pub(crate) fn at(&self, seconds: i64) -> DateTime<Utc> {
        self.clock.now() + TimeDelta::seconds(seconds)
    }

    pub(crate) async fn open(&self) -> Store {
        self.open_with([7; 32]).await.unwrap()
    }

    pub(crate) fn url(&self) -> String {
        let file = || format!("sqlite:{}", self.path().display());
        self.server.as_ref().map_or_else(file, ServerDatabase::url)
    }

    pub(crate) async fn open_with(&self, key: [u8; 32]) -> Result<Store, StoreError> {
        self.open_at(self.url(), key).await
    }

    pub(crate) async fn open_at(&self, url: String, key: [u8; 32]) -> Result<Store, StoreError> {
        self.open_holding(url, MasterKeys::given([key], "a test"))
            .await
    }

    /// With several master keys.
    pub(crate) async fn open_ring(&self, keys: &[[u8; 32]]) -> Result<Store, StoreError> {
        let keys = MasterKeys::given(keys.iter().copied(), "a test");
        self.open_holding(self.url(), keys).await
    }

    pub(crate) async fn open_holding(
        &self,
        url: String,
        master_keys: MasterKeys,
    ) -> Result<Store, StoreError> {
        self.open_settings(StoreSettings {
            url,
            listen_url: None,
            master_keys,
            without_assignments: BTreeSet::new(),
        })
        .await
    }

    /// The store of a gateway whose IdP `name` may have no assignments.
    pub(crate) async fn open_without_assignments(&self, name: &str) -> Store {
        let settings = StoreSettings {
            url: self.url(),
            listen_url: None,
            master_keys: MasterKeys::given([[7; 32]], "a test"),
            without_assignments: [idp(name)].into(),
        };
        self.open_settings(settings).await.unwrap()
    }

    async fn open_settings(&self, mut settings: StoreSettings) -> Result<Store, StoreError> {
        if let Some(server) = &self.server {
            server.make().await;
            if settings.url == server.url()
                && let Some(pooled) = server.pooled_url()
            {
                settings.listen_url = Some(std::mem::replace(&mut settings.url, pooled));
            }
        }
        let clock: Arc<FixedClock> = Arc::clone(&self.clock);
        Store::open(settings, clock, Arc::new(OsEntropy)).await
    }

    /// The database as an intruder sees it.
    pub(crate) async fn intruder(&self) -> sqlx::AnyPool {
        sqlx::any::install_default_drivers();
        let options: sqlx::any::AnyConnectOptions = self.url().parse().unwrap();
        let options = sqlx::ConnectOptions::disable_statement_logging(options);
        sqlx::AnyPool::connect_with(options).await.unwrap()
    }

    /// Writes many rows at once, past the store.
    pub(crate) async fn fill(&self, sql: &str) {
        let pool = self.intruder().await;
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
            .execute(&pool)
            .await
            .unwrap();
        pool.close().await;
    }

    /// Blobs are written as SQLite does, x'00'.
    pub(crate) async fn tamper(&self, sql: &'static str) {
        let sql = if self.is_on_server() {
            sql.replace(" x'", " '\\x")
        } else {
            sql.to_owned()
        };
        let pool = self.intruder().await;
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&pool)
            .await
            .unwrap();
        pool.close().await;
    }

    /// As [`Bench::tamper`], with a blob for `$1`.
    pub(crate) async fn tamper_with(&self, sql: &'static str, blob: Vec<u8>) {
        let pool = self.intruder().await;
        sqlx::query(sql).bind(blob).execute(&pool).await.unwrap();
        pool.close().await;
    }

    /// Whether the database is on a server.
    pub(crate) fn is_on_server(&self) -> bool {
        self.server.is_some()
    }

    /// All that stands on the disk, the log of the latest writes included; what is no text as U+FFFD.
    pub(crate) async fn text_on_disk(&self) -> String {
        let folders = match &self.server {
            None => vec![self.folder.path().to_owned()],
            Some(server) => server.folders().await,
        };
        let mut bytes = Vec::new();
        for folder in folders {
            for file in std::fs::read_dir(folder).unwrap() {
                let path = file.unwrap().path();
                // A server may take a file away meanwhile.
                bytes.extend(std::fs::read(path).unwrap_or_default());
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    pub(crate) async fn audit_text(&self, seq: i64) -> String {
        let pool = self.intruder().await;
        let text = sqlx::query_scalar("SELECT record FROM audit WHERE seq = $1")
            .bind(seq)
            .fetch_one(&pool)
            .await
            .unwrap();
        pool.close().await;
        text
    }

    pub(crate) async fn put_audit_text(&self, seq: i64, text: &str) {
        let pool = self.intruder().await;
        sqlx::query("UPDATE audit SET record = $1 WHERE seq = $2")
            .bind(text)
            .bind(seq)
            .execute(&pool)
            .await
            .unwrap();
        pool.close().await;
    }

    pub(crate) async fn consumed(&self, store: &Store, id: &str) -> ConsumedRequest {
        let request = SignInRequest {
            id: id.to_owned(),
            idp: idp("okta"),
            binding: [7; 32],
            return_to: None,
            secret: None,
        };
        store.save_request(request).await.unwrap();
        let consumed = store.consume_request(id, &idp("okta"), &[7; 32]).await;
        consumed.unwrap().unwrap()
    }

    pub(crate) fn new_session(&self, state: SessionState) -> NewSession {
        NewSession {
            id: SessionId::fresh(&*self.clock, &OsEntropy),
            state,
            token: None,
            confirm: None,
            expires_at: self.at(43_200),
        }
    }

    /// A confirmed session of `okta`'s user `ann`, by a sign-in with the id `id`.
    pub(crate) async fn session(&self, store: &Store, id: &str) -> Arc<Subject> {
        self.session_in(store, id, SessionState::Confirmed).await
    }

    pub(crate) async fn session_in(
        &self,
        store: &Store,
        id: &str,
        state: SessionState,
    ) -> Arc<Subject> {
        let mut open = self.new_session(state);
        open.token = Some(Token::fresh(TokenKind::Session, &OsEntropy).hash());
        self.open_as(store, TestSignIn::new(id), open).await
    }

    pub(crate) async fn open_as(
        &self,
        store: &Store,
        sign_in: TestSignIn,
        open: NewSession,
    ) -> Arc<Subject> {
        let fresh = store.accept(sign_in, None).await.unwrap();
        let opened = store.open_session(fresh, open).await.unwrap();
        assert_eq!(opened.proof, "the proof");
        opened.live.subject
    }

    /// A confirmed session by OpenID Connect with the ID token `id`, and a refresh token `refresh-` and that.
    pub(crate) async fn oidc_session(&self, store: &Store, id: &str) -> Arc<Subject> {
        self.oidc_session_of(store, TestSignIn::new(id), id).await
    }

    pub(crate) async fn oidc_session_of(
        &self,
        store: &Store,
        sign_in: TestSignIn,
        id: &str,
    ) -> Arc<Subject> {
        let tokens = OidcTokens {
            id_token: self.id_token(id),
            refresh_token: Some(Secret::new(format!("refresh-{id}"))),
        };
        let open = self.new_session(SessionState::Confirmed);
        let fresh = store.accept(TestOidcSignIn(sign_in, tokens), None).await;
        let opened = store
            .open_session_with_tokens(fresh.unwrap(), open, self.at(40))
            .await;
        opened.unwrap().live.subject
    }

    /// An ID token that lives for a minute.
    pub(crate) fn id_token(&self, jwt: &str) -> IdToken {
        IdToken {
            jwt: Secret::new(jwt.to_owned()),
            issuer: "https://idp.example".to_owned(),
            subject: "sub-1".to_owned(),
            audience: "client-1".to_owned(),
            issued_at: self.at(0),
            expires_at: self.at(60),
        }
    }

    pub(crate) fn credentials(&self, seconds: i64) -> Credentials {
        Credentials {
            issued_at: self.at(0),
            access_key_id: "ASIAEXAMPLE".to_owned(),
            secret_access_key: Secret::new(SECRET.to_owned()),
            session_token: Secret::new(SESSION_TOKEN.to_owned()),
            expires_at: self.at(seconds),
        }
    }

    /// Claims and puts credentials of role `reader` that live for `seconds`.
    pub(crate) async fn issue(&self, store: &Store, session: &SessionId, seconds: i64) -> IssueKey {
        let key = issue_key(session);
        let claim = store.claim(&claim_of(&key, session, "me")).await;
        assert!(matches!(claim.unwrap(), super::Claim::Won));
        let credentials = self.credentials(seconds);
        let stored = store.put_credentials(&key, "me", &credentials).await;
        assert!(stored.unwrap());
        key
    }

    pub(crate) fn lease(&self, job: &str) -> (Lease, TokenHash) {
        let lease = Lease {
            id: LeaseId::fresh(&*self.clock, &OsEntropy),
            person: person("okta", "ann"),
            role: role("reader"),
            job: job.parse().unwrap(),
            launcher: None,
            duration: None,
            created_at: self.at(0),
            expires_at: self.at(86_400),
            narrowing: crate::model::Narrowing::default(),
            revoked_at: None,
        };
        (lease, Token::fresh(TokenKind::Lease, &OsEntropy).hash())
    }
}

/// The order of a claim by method `saml`.
pub(crate) fn claim_of<'a>(
    key: &'a IssueKey,
    session: &'a SessionId,
    claimant: &'a str,
) -> super::ClaimOrder<'a> {
    static READER: std::sync::LazyLock<crate::model::RoleArn> =
        std::sync::LazyLock::new(|| role("reader"));
    super::ClaimOrder {
        key,
        session,
        role: &READER,
        method: Method::Saml,
        kind: "reader by saml",
        claimant,
        instead_of: None,
    }
}

pub(crate) fn issue_key(session: &SessionId) -> IssueKey {
    let duration = SessionDuration::DEFAULT;
    IssueKey::new(session, &role("reader"), Method::Saml, duration, "")
}
