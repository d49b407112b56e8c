//! Where credentials come from: one gateway, asked as one identity.

use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::json;
use zeroize::Zeroizing;

use super::error::{AgentError, Trouble};
use super::gateway::{Gateway, trouble, unexpected};
use super::identity::{Identity, LEASE_TOKEN, Proof, sign_in_needed};
use super::wire::JobCredentials;
use crate::model::{Clock, RoleArn, Secret};

/// What of the command line says where to ask, and as whom.
pub(super) struct Choice {
    pub(super) url: Option<String>,
    pub(super) lease_token_file: Option<PathBuf>,
    pub(super) role: Option<RoleArn>,
}

/// One gateway, asked as one identity.
pub(super) struct Source {
    pub(super) gateway: Gateway,
    identity: Identity,
    role: Option<RoleArn>,
    clock: Arc<dyn Clock>,
}

/// A web identity token, and what it is for.
pub(super) struct WebIdentity {
    pub(super) token: Secret,
    pub(super) role_arn: String,
    pub(super) expires_at: DateTime<Utc>,
}

#[derive(Deserialize)]
struct GivenToken {
    token: String,
    role_arn: String,
    expires_at: DateTime<Utc>,
}

impl Source {
    /// As the command line and the environment say.
    pub(super) fn choose(choice: Choice, clock: Arc<dyn Clock>) -> Result<Self, AgentError> {
        let url = choice.url.filter(|url| !url.is_empty());
        let gateway = Gateway::new(&url.ok_or(AgentError::NoUrl)?)?;
        let variable = std::env::var(LEASE_TOKEN).ok();
        let role = choice.role.clone();
        let identity = Identity::choose(choice.lease_token_file, variable, role)?;
        Ok(Self {
            gateway,
            identity,
            role: choice.role,
            clock,
        })
    }

    /// Whether it asks with a lease.
    pub(super) fn is_lease(&self) -> bool {
        !matches!(self.identity, Identity::Person(..))
    }

    /// The token as it is now.
    pub(super) fn proof(&self) -> Result<Proof<'_>, Trouble> {
        self.identity.proof(self.gateway.url())
    }

    /// The role that was asked for.
    pub(super) fn role(&self) -> Option<&RoleArn> {
        self.role.as_ref()
    }

    /// Credentials that the gateway gives now.
    pub(super) async fn credentials(&self) -> Result<JobCredentials, Trouble> {
        self.credentials_with(&self.proof()?).await
    }

    /// The same, with a token that was read before.
    pub(super) async fn credentials_with(
        &self,
        proof: &Proof<'_>,
    ) -> Result<JobCredentials, Trouble> {
        let answer = match proof {
            Proof::Lease(token) => self.gateway.get("/v1/credentials", token).await?,
            Proof::Person(token, role) => {
                let order = json!({ "role_arn": role.as_str() });
                let path = "/api/v1/credentials";
                self.gateway.post(path, Some(token), &order).await?
            }
        };
        if answer.status != 200 {
            return Err(match (proof, answer.status) {
                (Proof::Person(..), 401) => sign_in_needed(self.gateway.url()),
                _ => trouble(&answer),
            });
        }
        let body = Zeroizing::new(answer.body);
        let now = self.clock.now();
        let read = JobCredentials::read(&body, now).ok_or_else(unexpected)?;
        self.check(&read, now)?;
        Ok(read)
    }

    fn check(&self, read: &JobCredentials, now: DateTime<Utc>) -> Result<(), Trouble> {
        if read.is_over(now) {
            let text =
                "the gateway answered with credentials that are over; check this machine's clock";
            return Err(Trouble::Away(text.to_owned()));
        }
        match (self.role.as_ref().map(RoleArn::as_str), read.role_arn()) {
            (Some(wanted), Some(given)) if wanted != given => Err(Trouble::Refused {
                status: 403,
                code: "another_role".to_owned(),
                message: format!(
                    "--role names {wanted}, but the lease is for {given}; leave --role out, or the lease token"
                ),
            }),
            _ => Ok(()),
        }
    }

    /// A web identity token that the gateway gives now.
    pub(super) async fn web_identity(&self) -> Result<WebIdentity, Trouble> {
        let proof = self.proof()?;
        let path = "/v1/web-identity-token";
        let answer = self.gateway.get(path, proof.token()).await?;
        if answer.status != 200 {
            return Err(trouble(&answer));
        }
        let body = Zeroizing::new(answer.body);
        let given: GivenToken = serde_json::from_slice(&body).map_err(|_| unexpected())?;
        let role: RoleArn = given.role_arn.parse().map_err(|_| unexpected())?;
        Ok(WebIdentity {
            token: Secret::new(given.token),
            role_arn: role.as_str().to_owned(),
            expires_at: given.expires_at,
        })
    }
}
