//! `[audit]`: its check, and its values.

use std::path::PathBuf;

use super::files::Folder;
use super::findings::Findings;
use super::problem::ConfigError;
use super::raw::RawAudit;

/// `[audit]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// After how many days records are removed; `None`: never.
    pub keep_days: Option<u32>,
    /// Where each record of this process is written too.
    pub copy: Option<AuditCopy>,
}

/// `audit.copy`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditCopy {
    /// Standard output.
    Stdout,
    /// A file that is appended to.
    File(PathBuf),
}

const COPY: &str = "audit.copy";

pub(super) fn check(raw: RawAudit, folder: &Folder, findings: &mut Findings) -> Audit {
    Audit {
        keep_days: raw.keep_days,
        copy: raw.copy.and_then(|text| copy(&text, folder, findings)),
    }
}

fn copy(text: &str, folder: &Folder, findings: &mut Findings) -> Option<AuditCopy> {
    if text == "stdout" {
        return Some(AuditCopy::Stdout);
    }
    if ["stderr", "-"].contains(&text) {
        let choices = "stdout, or a file's path".to_owned();
        let found = text.to_owned();
        findings.refuse(COPY, ConfigError::NotAChoice { found, choices });
        return None;
    }
    if text.trim().is_empty() {
        findings.refuse(COPY, ConfigError::Empty("\"stdout\" or a file's path"));
        return None;
    }
    let path = folder.path(text);
    // The file itself comes and goes with log rotation.
    if let Some(around) = path.parent().filter(|around| !around.is_dir()) {
        findings.refuse(COPY, ConfigError::NoFolder(around.to_owned()));
        return None;
    }
    Some(AuditCopy::File(path))
}
