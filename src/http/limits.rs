//! How many bad tokens one address may show: who guesses is told to wait, and who shows a good token never is.
//!
//! Counted is what was looked up and found to be nobody's, answered by 401; a lease that was revoked or has ended is
//! no bad token, since its job asks three or four times before it gives up. Remembers addresses alone, for as long as
//! they count.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{AUTHORIZATION, RETRY_AFTER};
use actix_web::middleware::Next;
use actix_web::{Error, ResponseError, web};
use governor::clock::Clock;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::error::job_error;
use super::{Problem, Site, address};

/// From how many addresses on those that count no more are forgotten, once in so many bad tokens.
const MANY: usize = 10_000;
const ONCE_IN: u32 = 1000;

/// The bad tokens of each address.
pub struct BadTokens {
    limiter: DefaultKeyedRateLimiter<IpAddr>,
    counted: AtomicU32,
}

impl BadTokens {
    /// At most `most` a minute and address.
    pub fn per_minute(most: NonZeroU32) -> Self {
        Self {
            limiter: RateLimiter::keyed(Quota::per_minute(most)),
            counted: AtomicU32::new(0),
        }
    }

    /// Counts one of `address`; after how many seconds another may be tried, where it was too many.
    fn count(&self, address: IpAddr) -> Result<(), u64> {
        let number = self.counted.fetch_add(1, Ordering::Relaxed);
        if number.is_multiple_of(ONCE_IN) && self.limiter.len() > MANY {
            self.limiter.retain_recent();
        }
        let counted = self.limiter.check_key(&network(address));
        counted.map_err(|until| {
            let wait = until.wait_time_from(self.limiter.clock().now());
            wait.as_secs().saturating_add(1)
        })
    }
}

/// What one customer of a network provider has: an IPv4 address, or 2^64 of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from(network))
        }
        plain @ IpAddr::V4(_) => plain,
    }
}

/// Answers 429 in place of 401 where the address has shown too many bad tokens.
pub(super) async fn bad_tokens<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let response = next.call(request).await?;
    let is_bad = response.status() == StatusCode::UNAUTHORIZED
        && response.request().headers().contains_key(AUTHORIZATION);
    if !is_bad {
        return Ok(response.map_into_left_body());
    }
    let request = response.request();
    let (limits, site) = (
        request.app_data::<web::Data<BadTokens>>(),
        request.app_data::<web::Data<Site>>(),
    );
    let counted = limits.zip(site).map_or(Ok(()), |(limits, site)| {
        limits.count(address::client(request, site))
    });
    match counted {
        Ok(()) => Ok(response.map_into_left_body()),
        Err(seconds) => {
            let title =
                format!("too many unknown tokens from this address; try again in {seconds} s");
            let status = StatusCode::TOO_MANY_REQUESTS;
            let mut refused = if request.path().starts_with("/v1/") {
                job_error(status, "too_many", &title)
            } else {
                Problem::new(status, "too_many", title).error_response()
            };
            refused.headers_mut().insert(RETRY_AFTER, seconds.into());
            Ok(response.into_response(refused).map_into_right_body())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_bound_of_its_own() {
        let limits = BadTokens::per_minute(NonZeroU32::new(3).unwrap());
        let count = |address: &str| limits.count(address.parse().unwrap());
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
        let limits = BadTokens::per_minute(NonZeroU32::new(2).unwrap());
        let count = |address: &str| limits.count(address.parse().unwrap());
        assert_eq!(count("2001:db8::1"), Ok(()));
        assert_eq!(count("2001:db8::2"), Ok(()));
        assert!(count("2001:db8::ffff:3").is_err());
        assert_eq!(count("2001:db8:0:1::1"), Ok(()));
    }
}
