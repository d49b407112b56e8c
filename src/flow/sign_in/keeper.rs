//! Keeps why a response was refused, check by check, for an admin who asks by reference.
//!
//! Behind the answer: one task examines what was refused, one document after the other, off the async
//! threads, and rests as long as it worked, so that a flood costs half a core at most. What does not
//! fit in its queue stands in the audit alone, with its reason. The document itself is dropped.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::Instant;

use super::error::Reason;
use super::{Posted, SignInRules};
use crate::flow::explain::Examined;
use crate::flow::{AllowList, Counted, Explanation, Idps};
use crate::model::Reference;
use crate::saml::RawResponse;
use crate::store::{RefusalRecord, Store};

/// How many bodies may wait, of at most 256 KiB each.
const QUEUE: usize = 32;
/// A sign-in offers fewer; what is kept has a bound.
const DECISIONS: usize = 50;

/// What was refused, and why.
pub(super) struct Refused {
    pub(super) reference: Reference,
    pub(super) reason: Reason,
    pub(super) at: DateTime<Utc>,
    /// The form, where it holds a response.
    pub(super) form: Option<Form>,
    /// Its turn among the refusals on their way.
    pub(super) turn: OwnedSemaphorePermit,
}

/// A form as it was posted.
pub(super) struct Form {
    content_type: Option<String>,
    content_encoding: Option<String>,
    body: Vec<u8>,
}

impl Form {
    pub(super) fn of(posted: &Posted<'_>) -> Self {
        Self {
            content_type: posted.content_type.map(str::to_owned),
            content_encoding: posted.content_encoding.map(str::to_owned),
            body: posted.body.to_vec(),
        }
    }
}

/// What the examination needs.
pub(super) struct Examiner {
    pub(super) idps: Arc<Idps>,
    pub(super) rules: SignInRules,
    pub(super) allow_list: Arc<AllowList>,
}

/// Starts the task, which ends with the last sender. Must be called within a Tokio runtime.
pub(super) fn start(examiner: Examiner, store: Store) -> mpsc::Sender<(Refused, Counted)> {
    let (queue, waiting) = mpsc::channel(QUEUE);
    tokio::spawn(keep(Arc::new(examiner), store, waiting));
    queue
}

async fn keep(
    examiner: Arc<Examiner>,
    store: Store,
    mut waiting: mpsc::Receiver<(Refused, Counted)>,
) {
    let mut batch = Vec::with_capacity(QUEUE);
    while waiting.recv_many(&mut batch, QUEUE).await > 0 {
        let begun = Instant::now();
        let (refused, counted): (Vec<Refused>, Vec<Counted>) = batch.drain(..).unzip();
        let examiner = Arc::clone(&examiner);
        let work = move || -> Vec<RefusalRecord> {
            let records = refused.into_iter().filter_map(|one| examiner.record(one));
            records.collect()
        };
        let records = tokio::task::spawn_blocking(work).await;
        let kept = match records {
            Ok(records) => store
                .keep_refusals(&records)
                .await
                .map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = kept {
            tracing::error!(event = "refusals_lost", %error, "the audit alone has the reasons of some refusals");
        }
        drop(counted);
        tokio::time::sleep(begun.elapsed()).await;
    }
}

impl Examiner {
    fn record(&self, refused: Refused) -> Option<RefusalRecord> {
        let Refused {
            reference,
            reason,
            at,
            form,
            turn,
        } = refused;
        let (explanation, signed) = self.explain(&reason, form, at);
        drop(turn);
        let results = serde_json::to_string(&explanation);
        let lost = |error: &serde_json::Error| tracing::error!(event = "refusals_lost", %error, "no JSON form");
        Some(RefusalRecord {
            reference,
            signed,
            refused_at: at,
            results: results.inspect_err(lost).ok()?,
        })
    }

    /// Every check, the one that refused among them, and whether the signature held.
    fn explain(
        &self,
        reason: &Reason,
        form: Option<Form>,
        at: DateTime<Utc>,
    ) -> (Explanation, bool) {
        let examined = form.and_then(|form| self.examine(&form, at));
        let vendor = examined.as_ref().and_then(Examined::vendor);
        let signed = examined.as_ref().is_some_and(Examined::is_signed);
        let mut explanation = examined.map_or_else(
            || Explanation {
                checks: Vec::new(),
                decisions: Vec::new(),
            },
            |examined| examined.explanation,
        );
        // The document's own faults are found again, but what changed meanwhile may hide one.
        if !reason.is_in_document() || !explanation.is_refused() {
            explanation.checks.push(reason.check(vendor));
        }
        explanation.decisions.truncate(DECISIONS);
        (explanation, signed)
    }

    fn examine(&self, form: &Form, at: DateTime<Utc>) -> Option<Examined> {
        let (kind, coding) = (
            form.content_type.as_deref(),
            form.content_encoding.as_deref(),
        );
        let posted = RawResponse::from_form(kind, coding, &form.body).ok()?;
        let entries = self.allow_list.rules();
        Some(Examined::of(
            posted.response,
            &self.idps,
            None,
            &self.rules,
            &entries,
            at,
        ))
    }
}
