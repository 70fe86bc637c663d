//! The access port of the SQL doors: who may ask, and what they may see.

use crate::Access;
use futures::future::BoxFuture;

/// Checks names, passwords and tokens. One implementation serves every door, so that nobody can do at one what is
/// refused at another.
pub trait SqlAuth: Send + Sync + 'static {
    /// `None` when the password is wrong, the user is unknown, or may not use SQL.
    fn check(&self, user: &str, password: &[u8]) -> BoxFuture<'_, Option<Access>>;

    /// A random token that stands for user and password until it expires; `None` as for [`SqlAuth::check`].
    fn sign_in(&self, user: &str, password: &[u8]) -> BoxFuture<'_, Option<String>>;

    /// What the owner of a token may see; `None` when it is unknown, expired or revoked.
    fn check_token(&self, token: &[u8]) -> BoxFuture<'_, Option<Access>>;
}
