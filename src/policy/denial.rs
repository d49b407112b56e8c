//! Why a role is denied, for the person, the audit and `explain`.

use thiserror::Error;

use crate::model::{Entry, EntryId, Method, OfferRefusal, RoleArn, rfc3339};

/// A role that is not permitted, with every reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// The role, or the value that the IdP sent.
    pub role_arn: String,
    /// Why not; never empty.
    pub reasons: Vec<Reason>,
    /// The entries that were tried, and why each does not permit it.
    pub tried: Vec<Tried>,
}

impl Denial {
    pub(super) fn of(role: &RoleArn, reason: Reason) -> Self {
        Self {
            role_arn: role.to_string(),
            reasons: vec![reason],
            tried: Vec::new(),
        }
    }

    /// A denial by `entry`, or by what it asks for.
    pub(super) fn by(role: &RoleArn, entry: &Entry, reason: Reason) -> Self {
        Self {
            role_arn: role.to_string(),
            tried: vec![Tried {
                entry: entry.id.clone(),
                arn: entry.draft.arn.to_string(),
                why: reason.clone(),
            }],
            reasons: vec![reason],
        }
    }

    /// Whether a new sign-in is all that it takes.
    pub fn is_over(&self) -> bool {
        matches!(
            self.reasons.as_slice(),
            [Reason::SessionOver(_) | Reason::RenewalOver(_) | Reason::IdTokenOver(_)]
        )
    }

    /// Whether what was asked beyond the role is in the way, not the role.
    pub fn is_narrowing(&self) -> bool {
        matches!(
            self.reasons.as_slice(),
            [Reason::MethodCannot { .. }
                | Reason::TagsNeedLauncher
                | Reason::TagNotPermitted { .. }
                | Reason::TagTaken(_)
                | Reason::TooManyTags(_)]
        )
    }

    /// Whether the sign-in did not offer the role at all.
    pub fn is_not_offered(&self) -> bool {
        self.reasons == [Reason::NotOffered]
    }
}

/// An entry that was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// The entry.
    pub entry: EntryId,
    /// Its ARN or pattern.
    pub arn: String,
    /// Why it does not permit the role.
    pub why: Reason,
}

/// One reason; its text says what mends it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Reason {
    /// The IdP did not name the role.
    #[error(
        "your sign-in does not offer this role; have the identity provider offer it and sign in again"
    )]
    NotOffered,
    /// The Role value is no offer.
    #[error(transparent)]
    OfferRefused(#[from] OfferRefusal),
    /// Nothing in the allow-list matches.
    #[error("no entry of the allow-list matches; an admin adds one with `rolegate roles allow`")]
    NoEntry,
    /// A denying entry matches.
    #[error("entry {entry} denies it{}; an admin lifts that with `rolegate roles remove {entry}`", .reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default())]
    DeniedBy {
        /// The entry.
        entry: EntryId,
        /// Why the entry is there.
        reason: Option<String>,
    },
    /// The entry is for another IdP's people.
    #[error(
        "entry {entry} is only for people of IdP {wanted}; sign in there, or an admin changes the entry"
    )]
    OtherIdp {
        /// The entry.
        entry: EntryId,
        /// The IdP it is for.
        wanted: String,
    },
    /// An attribute has not the value that the entry wants.
    #[error(
        "entry {entry} is only where attribute {attribute} is {wanted:?}; have the identity provider send it, or an admin changes the entry"
    )]
    AttributeDiffers {
        /// The entry.
        entry: EntryId,
        /// The attribute.
        attribute: String,
        /// The value it must have.
        wanted: String,
    },
    /// The entry is for leases of another launcher.
    #[error(
        "entry {entry} is only for leases of launcher {wanted}; start the job there, or an admin changes the entry"
    )]
    OtherLauncher {
        /// The entry.
        entry: EntryId,
        /// The launcher it is for.
        wanted: String,
    },
    /// The entry has ended.
    #[error("entry {entry} ended at {}; an admin renews it", rfc3339(*.at))]
    Expired {
        /// The entry.
        entry: EntryId,
        /// When.
        at: chrono::DateTime<chrono::Utc>,
    },
    /// A role of AWS's own.
    #[error("AWSReservedSSO_ and aws-service-role/ roles belong to AWS and cannot be handed out")]
    Reserved,
    /// A bare role ARN, and no provider known for its account.
    #[error(
        "the identity provider sent a bare role ARN, and roles.saml_providers names none for account {0}; send the pair of role and saml-provider ARN, or add the provider"
    )]
    ProviderMissing(String),
    /// A provider that the configuration does not name for this account.
    #[error(
        "saml-provider {found} is not the one that roles.saml_providers names for its account; have the identity provider send that one, or correct the list"
    )]
    ProviderUnknown {
        /// What came.
        found: String,
    },
    /// The sign-in was none by SAML.
    #[error("method saml needs a SAML sign-in; have the entry use another method")]
    NoAssertion,
    /// The sign-in brought no ID token.
    #[error(
        "method web-identity needs the ID token of an OpenID Connect sign-in; sign in through such a provider, or have the entry use another method"
    )]
    NoIdToken,
    /// An admin assigned the role; the assertion does not name it.
    #[error(
        "STS reads roles from the assertion alone, and this one is assigned in rolegate; have the entry use relay or broker, or have the identity provider send the role"
    )]
    Assigned,
    /// The role attribute is not AWS's.
    #[error(
        "STS reads roles only from the attribute https://aws.amazon.com/SAML/Attributes/Role; send them there, or have the entry use relay or broker"
    )]
    RoleAttributeRenamed,
    /// STS demands a RoleSessionName.
    #[error(
        "STS demands the attribute https://aws.amazon.com/SAML/Attributes/RoleSessionName; have the identity provider send it"
    )]
    NoRoleSessionName,
    /// Encrypted for rolegate, STS cannot read it.
    #[error(
        "the assertion was encrypted for rolegate and cannot be forwarded to STS; switch encryption off, or have the entry use relay or broker"
    )]
    Encrypted,
    /// The audience of the role's partition is missing.
    #[error(
        "the assertion's audience is not {wanted}, which STS of {partition} demands; have the identity provider send that audience"
    )]
    AudienceNotAws {
        /// The partition.
        partition: String,
        /// The audience that is needed.
        wanted: String,
    },
    /// No audience is known for the partition.
    #[error("AWS names no SAML audience for partition {0}; have the entry use relay or broker")]
    PartitionWithoutSaml(String),
    /// Less than AWS issues.
    #[error("{limit} leaves {seconds} seconds, and AWS issues nothing below 900")]
    TooShort {
        /// What limits it.
        limit: &'static str,
        /// How much is left.
        seconds: u64,
    },
    /// The session is over.
    #[error("the session ended at {}; sign in again", rfc3339(*.0))]
    SessionOver(chrono::DateTime<chrono::Utc>),
    /// The time for renewal is over.
    #[error(
        "the entry renews credentials for so long after a sign-in only, and that ended at {}; sign in again",
        rfc3339(*.0)
    )]
    RenewalOver(chrono::DateTime<chrono::Utc>),
    /// The ID token is over, and what it could be redeemed for.
    #[error(
        "the identity provider gave an ID token and nothing to have a newer one by, and what it could be redeemed for ended at {}; sign in again",
        rfc3339(*.0)
    )]
    IdTokenOver(chrono::DateTime<chrono::Utc>),
    /// A session policy or tags with a method that carries none.
    #[error(
        "method {method} takes no {what}; leave it out, or have the entry use {}",
        if *.what == "session policy" { "web-identity, relay or broker" } else { "relay or broker" }
    )]
    MethodCannot {
        /// The method.
        method: Method,
        /// What it cannot do.
        what: &'static str,
    },
    /// Tags of somebody who is no launcher.
    #[error("tags are set by launchers, never by users; leave them out, or use a launcher token")]
    TagsNeedLauncher,
    /// A tag that the entry does not list.
    #[error(
        "entry {entry} lists no tag key {key:?}; leave the tag out, or an admin adds the key to the entry's tag_keys"
    )]
    TagNotPermitted {
        /// The entry.
        entry: EntryId,
        /// The key.
        key: String,
    },
    /// A tag that somebody else sets.
    #[error(
        "tag {0:?} is set already, by rolegate or by the identity provider (AWS compares keys without case); leave it out"
    )]
    TagTaken(String),
    /// A `PrincipalTag` that AWS takes in no session.
    #[error(
        "the identity provider sends PrincipalTag {0:?}, which AWS does not take: one value of letters, digits, spaces and _ . : / = + - @; correct it there"
    )]
    BadPrincipalTag(String),
    /// More tags than AWS takes.
    #[error(
        "{0} session tags are more than the 50 that AWS takes, those of the identity provider and rolegate's own included; send fewer"
    )]
    TooManyTags(usize),
}

impl Reason {
    /// A stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotOffered => "not_offered",
            Self::OfferRefused(_) => "offer_refused",
            Self::NoEntry => "no_entry",
            Self::DeniedBy { .. } => "denied",
            Self::OtherIdp { .. } => "other_idp",
            Self::AttributeDiffers { .. } => "attribute_differs",
            Self::OtherLauncher { .. } => "other_launcher",
            Self::Expired { .. } => "entry_expired",
            Self::Reserved => "reserved",
            Self::ProviderMissing(_) => "provider_missing",
            Self::ProviderUnknown { .. } => "provider_unknown",
            Self::NoAssertion => "no_assertion",
            Self::NoIdToken => "no_id_token",
            Self::Assigned => "assigned",
            Self::RoleAttributeRenamed => "role_attribute_renamed",
            Self::NoRoleSessionName => "no_role_session_name",
            Self::Encrypted => "encrypted",
            Self::AudienceNotAws { .. } => "audience_not_aws",
            Self::PartitionWithoutSaml(_) => "partition_without_saml",
            Self::TooShort { .. } => "too_short",
            Self::SessionOver(_) => "session_over",
            Self::RenewalOver(_) => "renewal_over",
            Self::IdTokenOver(_) => "id_token_over",
            Self::MethodCannot { .. } => "method_cannot",
            Self::TagsNeedLauncher => "tags_need_launcher",
            Self::TagNotPermitted { .. } => "tag_not_permitted",
            Self::TagTaken(_) => "tag_taken",
            Self::BadPrincipalTag(_) => "bad_principal_tag",
            Self::TooManyTags(_) => "too_many_tags",
        }
    }
}
