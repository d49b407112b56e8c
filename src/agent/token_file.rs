//! The web identity token in a file for the SDK, replaced at half of its life.
//!
//! The SDK takes it to STS itself, so that it is no secret of rolegate's but lives for five minutes alone. The
//! file goes at 401 and 403, and stays while the gateway is away: STS knows when it is over.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use zeroize::Zeroizing;

use super::error::{AgentError, Trouble};
use super::source::{Source, WebIdentity};
use super::{private_file, say};
use crate::model::Clock;

/// Between two questions that gave nothing.
const RETRY: Duration = Duration::from_secs(2);
/// The same, after a refusal.
const AFTER_REFUSAL: Duration = Duration::from_secs(30);
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(150));

/// The file, and who is asked for its content.
pub(super) struct TokenFile {
    path: PathBuf,
    source: Arc<Source>,
    clock: Arc<dyn Clock>,
}

impl TokenFile {
    pub(super) fn new(
        path: PathBuf,
        source: Arc<Source>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, AgentError> {
        if !source.is_lease() {
            return Err(AgentError::LeaseNeeded);
        }
        Ok(Self {
            path,
            source,
            clock,
        })
    }

    /// Writes the first token, within `patience`; what the job's environment needs, and when to go on.
    pub(super) async fn first(
        &self,
        patience: Duration,
    ) -> Result<(Vec<(&'static str, Zeroizing<String>)>, Duration), AgentError> {
        let end = Instant::now() + patience;
        let had = loop {
            match self.source.web_identity().await {
                Ok(had) => break had,
                Err(trouble)
                    if matches!(trouble, Trouble::Refused { .. }) || Instant::now() >= end =>
                {
                    return Err(trouble.into());
                }
                Err(_) => sleep(RETRY / 4).await,
            }
        };
        self.write(&had)?;
        let variables = vec![
            (
                "AWS_WEB_IDENTITY_TOKEN_FILE",
                Zeroizing::new(self.path.to_string_lossy().into_owned()),
            ),
            ("AWS_ROLE_ARN", Zeroizing::new(had.role_arn.clone())),
        ];
        Ok((variables, self.half_life(&had)))
    }

    /// Replaces the token, for as long as the process lives; the next one after `pause`.
    pub(super) async fn keep(self, mut pause: Duration) {
        let mut was_good = true;
        loop {
            sleep(pause).await;
            let renewed = match self.source.web_identity().await {
                Ok(had) => self.write(&had).map(|()| self.half_life(&had)),
                Err(trouble) => Err(trouble.into()),
            };
            let is_good = renewed.is_ok();
            pause = renewed.unwrap_or_else(|error| {
                if was_good {
                    say::note(&error.to_string());
                }
                self.after(&error)
            });
            was_good = is_good;
        }
    }

    fn after(&self, error: &AgentError) -> Duration {
        match error {
            AgentError::Gateway(trouble) if trouble.ends_it() => {
                self.remove();
                AFTER_REFUSAL
            }
            _ => RETRY,
        }
    }

    /// Takes the file away.
    pub(super) fn remove(&self) {
        // It may be gone already.
        let _removed = std::fs::remove_file(&self.path);
    }

    fn write(&self, had: &WebIdentity) -> Result<(), AgentError> {
        private_file::write(&self.path, had.token.expose().as_bytes(), 0o600).map_err(|problem| {
            AgentError::Write {
                path: self.path.clone(),
                problem,
            }
        })
    }

    fn half_life(&self, had: &WebIdentity) -> Duration {
        let half = (had.expires_at - self.clock.now()) / 2;
        half.to_std().unwrap_or_default().clamp(PAUSES.0, PAUSES.1)
    }
}
