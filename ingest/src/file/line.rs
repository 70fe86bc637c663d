//! Lines of a file with a limit of length, and cells of a line.

use super::mapping::Encoding;
use std::{borrow::Cow, io::BufRead};

/// A longer line is rejected, and read over.
pub(super) const LINE_BYTES_MAX: usize = 64 * 1024;
/// More cells in one line are not looked at.
const CELLS_MAX: usize = 4_096;

/// What came next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Line,
    /// The buffer holds its first bytes.
    TooLong,
    End,
}

/// Reads line by line. Line 1 is the first.
pub(super) struct Lines<R> {
    input: R,
    pub(super) number: u64,
    pub(super) bytes: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, number: 0, bytes: Vec::new() }
    }

    /// The next line into `bytes`, without its end (`\n` or `\r\n`) and, on line 1, without the byte order mark.
    pub(super) fn next(&mut self) -> std::io::Result<Next> {
        self.bytes.clear();
        let (mut too_long, mut any) = (false, false);
        loop {
            let chunk = self.input.fill_buf()?;
            if chunk.is_empty() {
                break;
            }
            any = true;
            let end = chunk.iter().position(|b| *b == b'\n');
            let piece = &chunk[..end.unwrap_or(chunk.len())];
            let room = LINE_BYTES_MAX + 1 - self.bytes.len();
            too_long |= piece.len() > room;
            self.bytes.extend_from_slice(&piece[..piece.len().min(room)]);
            let used = end.map_or(chunk.len(), |e| e + 1);
            self.input.consume(used);
            if end.is_some() {
                break;
            }
        }
        if !any {
            return Ok(Next::End);
        }
        self.number += 1;
        if self.bytes.last() == Some(&b'\r') {
            self.bytes.pop();
        }
        if self.number == 1 && self.bytes.starts_with(b"\xef\xbb\xbf") {
            self.bytes.drain(..3);
        }
        Ok(if too_long || self.bytes.len() > LINE_BYTES_MAX { Next::TooLong } else { Next::Line })
    }
}

/// The line as text; `None` when its bytes are not of the encoding.
pub(super) fn text(bytes: &[u8], encoding: Encoding) -> Option<Cow<'_, str>> {
    match encoding {
        Encoding::Utf8 => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
        Encoding::Latin1 => Some(bytes.iter().map(|b| char::from(*b)).collect::<String>().into()),
    }
}

/// Splits a line into cells (RFC 4180, within one line). Says what is wrong when a quote is not closed or stands inside a cell.
pub(super) fn cells<'a>(line: &'a str, delimiter: char, out: &mut Vec<Cow<'a, str>>) -> Result<(), &'static str> {
    out.clear();
    let mut rest = line;
    loop {
        if out.len() == CELLS_MAX {
            return Err("has more than 4,096 cells");
        }
        let after = if let Some(quoted) = rest.strip_prefix('"') {
            let (cell, after) = quoted_cell(quoted).ok_or("opens a quote that does not close on the line")?;
            out.push(cell);
            after
        } else {
            let end = rest.find(delimiter).unwrap_or(rest.len());
            out.push(Cow::Borrowed(&rest[..end]));
            &rest[end..]
        };
        if after.is_empty() {
            return Ok(());
        }
        rest = after.strip_prefix(delimiter).ok_or("goes on after a closed quote")?;
    }
}

/// The cell up to its closing quote (`""` is a quote), and what follows.
fn quoted_cell(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let mut cell = Cow::Borrowed("");
    let mut rest = text;
    loop {
        let end = rest.find('"')?;
        let (piece, after) = (&rest[..end], &rest[end + 1..]);
        if cell.is_empty() {
            cell = Cow::Borrowed(piece);
        } else {
            cell.to_mut().push_str(piece);
        }
        match after.strip_prefix('"') {
            Some(more) => {
                cell.to_mut().push('"');
                rest = more;
            }
            None => return Some((cell, after)),
        }
    }
}
