//! A pull reader over one JSON text (RFC 8259): no tree, no copy, exact numbers.
//!
//! Why not serde's: a sender must read which byte or which literal is wrong, `NaN` is told apart from garbage,
//! numbers reach their column rounded once (serde_json's default float parser may be off by one unit in the last place,
//! and its exact one is a feature for the whole workspace), and this runs for every message at line rate.
//! `tests.rs` holds it against serde_json: same texts accepted, same values.

use std::borrow::Cow;

/// Why a text is not usable JSON. Offsets are in bytes from the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonError {
    /// Not UTF-8 at this offset.
    NotUtf8(usize),
    /// Something else than `expected` stands at `at`.
    Syntax { at: usize, expected: &'static str },
    /// `NaN` or `Infinity`, which JSON does not have.
    NotFinite(usize),
    /// More nested objects and arrays than the limit.
    TooDeep(usize),
}

/// The next value. After `Object` and `Array` the caller goes on with [`Reader::key`] or [`Reader::element`].
#[derive(Debug, Clone, PartialEq)]
pub enum Token<'a> {
    Null,
    Bool(bool),
    /// The text of the number, which follows the grammar of JSON.
    Number(&'a str),
    Text(Cow<'a, str>),
    Object,
    Array,
}

impl Token<'_> {
    /// What a sender would call it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a true/false value",
            Self::Number(_) => "a number",
            Self::Text(_) => "a text",
            Self::Object => "an object",
            Self::Array => "a list",
        }
    }
}

type Result<T> = std::result::Result<T, JsonError>;

/// Reads one text from front to back.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    depth_max: usize,
}

impl<'a> Reader<'a> {
    /// A byte order mark at the start is skipped (RFC 8259, 8.1).
    pub fn new(bytes: &'a [u8], depth_max: usize) -> Result<Self> {
        let text = std::str::from_utf8(bytes).map_err(|e| JsonError::NotUtf8(e.valid_up_to()))?;
        let at = if text.starts_with('\u{feff}') { 3 } else { 0 };
        Ok(Self { text, at, depth: 0, depth_max })
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn fail<T>(&self, expected: &'static str) -> Result<T> {
        Err(JsonError::Syntax { at: self.at, expected })
    }

    /// Offset of the next value, after white space.
    pub fn offset(&mut self) -> usize {
        self.space();
        self.at
    }

    /// Offset just after what was read.
    #[must_use]
    pub fn offset_after(&self) -> usize {
        self.at
    }

    /// The start of a value.
    pub fn value(&mut self) -> Result<Token<'a>> {
        self.space();
        match self.peek() {
            Some(b'"') => self.string().map(Token::Text),
            Some(b'-' | b'0'..=b'9') => self.number().map(Token::Number),
            Some(b'{') => self.open(Token::Object),
            Some(b'[') => self.open(Token::Array),
            Some(b't') => self.word("true", Token::Bool(true)),
            Some(b'f') => self.word("false", Token::Bool(false)),
            Some(b'n') => self.word("null", Token::Null),
            Some(b'N' | b'I' | b'i') => self.not_finite(),
            _ => self.fail("a value"),
        }
    }

    fn open(&mut self, token: Token<'a>) -> Result<Token<'a>> {
        self.at += 1;
        self.depth += 1;
        if self.depth > self.depth_max {
            return Err(JsonError::TooDeep(self.at));
        }
        Ok(token)
    }

    fn rest(&self) -> &'a [u8] {
        &self.text.as_bytes()[self.at..]
    }

    fn word(&mut self, word: &'static str, token: Token<'a>) -> Result<Token<'a>> {
        if self.rest().starts_with(word.as_bytes()) {
            self.at += word.len();
            return Ok(token);
        }
        self.not_finite()
    }

    fn not_finite(&self) -> Result<Token<'a>> {
        let rest = self.rest();
        let rest = rest.strip_prefix(b"-").unwrap_or(rest);
        let word = rest.iter().take_while(|b| b.is_ascii_alphabetic()).count();
        let literal = [b"nan".as_slice(), b"inf", b"infinity"].iter().any(|w| rest[..word].eq_ignore_ascii_case(w));
        if literal { Err(JsonError::NotFinite(self.at)) } else { self.fail("a value") }
    }

    fn digits(&mut self) -> Result<()> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start { self.fail("a digit") } else { Ok(()) }
    }

    fn number(&mut self) -> Result<&'a str> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
            if matches!(self.peek(), Some(b'I' | b'i' | b'N' | b'n')) {
                self.at = start;
                self.not_finite()?;
            }
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(&self.text[start..self.at])
    }

    fn string(&mut self) -> Result<Cow<'a, str>> {
        self.at += 1;
        let start = self.at;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Cow::Borrowed(&self.text[start..self.at - 1]));
                }
                Some(b'\\') => return self.escaped(start).map(Cow::Owned),
                Some(0..=0x1f) | None => return self.fail("the end of the text, a '\"'"),
                Some(_) => self.at += 1,
            }
        }
    }

    #[cold]
    fn escaped(&mut self, start: usize) -> Result<String> {
        let mut out = self.text[start..self.at].to_owned();
        loop {
            let from = self.at;
            while !matches!(self.peek(), Some(b'"' | b'\\' | 0..=0x1f) | None) {
                self.at += 1;
            }
            out.push_str(&self.text[from..self.at]);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => {
                    self.at += 1;
                    out.push(self.escape()?);
                }
                _ => return self.fail("the end of the text, a '\"'"),
            }
        }
    }

    fn escape(&mut self) -> Result<char> {
        let Some(b) = self.peek() else { return self.fail("an escape") };
        self.at += 1;
        Ok(match b {
            b'"' | b'\\' | b'/' => char::from(b),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode(),
            _ => {
                self.at -= 1;
                return self.fail("one of \" \\ / b f n r t u after a backslash");
            }
        })
    }

    fn unicode(&mut self) -> Result<char> {
        let first = self.hex4()?;
        let code = if (0xd800..0xdc00).contains(&first) {
            if !self.rest().starts_with(b"\\u") {
                return self.fail("the second half of a surrogate pair");
            }
            self.at += 2;
            let second = self.hex4()?;
            if !(0xdc00..0xe000).contains(&second) {
                return self.fail("the second half of a surrogate pair");
            }
            0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)
        } else {
            first
        };
        char::from_u32(code).map_or_else(|| self.fail("a code point"), Ok)
    }

    fn hex4(&mut self) -> Result<u32> {
        let digits = self.rest().get(..4).filter(|d| d.iter().all(u8::is_ascii_hexdigit));
        let Some(digits) = digits else { return self.fail("four hexadecimal digits") };
        self.at += 4;
        Ok(digits.iter().fold(0, |n, d| n * 16 + char::from(*d).to_digit(16).unwrap_or(0)))
    }

    /// The next key of the object that was opened last, past its colon; `None` at its end. `first` starts as true.
    pub fn key(&mut self, first: &mut bool) -> Result<Option<Cow<'a, str>>> {
        self.space();
        if self.peek() == Some(b'}') {
            return self.close().map(|()| None);
        }
        self.comma(first, "a ',' or a '}'")?;
        if self.peek() != Some(b'"') {
            return self.fail("a key in '\"'");
        }
        let key = self.string()?;
        self.space();
        if self.peek() != Some(b':') {
            return self.fail("a ':'");
        }
        self.at += 1;
        Ok(Some(key))
    }

    /// Whether the array that was opened last has another element. `first` starts as true.
    pub fn element(&mut self, first: &mut bool) -> Result<bool> {
        self.space();
        if self.peek() == Some(b']') {
            return self.close().map(|()| false);
        }
        self.comma(first, "a ',' or a ']'")?;
        Ok(true)
    }

    /// The `}` or `]` under the cursor is legal unless a comma stands before it, which [`Self::comma`] refused by wanting a value.
    fn close(&mut self) -> Result<()> {
        self.at += 1;
        self.depth = self.depth.saturating_sub(1);
        Ok(())
    }

    fn comma(&mut self, first: &mut bool, expected: &'static str) -> Result<()> {
        if std::mem::take(first) {
            return Ok(());
        }
        if self.peek() != Some(b',') {
            return self.fail(expected);
        }
        self.at += 1;
        self.space();
        Ok(())
    }

    /// Reads over the rest of a value whose start was returned by [`Self::value`], checking it.
    pub fn skip(&mut self, token: &Token<'_>) -> Result<()> {
        let mut first = true;
        match token {
            Token::Object => {
                while self.key(&mut first)?.is_some() {
                    let inner = self.value()?;
                    self.skip(&inner)?;
                }
            }
            Token::Array => {
                while self.element(&mut first)? {
                    let inner = self.value()?;
                    self.skip(&inner)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Nothing but white space is left.
    pub fn end(&mut self) -> Result<()> {
        self.space();
        if self.at == self.text.len() { Ok(()) } else { self.fail("the end of the message") }
    }
}
