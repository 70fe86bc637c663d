//! The file of users and tokens. Secrets are in it only as hashes.

use super::{AccessError, Role, hash_password, password, random_secret};
use std::{io::Write as _, path::Path};

/// A person, a program or a gateway.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct User {
    pub name: String,
    pub role: Role,
    /// Argon2id in PHC form.
    pub password: String,
    /// Tenants that the user may see; empty means all, and only an admin may have it empty.
    #[serde(default)]
    pub tenants: Vec<String>,
    /// MQTT topic filters that a gateway may publish to.
    #[serde(default)]
    pub publish: Vec<String>,
    /// MQTT topic filters that the user may subscribe to.
    #[serde(default)]
    pub subscribe: Vec<String>,
    /// What this source sends is made up; every row says so.
    #[serde(default)]
    pub simulated: bool,
    #[serde(default)]
    pub disabled: bool,
}

/// A revocable secret for a program.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Token {
    pub id: String,
    pub user: String,
    /// SHA-256 of the secret, hexadecimal. The secret has 160 random bits, so no slow hash is needed.
    pub digest: String,
    /// Microseconds since 1970, UTC.
    pub created: i64,
    #[serde(default)]
    pub expires: Option<i64>,
}

/// The whole file.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct UserFile {
    pub version: u32,
    pub users: Vec<User>,
    #[serde(default)]
    pub tokens: Vec<Token>,
}

const PASSWORD_LEN_MIN: usize = 12;

impl UserFile {
    pub fn read(path: &Path) -> Result<Self, AccessError> {
        match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|e| AccessError::Damaged { path: path.display().to_string(), message: e.to_string() }),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Self { version: 1, ..Self::default() }),
            Err(source) => Err(AccessError::Io { path: path.display().to_string(), source }),
        }
    }

    /// Writes beside and renames over, readable by the owner only.
    pub fn write(&self, path: &Path) -> Result<(), AccessError> {
        let io = |source| AccessError::Io { path: path.display().to_string(), source };
        let dir = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(dir).map_err(io)?;
        let beside = path.with_extension("json.new");
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut out = options.open(&beside).map_err(io)?;
        let text = serde_json::to_vec_pretty(self).map_err(|e| io(std::io::Error::other(e)))?;
        out.write_all(&text).and_then(|()| out.sync_all()).map_err(io)?;
        std::fs::rename(&beside, path).map_err(io)?;
        std::fs::File::open(dir).and_then(|d| d.sync_all()).map_err(io)
    }

    /// Adds a user whose `password` field still holds the plain text.
    pub fn add(&mut self, mut user: User) -> Result<(), AccessError> {
        if self.users.iter().any(|u| u.name == user.name) {
            return Err(AccessError::Exists(user.name));
        }
        if user.password.chars().count() < PASSWORD_LEN_MIN {
            return Err(AccessError::Weak);
        }
        user.password = hash_password(&user.password);
        self.users.push(user);
        Ok(())
    }

    pub fn set_password(&mut self, name: &str, plain: &str) -> Result<(), AccessError> {
        if plain.chars().count() < PASSWORD_LEN_MIN {
            return Err(AccessError::Weak);
        }
        let user = self.users.iter_mut().find(|u| u.name == name).ok_or_else(|| AccessError::Unknown(name.to_owned()))?;
        user.password = hash_password(plain);
        Ok(())
    }

    pub fn remove(&mut self, name: &str) -> Result<(), AccessError> {
        let before = self.users.len();
        self.users.retain(|u| u.name != name);
        self.tokens.retain(|t| t.user != name);
        if self.users.len() == before { Err(AccessError::Unknown(name.to_owned())) } else { Ok(()) }
    }

    /// A new token for `user`; the secret is returned once and never stored.
    pub fn issue_token(&mut self, user: &str, now: i64, expires: Option<i64>) -> Result<String, AccessError> {
        if !self.users.iter().any(|u| u.name == user) {
            return Err(AccessError::Unknown(user.to_owned()));
        }
        let secret = format!("ptk_{}", random_secret());
        let digest = password::hex(&password::digest(&[secret.as_bytes()]));
        self.tokens.push(Token { id: digest[..12].to_owned(), user: user.to_owned(), digest, created: now, expires });
        Ok(secret)
    }

    /// Whether there was such a token.
    pub fn revoke_token(&mut self, id: &str) -> bool {
        let before = self.tokens.len();
        self.tokens.retain(|t| t.id != id);
        self.tokens.len() != before
    }
}
