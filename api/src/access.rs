//! Who may do what: the one place where roles, tenants and classifications are decided (API-1).

use crate::error::ApiError;
use schemas::{Classification, TableRef, Tenant};
use std::collections::BTreeSet;

/// What a signed-in user, a device or nobody may do. Ordered by nothing: each right is listed in [`Principal::may`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything, in the tenants listed.
    Admin,
    /// Reads everything and writes SQL queries.
    Analyst,
    /// Reads the twin.
    Viewer,
    /// A machine that sends data; reads nothing but what is public.
    Gateway,
    /// Nobody in particular: what is declared public.
    Public,
}

/// The tenants whose rows a principal may touch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tenants {
    All,
    Some(Vec<Tenant>),
}

impl Tenants {
    #[must_use]
    pub fn contains(&self, tenant: &Tenant) -> bool {
        match self {
            Self::All => true,
            Self::Some(list) => list.contains(tenant),
        }
    }
}

/// Who makes a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    pub name: String,
    pub role: Role,
    pub tenants: Tenants,
}

impl Principal {
    /// The principal of a request without credentials.
    #[must_use]
    pub fn public() -> Self {
        Self { name: "public".into(), role: Role::Public, tenants: Tenants::Some(Vec::new()) }
    }
}

/// Something that needs a right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    ReadTwin,
    Sql,
    Ingest,
    ReadLedger,
    ReadStatus,
    ReadMetrics,
    ReadQuarantine,
    /// Accepting mappings, replaying, editing the register, commanding signals.
    Operate,
}

impl Action {
    const fn phrase(self) -> (&'static str, &'static str) {
        match self {
            Self::ReadTwin => ("reading the twin", "viewer, analyst or admin, or a product declared public"),
            Self::Sql => ("SQL", "analyst or admin"),
            Self::Ingest => ("sending data", "gateway or admin"),
            Self::ReadLedger => ("the ledger", "analyst or admin"),
            Self::ReadStatus => ("the status", "analyst or admin"),
            Self::ReadMetrics => ("the metrics", "admin"),
            Self::ReadQuarantine => ("the quarantine", "analyst or admin"),
            Self::Operate => ("the operator's tools", "admin"),
        }
    }
}

impl Principal {
    /// Whether the role has the right at all; which rows it reaches is decided by [`Self::clearance`].
    #[must_use]
    pub const fn may(&self, action: Action) -> bool {
        match action {
            // What a reader without a role sees is cut down to public products row by row.
            Action::ReadTwin => true,
            Action::Sql | Action::ReadLedger | Action::ReadStatus | Action::ReadQuarantine => {
                matches!(self.role, Role::Admin | Role::Analyst)
            }
            Action::Ingest => matches!(self.role, Role::Admin | Role::Gateway),
            Action::ReadMetrics | Action::Operate => matches!(self.role, Role::Admin),
        }
    }

    /// `Unauthenticated` for nobody, `Forbidden` for somebody with another role.
    pub fn require(&self, action: Action) -> Result<(), ApiError> {
        if self.may(action) {
            return Ok(());
        }
        let (what, roles) = action.phrase();
        Err(match self.role {
            Role::Public => ApiError::unauthenticated(&format!("{what} needs a sign-in"), &format!("sign in as {roles}")),
            _ => ApiError::forbidden(&format!("user '{}' may not use {what}", self.name), &format!("ask for the role {roles}")),
        })
    }

    /// The most protected class of field that the principal may read in a table; `None` when the table is not visible at all.
    /// Personal fields are read by nobody through this interface: they need a register entry.
    #[must_use]
    pub fn clearance(&self, table: &TableRef, public: &BTreeSet<TableRef>) -> Option<Classification> {
        let staff = matches!(self.role, Role::Admin | Role::Analyst | Role::Viewer);
        if staff && self.tenants.contains(&table.tenant) {
            return Some(Classification::Internal);
        }
        public.contains(table).then_some(Classification::Open)
    }
}

/// Whether a field of class `class` is covered by a clearance.
#[must_use]
pub const fn covers(clearance: Classification, class: Classification) -> bool {
    match class {
        Classification::Open => true,
        Classification::Internal => matches!(clearance, Classification::Internal | Classification::Personal),
        Classification::Personal => matches!(clearance, Classification::Personal),
    }
}

#[cfg(test)]
mod tests;
