//! Our errors as PostgreSQL's: SQLSTATE, place and hint.

use crate::LakehouseError;
use pgwire::error::{ErrorInfo, PgWireError};

/// An error that ends the connection.
pub(super) fn fatal(code: &str, message: &str) -> PgWireError {
    PgWireError::UserError(Box::new(ErrorInfo::new("FATAL".to_owned(), code.to_owned(), message.to_owned())))
}

/// An error of one statement.
pub(super) fn error(code: &str, message: &str) -> PgWireError {
    PgWireError::UserError(Box::new(ErrorInfo::new("ERROR".to_owned(), code.to_owned(), message.to_owned())))
}

/// `text` is the statement as the client sent it, for the place of the error.
pub(super) fn to_postgres(e: &LakehouseError, text: &str) -> PgWireError {
    let mut info = ErrorInfo::new("ERROR".to_owned(), sqlstate(e).to_owned(), e.to_string());
    if let LakehouseError::Sql { line, column, hint, .. } = e {
        info.hint.clone_from(hint);
        info.position = line.zip(*column).and_then(|(l, c)| position(text, l, c)).map(|p| p.to_string());
    }
    if matches!(e, LakehouseError::Cancelled) {
        info.message = "canceling statement due to user request".to_owned();
    }
    PgWireError::UserError(Box::new(info))
}

/// PostgreSQL 16, appendix A.
fn sqlstate(e: &LakehouseError) -> &'static str {
    match e {
        LakehouseError::Sql { message, .. } => {
            let missing = message.ends_with("does not exist");
            match message.split(' ').next() {
                Some("table") if missing => "42P01",
                Some("column") if missing => "42703",
                Some("function") if missing => "42883",
                Some("Expected:" | "Unterminated") => "42601",
                Some("not") => "0A000",
                _ => "42000",
            }
        }
        LakehouseError::NotFound { .. } => "42P01",
        LakehouseError::Forbidden(message) if message.contains("read only") => "25006",
        LakehouseError::Forbidden(_) => "42501",
        LakehouseError::Limit(message) if message.contains("longer than") => "57014",
        LakehouseError::Limit(message) if message.contains("memory") => "53200",
        LakehouseError::Limit(_) => "54000",
        LakehouseError::Cancelled => "57014",
        LakehouseError::Closed => "57P01",
        LakehouseError::Io { .. } | LakehouseError::ObjectStore { .. } => "58030",
        LakehouseError::Corrupt { .. } => "XX001",
        _ => "XX000",
    }
}

/// Characters from the start of the text, counting from 1.
fn position(text: &str, line: u64, column: u64) -> Option<usize> {
    let before: usize = text.split('\n').take(usize::try_from(line).ok()?.checked_sub(1)?).map(|l| l.chars().count() + 1).sum();
    Some(before + usize::try_from(column).ok()?)
}

#[cfg(test)]
mod tests {
    use super::position;

    #[test]
    fn places_count_characters_across_lines() {
        assert_eq!(position("SELECT è\nFROM nowhere", 2, 6), Some(15));
        assert_eq!(position("SELECT 1", 1, 8), Some(8));
        assert_eq!(position("x", 0, 1), None);
    }
}
