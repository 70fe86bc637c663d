//! Names of objects that hold for one day: a keyed hash (HMAC-SHA-256, RFC 2104) of the date, the stream and the device's name of the object.

use hmac::{Hmac, Mac};
use schemas::Timestamp;
use serde::{Serialize, Serializer};
use sha2::Sha256;
use std::fmt;

/// Bytes of the hash that are kept: enough that two objects of one day never meet.
const KEPT_BYTES: usize = 8;

/// The secret of the hash.
#[derive(Clone, Default)]
pub struct Key([u8; 32]);

impl Key {
    #[must_use]
    pub const fn new(secret: [u8; 32]) -> Self {
        Self(secret)
    }

    pub(super) fn pseudonym(&self, tenant: &str, stream: &str, object: &str, at: Timestamp) -> Pseudonym {
        // HMAC takes keys of any length, so this branch is never taken; without a hash there is no name either.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return Pseudonym([0; KEPT_BYTES]) };
        mac.update(&at.date().to_be_bytes());
        for text in [tenant, stream, object] {
            mac.update(&(text.len() as u64).to_be_bytes());
            mac.update(text.as_bytes());
        }
        let hash = mac.finalize().into_bytes();
        Pseudonym(std::array::from_fn(|i| hash[i]))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(secret)")
    }
}

/// An object's name for one day; 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pseudonym([u8; KEPT_BYTES]);

impl fmt::Display for Pseudonym {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl Serialize for Pseudonym {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}
