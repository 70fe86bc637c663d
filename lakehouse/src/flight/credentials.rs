//! Who calls: `authorization` with a name and password or with a token, as it stands on every call.

use crate::{Access, SqlAuth};
use arrow_flight::BasicAuth;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use prost::Message;
use tonic::{Status, metadata::MetadataMap};

/// Longest name, password or token, in bytes.
const SECRET_BYTES_MAX: usize = 4_096;

/// What a caller shows.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Credentials {
    Password { user: String, password: Vec<u8> },
    Token(Vec<u8>),
}

impl Credentials {
    /// From the headers of a call; `None` when there are none that we know.
    pub(super) fn of(headers: &MetadataMap) -> Option<Self> {
        // Clients of the older handshake send the token that they were given in a header of its own.
        if let Some(token) = headers.get_bin("auth-token-bin").and_then(|v| v.to_bytes().ok()) {
            return Some(Self::Token(token.to_vec())).filter(Self::short);
        }
        let (scheme, value) = headers.get("authorization")?.to_str().ok()?.split_once(' ')?;
        let found = match scheme.to_ascii_lowercase().as_str() {
            "bearer" => Self::Token(value.trim().as_bytes().to_vec()),
            "basic" => {
                let plain = BASE64_STANDARD.decode(value.trim()).ok()?;
                let colon = plain.iter().position(|b| *b == b':')?;
                Self::Password { user: String::from_utf8(plain[..colon].to_vec()).ok()?, password: plain[colon + 1..].to_vec() }
            }
            _ => return None,
        };
        Some(found).filter(Self::short)
    }

    /// From the first message of a handshake, where clients without that header write them.
    pub(super) fn of_payload(payload: &[u8]) -> Option<Self> {
        let BasicAuth { username, password } = BasicAuth::decode(payload).ok().filter(|b| !b.username.is_empty())?;
        Some(Self::Password { user: username, password: password.into_bytes() }).filter(Self::short)
    }

    fn short(&self) -> bool {
        match self {
            Self::Password { user, password } => user.len() + password.len() <= SECRET_BYTES_MAX,
            Self::Token(token) => token.len() <= SECRET_BYTES_MAX,
        }
    }

    /// What the caller may see.
    pub(super) async fn access(&self, auth: &dyn SqlAuth) -> Result<Access, Status> {
        let access = match self {
            Self::Password { user, password } => auth.check(user, password).await,
            Self::Token(token) => auth.check_token(token).await,
        };
        access.ok_or_else(|| self.refused())
    }

    /// A token for the calls that follow. Whoever shows a token keeps it.
    pub(super) async fn sign_in(&self, auth: &dyn SqlAuth) -> Result<String, Status> {
        match self {
            Self::Password { user, password } => auth.sign_in(user, password).await.ok_or_else(|| self.refused()),
            Self::Token(token) => {
                auth.check_token(token).await.ok_or_else(|| self.refused())?;
                String::from_utf8(token.clone()).map_err(|_| self.refused())
            }
        }
    }

    fn refused(&self) -> Status {
        Status::unauthenticated(match self {
            Self::Password { .. } => "the name or the password is wrong, or the user may not use SQL",
            Self::Token(_) => "the token is unknown or has expired; sign in again",
        })
    }
}

pub(super) fn missing() -> Status {
    Status::unauthenticated("sign in first: send a name and password, or a token, in the header 'authorization'")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(value: &str) -> MetadataMap {
        let mut out = MetadataMap::new();
        out.insert("authorization", value.parse().unwrap());
        out
    }

    #[test]
    fn headers_are_read_as_the_standards_write_them() {
        let anna = Credentials::Password { user: "anna".into(), password: b"a:b".to_vec() };
        assert_eq!(Credentials::of(&headers("Basic YW5uYTphOmI=")), Some(anna));
        assert_eq!(Credentials::of(&headers("bearer  xyz")), Some(Credentials::Token(b"xyz".to_vec())));
        for wrong in ["Basic !", "Basic YW5uYQ==", "Digest x", "xyz"] {
            assert_eq!(Credentials::of(&headers(wrong)), None, "{wrong}");
        }
        assert_eq!(Credentials::of(&MetadataMap::new()), None);
    }
}
