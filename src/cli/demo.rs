//! `rolegate demo`: a demo IdP, a strict sandbox STS, a gateway between them, and a job, on loopback.
//!
//! The gateway is the real one; only IdP and STS are stand-ins, and the STS checks what AWS checks.
//! State lives in a temporary folder that goes when the demo ends.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use reqwest::StatusCode;
use reqwest::redirect::Policy;
use serde_json::{Value, json};

use super::{Failure, Outcome, output};
use crate::app::{self, Running, World};
use crate::config::{self, Config};
use crate::demo::idp::{DemoIdp, DemoUser, IdpSettings};
use crate::demo::sts::{RoleTrust, SamlProvider, SandboxSts, StsSettings};
use crate::model::{
    EntryDraft, Role, RolePattern, TextPattern, Token, TokenId, TokenKind, TokenRecord,
};

const AUDIENCE: &str = "urn:amazon:webservices";
const PROVIDER: &str = "arn:aws:iam::123456789012:saml-provider/Demo";
const ALLOWED: &str = "arn:aws:iam::123456789012:role/data-scientist";
const NOT_ALLOWED: &str = "arn:aws:iam::123456789012:role/admin";
const PASSWORD: &str = "alice-password";

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Sign in, run a job, print each step, and end
    #[arg(long)]
    once: bool,
}

/// Everything at work.
struct Stage {
    folder: tempfile::TempDir,
    idp: DemoIdp,
    sts: SandboxSts,
    config: Config,
    gateway: Running,
    launcher: String,
}

pub(super) async fn run(arguments: &Arguments, world: &World) -> Outcome {
    if !arguments.once {
        output::start_logging(None);
    }
    let stage = set(world).await?;
    let outcome = if arguments.once {
        once(&stage).await.map(|()| ExitCode::SUCCESS)
    } else {
        stay(&stage).await
    };
    stage.gateway.stop().await;
    stage.idp.stop().await;
    stage.sts.stop().await;
    outcome
}

async fn set(world: &World) -> Result<Stage, Failure> {
    let folder = tempfile::tempdir()?;
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let public_url = format!("http://{}", listener.local_addr()?);
    let acs = format!("{public_url}/saml/acs");
    let idp = DemoIdp::start(idp_settings(&acs, world)).await?;
    let sts = SandboxSts::start(sts_settings(&acs, &idp, world)).await?;
    let path = configuration(folder.path(), &public_url, &idp)?;
    let environment = ["AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL_SIGNIN"];
    let environment = environment.map(|name| (name.to_owned(), sts.url().to_owned()));
    let environment = BTreeMap::from(environment);
    let config = config::load(&path, &environment)?;
    let launcher = prepare_store(&config, world).await?;
    let gateway = app::start(&config, world, Some(listener)).await?;
    Ok(Stage {
        folder,
        idp,
        sts,
        config,
        gateway,
        launcher,
    })
}

fn idp_settings(acs: &str, world: &World) -> IdpSettings {
    let pair = |role: &str| format!("{role},{PROVIDER}");
    IdpSettings {
        entity_id: None,
        acs_url: acs.to_owned(),
        sp_entity_id: AUDIENCE.to_owned(),
        users: vec![DemoUser {
            name: "alice".to_owned(),
            password: PASSWORD.to_owned(),
            role_session_name: "alice@example.org".to_owned(),
            roles: vec![pair(ALLOWED), pair(NOT_ALLOWED)],
            session_duration: Some("7200".to_owned()),
            extra: vec![("groups".to_owned(), vec!["science".to_owned()])],
        }],
        key: None,
        clock: Arc::clone(&world.clock),
        entropy: Arc::clone(&world.entropy),
    }
}

fn sts_settings(acs: &str, idp: &DemoIdp, world: &World) -> StsSettings {
    let trust = |role: &str| RoleTrust {
        role_arn: role.to_owned(),
        provider_arns: vec![PROVIDER.to_owned()],
        saml_aud: vec![acs.to_owned()],
        max_session_duration: 43_200,
    };
    StsSettings {
        trusts: vec![trust(ALLOWED), trust(NOT_ALLOWED)],
        providers: vec![SamlProvider {
            arn: PROVIDER.to_owned(),
            metadata_xml: idp.metadata().to_owned(),
        }],
        clock: Arc::clone(&world.clock),
        entropy: Arc::clone(&world.entropy),
    }
}

fn configuration(folder: &Path, public_url: &str, idp: &DemoIdp) -> Result<PathBuf, Failure> {
    std::fs::write(folder.join("demo.xml"), idp.metadata())?;
    let listen = public_url.trim_start_matches("http://");
    let text = format!(
        "[server]\nlisten = \"{listen}\"\npublic_url = \"{public_url}\"\n\n\
         [[saml.idp]]\nname = \"demo\"\nmetadata_file = \"demo.xml\"\n"
    );
    let path = folder.join("rolegate.toml");
    std::fs::write(&path, text)?;
    Ok(path)
}

/// What an admin would type: `roles allow` and `tokens create`.
async fn prepare_store(config: &Config, world: &World) -> Result<String, Failure> {
    let store = app::open_store(config, world).await?;
    let arn: RolePattern = ALLOWED.parse()?;
    let draft = EntryDraft {
        reason: Some("the demo's role".to_owned()),
        ..EntryDraft::allowing(arn)
    };
    store.add_entry(draft, "demo").await?;
    let token = Token::fresh(TokenKind::Launcher, &*world.entropy);
    let record = TokenRecord {
        id: TokenId::fresh(&*world.clock, &*world.entropy),
        name: "demo".parse()?,
        role: Role::Launcher,
        for_roles: Some(TextPattern::new("*")),
        for_users: Some(TextPattern::new("*")),
        created_at: world.clock.now(),
        expires_at: None,
        revoked_at: None,
        certificate_subject: None,
        without_token: false,
    };
    store.add_token(&record, &token.hash()).await?;
    store.close().await;
    Ok(token.into_secret().expose().to_owned())
}

/// The demo that stays: what to open and what to type.
async fn stay(stage: &Stage) -> Outcome {
    let (gateway, idp) = (stage.config.server.public_url(), stage.idp.url());
    let file = stage.config.path.display();
    let token = &stage.launcher;
    let order = json!({ "user": "alice@example.org", "role_arn": ALLOWED, "job": "my-job" });
    output::line(&format!(
        "rolegate demo\n\n\
         open  {gateway}/            and sign in as alice with {PASSWORD}\n\
         open  {idp}/            to start at the identity provider instead\n\n\
         a lease for a job of alice's (after the sign-in):\n  \
           curl -s {gateway}/api/v1/leases -H 'Authorization: Bearer {token}' \\\n    \
             -H 'Content-Type: application/json' -d '{order}'\n\
         the job is any AWS SDK with the two variables of its `env`.\n\n\
         the allow-list, while it runs:\n  \
           rolegate --config {file} roles allow {NOT_ALLOWED} --reason demo\n\n\
         what AWS's stand-in checked:\n  curl -s {}/log\n\n\
         Ctrl-C ends it; nothing is left behind.",
        stage.sts.url()
    ));
    tokio::signal::ctrl_c().await?;
    Ok(ExitCode::SUCCESS)
}

fn step(text: &str) {
    output::line(&format!("ok  {text}"));
}

fn require(holds: bool, wanted: &str, found: &str) -> Result<(), Failure> {
    if holds {
        step(wanted);
        return Ok(());
    }
    Err(format!("wanted: {wanted}; found: {found}").into())
}

/// The main job, once, through the front doors.
async fn once(stage: &Stage) -> Result<(), Failure> {
    let browser = reqwest::Client::builder()
        .cookie_store(true)
        .redirect(Policy::none())
        .build()?;
    let response = sign_in(stage, &browser).await?;
    replay(stage, &response).await?;
    let lease = lease(stage).await?;
    job(stage, &lease).await?;
    for call in stage.sts.calls() {
        let role = call.role_arn.as_deref().unwrap_or("");
        step(&format!(
            "STS {} {role}: {} after checking {}",
            call.action,
            call.outcome,
            call.checks.join(", ")
        ));
    }
    output::line("done: the job had the person's credentials");
    Ok(())
}

/// As a browser does: portal, IdP, ACS, portal. Returns the response that was posted.
async fn sign_in(stage: &Stage, browser: &reqwest::Client) -> Result<String, Failure> {
    let gateway = stage.config.server.public_url();
    let start = browser
        .get(format!("{gateway}/saml/demo/login"))
        .send()
        .await?;
    let target = location(&start);
    let at_idp = target.starts_with(stage.idp.url());
    require(
        at_idp,
        "the gateway sends the browser to the IdP with an AuthnRequest",
        &target,
    )?;
    let page = browser.get(&target).send().await?.text().await?;
    let posted = stage
        .idp
        .submit_login(browser, &page, "alice", PASSWORD)
        .await?;
    step("the IdP signs alice in and posts a signed response to the ACS");
    let mut form = vec![("SAMLResponse", posted.saml_response.clone())];
    form.extend(posted.relay_state.map(|state| ("RelayState", state)));
    let answer = browser.post(&posted.action).form(&form).send().await?;
    let accepted = answer.status() == StatusCode::SEE_OTHER;
    let wanted =
        "the gateway verifies it: signature, issuer, audience, recipient, times, request, replay";
    require(
        accepted,
        wanted,
        &format!("{} {}", answer.status(), answer.text().await?),
    )?;
    let portal = browser
        .get(format!("{gateway}/"))
        .send()
        .await?
        .text()
        .await?;
    require(
        portal.contains(ALLOWED),
        &format!("the allow-list grants {ALLOWED}"),
        &portal,
    )?;
    let denied = portal.contains("no entry of the allow-list");
    require(
        denied,
        &format!("and denies {NOT_ALLOWED}, saying why"),
        &portal,
    )?;
    Ok(posted.saml_response)
}

fn location(answer: &reqwest::Response) -> String {
    let header = answer
        .headers()
        .get("location")
        .and_then(|value| value.to_str().ok());
    header.unwrap_or("").to_owned()
}

async fn replay(stage: &Stage, response: &str) -> Result<(), Failure> {
    let answer = reqwest::Client::new()
        .post(stage.config.acs_url())
        .header("Accept", "application/json")
        .form(&[("SAMLResponse", response)])
        .send()
        .await?;
    let status = answer.status();
    require(
        status == StatusCode::FORBIDDEN,
        "the same response a second time is refused",
        status.as_str(),
    )
}

/// As a launcher does. Returns the variables for the job.
async fn lease(stage: &Stage) -> Result<Value, Failure> {
    let gateway = stage.config.server.public_url();
    let answer = reqwest::Client::new()
        .post(format!("{gateway}/api/v1/leases"))
        .bearer_auth(&stage.launcher)
        .json(&json!({ "user": "alice@example.org", "role_arn": ALLOWED, "job": "demo-job" }))
        .send()
        .await?;
    let status = answer.status();
    let mut lease: Value = answer.json().await?;
    require(
        status == StatusCode::CREATED,
        "the launcher leases the role for job demo-job",
        &lease.to_string(),
    )?;
    Ok(lease.get_mut("env").map(Value::take).unwrap_or_default())
}

/// Runs a child that knows nothing but its environment, with an AWS SDK in it.
async fn job(stage: &Stage, env: &Value) -> Result<(), Failure> {
    let mut command = tokio::process::Command::new(std::env::current_exe()?);
    command
        .arg("demo-job")
        .env_clear()
        .current_dir(stage.folder.path());
    for (name, value) in env.as_object().into_iter().flatten() {
        command.env(name, value.as_str().unwrap_or(""));
    }
    command.env("AWS_ENDPOINT_URL_STS", stage.sts.url());
    let ended = command.output().await?;
    let (arn, error) = (
        String::from_utf8_lossy(&ended.stdout),
        String::from_utf8_lossy(&ended.stderr),
    );
    let wanted = "arn:aws:sts::123456789012:assumed-role/data-scientist/alice@example.org";
    require(
        ended.status.success() && arn.trim() == wanted,
        &format!("the job's AWS SDK reads its credentials and is {wanted}"),
        &format!("{arn}{error}"),
    )
}
