//! Trust policies as IAM keeps them: JSON documents, read strictly and evaluated for a request.
//!
//! What this evaluator does not know (an operator, a key, a kind of principal) refuses to load, so that
//! no test passes on a condition that was silently skipped. A caller's own identity policies are taken
//! to allow every role: only the trust policy decides here.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::Deserialize;
use serde_json::json;
use thiserror::Error;

use super::condition::{Condition, like};
use super::context::Context;

/// The actions that a trust policy may name.
const ACTIONS: &[&str] = &[
    "sts:assumerole",
    "sts:assumerolewithsaml",
    "sts:assumerolewithwebidentity",
    "sts:tagsession",
    "sts:setsourceidentity",
    "sts:setcontext",
];

/// Why a document is no trust policy that this STS can evaluate.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TrustPolicyError {
    /// No JSON, or not the fields of a trust policy.
    #[error("the trust policy is no such JSON document: {0}")]
    Json(String),
    /// A version that IAM does not have.
    #[error("the trust policy's Version is {0}; write 2012-10-17")]
    Version(String),
    /// Neither Allow nor Deny.
    #[error("the trust policy's Effect is {0}; write Allow or Deny")]
    Effect(String),
    /// A list without anything in it.
    #[error("the trust policy has an empty {0}")]
    Empty(&'static str),
    /// An action that is none of a role's trust policy.
    #[error("the trust policy names {0}, which is no action of a trust policy")]
    Action(String),
    /// A principal that is no ARN, account or `*`.
    #[error("the trust policy names the principal {0}, which is none")]
    Principal(String),
    /// A condition operator that is not evaluated here.
    #[error("the trust policy uses the operator {0}, which the sandbox STS does not know")]
    Operator(String),
    /// A condition key that is not evaluated here.
    #[error("the trust policy uses the key {0}, which the sandbox STS does not know")]
    Key(String),
    /// A value that the operator cannot compare.
    #[error("the trust policy compares {0} with a value that its operator cannot take")]
    Value(String),
}

/// A role's trust policy.
#[derive(Debug, Clone)]
pub struct TrustPolicyDocument {
    statements: Vec<Statement>,
}

#[derive(Debug, Clone)]
struct Statement {
    allows: bool,
    principal: Named,
    /// Lower case, with `*` and `?`.
    actions: Vec<String>,
    conditions: Vec<Condition>,
}

#[derive(Debug, Clone)]
enum Named {
    Everybody,
    These {
        federated: Vec<String>,
        aws: Vec<String>,
    },
}

/// Who asks, by every name that a policy may use for him.
pub(super) enum Principal {
    Federated(String),
    Aws(Vec<String>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct RawDocument {
    version: Option<String>,
    #[serde(rename = "Id")]
    _id: Option<String>,
    statement: Many<RawStatement>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct RawStatement {
    #[serde(rename = "Sid")]
    _sid: Option<String>,
    effect: String,
    principal: RawPrincipal,
    action: Many<String>,
    #[serde(default)]
    condition: BTreeMap<String, BTreeMap<String, Many<Scalar>>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawPrincipal {
    All(String),
    Named(RawNamed),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawNamed {
    #[serde(rename = "Federated")]
    federated: Option<Many<String>>,
    #[serde(rename = "AWS")]
    aws: Option<Many<String>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Many<T> {
    One(T),
    Several(Vec<T>),
}

impl<T> Many<T> {
    fn list(self) -> Vec<T> {
        match self {
            Self::One(one) => vec![one],
            Self::Several(several) => several,
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Text(String),
    Truth(bool),
    Number(i64),
}

impl Scalar {
    fn text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Truth(truth) => truth.to_string(),
            Self::Number(number) => number.to_string(),
        }
    }
}

impl FromStr for TrustPolicyDocument {
    type Err = TrustPolicyError;

    fn from_str(text: &str) -> Result<Self, TrustPolicyError> {
        let raw: RawDocument = serde_json::from_str(text)
            .map_err(|error| TrustPolicyError::Json(error.to_string()))?;
        if let Some(version) = raw.version
            && !matches!(version.as_str(), "2012-10-17" | "2008-10-17")
        {
            return Err(TrustPolicyError::Version(version));
        }
        let statements = filled(raw.statement.list(), "Statement")?;
        let statements = statements.into_iter().map(Statement::read);
        Ok(Self {
            statements: statements.collect::<Result<_, _>>()?,
        })
    }
}

impl TrustPolicyDocument {
    /// What lets `providers` in with assertions for `recipients`, tags and source identity included.
    pub fn for_saml(providers: &[String], recipients: &[String]) -> Result<Self, TrustPolicyError> {
        let policy = json!({
            "Version": "2012-10-17",
            "Statement": [{
                "Effect": "Allow",
                "Principal": { "Federated": providers },
                "Action": ["sts:AssumeRoleWithSAML", "sts:TagSession", "sts:SetSourceIdentity"],
                "Condition": { "StringEquals": { "SAML:aud": recipients } },
            }],
        });
        policy.to_string().parse()
    }

    /// Whether `principal` may do `action`: some statement allows it, and none denies it.
    pub(super) fn permits(&self, principal: &Principal, action: &str, context: &Context) -> bool {
        let applies = |statement: &&Statement| statement.applies(principal, action, context);
        let mut matching = self.statements.iter().filter(applies).peekable();
        matching.peek().is_some() && matching.all(|statement| statement.allows)
    }
}

impl Statement {
    fn read(raw: RawStatement) -> Result<Self, TrustPolicyError> {
        let allows = match raw.effect.as_str() {
            "Allow" => true,
            "Deny" => false,
            _ => return Err(TrustPolicyError::Effect(raw.effect)),
        };
        let principal = Named::read(raw.principal)?;
        let mut actions = filled(raw.action.list(), "Action")?;
        for action in &mut actions {
            let lower = action.to_lowercase();
            if !ACTIONS.iter().any(|known| like(&lower, known)) {
                return Err(TrustPolicyError::Action(action.clone()));
            }
            *action = lower;
        }
        let mut conditions = Vec::new();
        for (operator, keys) in raw.condition {
            for (key, values) in keys {
                let values = values.list().into_iter().map(Scalar::text).collect();
                let values = filled(values, "list of values")?;
                conditions.push(Condition::read(&operator, &key, values)?);
            }
        }
        Ok(Self {
            allows,
            principal,
            actions,
            conditions,
        })
    }

    fn applies(&self, principal: &Principal, action: &str, context: &Context) -> bool {
        let action = action.to_lowercase();
        self.principal.names(principal)
            && self.actions.iter().any(|known| like(known, &action))
            && self
                .conditions
                .iter()
                .all(|condition| condition.holds(context))
    }
}

impl Named {
    fn read(raw: RawPrincipal) -> Result<Self, TrustPolicyError> {
        let named = match raw {
            RawPrincipal::All(star) if star == "*" => return Ok(Self::Everybody),
            RawPrincipal::All(other) => return Err(TrustPolicyError::Principal(other)),
            RawPrincipal::Named(named) => named,
        };
        let federated = named.federated.map_or_else(Vec::new, Many::list);
        let aws = named.aws.map_or_else(Vec::new, Many::list);
        let provider = |arn: &&String| {
            !(arn.starts_with("arn:") && arn.contains("-provider/") && !arn.contains('*'))
        };
        let nobody = |name: &&String| {
            let account = name.len() == 12 && name.bytes().all(|byte| byte.is_ascii_digit());
            let arn = name.starts_with("arn:") && !name.contains('*');
            !(account || arn || *name == "*")
        };
        let wrong = federated.iter().find(provider);
        if let Some(wrong) = wrong.or_else(|| aws.iter().find(nobody)) {
            return Err(TrustPolicyError::Principal(wrong.clone()));
        }
        if federated.is_empty() && aws.is_empty() {
            return Err(TrustPolicyError::Empty("Principal"));
        }
        Ok(Self::These { federated, aws })
    }

    fn names(&self, principal: &Principal) -> bool {
        match (self, principal) {
            (Self::Everybody, _) => true,
            (Self::These { federated, .. }, Principal::Federated(arn)) => federated.contains(arn),
            (Self::These { aws, .. }, Principal::Aws(names)) => aws
                .iter()
                .any(|known| known == "*" || names.contains(known)),
        }
    }
}

fn filled<T>(list: Vec<T>, what: &'static str) -> Result<Vec<T>, TrustPolicyError> {
    if list.is_empty() {
        return Err(TrustPolicyError::Empty(what));
    }
    Ok(list)
}
