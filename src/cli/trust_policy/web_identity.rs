//! The part of a trust policy that lets an identity provider's own ID tokens in.
//!
//! Trusts the configuration for the provider and the store for a user's subject: a user name is rolegate's word,
//! and AWS knows the subject alone. Never asks the provider.

use serde_json::{Map, Value, json};

use super::super::{Context, Failure};
use super::Arguments;
use crate::config::{Config, OidcProvider};
use crate::model::{Entry, IdpName, Person, RolePattern, UserName, WebIdentity};
use crate::store::{Store, database_exists};

/// Whose ID tokens a policy lets in.
#[derive(Debug)]
pub(super) struct Trusted<'a> {
    /// The provider.
    pub(super) provider: &'a OidcProvider,
    /// The one subject there.
    pub(super) subject: Option<String>,
}

impl<'a> Trusted<'a> {
    /// What the arguments name, and the subject of the user's newest session.
    pub(super) async fn find(
        arguments: &Arguments,
        entry: Option<&Entry>,
        config: &'a Config,
        at: &Context,
    ) -> Result<Self, Failure> {
        let of_entry = entry.and_then(|entry| entry.draft.idp.as_ref());
        let wanted = arguments.idp.as_ref().or(of_entry);
        let provider = chosen(&config.oidc, wanted)?;
        let subject = match &arguments.user {
            Some(user) => {
                let person = Person {
                    idp: provider.name.clone(),
                    user: user.clone(),
                };
                Some(subject(&person, provider, config, at).await?)
            }
            None => None,
        };
        Ok(Self { provider, subject })
    }
}

/// The provider called `wanted`, or the only one there is.
fn chosen<'a>(
    providers: &'a [OidcProvider],
    wanted: Option<&IdpName>,
) -> Result<&'a OidcProvider, String> {
    let names: Vec<&str> = providers.iter().map(|known| known.name.as_str()).collect();
    let names = names.join(", ");
    match (wanted, providers) {
        (_, []) => Err(
            "no OpenID Connect provider is configured, and method web-identity needs one; add [[oidc.provider]], or use --method relay".to_owned(),
        ),
        (Some(name), _) => providers
            .iter()
            .find(|known| known.name == *name)
            .ok_or_else(|| format!("{name} is no OpenID Connect provider; those are {names}")),
        (None, [only]) => Ok(only),
        (None, _) => Err(format!(
            "there are several OpenID Connect providers, and a trust policy names one; say which with --idp: {names}"
        )),
    }
}

/// By what the provider names the person.
async fn subject(
    person: &Person,
    provider: &OidcProvider,
    config: &Config,
    at: &Context,
) -> Result<String, Failure> {
    if !database_exists(&config.store.url).await? {
        return Err(unknown(person).into());
    }
    let (_, store) = at.store().await?;
    let found = subject_in(&store, person, provider).await;
    store.close().await;
    found
}

/// The same, as the newest session in `store` has it.
async fn subject_in(
    store: &Store,
    person: &Person,
    provider: &OidcProvider,
) -> Result<String, Failure> {
    let session = store.newest_session(person).await?;
    let session = session.ok_or_else(|| unknown(person))?;
    let identity = session.subject.parts().web_identity.as_ref();
    Ok(subject_of(identity, person, provider)?)
}

fn unknown(person: &Person) -> String {
    let Person { idp, user } = person;
    format!(
        "AWS knows {user} by a subject of {idp}'s, which rolegate learns at the sign-in, and there is no session of {user} from there; have {user} sign in once through {idp}, and print the policy again"
    )
}

/// The subject, if it is one of this very provider: its name may have been another's when the session was opened.
fn subject_of(
    identity: Option<&WebIdentity>,
    person: &Person,
    provider: &OidcProvider,
) -> Result<String, String> {
    let known = identity.filter(|identity| identity.issuer == provider.issuer);
    let subject = known.map(|identity| identity.subject.clone());
    subject.ok_or_else(|| unknown(person))
}

/// The statements for `issuer`'s tokens that are made for `client_id`, and for `subject` alone where one is given.
pub(super) fn statements(
    role: &RolePattern,
    account: &str,
    issuer: &str,
    client_id: &str,
    subject: Option<&str>,
) -> Value {
    let (partition, name) = (role.partition(), name(issuer));
    let mut equals = Map::new();
    equals.insert(format!("{name}:aud"), json!(literal(client_id)));
    if let Some(subject) = subject {
        equals.insert(format!("{name}:sub"), json!(literal(subject)));
    }
    json!([{
        "Effect": "Allow",
        "Principal": { "Federated": format!("arn:{partition}:iam::{account}:oidc-provider/{name}") },
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": { "StringEquals": equals },
    }])
}

/// How IAM names an issuer, in ARNs and condition keys.
fn name(issuer: &str) -> &str {
    issuer.split_once("://").map_or(issuer, |(_, name)| name)
}

/// A text as a condition's value: `$` begins a variable there.
fn literal(text: &str) -> String {
    text.replace('$', "${$}")
}

/// What an admin should know beside the policy.
pub(super) fn notes(trusted: &Trusted<'_>, user: Option<&UserName>) -> Vec<String> {
    let OidcProvider {
        name,
        issuer,
        client_id,
        ..
    } = trusted.provider;
    let mut notes = vec![
        format!(
            "The account needs the provider once: aws iam create-open-id-connect-provider --url {issuer} --client-id-list {client_id}"
        ),
        "Where the provider's ID tokens carry https://aws.amazon.com/tags, add sts:TagSession to the actions; where they carry https://aws.amazon.com/source_identity, sts:SetSourceIdentity.".to_owned(),
    ];
    if let Some(problem) = crate::config::issuer_problem(issuer) {
        notes.push(format!(
            "AWS takes no provider with a URL that {problem}; use method relay or broker for people of {name}."
        ));
    }
    notes.push(match user {
        None => format!(
            "Every user of {name} is admitted: the allow-list bounds what rolegate hands out, not what an ID token for {client_id} could be redeemed for by whoever holds one. Keep this client for rolegate alone, or print a policy for one person with --user."
        ),
        Some(user) => format!(
            "{user} is admitted by the subject of the newest sign-in; print the policy again if {name} comes to name {user} by another."
        ),
    });
    notes
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};
    use std::path::Path;
    use std::sync::Arc;

    use chrono::{DateTime, TimeDelta, Utc};
    use josekit::jwk::Jwk;
    use josekit::jwk::alg::ec::EcCurve;
    use josekit::jws::{self, ES256, JwsHeader};

    use super::*;
    use crate::demo::sts::{Account, OidcProvider as AtAws, Role, SandboxSts, StsSettings};
    use crate::model::{FixedClock, IdToken, Method, OsEntropy, Secret, SessionDuration};
    use crate::policy::Grant;
    use crate::store::SessionState;
    use crate::store::testing::{Bench, TestSignIn};
    use crate::sts::{IssueError, Sts, StsSettings as CallSettings};

    const ROLE: &str = "arn:aws:iam::123456789012:role/reader";
    const ISSUER: &str = "https://login.example.org/tenant/";
    const ARN: &str = "arn:aws:iam::123456789012:oidc-provider/login.example.org/tenant/";
    /// As hostile as a subject may be.
    const SUB: &str = "corp|a${aws:username}*";

    fn provider(name: &str) -> OidcProvider {
        OidcProvider {
            name: name.parse().unwrap(),
            issuer: ISSUER.to_owned(),
            client_id: "gate$1".to_owned(),
            client_secret: crate::config::ClientSecret::Inline(Secret::new("s".to_owned())),
            scopes: Vec::new(),
            role_claim: "roles".to_owned(),
            session_name_claim: "name".to_owned(),
            duration_claim: "duration".to_owned(),
            user_domains: Vec::new(),
            authorization_parameters: BTreeMap::new(),
            assignments: true,
        }
    }

    fn person() -> Person {
        Person {
            idp: "corp".parse().unwrap(),
            user: "alice".parse().unwrap(),
        }
    }

    fn identity() -> WebIdentity {
        WebIdentity {
            issuer: ISSUER.to_owned(),
            subject: SUB.to_owned(),
            audience: "gate$1".to_owned(),
            redeemable_until: None,
        }
    }

    fn policy(subject: Option<&str>) -> Value {
        let role = ROLE.parse().unwrap();
        let statements = statements(&role, "123456789012", ISSUER, "gate$1", subject);
        json!({ "Version": "2012-10-17", "Statement": statements })
    }

    #[test]
    fn names_provider_client_and_one_subject() {
        let expected = json!([{
            "Effect": "Allow",
            "Principal": { "Federated": ARN },
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": { "StringEquals": {
                "login.example.org/tenant/:aud": "gate${$}1",
                "login.example.org/tenant/:sub": "corp|a${$}{aws:username}*",
            } },
        }]);
        assert_eq!(policy(Some(SUB))["Statement"], expected);
        let everybody = &policy(None)["Statement"][0]["Condition"]["StringEquals"];
        assert_eq!(
            *everybody,
            json!({ "login.example.org/tenant/:aud": "gate${$}1" })
        );
    }

    #[test]
    fn one_provider_is_chosen_and_several_must_be_named() {
        let (one, two) = ([provider("corp")], [provider("corp"), provider("lab")]);
        let lab = "lab".parse().unwrap();
        assert_eq!(chosen(&one, None).unwrap().name.as_str(), "corp");
        assert_eq!(chosen(&two, Some(&lab)).unwrap().name, lab);
        let none = chosen(&[], None).unwrap_err();
        assert!(none.contains("[[oidc.provider]]"), "{none}");
        let several = chosen(&two, None).unwrap_err();
        assert!(several.contains("--idp: corp, lab"), "{several}");
        let other = chosen(&one, Some(&lab)).unwrap_err();
        assert!(other.contains("those are corp"), "{other}");
    }

    #[test]
    fn a_subject_comes_from_a_sign_in_at_this_very_provider() {
        let found =
            |identity: Option<&WebIdentity>| subject_of(identity, &person(), &provider("corp"));
        assert_eq!(found(Some(&identity())).unwrap(), SUB);
        let other = WebIdentity {
            issuer: "https://old.example.org".to_owned(),
            ..identity()
        };
        for unusable in [None, Some(&other)] {
            let error = found(unusable).unwrap_err();
            assert!(
                error.contains("have alice sign in once through corp"),
                "{error}"
            );
        }
    }

    #[tokio::test]
    async fn the_newest_session_of_the_person_tells_the_subject() {
        let bench = Bench::new();
        let store = bench.open().await;
        let provider = provider("corp");
        let found = async || {
            let found = subject_in(&store, &person(), &provider).await;
            found.map_err(|failure| failure.0)
        };
        let sign_in = async |id: &str, person: Person, subject: &str| {
            let mut sign_in = TestSignIn::new(id).by(person);
            sign_in.parts.web_identity = Some(WebIdentity {
                subject: subject.to_owned(),
                ..identity()
            });
            let session = bench.new_session(SessionState::Confirmed);
            bench.open_as(&store, sign_in, session).await;
            bench.clock.advance(TimeDelta::seconds(1));
        };
        assert!(found().await.unwrap_err().contains("sign in once"));
        let elsewhere = Person {
            idp: "okta".parse().unwrap(),
            ..person()
        };
        sign_in("a", elsewhere, "another").await;
        assert!(
            found().await.is_err(),
            "the same name from two is two people"
        );
        sign_in("b", person(), "first").await;
        sign_in("c", person(), "second").await;
        assert_eq!(found().await.unwrap(), "second");
    }

    #[test]
    fn notes_say_what_the_account_needs_and_whom_it_lets_in() {
        let corp = provider("corp");
        let of = |provider: &OidcProvider, user: Option<&UserName>| {
            let trusted = Trusted {
                provider,
                subject: user.map(|_| SUB.to_owned()),
            };
            notes(&trusted, user).concat()
        };
        let everybody = of(&corp, None);
        let command = format!("--url {ISSUER} --client-id-list gate$1");
        assert!(everybody.contains(&command), "{everybody}");
        assert!(everybody.contains("Every user of corp"), "{everybody}");
        assert!(!everybody.contains("names a port"), "{everybody}");
        let alone = of(&corp, Some(&person().user));
        assert!(!alone.contains("Every user"), "{alone}");
        let ported = OidcProvider {
            issuer: "https://login.example.org:8443".to_owned(),
            ..corp
        };
        assert!(of(&ported, None).contains("names a port"));
    }

    /// An issuer's documents in a folder.
    fn publish(folder: &Path, key: &Jwk) {
        let document = json!({
            "issuer": ISSUER,
            "jwks_uri": format!("{ISSUER}keys"),
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        });
        let mut public = key.to_public_key().unwrap();
        public.set_key_id("one");
        let keys = json!({ "keys": [Value::Object(public.into())] });
        let known = folder.join(".well-known");
        std::fs::create_dir_all(&known).unwrap();
        std::fs::write(known.join("openid-configuration"), document.to_string()).unwrap();
        std::fs::write(folder.join("keys"), keys.to_string()).unwrap();
    }

    fn token(key: &Jwk, subject: &str, audience: &str, now: DateTime<Utc>) -> IdToken {
        let expires_at = now + TimeDelta::minutes(5);
        let claims = json!({ "iss": ISSUER, "aud": audience, "sub": subject,
            "iat": now.timestamp(), "exp": expires_at.timestamp() });
        let mut header = JwsHeader::new();
        header.set_key_id("one");
        let signer = ES256.signer_from_jwk(key).unwrap();
        let jwt = jws::serialize_compact(claims.to_string().as_bytes(), &header, &signer);
        IdToken {
            jwt: Secret::new(jwt.unwrap()),
            issuer: ISSUER.to_owned(),
            subject: subject.to_owned(),
            audience: audience.to_owned(),
            issued_at: now,
            expires_at,
        }
    }

    async fn sandbox(documents: &Path, policy: &Value, clock: &Arc<FixedClock>) -> SandboxSts {
        let account = Account {
            roles: vec![Role::new(ROLE, &policy.to_string()).unwrap()],
            oidc_providers: vec![AtAws {
                arn: ARN.to_owned(),
                issuer: ISSUER.to_owned(),
                client_ids: vec!["gate$1".to_owned(), "other".to_owned()],
            }],
            issuer_documents: HashMap::from([(ISSUER.to_owned(), documents.to_owned())]),
            ..Account::default()
        };
        let settings = StsSettings {
            trusts: Vec::new(),
            providers: Vec::new(),
            clock: clock.clone(),
            entropy: Arc::new(OsEntropy),
        };
        SandboxSts::start_with(settings, account).await.unwrap()
    }

    #[tokio::test]
    async fn sts_lets_in_whom_the_policy_names() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let clock = Arc::new(FixedClock::new(now));
        let key = Jwk::generate_ec_key(EcCurve::P256).unwrap();
        let documents = tempfile::tempdir().unwrap();
        publish(documents.path(), &key);
        let name = "alice".parse().unwrap();
        let grant = Grant::for_test(ROLE.parse().unwrap(), None, SessionDuration::DEFAULT, name)
            .for_method(Method::WebIdentity, |_| {});
        for (pinned, subject, audience, expected) in [
            (Some(SUB), SUB, "gate$1", "OK"),
            (Some(SUB), "corp|b", "gate$1", "sts-access-denied"),
            (Some(SUB), "corp|aalice*", "gate$1", "sts-access-denied"),
            (None, "corp|b", "gate$1", "OK"),
            (None, SUB, "other", "sts-access-denied"),
        ] {
            let sandbox = sandbox(documents.path(), &policy(pinned), &clock).await;
            let settings = CallSettings {
                endpoint: Some(sandbox.url().to_owned()),
                ..CallSettings::default()
            };
            let token = token(&key, subject, audience, now);
            let issued = Sts::new(settings, clock.clone())
                .issue_with_web_identity(&grant, &token)
                .await;
            let code = issued.as_ref().map_or_else(IssueError::code, |_| "OK");
            assert_eq!(code, expected, "{pinned:?} {subject} {audience} {issued:?}");
        }
    }
}
