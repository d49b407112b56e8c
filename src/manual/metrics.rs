//! # Metrics
//!
//! `/metrics` is OpenMetrics text, which Prometheus reads since its version 2: without a token on
//! `server.metrics_listen`, where nothing else is served, and with an auditor's token beside the other routes. The
//! numbers are those of the process that answers, but for what is counted in the store, which is the same for all
//! replicas; Prometheus tells replicas apart by the label `instance` that it adds to each target.
//!
//! Counters begin at zero with the process. A label's value is a name of the configuration, a name that an admin gave
//! a token, a certificate's hash in an IdP's metadata, or a word of a closed list; none comes from a request. What is
//! counted in the store is read from it when somebody asks and the last look is more than 15 seconds old, by
//! statements over indexes that take milliseconds with 100,000 sessions and a million audit records.
//!
//! | metric | type | labels | meaning |
//! |---|---|---|---|
//! | `rolegate_build_info` | gauge | `version` | 1, with the version that runs |
//! | `rolegate_ready` | gauge |  | 1 where /readyz answers 200 |
//! | `rolegate_problem` | gauge | `check`, `needed` | 1 where a check of /readyz finds something wrong; needed is whether that makes it 503 |
//! | `rolegate_clock_seconds` | gauge |  | The time as the gateway reads it, in seconds since 1970 |
//! | `rolegate_http_requests_total` | counter | `route`, `method`, `status` | Requests answered |
//! | `rolegate_http_request_duration_seconds` | histogram | `route` | From the head of a request to its answer |
//! | `rolegate_sign_ins_total` | counter | `idp`, `outcome` | Responses and callbacks of IdPs, by what came of them |
//! | `rolegate_fetches_total` | counter | `outcome` | Fetches of credentials by leases |
//! | `rolegate_sts_calls_total` | counter | `method`, `outcome` | Calls of STS for credentials, tries after a failure among them |
//! | `rolegate_sts_call_duration_seconds` | histogram | `method` | How long such a call took |
//! | `rolegate_oidc_refreshes_total` | counter | `idp`, `outcome` | Refresh tokens shown to OpenID providers |
//! | `rolegate_verifications_waiting` | gauge |  | Documents of sign-ins that wait for a free core |
//! | `rolegate_verification_duration_seconds` | histogram |  | How long a document took to verify, once it was its turn |
//! | `rolegate_limits_turned_away_total` | counter | `limit` | Requests and connections turned away by a limit |
//! | `rolegate_connections_open` | gauge |  | Connections of clients that are open |
//! | `rolegate_connections_max` | gauge |  | Connections of clients that are taken at once |
//! | `rolegate_sign_ins_minting` | gauge |  | Sign-ins for which STS is asked just now |
//! | `rolegate_sign_ins_minting_max` | gauge |  | Sign-ins for which STS is asked at once, at most |
//! | `rolegate_tasks_underway` | gauge |  | Tasks that no request waits for and that the process ends only after |
//! | `rolegate_job_last_success_seconds` | gauge | `name`, `of` | When the last run of a job began that came to its end, in seconds since 1970 |
//! | `rolegate_job_interval_seconds` | gauge | `name`, `of` | How long after the end of a run of a job the next begins |
//! | `rolegate_job_failures_in_a_row` | gauge | `name`, `of` | How many runs of a job have failed since the last that did not |
//! | `rolegate_job_runs_total` | counter | `name`, `of`, `outcome` | Runs of a job that ended |
//! | `rolegate_job_done_total` | counter | `name`, `of` | What the runs of a job removed or renewed |
//! | `rolegate_sessions` | gauge |  | Confirmed sessions that have neither ended nor run out, a million at most |
//! | `rolegate_leases` | gauge |  | Leases that are neither revoked nor over, a million at most |
//! | `rolegate_credentials` | gauge |  | Credentials kept that have not expired, a million at most |
//! | `rolegate_allowed_role_entries` | gauge |  | Entries of the allow-list in force, denying ones among them |
//! | `rolegate_holds` | gauge |  | Holds in force |
//! | `rolegate_token_not_after_seconds` | gauge | `name`, `role` | When the last API token of a name ends, in seconds since 1970; 200 names at most, those that end first |
//! | `rolegate_audit_records_total` | counter | `kind` | Audit records that this process wrote |
//! | `rolegate_audit_write_failures_total` | counter |  | Audit records that could not be written |
//! | `rolegate_audit_queue` | gauge |  | Audit records that wait for the disk; at 1,024 who writes one waits for room |
//! | `rolegate_audit_head_seq` | gauge |  | The number of the last audit record, of all replicas |
//! | `rolegate_audit_first_seq` | gauge |  | The number of the oldest audit record that is kept |
//! | `rolegate_audit_copied_total` | counter |  | Audit records of this process that were written to the copy |
//! | `rolegate_audit_copy_pending` | gauge |  | Audit records of this process that are still to be written to the copy |
//! | `rolegate_audit_copy_failures_total` | counter |  | Writes to the copy of the audit that failed; each is tried again |
//! | `rolegate_store_up` | gauge |  | 1 where the store was heard from within 5 seconds |
//! | `rolegate_store_last_heard_seconds` | gauge |  | How long ago the store was heard from |
//! | `rolegate_store_connections_in_use` | gauge | `pool` | Connections to the store at work |
//! | `rolegate_store_connections_max` | gauge | `pool` | Connections to the store there may be |
//! | `rolegate_store_size_bytes` | gauge |  | What the database takes up |
//! | `rolegate_store_disk_free_bytes` | gauge |  | What is free where the SQLite file is |
//! | `rolegate_store_levels_age_seconds` | gauge |  | How old the numbers are that are counted in the store, 15 seconds at most while it answers |
//! | `rolegate_idp_ready` | gauge | `idp` | Whether the identity provider can be used |
//! | `rolegate_idp_certificate_not_after_seconds` | gauge | `idp`, `sha256` | When the signing certificate ends, in seconds since 1970 |
//! | `rolegate_idp_metadata_age_seconds` | gauge | `idp` | How long ago the metadata was last seen at its source |
//! | `rolegate_idp_metadata_valid_until_seconds` | gauge | `idp` | The metadata's own validUntil, in seconds since 1970 |
//! | `rolegate_idp_metadata_refresh_failures_total` | counter | `idp` | How often looking for metadata gave nothing good |
//! | `rolegate_tls_certificate_not_after_seconds` | gauge |  | When the certificate ends that this process serves with, in seconds since 1970 |
//! | `rolegate_relay_key_age_seconds` | gauge |  | How long ago the relay key was made that signs now |
//! | `rolegate_master_keys_held` | gauge |  | Master keys that this process holds |
//! | `rolegate_values_under_former_keys` | gauge |  | Values in the store that are still sealed under a former master key, a thousand of a column at most |
//! | `rolegate_gateways` | gauge |  | Gateways at work on the store |
//! | `process_resident_memory_bytes` | gauge |  | Memory of the process that is in RAM |
//! | `process_virtual_memory_bytes` | gauge |  | Memory of the process in all |
//! | `process_cpu_seconds_total` | counter |  | Processor time that the process took |
//! | `process_start_time_seconds` | gauge |  | When the process started, in seconds since 1970 |
//! | `process_threads` | gauge |  | Threads of the process |
//! | `process_open_fds` | gauge |  | Files and connections that are open |
//! | `process_max_fds` | gauge |  | Files and connections that may be open |
//!
//! # What the labels say
//!
//! * `route`: the pattern of the route, such as `/api/v1/leases/{lease}`, or `(none)` where a request fits no route.
//!   `method` and `status`: those that rolegate answers with, anything else as `other`. Requests to `metrics_listen`
//!   are not counted.
//! * `idp`: its name in the configuration; `(none)` for a sign-in whose document names no IdP of ours.
//! * `outcome` of sign-ins: `accepted`, `refused`, `busy` (no core was free to verify within 5 seconds, or STS was
//!   asked for too many others for 4: `rolegate_limits_turned_away_total` tells `verifications` from `minting`), `store_away`,
//!   `idp_away` (the IdP has no metadata yet, or the OpenID provider does not answer). A sign-in that waits for the
//!   confirm page's button counts as accepted.
//! * `outcome` of fetches: `served_from_memory`, `served` (looked up first), `refused` (by 401 or 403), `away` (503:
//!   the store, or STS, has not answered in time). Fetches without a lease token count as requests alone.
//! * `outcome` of calls of STS: `issued`, `refused`, `away` (the same call may succeed later), `given_up` (the time for
//!   the whole was up before STS answered). `method` there: `saml`, `web-identity`, `relay`, `broker`.
//! * `outcome` of refreshes: `answered`, `refused`, `away`.
//! * `kind` of audit records: [`EventKind`](crate::audit::EventKind).
//! * `check`: one of those of `/readyz`, below.
//! * `limit`: one of [`Limit`](crate::flow::Limit): `bad_tokens`, `refused_sign_ins`, `sign_in_starts`,
//!   `refusals_of_token` (429), `connections_of_address`, `slow_handshakes` (closed), `slow_heads`
//!   (408, or closed: no whole head of a request in time, be it that nothing was sent at all), `unread_answers` (closed),
//!   `malformed` (400: no HTTP), `requests_ahead` (closed), `head` (414, 431), `verifications`, `minting` (503). The 408 to
//!   a slow head and the 400 to what is no HTTP are here alone, since no request came of them; a slow body is a request
//!   with 408.
//! * `name` and `of` of jobs: those of the [table](super::jobs); `of` is the OpenID provider of a job that there is once
//!   for each, else empty. It is not `job`, which is Prometheus's own word for what it scrapes. `outcome` there: `done`,
//!   `failed`.
//! * `pool`: `reader` or `writer`.
//! * `role` and `name` of tokens: as `rolegate tokens list` shows them.
//!
//! Histograms have buckets from 1 ms to 10 s, with one at 1.5 s, by which a fetch is answered.
//!
//! # Readiness
//!
//! `GET` or `HEAD /readyz` answers 200 where the gateway can serve people and jobs, and 503 where it cannot. Either way the
//! body is `{"ready", "problems": [text], "checks": [{"name", "ok", "needed"}]}`: what is wrong in words, and every
//! check by its name. It is open to anybody, and names IdPs, as the sign-in page does, and no person, path or address;
//! nor what a database said, which is in the log.
//!
//! | check | fails where | answer |
//! |---|---|---|
//! | `leaving` | the gateway was told to end; it serves for `shutdown_delay_seconds` more, so that balancers hear of it first | 503 |
//! | `store` | the store was not heard from for 5 seconds; no secret is handed out | 503 |
//! | `audit` | the last audit record could not be written, since the disk is full or the chain's head is damaged. While it fails it is tried again, without a record, when `/readyz` or `/metrics` is asked | 503 |
//! | `idp` | no IdP is configured, or none can be used yet | 503 |
//! | `idp_waiting` | an IdP or OpenID provider cannot be used yet; the people of the others can sign in | 200 |
//! | `tls_certificate` | the certificate of `server.tls` has ended; a load balancer that does not look at it goes on | 200 |
//! | `schema` | a newer rolegate has brought the database to a schema that this one does not know | 200 |
//! | `clock` | the clock went back by more than a minute since the gateway started | 200 |
//! | `master_keys` | a master key that the store needs is gone from the file or command, or they cannot be read: the gateway goes on with what it holds, and none starts like this | 200 |
//! | `disk` | less than 64 MiB are free where the SQLite file is; jobs that run are served from a full disk, and nothing new is taken | 200 |
//!
//! # Dashboard and alerts
//!
//! `deploy/grafana/rolegate.json` is a dashboard to import, `deploy/prometheus/rules.yml` holds alert rules, and
//! `deploy/prometheus/prometheus.yml` is an example of a scrape, whose job must be called `rolegate`. Tests hold that
//! they use no metric, label or value that is not told of above, and have a Prometheus take them: each expression of
//! the dashboard has an answer, and by `deploy/prometheus/rules_test.yml` each alert fires for what is ill and for
//! nothing that is well beside it (`promtool test rules rules_test.yml`, after your changes too).
