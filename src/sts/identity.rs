//! What a job's AWS SDK does: fetches credentials from the container endpoint and asks who they are.
//!
//! Trusts the environment variables that a launcher set, as every AWS SDK does. Never reads `~/.aws` and
//! never prints what it fetched.

use std::time::Duration;

use aws_config::ecs::EcsCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::provider::ProvideCredentials;
use aws_sdk_sts::Client;
use aws_sdk_sts::config::SharedHttpClient;
use aws_smithy_async::rt::sleep::TokioSleep;
use tracing::instrument::WithSubscriber;
use tracing::subscriber::NoSubscriber;

use super::refusal::chain;
use super::transport;

/// How long the question may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Whom AWS takes the credentials for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallerIdentity {
    /// The account.
    pub account: String,
    /// The ARN of the session.
    pub arn: String,
    /// The unique id.
    pub user_id: String,
}

/// Fetches credentials from `AWS_CONTAINER_CREDENTIALS_FULL_URI` and asks STS who they are
/// (`GetCallerIdentity`), at `AWS_ENDPOINT_URL_STS` and in `AWS_REGION` where these are set.
///
/// # Errors
/// A text that says which step went wrong, with the whole chain of causes.
pub async fn caller_identity_from_environment() -> Result<CallerIdentity, String> {
    let container = variable("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    let endpoint = variable("AWS_ENDPOINT_URL_STS");
    let region = variable("AWS_REGION").unwrap_or_else(|| "us-east-1".to_owned());
    let http = transport::http_client(&[container.as_deref(), endpoint.as_deref()]);
    let provider_config = ProviderConfig::empty()
        .with_http_client(http.clone())
        .with_sleep_impl(TokioSleep::new());
    let provider = EcsCredentialsProvider::builder()
        .configure(&provider_config)
        .build();
    // At level trace the SDK prints headers, and with LOG_SENSITIVE_BODIES the keys.
    ask(http, region, endpoint.as_deref(), provider)
        .with_subscriber(NoSubscriber::new())
        .await
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Fetches first and asks afterwards, so that an error names the step that failed.
pub(super) async fn ask(
    http: SharedHttpClient,
    region: String,
    endpoint: Option<&str>,
    provider: impl ProvideCredentials,
) -> Result<CallerIdentity, String> {
    let credentials = provider
        .provide_credentials()
        .await
        .map_err(|error| format!("no credentials: {}", chain(&error)))?;
    let config =
        transport::config(http, region, endpoint, TIMEOUT).credentials_provider(credentials);
    let answer = Client::from_conf(config.build())
        .get_caller_identity()
        .send()
        .await
        .map_err(|error| format!("STS does not say who this is: {}", chain(&error)))?;
    let missing = |what: &str| format!("the answer of STS holds no {what}");
    Ok(CallerIdentity {
        account: answer.account.ok_or_else(|| missing("Account"))?,
        arn: answer.arn.ok_or_else(|| missing("Arn"))?,
        user_id: answer.user_id.ok_or_else(|| missing("UserId"))?,
    })
}
