//! Operations: what runs from time to time, and what grows.
//!
//! # Jobs
//!
//! Each gateway runs every job of one table, `flow::jobs`, beside its requests. A job begins a random while after the
//! start, within a minute at most, and then within a tenth of its interval; two of a kind never run at once in one
//! gateway; a run may take a minute. One that fails is told once, as `job_failed` with its name, tried again in its
//! time, and told once more as `job_works` when it succeeds.
//!
//! | job | every | what it does |
//! |---|---|---|
//! | `purge_replay_ids` | 5 min | ids of sign-ins that are too old to be sent again, 24 h at least |
//! | `purge_requests` | 5 min | requests to identity providers that nobody answered in ten minutes |
//! | `purge_logins` | 5 min | codes of command lines past their ten minutes |
//! | `purge_arrivals` | 5 min | who signed in anew, once every gateway has heard it: an hour later |
//! | `purge_revocation_news` | 5 min | which leases were revoked, likewise |
//! | `purge_credentials` | 5 min | credentials that expired |
//! | `purge_oidc_tokens` | 5 min | tokens of OpenID providers that nothing can draw on any more |
//! | `purge_pending_sessions` | 5 min | sessions that nobody confirmed within five minutes |
//! | `purge_sessions` | 1 h | sessions 37 days after their sign-in, with all that hangs on them |
//! | `purge_expired_leases`, `purge_revoked_leases` | 1 h | leases 30 days after their end; until then their job hears 403 with its reason |
//! | `purge_repeatable_calls` | 1 h | what calls with an `Idempotency-Key` came to, a day later |
//! | `purge_refusals` | 1 h | check results of responses that were refused 30 days ago |
//! | `purge_relay_keys` | 1 h | relay keys whose successor has signed for two days |
//! | `rotate_relay_keys` | 1 h | publishes the next relay key when the one in use has grown old |
//! | `renew_credentials` | 0.5 s | renews what jobs use ahead of its end |
//! | `renew_id_tokens` | 10 s | renews ID tokens ahead of need, for each OpenID provider by itself |
//! | `prune_audit` | 5 min | audit records older than `keep_days` of `[audit]`, each proved before; only where that is set |
//! | `optimize_store` | 1 d | lets SQLite learn how its tables have grown |
//!
//! Every one may run twice, and on all replicas at once. Removals name their own condition on time and go in batches
//! (a thousand rows, two hundred sessions), with a pause as long as the batch took, so that sign-ins and fetches wait
//! for some milliseconds; on PostgreSQL one replica at a time removes, and the others go without. What asks AWS or a
//! provider is elected by a claim in the store.
//!
//! What answers an event is no job: changes in the store, metadata and its cache times, files, SIGHUP. Nor is sealing anew
//! after a change of master keys, which follows each word of a gateway that it is at work: see [`operations`](super::operations).
//!
//! # What grows
//!
//! The audit grows where `keep_days` is not set, and holds history; nothing else grows with time alone. No look-up that people or jobs wait for goes
//! through a whole table: a test asks both engines how they would answer every statement of the store, and
//! `cargo bench --bench scale` times them against a nearly empty store. An admin's revocation of all that a launcher
//! had, or of a pattern of roles, goes through what is live.
//!
//! PostgreSQL needs autovacuum, which is on unless somebody turned it off, and nothing else. An SQLite file keeps its size
//! when rows go and fills the room anew; `rolegate store backup` writes one without the room. Its log (`-wal`) grows
//! while somebody reads for long, as `audit verify` and `audit export` do, and is cut back to 64 MB afterwards.
