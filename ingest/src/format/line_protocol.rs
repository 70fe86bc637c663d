//! InfluxDB line protocol (InfluxDB 1.x and 2.x, "Line protocol reference"): `measurement,tag=value field=value,… timestamp`.
//!
//! The one format without a JSON document: lines come by the hundred thousand a second, so mappings read them as they stand.
//! A mapping sees `/measurement`, `/tags/<key>` (texts, always), `/fields/<key>` and `/time` (nanoseconds); a payload may hold several
//! lines, and each is one observation. `topic = "influx/{db}/{measurement}"` is where the HTTP doors put lines. Without a mapping,
//! a measurement that is the name of a product is read by the contract's own names ([`crate::mapping::plan::Plan::convention_of_lines`]).
//!
//! Traps: no time in a line means the time of receipt (as in InfluxDB), so that a redelivery is another row; rows keep microseconds,
//! so points of one series less than 1 µs apart are one row; `\\` is an escape in quoted texts only, and a quote means something at
//! the start of a field's value only; a quoted text may hold newlines.

use super::{Format, Incoming, Translated};
use crate::decode::{
    json::Token,
    reject::{Reason, Reject, cut},
};
use std::borrow::Cow;

#[derive(Debug)]
pub(super) struct LineProtocol;

impl Format for LineProtocol {
    fn translate(&self, _: Incoming<'_>, _: &mut Vec<u8>) -> Result<Translated, Reject> {
        Ok(Translated::Lines)
    }
}

/// Reads one line from front to back: [`Line::measurement`], [`Line::tag`] until `None`, [`Line::field`] until `None`, [`Line::time`].
#[derive(Debug, Clone)]
pub struct Line<'a> {
    text: &'a str,
    at: usize,
}

/// A set of bytes.
#[derive(Debug)]
struct Bytes([bool; 256]);

impl Bytes {
    const fn of(bytes: &[u8]) -> Self {
        let mut set = [false; 256];
        let mut i = 0;
        while i < bytes.len() {
            set[bytes[i] as usize] = true;
            i += 1;
        }
        Self(set)
    }
}

static KEY: Bytes = Bytes::of(b",= ");
static VALUE: Bytes = Bytes::of(b", ");
static QUOTED: Bytes = Bytes::of(b"\"\\");

type Result2<T> = Result<T, Reject>;

#[cold]
fn fail<T>(field: &str, rule: impl Into<String>) -> Result2<T> {
    let rule = rule.into();
    let field = (!field.is_empty()).then(|| cut(field, 128));
    Err(Reject { reason: Reason::NotFormat, field, message: format!("not a line of line protocol: {rule}") })
}

impl<'a> Line<'a> {
    /// Without the end of the line.
    #[must_use]
    pub fn new(text: &'a str) -> Self {
        let text = text.strip_suffix('\r').unwrap_or(text);
        let start = text.len() - text.trim_start_matches([' ', '\t', '\0']).len();
        Self { text, at: start }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn spaces(&mut self) {
        while self.peek() == Some(b' ') {
            self.at += 1;
        }
    }

    /// Up to an unescaped byte of `ends`; a backslash before a byte of `escapes` stands for that byte, any other for itself.
    fn word(&mut self, ends: &Bytes, escapes: &Bytes) -> Cow<'a, str> {
        let bytes = self.text.as_bytes();
        let start = self.at;
        while bytes.get(self.at).is_some_and(|b| !ends.0[usize::from(*b)] && *b != b'\\') {
            self.at += 1;
        }
        if self.peek() == Some(b'\\') { self.escaped_word(start, ends, escapes) } else { Cow::Borrowed(&self.text[start..self.at]) }
    }

    #[cold]
    fn escaped_word(&mut self, start: usize, ends: &Bytes, escapes: &Bytes) -> Cow<'a, str> {
        let bytes = self.text.as_bytes();
        while bytes.get(self.at).is_some_and(|b| !ends.0[usize::from(*b)]) {
            let escapes_next = bytes[self.at] == b'\\' && bytes.get(self.at + 1).is_some_and(|next| escapes.0[usize::from(*next)]);
            self.at += if escapes_next { 2 } else { 1 };
        }
        Cow::Owned(unescape(&self.text[start..self.at], escapes))
    }

    /// # Errors
    /// When it is missing.
    pub fn measurement(&mut self) -> Result2<Cow<'a, str>> {
        let name = self.word(&VALUE, &VALUE);
        if name.is_empty() {
            fail("measurement", "the measurement is missing; a line is 'measurement,tag=value field=value timestamp'")
        } else {
            Ok(name)
        }
    }

    /// # Errors
    /// When a tag has no key or no value.
    pub fn tag(&mut self) -> Result2<Option<(Cow<'a, str>, Cow<'a, str>)>> {
        if self.peek() != Some(b',') {
            return Ok(None);
        }
        self.at += 1;
        let key = self.word(&KEY, &KEY);
        if key.is_empty() {
            return fail("tags", "a tag has no key");
        }
        if self.peek() != Some(b'=') {
            return fail(&key, format!("the tag '{}' has no '=value'", cut(&key, 60)));
        }
        self.at += 1;
        let value = self.word(&VALUE, &KEY);
        if value.is_empty() {
            return fail(&key, format!("the tag '{}' has no value; leave the tag out", cut(&key, 60)));
        }
        Ok(Some((key, value)))
    }

    /// `first` starts as true.
    ///
    /// # Errors
    /// When there is none at all, or one has no key or a value of no known type.
    pub fn field(&mut self, first: &mut bool) -> Result2<Option<(Cow<'a, str>, Token<'a>)>> {
        if std::mem::take(first) {
            self.spaces();
        } else if self.peek() == Some(b',') {
            self.at += 1;
        } else {
            return Ok(None);
        }
        let key = self.word(&KEY, &KEY);
        if key.is_empty() {
            return fail("fields", "a field is missing; after the tags come a space and at least one 'field=value'");
        }
        if self.peek() != Some(b'=') {
            return fail(&key, format!("the field '{}' has no '=value'", cut(&key, 60)));
        }
        self.at += 1;
        let value = if self.peek() == Some(b'"') { self.quoted(&key)? } else { self.literal(&key)? };
        Ok(Some((key, value)))
    }

    fn quoted(&mut self, key: &str) -> Result2<Token<'a>> {
        let bytes = self.text.as_bytes();
        self.at += 1;
        let start = self.at;
        let mut escaped = false;
        loop {
            match bytes.get(self.at) {
                Some(b'"') => break,
                Some(b'\\') if matches!(bytes.get(self.at + 1), Some(b'"' | b'\\')) => {
                    escaped = true;
                    self.at += 2;
                }
                Some(_) => self.at += 1,
                None => return fail(key, format!("the text of '{}' has no closing '\"'", cut(key, 60))),
            }
        }
        let raw = &self.text[start..self.at];
        self.at += 1;
        if !matches!(self.peek(), None | Some(b',' | b' ')) {
            return fail(key, format!("after the text of '{}' there should be ',' or a space", cut(key, 60)));
        }
        Ok(Token::Text(if escaped { Cow::Owned(unescape(raw, &QUOTED)) } else { Cow::Borrowed(raw) }))
    }

    fn literal(&mut self, key: &str) -> Result2<Token<'a>> {
        let bytes = self.text.as_bytes();
        let start = self.at;
        // Most values are digits with a point: told in the pass that finds the end.
        let (mut n_digits, mut n_points) = (0, 0);
        while let Some(b) = bytes.get(self.at).filter(|b| !VALUE.0[usize::from(**b)]) {
            n_digits += usize::from(b.is_ascii_digit());
            n_points += usize::from(*b == b'.');
            self.at += 1;
        }
        let text = &self.text[start..self.at];
        if n_digits > 0 && n_points <= 1 && n_digits + n_points + usize::from(text.starts_with('-')) == text.len() {
            return Ok(Token::Number(text));
        }
        let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
        match text.as_bytes() {
            [number @ .., b'i'] if digits(text[..number.len()].trim_start_matches('-')) && !text.starts_with("--") => {
                Ok(Token::Number(&text[..text.len() - 1]))
            }
            [_, .., b'u'] if digits(&text[..text.len() - 1]) => Ok(Token::Number(&text[..text.len() - 1])),
            b"t" | b"T" | b"true" | b"True" | b"TRUE" => Ok(Token::Bool(true)),
            b"f" | b"F" | b"false" | b"False" | b"FALSE" => Ok(Token::Bool(false)),
            b"" => fail(key, format!("the field '{}' has no value; leave the field out", cut(key, 60))),
            _ if is_float(text.as_bytes()) => Ok(Token::Number(text)),
            _ => fail(key, format!("'{}' is {}, which is no value; write 1.5, 1i, 1u, true or \"text\"", cut(key, 60), cut(text, 40))),
        }
    }

    /// The text of the timestamp, when there is one, and its value.
    ///
    /// # Errors
    /// When it is not a whole number, or something follows it.
    pub fn time(&mut self) -> Result2<Option<(&'a str, i64)>> {
        if !matches!(self.peek(), None | Some(b' ')) {
            return fail("time", format!("there should be a space before the timestamp, not '{}'", cut(&self.text[self.at..], 20)));
        }
        let text = self.text[self.at..].trim_matches(' ');
        if text.is_empty() {
            return Ok(None);
        }
        match text.parse() {
            Ok(time) => Ok(Some((text, time))),
            Err(_) => {
                fail("time", format!("the timestamp is '{}', not a whole number of 64 bits; are spaces in names escaped?", cut(text, 40)))
            }
        }
    }
}

fn unescape(raw: &str, escapes: &Bytes) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let next = rest.as_bytes().get(at + 1).copied();
        if next.is_some_and(|b| escapes.0[usize::from(b)]) {
            // Every byte of `escapes` is ASCII, so this is one character.
            out.push_str(&rest[at + 1..at + 2]);
            rest = &rest[at + 2..];
        } else {
            out.push('\\');
            rest = &rest[at + 1..];
        }
    }
    out.push_str(rest);
    out
}

/// `[+-] digits [. digits] [e [+-] digits]` with a digit somewhere before the exponent; what `f64::from_str` reads, without its words.
fn is_float(text: &[u8]) -> bool {
    let mut rest = text.strip_prefix(b"-").or_else(|| text.strip_prefix(b"+")).unwrap_or(text);
    let digits = |rest: &mut &[u8]| {
        let n = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        *rest = &rest[n..];
        n
    };
    let mut n = digits(&mut rest);
    if let Some(after) = rest.strip_prefix(b".") {
        rest = after;
        n += digits(&mut rest);
    }
    if n == 0 {
        return false;
    }
    if let Some(after) = rest.strip_prefix(b"e").or_else(|| rest.strip_prefix(b"E")) {
        rest = after.strip_prefix(b"-").or_else(|| after.strip_prefix(b"+")).unwrap_or(after);
        if digits(&mut rest) == 0 {
            return false;
        }
    }
    rest.is_empty()
}

/// The lines of a text: byte ranges without their ends and leading blanks, with their numbers from 1; blank lines and comments are left out.
/// A newline inside a quoted text does not end a line.
#[derive(Debug)]
pub struct Lines<'a> {
    text: &'a [u8],
    at: usize,
    number: usize,
    /// A text without its closing quote was met: from there on a newline always ends a line, which keeps this linear.
    hard: bool,
}

impl<'a> Lines<'a> {
    #[must_use]
    pub const fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0, number: 0, hard: false }
    }

    /// The end of the line that starts at `start`.
    fn end(&mut self, start: usize) -> usize {
        let rest = &self.text[start..];
        let first = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        // A comment ends with its line, whatever quotes are in it.
        let comment = rest[..first].trim_ascii_start().starts_with(b"#");
        if self.hard || comment || memchr::memchr(b'"', &rest[..first]).is_none() {
            return start + first;
        }
        match quoted_end(rest) {
            Some(end) => start + end,
            None => {
                self.hard = true;
                start + first
            }
        }
    }
}

/// The end of a line whose quotes count; `None` when one is not closed.
fn quoted_end(rest: &[u8]) -> Option<usize> {
    let mut at = 0;
    // Measurement and tags: a quote is a character like any other.
    loop {
        match rest.get(at) {
            None | Some(b'\n') => return Some(at),
            // No escape reaches over the end of a line.
            Some(b'\\') if rest.get(at + 1) != Some(&b'\n') => at += 2,
            Some(b' ') => break,
            Some(_) => at += 1,
        }
    }
    let mut quoted = false;
    loop {
        match rest.get(at) {
            None if quoted => return None,
            None => return Some(rest.len()),
            Some(b'\n') if !quoted => return Some(at),
            Some(b'\\') if quoted => at += 2,
            Some(b'"') if quoted => {
                quoted = false;
                at += 1;
            }
            Some(b'"') if rest[at - 1] == b'=' => {
                quoted = true;
                at += 1;
            }
            Some(_) => at += 1,
        }
    }
}

impl Iterator for Lines<'_> {
    type Item = (usize, std::ops::Range<usize>);

    fn next(&mut self) -> Option<Self::Item> {
        while self.at < self.text.len() {
            let start = self.at;
            let end = self.end(start).min(self.text.len());
            let number = self.number + 1;
            let line = &self.text[start..end];
            self.number += 1 + memchr::memchr_iter(b'\n', line).count();
            self.at = end + 1;
            match line.trim_ascii_start().first() {
                None | Some(b'#') => {}
                Some(_) => return Some((number, end - line.trim_ascii_start().len()..end)),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
