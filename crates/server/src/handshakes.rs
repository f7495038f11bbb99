//! How many handshakes an address may make.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use presence::rate::{Bucket, Rate};
use presence::time::Timestamp;

use crate::address::charged;

/// Most addresses remembered at once. Above it those who owe nothing are forgotten first; with
/// none of those, strangers are refused until some are paid.
const ADDRESSES_MAX: usize = 100_000;

/// Handshakes by address. Shared by the acceptor, which charges, and the shards, which give a
/// charge back for a successful resume.
#[derive(Debug)]
pub(crate) struct Handshakes {
    rate: Rate,
    buckets: Mutex<HashMap<IpAddr, Bucket>>,
}

impl Handshakes {
    /// Nobody has made any.
    pub(crate) fn new(rate: Rate) -> Self {
        Self { rate, buckets: Mutex::default() }
    }

    /// Charges an address, or tells how long it has to wait.
    pub(crate) fn charge(&self, now: Timestamp, address: IpAddr) -> Result<(), Duration> {
        if self.rate.every.is_none() {
            return Ok(());
        }
        let address = charged(address);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= ADDRESSES_MAX && !buckets.contains_key(&address) {
            buckets.retain(|_, bucket| !bucket.is_full(now));
            if buckets.len() >= ADDRESSES_MAX {
                return Err(Duration::from_secs(1));
            }
        }
        let bucket = buckets.entry(address).or_default();
        bucket.take(now, self.rate).map_err(|at| at.since(now))
    }

    /// Gives a charge back.
    pub(crate) fn refund(&self, address: IpAddr) {
        if self.rate.every.is_none() {
            return;
        }
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.get_mut(&charged(address)) {
            bucket.refund(self.rate);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_pays_for_its_handshakes_and_nobody_elses() {
        let handshakes = Handshakes::new(Rate::per(Duration::from_secs(60), 2, 2));
        let now = Timestamp::from_secs(1_000);
        let (one, other): (IpAddr, IpAddr) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        assert_eq!(handshakes.charge(now, one), Ok(()));
        assert_eq!(handshakes.charge(now, one), Ok(()));
        assert_eq!(handshakes.charge(now, one), Err(Duration::from_secs(30)));
        assert_eq!(handshakes.charge(now, other), Ok(()));
        handshakes.refund(one);
        assert_eq!(handshakes.charge(now, one), Ok(()), "a resume gave one back");
    }
}
