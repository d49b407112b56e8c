//! rolegate's own AWS identity, for method broker: the AWS default credential chain, asked on first use.
//!
//! The one place that may read `~/.aws` (the chain's `profile` step: the process's own profile) and the
//! environment's AWS keys; then web identity, container and instance, as every AWS SDK does, without
//! SSO. Trusts whoever runs the process for who it is. The SDK's identity cache holds and renews the keys;
//! nothing of them is logged, stored or handed out, and the role they belong to is handed to nobody.

use std::collections::BTreeMap;

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::environment::region::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_sts::Client;
use aws_sdk_sts::config::{IdentityCache, Region, SharedHttpClient};
use aws_sdk_sts::operation::RequestId;
use aws_smithy_async::rt::sleep::TokioSleep;
use tokio::sync::OnceCell;
use tracing::instrument::WithSubscriber;
use tracing::subscriber::NoSubscriber;

use super::error::IssueError;
use super::identity::CallerIdentity;
use super::refusal::{Asked, readable};
use super::{StsSettings, ask, transport};
use crate::model::{Method, Partition, RoleArn, SessionDuration};

/// What signs as rolegate, made on first use.
#[derive(Default)]
pub(super) struct Own {
    provider: OnceCell<SharedCredentialsProvider>,
    clients: OnceCell<BTreeMap<Partition, Client>>,
    identity: OnceCell<Identity>,
}

/// Who rolegate is to AWS.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) caller: CallerIdentity,
}

impl Identity {
    /// Whether it is a session of `role`. An assumed role's ARN has no path, and IAM takes no two role
    /// names of an account that differ in case alone.
    pub(super) fn is_role(&self, role: &RoleArn) -> bool {
        self.caller.account == role.account().as_str()
            && self
                .role_name()
                .is_some_and(|name| name.eq_ignore_ascii_case(role.name()))
    }

    /// Whether assuming a role is role chaining, which AWS caps at an hour.
    pub(super) fn is_chained(&self) -> bool {
        self.role_name().is_some()
    }

    /// `arn:aws:sts::{account}:assumed-role/{name}/{session}`
    fn role_name(&self) -> Option<&str> {
        let (_, name) = self.caller.arn.split_once(":assumed-role/")?;
        name.split('/').next()
    }
}

impl Own {
    /// The client that signs, for `partition`.
    pub(super) async fn client(
        &self,
        settings: &StsSettings,
        http: &SharedHttpClient,
        partition: Partition,
    ) -> Result<&Client, IssueError> {
        let clients = self.clients.get_or_init(|| async {
            let region = settings.regions.get(&partition).cloned();
            let provider = self.provider.get_or_init(|| chain_of(region)).await;
            clients(settings, http, provider)
        });
        let clients = clients.with_subscriber(NoSubscriber::new()).await;
        clients
            .get(&partition)
            .ok_or(IssueError::NoRegion { partition })
    }

    /// Who that is, by AWS's own word, asked for once.
    pub(super) async fn identity(
        &self,
        client: &Client,
        region: &str,
    ) -> Result<&Identity, IssueError> {
        // With LOG_SENSITIVE_BODIES the SDK would print keys at level trace.
        let asked = self.identity.get_or_try_init(|| whoami(client, region));
        asked.with_subscriber(NoSubscriber::new()).await
    }
}

async fn whoami(client: &Client, region: &str) -> Result<Identity, IssueError> {
    let answer = client.get_caller_identity().send().await;
    let answer = answer.map_err(|error| {
        let asked = Asked::by(Method::Broker);
        let requested = SessionDuration::DEFAULT;
        match ask::refused(&error, region, requested, asked) {
            // Nobody needs a permission for this call.
            IssueError::AccessDenied {
                message,
                request_id,
                ..
            } => IssueError::IdentityRefused {
                message,
                request_id,
            },
            other => other,
        }
    })?;
    let request_id = answer.request_id().map(readable);
    let part = |name: &str, part: Option<String>| {
        let missing = || IssueError::BadAnswer {
            what: format!("it holds no {name}"),
            request_id: request_id.clone(),
        };
        part.filter(|part| !part.is_empty()).ok_or_else(missing)
    };
    Ok(Identity {
        caller: CallerIdentity {
            account: part("Account", answer.account)?,
            arn: part("Arn", answer.arn)?,
            user_id: part("UserId", answer.user_id)?,
        },
    })
}

/// The default chain; `region` is for its own STS calls where the environment names none, so that nothing
/// but the chain's last step asks an instance.
async fn chain_of(region: Option<String>) -> SharedCredentialsProvider {
    // Whatever the endpoint of STS is, a step of the chain may need TLS.
    let config = ProviderConfig::empty()
        .with_http_client(transport::http_client(&[None]))
        .with_sleep_impl(TokioSleep::new());
    let named = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
        .or_else(region.map(Region::new));
    let chain = DefaultCredentialsChain::builder()
        .configure(config)
        .region(named);
    SharedCredentialsProvider::new(chain.build().await)
}

fn clients(
    settings: &StsSettings,
    http: &SharedHttpClient,
    provider: &SharedCredentialsProvider,
) -> BTreeMap<Partition, Client> {
    let endpoint = settings.endpoint.as_deref();
    let timeout = settings.patient_attempt_timeout;
    let client = |(partition, region): (&Partition, &String)| {
        let config = transport::config(http.clone(), region.clone(), endpoint, timeout)
            // A step of the chain may ask STS too.
            .identity_cache(IdentityCache::lazy().load_timeout(timeout).build())
            .credentials_provider(provider.clone());
        (*partition, Client::from_conf(config.build()))
    };
    settings.regions.iter().map(client).collect()
}

#[cfg(test)]
impl Own {
    /// An identity that no environment gave.
    pub(super) fn of(provider: SharedCredentialsProvider) -> Self {
        Self {
            provider: OnceCell::new_with(Some(provider)),
            ..Self::default()
        }
    }
}
