//! Hashing of passwords and digests of random secrets.

use argon2::{Argon2, PasswordHash, PasswordHasher as _, PasswordVerifier as _, password_hash::SaltString};
use sha2::{Digest as _, Sha256};

/// Hash of a random password nobody has: what is verified when the name is unknown.
pub(super) const UNKNOWN_USER_HASH: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$H0Nz0c8gE3b1m1G3j5dIYJ1Q0Zl6d0l1dJkq3sJmWqA";

/// Argon2id with the parameters of OWASP (19 MiB, 2 passes), in PHC form.
#[must_use]
pub fn hash_password(plain: &str) -> String {
    let mut salt = [0u8; 16];
    rand::fill(&mut salt);
    SaltString::encode_b64(&salt)
        .and_then(|salt| Argon2::default().hash_password(plain.as_bytes(), &salt).map(|h| h.to_string()))
        .unwrap_or_else(|_| unreachable!("a 16 byte salt and the default parameters are always accepted"))
}

pub(super) fn verify_password(hash: &str, secret: &[u8]) -> bool {
    PasswordHash::new(hash).is_ok_and(|h| Argon2::default().verify_password(secret, &h).is_ok())
}

/// SHA-256 over the parts, each preceded by its length.
pub(super) fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut sha = Sha256::new();
    for part in parts {
        sha.update((part.len() as u64).to_le_bytes());
        sha.update(part);
    }
    sha.finalize().into()
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// 160 random bits in lower-case letters and digits that nobody confuses.
#[must_use]
pub fn random_secret() -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut bytes = [0u8; 32];
    rand::fill(&mut bytes);
    bytes.iter().map(|b| char::from(ALPHABET[usize::from(b & 31)])).collect()
}
