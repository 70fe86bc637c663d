//! A TOML table read key by key, so that every error names its place and a key nobody asked for is refused with a suggestion.

use crate::{IngestError, decode::reject::nearest};
use toml::{Table, Value};

/// A table that is being read.
#[derive(Debug)]
pub struct Keys {
    place: String,
    table: Table,
    known: Vec<&'static str>,
}

type Result<T> = std::result::Result<T, IngestError>;

impl Keys {
    #[must_use]
    pub fn new(place: impl Into<String>, table: Table) -> Self {
        Self { place: place.into(), table, known: Vec::new() }
    }

    /// The whole of a file.
    pub fn file(file: &str, text: &str) -> Result<Self> {
        let table = text.parse::<Table>().map_err(|e| IngestError::Config { place: file.to_owned(), rule: e.to_string() })?;
        Ok(Self::new(file, table))
    }

    /// Adds the name of the thing to the place.
    pub fn called(&mut self, name: &str) {
        self.place = format!("{} '{name}'", self.place);
    }

    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    pub fn fail<T>(&self, key: &str, rule: impl Into<String>) -> Result<T> {
        Err(self.error(key, rule))
    }

    #[must_use]
    pub fn error(&self, key: &str, rule: impl Into<String>) -> IngestError {
        IngestError::Config { place: format!("{}: {key}", self.place), rule: rule.into() }
    }

    pub fn take(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key);
        self.table.remove(key)
    }

    pub fn text(&mut self, key: &'static str) -> Result<Option<String>> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => self.fail(key, format!("must be a text, not {}", other.type_str())),
        }
    }

    pub fn need_text(&mut self, key: &'static str) -> Result<String> {
        self.text(key)?.ok_or_else(|| self.error(key, "is missing"))
    }

    /// A text that `parse` accepts.
    pub fn parsed<T, E: std::fmt::Display>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> std::result::Result<T, E>,
    ) -> Result<Option<T>> {
        match self.text(key)? {
            None => Ok(None),
            Some(text) => parse(&text).map(Some).map_err(|e| self.error(key, e.to_string())),
        }
    }

    pub fn number(&mut self, key: &'static str, default: f64) -> Result<f64> {
        match self.take(key) {
            None => Ok(default),
            Some(Value::Integer(n)) => Ok(n as f64),
            Some(Value::Float(n)) if n.is_finite() => Ok(n),
            Some(_) => self.fail(key, "must be a finite number"),
        }
    }

    pub fn flag(&mut self, key: &'static str) -> Result<bool> {
        match self.take(key) {
            None => Ok(false),
            Some(Value::Boolean(b)) => Ok(b),
            Some(_) => self.fail(key, "must be true or false"),
        }
    }

    pub fn table(&mut self, key: &'static str) -> Result<Table> {
        match self.take(key) {
            None => Ok(Table::new()),
            Some(Value::Table(t)) => Ok(t),
            Some(_) => self.fail(key, "must be a table"),
        }
    }

    pub fn list(&mut self, key: &'static str) -> Result<Vec<Value>> {
        match self.take(key) {
            None => Ok(Vec::new()),
            Some(Value::Array(list)) => Ok(list),
            Some(_) => self.fail(key, "must be a list"),
        }
    }

    /// A list of tables, `[[key]]`.
    pub fn tables(&mut self, key: &'static str) -> Result<Vec<Table>> {
        let list = self.list(key)?;
        list.into_iter()
            .map(|v| match v {
                Value::Table(t) => Ok(t),
                _ => self.fail(key, format!("must be written as [[{key}]] tables")),
            })
            .collect()
    }

    /// Every key was asked for.
    pub fn finish(self) -> Result<()> {
        let Some(key) = self.table.keys().next() else { return Ok(()) };
        let hint = match nearest(key, self.known.iter().copied()) {
            Some(near) => format!("did you mean '{near}'?"),
            None => format!("known keys are {}", self.known.join(", ")),
        };
        self.fail(key, format!("unknown key; {hint}"))
    }
}
