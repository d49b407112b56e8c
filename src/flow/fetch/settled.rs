//! The time that an answer may take: SDKs give up after two seconds, and 1.5 s is what we promise.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Fetch, FetchError};
use crate::policy::Rules;

/// How long an answer may take, however often it is looked up anew because something was revoked, held or edited
/// meanwhile.
const ANSWER: Duration = Duration::from_millis(1400);
/// How much of that STS is waited for; then what there is has to be written down and looked at once more.
const STS_WAIT: Duration = Duration::from_millis(1100);

/// Until when STS may be waited for by an answer that begins now.
pub(super) fn patience() -> Instant {
    Instant::now() + STS_WAIT
}

impl Fetch {
    /// Does `look` until nothing was revoked, held or edited meanwhile, within the time that an answer may take;
    /// tells it until when STS may be waited for.
    pub(super) async fn until_settled<T, F>(
        &self,
        look: impl Fn(Arc<Rules>, Instant) -> F,
    ) -> Result<T, FetchError>
    where
        F: Future<Output = Result<T, FetchError>>,
    {
        let patience = patience();
        let settled = async {
            loop {
                let epoch = self.parts.issuer.epoch();
                let rules = self.parts.allow_list.rules();
                let found = look(Arc::clone(&rules), patience).await;
                let moved = matches!(found, Err(FetchError::Unsettled));
                if !moved
                    && epoch == self.parts.issuer.epoch()
                    && self.parts.allow_list.is_current(&rules)
                {
                    return found;
                }
            }
        };
        let answer = tokio::time::timeout(ANSWER, settled);
        answer.await.unwrap_or(Err(FetchError::Unsettled))
    }
}
