//! `rolegate audit verify`: the chain of the store, or a file.

use std::fmt;
use std::path::Path;
use std::process::ExitCode;
use std::str::FromStr;

use crate::audit;
use crate::cli::{Context, Failure, Outcome, output};
use crate::model::hex;
use crate::store::{AuditHead, Store, database_exists};

/// The end of a chain, as a proof tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) struct AtLeast(AuditHead);

impl fmt::Display for AtLeast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.0.seq, hex(&self.0.hash))
    }
}

impl FromStr for AtLeast {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parsed(text).ok_or("write it as `rolegate audit verify` told it: a number, a colon and 64 hexadecimal digits")
    }
}

fn parsed(text: &str) -> Option<AtLeast> {
    let (seq, digits) = text.split_once(':')?;
    let plain = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if digits.len() != 64 || !digits.bytes().all(plain) {
        return None;
    }
    let mut hash = [0; 32];
    for (to, at) in hash.iter_mut().zip((0..).step_by(2)) {
        *to = u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()?;
    }
    let seq = seq.parse().ok().filter(|seq| *seq > 0)?;
    Some(AtLeast(AuditHead { seq, hash }))
}

pub(super) async fn store(at: &Context, at_least: Option<AtLeast>) -> Outcome {
    let store = at.existing_store().await?;
    let (verdict, end) = audit::prove(&store).await?;
    if !verdict.is_whole() {
        output::error(&verdict.to_string());
        return Ok(ExitCode::FAILURE);
    }
    if let Some(wanted) = at_least {
        let seq = wanted.0.seq;
        match audit::names(&store, wanted.0).await? {
            Some(true) => {}
            Some(false) => {
                output::error(&format!(
                    "{verdict}, but record {seq} is not the one that was told: the store was put back to an older state; compare it with exports and copies of the audit, and find out who can write to the database"
                ));
                return Ok(ExitCode::FAILURE);
            }
            None => output::note(&format!(
                "record {seq} was removed by retention, so that it cannot be compared; name a later end"
            )),
        }
    }
    output::line(&verdict.to_string());
    if end.seq > 0 {
        output::note(&format!(
            "noted elsewhere, the end shows the next time whether the store was put back: rolegate audit verify --at-least {}",
            AtLeast(end)
        ));
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn file(path: &Path, at: &Context) -> Outcome {
    let store = at_hand(at).await?;
    let proved = audit::verify_file(path, store.as_ref()).await?;
    let named = match proved.named {
        Some(_) => "the store names the last one's hash",
        None if store.is_none() => {
            "no store is at hand, so that only the hashes in the file were looked at"
        }
        None => {
            "the store does not know the last one any more, so that only the hashes in the file were looked at"
        }
    };
    output::line(&format!(
        "records {} to {} are one unbroken piece of a chain; {named}",
        proved.first, proved.last
    ));
    Ok(ExitCode::SUCCESS)
}

/// The store of the configuration, where there is one: a file may be looked at on a machine of its own.
async fn at_hand(at: &Context) -> Result<Option<Store>, Failure> {
    if !at.path.exists() {
        return Ok(None);
    }
    let config = at.config()?;
    if !database_exists(&config.store.url).await? {
        return Ok(None);
    }
    let (_, store) = at.store().await?;
    Ok(Some(store))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_read_as_it_is_told() {
        let end = AtLeast(AuditHead {
            seq: 12,
            hash: std::array::from_fn(|at| u8::try_from(at * 8).unwrap()),
        });
        assert_eq!(end.to_string().parse(), Ok(end));
        let digits = "0".repeat(64);
        for bad in [
            String::new(),
            "12".to_owned(),
            format!("12:{}", "0".repeat(63)),
            format!("12:{}", "A".repeat(64)),
            format!("12:+{}", "0".repeat(63)),
            format!("0:{digits}"),
            format!("-1:{digits}"),
            format!("x:{digits}"),
        ] {
            assert!(bad.parse::<AtLeast>().is_err(), "{bad}");
        }
    }
}
