//! Nouns with a grammar: everything that the other rooms pass to each other.
//!
//! A value of a type in here is well formed; whether it is permitted is for `policy` to say. Nothing
//! in this room does I/O, reads a clock of its own or knows another room.

mod address;
mod arn;
mod certificate_name;
mod clock;
mod credentials;
mod durations;
mod entropy;
mod entry;
mod hex;
mod hold;
mod id;
mod lease;
mod name;
mod narrowing;
mod offer;
mod pattern;
mod relay_key;
mod secret;
mod service_key;
mod session;
mod subject;
mod token;
mod trace;

pub use address::network;
pub use arn::{AccountId, ArnError, Partition, RoleArn, SamlProviderArn, split_arn_list};
pub use certificate_name::{CertificateName, CertificateNameError};
pub use clock::{Clock, FixedClock, SystemClock, rfc3339, seconds_between};
pub use credentials::{Credentials, IssueKey};
pub use durations::{DurationCounts, Durations};
pub use entropy::{Entropy, OsEntropy};
pub use entry::{Effect, Entry, EntryDraft, EntryProblem, EntrySource, Method};
pub use hex::hex;
pub use hold::{Hold, HoldScope};
pub use id::{
    EntryId, HoldId, IdError, LeaseId, Reference, RelayKeyId, ServiceKeyId, SessionId, TokenId,
};
pub use lease::Lease;
pub use name::{IdpName, JobName, NameError, SessionName, TokenName, UserName};
pub use narrowing::{
    MAX_TAGS, Narrowing, NarrowingError, SessionPolicy, is_tag_character, is_tag_key, is_tag_value,
};
pub use offer::{Offer, OfferRefusal, Offers, RefusedOffer};
pub use pattern::{PatternError, RolePattern, TextPattern};
pub use relay_key::{RELAY_KEY_AGES, RELAY_KEYS_STAY, RelayKeyRecord};
pub use secret::Secret;
pub use service_key::{KeyUse, KeyUseError, ServiceKeyRecord};
pub use session::{DurationError, SessionDuration};
pub use subject::{
    Attributes, Forwarding, IdToken, LogoutHandle, OidcTokens, Person, ReplayId, SamlProof, SignIn,
    Subject, SubjectParts, WebIdentity,
};
pub use token::{Role, Token, TokenError, TokenHash, TokenKind, TokenRecord};
pub use trace::TRACES;
