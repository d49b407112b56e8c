//! How often one may be refused: who guesses is told to wait, and who asks for what is good never is.
//!
//! By address are counted unknown tokens, refused sign-ins and logout messages, and sign-ins begun; by token, what a
//! known one is refused. All but the beginnings are counted when the answer is known, so that nothing good is kept
//! waiting, whoever shares its address. A lease that was revoked or has ended is no bad token, since its job asks
//! three or four times before it gives up. Remembers addresses and hashes of tokens alone, for as long as they count.

use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{AUTHORIZATION, RETRY_AFTER};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, HttpRequest, HttpResponse, web};
use governor::clock::Clock;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::routes::{matched, needs_token};
use super::{Problem, Site, address};
use crate::flow::{Limit, Pressure};
use crate::model::network;

/// From how many keys on those that count no more are forgotten, once in so many counted.
const MANY: usize = 10_000;
const ONCE_IN: u32 = 1000;

/// How often a minute.
#[derive(Debug, Clone, Copy)]
pub struct Rates {
    /// Unknown tokens of an address.
    pub bad_tokens: NonZeroU32,
    /// Refused sign-ins and logout messages of an address.
    pub refused_sign_ins: NonZeroU32,
    /// Sign-ins begun from an address.
    pub sign_in_starts: NonZeroU32,
    /// Refusals of a known token.
    pub refusals_of_token: NonZeroU32,
}

/// What is counted.
pub struct Limits {
    bad_tokens: Counted<IpAddr>,
    refused_sign_ins: Counted<IpAddr>,
    sign_in_starts: Counted<IpAddr>,
    refusals_of_token: Counted<[u8; 32]>,
    pressure: Arc<Pressure>,
}

impl Limits {
    /// At most `rates`; who comes beyond is counted in `pressure`.
    pub fn new(rates: &Rates, pressure: Arc<Pressure>) -> Self {
        Self {
            bad_tokens: Counted::per_minute(rates.bad_tokens),
            refused_sign_ins: Counted::per_minute(rates.refused_sign_ins),
            sign_in_starts: Counted::per_minute(rates.sign_in_starts),
            refusals_of_token: Counted::per_minute(rates.refusals_of_token),
            pressure,
        }
    }

    /// Counts `what` of `request`; how it is answered instead, where it was too many.
    fn count(&self, what: What, request: &HttpRequest) -> Option<HttpResponse> {
        let address = || {
            let site = request.app_data::<web::Data<Site>>();
            let client = site.map(|site| address::client(request, site));
            network(client.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED)))
        };
        let counted = match what {
            What::BadToken => self.bad_tokens.count(&address()),
            What::RefusedSignIn => self.refused_sign_ins.count(&address()),
            What::SignInStart => self.sign_in_starts.count(&address()),
            What::RefusalOfToken => self.refusals_of_token.count(&token(request)),
        };
        let seconds = counted.err()?;
        self.pressure.turn_away(what.limit());
        Some(too_many(request, what, seconds))
    }
}

/// So many a minute for each key.
struct Counted<K: Hash + Eq + Clone> {
    limiter: DefaultKeyedRateLimiter<K>,
    counted: AtomicU32,
}

impl<K: Hash + Eq + Clone> Counted<K> {
    fn per_minute(most: NonZeroU32) -> Self {
        Self {
            limiter: RateLimiter::keyed(Quota::per_minute(most)),
            counted: AtomicU32::new(0),
        }
    }

    /// Counts one of `key`; after how many seconds another may be tried, where it was too many.
    fn count(&self, key: &K) -> Result<(), u64> {
        let number = self.counted.fetch_add(1, Ordering::Relaxed);
        if number.is_multiple_of(ONCE_IN) && self.limiter.len() > MANY {
            self.limiter.retain_recent();
        }
        self.limiter.check_key(key).map_err(|until| {
            let wait = until.wait_time_from(self.limiter.clock().now());
            wait.as_secs().saturating_add(1)
        })
    }
}

/// What counts against somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    BadToken,
    RefusedSignIn,
    SignInStart,
    RefusalOfToken,
}

impl What {
    fn limit(self) -> Limit {
        match self {
            Self::BadToken => Limit::BadTokens,
            Self::RefusedSignIn => Limit::RefusedSignIns,
            Self::SignInStart => Limit::SignInStarts,
            Self::RefusalOfToken => Limit::RefusalsOfToken,
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::BadToken => "too many unknown tokens from this address",
            Self::RefusedSignIn => "too many refused sign-ins from this address",
            Self::SignInStart => "too many sign-ins begun from this address",
            Self::RefusalOfToken => "this token was refused too often",
        }
    }

    /// What an answer of `status` to `request` is, if it counts.
    fn of(request: &HttpRequest, status: StatusCode) -> Option<Self> {
        if status.is_success() {
            return None;
        }
        let has_token = request.headers().contains_key(AUTHORIZATION);
        match status {
            StatusCode::UNAUTHORIZED if has_token => Some(Self::BadToken),
            StatusCode::BAD_REQUEST | StatusCode::FORBIDDEN
                if takes_documents(request.method(), matched(request)) =>
            {
                Some(Self::RefusedSignIn)
            }
            // An unknown token is told so before anything else, so that whoever gets these has a known one.
            StatusCode::FORBIDDEN | StatusCode::NOT_FOUND | StatusCode::CONFLICT
                if has_token && needs_token(request) =>
            {
                Some(Self::RefusalOfToken)
            }
            _ => None,
        }
    }
}

/// Whether a stranger's browser brings an IdP's word there.
fn takes_documents(method: &Method, path: &str) -> bool {
    let is_callback = || path.starts_with("/oidc/") && path.ends_with("/callback");
    (path == "/saml/acs" && method == Method::POST) || path == "/saml/slo" || is_callback()
}

/// Whether a call leaves a row that waits for its other half.
fn begins(method: &Method, path: &str) -> bool {
    let is_protocol = || path.starts_with("/saml/") || path.starts_with("/oidc/");
    (method == Method::GET && path.ends_with("/login") && is_protocol())
        || (method == Method::POST && path == "/api/v1/login/codes")
}

/// The hash of what was shown.
fn token(request: &HttpRequest) -> [u8; 32] {
    let shown = request.headers().get(AUTHORIZATION);
    let shown = shown.map_or(&[][..], |shown| shown.as_bytes());
    let token = shown.strip_prefix(b"Bearer ").unwrap_or(shown);
    openssl::sha::sha256(token.trim_ascii())
}

fn too_many(request: &HttpRequest, what: What, seconds: u64) -> HttpResponse {
    let title = format!("{}; try again in {seconds} s", what.title());
    let (status, code) = (StatusCode::TOO_MANY_REQUESTS, "too_many");
    let mut refused = Problem::new(status, code, title).answer(request);
    refused.headers_mut().insert(RETRY_AFTER, seconds.into());
    refused
}

/// Answers 429 in place of what was refused too often, and in place of a beginning too many.
pub(super) async fn hold<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let limits = request.app_data::<web::Data<Limits>>().cloned();
    let Some(limits) = limits else {
        return Ok(next.call(request).await?.map_into_left_body());
    };
    if begins(request.method(), matched(request.request()))
        && let Some(refused) = limits.count(What::SignInStart, request.request())
    {
        return Ok(request.into_response(refused).map_into_right_body());
    }
    let response = next.call(request).await?;
    let Some(what) = What::of(response.request(), response.status()) else {
        return Ok(response.map_into_left_body());
    };
    match limits.count(what, response.request()) {
        None => Ok(response.map_into_left_body()),
        Some(refused) => Ok(response.into_response(refused).map_into_right_body()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Counted<IpAddr> {
        Counted::per_minute(NonZeroU32::new(3).unwrap())
    }

    #[test]
    fn an_address_has_a_bound_of_its_own() {
        let limits = three();
        let count = |address: &str| limits.count(&network(address.parse().unwrap()));
        for _ in 0..3 {
            assert_eq!(count("192.0.2.7"), Ok(()));
        }
        let wait = count("192.0.2.7").unwrap_err();
        assert!((1..=21).contains(&wait), "{wait}");
        assert!(
            count("::ffff:192.0.2.7").is_err(),
            "the same by another name"
        );
        assert_eq!(count("192.0.2.8"), Ok(()));
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_address() {
        let limits = three();
        let count = |address: &str| limits.count(&network(address.parse().unwrap()));
        assert_eq!(count("2001:db8::1"), Ok(()));
        assert_eq!(count("2001:db8::2"), Ok(()));
        assert_eq!(count("2001:db8::3"), Ok(()));
        assert!(count("2001:db8::ffff:3").is_err());
        assert_eq!(count("2001:db8:0:1::1"), Ok(()));
    }

    #[test]
    fn a_token_is_the_same_with_and_without_its_scheme() {
        let of = |value: &str| {
            let request = actix_web::test::TestRequest::get();
            let request = request.insert_header((AUTHORIZATION, value));
            token(&request.to_http_request())
        };
        assert_eq!(of("rgj_one"), of("Bearer rgj_one"));
        assert_ne!(of("rgj_one"), of("rgj_two"));
    }

    #[test]
    fn what_counts_is_told_by_route_and_status() {
        let counts = |method: Method, path: &str, status: u16| {
            let request = actix_web::test::TestRequest::with_uri(path).method(method);
            let status = StatusCode::from_u16(status).unwrap();
            What::of(&request.to_http_request(), status)
        };
        let sign_in = Some(What::RefusedSignIn);
        assert_eq!(counts(Method::POST, "/saml/acs", 403), sign_in);
        assert_eq!(counts(Method::GET, "/saml/slo", 400), sign_in);
        assert_eq!(counts(Method::GET, "/oidc/entra/callback", 403), sign_in);
        assert_eq!(counts(Method::POST, "/saml/acs", 303), None);
        assert_eq!(counts(Method::POST, "/saml/acs", 503), None);
        assert_eq!(counts(Method::POST, "/login/device", 403), None);
        assert_eq!(counts(Method::GET, "/api/v1/me", 401), None, "no token");
        assert_eq!(counts(Method::POST, "/s%61ml/%61cs", 403), sign_in);
        assert_eq!(counts(Method::GET, "/oidc/entra/callbac%6B", 403), sign_in);
        assert!(begins(&Method::GET, "/saml/okta/login"));
        assert!(begins(&Method::POST, "/api/v1/login/codes"));
        assert!(!begins(&Method::GET, "/login"));
    }
}
