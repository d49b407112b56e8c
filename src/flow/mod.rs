//! The journeys, one file each; the only place that sees several rooms.
//!
//! `sign_in` takes a response and opens a session, `mint` turns its grants into credentials, `grants`
//! says what a person has, `logout` ends it with the IdP, `lease` gives a job its right, `fetch` serves it,
//! `revoke` ends all of it at once, `assignments` names roles for a person, `explain` says why;
//! `login` signs a command line in, `console` opens the AWS console.
//! `allow_list`, `holds`, `idps`, `providers` and `pulse` hold what is in force now and notice when it changes, `metrics` and
//! `readiness` tell of it, `jobs` is what runs from time to time, `pressure` counts who was turned away, `flights` has
//! one task for all who want the same, `underway` counts what must end before the process; `views` is what lists show;
//! `relay_keys` signs as an OIDC issuer; `admins` knows who administers in a browser.

mod access;
mod admins;
mod allow_list;
mod assignments;
mod audit;
mod budget;
mod console;
mod explain;
mod fetch;
mod flights;
mod grants;
mod holds;
mod id_tokens;
mod idps;
mod issue;
mod jobs;
mod lease;
mod login;
mod logout;
mod master_keys;
mod metrics;
mod mint;
mod outcome;
mod pressure;
mod providers;
mod pulse;
mod readiness;
mod relay_keys;
mod revoke;
mod service_keys;
mod sign_in;
mod underway;
mod verifiers;
mod views;

pub use crate::saml::logout::Delivery;
pub use crate::store::{
    AssignmentFilter, LiveSession, LoginAnswer, RevokeOrder, Selector, SessionRow,
};
pub use access::Access;
pub use admins::Admins;
pub use allow_list::AllowList;
pub use assignments::{AssignmentError, AssignmentOrder, AssignmentView, Assignments};
pub use audit::{AuditQuery, AuditQueryError, AuditRecords};
pub use budget::{Budget, Crowded};
pub use console::{Console, ConsoleError, FederationError};
pub use explain::{Decision, Explain, Explanation};
pub use fetch::{Fetch, FetchError, FetchParts, HandedOut, Prospect, Served};
pub use grants::{DeniedView, GrantView, Grants, Me};
pub use holds::{HoldView, Holds};
pub use id_tokens::{IdTokens, IdTokensParts, TokenProblem, refresh_at};
pub use idps::{Idp, IdpError, IdpView, Idps, KeyChange, KeyView, Refresh, RefreshParts};
pub use issue::{Issuer, IssuerParts};
pub use jobs::{Job, JobError, JobParts, JobView, Jobs, Step, table as jobs_table};
pub use lease::{LeaseError, LeaseMade, LeaseOrder, Leases, Orderer};
pub use login::{Login, LoginAsked, LoginBegun, LoginDone, LoginError};
pub use logout::{LoggedOut, Logout, LogoutFailure, LogoutNext, LogoutParts};
pub use master_keys::{GatewayName, MasterKeyWatch};
pub use metrics::{METRICS, Metric, Metrics, MetricsParts, Requests};
pub use mint::{Mint, MintFailure, MintTurns};
pub use pressure::{Limit, Pressure};
pub use providers::{Discovered, Provider, ProviderError, Providers};
pub use pulse::Pulse;
pub use readiness::{AboutToEnd, CertificateEnd, Check, Readiness, ReadinessParts};
pub use relay_keys::{RelayError, RelayKeys, RelayParts};
pub use revoke::{
    AwsAdvice, Counts, InForce, Revoke, RevokedView, TokensView, good_reason, token_created,
};
pub use service_keys::{Addresses, KeyRing, ServiceKeys};
pub use sign_in::{
    Arrived, Confirmed, Output, Posted, SignIn, SignInError, SignInParts, SignInRules, SignedIn,
    Started, return_target,
};
pub use underway::{Counted, Underway};
pub use verifiers::{Busy, Verifiers};
pub use views::{LeaseView, SessionView};

/// The store does not answer; what it said was logged where this was made.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the store does not answer; try again")]
pub struct Unavailable;

impl From<crate::store::StoreError> for Unavailable {
    fn from(error: crate::store::StoreError) -> Self {
        tracing::error!(event = "store_away", %error, "a request could not be answered");
        Self
    }
}
