//! The permit that issuing demands.

use chrono::{DateTime, Utc};

use crate::model::{
    EntryId, IssueKey, Method, Person, RoleArn, SamlProviderArn, SessionDuration, SessionId,
    SessionName,
};

/// An offer that the allow-list permits now. Made by `decide` alone; no Clone, no Default, no
/// Deserialize, and never stored.
#[derive(Debug)]
pub struct Grant {
    pub(super) role: RoleArn,
    pub(super) provider: Option<SamlProviderArn>,
    pub(super) method: Method,
    pub(super) duration: SessionDuration,
    pub(super) entry: EntryId,
    pub(super) label: Option<String>,
    pub(super) person: Person,
    pub(super) session: SessionId,
    pub(super) session_name: SessionName,
    pub(super) renewable_until: Option<DateTime<Utc>>,
}

impl Grant {
    /// The role.
    pub fn role(&self) -> &RoleArn {
        &self.role
    }

    /// The SAML provider, for method `saml`.
    pub fn provider(&self) -> Option<&SamlProviderArn> {
        self.provider.as_ref()
    }

    /// How credentials are had.
    pub fn method(&self) -> Method {
        self.method
    }

    /// How long they are asked for.
    pub fn duration(&self) -> SessionDuration {
        self.duration
    }

    /// The entry that permitted it.
    pub fn entry(&self) -> &EntryId {
        &self.entry
    }

    /// The entry's name for people.
    pub fn label(&self) -> Option<&str> {
        self.label.as_deref()
    }

    /// Whose it is.
    pub fn person(&self) -> &Person {
        &self.person
    }

    /// The session it was decided for.
    pub fn session(&self) -> &SessionId {
        &self.session
    }

    /// The role session name that AWS will show.
    pub fn session_name(&self) -> &SessionName {
        &self.session_name
    }

    /// Until when it can be renewed without a sign-in; `None` where it cannot.
    pub fn renewable_until(&self) -> Option<DateTime<Utc>> {
        self.renewable_until
    }

    /// What its credentials are cached and shared by.
    pub fn issue_key(&self) -> IssueKey {
        IssueKey::new(&self.session, &self.role, self.method, self.duration)
    }
}

#[cfg(test)]
impl Grant {
    /// A grant that nothing decided, for the tests of what demands one.
    pub(crate) fn for_test(
        role: RoleArn,
        provider: Option<SamlProviderArn>,
        duration: SessionDuration,
        session_name: SessionName,
    ) -> Self {
        use crate::model::{FixedClock, OsEntropy};

        let clock = FixedClock::new(chrono::DateTime::UNIX_EPOCH);
        let idp = || "idp".parse::<crate::model::IdpName>();
        let (entry, idp, user) = (
            "ent_1".parse().unwrap(),
            idp().unwrap(),
            "alice".parse().unwrap(),
        );
        Self {
            role,
            provider,
            method: Method::Saml,
            duration,
            entry,
            label: None,
            person: Person { idp, user },
            session: SessionId::fresh(&clock, &OsEntropy),
            session_name,
            renewable_until: None,
        }
    }
}
