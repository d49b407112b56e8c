//! What a lease asks for, and the decision about it.

use chrono::{DateTime, Utc};

use super::error::not_granted;
use super::{FetchError, REDEEMABLE};
use crate::model::{Lease, Method, Subject, TRACES};
use crate::policy::{Grant, Request, Rules, decide};

/// What a lease asks for.
pub(in crate::flow) fn request_of(lease: &Lease, now: DateTime<Utc>) -> Request<'_> {
    Request {
        launcher: lease.launcher.as_ref(),
        duration: lease.duration,
        narrowing: &lease.narrowing,
        job: Some(&lease.job),
        ..Request::of(&lease.role, now)
    }
}

/// Decides. What only the sign-in's own proof was good for was settled at the sign-in, whatever length is asked
/// later: with method `saml`, and with an ID token that has ended and cannot be renewed.
pub(in crate::flow) fn granted(
    subject: &Subject,
    request: &Request<'_>,
    rules: &Rules,
) -> Result<Grant, FetchError> {
    let span = tracing::info_span!(target: TRACES, "decide");
    let _deciding = span.enter();
    let refused = |denial| not_granted(subject, &denial);
    let settled = Request {
        duration: None,
        ..*request
    };
    let identity = subject.parts().web_identity.as_ref();
    let is_spent = identity
        .and_then(|identity| identity.redeemable_until)
        .is_some_and(|until| until < request.now + REDEEMABLE);
    match decide(subject, request, rules) {
        Ok(grant) if grant.method() == Method::Saml => {}
        Ok(grant) if grant.method() == Method::WebIdentity && is_spent => {}
        Err(denial) if denial.is_over() && is_spent => {}
        decided => return decided.map_err(refused),
    }
    decide(subject, &settled, rules).map_err(refused)
}
