//! A grant becomes credentials; the only user of the AWS SDK.
//!
//! Trusts a [`Grant`] and the proof that came with its subject. Sends STS the very document that arrived
//! and takes no answer for anything else than what was asked. Never signs a request, never reads
//! `~/.aws`, and never lets a key or an assertion into an error or a log.

mod answer;
mod console;
mod error;
mod identity;
mod transport;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_sdk_sts::Client;
use aws_sdk_sts::config::http::HttpResponse;
use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sts::operation::RequestId;
use aws_sdk_sts::operation::assume_role_with_saml::AssumeRoleWithSAMLError;
use chrono::TimeDelta;
use tracing::instrument::WithSubscriber;
use tracing::subscriber::NoSubscriber;

pub use console::{CONSOLE_SOURCES, Federation, FederationError};
pub use error::IssueError;
pub use identity::{CallerIdentity, caller_identity_from_environment};

use crate::model::{Clock, Credentials, Partition, SamlProof, SamlProviderArn, SessionDuration};
use crate::policy::Grant;
use answer::Question;
use error::{Refusal, chain, readable};

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
    clients: OnceLock<BTreeMap<Partition, Client>>,
}

impl fmt::Debug for Sts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sts")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// One request, ready to be sent as often as needed.
struct Call<'a> {
    client: &'a Client,
    region: &'a str,
    grant: &'a Grant,
    provider: &'a SamlProviderArn,
    proof: &'a SamlProof,
}

impl Sts {
    /// A way to STS; nothing is opened or read before the first call.
    pub fn new(settings: StsSettings, clock: Arc<dyn Clock>) -> Self {
        Self {
            settings,
            clock,
            clients: OnceLock::new(),
        }
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
        let (client, region) = self.client(grant.role().partition())?;
        let call = Call {
            client,
            region,
            grant,
            provider,
            proof,
        };
        tokio::time::timeout(self.settings.total_timeout, self.call(&call))
            .await
            .unwrap_or(Err(IssueError::TimedOut))
    }

    async fn call(&self, call: &Call<'_>) -> Result<Issued, IssueError> {
        let mut duration = call.grant.duration();
        let mut second_attempt_left = true;
        loop {
            match self.attempt(call, duration).await {
                Err(IssueError::DurationTooLong { .. }) if duration > SessionDuration::DEFAULT => {
                    duration = SessionDuration::DEFAULT;
                }
                Err(error) if error.may_retry() && second_attempt_left => {
                    second_attempt_left = false;
                    tokio::time::sleep(BACKOFF).await;
                }
                done => return done,
            }
        }
    }

    async fn attempt(
        &self,
        call: &Call<'_>,
        duration: SessionDuration,
    ) -> Result<Issued, IssueError> {
        let Call { grant, proof, .. } = *call;
        let seconds = i32::try_from(duration.seconds()).unwrap_or(i32::MAX);
        let answer = call
            .client
            .assume_role_with_saml()
            .role_arn(grant.role().as_str())
            .principal_arn(call.provider.as_str())
            .saml_assertion(proof.encoded.expose())
            .duration_seconds(seconds)
            .send()
            // With LOG_SENSITIVE_BODIES the SDK would print the keys at level trace.
            .with_subscriber(NoSubscriber::new())
            .await;
        let output = answer.map_err(|error| refused(&error, call.region, duration))?;
        let now = self.clock.now();
        answer::read(
            &output,
            &Question {
                grant,
                proof,
                duration,
                now,
            },
        )
    }

    fn client(&self, partition: Partition) -> Result<(&Client, &str), IssueError> {
        let clients = self.clients.get_or_init(|| clients(&self.settings));
        match (
            clients.get(&partition),
            self.settings.regions.get(&partition),
        ) {
            (Some(client), Some(region)) => Ok((client, region)),
            _ => Err(IssueError::NoRegion { partition }),
        }
    }
}

fn clients(settings: &StsSettings) -> BTreeMap<Partition, Client> {
    let endpoint = settings.endpoint.as_deref();
    let http = transport::http_client(&[endpoint]);
    let client = |(partition, region): (&Partition, &String)| {
        let timeout = settings.attempt_timeout;
        let config = transport::config(http.clone(), region.clone(), endpoint, timeout);
        (*partition, Client::from_conf(config.build()))
    };
    settings.regions.iter().map(client).collect()
}

fn refused(
    error: &SdkError<AssumeRoleWithSAMLError, HttpResponse>,
    region: &str,
    requested: SessionDuration,
) -> IssueError {
    let request_id = error.request_id().map(readable);
    match error {
        SdkError::TimeoutError(_) => IssueError::TimedOut,
        SdkError::ServiceError(context) => {
            let status = context.raw().status().as_u16();
            if (200..300).contains(&status) {
                let what = chain(context.err());
                return IssueError::BadAnswer { what, request_id };
            }
            let refusal = Refusal {
                status,
                code: error.code().map(readable),
                message: error.message().map(readable).unwrap_or_default(),
                request_id,
                region: region.to_owned(),
                requested,
            };
            refusal.into()
        }
        _ => IssueError::Unreachable {
            cause: chain(error),
        },
    }
}
