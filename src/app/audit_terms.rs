//! What `[audit]` sets: where records are copied to, and how long they stay.

use chrono::TimeDelta;

use crate::audit::CopyTo;
use crate::config::{AuditCopy, Config};

/// Where the audit is copied to.
pub(super) fn copy_to(config: &Config) -> Option<CopyTo> {
    let copy = config.audit.copy.as_ref()?;
    Some(match copy {
        AuditCopy::Stdout => CopyTo::Stdout,
        AuditCopy::File(path) => CopyTo::File(path.clone()),
    })
}

/// How long audit records stay.
pub(super) fn keep_audit(config: &Config) -> Option<TimeDelta> {
    let days = config.audit.keep_days?;
    Some(TimeDelta::days(i64::from(days)))
}
