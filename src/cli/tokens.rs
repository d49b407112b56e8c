//! `rolegate tokens`: made once, shown once.

use std::process::ExitCode;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::{Map, json};

use super::roles::{self, Expiry};
use super::{Context, Failure, Outcome, WRONG_USAGE, local_user, output};
use crate::app::World;
use crate::audit::Recorder;
use crate::flow::{Revoke, token_created};
use crate::model::{
    CertificateName, CertificateNameError, Role, Secret, TextPattern, Token, TokenId, TokenKind,
    TokenName, TokenRecord, rfc3339,
};
use crate::store::Store;

/// A launcher's token ends after 90 days unless told otherwise.
const LAUNCHER_DEFAULT: Expiry = Expiry::In(90 * 86_400);

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Make a token and print it; it cannot be shown again
    Create {
        /// Its name; for a launcher this is what --launcher means
        name: TokenName,
        /// What it permits: launcher, admin or auditor
        #[arg(long, value_parser = role)]
        role: Role,
        /// The roles a launcher may ask for, as a pattern; '*' means all
        #[arg(long, required_if_eq("role", "launcher"))]
        for_roles: Option<String>,
        /// The users a launcher may ask for, as a pattern; '*' means all
        #[arg(long, required_if_eq("role", "launcher"))]
        for_users: Option<String>,
        /// The client's certificate that it counts with: subject:CN=launcher,O=Example, uri:spiffe://... or dns:NAME
        #[arg(long, value_name = "NAME", value_parser = certificate_name)]
        certificate_subject: Option<CertificateName>,
        /// Make no token: the certificate alone says that it is this launcher
        #[arg(long, requires = "certificate_subject")]
        without_token: bool,
        /// When it ends: RFC 3339, or a time from now such as 30d (default for a launcher: 90d)
        #[arg(long, value_parser = roles::expiry)]
        expires: Option<Expiry>,
        /// Print JSON with its id
        #[arg(long)]
        json: bool,
    },
    /// List tokens, not their secrets
    List {
        /// Print a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Revoke a token by id, or all of a name
    Revoke {
        /// Name or id
        token: String,
        /// Also revoke the leases that launchers of its name made; refused while another token of the name counts
        #[arg(long)]
        leases: bool,
    },
}

fn role(text: &str) -> Result<Role, String> {
    [Role::Launcher, Role::Admin, Role::Auditor]
        .into_iter()
        .find(|role| role.as_str() == text)
        .ok_or_else(|| "write launcher, admin or auditor".to_owned())
}

fn certificate_name(text: &str) -> Result<CertificateName, String> {
    text.parse()
        .map_err(|error: CertificateNameError| error.to_string())
}

/// What of a token is written on the command line.
struct Order {
    name: TokenName,
    role: Role,
    patterns: Patterns,
    expires: Option<Expiry>,
    certificate_subject: Option<CertificateName>,
    without_token: bool,
}

pub(super) async fn run(command: Command, at: &Context) -> Outcome {
    match command {
        Command::Create {
            name,
            role,
            for_roles,
            for_users,
            certificate_subject,
            without_token,
            expires,
            json,
        } => {
            let order = Order {
                patterns: (
                    for_roles.map(TextPattern::new),
                    for_users.map(TextPattern::new),
                ),
                name,
                role,
                expires,
                certificate_subject,
                without_token,
            };
            if let Some(misuse) = misuse(&order, at.world.clock.now()) {
                output::error(&misuse);
                return Ok(ExitCode::from(WRONG_USAGE));
            }
            create(at, order, json).await
        }
        Command::List { json } => list(at, json).await,
        Command::Revoke { token, leases } => revoke(at, &token, leases).await,
    }
}

type Patterns = (Option<TextPattern>, Option<TextPattern>);

/// What of an order contradicts itself, and what to write.
fn misuse(order: &Order, now: DateTime<Utc>) -> Option<String> {
    let role = order.role;
    let expires = order.expires.map(|end| end.counted_from(now));
    if role != Role::Launcher && order.patterns != (None, None) {
        return Some(format!(
            "--for-roles and --for-users are for launchers; leave them out with --role {role}"
        ));
    }
    if role != Role::Launcher && order.without_token {
        return Some(
            "--without-token is for launchers; leave it out, and the token counts with the certificate"
                .to_owned(),
        );
    }
    expires.filter(|end| *end <= now)?;
    Some(
        "--expires has passed already; write a time to come, or a length from now such as 30d"
            .to_owned(),
    )
}

async fn create(at: &Context, order: Order, json: bool) -> Outcome {
    let (config, store) = at.store().await?;
    let record = record(order, &at.world);
    let token = keep(&store, &record, &at.world).await?;
    Recorder::start(store, Arc::clone(&at.world.clock))
        .record(token_created(&record, &local_user()))
        .await?;
    if record.certificate_subject.is_some() && !config.server.asks_for_certificates() {
        output::note(NEVER_SHOWN);
    }
    show(&record, token.as_ref(), json)
}

/// Where no client is asked for a certificate, nothing can match one.
const NEVER_SHOWN: &str = "this gateway asks no client for a certificate, so it counts nowhere: set server.tls.client_ca_file, which needs rolegate to speak TLS itself";

fn record(order: Order, world: &World) -> TokenRecord {
    let now = world.clock.now();
    let default = (order.role == Role::Launcher).then_some(LAUNCHER_DEFAULT);
    let (for_roles, for_users) = order.patterns;
    TokenRecord {
        id: TokenId::fresh(&*world.clock, &*world.entropy),
        name: order.name,
        role: order.role,
        for_roles,
        for_users,
        created_at: now,
        expires_at: order.expires.or(default).map(|end| end.counted_from(now)),
        revoked_at: None,
        certificate_subject: order.certificate_subject,
        without_token: order.without_token,
    }
}

/// Keeps `record`, and gives the token where it has one.
async fn keep(
    store: &Store,
    record: &TokenRecord,
    world: &World,
) -> Result<Option<Secret>, Failure> {
    if record.without_token {
        store.add_without_token(record).await?;
        return Ok(None);
    }
    let kind = if record.role == Role::Launcher {
        TokenKind::Launcher
    } else {
        TokenKind::Admin
    };
    let token = Token::fresh(kind, &*world.entropy);
    store.add_token(record, &token.hash()).await?;
    Ok(Some(token.into_secret()))
}

fn show(record: &TokenRecord, token: Option<&Secret>, json: bool) -> Outcome {
    if !json {
        output::line(token.map_or(record.id.as_str(), Secret::expose));
        return Ok(ExitCode::SUCCESS);
    }
    let mut shown = Map::new();
    shown.insert("id".to_owned(), json!(record.id));
    shown.insert("name".to_owned(), json!(record.name));
    shown.insert("role".to_owned(), json!(record.role));
    if let Some(token) = token {
        shown.insert("token".to_owned(), token.expose().into());
    }
    if let Some(name) = &record.certificate_subject {
        shown.insert("certificate_subject".to_owned(), json!(name));
    }
    output::json(&shown)?;
    Ok(ExitCode::SUCCESS)
}

async fn list(at: &Context, json: bool) -> Outcome {
    let store = at.existing_store().await?;
    let tokens = store.tokens().await?;
    if json {
        output::json(&tokens)?;
        return Ok(ExitCode::SUCCESS);
    }
    let show = |pattern: &Option<TextPattern>| {
        pattern
            .as_ref()
            .map_or_else(|| "-".to_owned(), ToString::to_string)
    };
    let rows = tokens.iter().map(|token| {
        let state = match (token.revoked_at, token.expires_at) {
            (Some(at), _) => format!("revoked {}", rfc3339(at)),
            (None, Some(end)) if token.is_live(at.world.clock.now()) => {
                format!("until {}", rfc3339(end))
            }
            (None, Some(end)) => format!("ended {}", rfc3339(end)),
            (None, None) => "until revoked".to_owned(),
        };
        let (id, name, role) = (
            token.id.to_string(),
            token.name.to_string(),
            token.role.to_string(),
        );
        vec![
            id,
            name,
            role,
            show(&token.for_roles),
            show(&token.for_users),
            certificate(token),
            state,
        ]
    });
    output::table(
        &[
            "ID",
            "NAME",
            "ROLE",
            "FOR ROLES",
            "FOR USERS",
            "CERTIFICATE",
            "STATE",
        ],
        rows.collect(),
    );
    Ok(ExitCode::SUCCESS)
}

fn certificate(token: &TokenRecord) -> String {
    match &token.certificate_subject {
        None => "-".to_owned(),
        Some(name) if token.without_token => format!("{name}, no token"),
        Some(name) => name.to_string(),
    }
}

async fn revoke(at: &Context, token: &str, leases: bool) -> Outcome {
    let store = at.existing_store().await?;
    let revoke = Revoke {
        recorder: Recorder::start(store.clone(), Arc::clone(&at.world.clock)),
        store,
        in_force: None,
    };
    let done = revoke.tokens(token, leases, &local_user()).await?;
    for id in &done.tokens {
        output::line(id.as_str());
    }
    if let Some((launcher, hit)) = &done.leases {
        let count = hit.revoked.leases;
        output::note(&format!("{count} leases of launcher {launcher} revoked"));
        output::note(&hit.note);
        for advice in &hit.aws {
            output::note(&advice.command);
        }
    }
    Ok(ExitCode::SUCCESS)
}
