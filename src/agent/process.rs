//! `credential-process`: one answer on standard output, from its own cache where that will do.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::command::Powers;
use super::disk::Cache;
use super::error::{AgentError, Trouble};
use super::say;
use super::source::Source;
use super::wire::JobCredentials;
use crate::model::RoleArn;

/// Cached credentials do while so much is left, or a third of a shorter life.
const ENOUGH: TimeDelta = TimeDelta::minutes(15);
/// How long to wait for another process that asks for the same.
const PATIENCE: Duration = Duration::from_secs(6);

/// Prints credentials in the `credential_process` form.
pub(super) async fn run(source: Source, no_cache: bool, powers: &Powers) -> Result<u8, AgentError> {
    let had = if no_cache {
        source.credentials().await?
    } else {
        cached(&source, powers).await?
    };
    let text = had.process().map_err(|_| AgentError::Unexpected)?;
    say::result(&text)?;
    Ok(0)
}

async fn cached(source: &Source, powers: &Powers) -> Result<JobCredentials, Trouble> {
    let proof = source.proof()?;
    let role = source.role().map_or("", RoleArn::as_str);
    let cache = Cache::of_this_user(source.gateway.url(), role, proof.token());
    let Some(cache) = cache else {
        return source.credentials_with(&proof).await;
    };
    if let Some(kept) = cache
        .read(powers.clock.now())
        .filter(|kept| will_do(kept, powers))
    {
        return Ok(kept);
    }
    let _lock = cache.lock(PATIENCE).await;
    let kept = cache.read(powers.clock.now());
    if let Some(kept) = kept.filter(|kept| will_do(kept, powers)) {
        return Ok(kept);
    }
    match source.credentials_with(&proof).await {
        Ok(had) => {
            cache.write(&had, &*powers.entropy);
            cache.sweep(powers.clock.now());
            Ok(had)
        }
        Err(trouble) if trouble.ends_it() => {
            cache.forget();
            Err(trouble)
        }
        Err(trouble) => cache.read(powers.clock.now()).ok_or(trouble),
    }
}

fn will_do(kept: &JobCredentials, powers: &Powers) -> bool {
    is_enough(kept, powers.clock.now())
}

fn is_enough(kept: &JobCredentials, now: DateTime<Utc>) -> bool {
    kept.left(now) >= ENOUGH.min(kept.life() / 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_must_be_enough() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let kept = |begin| {
            let text = r#"{"AccessKeyId":"A","SecretAccessKey":"s","Token":"t","Expiration":"2026-01-01T01:00:00Z"}"#;
            JobCredentials::read(text.as_bytes(), at(begin)).unwrap()
        };
        let hour = kept("2026-01-01T00:00:00Z");
        assert!(is_enough(&hour, at("2026-01-01T00:45:00Z")));
        assert!(!is_enough(&hour, at("2026-01-01T00:45:01Z")));
        let short = kept("2026-01-01T00:57:00Z");
        assert!(is_enough(&short, at("2026-01-01T00:59:00Z")));
        assert!(!is_enough(&short, at("2026-01-01T00:59:01Z")));
    }
}
