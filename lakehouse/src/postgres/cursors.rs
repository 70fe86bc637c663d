//! `DECLARE`, `FETCH` and `CLOSE`: a statement whose rows the client takes in pieces, as drivers do for large answers.
//!
//! A cursor reads the pin of its declaration, goes forward only, and ends with its transaction unless it was declared
//! `WITH HOLD`. The time limit of a statement counts from its declaration to its last row.

use super::errors::error;
use crate::{LakehouseError, QueryStream};
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use datafusion::sql::sqlparser::ast::{CloseCursor, DeclareType, FetchDirection, Statement, Value, ValueWithSpan};
use futures::{StreamExt, stream, stream::BoxStream};
use parking_lot::Mutex;
use pgwire::error::{PgWireError, PgWireResult};
use std::{collections::HashMap, sync::Arc};
use tokio::sync::OwnedMutexGuard;
use tokio_util::sync::CancellationToken;

/// Open cursors of one connection: each is a running statement.
const CURSORS_MAX: usize = 8;

type Batch = Result<RecordBatch, LakehouseError>;

/// A statement about cursors.
#[derive(Debug, Clone)]
pub(super) enum Command {
    Declare {
        name: String,
        hold: bool,
        query: Arc<Statement>,
    },
    /// `None` is all that is left.
    Fetch {
        name: String,
        count: Option<usize>,
    },
    /// `None` closes all.
    Close {
        name: Option<String>,
    },
}

impl Command {
    /// `None` when the statement is about something else.
    pub(super) fn of(statement: &Statement) -> PgWireResult<Option<Self>> {
        let name = |i: &datafusion::sql::sqlparser::ast::Ident| match i.quote_style {
            Some(_) => i.value.clone(),
            None => i.value.to_lowercase(),
        };
        Ok(Some(match statement {
            Statement::Declare { stmts } => match stmts.as_slice() {
                [one] if one.declare_type == Some(DeclareType::Cursor) => {
                    if one.scroll == Some(true) {
                        return Err(forward_only());
                    }
                    let (Some(first), Some(query)) = (one.names.first(), &one.for_query) else { return Ok(None) };
                    let query = Arc::new(Statement::Query(query.clone()));
                    Self::Declare { name: name(first), hold: one.hold == Some(true), query }
                }
                _ => return Ok(None),
            },
            Statement::Fetch { name: cursor, direction, into: None, .. } => Self::Fetch { name: name(cursor), count: count(direction)? },
            Statement::Close { cursor: CloseCursor::All } => Self::Close { name: None },
            Statement::Close { cursor: CloseCursor::Specific { name: cursor } } => Self::Close { name: Some(name(cursor)) },
            _ => return Ok(None),
        }))
    }
}

fn count(direction: &FetchDirection) -> PgWireResult<Option<usize>> {
    match direction {
        FetchDirection::All | FetchDirection::ForwardAll => Ok(None),
        FetchDirection::Next | FetchDirection::Forward { limit: None } => Ok(Some(1)),
        FetchDirection::Count { limit } | FetchDirection::Forward { limit: Some(limit) } => match limit {
            ValueWithSpan { value: Value::Number(digits, _), .. } => digits.parse().map(Some).map_err(|_| forward_only()),
            _ => Err(forward_only()),
        },
        _ => Err(forward_only()),
    }
}

fn forward_only() -> PgWireError {
    error("0A000", "cursors go forward only: use FETCH [FORWARD] <count> or FETCH ALL")
}

fn unknown(name: &str) -> PgWireError {
    error("34000", &format!("cursor \"{name}\" does not exist"))
}

/// The cursors of one connection.
#[derive(Default)]
pub(super) struct Cursors(Mutex<HashMap<String, Cursor>>);

#[derive(Clone)]
struct Cursor {
    schema: SchemaRef,
    /// The declaration, for the place of an error.
    text: Arc<str>,
    hold: bool,
    rest: Arc<tokio::sync::Mutex<Rest>>,
}

struct Rest {
    /// Asked again after its end, when a client fetches until nothing comes.
    batches: BoxStream<'static, Batch>,
    /// Rows that came with others that were taken.
    begun: Option<RecordBatch>,
}

/// What a `FETCH` answers with.
pub(super) struct Fetched {
    pub(super) schema: SchemaRef,
    pub(super) batches: BoxStream<'static, Batch>,
    pub(super) text: Arc<str>,
}

impl Cursors {
    /// Refused before anything runs.
    pub(super) fn may_open(&self, name: &str) -> PgWireResult<()> {
        let open = self.0.lock();
        if open.contains_key(name) {
            return Err(error("42P03", &format!("cursor \"{name}\" already exists")));
        }
        if open.len() >= CURSORS_MAX {
            return Err(error("53400", &format!("{CURSORS_MAX} cursors are open, the most of one connection; close one")));
        }
        Ok(())
    }

    pub(super) fn open(&self, name: String, hold: bool, result: QueryStream, text: Arc<str>) {
        let rest = Arc::new(tokio::sync::Mutex::new(Rest { batches: result.batches.fuse().boxed(), begun: None }));
        self.0.lock().insert(name, Cursor { schema: result.schema, text, hold, rest });
    }

    pub(super) fn schema(&self, name: &str) -> PgWireResult<SchemaRef> {
        self.0.lock().get(name).map(|c| Arc::clone(&c.schema)).ok_or_else(|| unknown(name))
    }

    /// The next rows, made as the client takes them.
    pub(super) fn fetch(&self, name: &str, count: Option<usize>, cancel: CancellationToken) -> PgWireResult<Fetched> {
        let cursor = self.0.lock().get(name).cloned().ok_or_else(|| unknown(name))?;
        let fetch = Fetch { rest: cursor.rest, guard: None, left: count.unwrap_or(usize::MAX), cancel };
        Ok(Fetched { schema: cursor.schema, text: cursor.text, batches: stream::unfold(fetch, Fetch::next).boxed() })
    }

    pub(super) fn close(&self, name: Option<&str>) -> PgWireResult<()> {
        match name {
            None => self.0.lock().clear(),
            Some(name) => drop(self.0.lock().remove(name).ok_or_else(|| unknown(name))?),
        }
        Ok(())
    }

    /// The transaction is over.
    pub(super) fn end_transaction(&self) {
        self.0.lock().retain(|_, c| c.hold);
    }
}

struct Fetch {
    rest: Arc<tokio::sync::Mutex<Rest>>,
    guard: Option<OwnedMutexGuard<Rest>>,
    left: usize,
    cancel: CancellationToken,
}

impl Fetch {
    async fn next(mut self) -> Option<(Batch, Self)> {
        if self.left == 0 {
            return None;
        }
        let mut guard = match self.guard.take() {
            Some(guard) => guard,
            None => Arc::clone(&self.rest).lock_owned().await,
        };
        let batch = match guard.begun.take() {
            Some(begun) => begun,
            None => {
                let next = tokio::select! {
                    biased;
                    () = self.cancel.cancelled() => Some(Err(LakehouseError::Cancelled)),
                    next = guard.batches.next() => next,
                };
                match next? {
                    Ok(batch) => batch,
                    Err(e) => {
                        self.left = 0;
                        return Some((Err(e), self));
                    }
                }
            }
        };
        let taken = batch.num_rows().min(self.left);
        if taken < batch.num_rows() {
            guard.begun = Some(batch.slice(taken, batch.num_rows() - taken));
        }
        self.left -= taken;
        self.guard = Some(guard);
        Some((Ok(batch.slice(0, taken)), self))
    }
}
