//! `rolegate trust-policy`: what a role's trust policy must say so that STS lets rolegate's users in.
//!
//! Prints. Talks to AWS for one question alone, who rolegate is, and only for method broker without a
//! principal; whoever answers is named in a note, since the shell may be somebody else. The audience key of IAM
//! for SAML, `SAML:aud`, holds the assertion's Recipient, which is rolegate's ACS, not the Audience.

mod web_identity;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::remote::Misused;
use super::{Context, Failure, Outcome, output};
use crate::app;
use crate::config::Config;
use crate::model::{
    AccountId, Effect, Entry, IdpName, Method, RoleArn, RolePattern, SamlProviderArn, UserName,
};
use crate::store::database_exists;
use crate::sts::Sts;
use web_identity::Trusted;

/// How long the question to AWS may take; outside AWS nothing answers it.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The role's ARN
    arn: RolePattern,
    /// How its credentials are had: saml, web-identity, relay or broker
    #[arg(long, default_value = "saml")]
    method: Method,
    /// Only for this user
    #[arg(long)]
    user: Option<UserName>,
    /// Only for people of this identity provider, for methods web-identity and relay
    #[arg(long, value_name = "NAME")]
    idp: Option<IdpName>,
    /// Who rolegate is to AWS, for method broker; without it STS is asked who this shell is
    #[arg(long, value_name = "ARN")]
    principal: Option<String>,
}

pub(super) async fn run(arguments: &Arguments, at: &Context) -> Outcome {
    let config = at.config()?;
    if let Err(misused) = check_use(arguments) {
        return Ok(misused.told());
    }
    check_idp(arguments, &config)?;
    let entry = entry(arguments, &config, at).await?;
    let trusted = match arguments.method {
        Method::WebIdentity => Some(Trusted::find(arguments, entry.as_ref(), &config, at).await?),
        Method::Saml | Method::Relay | Method::Broker => None,
    };
    let principal = match &arguments.principal {
        None if arguments.method == Method::Broker => whoami(arguments, &config, at).await,
        given => given.clone(),
    };
    let wanted = Wanted {
        role: &arguments.arn,
        method: arguments.method,
        user: arguments.user.as_ref(),
        idp: arguments.idp.as_ref(),
        entry: entry.as_ref(),
        principal: principal.as_deref(),
        trusted: trusted.as_ref(),
    };
    output::line(&trust_policy(&wanted, &config)?);
    for note in wanted.notes(&config) {
        output::note(&note);
    }
    Ok(ExitCode::SUCCESS)
}

/// SAML's provider is that of the account, and broker's tokens name no identity provider that AWS could hold to.
fn check_use(arguments: &Arguments) -> Result<(), Misused> {
    let method = arguments.method;
    if arguments.idp.is_some() && matches!(method, Method::Saml | Method::Broker) {
        return Err(Misused(format!(
            "--idp is for methods web-identity and relay; leave it out with method {method}"
        )));
    }
    Ok(())
}

fn check_idp(arguments: &Arguments, config: &Config) -> Result<(), String> {
    let Some(idp) = &arguments.idp else {
        return Ok(());
    };
    let names: Vec<&str> = config.idp_names().map(IdpName::as_str).collect();
    if names.contains(&idp.as_str()) {
        return Ok(());
    }
    let names = names.join(", ");
    Err(format!(
        "{idp} is no identity provider of the configuration; those are {names}"
    ))
}

/// The closest entry of this method for the role, the oldest among equals, as a decision takes it.
async fn entry(
    arguments: &Arguments,
    config: &Config,
    at: &Context,
) -> Result<Option<Entry>, Failure> {
    let mut entries = config.roles.entries.clone();
    if database_exists(&config.store.url).await? {
        let (_, store) = at.store().await?;
        entries.extend(store.entries().await?);
        store.close().await;
    }
    let role: Option<RoleArn> = arguments.arn.as_str().parse().ok();
    let is_about = |arn: &RolePattern| match &role {
        Some(role) if arguments.arn.is_exact() => arn.matches(role),
        _ => *arn == arguments.arn,
    };
    entries.retain(|entry| {
        let method = entry.draft.method.unwrap_or(config.roles.default_method);
        entry.draft.effect == Effect::Allow
            && method == arguments.method
            && is_about(&entry.draft.arn)
    });
    // Of equals `max_by_key` takes the last one.
    let closest = entries.into_iter().rev();
    Ok(closest.max_by_key(|entry| entry.draft.arn.specificity()))
}

/// Whom AWS takes this shell for, as the principal of a policy.
async fn whoami(arguments: &Arguments, config: &Config, at: &Context) -> Option<String> {
    let sts = Sts::new(app::sts_settings(config), Arc::clone(&at.world.clock));
    let asked = sts.own_identity(arguments.arn.partition());
    let caller = tokio::time::timeout(PATIENCE, asked).await.ok()?.ok()?;
    output::note(&format!(
        "Principal is whom AWS takes this shell for ({}); where the gateway runs as somebody else, or the role has a path, give --principal ARN.",
        caller.arn
    ));
    Some(principal(&caller.arn))
}

/// A trust policy names the role, not its session: `arn:aws:sts::{account}:assumed-role/{name}/{session}`.
fn principal(arn: &str) -> String {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let ["arn", partition, "sts", _, account, session] = parts.as_slice() else {
        return arn.to_owned();
    };
    match session.split('/').collect::<Vec<_>>().as_slice() {
        ["assumed-role", name, ..] => format!("arn:{partition}:iam::{account}:role/{name}"),
        _ => arn.to_owned(),
    }
}

/// What stands for rolegate's own identity until somebody names it; no ARN, so that IAM refuses it.
const NOBODY: &str = "REPLACE WITH THE ARN OF THE ROLE OR USER THAT ROLEGATE RUNS AS";

/// What a trust policy is asked for.
struct Wanted<'a> {
    /// The role.
    role: &'a RolePattern,
    /// How its credentials are had.
    method: Method,
    /// The one person it admits.
    user: Option<&'a UserName>,
    /// The one identity provider it admits people of.
    idp: Option<&'a IdpName>,
    /// The entry in force, where there is one of this method.
    entry: Option<&'a Entry>,
    /// Who rolegate is to AWS, for method broker.
    principal: Option<&'a str>,
    /// Whose ID tokens it lets in, for method web-identity.
    trusted: Option<&'a Trusted<'a>>,
}

/// The trust policy, pretty JSON; or why there is none and what to do.
///
/// With a user, the policy admits that one person: for `saml` by IAM's `SAML:sub`, the assertion's NameID; for
/// `web-identity` by the provider's own subject.
fn trust_policy(wanted: &Wanted<'_>, config: &Config) -> Result<String, String> {
    let account = wanted.role.account().ok_or_else(|| {
        let role = wanted.role;
        format!(
            "{role} names no account, and a trust policy belongs to one; write its twelve digits"
        )
    })?;
    let statements = match wanted.method {
        Method::Saml => saml(wanted, account, config)?,
        Method::Relay => relay(wanted, account, config),
        Method::Broker => broker(wanted),
        Method::WebIdentity => web_identity(wanted, account)?,
    };
    let policy = json!({ "Version": "2012-10-17", "Statement": statements });
    serde_json::to_string_pretty(&policy).map_err(|error| error.to_string())
}

fn saml(wanted: &Wanted<'_>, account: &AccountId, config: &Config) -> Result<Value, String> {
    let mut equals = json!({ "SAML:aud": config.acs_url() });
    if let (Some(user), Value::Object(keys)) = (wanted.user, &mut equals) {
        keys.insert("SAML:sub".to_owned(), json!(user.as_str()));
    }
    Ok(json!([{
        "Effect": "Allow",
        "Principal": { "Federated": provider(wanted.role, account, config)?.as_str() },
        // Without TagSession STS refuses every assertion that carries a PrincipalTag.
        "Action": ["sts:AssumeRoleWithSAML", "sts:TagSession"],
        "Condition": { "StringEquals": equals },
    }]))
}

fn web_identity(wanted: &Wanted<'_>, account: &AccountId) -> Result<Value, String> {
    let trusted = wanted
        .trusted
        .ok_or("method web-identity needs an OpenID Connect provider; name one with --idp")?;
    let (provider, subject) = (trusted.provider, trusted.subject.as_deref());
    let (issuer, client_id) = (&provider.issuer, &provider.client_id);
    Ok(web_identity::statements(
        wanted.role,
        account.as_str(),
        issuer,
        client_id,
        subject,
    ))
}

/// The token's subject is `role:{account}/{path and name}:idp:{idp}:user:{user}`. The pattern may match the
/// subject of a role with a strange path, but a token names its one role, and AWS holds to that.
fn relay(wanted: &Wanted<'_>, account: &AccountId, config: &Config) -> Value {
    let issuer = config.relay.name();
    let partition = wanted.role.partition();
    let subject = format!(
        "role:{account}/{}:idp:{}:user:{}",
        path_and_name(wanted.role),
        wanted.idp(config).unwrap_or("*"),
        wanted.user.map_or("*", UserName::as_str),
    );
    let comparing = if subject.contains('*') {
        "StringLike"
    } else {
        "StringEquals"
    };
    let mut condition = Map::new();
    condition.insert(
        "StringEquals".to_owned(),
        json!({ format!("{issuer}:aud"): "sts.amazonaws.com" }),
    );
    let keys = condition.entry(comparing).or_insert_with(|| json!({}));
    if let Value::Object(keys) = keys {
        keys.insert(format!("{issuer}:sub"), json!(subject));
    }
    json!([{
        "Effect": "Allow",
        "Principal": { "Federated": format!("arn:{partition}:iam::{account}:oidc-provider/{issuer}") },
        "Action": ["sts:AssumeRoleWithWebIdentity", "sts:TagSession", "sts:SetSourceIdentity"],
        "Condition": condition,
    }])
}

/// Path and name as a condition's value: IAM's `*` stands for more than ours does, and `$` is IAM's own.
fn path_and_name(role: &RolePattern) -> String {
    let text = role.as_str();
    let name = text.split_once(":role/").map_or(text, |(_, name)| name);
    name.replace('$', "${$}").replace("**", "*")
}

/// Two statements: `ExternalId` is AssumeRole's alone, and the other two actions give nothing without it.
fn broker(wanted: &Wanted<'_>) -> Value {
    let principal = json!({ "AWS": wanted.principal.unwrap_or(NOBODY) });
    let source = |user: &UserName| ("sts:SourceIdentity".to_owned(), json!(user.as_str()));
    let source = wanted.user.map(source);
    let external = wanted
        .entry
        .and_then(|entry| entry.draft.external_id.as_deref());
    let external = external.map(|id| ("sts:ExternalId".to_owned(), json!(id)));
    let assume: Map<String, Value> = source.clone().into_iter().chain(external).collect();
    json!([
        statement(&principal, "sts:AssumeRole", &assume),
        statement(
            &principal,
            "sts:SetSourceIdentity",
            &source.into_iter().collect()
        ),
        statement(&principal, "sts:TagSession", &Map::new()),
    ])
}

fn statement(principal: &Value, action: &str, equals: &Map<String, Value>) -> Value {
    let mut statement = json!({ "Effect": "Allow", "Principal": principal, "Action": action });
    if let (Value::Object(keys), false) = (&mut statement, equals.is_empty()) {
        keys.insert("Condition".to_owned(), json!({ "StringEquals": equals }));
    }
    statement
}

/// The one provider configured for the role's account.
fn provider<'a>(
    role: &RolePattern,
    account: &AccountId,
    config: &'a Config,
) -> Result<&'a SamlProviderArn, String> {
    let mut providers = config
        .roles
        .saml_providers
        .iter()
        .filter(|arn| arn.account() == account && arn.partition() == role.partition());
    providers.next().ok_or_else(|| {
        format!(
            "no SAML provider is configured for account {account}; upload the IdP's metadata in IAM, and set in {}: [roles] saml_providers = {{ \"{account}\" = \"arn:{}:iam::{account}:saml-provider/<name>\" }}",
            config.path.display(),
            role.partition(),
        )
    })
}

impl Wanted<'_> {
    /// The identity provider that the policy pins: the one asked for, the entry's, or with a user the only one
    /// there is, since the same name from two is two people.
    fn idp<'a>(&'a self, config: &'a Config) -> Option<&'a str> {
        let of_entry = self.entry.and_then(|entry| entry.draft.idp.as_ref());
        let mut all = config.idp_names();
        let only = match (all.next(), all.next()) {
            (Some(only), None) if self.user.is_some() => Some(only),
            _ => None,
        };
        self.idp.or(of_entry).or(only).map(IdpName::as_str)
    }

    /// What an admin should know beside the policy; for standard error, so that the JSON stays alone.
    fn notes(&self, config: &Config) -> Vec<String> {
        let mut notes = match self.method {
            Method::Saml => self.saml_notes(),
            Method::Relay => self.relay_notes(config),
            Method::Broker => self.broker_notes(),
            Method::WebIdentity => self
                .trusted
                .map(|trusted| web_identity::notes(trusted, self.user))
                .unwrap_or_default(),
        };
        let own_url = match self.method {
            Method::Relay => Some(config.relay.issuer.clone()),
            Method::Saml => Some(config.acs_url()),
            Method::WebIdentity | Method::Broker => None,
        };
        if let Some(url) = own_url.filter(|_| config.loopback_http()) {
            notes.push(format!(
                "{url} is reached on this machine alone; print the policy again once server.public_url is final."
            ));
        }
        notes
    }

    fn saml_notes(&self) -> Vec<String> {
        let mut notes = vec![
            "With method saml the allow-list bounds what rolegate hands out, not what a user's browser could redeem at STS by itself within 5 minutes of signing in; this trust policy bounds both.".to_owned(),
            "To keep an existing sign-in to the AWS console, make SAML:aud a list of the value printed and the sign-in URL that stands there now (in partition aws https://signin.aws.amazon.com/saml).".to_owned(),
            "Where the IdP sends SourceIdentity, add sts:SetSourceIdentity to the actions.".to_owned(),
        ];
        if let Some(user) = self.user {
            notes.push(format!(
                "SAML:sub is the assertion's NameID, which AWS compares: the policy works only where the IdP sends {user} as NameID. rolegate itself takes the user from user_attribute."
            ));
        }
        notes
    }

    fn relay_notes(&self, config: &Config) -> Vec<String> {
        let issuer = &config.relay.issuer;
        let mut notes = vec![format!(
            "The account needs the provider once: aws iam create-open-id-connect-provider --url {issuer} --client-id-list sts.amazonaws.com"
        )];
        if let Some(problem) = config.relay.problem() {
            notes.push(format!(
                "AWS takes no provider with a URL that {problem}; set relay.issuer."
            ));
        }
        if let (Some(user), None) = (self.user, self.idp(config)) {
            notes.push(format!(
                "{user} of every identity provider is admitted; with several, write the name of one in place of the * after idp:."
            ));
        }
        notes
    }

    fn broker_notes(&self) -> Vec<String> {
        let mut notes = vec![
            "rolegate's own identity must itself be permitted sts:AssumeRole, sts:TagSession and sts:SetSourceIdentity on this role.".to_owned(),
        ];
        if self.principal.is_none() {
            notes.push("Name rolegate's own identity with --principal ARN: `aws sts get-caller-identity`, run as the gateway's process, tells it.".to_owned());
        }
        if self
            .entry
            .is_none_or(|entry| entry.draft.external_id.is_none())
        {
            notes.push("No entry with method broker and an external_id is about this role; where one is to be, print the policy again afterwards.".to_owned());
        }
        notes
    }
}

#[cfg(test)]
mod tests;
