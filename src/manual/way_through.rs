//! # The way of a response
//!
//! What arrives is bytes from a stranger. What leaves is credentials. Between them stand these steps, each
//! with a type that only the step before can make, so that none can be left out.
//!
//! 1. [`RawResponse::from_form`] takes one `SAMLResponse` out of one form, decodes base64 and keeps what
//!    was posted to the letter.
//! 2. [`RawResponse::read`] passes the gate: [characters](crate::saml::lexis), [XML](crate::saml::xml),
//!    [names, structure and IDs](crate::saml::structure), [signature shapes](crate::saml::signature_shape).
//!    It is pure Rust, one pass after another, and bounded. The result is an [`UnverifiedResponse`], which
//!    offers two hints and nothing else: whose keys to try, which request to look up.
//! 3. [`verify`] asks the [engine](crate::saml::engine) for the bytes that every signature covers, reads
//!    those bytes anew, holds them against what the gate saw, and asks every
//!    [condition](crate::saml::conditions). It has no clock, no store and no network. The result is a
//!    [`VerifiedAssertion`]. Where the assertion is [encrypted](crate::saml::encrypted), the signature around
//!    it comes first, then decryption, then the gate once more over what came out.
//! 4. [`Store::accept`] enters the IDs in the replay ledger, all or none, before anything else
//!    happens. Only it makes a [`Fresh`](crate::store::Fresh) one, and that a [`Subject`](crate::model::Subject).
//!    From here on all goes on though the client goes away. The session is opened pending, and
//!    [confirmed](crate::store::Store::confirm_opened) once the audit has it.
//! 5. [`policy`](crate::policy) decides which offers become grants; a denial lists its reasons.
//! 6. [`sts`](crate::sts) is reached with a [`Grant`](crate::policy::Grant) alone, and its answer is
//!    compared with what we verified.
//!
//! The journey is one page: [`flow::sign_in`](crate::flow).
//!
//! # The way of an OpenID Connect sign-in
//!
//! The same six steps, with a call past the browser in the middle.
//!
//! 1. [`authorize`](crate::oidc::authorize()) makes the request with `state`, `nonce` and PKCE; the store keeps it sealed, bound to
//!    the provider and to a cookie.
//! 2. [`Callback::parse`](crate::oidc::Callback::parse) takes one `state` and one `code`, or an error, out of the query. The request is
//!    consumed before anything else happens.
//! 3. [`OidcClient::exchange`](crate::oidc::OidcClient::exchange) gets the tokens for the code, from the provider that the
//!    configuration names.
//! 4. [`verify`](crate::oidc::verify()) is pure, as SAML's is: algorithm, signature, issuer, audience, times, nonce, claims. The result
//!    is a [`VerifiedIdToken`](crate::oidc::VerifiedIdToken). Where the key is unknown, newer keys are asked for and it is asked once more.
//! 5. The ledger takes the token's hash, and one transaction opens the session and keeps the tokens, sealed. A role
//!    value deletes what an admin [assigned](crate::flow::Assignments); where there is none, the store puts the assigned roles
//!    into every reading of the session.
//! 6. Policy and STS know no protocol. Method `web-identity` gives STS the ID token of the session, refreshed
//!    [by one process at a time](crate::store::Store::claim_refresh): ahead of need for jobs that run, and whenever less than a
//!    minute is left of it.
//!
//! # The way of a fetch
//!
//! A job's SDK asks again and again, for days, and must have an answer in 1.5 seconds each time.
//!
//! 1. The lease token's hash finds what was decided of the lease, if nothing has changed since: no revocation or
//!    hold (an epoch counts them), no edit of the allow-list (the very rules are compared), no sign-in of the
//!    person, no time that counts passed. Then its credentials are the answer.
//! 2. Else lease and newest session are read, and the same [`decide`](crate::policy::decide) as at the sign-in
//!    makes a [`Grant`](crate::policy::Grant) or says no. Its
//!    [issue key](crate::policy::Grant::issue_key) names the credentials: session, role, method, duration, and a hash of
//!    whatever narrows them, so that no other job's are found under it.
//! 3. Where there are none, or less is left of them than a job should be given, one task asks STS for all who wait
//!    ([`Issuer`](crate::flow::Issuer)): after its turn in the account's [`Budget`](crate::flow::Budget), and
//!    after [a claim in the store](crate::store::Store::claim), kept every two seconds, has elected it among replicas; one of a process
//!    that was killed is gone after eight. A request waits for it 1.3
//!    seconds; what lives is served meanwhile, what has expired never.
//! 4. What STS issued is kept if the claim still stands and the session has not ended: a revocation takes both away.
//!    Before an answer leaves, epoch and rules are compared once more, and all is looked up anew if they moved.
//! 5. Credentials in use are renewed when 20 minutes are left of them, or a third of a shorter life, each key a
//!    little earlier than the other, whether or not a job asks just then.
//!
//! [`RawResponse::from_form`]: crate::saml::RawResponse::from_form
//! [`RawResponse::read`]: crate::saml::RawResponse::read
//! [`UnverifiedResponse`]: crate::saml::UnverifiedResponse
//! [`verify`]: crate::saml::verify()
//! [`VerifiedAssertion`]: crate::saml::VerifiedAssertion
//! [`Store::accept`]: crate::store::Store::accept
