//! One request to STS by each method, and what an SDK error amounts to.
//!
//! Trusts the [`Grant`]: what is asked for is what it says, word for word. With `LOG_SENSITIVE_BODIES` the
//! SDK would print keys and tokens at level trace, so no call runs under the process's subscriber.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sts::Client;
use aws_sdk_sts::config::http::HttpResponse;
use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sts::operation::RequestId;
use aws_sdk_sts::types::Tag;
use tracing::instrument::WithSubscriber;
use tracing::subscriber::NoSubscriber;

use super::Issued;
use super::answer::{self, Question};
use super::error::IssueError;
use super::proof::{Proof, WebToken};
use super::refusal::{Asked, Refusal, chain, readable};
use crate::model::{Clock, SamlProof, SamlProviderArn, SessionDuration};
use crate::policy::Grant;

/// One request, ready to be sent as often as needed.
pub(super) struct Call<'a> {
    pub(super) client: &'a Client,
    pub(super) region: &'a str,
    pub(super) grant: &'a Grant,
    pub(super) proof: Proof<'a>,
}

/// Sends the request once and reads the answer.
pub(super) async fn ask(
    call: &Call<'_>,
    duration: SessionDuration,
    clock: &dyn Clock,
) -> Result<Issued, IssueError> {
    let question = || Question {
        grant: call.grant,
        duration,
        now: clock.now(),
    };
    match call.proof {
        Proof::Saml(provider, proof) => {
            let request = with_saml(call, provider, proof, duration);
            let output = request.send().with_subscriber(NoSubscriber::new()).await;
            let output = output
                .map_err(|error| refused(&error, call.region, duration, Asked::of(call.grant)))?;
            answer::with_saml(&output, &question(), proof)
        }
        Proof::Web(token) => {
            let request = with_token(call, &token, duration);
            let output = request.send().with_subscriber(NoSubscriber::new()).await;
            let output = output
                .map_err(|error| refused(&error, call.region, duration, Asked::of(call.grant)))?;
            answer::with_token(&output, &question(), &token)
        }
        Proof::Own => {
            let request = as_broker(call, duration)?;
            let output = request.send().with_subscriber(NoSubscriber::new()).await;
            let output = output
                .map_err(|error| refused(&error, call.region, duration, Asked::of(call.grant)))?;
            answer::as_broker(&output, &question())
        }
    }
}

fn seconds(duration: SessionDuration) -> i32 {
    i32::try_from(duration.seconds()).unwrap_or(i32::MAX)
}

fn with_saml(
    call: &Call<'_>,
    provider: &SamlProviderArn,
    proof: &SamlProof,
    duration: SessionDuration,
) -> aws_sdk_sts::operation::assume_role_with_saml::builders::AssumeRoleWithSAMLFluentBuilder {
    call.client
        .assume_role_with_saml()
        .role_arn(call.grant.role().as_str())
        .principal_arn(provider.as_str())
        .saml_assertion(proof.encoded.expose())
        .duration_seconds(seconds(duration))
}

/// The token carries tags and source identity, so that nobody adds some on the way.
fn with_token(
    call: &Call<'_>,
    token: &WebToken<'_>,
    duration: SessionDuration,
) -> aws_sdk_sts::operation::assume_role_with_web_identity::builders::AssumeRoleWithWebIdentityFluentBuilder
{
    let grant = call.grant;
    call.client
        .assume_role_with_web_identity()
        .role_arn(grant.role().as_str())
        .role_session_name(grant.session_name().to_string())
        .web_identity_token(token.jwt.expose())
        .duration_seconds(seconds(duration))
        .set_policy(grant.session_policy().map(ToString::to_string))
}

fn as_broker(
    call: &Call<'_>,
    duration: SessionDuration,
) -> Result<aws_sdk_sts::operation::assume_role::builders::AssumeRoleFluentBuilder, IssueError> {
    let grant = call.grant;
    let request = call
        .client
        .assume_role()
        .role_arn(grant.role().as_str())
        .role_session_name(grant.session_name().to_string())
        .source_identity(grant.person().user.as_str())
        .duration_seconds(seconds(duration))
        .set_policy(grant.session_policy().map(ToString::to_string))
        .set_external_id(grant.external_id().map(str::to_owned));
    let request = grant.tags().iter().try_fold(request, |request, tag| {
        let tag = Tag::builder().key(&tag.key).value(&tag.value).build();
        tag.map(|tag| request.tags(tag))
    });
    let request = request.map_err(|error| IssueError::BadAnswer {
        what: chain(&error),
        request_id: None,
    })?;
    let keys = grant.transitive_tag_keys();
    Ok(request.set_transitive_tag_keys((!keys.is_empty()).then(|| keys.to_vec())))
}

/// What an SDK error amounts to.
pub(super) fn refused<E>(
    error: &SdkError<E, HttpResponse>,
    region: &str,
    requested: SessionDuration,
    asked: Asked,
) -> IssueError
where
    E: ProvideErrorMetadata + Error + 'static,
    SdkError<E, HttpResponse>: RequestId,
{
    let SdkError::ServiceError(context) = error else {
        return unanswered(error);
    };
    let request_id = error.request_id().map(readable);
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
        asked,
    };
    refusal.into()
}

/// No answer at all: no time, no way, or nothing to sign with.
fn unanswered<E: Error + 'static>(error: &SdkError<E, HttpResponse>) -> IssueError {
    let cause = chain(error);
    match credentials_error(error) {
        Some(
            CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_),
        ) => IssueError::NoIdentity { cause },
        Some(_) => IssueError::IdentityAway { cause },
        None if matches!(error, SdkError::TimeoutError(_)) => IssueError::TimedOut,
        None => IssueError::Unreachable { cause },
    }
}

/// What the default chain said, wherever the SDK wrapped it.
fn credentials_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a CredentialsError> {
    let mut next = Some(error);
    while let Some(at) = next {
        if let Some(found) = at.downcast_ref::<CredentialsError>() {
            return Some(found);
        }
        next = at.source();
    }
    None
}
