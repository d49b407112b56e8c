//! # Running rolegate
//!
//! What an operator should know of the moving parts, and what becomes of them when something breaks. What runs from
//! time to time, and what grows, is on the page of [`jobs`](super::jobs); what can be seen, on that of
//! [`metrics`](super::metrics) and of the [log](super::request_log).
//!
//! # Who agrees with whom, and how
//!
//! Replicas know nothing of each other but the store. What must happen once happens by a row that only one can write: a
//! response or a code enters the [ledger](crate::store::Fresh), an issue key is [claimed](crate::store::Store::claim)
//! before STS is asked, a refresh token is [claimed](crate::store::Store::claim_refresh) before it is used. No
//! connection and no lock is held while the network is waited for, so that a replica that dies there leaves a claim
//! that runs out and nothing else.
//!
//! What one changes the others [hear](crate::flow::Pulse) of by LISTEN/NOTIFY, and by asking four times a second.
//! A replica that has heard nothing for five seconds gives out no secret. Each says every ten seconds that it is
//! [at work](crate::store::GatewayRow), with the master keys that it holds.
//!
//! # What breaks, and what then
//!
//! | what | meanwhile | afterwards |
//! |---|---|---|
//! | a gateway is killed | its connections break; others serve | what was answered is in the store. Its claims on STS run out in 8 seconds, on refresh tokens in 60; the others stop counting it after 30 |
//! | PostgreSQL is away | 503 to sign-ins and edits at once, to fetches after 5 seconds; `/readyz` fails `store` | within seconds as before, without a restart. A gateway that starts meanwhile ends with exit code 1 |
//! | STS is away | sign-ins go on, with the reason in place of credentials; jobs get what still lives | asked again after 2 seconds; where there is something to go on with, less and less often, once a minute at least |
//! | an IdP is away | nobody signs in there; its last good metadata stays in force | taken up within its retry, 15 minutes at most; SIGHUP asks at once |
//! | the disk is full | what would have to be recorded gets 503; what was recorded before is served; `/readyz` fails `audit` | goes on once there is room, without a restart |
//! | the copy of the audit cannot be written | nothing waits for it | what is missing follows from the store |
//! | a master key is missing from its file | the keys from before are kept; a start is refused, and names the key | taken up within 10 seconds |
//! | the clock is stepped | sign-ins are refused as too old or too new; jobs are served what still lives | nothing is removed for ten minutes; see below |
//!
//! A fetch that gets 503 is repeated by SDKs and by the agent. Of an answer that broke off nobody knows what came: a
//! call with an `Idempotency-Key` is repeated and gives the same once more. A client that goes away stops nothing that
//! its request has begun to change: it is [seen through](crate::flow::Underway::see_through) to its record.
//!
//! A session is opened pending, and [confirmed](crate::store::Store::confirm_opened) once no hold forbids it and the audit
//! has it: one that a kill leaves in between is never drawn on, and is purged. Where STS was being asked for its roles,
//! the person's older credentials go on. Not made good: a revocation or an assignment that was committed in the last
//! moment before a kill may be missing from the audit, as may the assignment that a sign-in with a role value deleted.
//!
//! # A pooler before PostgreSQL
//!
//! Where `store.listen_url` is set, `store.url` is taken for a pooler's that may give each transaction another connection
//! of the server's. Then nothing is sent but transactions: each begins by dropping the prepared statements that it finds
//! and by settings that end with it, and locks are those of a transaction. LISTEN alone goes
//! to `listen_url`. It costs each single statement two round trips more. The pooler's own limits count too: one
//! that keeps a transaction waiting for longer than four seconds is a store that does not answer.
//!
//! # The clock
//!
//! Expiries are compared with the gateway's clock, and every secret carries its own end, so that a wrong clock refuses
//! or asks too early; AWS has its own clock, and serves nothing that is over. What is removed is gone for good, so
//! nothing is [removed](crate::store::Store::purge_step) until the clock has gone as evenly as the machine for ten
//! minutes, counted from the start and from every step of more than a minute. By then an assertion of before the step is
//! too old to be accepted at all. [`clock`](super::metrics) of `/readyz` tells of one that went back.
//!
//! Known not to be safe, and the reason why a time service is part of every deployment:
//!
//! * Replicas whose clocks differ lastingly. One that is ahead by a day removes the ids of responses that the others
//!   would still accept for five minutes, and each of them could be used twice.
//! * One that is off by more than half a minute does not count among those at work, or counts others as gone. A new
//!   master key could then begin to seal that it does not hold: until its file has it, what is sealed under that key
//!   gets 503 there.
//! * Two that are more than six seconds apart may both ask STS for the same credentials, which costs a call. More than a
//!   minute apart, both may redeem one refresh token: a provider that takes that for theft ends all of its sign-ins,
//!   and those people have to sign in again.
//! * With `[audit] keep_days`, a clock that is ahead for more than ten minutes has records removed that are not
//!   old enough. Each removal is itself recorded, and `audit prune --export` or a copy keeps them elsewhere. Records
//!   of a clock that was ahead go with the records behind them, whose times are true.
//!
//! `rolegate_clock_seconds` is the gateway's clock; an alert compares it with Prometheus's.
//!
//! # Keys, and what opens what
//!
//! Everything secret in the store is sealed under the master key: credentials, sessions, tokens of providers, the
//! relay's keys, the heads of the audit. rolegate's own key pairs are among it. Tokens of people, jobs and launchers
//! stand there as hashes alone.
//!
//! `rolegate keys rotate` makes another key seal; nothing changes before every gateway at work holds it. Gateways then
//! seal anew what is left, some [batches](crate::flow::MasterKeyWatch) after each word that they are at work, each value
//! in one statement that compares it with what was read. `rolegate_values_under_former_keys` falls to 0, and
//! `rolegate keys retire` forgets the old key. A rotation that was cut short needs nobody: the gateways finish it.
//! Values that do not open are passed over and told of (`reseal_failed`); the old key is not retired while there are any.
//!
//! # Backups, and going back to one
//!
//! A backup is the database (`rolegate store backup` of SQLite in use, `pg_dump` of PostgreSQL), the configuration
//! with its files, and, **elsewhere**, the master keys of its time. With the keys it is every credential that lives;
//! without them it is nothing. Keep a retired key for as long as a backup made under it.
//!
//! To restore: stop every gateway, put the database back, see that `rolegate.key` has every key that
//! `rolegate check` asks for, run `rolegate audit verify`, start. A restored database is an older state, and nothing in
//! it says so:
//!
//! * Leases, tokens, sessions and roles that were revoked since live again: repeat what the copy of the audit, or the
//!   IdP's, tells of, or `rolegate revoke --all`, and let people sign in again. Holds made since are gone.
//! * Responses of the last five minutes could be used once more. Wait for as long before you start.
//! * Refresh tokens that a provider has rotated since are spent: their people sign in again.
//! * A gateway that runs while its server is put back to before a rotation, as by a failover to a standby that lagged,
//!   says `master_keys_forged` and goes on under the key that the database does not know any more. End all gateways
//!   then, before the next start, and rotate again: what was sealed meanwhile keeps others from starting.
//! * The audit goes on from the record that was the last then. Numbers since stand twice: once in the copies made before,
//!   once in the store.
//!
//! # What stays, and for how long
//!
//! Sessions 37 days after sign-in, leases 30 days after their end, refusals' check results 30 days, ids of responses
//! 24 hours, calls with an `Idempotency-Key` a day, credentials until they end; the [table](super::jobs) has all. Audit
//! records stay for ever, or for `keep_days` of `[audit]` and a day at most. Nothing that lives hangs on an old one.
//!
//! # Another version
//!
//! Back up, then replace one gateway after the other. The first that starts, or `rolegate store migrate` beforehand,
//! brings the schema to its version; those that run go on, and tell of it by `schema` of `/readyz`. Finish soon: one
//! of an older version does not start on a newer schema. There is no way back but the backup. Limits, jobs and keys of
//! the configuration are each version's own; `rolegate check` of the new one says what it would refuse.
//!
//! # Ending
//!
//! At SIGTERM or SIGINT `/readyz` fails `leaving`, and `rolegate_ready` is 0. For `shutdown_delay_seconds` people and
//! jobs are served as before, so that balancers hear of it; then nobody is accepted, requests under way have
//! `shutdown_timeout_seconds`, and the process waits for what
//! [no request waits for](crate::flow::Underway): 26 seconds at most for credentials that STS is asked for by an
//! assertion that is used up, 56 for refresh tokens that a provider may have rotated and the store does not take yet.
//! The audit's queue has 6 seconds then, its copy 2; the gateway leaves the list of those at work within 2, and traces
//! are sent within 3. Asked twice, it ends at once: what was acknowledged is in the store, and the rest is as if it
//! had been killed.
