//! Who may come in: users with a role, passwords with argon2, and revocable tokens.
//!
//! One small file, `state/users.json`, replaced as a whole; a running server sees a change within a second.

mod file;
mod password;

pub use file::{User, UserFile};
pub use password::{hash_password, random_secret};

use parking_lot::{Mutex, RwLock};
use schemas::{Clock, Timestamp};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

/// What a user may do. Each role may do what the ones after it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Admin,
    Analyst,
    Viewer,
    Gateway,
}

/// Why the users cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    #[error("cannot read or write {path}: {source}")]
    Io { path: String, source: std::io::Error },
    #[error("{path} is damaged: {message}; restore it from a backup")]
    Damaged { path: String, message: String },
    #[error("user '{0}' exists already")]
    Exists(String),
    #[error("there is no user '{0}'")]
    Unknown(String),
    #[error("a password needs 12 characters or more")]
    Weak,
}

const SESSION_HOURS: i64 = 12;
const SESSIONS_MAX: usize = 10_000;
const VERIFIED_MAX: usize = 10_000;
const RELOAD_US: i64 = 1_000_000;

/// The users of a running server.
#[derive(Debug)]
pub struct Users {
    path: PathBuf,
    clock: Arc<dyn Clock>,
    state: RwLock<Loaded>,
    sessions: Mutex<HashMap<[u8; 32], (String, Timestamp)>>,
    /// Digests of passwords that argon2 accepted: it costs 20 ms by design, and a gateway reconnects often.
    verified: Mutex<HashMap<[u8; 32], ()>>,
    salt: [u8; 32],
}

#[derive(Debug)]
struct Loaded {
    users: UserFile,
    modified: Option<std::time::SystemTime>,
    checked: Timestamp,
}

impl Users {
    /// Opens `state/users.json`; an absent file is an installation without users.
    pub fn open(state_dir: &Path, clock: Arc<dyn Clock>) -> Result<Self, AccessError> {
        let path = state_dir.join("users.json");
        let users = UserFile::read(&path)?;
        let loaded = Loaded { users, modified: modified(&path), checked: clock.now() };
        let mut salt = [0; 32];
        rand::fill(&mut salt);
        Ok(Self { path, clock, state: RwLock::new(loaded), sessions: Mutex::default(), verified: Mutex::default(), salt })
    }

    /// The user, if the name exists, is not disabled and the password or token is right.
    /// Runs argon2 on first sight of a password: call it where blocking is allowed.
    #[must_use]
    pub fn authenticate(&self, name: &str, secret: &[u8]) -> Option<User> {
        self.reload_if_changed();
        let user = self.state.read().users.users.iter().find(|u| u.name == name && !u.disabled).cloned();
        if let Some(by_token) = self.by_token(secret) {
            return (by_token.name == name).then_some(by_token);
        }
        let Some(user) = user else {
            // The same work for an unknown name, so that time does not tell which names exist.
            password::verify_password(password::UNKNOWN_USER_HASH, secret);
            return None;
        };
        let key = password::digest(&[&self.salt, user.password.as_bytes(), secret]);
        if self.verified.lock().contains_key(&key) {
            return Some(user);
        }
        password::verify_password(&user.password, secret).then(|| {
            let mut verified = self.verified.lock();
            if verified.len() >= VERIFIED_MAX {
                verified.clear();
            }
            verified.insert(key, ());
            user
        })
    }

    /// The owner of an API token or of a session.
    #[must_use]
    pub fn by_token(&self, secret: &[u8]) -> Option<User> {
        let digest = password::digest(&[secret]);
        let now = self.clock.now();
        let session = self.sessions.lock().get(&digest).filter(|s| s.1 > now).map(|s| s.0.clone());
        self.reload_if_changed();
        let state = self.state.read();
        let text = password::hex(&digest);
        let name = session.or_else(|| {
            state.users.tokens.iter().find(|t| t.digest == text && t.expires.is_none_or(|e| e > now.0)).map(|t| t.user.clone())
        })?;
        state.users.users.iter().find(|u| u.name == name && !u.disabled).cloned()
    }

    /// A new session for somebody who has just been authenticated; lasts 12 hours.
    #[must_use]
    pub fn open_session(&self, user: &User) -> String {
        let secret = random_secret();
        let now = self.clock.now();
        let mut sessions = self.sessions.lock();
        if sessions.len() >= SESSIONS_MAX {
            sessions.retain(|_, s| s.1 > now);
            // Clients that sign in for each connection would fill it: the one that ends first gives way.
            if sessions.len() >= SESSIONS_MAX
                && let Some(oldest) = sessions.iter().min_by_key(|s| s.1.1).map(|s| *s.0)
            {
                sessions.remove(&oldest);
            }
        }
        let expires = Timestamp(now.0 + SESSION_HOURS * schemas::time::HOUR_US);
        sessions.insert(password::digest(&[secret.as_bytes()]), (user.name.clone(), expires));
        secret
    }

    pub fn close_session(&self, secret: &str) {
        self.sessions.lock().remove(&password::digest(&[secret.as_bytes()]));
    }

    /// A user who has already been authenticated.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<User> {
        self.state.read().users.users.iter().find(|u| u.name == name && !u.disabled).cloned()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.state.read().users.users.is_empty()
    }

    /// Changes the file on disk and what this process knows, or neither.
    pub fn change<T>(&self, edit: impl FnOnce(&mut UserFile) -> Result<T, AccessError>) -> Result<T, AccessError> {
        let mut state = self.state.write();
        let mut users = UserFile::read(&self.path)?;
        let out = edit(&mut users)?;
        users.write(&self.path)?;
        *state = Loaded { users, modified: modified(&self.path), checked: self.clock.now() };
        self.verified.lock().clear();
        Ok(out)
    }

    fn reload_if_changed(&self) {
        let now = self.clock.now();
        if now.0 - self.state.read().checked.0 < RELOAD_US {
            return;
        }
        let mut state = self.state.write();
        state.checked = now;
        let on_disk = modified(&self.path);
        if on_disk == state.modified {
            return;
        }
        match UserFile::read(&self.path) {
            Ok(users) => {
                (state.users, state.modified) = (users, on_disk);
                self.verified.lock().clear();
            }
            Err(error) => tracing::warn!(%error, "users not reloaded, the earlier ones stay in force"),
        }
    }
}

fn modified(path: &Path) -> Option<std::time::SystemTime> {
    std::fs::metadata(path).and_then(|m| m.modified()).ok()
}

#[cfg(test)]
mod tests;
