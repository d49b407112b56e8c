//! The audit: which events there are, what each says, and what is left out.
//!
//! Every record has `seq`, `at`, `kind` and `previous`; an export adds `hash`. A field that is not known is left out.
//! `by` names who did it where it was not the person: `local:ACCOUNT` for a command, `admin:TOKEN`, `launcher:TOKEN`,
//! `retention`. `reason` begins with a stable code and a colon where the event is a refusal.
//!
//! | kind | it says | fields beside those |
//! |---|---|---|
//! | `sign_in_accepted` | a verified sign-in opened a session | `person`, `session`, `address`, `reason` (roles offered) |
//! | `sign_in_refused` | a response or callback was refused | `reference`, `reason`, `address`, `idp` where it is sure |
//! | `session_confirmed` | the confirm page's button | `person`, `session` |
//! | `logout_refused` | a logout message was refused | `reference`, `reason`, `address` |
//! | `login_approved` | a person allowed a command line | `person`, `session`, `address`, `reason` (who asked) |
//! | `login_denied` | a person denied a command line | `person`, `session`, `address`, `reason` |
//! | `login_completed` | a command line took its token | `person`, `session`, `address` |
//! | `console_opened` | a way into the AWS console was taken | `person`, `session`, `role`, `access_key_id`, `address` |
//! | `signed_out` | a browser session was ended by its person or IdP | `person`, `session`, `reason` |
//! | `session_ended` | a session was ended for all | `person`, `session`, `reason`, `by` |
//! | `decision` | the allow-list permitted or denied a role at a sign-in | `person`, `session`, `role`, `granted`, `entry`, `method`, `reason` |
//! | `credentials_issued` | STS issued credentials | `person`, `session`, `role`, `method`, `entry`, `access_key_id`, `sts_request_id` |
//! | `issue_failed` | STS issued none | `person`, `session`, `role`, `method`, `entry`, `reason`, `sts_request_id` |
//! | `credentials_fetched` | credentials left rolegate; of a lease the first fetch and the first of each renewal | `person`, `role`, `lease`, `job`, `launcher`, `session`, `access_key_id` |
//! | `token_handed_out` | the first relay token of a lease left rolegate | `person`, `role`, `lease`, `job`, `launcher`, `method` |
//! | `fetch_refused` | a known lease, or a person, was refused credentials | `person`, `role`, `lease`, `job`, `launcher`, `session`, `reason` |
//! | `entry_added` | an allow-list entry was added | `entry`, `by`, `reason` |
//! | `entry_changed` | an allow-list entry was changed | `entry`, `by`, `reason` |
//! | `entry_removed` | an allow-list entry was removed | `entry`, `by`, `reason` |
//! | `token_created` | an API token was made | `token`, `by`, `reason` |
//! | `token_revoked` | an API token was revoked | `token`, `by`, `reason` |
//! | `lease_created` | a lease was made | `person`, `role`, `lease`, `job`, `launcher`, `by` |
//! | `lease_refused` | a lease was asked for and refused | `user`, `idp`, `role`, `job`, `launcher`, `by`, `reason` |
//! | `lease_revoked` | a lease was revoked | `person`, `role`, `lease`, `job`, `launcher`, `by`, `reason` |
//! | `access_revoked` | a revocation: what was named, and how many it met | of `user`, `idp`, `role`, `launcher`, `session`, `lease` what was named; `by`, `reason` |
//! | `hold_placed` | new sign-ins, leases or fetches are refused from now on | of `user`, `idp`, `role`, `launcher` what is held; `by`, `reason` |
//! | `hold_released` | they are taken again | as when it was placed; `by`, `reason` |
//! | `assignment_set` | an admin assigned roles to a person | `person`, `roles`, `roles_before`, `by`, `reason` |
//! | `assignment_removed` | an admin took them away | `person`, `roles_before`, `by`, `reason` |
//! | `assignment_overwritten` | the IdP named roles, and the assignment went | `person`, `session`, `roles_before` |
//! | `tokens_refreshed` | an IdP answered with a new ID token | `person`, `session`, `reason` |
//! | `refresh_failed` | an IdP gave none | `person`, `session`, `reason` |
//! | `offers_changed` | a refreshed ID token names other roles | `person`, `session`, `reason` |
//! | `idp_key_added` | an IdP's metadata has a new signing key | `idp`, `certificate_sha256`, `certificate_not_after`, `reason` (where from) |
//! | `idp_key_removed` | it has one no longer | `idp`, `certificate_sha256`, `certificate_not_after`, `reason` |
//! | `service_key_created` | a key pair of rolegate's own was made | `by`, `reason` (use, id) |
//! | `service_key_retired` | one was retired | `by`, `reason` |
//! | `master_key_added` | a master key was made and added to the key file | `by`, `reason` |
//! | `master_key_rotated` | another master key seals from now on | `by`, `reason` |
//! | `master_key_retired` | a former master key opens nothing any more and is forgotten | `by`, `reason` |
//! | `gateway_started` | a gateway started | |
//! | `refusals_counted` | refusals beyond the first twenty in a minute | `counted_kind`, `count`, `first_at`, `last_at`, `reason` (their code), `address`, `lease`, `person`, `by` |
//! | `audit_pruned` | the oldest records were removed | `first_seq`, `last_seq`, `last_hash`, `count`, `until`, `by` |
//! | `alarm` | something to look at, such as a response on which two readers differ | as the event it stands for |
//!
//! # What is counted
//!
//! `sign_in_refused` where no signature held, `logout_refused`, `fetch_refused`, `lease_refused` and such `alarm`s: anybody
//! can cause them at will. Of one kind, code and address (an IPv6 network of /64), lease or caller, twenty in a minute
//! are recorded one by one; a minute later one `refusals_counted` has the number of the others, and while it goes on
//! there is one a minute. All together are recorded one by one a thousand times a minute, and ten thousand senders are
//! told apart; beyond, one common count stands under the code `many_senders`. What could not be written, a refusal or a
//! sum, is counted under the code `not_written` and told of once the store answers again. The log has a line for each refusal, and a
//! refused response that an identity provider signed has ten times that room for itself, so that nobody else's flood
//! hides it.
//!
//! # What is not recorded
//!
//! Fetches between a lease's first and its next renewal, since SDKs fetch as they like; a token that nobody knows;
//! what passes by itself, such as STS being away; reading: `explain`, lists and the audit itself change nothing and show
//! admins and auditors what log and audit hold anyway, and the request log names who asked.

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::audit::EventKind;

    const PAGE: &str = include_str!("audit.rs");

    fn rows() -> Vec<Vec<&'static str>> {
        let rows = PAGE.lines().filter_map(|line| line.strip_prefix("//! | `"));
        rows.map(|row| row.split(" | ").collect()).collect()
    }

    #[test]
    fn every_kind_has_its_row_in_the_order_of_the_code() {
        let listed: Vec<&str> = rows()
            .iter()
            .map(|row| row[0].trim_end_matches('`'))
            .collect();
        let kinds: Vec<&str> = EventKind::ALL.iter().map(|kind| kind.as_str()).collect();
        assert_eq!(listed, kinds);
    }

    #[test]
    fn every_field_that_is_named_is_one_of_an_event() {
        let code = include_str!("../audit/event.rs");
        let fields: BTreeSet<&str> = code
            .lines()
            .filter_map(|line| line.trim().strip_prefix("pub "))
            .filter_map(|line| line.split_once(": ").map(|(name, _)| name))
            .collect();
        for row in rows() {
            let named = row[2].split('`').skip(1).step_by(2);
            for field in named {
                assert!(fields.contains(field), "{field} of {}", row[0]);
            }
        }
    }
}
