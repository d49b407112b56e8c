//! # The request log
//!
//! The log goes to standard error, a JSON object a line; `RUST_LOG` sets what is told (`info` where it is not set, and
//! `rolegate=debug` for one line of every fetch that was served). Every line has `timestamp` (RFC 3339, UTC), `level`, `target` (a
//! module of rolegate's) and `fields`, in which `event` names what happened and `message` says it in words. Names of
//! events and of the fields listed here are stable; messages are not.
//!
//! Never in the log: a token, a cookie, an assertion, a key or a credential; a query, a header or a body of a request. A person's
//! user name stands where it says whom something concerns.
//!
//! # The line of a request
//!
//! One line for each request once it is answered, `event` `request`, at level info; a fetch that was served is in the
//! audit the first time and no news after that, so its line is at level debug. A field that has no value is left out.
//!
//! | field | meaning |
//! |---|---|
//! | `request_id` | sixteen hexadecimal digits, also in the header `x-request-id` of answers that show no reference. Made by the gateway; what a client sends in such a header counts for nothing. Drawn at random: one says nothing of another |
//! | `method` | the request's method |
//! | `route` | the pattern of the route, such as `/api/v1/leases/{lease}`, or `(none)`; the path itself is not logged, since it may name a person |
//! | `status` | the answer's status |
//! | `microseconds` | from the head of the request to the answer's |
//! | `peer` | the client's address: the connection's, or what a trusted proxy says |
//! | `reference` | what the person was shown with a refusal, by which the audit and `explain` find it |
//!
//! # Every event
//!
//! | event | level | meaning |
//! |---|---|---|
//! | `access_revoked` | warn | An admin, or a person, revoked: `what`, `by` whom, how many `sessions` and `leases`, and whether with a `hold`. |
//! | `assignment_unaudited` | error | An assignment stands that the audit does not know: it is to be set again. |
//! | `audit_copy_failed` | error | A record could not be written to `audit.copy`; said once, and what is missing follows from the store. |
//! | `audit_copy_gap` | error | Records `first` to `last` were removed by retention before they were copied. |
//! | `audit_copy_waits` | warn | What is still to be copied cannot be read from the store now. |
//! | `audit_copy_works` | info | The copy of the audit is written again. |
//! | `audit_lost` | error | Refusals are not in the audit: the store did not take them. They are counted, and told of once it does, unless the process ends before. |
//! | `audit_overrun` | error | More refusals came than the audit takes at once; this one, by its `reference`, stands in the log alone. |
//! | `audit_put_back` | error | The audit no longer has a record that this gateway saw: the store was put back to an older state. An `alarm` of the audit says so too. |
//! | `client_certificate_needed` | warn | A `token` was shown without the client certificate that it is bound to: it may be in wrong hands. |
//! | `configuration` | warn | A warning that `rolegate check` prints too, at the start. |
//! | `console_failed` | warn | AWS's console sign-in gave nothing; the person was told to try again. |
//! | `explain_failed` | error | A response could not be examined for `explain`. |
//! | `few_open_files` | warn | `server.limits.max_connections` is more than the limit on open files permits. |
//! | `gateway_not_removed` | warn | A gateway that ends could not say so to the store, which counts it for half a minute more. |
//! | `idp_certificate_expires` | error, warn | A signing certificate of an IdP ends within 60, 30 or 7 `days`, or has ended. |
//! | `idp_metadata_bad` | error | An IdP's metadata cannot be had or used; said once for each reason. |
//! | `idp_metadata_changed` | info | Other metadata of an IdP is in force. |
//! | `issue_failed` | warn | STS issued nothing for a role: `code` and `reason` say why and what mends it. |
//! | `job_failed` | warn | A `job` of those that run from time to time failed; it is tried again. |
//! | `job_works` | info | A `job` that had `failed` so many times works again. |
//! | `levels_unread` | warn | What the store holds could not be counted for the metrics. |
//! | `logout_refused` | warn | A logout message was refused; the audit has it by its `reference`. |
//! | `logout_unsigned` | error | A logout message of ours could not be signed. |
//! | `master_key_line_missing` | error | A master key that the store needs is gone from its file or command. It is still held; no gateway starts until its line is back. |
//! | `master_key_missing` | error | A master key that the store needs is not held: what is sealed under it is not served here. |
//! | `master_keys_forged` | error | The store says of master keys what these do not bear out, such as that a former one seals again: somebody wrote to the database. The key of before seals on. |
//! | `master_keys_read` | info | Other master keys were taken up; so many are `held`. |
//! | `master_keys_unreadable` | error | The file or command of the master keys gives none; those from before are kept. |
//! | `metadata_failed` | error | rolegate's own SAML metadata could not be written. |
//! | `metrics_failed` | error | A scrape is incomplete. |
//! | `mint_lost` | error | What STS said could not be kept. |
//! | `oidc_keys_stay` | warn | A token does not verify with a provider's keys in force, and newer ones cannot be had. |
//! | `oidc_provider_answers` | info | An OpenID provider that did not answer does again. |
//! | `oidc_provider_away` | warn | Nobody can sign in at an OpenID provider now. |
//! | `oidc_provider_bad` | error | An OpenID provider's metadata or keys cannot be had or used; said once for each reason. |
//! | `oidc_secret_bad` | error | A client secret's file cannot be used; the secret before stays in force. |
//! | `oidc_secret_changed` | info | A client secret was taken up. |
//! | `page_failed` | error | A page could not be made. |
//! | `refresh_failed` | warn | An ID token was not renewed: `code` and `reason`. |
//! | `refresh_lost` | error | What a provider gave could not be kept in time; the person may have to sign in again. |
//! | `refusal_unreadable` | error | What was kept of a refusal cannot be read; `explain` shows the audit's reason alone. |
//! | `refusals_lost` | error | What `explain` would show of some refusals is not kept. |
//! | `relay_key_bad` | error | A relay key that cannot be read is left out. |
//! | `relay_key_missing` | error, warn | There is no relay key yet; it is made when it is first needed. |
//! | `request` | info, debug | A request was answered: the fields above. At level debug for a job that was served. |
//! | `reseal_failed` | warn | What is sealed under a former master key stays so for now. |
//! | `resealed` | info | So many `values` were sealed anew under the current master key. |
//! | `server_failed` | error | The server did not end well. |
//! | `service_key_bad` | error | A key pair of rolegate's own that cannot be read is left out. |
//! | `serving` | info | The gateway serves, at `address`, as `public_url`. |
//! | `session_ended` | warn | A provider ended a sign-in: it takes the refresh token no more. |
//! | `session_nearly_full` | warn | Session policy and tags are near what AWS packs into a session. |
//! | `sign_in_refused` | warn | A sign-in was refused: `reference`, `code` and `reason`. What the person saw is the reference alone. |
//! | `sign_ins_forgotten` | warn | More sign-ins were begun than `server.limits.open_sign_ins`: the oldest, `forgotten`, must begin again. |
//! | `stopping` | info | The process was asked to end, and finishes what it began. |
//! | `store_away` | error | The store does not answer; what could not be done is the message. Said once by the gateway itself, and by each request that needed it. |
//! | `store_back` | info | The store answers again. |
//! | `tls_certificate_bad` | error | The files of the server's certificate cannot be used; the one before stays in force. |
//! | `tls_certificate_changed` | info | The server's certificate was taken up. |
//! | `tls_client_ca_bad` | error | The file of clients' authorities cannot be used; those before stay in force. |
//! | `tls_client_ca_changed` | info | Other authorities of clients' certificates were taken up. |
//! | `traces_back` | info | The collector takes traces again. |
//! | `traces_headers_bad` | warn | `telemetry.otlp_headers_file` cannot be used; the headers before stay in force. |
//! | `traces_lost` | warn | The collector takes no traces; they are dropped until it does. |
//! | `unfinished` | error | What was begun did not end in time at the end of the process; `tasks` says how much. |
