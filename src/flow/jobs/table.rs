//! The table itself: every job that there is.
//!
//! Sealing anew after a change of master keys stands outside, with the [watch](crate::flow::MasterKeyWatch) of a
//! gateway's keys: it may go on only while the gateway counts as at work, so it follows each word to the store that
//! says so, and a gateway that the others have given up seals nothing.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;

use super::{Job, Step};
use crate::audit::{self, Recorder};
use crate::flow::{Fetch, IdTokens, RelayKeys};
use crate::store::{Leftover, Store};

/// What the jobs work on.
pub struct JobParts {
    /// The store.
    pub store: Store,
    /// Where credentials are renewed.
    pub fetch: Arc<Fetch>,
    /// Where ID tokens are renewed.
    pub id_tokens: Arc<IdTokens>,
    /// The relay's keys.
    pub relay_keys: Arc<RelayKeys>,
    /// Who writes the audit.
    pub recorder: Recorder,
    /// How long audit records stay; `None`: for ever.
    pub keep_audit: Option<TimeDelta>,
}

const OFTEN: Duration = Duration::from_mins(5);
const HOURLY: Duration = Duration::from_hours(1);
const DAILY: Duration = Duration::from_hours(24);
/// How often it is looked for credentials that are due for renewal: a job may begin to use some at any time.
const RENEWAL: Duration = Duration::from_millis(500);
/// How often it is looked for ID tokens that are due.
const REFRESH: Duration = Duration::from_secs(10);

/// Why removing twice is safe.
const BY_TIME: &str = "Each statement names its own condition on time, and finds nothing the second time; on a \
                       server one gateway at a time removes.";

/// Every job.
pub fn table(parts: &JobParts) -> Vec<Job> {
    let mut jobs: Vec<Job> = Leftover::ALL
        .into_iter()
        .map(|what| purge(&parts.store, what))
        .collect();
    let prune = |keep| prune_audit(&parts.store, &parts.recorder, keep);
    jobs.extend(parts.keep_audit.map(prune));
    jobs.push(optimize(&parts.store));
    jobs.push(rotate_relay_keys(&parts.relay_keys));
    jobs.push(renew_credentials(&parts.fetch));
    jobs.extend(renew_id_tokens(&parts.id_tokens));
    jobs
}

fn purge(store: &Store, what: Leftover) -> Job {
    let (name, does, every) = removal(what);
    let store = store.clone();
    let step = move || {
        let store = store.clone();
        async move { Ok(store.purge_step(what).await?.into()) }
    };
    Job::new(name, does, step).every(every).twice(BY_TIME)
}

fn removal(what: Leftover) -> (&'static str, &'static str, Duration) {
    match what {
        Leftover::ReplayIds => (
            "purge_replay_ids",
            "Removes the ids of sign-ins that are too old to be sent again.",
            OFTEN,
        ),
        Leftover::Requests => (
            "purge_requests",
            "Removes requests to identity providers that nobody answered.",
            OFTEN,
        ),
        Leftover::PendingSessions => (
            "purge_pending_sessions",
            "Removes sessions that nobody confirmed within five minutes.",
            OFTEN,
        ),
        Leftover::OidcTokens => (
            "purge_oidc_tokens",
            "Removes the tokens of OpenID providers that nothing can draw on any more.",
            OFTEN,
        ),
        Leftover::Credentials => (
            "purge_credentials",
            "Removes credentials that expired.",
            OFTEN,
        ),
        Leftover::Logins => (
            "purge_logins",
            "Removes the codes of command lines that are past their time.",
            OFTEN,
        ),
        Leftover::Arrivals => (
            "purge_arrivals",
            "Removes the news of who signed in that every gateway has heard.",
            OFTEN,
        ),
        Leftover::RevocationNews => (
            "purge_revocation_news",
            "Removes the news of revoked leases that every gateway has heard.",
            OFTEN,
        ),
        other => removal_by_the_hour(other),
    }
}

fn removal_by_the_hour(what: Leftover) -> (&'static str, &'static str, Duration) {
    match what {
        Leftover::RepeatableCalls => (
            "purge_repeatable_calls",
            "Removes what calls with an Idempotency-Key came to, a day later.",
            HOURLY,
        ),
        Leftover::Refusals => (
            "purge_refusals",
            "Removes the check results of responses that were refused 30 days ago.",
            HOURLY,
        ),
        Leftover::RelayKeys => (
            "purge_relay_keys",
            "Removes relay keys whose successor has signed for two days.",
            HOURLY,
        ),
        Leftover::ExpiredLeases => (
            "purge_expired_leases",
            "Removes leases that ended 30 days ago.",
            HOURLY,
        ),
        Leftover::RevokedLeases => (
            "purge_revoked_leases",
            "Removes leases that were revoked 30 days ago.",
            HOURLY,
        ),
        _ => (
            "purge_sessions",
            "Removes sessions 37 days after their sign-in, with all that hangs on them.",
            HOURLY,
        ),
    }
}

fn prune_audit(store: &Store, recorder: &Recorder, keep: TimeDelta) -> Job {
    let (store, recorder) = (store.clone(), recorder.clone());
    let step = move || {
        let (store, recorder) = (store.clone(), recorder.clone());
        async move {
            // A clock that was just put forward would have all of it go.
            if !store.clock_goes_evenly() {
                return Ok(Step::default());
            }
            let pruned = audit::retain(&store, &recorder, keep).await?;
            Ok(pruned.map_or_else(Step::default, |pruned| Step {
                count: u64::try_from(pruned.last - pruned.first + 1).unwrap_or(0),
                more: true,
            }))
        }
    };
    Job::new(
        "prune_audit",
        "Removes audit records that are older than `keep_days` of `[audit]`, each proved before.",
        step,
    )
    .every(OFTEN)
    .twice(
        "A batch goes only where the chain still begins with it, in the transaction that seals its new beginning.",
    )
}

fn optimize(store: &Store) -> Job {
    let store = store.clone();
    let step = move || {
        let store = store.clone();
        async move {
            store.optimize().await?;
            Ok(Step::default())
        }
    };
    Job::new(
        "optimize_store",
        "Lets SQLite learn how its tables have grown; a server does by itself.",
        step,
    )
    .every(DAILY)
    .twice("It looks again, and changes no row of rolegate's.")
}

fn rotate_relay_keys(keys: &Arc<RelayKeys>) -> Job {
    let keys = Arc::clone(keys);
    let step = move || {
        let keys = Arc::clone(&keys);
        async move { Ok(Step::whole(u64::from(keys.rotate_if_due().await?))) }
    };
    Job::new(
        "rotate_relay_keys",
        "Publishes the next relay key when the one in use has grown old.",
        step,
    )
    .every(HOURLY)
    .twice("A key's number is unique in the store: whoever comes second finds the key made.")
}

fn renew_credentials(fetch: &Arc<Fetch>) -> Job {
    let fetch = Arc::clone(fetch);
    let step = move || {
        let fetch = Arc::clone(&fetch);
        async move { Ok(Step::whole(fetch.renew_due().await)) }
    };
    Job::new(
        "renew_credentials",
        "Renews the credentials that jobs use, ahead of their end.",
        step,
    )
    .every(RENEWAL)
    .twice("A claim in the store elects the one who asks AWS; the others take what it brings.")
}

/// One for each provider: a slow one keeps none of another's waiting.
fn renew_id_tokens(tokens: &Arc<IdTokens>) -> Vec<Job> {
    let each = tokens.idps().into_iter().map(|idp| {
        let (tokens, name) = (Arc::clone(tokens), idp.to_string());
        let step = move || {
            let (tokens, idp) = (Arc::clone(&tokens), idp.clone());
            async move { Ok(Step::whole(tokens.refresh_due(&idp).await?)) }
        };
        Job::new(
            "renew_id_tokens",
            "Renews ID tokens ahead of need, where a live lease draws on one.",
            step,
        )
        .every(REFRESH)
        .of(name)
        .twice("A claim in the store elects the one who redeems a refresh token.")
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Event, EventKind};
    use crate::store::testing::Bench;

    #[tokio::test]
    async fn old_audit_records_go_once_the_clock_has_gone_evenly() {
        let bench = Bench::new();
        let store = bench.open().await;
        let recorder = Recorder::start(store.clone(), bench.clock.clone());
        for _ in 0..3 {
            recorder.record(Event::new(EventKind::Alarm)).await.unwrap();
        }
        let job = prune_audit(&store, &recorder, TimeDelta::days(10));
        bench.clock.step(TimeDelta::days(30));
        let none = (job.step)().await.unwrap();
        assert_eq!(none, Step::default(), "the clock was put forward");
        bench.clock.advance(TimeDelta::minutes(10));
        let some = (job.step)().await.unwrap();
        assert!(some.more && some.count == 3, "{some:?}");
        assert_eq!((job.step)().await.unwrap(), Step::default());
    }

    #[test]
    fn the_handbook_names_every_job() {
        let handbook = include_str!("../../manual/jobs.rs");
        let removals = Leftover::ALL.map(|what| removal(what).0);
        let others = [
            "prune_audit",
            "optimize_store",
            "rotate_relay_keys",
            "renew_credentials",
            "renew_id_tokens",
        ];
        for name in removals.iter().chain(&others) {
            assert!(handbook.contains(&format!("`{name}`")), "{name}");
        }
        let names: std::collections::BTreeSet<_> = removals.iter().collect();
        assert_eq!(
            names.len(),
            Leftover::ALL.len(),
            "each has a name of its own"
        );
    }
}
