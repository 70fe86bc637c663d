//! What every error of every crate can say about itself: its kind, and whether trying again can help.

/// The broad class of a failure. HTTP statuses, PostgreSQL SQLSTATEs and exit codes are each chosen once, from this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The caller sent something that can never be accepted as it is.
    Invalid,
    /// The named thing does not exist, or the caller may not know that it does.
    NotFound,
    /// The caller is not who it must be.
    Unauthenticated,
    /// The caller is known and may not do this.
    Forbidden,
    /// The request contradicts what is already stored.
    Conflict,
    /// A declared limit was reached: size, depth, rate, time or memory.
    Limit,
    /// The caller, or the operator, stopped it.
    Cancelled,
    /// Something outside (disk, object store, broker) does not answer for now.
    Unavailable,
    /// Stored bytes are not what was written.
    Corrupt,
    /// A defect of ours.
    Internal,
}

/// Whether the same request can succeed later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryHint {
    /// The same request fails again; change it first.
    Never,
    /// The same request may succeed after this many milliseconds.
    AfterMillis(u32),
}

/// Implemented by each crate's error type.
pub trait Classified: std::error::Error {
    fn kind(&self) -> Kind;

    fn retry_hint(&self) -> RetryHint {
        match self.kind() {
            Kind::Unavailable | Kind::Limit => RetryHint::AfterMillis(1_000),
            _ => RetryHint::Never,
        }
    }
}

impl Kind {
    /// Stable name for logs, metrics and API bodies.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::NotFound => "not_found",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::Conflict => "conflict",
            Self::Limit => "limit",
            Self::Cancelled => "cancelled",
            Self::Unavailable => "unavailable",
            Self::Corrupt => "corrupt",
            Self::Internal => "internal",
        }
    }
}
