//! What can go wrong at the HTTP door.

use schemas::{Classified, Kind, RetryHint};

/// An error of the API or of the parts behind the port. Messages name the thing, the rule and the fix.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ApiError {
    /// A query or path parameter, or a field of the body, breaks a rule.
    #[error("{place} '{name}': {rule}")]
    Parameter { place: &'static str, name: String, rule: String, hint: Option<String> },
    /// The body is longer than the door allows, before or after decompression.
    #[error("the body is longer than {bytes_max} bytes")]
    TooLarge { bytes_max: usize },
    /// The body, or the answer asked for, is of a type that the door does not know.
    #[error("media type '{got}' is not accepted here")]
    MediaType { got: String, accepted: &'static str },
    /// The address exists, but not for this method.
    #[error("method {0} is not for this address")]
    Method(String),
    /// Anything else, classified.
    #[error("{}", .0.detail)]
    Failed(Box<Failure>),
}

/// A classified failure, most often told by a part behind [`crate::City`].
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    pub kind: Kind,
    pub detail: String,
    pub hint: Option<String>,
    /// 1-based place in the SQL text.
    pub place: Option<(u32, u32)>,
    pub retry: RetryHint,
}

impl ApiError {
    /// A failure of a kind, with that kind's usual retry hint.
    #[must_use]
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        let retry = match kind {
            Kind::Unavailable | Kind::Limit => RetryHint::AfterMillis(1_000),
            _ => RetryHint::Never,
        };
        Self::Failed(Box::new(Failure { kind, detail: detail.into(), hint: None, place: None, retry }))
    }

    /// From the error of another crate: its kind, its retry hint and its text.
    #[must_use]
    pub fn of(error: &dyn Classified) -> Self {
        let mut detail = error.to_string();
        let mut cause = error.source();
        while let Some(inner) = cause {
            let text = inner.to_string();
            if !detail.contains(&text) {
                detail.push_str(": ");
                detail.push_str(&text);
            }
            cause = inner.source();
        }
        Self::new(error.kind(), detail).with_retry(error.retry_hint())
    }

    #[must_use]
    pub fn with_hint(mut self, text: impl Into<String>) -> Self {
        match &mut self {
            Self::Failed(f) => f.hint = Some(text.into()),
            Self::Parameter { hint, .. } => *hint = Some(text.into()),
            Self::TooLarge { .. } | Self::MediaType { .. } | Self::Method(_) => {}
        }
        self
    }

    #[must_use]
    pub fn with_retry(mut self, retry: RetryHint) -> Self {
        if let Self::Failed(f) = &mut self {
            f.retry = retry;
        }
        self
    }

    /// The 1-based line and column of the SQL text that is to blame.
    #[must_use]
    pub fn at(mut self, line: u32, column: u32) -> Self {
        if let Self::Failed(f) = &mut self {
            f.place = Some((line, column));
        }
        self
    }

    #[must_use]
    pub fn query(name: &str, rule: impl Into<String>) -> Self {
        Self::Parameter { place: "parameter", name: name.to_owned(), rule: rule.into(), hint: None }
    }

    #[must_use]
    pub fn body(name: &str, rule: impl Into<String>) -> Self {
        Self::Parameter { place: "body", name: name.to_owned(), rule: rule.into(), hint: None }
    }

    #[must_use]
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, detail)
    }

    #[must_use]
    pub fn unauthenticated(detail: &str, hint: &str) -> Self {
        Self::new(Kind::Unauthenticated, detail).with_hint(hint)
    }

    #[must_use]
    pub fn forbidden(detail: &str, hint: &str) -> Self {
        Self::new(Kind::Forbidden, detail).with_hint(hint)
    }

    /// A defect of ours, or of a part behind the port. The text goes to the log, not to the caller.
    #[must_use]
    pub fn internal(detail: impl Into<String>) -> Self {
        Self::new(Kind::Internal, detail)
    }
}

impl Classified for ApiError {
    fn kind(&self) -> Kind {
        match self {
            Self::Parameter { .. } | Self::MediaType { .. } | Self::Method(_) => Kind::Invalid,
            Self::TooLarge { .. } => Kind::Limit,
            Self::Failed(f) => f.kind,
        }
    }

    fn retry_hint(&self) -> RetryHint {
        match self {
            Self::Failed(f) => f.retry,
            _ => RetryHint::Never,
        }
    }
}

/// The known name nearest to a misspelt one, when it is near enough to be a slip (Jaro-Winkler 0.8).
#[must_use]
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let scored = known.into_iter().map(|k| (strsim::jaro_winkler(name, k), k));
    scored.filter(|(score, _)| *score >= 0.8).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, k)| k)
}
