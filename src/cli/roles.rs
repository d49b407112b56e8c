//! `rolegate roles`: the allow-list, edited while the gateway runs.

mod editor;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use clap::Args;

use super::remote::Misused;
use super::{Context, Outcome, reason};
use crate::audit::Recorder;
use crate::model::{
    Effect, EntryDraft, EntryId, IdpName, Method, RolePattern, SessionDuration, TokenName,
};
use editor::Editor;

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// List the entries in force
    List {
        /// Print a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Allow a role, or a pattern of roles
    Allow(Box<Allow>),
    /// Forbid a role, or a pattern of roles, whatever else allows it
    Deny(Deny),
    /// Remove an entry
    Remove {
        /// The entry's id, as `roles list` shows it
        id: EntryId,
        /// Why
        #[arg(long, value_parser = reason)]
        reason: Option<String>,
    },
    /// Add entries from a file: a comma separated list of ARNs, or what `roles export` printed
    Import {
        /// The file, - for standard input
        file: PathBuf,
        /// How their credentials are had (default: roles.default_method)
        #[arg(long)]
        method: Option<Method>,
        /// Why
        #[arg(long, value_parser = reason)]
        reason: Option<String>,
    },
    /// Print the store's entries as JSON, for `roles import`
    Export,
    /// Say which entry would decide about a role, without adding anything
    Preview {
        /// The role
        arn: crate::model::RoleArn,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args)]
pub(super) struct Allow {
    /// The role's ARN; `*` stands for any text without `/`, `**` for any text
    arn: RolePattern,
    /// Why
    #[arg(long, value_parser = reason)]
    reason: String,
    /// How credentials are had: saml, web-identity, relay or broker
    #[arg(long)]
    method: Option<Method>,
    /// The longest session, such as 4h
    #[arg(long, value_parser = session_duration)]
    max_duration: Option<SessionDuration>,
    /// How long after the sign-in credentials are renewed, such as 7d
    #[arg(long, value_parser = seconds)]
    renew_for: Option<u32>,
    /// Only for persons of this IdP
    #[arg(long)]
    idp: Option<IdpName>,
    /// Only where this attribute has this value; may be repeated
    #[arg(long, value_name = "ATTR=VALUE", value_parser = condition)]
    when: Vec<(String, String)>,
    /// Only for leases of this launcher
    #[arg(long)]
    launcher: Option<TokenName>,
    /// ExternalId, for method broker
    #[arg(long)]
    external_id: Option<String>,
    /// A session tag key that launchers may set; may be repeated
    #[arg(long = "tag-key")]
    tag_keys: Vec<String>,
    /// Tag sessions with job and launcher
    #[arg(long)]
    job_tag: bool,
    /// Let relay tokens leave rolegate
    #[arg(long)]
    hand_out_tokens: bool,
    /// When the entry stops to count: RFC 3339, or a time from now such as 30d
    #[arg(long, value_parser = expiry)]
    expires: Option<Expiry>,
    /// A name for people
    #[arg(long)]
    label: Option<String>,
}

#[derive(Args)]
pub(super) struct Deny {
    /// The role's ARN or pattern
    arn: RolePattern,
    /// Why
    #[arg(long, value_parser = reason)]
    reason: Option<String>,
    /// Only for persons of this IdP
    #[arg(long)]
    idp: Option<IdpName>,
    /// Only where this attribute has this value; may be repeated
    #[arg(long, value_name = "ATTR=VALUE", value_parser = condition)]
    when: Vec<(String, String)>,
    /// When the entry stops to count: RFC 3339, or a time from now such as 30d
    #[arg(long, value_parser = expiry)]
    expires: Option<Expiry>,
}

fn condition(text: &str) -> Result<(String, String), String> {
    // Attribute names may hold `=`; the last one parts name and value where both ends are plain.
    let (attribute, value) = text.split_once('=').ok_or("write ATTRIBUTE=VALUE")?;
    if attribute.is_empty() || value.is_empty() {
        return Err("write ATTRIBUTE=VALUE, neither of them empty".to_owned());
    }
    Ok((attribute.to_owned(), value.to_owned()))
}

/// A length such as `4h`, or plain seconds.
fn seconds(text: &str) -> Result<u32, String> {
    let wrong = || "write a length such as 900, 45m, 4h or 7d".to_owned();
    if let Ok(seconds) = text.parse() {
        return Ok(seconds);
    }
    let length = humantime::parse_duration(text).map_err(|_| wrong())?;
    u32::try_from(length.as_secs()).map_err(|_| wrong())
}

fn session_duration(text: &str) -> Result<SessionDuration, String> {
    SessionDuration::from_seconds(seconds(text)?).map_err(|error| format!("{text} {error}"))
}

/// When something ends.
#[derive(Debug, Clone, Copy)]
pub(super) enum Expiry {
    /// At this time.
    At(DateTime<Utc>),
    /// So many seconds from now.
    In(u32),
}

impl Expiry {
    /// The time that it is, counted from `now`.
    pub(super) fn counted_from(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::At(at) => at,
            Self::In(seconds) => now + chrono::TimeDelta::seconds(i64::from(seconds)),
        }
    }
}

/// A time, or a length such as `30d`.
pub(super) fn expiry(text: &str) -> Result<Expiry, String> {
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Ok(Expiry::At(at.with_timezone(&Utc)));
    }
    let wrong = |_| "write 2027-01-31T00:00:00Z, or a length from now such as 30d".to_owned();
    seconds(text).map(Expiry::In).map_err(wrong)
}

pub(super) async fn run(command: Command, at: &Context) -> Outcome {
    if let Some(misused) = named_twice(&command) {
        return Ok(misused.told());
    }
    // An entry may be what a store begins with, and those of the file are shown before there is one.
    let (config, store) = match &command {
        Command::Remove { .. } | Command::Export => at.existing().await?,
        _ => at.store().await?,
    };
    let editor = Editor {
        recorder: Recorder::start(store.clone(), Arc::clone(&at.world.clock)),
        store,
        config,
    };
    match command {
        Command::List { json } => editor.list(at, json).await,
        Command::Allow(allow) => {
            let draft = allow_draft(*allow, at.world.clock.now());
            editor.add(draft).await
        }
        Command::Deny(deny) => {
            let draft = deny_draft(deny, at.world.clock.now());
            editor.add(draft).await
        }
        Command::Remove { id, reason } => editor.remove(&id, reason.as_deref()).await,
        Command::Import {
            file,
            method,
            reason,
        } => editor.import(&file, method, reason).await,
        Command::Export => editor.export().await,
        Command::Preview { arn, json } => editor.preview(&arn, json).await,
    }
}

fn allow_draft(allow: Allow, now: DateTime<Utc>) -> EntryDraft {
    let expires_at = allow.expires.map(|end| end.counted_from(now));
    EntryDraft {
        method: allow.method,
        max_duration_seconds: allow.max_duration,
        renew_for_seconds: allow.renew_for,
        idp: allow.idp,
        when: allow.when.into_iter().collect(),
        launcher: allow.launcher,
        external_id: allow.external_id,
        tag_keys: allow.tag_keys.into_iter().collect(),
        job_tag: allow.job_tag,
        hand_out_tokens: allow.hand_out_tokens,
        expires_at,
        label: allow.label,
        reason: Some(allow.reason),
        ..EntryDraft::allowing(allow.arn)
    }
}

fn deny_draft(deny: Deny, now: DateTime<Utc>) -> EntryDraft {
    let expires_at = deny.expires.map(|end| end.counted_from(now));
    EntryDraft {
        effect: Effect::Deny,
        idp: deny.idp,
        when: deny.when.into_iter().collect(),
        expires_at,
        reason: deny.reason,
        ..EntryDraft::allowing(deny.arn)
    }
}

/// All conditions of an entry must hold, and no attribute has two values for that.
fn named_twice(command: &Command) -> Option<Misused> {
    let pairs = match command {
        Command::Allow(allow) => &allow.when,
        Command::Deny(deny) => &deny.when,
        _ => return None,
    };
    let mut seen = BTreeSet::new();
    let twice = pairs.iter().find(|(attribute, _)| !seen.insert(attribute));
    twice.map(|(attribute, _)| {
        Misused(format!(
            "--when names {attribute} twice; all conditions must hold, so give it once"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::editor::drafts;
    use super::*;

    #[test]
    fn reads_lengths_as_people_write_them() {
        assert_eq!(
            (seconds("4h"), seconds("900"), seconds("7d")),
            (Ok(14400), Ok(900), Ok(604_800))
        );
        assert!(seconds("soon").is_err() && session_duration("13h").is_err());
    }

    #[test]
    fn imports_a_comma_list_whole_or_not_at_all() {
        let list = "arn:aws:iam::123456789012:role/a,arn:aws:iam::123456789012:role/b,c\n arn:aws:iam::*:role/d/*\n";
        assert_eq!(drafts(list).ok().unwrap().len(), 3);
        assert!(drafts("arn:aws:iam::123456789012:role/a,arn:aws:iam::1:role/b").is_err());
        assert!(drafts("").is_err());
    }
}
