//! A grant becomes credentials; the only user of the AWS SDK.
//!
//! Trusts a [`Grant`] and the proof that came with its subject. Sends STS the very document that arrived,
//! or a token that rolegate signed for this one grant, and takes no answer for anything else than what was
//! asked. Signs a request for method broker alone (`own`, the one place that may read `~/.aws`), and never
//! lets a key, a token or an assertion into an error or a log.

mod answer;
mod ask;
mod calls;
mod console;
mod error;
mod identity;
mod mends;
mod own;
mod proof;
mod refusal;
pub mod relay;
mod span;
mod transport;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_sdk_sts::Client;
use aws_sdk_sts::config::SharedHttpClient;
use chrono::TimeDelta;

pub use calls::{CallOutcome, Calls};
pub use console::{CONSOLE_SOURCES, Federation, FederationError};
pub use error::IssueError;
pub use identity::{CallerIdentity, caller_identity_from_environment};
pub use relay::RelayToken;

use crate::model::{Clock, Credentials, IdToken, Partition, SamlProof, SessionDuration};
use crate::policy::Grant;
use ask::Call;
use own::Own;
use proof::{Proof, WebToken};

/// STS takes an assertion for five minutes after its issuance; 30 s of them are left to clocks and wire.
const WINDOW: TimeDelta = TimeDelta::seconds(300 - 30);

/// The pause before a second attempt.
const BACKOFF: Duration = Duration::from_millis(150);

/// How STS is called.
#[derive(Debug, Clone)]
pub struct StsSettings {
    /// The region whose STS issues for roles of a partition.
    pub regions: BTreeMap<Partition, String>,
    /// The URL that takes the place of every region's.
    pub endpoint: Option<String>,
    /// How long one attempt may take.
    pub attempt_timeout: Duration,
    /// How long everything may take, a second attempt and the pause before it included.
    pub total_timeout: Duration,
    /// The same two for relay and broker, where nobody stands and waits.
    pub patient_attempt_timeout: Duration,
    /// The whole of such a call.
    pub patient_total_timeout: Duration,
}

impl Default for StsSettings {
    fn default() -> Self {
        let regions = [
            (Partition::Aws, "us-east-1"),
            (Partition::AwsUsGov, "us-gov-west-1"),
            (Partition::AwsCn, "cn-north-1"),
        ];
        Self {
            regions: regions
                .map(|(partition, region)| (partition, region.to_owned()))
                .into(),
            endpoint: None,
            attempt_timeout: Duration::from_secs(3),
            total_timeout: Duration::from_millis(4500),
            patient_attempt_timeout: Duration::from_secs(12),
            patient_total_timeout: Duration::from_secs(25),
        }
    }
}

/// What STS issued for a grant.
#[derive(Debug)]
pub struct Issued {
    /// The credentials.
    pub credentials: Credentials,
    /// STS's request id.
    pub request_id: Option<String>,
    /// The ARN of the session.
    pub assumed_role_arn: String,
    /// The duration that was asked for in the call that succeeded.
    pub duration: SessionDuration,
}

/// The way to STS.
pub struct Sts {
    settings: StsSettings,
    clock: Arc<dyn Clock>,
    unsigned: OnceLock<Unsigned>,
    own: Own,
    calls: Calls,
}

impl fmt::Debug for Sts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sts")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// The clients that sign nothing, by partition.
struct Unsigned {
    http: SharedHttpClient,
    quick: BTreeMap<Partition, Client>,
    patient: BTreeMap<Partition, Client>,
}

impl Sts {
    /// A way to STS; nothing is opened or read before the first call.
    pub fn new(settings: StsSettings, clock: Arc<dyn Clock>) -> Self {
        Self {
            settings,
            clock,
            unsigned: OnceLock::new(),
            own: Own::default(),
            calls: Calls::default(),
        }
    }

    /// What STS was asked so far.
    pub fn calls(&self) -> &Calls {
        &self.calls
    }

    /// Asks for credentials with the assertion (`AssumeRoleWithSAML`).
    ///
    /// A transient failure is tried once more. Where the role's own maximum is below the duration, one
    /// more call asks for 3,600 s, which every role permits.
    pub async fn issue_with_saml(
        &self,
        grant: &Grant,
        proof: &SamlProof,
    ) -> Result<Issued, IssueError> {
        if self.clock.now() > proof.issued_at + WINDOW {
            return Err(IssueError::WindowPassed);
        }
        let provider = grant.provider().ok_or(IssueError::NoProvider)?;
        let partition = grant.role().partition();
        let call = Call {
            client: picked(&self.unsigned().quick, partition)?,
            region: self.region(partition)?,
            grant,
            proof: Proof::Saml(provider, proof),
        };
        let limit = self.settings.total_timeout;
        within(limit, self.call(&call, grant.duration())).await
    }

    /// Asks for credentials with a token that rolegate signed (`AssumeRoleWithWebIdentity`), for no longer
    /// than the grant lasts.
    ///
    /// As with an assertion, and where AWS cannot read the issuer's keys, up to three times more.
    pub async fn issue_with_relay(
        &self,
        grant: &Grant,
        token: &RelayToken,
    ) -> Result<Issued, IssueError> {
        let token = WebToken::of_relay(token, grant);
        self.issue_with_token(grant, token).await
    }

    /// Asks for credentials with the identity provider's own ID token (`AssumeRoleWithWebIdentity`), for no
    /// longer than the grant lasts.
    ///
    /// STS is not asked where the token has ended. As with relay, several times where AWS cannot read the
    /// provider's keys. Where [`IssueError::wants_newer_token`] says so, a newer token may be taken.
    pub async fn issue_with_web_identity(
        &self,
        grant: &Grant,
        token: &IdToken,
    ) -> Result<Issued, IssueError> {
        if self.clock.now() >= token.expires_at {
            return Err(IssueError::IdTokenOver {
                at: token.expires_at,
            });
        }
        self.issue_with_token(grant, token.into()).await
    }

    async fn issue_with_token(
        &self,
        grant: &Grant,
        token: WebToken<'_>,
    ) -> Result<Issued, IssueError> {
        let partition = grant.role().partition();
        let call = Call {
            client: picked(&self.unsigned().patient, partition)?,
            region: self.region(partition)?,
            grant,
            proof: Proof::Web(token),
        };
        let duration = grant.duration_at(self.clock.now());
        let limit = self.settings.patient_total_timeout;
        within(limit, self.call(&call, duration)).await
    }

    /// Asks for credentials with rolegate's own identity (`AssumeRole`), for no longer than the grant lasts.
    ///
    /// The role that rolegate runs as is refused. Where that identity is a role itself, AWS gives an hour
    /// at most, and no more is asked for.
    pub async fn issue_as_broker(&self, grant: &Grant) -> Result<Issued, IssueError> {
        let limit = self.settings.patient_total_timeout;
        within(limit, self.broker(grant)).await
    }

    #[cfg(test)]
    fn signing_with(self, keys: aws_credential_types::provider::SharedCredentialsProvider) -> Self {
        let own = Own::of(keys);
        Self { own, ..self }
    }

    async fn broker(&self, grant: &Grant) -> Result<Issued, IssueError> {
        let role = grant.role();
        let region = self.region(role.partition())?;
        let http = &self.unsigned().http;
        let client = self
            .own
            .client(&self.settings, http, role.partition())
            .await?;
        let identity = self.own.identity(client, region).await?;
        if identity.is_role(role) {
            return Err(IssueError::OwnRole { role: role.clone() });
        }
        let mut duration = grant.duration_at(self.clock.now());
        if identity.is_chained() {
            duration = duration.min(SessionDuration::DEFAULT);
        }
        let call = Call {
            client,
            region,
            grant,
            proof: Proof::Own,
        };
        self.call(&call, duration).await
    }

    /// Who rolegate is to AWS in `partition`, for method broker.
    pub async fn own_identity(&self, partition: Partition) -> Result<CallerIdentity, IssueError> {
        let region = self.region(partition)?;
        let asked = async {
            let http = &self.unsigned().http;
            let client = self.own.client(&self.settings, http, partition).await?;
            Ok(self.own.identity(client, region).await?.caller.clone())
        };
        within(self.settings.patient_total_timeout, asked).await
    }

    async fn call(
        &self,
        call: &Call<'_>,
        mut duration: SessionDuration,
    ) -> Result<Issued, IssueError> {
        let mut retried = 0;
        let mut pause = BACKOFF;
        loop {
            let under_way = self.calls.begin(call.grant.method());
            let asked = Box::pin(ask::ask(call, duration, &*self.clock));
            let answer = span::traced(call, asked).await;
            match under_way.came_to(answer) {
                Err(IssueError::DurationTooLong { .. }) if duration > SessionDuration::DEFAULT => {
                    duration = SessionDuration::DEFAULT;
                }
                Err(error) if retried < error.retries() => {
                    retried += 1;
                    tokio::time::sleep(pause).await;
                    pause *= 3;
                }
                done => return done,
            }
        }
    }

    fn region(&self, partition: Partition) -> Result<&str, IssueError> {
        let region = self.settings.regions.get(&partition);
        region
            .map(String::as_str)
            .ok_or(IssueError::NoRegion { partition })
    }

    fn unsigned(&self) -> &Unsigned {
        self.unsigned.get_or_init(|| Unsigned::new(&self.settings))
    }
}

impl Unsigned {
    fn new(settings: &StsSettings) -> Self {
        let endpoint = settings.endpoint.as_deref();
        let http = transport::http_client(&[endpoint]);
        let clients = |timeout| {
            let client = |(partition, region): (&Partition, &String)| {
                let config = transport::config(http.clone(), region.clone(), endpoint, timeout);
                (*partition, Client::from_conf(config.build()))
            };
            settings.regions.iter().map(client).collect()
        };
        Self {
            quick: clients(settings.attempt_timeout),
            patient: clients(settings.patient_attempt_timeout),
            http: http.clone(),
        }
    }
}

fn picked(
    clients: &BTreeMap<Partition, Client>,
    partition: Partition,
) -> Result<&Client, IssueError> {
    clients
        .get(&partition)
        .ok_or(IssueError::NoRegion { partition })
}

async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, IssueError>>,
) -> Result<T, IssueError> {
    tokio::time::timeout(limit, work)
        .await
        .unwrap_or(Err(IssueError::TimedOut))
}
