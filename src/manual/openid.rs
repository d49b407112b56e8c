//! # Attacks on OpenID Connect, and what stops them here
//!
//! An OpenID Connect sign-in is two messages through a stranger's browser and one call past it. The browser can
//! be made to carry another one's answer, the answer can come from another provider than the one that was asked,
//! and the token can be somebody else's. This chapter says for each what stops it. All refusals look alike from
//! outside; the code in brackets stands in log, audit and `rolegate explain`.
//!
//! Two answers recur:
//!
//! * **The request is ours, and is used up first.** [`authorize`] makes `state`, `nonce` and the verifier of
//!   PKCE; the store keeps them sealed, for ten minutes, bound to the provider and to a cookie of the browser. A
//!   callback [consumes](crate::store) that row before anybody is asked anything, so that what is replayed,
//!   made up or another browser's costs the provider nothing.
//! * **Addresses come from the configuration.** The issuer is written there, its metadata must name the very same
//!   issuer, and keys and endpoints come from that alone. No redirect is followed, and nothing in a
//!   token (`jku`, `x5u`, `jwk`, `iss`) leads anywhere. Plain http is for loopback.
//!
//! ## The way through the browser
//!
//! * **Swapped code or state** (login CSRF, code injection: RFC 9700, 4.5 and 4.7). The row is found by `state` and the
//!   browser's cookie together; PKCE with S256 ties the code to the request, `nonce` the token to it
//!   ([`Refusal::Nonce`]). A code that is sent twice meets a row that is gone.
//! * **Mix-up between providers** (RFC 9700, 4.4). Each provider has a callback of its own, a request
//!   is bound to its provider, and `iss` of the answer must be the provider's where it stands, and must stand
//!   where the provider's metadata says so (RFC 9207; [`Refusal::MixUp`]).
//! * **An error in place of a code.** Its text is the provider's: it is cut, kept for the audit, and shown to nobody
//!   else ([`Refusal::ProviderError`]).
//! * **A way out by `return_to`** is SAML's (WEB-03): a path, or a configured origin.
//!
//! ## The token
//!
//! [`verify`](crate::oidc::verify()) is a pure function of token, keys, expectation and now.
//!
//! * **`alg: none`, HMAC keyed with the public key, other algorithms** (CVE-2015-9235 and its many likes). A list
//!   of five is taken, by the header *and* by the kind of key; keys for encryption sign nothing
//!   ([`Refusal::Algorithm`], [`Refusal::KeyUnknown`]).
//! * **A token of another issuer, or for another client** ([`Refusal::Issuer`], [`Refusal::Audience`]). With several
//!   audiences, or a party beside ours, `azp` must be rolegate ([`Refusal::AuthorizedParty`]): a token
//!   that another application got for itself is none of ours.
//! * **An old token** ([`Refusal::Expired`], [`Refusal::NotYetValid`], [`Refusal::IssuedTooLongAgo`]), and one twice:
//!   the replay ledger takes the hash of each token at the sign-in, as it takes an assertion's id.
//! * **A key that was withdrawn.** Keys are asked for again every hour at most, and when a token's key is
//!   unknown or its signature fails; not more often than every 30 seconds, so that a stranger's
//!   tokens cannot make rolegate hammer the provider.
//!
//! ## What the claims say
//!
//! * **A mail address that nobody checked** (*nOAuth*, Descope 2023: an account at the attacker's tenant with the
//!   victim's address). `email` counts only where `email_verified` is true, for the name and for `when`; `user_domains` bounds whom a
//!   provider may speak for ([`Refusal::UserDomain`]); the same name from two providers is two people everywhere.
//!   A claim for the name that is there and bad never falls back to another ([`Refusal::UserName`]).
//! * **An issuer for everybody's tenants**, such as Entra's `common`: its metadata names no issuer that a token
//!   could be held against, and is refused.
//! * **Roles** are offers and no more, each value by itself, as SAML's: the allow-list decides.
//!
//! ## Refresh
//!
//! * **A stolen refresh token** would be somebody's roles for months. It is sealed in the store, bound to its
//!   session, leaves it only to the provider's token endpoint, and stands in no log, page or clear column; nor do ID tokens.
//! * **Two refreshes at once** look to a provider that rotates like a thief, and end the session (RFC 9700,
//!   4.14). One process at a time refreshes a session, by a
//!   [claim in the store](crate::store::Store::claim_refresh), and what it got is kept in one transaction.
//! * **Another person's token on refresh.** Issuer, subject and audience must be the sign-in's
//!   ([`Refusal::Issuer`], [`Refusal::SubjectDiffers`], [`Refusal::AudienceDiffers`]).
//! * **A person who left.** `invalid_grant` ends the session, and with it what its jobs can fetch; a refreshed token that names
//!   fewer roles takes the others away, and so with every claim that a `when` may rest on; a claim that it does not have at all says nothing,
//!   so let the provider send an empty one. Whatever a provider says, `renew_for` bounds it.
//!
//! ## Assignments
//!
//! An admin who can assign roles can give them to himself, within the allow-list. Each edit is in the audit, with who,
//! why and the roles before; it is undone where the audit does not take it. What is assigned is sealed for its person in the store, so that
//! an edited row is damage and not a role. It ends with the first role value that the IdP sends: a
//! provider that says something is never mixed with an admin who said something else. `assignments = "off"` has none.
//!
//! ## What is not stopped here
//!
//! * **A provider's own signing key**, stolen, signs in whomever its thief likes, as with SAML.
//! * **Method `web-identity`** hands the provider's own token to AWS. Whoever has such a token for rolegate's client can redeem it
//!   at STS by himself until it expires, for every role whose trust policy admits him: the allow-list bounds what rolegate
//!   hands out. Tokens do not come through the browser here (at the sign-out the provider is told an ID token only once it has
//!   ended), so that this is whoever can read rolegate's memory, and where the provider lets rolegate's client have tokens without
//!   a code (implicit flow: switch it off there), the person. Pin
//!   `sub` in the trust policy (`rolegate trust-policy --user`), or use `relay`.
//! * **The client secret**: who has it can redeem a code that he also stole, but not without the request's verifier.
//!
//! [`authorize`]: crate::oidc::authorize()
//! [`Refusal::Algorithm`]: crate::oidc::Refusal::Algorithm
//! [`Refusal::Audience`]: crate::oidc::Refusal::Audience
//! [`Refusal::AudienceDiffers`]: crate::oidc::Refusal::AudienceDiffers
//! [`Refusal::AuthorizedParty`]: crate::oidc::Refusal::AuthorizedParty
//! [`Refusal::Expired`]: crate::oidc::Refusal::Expired
//! [`Refusal::IssuedTooLongAgo`]: crate::oidc::Refusal::IssuedTooLongAgo
//! [`Refusal::Issuer`]: crate::oidc::Refusal::Issuer
//! [`Refusal::KeyUnknown`]: crate::oidc::Refusal::KeyUnknown
//! [`Refusal::MixUp`]: crate::oidc::Refusal::MixUp
//! [`Refusal::Nonce`]: crate::oidc::Refusal::Nonce
//! [`Refusal::NotYetValid`]: crate::oidc::Refusal::NotYetValid
//! [`Refusal::ProviderError`]: crate::oidc::Refusal::ProviderError
//! [`Refusal::SubjectDiffers`]: crate::oidc::Refusal::SubjectDiffers
//! [`Refusal::UserDomain`]: crate::oidc::Refusal::UserDomain
//! [`Refusal::UserName`]: crate::oidc::Refusal::UserName
