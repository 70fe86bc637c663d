//! Cells to JSON, and texts made of cells.

use std::io::Write as _;

/// The longest local part; with type and tenant it stays under the limit of identifiers.
const LEVEL_BYTES_MAX: usize = 160;

/// The cell as a JSON number, kept digit by digit when it is written as one; `None` when it is not a finite number.
pub(super) fn number(cell: &str) -> Option<String> {
    if serde_json::from_str::<&serde_json::value::RawValue>(cell).is_ok() && cell.starts_with(|c: char| c.is_ascii_digit() || c == '-') {
        return cell.parse::<f64>().is_ok_and(f64::is_finite).then(|| cell.to_owned());
    }
    // `+5`, `.5`, `007`: numbers in files, not in JSON. Words such as `inf` and `nan` are none.
    if !cell.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E')) {
        return None;
    }
    let value: f64 = cell.parse().ok()?;
    value.is_finite().then(|| if value.fract() == 0.0 && value.abs() < 1e15 { format!("{}", value as i64) } else { value.to_string() })
}

/// A flat JSON object, written key by key.
#[derive(Debug)]
pub(super) struct Object(Vec<u8>);

impl Object {
    pub(super) fn new() -> Self {
        Self(vec![b'{'])
    }

    fn key(&mut self, key: &str) {
        if self.0.len() > 1 {
            self.0.push(b',');
        }
        self.quoted(key);
        self.0.push(b':');
    }

    fn quoted(&mut self, text: &str) {
        // Writing a text to a Vec cannot fail.
        let _ = serde_json::to_writer(&mut self.0, text);
    }

    pub(super) fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        self.quoted(value);
    }

    /// `value` is JSON already.
    pub(super) fn raw(&mut self, key: &str, value: &str) {
        self.key(key);
        self.0.extend_from_slice(value.as_bytes());
    }

    pub(super) fn float(&mut self, key: &str, value: f64) {
        self.key(key);
        let _ = write!(self.0, "{value}");
    }

    pub(super) fn finish(mut self) -> bytes::Bytes {
        self.0.push(b'}');
        self.0.into()
    }
}

/// The level of the topic that names the entity; `None` when no letter or digit is left, or too many are.
pub(super) fn topic_level(text: &str) -> Option<String> {
    let level = schemas::EntityId::local_part(text);
    (level.bytes().any(|b| b.is_ascii_alphanumeric()) && level.len() <= LEVEL_BYTES_MAX).then_some(level)
}

/// A text with `{column}` holes, bound to the columns of a header.
#[derive(Debug, Clone)]
pub(super) struct Template(Vec<Piece>);

#[derive(Debug, Clone)]
enum Piece {
    Text(String),
    Column(usize),
    /// `{station}`: what the shape of the file puts there.
    Station,
}

impl Template {
    /// Fails with the name of a column that `find` does not know.
    pub(super) fn bind(text: &str, find: impl Fn(&str) -> Option<usize>) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            let Some(close) = rest[open..].find('}').map(|c| open + c) else { break };
            if open > 0 {
                pieces.push(Piece::Text(rest[..open].to_owned()));
            }
            let name = &rest[open + 1..close];
            pieces.push(match find(name) {
                Some(column) => Piece::Column(column),
                None if name == "station" => Piece::Station,
                None => return Err(name.to_owned()),
            });
            rest = &rest[close + 1..];
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Ok(Self(pieces))
    }

    pub(super) fn fill<'a>(&self, cell: impl Fn(usize) -> &'a str, station: &str) -> String {
        let mut out = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Column(i) => out.push_str(cell(*i).trim()),
                Piece::Station => out.push_str(station),
            }
        }
        out
    }
}
