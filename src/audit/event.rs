//! What is recorded: one shape for all events, whose fields cannot hold a secret.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::model::{
    EntryId, IdpName, JobName, LeaseId, Method, Person, Reference, RoleArn, SessionId, TokenId,
    TokenName, UserName,
};

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// What happened. The names are stable.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
        pub enum EventKind {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
        }

        impl EventKind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The stable name.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// The name in the code, by which a test finds where it is used.
            #[cfg(test)]
            pub(crate) fn in_code(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }
        }
    };
}

kinds! {
    /// A verified sign-in was accepted, and opened a session.
    SignInAccepted = "sign_in_accepted",
    /// A sign-in was refused.
    SignInRefused = "sign_in_refused",
    /// The button of the confirm page.
    SessionConfirmed = "session_confirmed",
    /// A logout message was refused.
    LogoutRefused = "logout_refused",
    /// A person allowed a command line onto the session.
    LoginApproved = "login_approved",
    /// A person denied a command line.
    LoginDenied = "login_denied",
    /// A command line took the token that a person had allowed.
    LoginCompleted = "login_completed",
    /// A person took a way into the AWS console.
    ConsoleOpened = "console_opened",
    /// The browser session was ended by its person, or by the IdP's single logout.
    SignedOut = "signed_out",
    /// A session was ended for all.
    SessionEnded = "session_ended",
    /// The allow-list permitted or denied a role.
    Decision = "decision",
    /// STS issued credentials.
    CredentialsIssued = "credentials_issued",
    /// STS issued none.
    IssueFailed = "issue_failed",
    /// Credentials left rolegate.
    CredentialsFetched = "credentials_fetched",
    /// A relay token left rolegate, for a job to redeem itself.
    TokenHandedOut = "token_handed_out",
    /// Credentials were asked for and refused.
    FetchRefused = "fetch_refused",
    /// An allow-list entry was added.
    EntryAdded = "entry_added",
    /// An allow-list entry was changed.
    EntryChanged = "entry_changed",
    /// An allow-list entry was removed.
    EntryRemoved = "entry_removed",
    /// An API token was made.
    TokenCreated = "token_created",
    /// An API token was revoked.
    TokenRevoked = "token_revoked",
    /// A lease was made.
    LeaseCreated = "lease_created",
    /// A lease was asked for and refused.
    LeaseRefused = "lease_refused",
    /// A lease was revoked.
    LeaseRevoked = "lease_revoked",
    /// Sessions, leases or credentials were revoked: what was named, and how many.
    AccessRevoked = "access_revoked",
    /// New sign-ins, leases or fetches are refused from now on.
    HoldPlaced = "hold_placed",
    /// They are taken again.
    HoldReleased = "hold_released",
    /// An admin assigned roles to a person, in the place of those assigned before.
    AssignmentSet = "assignment_set",
    /// An admin took a person's assignment away.
    AssignmentRemoved = "assignment_removed",
    /// The IdP sent a role value for a person, and the assignment went.
    AssignmentOverwritten = "assignment_overwritten",
    /// An IdP answered with a new ID token, the first of the session or one that changed the offers.
    TokensRefreshed = "tokens_refreshed",
    /// An IdP gave no new ID token.
    RefreshFailed = "refresh_failed",
    /// A refreshed ID token names other roles than the one before.
    OffersChanged = "offers_changed",
    /// An IdP's metadata has a signing key that it had not before.
    IdpKeyAdded = "idp_key_added",
    /// An IdP's metadata no longer has a signing key.
    IdpKeyRemoved = "idp_key_removed",
    /// A key pair of rolegate's own was made.
    ServiceKeyCreated = "service_key_created",
    /// A key pair of rolegate's own was retired.
    ServiceKeyRetired = "service_key_retired",
    /// A master key was made and added to the key file.
    MasterKeyAdded = "master_key_added",
    /// Another master key seals from now on.
    MasterKeyRotated = "master_key_rotated",
    /// A master key was retired: nothing is sealed under it any more.
    MasterKeyRetired = "master_key_retired",
    /// The gateway started.
    GatewayStarted = "gateway_started",
    /// Refusals like those before it that were counted and not recorded one by one.
    RefusalsCounted = "refusals_counted",
    /// Retention, or an admin, removed the oldest records of the audit.
    AuditPruned = "audit_pruned",
    /// Something that an operator should look at.
    Alarm = "alarm",
}

impl std::str::FromStr for EventKind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        let named = |kind: &&Self| kind.as_str() == text;
        let found = Self::ALL.iter().find(named).copied();
        found.ok_or_else(|| UnknownKind(text.chars().take(64).collect()))
    }
}

/// A kind of event that there is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no kind of event; write one of {kinds}",
    kinds = EventKind::ALL.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(", ")
)]
pub struct UnknownKind(String);

/// One event. Make it with [`Event::new`] and name the fields that it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// Who it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub person: Option<Person>,
    /// The IdP, where the person is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idp: Option<IdpName>,
    /// The user, where the IdP is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<UserName>,
    /// The role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<RoleArn>,
    /// The roles of a person's assignment, after an edit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roles: Option<Vec<RoleArn>>,
    /// The roles of the assignment before, where there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roles_before: Option<Vec<RoleArn>>,
    /// How credentials are had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<Method>,
    /// A decision's outcome.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub granted: Option<bool>,
    /// The job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<JobName>,
    /// The launcher.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub launcher: Option<TokenName>,
    /// The lease.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease: Option<LeaseId>,
    /// The session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// The allow-list entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry: Option<EntryId>,
    /// The token's record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenId>,
    /// The access key's identifier, by which AWS's own trail names what was issued.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_key_id: Option<String>,
    /// The SHA-256 of an IdP's signing certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_sha256: Option<String>,
    /// That certificate's end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_not_after: Option<DateTime<Utc>>,
    /// Why: a reason code, an admin's words, or both.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What the person was shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<Reference>,
    /// STS's request id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sts_request_id: Option<String>,
    /// Who did it, where it was not the person: `local:root`, an admin, a launcher.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Where the request came from; of refusals that were counted, the network of an IPv6 address (/64).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<std::net::IpAddr>,
    /// The kind that refusals would have been recorded as.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counted_kind: Option<EventKind>,
    /// How many were counted, or removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// When the first of them happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_at: Option<DateTime<Utc>>,
    /// When the last of them happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_at: Option<DateTime<Utc>>,
    /// The number of the first record that was removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_seq: Option<i64>,
    /// The number of the last record that was removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seq: Option<i64>,
    /// That record's hash, hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_hash: Option<String>,
    /// The time before which records were to be removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<DateTime<Utc>>,
}

impl Event {
    /// An event that says nothing but its kind.
    pub fn new(kind: EventKind) -> Self {
        Self {
            kind,
            person: None,
            idp: None,
            user: None,
            role: None,
            roles: None,
            roles_before: None,
            method: None,
            granted: None,
            job: None,
            launcher: None,
            lease: None,
            session: None,
            entry: None,
            token: None,
            access_key_id: None,
            certificate_sha256: None,
            certificate_not_after: None,
            reason: None,
            reference: None,
            sts_request_id: None,
            by: None,
            address: None,
            counted_kind: None,
            count: None,
            first_at: None,
            last_at: None,
            first_seq: None,
            last_seq: None,
            last_hash: None,
            until: None,
        }
    }

    /// The user it is about, with or without an IdP.
    pub(super) fn user(&self) -> Option<&UserName> {
        let person = self.person.as_ref().map(|person| &person.user);
        person.or(self.user.as_ref())
    }

    /// The IdP it is about, with or without a user.
    pub(super) fn idp(&self) -> Option<&IdpName> {
        let person = self.person.as_ref().map(|person| &person.idp);
        person.or(self.idp.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Kinds that wait for the call that makes them: none changes an entry in place yet.
    const TO_COME: &[EventKind] = &[EventKind::EntryChanged];

    fn code(folder: &std::path::Path, found: &mut String) {
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            if path.is_dir() {
                code(&path, found);
                continue;
            }
            let name = path.file_name().unwrap().to_str().unwrap();
            let is_rust = path.extension().is_some_and(|end| end == "rs");
            let is_code = is_rust && !name.ends_with("tests.rs");
            if is_code && !path.ends_with("audit/event.rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                // Tests stand at the end.
                found.push_str(text.split("#[cfg(test)]\nmod tests {").next().unwrap());
            }
        }
    }

    #[test]
    fn every_kind_is_made_somewhere() {
        let mut found = String::new();
        let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        code(&source, &mut found);
        for kind in EventKind::ALL {
            let name = format!("EventKind::{}", kind.in_code());
            let is_made = found.match_indices(&name).any(|(at, _)| {
                let rest = found.get(at + name.len()..);
                let next = rest.and_then(|rest| rest.chars().next());
                next.is_none_or(|next| !next.is_alphanumeric())
            });
            assert_eq!(is_made, !TO_COME.contains(kind), "{name}");
        }
    }

    #[test]
    fn a_kind_is_read_from_its_name_and_others_are_told_the_names() {
        for kind in EventKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(*kind));
        }
        let unknown = "sign_in".parse::<EventKind>().unwrap_err().to_string();
        assert!(
            unknown.contains("sign_in_accepted, sign_in_refused"),
            "{unknown}"
        );
    }

    #[test]
    fn kinds_have_names_of_their_own_and_json_says_them() {
        let names: HashSet<&str> = EventKind::ALL.iter().map(|kind| kind.as_str()).collect();
        assert_eq!(names.len(), EventKind::ALL.len());
        for kind in EventKind::ALL {
            let json = serde_json::to_value(Event::new(*kind)).unwrap();
            assert_eq!(json, serde_json::json!({ "kind": kind.as_str() }));
        }
    }
}
