//! Lines to messages, or to rejects with the number of their line.

use super::{
    layout::Layout,
    line::{self, Lines, Next},
    mapping::{FileMapping, Spec},
    record::{Fault, Memory, Outcome, Record},
};
use crate::{IngestError, RawMessage, decode::reject::Reason};
use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use schemas::{Tenant, Timestamp};
use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Read},
};

/// What one cell or line became.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileItem {
    /// To `portico/{tenant}/{product}/{local}`, flat JSON with the contract's names.
    Message { line: u64, observed_at: Timestamp, message: RawMessage },
    /// Never became a message. `payload` is the line as it stands in the file (at most 64 KiB of it).
    Reject { line: u64, reason: &'static str, field: Option<String>, message: String, payload: Bytes },
}

/// Items of a file in its order. Ends after the first error of reading.
pub struct Rows<'a> {
    lines: Lines<Box<dyn BufRead + Send + 'a>>,
    spec: Spec,
    topic: String,
    layout: Layout,
    ready: VecDeque<FileItem>,
    /// Cells without a value, which are no messages.
    blanks: u64,
    memory: Memory,
    ended: bool,
}

impl std::fmt::Debug for Rows<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rows").field("topic", &self.topic).field("line", &self.lines.number).finish_non_exhaustive()
    }
}

/// Starts reading. Gzip is told by its first bytes, whatever the file is called.
///
/// # Errors
/// `Unavailable` when the input cannot be read, `Invalid` when the header is not the mapping's.
pub fn read<'a>(mapping: &FileMapping, input: impl Read + Send + 'a, tenant: &Tenant) -> Result<Rows<'a>, IngestError> {
    let mut input = BufReader::with_capacity(64 * 1024, input);
    let gzip = input.fill_buf().map_err(unreadable)?.starts_with(&[0x1f, 0x8b]);
    let input: Box<dyn BufRead + Send + 'a> =
        if gzip { Box::new(BufReader::with_capacity(64 * 1024, MultiGzDecoder::new(input))) } else { Box::new(input) };
    let mut lines = Lines::new(input);
    let place = || format!("file mapping '{}'", mapping.name);
    match lines.next().map_err(unreadable)? {
        Next::Line => {}
        Next::TooLong => return Err(IngestError::Invalid(format!("{}: line 1 is too long to be a header", place()))),
        Next::End => return Err(IngestError::Invalid(format!("{}: the file is empty", place()))),
    }
    let header = line::text(&lines.bytes, mapping.spec.encoding)
        .ok_or_else(|| IngestError::Invalid(format!("{}: the header is not UTF-8; set encoding = \"latin1\"", place())))?;
    let layout = Layout::bind(mapping, &header)?;
    Ok(Rows {
        topic: format!("portico/{tenant}/{}/", mapping.spec.product),
        spec: mapping.spec.clone(),
        layout,
        lines,
        ready: VecDeque::new(),
        blanks: 0,
        memory: Memory::default(),
        ended: false,
    })
}

fn unreadable(e: std::io::Error) -> IngestError {
    IngestError::Unavailable { what: "reading the file".into(), message: e.to_string() }
}

impl Rows<'_> {
    /// Lines read until now, the header included.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.lines.number
    }

    /// Cells without a value until now; they are neither messages nor rejects.
    #[must_use]
    pub fn blanks(&self) -> u64 {
        self.blanks
    }

    fn take_line(&mut self) -> Result<bool, IngestError> {
        let next = self.lines.next().map_err(unreadable)?;
        let bytes = std::mem::take(&mut self.lines.bytes);
        let number = self.lines.number;
        match next {
            Next::End => return Ok(false),
            Next::TooLong => {
                let message = format!("line {number} has more than {} bytes; a quote or a line break may be missing", line::LINE_BYTES_MAX);
                self.reject(&bytes, Fault { reason: Reason::TooLarge.code(), field: None, message });
            }
            Next::Line if bytes.iter().all(u8::is_ascii_whitespace) => {}
            Next::Line => {
                if let Err(fault) = self.line(&bytes) {
                    self.reject(&bytes, fault);
                }
            }
        }
        self.lines.bytes = bytes;
        Ok(true)
    }

    fn reject(&mut self, bytes: &[u8], fault: Fault) {
        let payload = Bytes::copy_from_slice(&bytes[..bytes.len().min(line::LINE_BYTES_MAX)]);
        let Fault { reason, field, message } = fault;
        self.ready.push_back(FileItem::Reject { line: self.lines.number, reason, field, message, payload });
    }

    /// All items of one line. An error here rejects the whole line.
    fn line(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let text = line::text(bytes, self.spec.encoding)
            .ok_or_else(|| Fault::new("not_utf8", "the line is not UTF-8; save the file as UTF-8 or set its encoding"))?;
        let mut cells = Vec::with_capacity(self.layout.header.len());
        line::cells(&text, self.spec.delimiter, &mut cells).map_err(|e| Fault::new("bad_line", format!("the line {e}")))?;
        let want = self.layout.header.len();
        if cells.len() != want {
            return Err(Fault::new("bad_line", format!("the line has {} cells, the header has {want}", cells.len())));
        }
        let record = Record { spec: &self.spec, layout: &self.layout, cells: &cells };
        let mut out = Vec::new();
        record.items(&mut out, &mut self.memory)?;
        for outcome in out {
            match outcome {
                Outcome::Blank => self.blanks += 1,
                Outcome::Refused(fault) => self.reject(bytes, fault),
                Outcome::Row { local, observed_at, payload } => {
                    let message = RawMessage { topic: format!("{}{local}", self.topic).into(), payload };
                    self.ready.push_back(FileItem::Message { line: self.lines.number, observed_at, message });
                }
            }
        }
        Ok(())
    }
}

impl Iterator for Rows<'_> {
    type Item = Result<FileItem, IngestError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.ready.is_empty() && !self.ended {
            match self.take_line() {
                Ok(true) => {}
                Ok(false) => self.ended = true,
                Err(e) => {
                    self.ended = true;
                    return Some(Err(e));
                }
            }
        }
        self.ready.pop_front().map(Ok)
    }
}
