//! Our errors as gRPC's: the code by kind, and the text that the HTTP door gives, place and hint included.

use crate::LakehouseError;
use schemas::{Classified, Kind};
use tonic::{Code, Status};

/// The text travels in a header, and clients limit those.
const TEXT_BYTES_MAX: usize = 4_096;

pub(super) fn to_status(e: &LakehouseError) -> Status {
    if e.kind() == Kind::Internal {
        tracing::error!(error = %e, "flight: a statement failed by a defect of ours");
        return Status::internal("internal error; the server's log says more");
    }
    Status::new(code(e), cut(text(e)))
}

/// Anything else that is wrong with a call.
pub(super) fn invalid(text: impl Into<String>) -> Status {
    Status::invalid_argument(text)
}

fn text(e: &LakehouseError) -> String {
    let mut out = e.to_string();
    if let LakehouseError::Sql { line, column, hint, .. } = e {
        if let Some((line, column)) = line.zip(*column) {
            out += &format!(" (line {line}, column {column})");
        }
        if let Some(hint) = hint {
            out += "; ";
            out += hint;
        }
    }
    out
}

fn cut(mut text: String) -> String {
    if text.len() > TEXT_BYTES_MAX {
        let end = (0..=TEXT_BYTES_MAX).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

fn code(e: &LakehouseError) -> Code {
    match e.kind() {
        Kind::Invalid => Code::InvalidArgument,
        Kind::NotFound => Code::NotFound,
        Kind::Unauthenticated => Code::Unauthenticated,
        Kind::Forbidden => Code::PermissionDenied,
        Kind::Conflict => Code::FailedPrecondition,
        Kind::Limit if matches!(e, LakehouseError::Limit(m) if m.contains("longer than")) => Code::DeadlineExceeded,
        Kind::Limit => Code::ResourceExhausted,
        Kind::Cancelled => Code::Cancelled,
        Kind::Unavailable => Code::Unavailable,
        Kind::Corrupt => Code::DataLoss,
        Kind::Internal => Code::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_keeps_its_place_and_its_hint() {
        let e = LakehouseError::Sql {
            message: "column 'no3' does not exist".into(),
            line: Some(2),
            column: Some(8),
            hint: Some("did you mean 'no2'?".into()),
        };
        let status = to_status(&e);
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(status.message(), "column 'no3' does not exist (line 2, column 8); did you mean 'no2'?");
        let long = to_status(&LakehouseError::Forbidden("è".repeat(TEXT_BYTES_MAX)));
        assert!(long.message().len() < TEXT_BYTES_MAX + 4);
    }

    #[test]
    fn a_defect_is_not_described_to_the_caller() {
        assert!(!to_status(&LakehouseError::Internal("secret".into())).message().contains("secret"));
    }
}
