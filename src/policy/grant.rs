//! The permit that issuing demands.

use std::fmt::Write;

use chrono::{DateTime, Utc};

use super::SessionTag;
use crate::model::{
    EntryId, IssueKey, Method, Person, RoleArn, SamlProviderArn, SessionDuration, SessionId,
    SessionName, SessionPolicy, hex, seconds_between,
};

/// What ends the serving of a grant's credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// The session's end.
    Session,
    /// The entry's `renew_for`.
    RenewFor,
    /// The ID token, where no newer one can be had: the last that it can be redeemed for.
    IdToken,
    /// The entry's own end.
    Entry,
}

impl Limit {
    /// The name in `limited_by`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::RenewFor => "renew_for",
            Self::IdToken => "id_token",
            Self::Entry => "entry",
        }
    }
}

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
    pub(super) ends_at: DateTime<Utc>,
    pub(super) limit: Limit,
    pub(super) external_id: Option<String>,
    pub(super) hand_out_tokens: bool,
    pub(super) session_policy: Option<SessionPolicy>,
    pub(super) tags: Vec<SessionTag>,
    pub(super) transitive_tag_keys: Vec<String>,
    /// What an ID token puts into the session by itself; empty for the other methods.
    pub(super) vouched: String,
    /// What session policy and a lease's own tags come to; empty without them.
    pub(super) narrowed: String,
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
        self.is_renewable().then_some(self.ends_at)
    }

    /// Whether STS can be asked again; it takes an assertion for five minutes only, and an ID token is
    /// followed by newer ones or at least good for a while.
    pub fn is_renewable(&self) -> bool {
        self.method != Method::Saml
    }

    /// When serving stops, whatever the credentials say.
    pub fn ends_at(&self) -> DateTime<Utc> {
        self.ends_at
    }

    /// What sets that end.
    pub fn limit(&self) -> Limit {
        self.limit
    }

    /// What to ask STS for at `now`: no more than is left until [`Grant::ends_at`], and never below the
    /// 900 s that AWS issues at least.
    pub fn duration_at(&self, now: DateTime<Utc>) -> SessionDuration {
        let left = u32::try_from(seconds_between(now, self.ends_at)).unwrap_or(u32::MAX);
        let left = left.clamp(
            SessionDuration::MIN.seconds(),
            SessionDuration::MAX.seconds(),
        );
        SessionDuration::from_seconds(left).map_or(self.duration, |left| left.min(self.duration))
    }

    /// The broker's `ExternalId`.
    pub fn external_id(&self) -> Option<&str> {
        self.external_id.as_deref()
    }

    /// Whether the relay's token itself may leave rolegate: the entry says so, and nothing narrows what it
    /// would be redeemed for.
    pub fn may_hand_out_token(&self) -> bool {
        self.hand_out_tokens && self.narrowed.is_empty()
    }

    /// What the credentials are limited to.
    pub fn session_policy(&self) -> Option<&SessionPolicy> {
        self.session_policy.as_ref()
    }

    /// The session tags of relay and broker.
    pub fn tags(&self) -> &[SessionTag] {
        &self.tags
    }

    /// Those of them that survive role chaining.
    pub fn transitive_tag_keys(&self) -> &[String] {
        &self.transitive_tag_keys
    }

    /// What its credentials are cached and shared by.
    pub fn issue_key(&self) -> IssueKey {
        let duration = self.duration;
        IssueKey::new(
            &self.session,
            &self.role,
            self.method,
            duration,
            &self.narrowed,
        )
    }

    /// The same for all sessions of a person: what an earlier sign-in was given under it may stand in while
    /// this one's is being made.
    pub fn kind(&self) -> String {
        let (role, method) = (&self.role, self.method);
        let mut text = format!("{role}\n{method}\n{}", self.narrowed);
        // What an assertion was redeemed for was settled by its own sign-in.
        if self.is_renewable() {
            let _ = write!(text, "\n{}", self.duration.seconds());
        }
        for tag in &self.tags {
            let _ = write!(text, "\n{}\n{}", tag.key, tag.value);
        }
        if !self.vouched.is_empty() {
            let _ = write!(text, "\n{}", self.vouched);
        }
        hex(&openssl::sha::sha256(text.as_bytes()))
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
            ends_at: DateTime::<Utc>::MAX_UTC,
            limit: Limit::Session,
            external_id: None,
            hand_out_tokens: false,
            session_policy: None,
            tags: Vec::new(),
            transitive_tag_keys: Vec::new(),
            vouched: String::new(),
            narrowed: String::new(),
        }
    }

    /// The same for another method, with what that carries.
    pub(crate) fn for_method(self, method: Method, change: impl FnOnce(&mut Self)) -> Self {
        let mut grant = Self { method, ..self };
        change(&mut grant);
        grant
    }

    /// Sets what a lease asks for beyond the role.
    pub(crate) fn narrow(
        &mut self,
        session_policy: Option<SessionPolicy>,
        tags: Vec<SessionTag>,
        external_id: Option<String>,
    ) {
        self.session_policy = session_policy;
        self.tags = tags;
        self.external_id = external_id;
    }
}
