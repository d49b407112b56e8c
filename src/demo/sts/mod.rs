//! A sandbox STS that is as strict as AWS: signature, Issuer, audience, Recipient against the role's
//! trust policy, one bearer confirmation, five minutes, session name, offered pair, maximum duration;
//! AWS's codes and texts. It can be told to misbehave.
//!
//! Where AWS's behaviour is not known it takes the stricter side: the pair must stand in the assertion,
//! the earlier IssueInstant counts, and an audience beside AWS's is taken within one restriction only.

mod answer;
mod assume;
mod checks;
mod identity;
mod parameters;
mod provider;
mod sessions;
mod signature;
mod statement;
#[cfg(test)]
mod tests;

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
use provider::Provider;
use sessions::Sessions;

/// The STS API's version, of which there is one.
const VERSION: &str = "2011-06-15";
/// What is logged for a call that succeeded.
const DONE: &str = "OK";

/// STS's part of an AWS account.
pub struct StsSettings {
    /// The roles with their trust policies.
    pub trusts: Vec<RoleTrust>,
    /// The SAML providers in IAM.
    pub providers: Vec<SamlProvider>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
}

/// A SAML provider in IAM.
#[derive(Debug, Clone)]
pub struct SamlProvider {
    /// Its ARN.
    pub arn: String,
    /// The metadata that was uploaded.
    pub metadata_xml: String,
}

/// A role with what its trust policy says.
#[derive(Debug, Clone)]
pub struct RoleTrust {
    /// The role.
    pub role_arn: String,
    /// The providers that are its principal.
    pub provider_arns: Vec<String>,
    /// The values of `SAML:aud`.
    pub saml_aud: Vec<String>,
    /// `MaxSessionDuration`, in seconds.
    pub max_session_duration: u32,
}

/// How `AssumeRoleWithSAML` misbehaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Not at all.
    None,
    /// Throttles every call.
    Throttle,
    /// Answers 503.
    ServiceUnavailable,
    /// Never answers.
    Hang,
    /// Answers 200 with no XML.
    Garbage,
    /// Answers for another role.
    WrongRole,
    /// Answers for another audience.
    WrongAudience,
    /// Denies every call.
    Denied,
    /// Cuts the connection.
    DropConnection,
    /// Answers after this time.
    Slow(Duration),
    /// One way for some calls, then another.
    FirstThen {
        /// How the first calls go.
        first: Box<Fault>,
        /// How many those are.
        calls: usize,
        /// How all later ones go.
        then: Box<Fault>,
    },
}

impl Fault {
    /// The fault of the next call.
    fn next(&mut self) -> Self {
        match self {
            Self::FirstThen { first, calls, then } => {
                if let Some(left) = calls.checked_sub(1) {
                    *calls = left;
                    return first.next();
                }
                *self = (**then).clone();
                self.next()
            }
            one => one.clone(),
        }
    }
}

/// A call that was made, and what came of it.
#[derive(Debug, Clone, Serialize)]
pub struct StsCall {
    /// The action.
    pub action: String,
    /// The role.
    pub role_arn: Option<String>,
    /// `OK`, or AWS's code; for a fault without one, `Misbehaved`.
    pub outcome: String,
    /// What was checked and held, in order.
    pub checks: Vec<String>,
    /// The check that did not hold.
    pub refused_by: Option<String>,
    /// When.
    pub at: DateTime<Utc>,
    /// The request id.
    pub request_id: String,
}

struct Inner {
    trusts: Vec<RoleTrust>,
    providers: Vec<Provider>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    sessions: Sessions,
    calls: Mutex<Vec<StsCall>>,
    fault: Mutex<Fault>,
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
    /// Serves on a free loopback port. Metadata without a signing certificate is an error.
    #[expect(
        clippy::unused_async,
        reason = "must be called within a runtime, where the server is spawned"
    )]
    pub async fn start(settings: StsSettings) -> io::Result<Self> {
        signature::prepare();
        let inner = Arc::new(Inner::new(settings)?);
        let shared = Arc::clone(&inner);
        let serving = Serving::start(loopback()?, move |app| {
            app.app_data(web::Data::from(Arc::clone(&shared)))
                .app_data(web::PayloadConfig::new(512 * 1024))
                .route("/", web::post().to(handle))
                .route("/log", web::get().to(log));
        })?;
        Ok(Self { inner, serving })
    }

    /// Where it listens: the value for `AWS_ENDPOINT_URL_STS`.
    pub fn url(&self) -> &str {
        &self.serving.url
    }

    /// Every call so far.
    pub fn calls(&self) -> Vec<StsCall> {
        locked(&self.inner.calls).clone()
    }

    /// How often `role_arn` was asked for.
    pub fn calls_for(&self, role_arn: &str) -> usize {
        let calls = locked(&self.inner.calls);
        calls
            .iter()
            .filter(|call| call.role_arn.as_deref() == Some(role_arn))
            .count()
    }

    /// Misbehaves from now on, or behaves again.
    pub fn set_fault(&self, fault: Fault) {
        *locked(&self.inner.fault) = fault;
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
    let mut fault = Fault::None;
    if action == "AssumeRoleWithSAML" {
        fault = locked(&sts.fault).next();
        if let Some(answer) = sts.misbehave(&fault, &form, &request_id).await {
            return answer;
        }
    }
    let mut checks = Checks::default();
    let known = form.get("Version").map(String::as_str) == Some(VERSION);
    let outcome = match action.as_str() {
        "AssumeRoleWithSAML" if known => sts.assume_role_with_saml(&form, &mut checks, &fault),
        "GetCallerIdentity" if known => sts.caller_identity(&request, &body, &mut checks),
        _ => Err(Failure::new(
            400,
            "InvalidAction",
            format!("Could not find operation {action} for version {VERSION}"),
        )),
    };
    let code = outcome
        .as_ref()
        .map_or_else(|failure| failure.code, |_| DONE);
    sts.record(&form, code, checks, &request_id);
    match outcome {
        Ok(result) => answer::ok(&action, &result, &request_id),
        Err(failure) => failure.answer(&request_id),
    }
}

impl Inner {
    fn new(settings: StsSettings) -> io::Result<Self> {
        let providers = settings.providers.iter().map(provider::read);
        Ok(Self {
            providers: providers.collect::<io::Result<_>>()?,
            trusts: settings.trusts,
            clock: settings.clock,
            entropy: settings.entropy,
            sessions: Sessions::default(),
            calls: Mutex::default(),
            fault: Mutex::new(Fault::None),
        })
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

    fn record(
        &self,
        form: &HashMap<String, String>,
        outcome: &str,
        checks: Checks,
        request_id: &str,
    ) {
        locked(&self.calls).push(StsCall {
            action: form.get("Action").cloned().unwrap_or_default(),
            role_arn: form.get("RoleArn").cloned(),
            outcome: outcome.to_owned(),
            checks: checks.held,
            refused_by: checks.refused_by,
            at: self.clock.now(),
            request_id: request_id.to_owned(),
        });
    }

    /// Answers in the wrong way; `None` where the fault is in a good answer.
    async fn misbehave(
        &self,
        fault: &Fault,
        form: &HashMap<String, String>,
        request_id: &str,
    ) -> Option<HttpResponse> {
        let failure = match fault {
            Fault::Throttle => Failure::new(400, "Throttling", "Rate exceeded"),
            Fault::ServiceUnavailable => {
                let text = "Service is unavailable";
                Failure::new(503, "ServiceUnavailable", text)
            }
            Fault::Denied => Failure::denied(),
            Fault::Hang | Fault::Garbage | Fault::DropConnection => {
                Failure::new(200, "Misbehaved", "")
            }
            Fault::Slow(time) => {
                tokio::time::sleep(*time).await;
                return None;
            }
            Fault::None | Fault::WrongRole | Fault::WrongAudience | Fault::FirstThen { .. } => {
                return None;
            }
        };
        self.record(form, failure.code, Checks::default(), request_id);
        match fault {
            Fault::Hang => std::future::pending().await,
            Fault::Garbage => Some(HttpResponse::Ok().body("this is no XML")),
            Fault::DropConnection => Some(answer::cut()),
            _ => Some(failure.answer(request_id)),
        }
    }
}
