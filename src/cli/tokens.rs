//! `rolegate tokens`: made once, shown once.

use std::process::ExitCode;
use std::sync::Arc;

use serde_json::json;

use super::roles::{self, Expiry};
use super::{Context, Failure, Outcome, local_user, output};
use crate::audit::{Event, EventKind, Recorder};
use crate::model::{Role, TextPattern, Token, TokenId, TokenKind, TokenName, TokenRecord, rfc3339};

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
        /// Also revoke the leases that it made
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

pub(super) async fn run(command: Command, at: &Context) -> Outcome {
    match command {
        Command::Create {
            name,
            role,
            for_roles,
            for_users,
            expires,
            json,
        } => {
            let patterns = patterns(role, for_roles, for_users)?;
            create(at, name, role, patterns, expires, json).await
        }
        Command::List { json } => list(at, json).await,
        Command::Revoke { token, leases } => revoke(at, &token, leases).await,
    }
}

type Patterns = (Option<TextPattern>, Option<TextPattern>);

fn patterns(role: Role, roles: Option<String>, users: Option<String>) -> Result<Patterns, Failure> {
    if role != Role::Launcher && (roles.is_some() || users.is_some()) {
        return Err(format!(
            "--for-roles and --for-users are for launchers; leave them out with --role {role}"
        )
        .into());
    }
    Ok((roles.map(TextPattern::new), users.map(TextPattern::new)))
}

async fn create(
    at: &Context,
    name: TokenName,
    role: Role,
    (for_roles, for_users): Patterns,
    expires: Option<Expiry>,
    json: bool,
) -> Outcome {
    let (_, store) = at.store().await?;
    let now = at.world.clock.now();
    let expires = expires.or((role == Role::Launcher).then_some(LAUNCHER_DEFAULT));
    let kind = if role == Role::Launcher {
        TokenKind::Launcher
    } else {
        TokenKind::Admin
    };
    let token = Token::fresh(kind, &*at.world.entropy);
    let record = TokenRecord {
        id: TokenId::fresh(&*at.world.clock, &*at.world.entropy),
        name,
        role,
        for_roles,
        for_users,
        created_at: now,
        expires_at: expires.map(|end| end.counted_from(now)),
        revoked_at: None,
    };
    store.add_token(&record, &token.hash()).await?;
    audit(
        &Recorder::start(store, Arc::clone(&at.world.clock)),
        EventKind::TokenCreated,
        &record,
    )
    .await?;
    let token = token.into_secret();
    if json {
        output::json(
            &json!({ "id": record.id, "name": record.name, "role": record.role, "token": token.expose() }),
        )?;
    } else {
        output::line(token.expose());
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(at: &Context, json: bool) -> Outcome {
    let (_, store) = at.store().await?;
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
            state,
        ]
    });
    output::table(
        &["ID", "NAME", "ROLE", "FOR ROLES", "FOR USERS", "STATE"],
        rows.collect(),
    );
    Ok(ExitCode::SUCCESS)
}

async fn revoke(at: &Context, token: &str, leases: bool) -> Outcome {
    let (_, store) = at.store().await?;
    let revoked = store.revoke_token(token).await?;
    if revoked.is_empty() {
        return Err(format!(
            "no live token is called {token} or has that id; `rolegate tokens list` shows them"
        )
        .into());
    }
    let recorder = Recorder::start(store.clone(), Arc::clone(&at.world.clock));
    for record in &revoked {
        audit(&recorder, EventKind::TokenRevoked, record).await?;
        output::line(record.id.as_str());
        if leases && record.role == Role::Launcher {
            let filter = crate::store::LeaseFilter {
                launcher: Some(record.name.clone()),
                ..crate::store::LeaseFilter::default()
            };
            let count = store
                .revoke_leases(filter, "the launcher's token was revoked")
                .await?;
            output::note(&format!(
                "{count} leases of launcher {} revoked",
                record.name
            ));
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn audit(recorder: &Recorder, kind: EventKind, record: &TokenRecord) -> Result<(), Failure> {
    let event = Event {
        token: Some(record.id.clone()),
        by: Some(local_user()),
        reason: Some(format!("{} {}", record.role, record.name)),
        ..Event::new(kind)
    };
    Ok(recorder.record(event).await?)
}
