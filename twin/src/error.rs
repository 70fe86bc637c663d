//! What can go wrong in the twin.

use schemas::{Classified, Kind, TableRef};

/// Every failure of this crate.
#[derive(Debug, thiserror::Error)]
pub enum TwinError {
    #[error("rows of {table}: column '{column}' is missing or is not {expected}; build them with the schema of the contract")]
    Schema { table: TableRef, column: String, expected: &'static str },
    #[error("product '{0}' has no contract; add one or correct the name")]
    UnknownProduct(String),
    #[error("product '{product}' has no field '{field}'; it has {has}")]
    UnknownField { product: String, field: String, has: String },
    #[error("{what} {value} is not valid: {rule}")]
    Request { what: &'static str, value: String, rule: &'static str },
    #[error("saved twin is damaged at {at}: {rule}; rebuild it from the tables")]
    Corrupt { at: &'static str, rule: &'static str },
    #[error("saved twin of {table} does not fit its contract: {rule}; rebuild it from the tables")]
    Incompatible { table: TableRef, rule: String },
    #[error("reading or writing a saved twin")]
    Io(#[from] std::io::Error),
}

impl Classified for TwinError {
    fn kind(&self) -> Kind {
        match self {
            Self::Schema { .. } => Kind::Internal,
            Self::UnknownProduct(_) => Kind::NotFound,
            Self::UnknownField { .. } | Self::Request { .. } => Kind::Invalid,
            Self::Corrupt { .. } | Self::Incompatible { .. } => Kind::Corrupt,
            Self::Io(_) => Kind::Unavailable,
        }
    }
}
