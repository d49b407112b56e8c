//! What is ordered, by whom, and whether that is within the caller's reach.

use chrono::{DateTime, Utc};

use super::LeaseError;
use crate::model::{
    IdpName, JobName, Lease, Narrowing, Person, RoleArn, SessionDuration, TextPattern, TokenId,
    TokenName, TokenRecord, UserName, rfc3339,
};
use crate::store::LeaseFilter;

/// Who orders a lease.
pub enum Orderer {
    /// A program with a launcher token.
    Launcher(TokenRecord),
    /// The person, for a job of his own.
    Person(Person),
    /// An admin, who sees and revokes every lease and makes none.
    Admin(TokenName),
}

impl Orderer {
    pub(super) fn launcher(&self) -> Option<&TokenName> {
        match self {
            Self::Launcher(token) => Some(&token.name),
            Self::Person(_) | Self::Admin(_) => None,
        }
    }

    /// The token that must still count when the lease is kept.
    pub(super) fn token(&self) -> Option<&TokenId> {
        match self {
            Self::Launcher(token) => Some(&token.id),
            Self::Person(_) | Self::Admin(_) => None,
        }
    }

    pub(super) fn name(&self) -> String {
        match self {
            Self::Launcher(token) => format!("launcher:{}", token.name),
            Self::Person(person) => format!("user:{}", person.user),
            Self::Admin(name) => format!("admin:{name}"),
        }
    }

    /// Who the keys of repeatable calls belong to: the same user of two IdPs is two people.
    pub(super) fn owner(&self) -> String {
        match self {
            Self::Launcher(_) | Self::Admin(_) => self.name(),
            Self::Person(person) => format!("user:{}/{}", person.idp, person.user),
        }
    }

    /// Whether it may see and revoke `lease`.
    pub(super) fn owns(&self, lease: &Lease) -> bool {
        match self {
            Self::Launcher(token) => lease.launcher.as_ref() == Some(&token.name),
            Self::Person(person) => lease.person == *person,
            Self::Admin(_) => true,
        }
    }
}

/// What is ordered.
pub struct LeaseOrder {
    /// Whose role.
    pub user: UserName,
    /// At which IdP, where the user is known at several.
    pub idp: Option<IdpName>,
    /// The role.
    pub role: RoleArn,
    /// The job.
    pub job: JobName,
    /// How long the lease should last, in seconds.
    pub ttl_seconds: Option<u32>,
    /// How long credentials should last.
    pub duration: Option<SessionDuration>,
    /// Until when the job needs credentials.
    pub needed_until: Option<DateTime<Utc>>,
    /// What its credentials shall be narrowed by.
    pub narrowing: Narrowing,
    /// The `Idempotency-Key` of the call.
    pub idempotency_key: Option<String>,
}

impl LeaseOrder {
    /// What is asked, for telling a repeated call from another that has the same key.
    pub(super) fn digest(&self) -> [u8; 32] {
        let idp = self.idp.as_ref().map_or("", IdpName::as_str);
        let duration = self.duration.map(SessionDuration::seconds);
        let needed = self.needed_until.map(rfc3339);
        let policy = self.narrowing.session_policy.as_ref();
        // Debug forms quote what they hold, so that no two orders read alike.
        let text = format!(
            "{}\n{idp}\n{}\n{:?}\n{:?}\n{duration:?}\n{needed:?}\n{policy:?}\n{:?}",
            self.user,
            self.role,
            self.job.as_str(),
            self.ttl_seconds,
            self.narrowing.tags
        );
        openssl::sha::sha256(text.as_bytes())
    }
}

/// A launcher token without patterns reaches nothing; a person reaches himself.
pub(super) fn within_reach(by: &Orderer, order: &LeaseOrder) -> Result<(), LeaseError> {
    match by {
        Orderer::Admin(_) => {
            return Err(LeaseError::OutsideToken(
                "an admin's token makes no leases; use a launcher token".to_owned(),
            ));
        }
        Orderer::Person(person) => {
            let same_idp = order.idp.as_ref().is_none_or(|idp| *idp == person.idp);
            if order.user != person.user || !same_idp {
                return Err(LeaseError::OutsideToken(
                    "a session may lease only for its own user; use a launcher token for others"
                        .to_owned(),
                ));
            }
        }
        Orderer::Launcher(token) => {
            let covers = |pattern: &Option<TextPattern>, text: &str| {
                pattern
                    .as_ref()
                    .is_some_and(|pattern| pattern.matches(text))
            };
            if !covers(&token.for_users, order.user.as_str()) {
                return Err(LeaseError::OutsideToken(format!(
                    "token {} is not for user {}; make one whose --for-users covers it",
                    token.name, order.user
                )));
            }
            if !covers(&token.for_roles, order.role.as_str()) {
                return Err(LeaseError::OutsideToken(format!(
                    "token {} is not for {}; make one whose --for-roles covers it",
                    token.name, order.role
                )));
            }
        }
    }
    Ok(())
}

/// The leases that `by` may see.
pub(super) fn own(by: &Orderer) -> LeaseFilter {
    match by {
        Orderer::Launcher(token) => LeaseFilter {
            launcher: Some(token.name.clone()),
            ..LeaseFilter::default()
        },
        Orderer::Person(person) => LeaseFilter {
            person: Some(person.clone()),
            ..LeaseFilter::default()
        },
        Orderer::Admin(_) => LeaseFilter::default(),
    }
}
