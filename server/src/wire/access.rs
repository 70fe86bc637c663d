//! The users of `state/users.json` as each door wants to see them.

use crate::access::{Role, User, Users};
use api::access::Principal;
use futures::future::BoxFuture;
use ingest::{Publisher, TopicFilter};
use lakehouse::{Access, SqlAuth};
use schemas::{SourceId, Tenant};
use std::sync::Arc;

/// Users behind MQTT, PostgreSQL, Flight and HTTP.
#[derive(Debug, Clone)]
pub struct Door(pub Arc<Users>);

impl Door {
    /// Checks a password where argon2 may block.
    pub async fn check(&self, name: &str, secret: &[u8]) -> Option<User> {
        let (users, name, secret) = (Arc::clone(&self.0), name.to_owned(), secret.to_vec());
        tokio::task::spawn_blocking(move || users.authenticate(&name, &secret)).await.ok().flatten()
    }
}

/// What the user may publish and subscribe, and as which source its rows are kept.
/// `None` for a user without a tenant: its messages would have no table to go to.
#[must_use]
pub fn publisher(user: &User) -> Option<Publisher> {
    let tenant = Tenant::new(user.tenants.first()?).ok()?;
    let filters = |list: &[String]| list.iter().filter_map(|t| TopicFilter::parse(t)).collect();
    Some(Publisher {
        source: SourceId::new(&format!("mqtt/{}", user.name)).ok()?,
        tenant,
        publish: filters(&user.publish),
        subscribe: filters(&user.subscribe),
        simulated: user.simulated,
    })
}

impl ingest::Access for Door {
    fn authenticate(&self, user: &str, password: &[u8]) -> BoxFuture<'_, Option<Arc<Publisher>>> {
        let (user, password) = (user.to_owned(), password.to_vec());
        Box::pin(async move {
            let user = self.check(&user, &password).await?;
            publisher(&user).map(Arc::new)
        })
    }
}

/// The user as the HTTP surface knows it.
#[must_use]
pub fn principal(user: &User) -> Principal {
    let role = match user.role {
        Role::Admin => api::access::Role::Admin,
        Role::Analyst => api::access::Role::Analyst,
        Role::Viewer => api::access::Role::Viewer,
        Role::Gateway => api::access::Role::Gateway,
    };
    let tenants = tenants(user).map_or(api::access::Tenants::All, api::access::Tenants::Some);
    Principal { name: user.name.clone(), role, tenants }
}

/// What SQL may show to a principal whose role has been checked.
#[must_use]
pub fn reach(principal: &Principal) -> Access {
    match &principal.tenants {
        api::access::Tenants::All => Access::admin(),
        api::access::Tenants::Some(list) => Access::tenants(list.clone()),
    }
}

/// Tenants of a user; `None` means all, which only an admin without a list has.
fn tenants(user: &User) -> Option<Vec<Tenant>> {
    if user.role == Role::Admin && user.tenants.is_empty() {
        return None;
    }
    Some(user.tenants.iter().filter_map(|t| Tenant::new(t).ok()).collect())
}

/// What the user may see by SQL; `None` when its role has none.
fn sql_reach(user: &User) -> Option<Access> {
    matches!(user.role, Role::Admin | Role::Analyst).then(|| reach(&principal(user)))
}

impl SqlAuth for Door {
    fn check(&self, user: &str, password: &[u8]) -> BoxFuture<'_, Option<Access>> {
        let (name, password) = (user.to_owned(), password.to_vec());
        Box::pin(async move { sql_reach(&Door::check(self, &name, &password).await?) })
    }

    fn sign_in(&self, user: &str, password: &[u8]) -> BoxFuture<'_, Option<String>> {
        let (name, password) = (user.to_owned(), password.to_vec());
        Box::pin(async move {
            let user = Door::check(self, &name, &password).await?;
            sql_reach(&user).map(|_| self.0.open_session(&user))
        })
    }

    fn check_token(&self, token: &[u8]) -> BoxFuture<'_, Option<Access>> {
        let access = self.0.by_token(token).as_ref().and_then(sql_reach);
        Box::pin(std::future::ready(access))
    }
}
