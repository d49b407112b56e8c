//! What each command does to the store's entries, and what it prints.

use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

use chrono::{DateTime, Utc};

use crate::app;
use crate::audit::{Event, EventKind, Recorder};
use crate::cli::{Context, Failure, Outcome, local_user, output};
use crate::config::Config;
use crate::model::{
    Effect, Entry, EntryDraft, EntryId, EntrySource, Method, RolePattern, rfc3339, split_arn_list,
};
use crate::store::Store;

pub(super) struct Editor {
    pub(super) config: Config,
    pub(super) store: Store,
    pub(super) recorder: Recorder,
}

impl Editor {
    pub(super) async fn list(&self, at: &Context, json: bool) -> Outcome {
        let entries = app::allow_list(&self.config, &self.store)
            .await?
            .entries()
            .await?;
        if json {
            output::json(&entries)?;
            return Ok(ExitCode::SUCCESS);
        }
        let now = at.world.clock.now();
        let headings = [
            "ID",
            "EFFECT",
            "ARN",
            "METHOD",
            "CONDITIONS",
            "SOURCE",
            "REASON",
        ];
        output::table(
            &headings,
            entries.iter().map(|entry| row(entry, now)).collect(),
        );
        Ok(ExitCode::SUCCESS)
    }

    pub(super) async fn add(&self, mut draft: EntryDraft) -> Outcome {
        self.settle(&mut draft);
        draft.check(self.config.roles.default_method)?;
        let entry = self.store.add_entry(draft, &local_user()).await?;
        self.record(EventKind::EntryAdded, &entry, entry.draft.reason.as_deref())
            .await?;
        output::line(entry.id.as_str());
        Ok(ExitCode::SUCCESS)
    }

    pub(super) async fn remove(&self, id: &EntryId, reason: Option<&str>) -> Outcome {
        if let Some(entry) = self
            .config
            .roles
            .entries
            .iter()
            .find(|entry| entry.id == *id)
        {
            let place = if entry.source == EntrySource::Environment {
                "ROLEGATE_ALLOWED_ROLES".to_owned()
            } else {
                self.config.path.display().to_string()
            };
            return Err(format!(
                "entry {id} stands in {place} and is read-only here; remove it there and restart"
            )
            .into());
        }
        let entry = self
            .store
            .remove_entry(id, None, &local_user(), reason)
            .await?;
        self.record(EventKind::EntryRemoved, &entry, reason).await?;
        Ok(ExitCode::SUCCESS)
    }

    pub(super) async fn import(
        &self,
        file: &Path,
        method: Option<Method>,
        reason: Option<String>,
    ) -> Outcome {
        let mut text = String::new();
        if file == Path::new("-") {
            std::io::stdin().read_to_string(&mut text)?;
        } else {
            text = std::fs::read_to_string(file)
                .map_err(|error| {
                    let file = file.display();
                    format!("{file} cannot be read ({error}); name a file that `roles export` wrote or a list of ARNs, or - for standard input")
                })?;
        }
        let mut drafts = drafts(&text)?;
        for draft in &mut drafts {
            draft.method = method.or(draft.method);
            draft.reason = reason.clone().or_else(|| draft.reason.take());
            self.settle(draft);
            let arn = draft.arn.to_string();
            draft
                .check(self.config.roles.default_method)
                .map_err(|error| format!("{arn}: {error}; nothing was imported"))?;
        }
        let entries = self.store.add_entries(drafts, &local_user()).await?;
        for entry in &entries {
            self.record(EventKind::EntryAdded, entry, entry.draft.reason.as_deref())
                .await?;
            output::line(entry.id.as_str());
        }
        output::note(&format!("{} entries imported", entries.len()));
        Ok(ExitCode::SUCCESS)
    }

    pub(super) async fn export(&self) -> Outcome {
        let entries = self.store.entries().await?;
        let drafts: Vec<&EntryDraft> = entries.iter().map(|entry| &entry.draft).collect();
        output::json(&drafts)?;
        Ok(ExitCode::SUCCESS)
    }

    pub(super) async fn preview(&self, role: &crate::model::RoleArn, json: bool) -> Outcome {
        let entries = app::allow_list(&self.config, &self.store)
            .await?
            .entries()
            .await?;
        let mut matching: Vec<&Entry> = entries
            .iter()
            .filter(|entry| entry.draft.arn.matches(role))
            .collect();
        // A deny comes before all; then the closest; the sort is stable, so that age decides the rest.
        matching.sort_by_key(|entry| {
            let closeness = entry.draft.arn.specificity();
            (
                entry.draft.effect == Effect::Allow,
                std::cmp::Reverse(closeness),
            )
        });
        if json {
            output::json(&matching)?;
        } else if matching.is_empty() {
            output::line("no entry matches: nobody can be given this role");
        } else {
            let headings = ["ORDER", "ID", "EFFECT", "ARN"];
            let rows = matching.iter().enumerate().map(|(at, entry)| {
                let draft = &entry.draft;
                vec![
                    (at + 1).to_string(),
                    entry.id.to_string(),
                    effect(draft).to_owned(),
                    draft.arn.to_string(),
                ]
            });
            output::table(&headings, rows.collect());
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Writes down today's default method, so that another default later changes no entry.
    fn settle(&self, draft: &mut EntryDraft) {
        if draft.effect == Effect::Allow {
            draft.method.get_or_insert(self.config.roles.default_method);
        }
    }

    /// Audits an edit with why it was made.
    async fn record(
        &self,
        kind: EventKind,
        entry: &Entry,
        why: Option<&str>,
    ) -> Result<(), Failure> {
        let arn = &entry.draft.arn;
        let event = Event {
            entry: Some(entry.id.clone()),
            by: Some(local_user()),
            reason: Some(why.map_or_else(|| arn.to_string(), |why| format!("{arn}: {why}"))),
            ..Event::new(kind)
        };
        Ok(self.recorder.record(event).await?)
    }
}

/// Reads a list of ARNs (Code Ocean's form, also one a line), or what `roles export` printed.
pub(super) fn drafts(text: &str) -> Result<Vec<EntryDraft>, Failure> {
    if text.trim_start().starts_with('[') {
        return serde_json::from_str(text)
            .map_err(|error| format!("this is no export ({error}); name a file that `rolegate roles export` wrote, or a comma separated list of ARNs; nothing was imported").into());
    }
    let mut drafts = Vec::new();
    for arn in text.lines().flat_map(split_arn_list) {
        let pattern: RolePattern = arn
            .parse()
            .map_err(|error| format!("{arn:?} {error}; nothing was imported"))?;
        drafts.push(EntryDraft::allowing(pattern));
    }
    if drafts.is_empty() {
        return Err("the file holds no ARN; nothing was imported".into());
    }
    Ok(drafts)
}

fn effect(draft: &EntryDraft) -> &'static str {
    match draft.effect {
        Effect::Allow => "allow",
        Effect::Deny => "deny",
    }
}

fn row(entry: &Entry, now: DateTime<Utc>) -> Vec<String> {
    let draft = &entry.draft;
    let mut conditions: Vec<String> = draft
        .when
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    conditions.extend(draft.idp.iter().map(|idp| format!("idp={idp}")));
    conditions.extend(
        draft
            .launcher
            .iter()
            .map(|launcher| format!("launcher={launcher}")),
    );
    conditions.extend(draft.expires_at.iter().map(|end| {
        let tense = if now < *end { "until" } else { "ended" };
        format!("{tense} {}", rfc3339(*end))
    }));
    vec![
        entry.id.to_string(),
        effect(draft).to_owned(),
        draft.arn.to_string(),
        draft
            .method
            .map_or_else(|| "-".to_owned(), |method| method.to_string()),
        conditions.join(" "),
        format!("{:?}", entry.source).to_lowercase(),
        draft.reason.clone().unwrap_or_default(),
    ]
}
