//! A sandbox STS that is as strict as AWS: signature, Issuer, audience, Recipient against the role's
//! trust policy, one bearer confirmation, five minutes, session name, offered pair, maximum duration;
//! AWS's codes and texts; and `AssumeRole`, `AssumeRoleWithWebIdentity`, trust policies as JSON, session
//! policies, tags and the console's federation endpoint likewise. It can be told to misbehave.
//!
//! Where AWS's behaviour is not known it takes the stricter side: the pair must stand in the assertion,
//! the earlier IssueInstant counts, and an audience beside AWS's is taken within one restriction only.

mod answer;
mod assume;
mod assume_role;
mod caller;
mod checks;
mod condition;
mod context;
mod fault;
mod federation;
mod identity;
mod issue;
mod keys;
mod parameters;
mod policy;
mod provider;
mod session_policy;
mod sessions;
mod settings;
mod signature;
mod statement;
mod tags;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_account;
#[cfg(test)]
mod tests_control;
#[cfg(test)]
mod tests_policy;
#[cfg(test)]
mod tests_token;
mod token;
mod web_identity;

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::serving::{Serving, loopback};
use crate::model::{Clock, Entropy, hex};
use answer::Failure;
use checks::Checks;
use fault::Faults;
use federation::SigninTokens;
use keys::IssuerKeys;
use provider::Provider;
use sessions::Sessions;

pub use fault::Fault;
pub use policy::{TrustPolicyDocument, TrustPolicyError};
pub use session_policy::PACKED_LIMIT;
pub use settings::{
    Account, DemoPrincipal, OidcProvider, Role, RoleTrust, SamlProvider, StsSettings,
};
pub use tags::Tag;

/// The STS API's version, of which there is one.
const VERSION: &str = "2011-06-15";
/// What is logged for a call that succeeded.
const DONE: &str = "OK";
/// And for one that was not answered yet.
const UNDER_WAY: &str = "UnderWay";
/// The actions that can misbehave.
const ASSUMING: &[&str] = &[
    "AssumeRole",
    "AssumeRoleWithSAML",
    "AssumeRoleWithWebIdentity",
];

/// A call that arrived, and what came of it.
#[derive(Debug, Clone, Serialize)]
pub struct StsCall {
    /// The action.
    pub action: String,
    /// The role.
    pub role_arn: Option<String>,
    /// `OK`, or AWS's code; for a fault without one, `Misbehaved`; `UnderWay` until it is answered.
    pub outcome: String,
    /// What was checked and held, in order.
    pub checks: Vec<String>,
    /// The check that did not hold.
    pub refused_by: Option<String>,
    /// When it arrived.
    pub at: DateTime<Utc>,
    /// The request id.
    pub request_id: String,
}

/// What a session carries, without its keys.
#[derive(Debug, Clone, Serialize)]
pub struct IssuedSession {
    /// The key's id.
    pub access_key_id: String,
    /// The role.
    pub role_arn: String,
    /// The assumed role.
    pub arn: String,
    /// When it was issued.
    pub issued_at: DateTime<Utc>,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
    /// Whether it was assumed with another role's credentials.
    pub chained: bool,
    /// The session policy, as it was sent.
    pub policy: Option<String>,
    /// The session tags.
    pub tags: Vec<Tag>,
    /// The keys of the transitive ones.
    pub transitive_tag_keys: Vec<String>,
    /// The source identity.
    pub source_identity: Option<String>,
}

struct Inner {
    roles: Vec<Role>,
    providers: Vec<Provider>,
    principals: Vec<DemoPrincipal>,
    oidc_providers: Vec<OidcProvider>,
    issuer_keys: IssuerKeys,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    sessions: Sessions,
    signin_tokens: SigninTokens,
    calls: Mutex<Vec<StsCall>>,
    faults: Mutex<Faults>,
    lifetime: Mutex<Option<Duration>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A sandbox STS at work; it ends when dropped.
pub struct SandboxSts {
    inner: Arc<Inner>,
    serving: Serving,
}

impl SandboxSts {
    /// Serves an account that has SAML providers only, on a free loopback port. Metadata without a
    /// signing certificate is an error.
    pub async fn start(settings: StsSettings) -> io::Result<Self> {
        Self::start_with(settings, Account::default()).await
    }

    /// Serves an account with users, OIDC providers and roles with policies of their own too.
    #[expect(
        clippy::unused_async,
        reason = "must be called within a runtime, where the server is spawned"
    )]
    pub async fn start_with(settings: StsSettings, account: Account) -> io::Result<Self> {
        signature::prepare();
        let inner = Arc::new(Inner::new(settings, account)?);
        let shared = Arc::clone(&inner);
        let serving = Serving::start(loopback()?, move |app| {
            app.app_data(web::Data::from(Arc::clone(&shared)))
                .app_data(web::PayloadConfig::new(512 * 1024))
                .route("/", web::post().to(handle))
                .route("/log", web::get().to(log))
                .route("/federation", web::get().to(federation::handle))
                .route("/federation", web::post().to(federation::handle));
        })?;
        Ok(Self { inner, serving })
    }

    /// Where it listens: the value for `AWS_ENDPOINT_URL_STS`.
    pub fn url(&self) -> &str {
        &self.serving.url
    }

    /// Every call that has arrived, also one that is not answered yet.
    pub fn calls(&self) -> Vec<StsCall> {
        locked(&self.inner.calls).clone()
    }

    /// How often `role_arn` was asked for, by calls that have arrived.
    pub fn calls_for(&self, role_arn: &str) -> usize {
        let calls = locked(&self.inner.calls);
        calls
            .iter()
            .filter(|call| call.role_arn.as_deref() == Some(role_arn))
            .count()
    }

    /// The console's federation endpoint.
    pub fn federation_url(&self) -> String {
        format!("{}/federation", self.serving.url)
    }

    /// Misbehaves from now on, or behaves again, in all Assume actions.
    pub fn set_fault(&self, fault: Fault) {
        locked(&self.inner.faults).set(fault);
    }

    /// Misbehaves for one role, before what [`Self::set_fault`] says; `None` takes that back.
    pub fn set_fault_for(&self, role_arn: &str, fault: Fault) {
        locked(&self.inner.faults).set_for(role_arn, fault);
    }

    /// Credentials issued from now on end this soon, whatever was asked.
    pub fn set_lifetime(&self, lifetime: Option<Duration>) {
        *locked(&self.inner.lifetime) = lifetime;
    }

    /// Forgets the issuers' keys, as AWS does in time: the next token has them fetched again.
    pub fn forget_issuer_keys(&self) {
        self.inner.issuer_keys.clear();
    }

    /// Refuses sessions of the role that were issued before `time`, as `AWSRevokeOlderSessions` does.
    pub fn revoke_older_than(&self, role_arn: &str, time: DateTime<Utc>) {
        self.inner.sessions.revoke(role_arn, time);
    }

    /// What was issued for a role, the oldest first.
    pub fn issued_for(&self, role_arn: &str) -> Vec<IssuedSession> {
        let sessions = self.inner.sessions.of(role_arn).into_iter();
        sessions.map(sessions::Session::shown).collect()
    }

    /// Ends it.
    pub async fn stop(self) {
        self.serving.stop().await;
    }
}

async fn log(sts: web::Data<Inner>) -> HttpResponse {
    HttpResponse::Ok().json(&*locked(&sts.calls))
}

async fn handle(request: HttpRequest, body: web::Bytes, sts: web::Data<Inner>) -> HttpResponse {
    let request_id = sts.request_id();
    let form: HashMap<String, String> = url::form_urlencoded::parse(&body).into_owned().collect();
    let action = form.get("Action").cloned().unwrap_or_default();
    let call = sts.arrived(&form, &request_id);
    let mut fault = Fault::None;
    if ASSUMING.contains(&action.as_str()) {
        let role = form.get("RoleArn").map(String::as_str);
        fault = locked(&sts.faults).next(role, sts.clock.now());
        if let Fault::Slow(time) = fault {
            tokio::time::sleep(time).await;
        }
        if let Some(failure) = fault.failure(&action) {
            sts.answered(call, failure.code, Checks::default());
            return fault.answer(&failure, &request_id).await;
        }
    }
    let mut checks = Checks::default();
    let outcome = sts.act(&request, &body, &form, &mut checks, &fault).await;
    let code = outcome
        .as_ref()
        .map_or_else(|failure| failure.code, |_| DONE);
    sts.answered(call, code, checks);
    match outcome {
        Ok(result) => answer::ok(&action, &result, &request_id),
        Err(failure) => failure.answer(&request_id),
    }
}

impl Inner {
    fn new(settings: StsSettings, account: Account) -> io::Result<Self> {
        settings::check(&account)?;
        let providers = settings.providers.iter().map(provider::read);
        Ok(Self {
            providers: providers.collect::<io::Result<_>>()?,
            roles: settings::roles(&settings.trusts, account.roles)?,
            principals: account.principals,
            oidc_providers: account.oidc_providers,
            issuer_keys: IssuerKeys::new(account.issuer_documents, account.issuer_bases),
            clock: settings.clock,
            entropy: settings.entropy,
            sessions: Sessions::default(),
            signin_tokens: SigninTokens::default(),
            calls: Mutex::default(),
            faults: Mutex::new(Faults::new()),
            lifetime: Mutex::new(account.lifetime),
        })
    }

    /// The result's XML.
    async fn act(
        &self,
        request: &HttpRequest,
        body: &[u8],
        form: &HashMap<String, String>,
        checks: &mut Checks,
        fault: &Fault,
    ) -> Result<String, Failure> {
        let action = form.get("Action").map(String::as_str).unwrap_or_default();
        let known = form.get("Version").map(String::as_str) == Some(VERSION);
        match action {
            "AssumeRoleWithSAML" if known => self.assume_role_with_saml(form, checks, fault),
            "AssumeRoleWithWebIdentity" if known => {
                self.assume_role_with_web_identity(form, checks, fault)
                    .await
            }
            "AssumeRole" if known => {
                let caller = self.caller(action, request, body, checks)?;
                self.assume_role(&caller, form, checks, fault)
            }
            "GetCallerIdentity" if known => {
                let caller = self.caller(action, request, body, checks)?;
                Ok(Self::caller_identity(&caller))
            }
            "DescribeSandboxSession" if known => {
                let caller = self.caller(action, request, body, checks)?;
                Self::describe_session(&caller)
            }
            _ => Err(Failure::new(
                400,
                "InvalidAction",
                format!("Could not find operation {action} for version {VERSION}"),
            )),
        }
    }

    /// A request id in the form of AWS's.
    fn request_id(&self) -> String {
        let mut bytes = [0; 16];
        self.entropy.fill(&mut bytes);
        let digits = hex(&bytes);
        let part = |from: usize, to: usize| digits.get(from..to).unwrap_or("");
        [
            part(0, 8),
            part(8, 12),
            part(12, 16),
            part(16, 20),
            part(20, 32),
        ]
        .join("-")
    }

    /// Notes a call before anything is done about it; gives its place among them.
    fn arrived(&self, form: &HashMap<String, String>, request_id: &str) -> usize {
        let mut calls = locked(&self.calls);
        calls.push(StsCall {
            action: form.get("Action").cloned().unwrap_or_default(),
            role_arn: form.get("RoleArn").cloned(),
            outcome: UNDER_WAY.to_owned(),
            checks: Vec::new(),
            refused_by: None,
            at: self.clock.now(),
            request_id: request_id.to_owned(),
        });
        calls.len() - 1
    }

    /// Notes what came of it.
    fn answered(&self, call: usize, outcome: &str, checks: Checks) {
        if let Some(call) = locked(&self.calls).get_mut(call) {
            outcome.clone_into(&mut call.outcome);
            call.checks = checks.held;
            call.refused_by = checks.refused_by;
        }
    }
}
