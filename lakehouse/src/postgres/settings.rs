//! Statements about the connection itself: transactions, `SET` and `SHOW`. Everything is read only, so a transaction
//! promises nothing beyond what each statement has anyway: one consistent pin.

use super::{errors::error, startup::Connection};
use crate::query::setting;
use datafusion::sql::sqlparser::ast::{Expr, Set, Statement, Value};
use pgwire::{
    api::{
        Type,
        results::{DataRowEncoder, FieldFormat, FieldInfo, QueryResponse, Response, Tag},
    },
    error::PgWireResult,
    messages::response::TransactionStatus,
};
use std::{sync::Arc, time::Duration};

/// Whether `answer` will answer it.
pub(super) fn is_setting(statement: &Statement) -> bool {
    matches!(
        statement,
        Statement::StartTransaction { .. }
            | Statement::Commit { .. }
            | Statement::Rollback { .. }
            | Statement::Savepoint { .. }
            | Statement::ReleaseSavepoint { .. }
            | Statement::Set(_)
            | Statement::Reset(_)
            | Statement::Discard { .. }
            | Statement::Deallocate { .. }
            | Statement::ShowVariable { .. }
    )
}

/// The columns of the answer.
pub(super) fn columns(statement: &Statement) -> Vec<FieldInfo> {
    match statement {
        Statement::ShowVariable { variable } => {
            let name = variable.iter().map(|i| i.value.as_str()).collect::<Vec<_>>().join("_").to_lowercase();
            vec![FieldInfo::new(name, None, None, Type::TEXT, FieldFormat::Text)]
        }
        _ => Vec::new(),
    }
}

pub(super) fn answer(connection: &Connection, status: TransactionStatus, statement: &Statement) -> PgWireResult<Response> {
    let failed = status == TransactionStatus::Error;
    Ok(match statement {
        Statement::StartTransaction { .. } => Response::TransactionStart(Tag::new("BEGIN")),
        Statement::Commit { .. } => Response::TransactionEnd(Tag::new(if failed { "ROLLBACK" } else { "COMMIT" })),
        Statement::Rollback { savepoint: None, .. } => Response::TransactionEnd(Tag::new("ROLLBACK")),
        Statement::Rollback { .. } => Response::Execution(Tag::new("ROLLBACK")),
        Statement::Savepoint { .. } => Response::Execution(Tag::new("SAVEPOINT")),
        Statement::ReleaseSavepoint { .. } => Response::Execution(Tag::new("RELEASE")),
        Statement::Discard { .. } => Response::Execution(Tag::new("DISCARD ALL")),
        Statement::Deallocate { .. } => Response::Execution(Tag::new("DEALLOCATE")),
        Statement::Reset(_) => {
            *connection.schema.lock() = None;
            *connection.timeout.lock() = None;
            Response::Execution(Tag::new("RESET"))
        }
        Statement::Set(set) => {
            apply(connection, set)?;
            Response::Execution(Tag::new("SET"))
        }
        Statement::ShowVariable { variable } => {
            let name = variable.iter().map(|i| i.value.to_lowercase()).collect::<Vec<_>>().join("_");
            Response::Query(one_text(columns(statement), &show(connection, &name)?)?)
        }
        other => return Err(error("0A000", &format!("{other} is not supported"))),
    })
}

/// `search_path` and `statement_timeout` have an effect; what clients set at connection time is accepted and ignored.
fn apply(connection: &Connection, set: &Set) -> PgWireResult<()> {
    let Set::SingleAssignment { variable, values, .. } = set else { return Ok(()) };
    let name = variable.to_string().to_lowercase();
    let values: Vec<String> = values.iter().filter_map(text).collect();
    match name.as_str() {
        "search_path" => {
            let known = connection.door().schemas(&connection.door().pin());
            let wanted = values.iter().flat_map(|v| v.split(',')).map(|v| v.trim().trim_matches('"').to_owned());
            *connection.schema.lock() = wanted.into_iter().find(|w| known.contains(w));
        }
        "statement_timeout" => {
            let value = values.first().map_or("0", String::as_str);
            let timeout = duration(value)
                .ok_or_else(|| error("22023", &format!("'{value}' is not a time for statement_timeout; write '5s' or 5000")))?;
            *connection.timeout.lock() = Some(timeout).filter(|t| !t.is_zero());
        }
        _ => {}
    }
    Ok(())
}

fn text(value: &Expr) -> Option<String> {
    match value {
        Expr::Value(v) => match &v.value {
            Value::SingleQuotedString(s) | Value::DoubleQuotedString(s) | Value::Number(s, _) => Some(s.clone()),
            _ => None,
        },
        Expr::Identifier(i) => Some(i.value.clone()),
        _ => None,
    }
}

/// `5000`, `5000ms`, `5s`, `2min`
fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let n: u64 = text[..digits].parse().ok()?;
    let unit = match text[digits..].trim() {
        "" | "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        _ => return None,
    };
    Some(Duration::from_millis(n.checked_mul(unit)?))
}

fn show(connection: &Connection, name: &str) -> PgWireResult<String> {
    Ok(match name {
        "search_path" => connection.schema.lock().clone().unwrap_or_else(|| connection.door().default_schema(&connection.door().pin())),
        "statement_timeout" => connection.timeout.lock().map_or_else(|| "0".to_owned(), |t| format!("{}ms", t.as_millis())),
        "server_version" => concat!("16.6 (Portico ", env!("CARGO_PKG_VERSION"), ")").to_owned(),
        "transaction_isolation" | "transaction_isolation_level" => "read committed".to_owned(),
        "time_zone" => "UTC".to_owned(),
        "transaction_read_only" => "on".to_owned(),
        other => match setting(other) {
            Some(value) => value.to_owned(),
            None => return Err(error("42704", &format!("unrecognized configuration parameter \"{other}\""))),
        },
    })
}

fn one_text(fields: Vec<FieldInfo>, value: &str) -> PgWireResult<QueryResponse> {
    let fields = Arc::new(fields);
    let mut row = DataRowEncoder::new(Arc::clone(&fields));
    row.encode_field(&Some(value))?;
    let row = row.take_row();
    let mut response = QueryResponse::new(fields, futures::stream::iter([Ok(row)]));
    response.set_command_tag("SHOW");
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_have_units() {
        assert_eq!(duration("250"), Some(Duration::from_millis(250)));
        assert_eq!(duration("2min"), Some(Duration::from_secs(120)));
        assert_eq!(duration("5 parsecs"), None);
        assert_eq!(duration("s"), None);
    }
}
