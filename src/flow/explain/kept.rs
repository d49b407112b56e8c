//! What a reference stands for: the check results that were kept, else what the audit has.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value};

use super::{Decision, Explain, Explanation};
use crate::audit::{self, EventKind, Record};
use crate::flow::Unavailable;
use crate::model::Reference;
use crate::saml::{Check, mend};
use crate::store::{AuditFilter, REFUSAL_DAYS, REFUSALS_KEPT};

/// Check results come behind the answer: those of a refusal of just now are waited for, a second at most.
const ON_ITS_WAY: TimeDelta = TimeDelta::seconds(3);
/// A count is recorded a minute after its first, and a little later where the store is slow.
const COUNTED: TimeDelta = TimeDelta::minutes(3);
/// How many counts are looked at.
const COUNTS: u32 = 200;
/// A reference is of just before its refusal.
const AROUND: TimeDelta = TimeDelta::milliseconds(100);
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(100);

impl Explain {
    /// What was found of the response whose refusal showed `reference`. `None`: there is no such reference.
    pub async fn reference(
        &self,
        reference: &Reference,
    ) -> Result<Option<Explanation>, Unavailable> {
        let now = self.access.clock.now();
        let is_new = reference
            .made_at()
            .is_some_and(|at| (now - at).abs() < ON_ITS_WAY);
        let mut patience = if is_new { TRIES } else { 0 };
        loop {
            if let Some(kept) = self.kept(reference).await? {
                return Ok(Some(kept));
            }
            if patience == 0 {
                break;
            }
            patience -= 1;
            tokio::time::sleep(PAUSE).await;
        }
        let mut records = audit::by_reference(&self.access.store, reference).await?;
        if records.is_empty() {
            records = self.counted(reference).await?;
        }
        Ok((!records.is_empty()).then(|| Explanation {
            checks: records.iter().map(check).collect(),
            decisions: records.iter().filter_map(decision).collect(),
        }))
    }

    /// The counts of refusals among which the one that showed `reference` may be: one of many has no record of its own.
    async fn counted(&self, reference: &Reference) -> Result<Vec<Record>, Unavailable> {
        let Some(made_at) = reference.made_at() else {
            return Ok(Vec::new());
        };
        let filter = AuditFilter {
            from: Some(made_at - ON_ITS_WAY),
            to: Some(made_at + COUNTED),
            kinds: [EventKind::RefusalsCounted.as_str()].into(),
            ..AuditFilter::default()
        };
        let page = audit::page(&self.access.store, &filter, 0, COUNTS).await?;
        let mut records = page.records;
        records.retain(|record| {
            let fields = record.fields();
            let time = |name| text(&fields, name).parse::<DateTime<Utc>>().ok();
            time("first_at").is_some_and(|first| first <= made_at + AROUND)
                && time("last_at").is_some_and(|last| made_at <= last + AROUND)
        });
        Ok(records)
    }

    async fn kept(&self, reference: &Reference) -> Result<Option<Explanation>, Unavailable> {
        let Some(results) = self.access.store.refusal(reference).await? else {
            return Ok(None);
        };
        let read = serde_json::from_str(&results);
        Ok(read
            .inspect_err(|error| {
                tracing::error!(event = "refusal_unreadable", %reference, %error, "only the audit's reason is shown");
            })
            .ok())
    }

    /// What is said of a reference that nothing stands under.
    pub fn unknown_reference(reference: &Reference) -> String {
        format!(
            "nothing is known under the reference {reference}: check the spelling and the store; check results are kept for {REFUSAL_DAYS} days and for the newest {REFUSALS_KEPT} refusals, their reason in the audit; of a flood the audit has the number, within a minute, and the log each reference"
        )
    }
}

/// A record of the audit as a check: its reason's code, or the event's name.
fn check(record: &Record) -> Check {
    let fields = record.fields();
    let reason = text(&fields, "reason");
    let coded = reason.split_once(": ").filter(|(code, _)| is_code(code));
    let (name, found) = coded.unwrap_or((record.kind.as_str(), reason));
    let at = text(&fields, "at");
    let kind = &record.kind;
    if kind == EventKind::RefusalsCounted.as_str() {
        return one_of_many(&fields);
    }
    let good = !["refused", "failed", "alarm"]
        .iter()
        .any(|bad| kind.ends_with(bad));
    if good {
        return Check::held(name, "", format!("{kind} at {at}: {found}"));
    }
    let general = if kind == "sign_in_refused" || kind == "alarm" {
        "of this refusal the audit's reason alone is left; give `rolegate explain` the response itself to see every check"
    } else {
        "this is what the audit has"
    };
    let mend = mend(name, general, None);
    Check::failed(name, "", format!("{kind} at {at}: {found}"), mend)
}

fn one_of_many(fields: &Map<String, Value>) -> Check {
    let count = fields.get("count").and_then(Value::as_u64).unwrap_or(0);
    let (first, last) = (text(fields, "first_at"), text(fields, "last_at"));
    let (code, address) = (text(fields, "reason"), text(fields, "address"));
    let from = if address.is_empty() {
        "several senders"
    } else {
        address
    };
    Check::failed(
        "one_of_many",
        "",
        format!(
            "it may be one of {count} refusals ({code}) of {from} between {first} and {last}, which were counted and not recorded one by one"
        ),
        "the log has a line for each of them, with its reference and its reason",
    )
}

fn decision(record: &Record) -> Option<Decision> {
    let fields = record.fields();
    let granted = fields.get("granted")?.as_bool()?;
    let entry = Some(text(&fields, "entry")).filter(|entry| !entry.is_empty());
    Some(Decision {
        role_arn: Some(text(&fields, "role"))
            .filter(|role| !role.is_empty())?
            .to_owned(),
        granted,
        entry: entry.map(str::to_owned),
        reasons: vec![text(&fields, "reason").to_owned()],
    })
}

fn text<'a>(fields: &'a Map<String, Value>, name: &str) -> &'a str {
    fields.get(name).and_then(Value::as_str).unwrap_or("")
}

fn is_code(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: &str, text: &str) -> Record {
        Record {
            seq: 1,
            kind: kind.to_owned(),
            hash: String::new(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn a_refusal_that_is_in_the_audit_alone_keeps_its_reason_and_mend() {
        let text = r#"{"at":"2026-01-02T03:04:05.000Z","reason":"audience: the audience is x"}"#;
        let check = check(&record("sign_in_refused", text));
        assert_eq!((check.check.as_str(), check.ok), ("audience", false));
        assert!(check.found.ends_with("the audience is x"), "{check:?}");
        assert!(check.mend.contains("Audience URI (SP Entity ID)"));
    }

    #[test]
    fn what_is_no_sign_in_shows_what_the_audit_has() {
        let role = "arn:aws:iam::123456789012:role/reader";
        let text = format!(
            r#"{{"at":"2026-01-02T03:04:05.000Z","entry":"ent_1","granted":false,"role":"{role}","reason":"entry ent_1 denies it"}}"#
        );
        let record = record("fetch_refused", &text);
        let check = check(&record);
        assert_eq!((check.check.as_str(), check.ok), ("fetch_refused", false));
        let decision = decision(&record).unwrap();
        assert_eq!(decision.role_arn, role);
        assert_eq!(decision.entry.as_deref(), Some("ent_1"));
        assert!(!decision.granted);
        let count = r#"{"count":980,"reason":"not_utf8","address":"192.0.2.1","first_at":"a","last_at":"b"}"#;
        let many = super::check(&self::record("refusals_counted", count));
        assert_eq!((many.check.as_str(), many.ok), ("one_of_many", false));
        assert!(
            many.found
                .contains("one of 980 refusals (not_utf8) of 192.0.2.1"),
            "{many:?}"
        );
        let fine = super::check(&self::record("session_confirmed", "{}"));
        assert!(fine.ok);
    }
}
