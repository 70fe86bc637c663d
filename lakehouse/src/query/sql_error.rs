//! From DataFusion's errors to ours: the place in the text, a plain message, and the nearest name.

use super::session::Session;
use crate::LakehouseError;
use datafusion::{
    common::{Diagnostic, SchemaError},
    error::DataFusionError,
};
use std::sync::Arc;

/// Names farther than this from what was written are not suggested; 1 is equal.
const LIKENESS_MIN: f64 = 0.7;

/// What the caller is told. `session` lends the names that the caller may see.
pub(crate) fn from_datafusion(e: DataFusionError, session: Option<&Session>) -> LakehouseError {
    let place = e.diagnostic().and_then(place_of);
    let mut own = describe(&e, session);
    if let (LakehouseError::Sql { line, column, .. }, Some(place)) = (&mut own, place) {
        *line = Some(place.0);
        *column = Some(place.1);
    }
    own
}

fn place_of(d: &Diagnostic) -> Option<(u64, u64)> {
    d.span.map(|s| (s.start.line, s.start.column)).filter(|p| p.0 > 0)
}

fn describe(e: &DataFusionError, session: Option<&Session>) -> LakehouseError {
    match e {
        DataFusionError::Diagnostic(_, inner) | DataFusionError::Context(_, inner) => describe(inner, session),
        DataFusionError::Shared(inner) => describe(inner, session),
        DataFusionError::Collection(list) => list.first().map_or_else(|| internal(e), |first| describe(first, session)),
        DataFusionError::External(inner) => match inner.downcast_ref::<LakehouseError>() {
            Some(own) => own.clone(),
            None => match inner.downcast_ref::<DataFusionError>() {
                Some(nested) => describe(nested, session),
                None => internal(e),
            },
        },
        DataFusionError::SQL(parser, _) => super::parse::parse_error((**parser).clone()),
        DataFusionError::ResourcesExhausted(text) => {
            LakehouseError::Limit(format!("the statement needs more memory than it may use: {}", first_line(text)))
        }
        DataFusionError::SchemaError(schema, _) => schema_error(schema),
        DataFusionError::Plan(text) => plan_error(text, session),
        DataFusionError::NotImplemented(text) => sql(format!("not supported: {}", first_line(text)), None),
        DataFusionError::Execution(text) | DataFusionError::Configuration(text) => sql(first_line(text), None),
        DataFusionError::ArrowError(arrow, _) => sql(arrow.to_string(), None),
        DataFusionError::ObjectStore(store) => match &**store {
            object_store::Error::NotFound { path, .. } => LakehouseError::NotFound {
                what: "file",
                name: path.clone(),
                hint: "; it was vacuumed, and this version of the table can no longer be read".to_owned(),
            },
            other => LakehouseError::ObjectStore {
                doing: "reading a table".to_owned(),
                source: Arc::new(object_store::Error::Generic { store: "lakehouse", source: other.to_string().into() }),
            },
        },
        DataFusionError::ParquetError(parquet) => LakehouseError::Parquet {
            doing: "reading a table".to_owned(),
            source: Arc::new(parquet::errors::ParquetError::General(parquet.to_string())),
        },
        DataFusionError::ExecutionJoin(_) => LakehouseError::Cancelled,
        _ => internal(e),
    }
}

fn schema_error(e: &SchemaError) -> LakehouseError {
    match e {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let hint = nearest(&field.name, valid_fields.iter().map(|c| c.name.as_str()));
            let names: Vec<_> = valid_fields.iter().take(40).map(|c| c.name.as_str()).collect();
            let hint = hint
                .map(|h| format!("did you mean '{h}'?"))
                .or_else(|| (!names.is_empty()).then(|| format!("columns here: {}", names.join(", "))));
            sql(format!("column '{}' does not exist", field.flat_name()), hint)
        }
        SchemaError::AmbiguousReference { field } => {
            sql(format!("column '{}' is in more than one table; write the table in front of it", field.name), None)
        }
        other => sql(other.to_string(), None),
    }
}

fn plan_error(text: &str, session: Option<&Session>) -> LakehouseError {
    if let Some(name) = text.strip_prefix("table '").and_then(|t| t.split_once("' not found")).map(|(name, _)| name) {
        return no_table(name, session);
    }
    if let Some(rest) = text.strip_prefix("Invalid function '") {
        let name = rest.split('\'').next().unwrap_or_default();
        let hint = session
            .and_then(|s| {
                let all =
                    s.state.scalar_functions().keys().chain(s.state.aggregate_functions().keys()).chain(s.state.window_functions().keys());
                nearest(name, all.map(String::as_str))
            })
            .map(|h| format!("did you mean '{h}'?"));
        return sql(format!("function '{name}' does not exist"), hint);
    }
    sql(first_line(text), None)
}

/// `name` is `portico.schema.table`; the table may carry an `AS OF` suffix.
fn no_table(name: &str, session: Option<&Session>) -> LakehouseError {
    let short = name.strip_prefix("portico.").unwrap_or(name);
    let short = short.split_once(super::parse::AT).map_or(short, |(base, _)| base);
    let hint = session.and_then(|s| {
        let all: Vec<String> = s
            .door
            .schemas(&s.views)
            .into_iter()
            .flat_map(|schema| s.door.tables(&s.views, &schema).into_iter().map(move |t| format!("{schema}.{t}")))
            .collect();
        nearest(short, all.iter().map(String::as_str))
            .map(|near| format!("did you mean '{}'?", near.strip_prefix(&format!("{}.", s.default_schema)).unwrap_or(near)))
            .or_else(|| (!all.is_empty()).then(|| format!("tables here: {}", all[..all.len().min(40)].join(", "))))
    });
    sql(format!("table '{short}' does not exist"), hint)
}

fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    names
        .map(|n| (strsim::normalized_damerau_levenshtein(wanted, n), n))
        .filter(|(likeness, n)| *likeness >= LIKENESS_MIN && *n != wanted)
        .max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(a.1)))
        .map(|(_, n)| n)
}

fn sql(message: String, hint: Option<String>) -> LakehouseError {
    LakehouseError::Sql { message, line: None, column: None, hint }
}

/// The first line: what follows is advice to the authors of the engine.
fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim().to_owned()
}

fn internal(e: &DataFusionError) -> LakehouseError {
    LakehouseError::Internal(first_line(&e.message()))
}
