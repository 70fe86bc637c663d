//! Recorded frames of a device with what they mean: the tests of a codec, one JSON object a line.
//!
//! `{"description", "fn": "decodeUplink", "f_port": 1, "bytes": hex, "received_at", "variables", "expected": {"data": {…}}}`;
//! for `encodeDownlink`: `"data"` in, `"expected": {"bytes": […], "fPort": 1}` out. `expected.errors` must come word for word.

use super::{Call, CodecError, Frame};
use schemas::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};

/// One recorded frame.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    #[serde(default)]
    pub description: String,
    #[serde(rename = "fn", default = "uplink")]
    pub call: Call,
    #[serde(default = "one")]
    pub f_port: u8,
    /// Hex.
    #[serde(default)]
    pub bytes: String,
    #[serde(default)]
    pub received_at: Option<String>,
    #[serde(default)]
    pub variables: Map<String, Value>,
    /// For encoding.
    #[serde(default)]
    pub data: Option<Box<RawValue>>,
    pub expected: Value,
}

fn uplink() -> Call {
    Call::DecodeUplink
}

fn one() -> u8 {
    1
}

/// Outcome of the examples of a codec.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    pub passed: usize,
    /// Description and difference.
    pub failed: Vec<(String, String)>,
}

impl Example {
    /// From JSON lines; empty lines are skipped.
    ///
    /// # Errors
    /// The line that is wrong.
    pub fn parse(text: &str) -> Result<Vec<Self>, String> {
        let lines = text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty());
        lines.map(|(line, n): (&str, usize)| serde_json::from_str(line).map_err(|e| format!("line {n}: {e}"))).collect()
    }

    /// Asks and compares.
    pub(super) fn run(&self, ask: impl FnOnce(Call, Frame<'_>, Option<&RawValue>) -> Result<String, CodecError>) -> Result<(), String> {
        let bytes = unhex(&self.bytes).ok_or_else(|| format!("'bytes' is not hex: {}", self.bytes))?;
        let received_at = match &self.received_at {
            Some(text) => Timestamp::parse(text).map_err(|e| format!("received_at: {e}"))?,
            None => Timestamp(0),
        };
        let variables = if self.variables.is_empty() { String::new() } else { Value::Object(self.variables.clone()).to_string() };
        let frame = Frame { bytes: &bytes, f_port: self.f_port, received_at, variables: &variables };
        let answer = ask(self.call, frame, self.data.as_deref());
        let answer: Value = match answer {
            Ok(json) => serde_json::from_str(&json).map_err(|e| e.to_string())?,
            Err(e) => return Err(e.to_string()),
        };
        difference("", &self.without_empty(&self.expected), &self.without_empty(&answer)).map_or(Ok(()), Err)
    }

    /// Empty lists of warnings and errors say what absent ones say; a frame with errors has no data that counts.
    fn without_empty(&self, answer: &Value) -> Value {
        let Value::Object(map) = answer else { return answer.clone() };
        let mut map = map.clone();
        for key in ["warnings", "errors"] {
            if map.get(key).is_some_and(|v| v.is_null() || v.as_array().is_some_and(Vec::is_empty)) {
                map.remove(key);
            }
        }
        if map.contains_key("errors") {
            map.retain(|key, _| key == "errors");
        }
        if self.call == Call::EncodeDownlink && !self.expected.as_object().is_some_and(|e| e.contains_key("fPort")) {
            map.remove("fPort");
        }
        Value::Object(map)
    }
}

/// The first place where two answers differ. Null is absent; numbers may differ in their last digits.
fn difference(at: &str, want: &Value, have: &Value) -> Option<String> {
    match (want, have) {
        (Value::Object(a), Value::Object(b)) => {
            let keys = a.keys().chain(b.keys().filter(|k| !a.contains_key(*k)));
            keys.into_iter().find_map(|key| {
                let (a, b) = (a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null));
                difference(&format!("{at}/{key}"), a, b)
            })
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).enumerate().find_map(|(i, (a, b))| difference(&format!("{at}/{i}"), a, b))
        }
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap_or(f64::NAN), b.as_f64().unwrap_or(f64::NAN));
            let near = a == b || (a - b).abs() <= 1e-9 * a.abs().max(b.abs());
            (!near).then(|| format!("{at} is {b}, expected {a}"))
        }
        (a, b) => (a != b).then(|| format!("{} is {b}, expected {a}", if at.is_empty() { "the answer" } else { at })),
    }
}

/// Bytes of hex digits.
#[must_use]
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[a, b]| Some(digit(*a)? << 4 | digit(*b)?)).collect())?
}
