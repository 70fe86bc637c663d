//! Why the pipeline refuses as a whole. What is wrong with one message is a [`crate::decode::Reject`], not an error.

use schemas::{Classified, Kind, RetryHint};

/// What the log answers when it cannot take a frame.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct SinkError {
    pub kind: Kind,
    pub message: String,
}

impl SinkError {
    #[must_use]
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

impl Classified for SinkError {
    fn kind(&self) -> Kind {
        self.kind
    }
}

/// Errors of the crate. Cloneable because every group of one frame gets the same answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum IngestError {
    #[error("the log did not take the messages: {0}; they were not stored, send them again")]
    Sink(#[from] SinkError),
    #[error("ingest is stopping; send the messages again later")]
    Stopped,
    #[error("{place}: {rule}")]
    Config { place: String, rule: String },
    #[error("product '{0}' has no contract here{hint}", hint = .1.as_ref().map(|s| format!("; did you mean '{s}'?")).unwrap_or_default())]
    UnknownProduct(String, Option<String>),
    #[error("{what} is {value}, the limit is {limit}; {fix}")]
    Limit { what: &'static str, value: u64, limit: u64, fix: &'static str },
    #[error("{0}")]
    Invalid(String),
    #[error("{0}")]
    Forbidden(String),
    #[error("{what}: {message}")]
    Unavailable { what: String, message: String },
    #[error("defect: {0}")]
    Internal(String),
}

impl Classified for IngestError {
    fn kind(&self) -> Kind {
        match self {
            Self::Sink(e) => e.kind,
            Self::Stopped | Self::Unavailable { .. } => Kind::Unavailable,
            Self::Config { .. } | Self::Invalid(_) => Kind::Invalid,
            Self::UnknownProduct(..) => Kind::NotFound,
            Self::Limit { .. } => Kind::Limit,
            Self::Forbidden(_) => Kind::Forbidden,
            Self::Internal(_) => Kind::Internal,
        }
    }

    fn retry_hint(&self) -> RetryHint {
        match self {
            Self::Limit { .. } => RetryHint::Never,
            _ => match self.kind() {
                Kind::Unavailable | Kind::Limit => RetryHint::AfterMillis(1_000),
                _ => RetryHint::Never,
            },
        }
    }
}
