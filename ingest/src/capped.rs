//! JSON with an upper bound: a text that many rows repeat makes a document far larger than the message that it came from.

use serde::Serialize;
use std::io::{self, Write};

/// Bytes of one document that a format or a reader of files writes.
pub(crate) const DOCUMENT_BYTES_MAX: usize = 16 << 20;

struct Capped<'a> {
    out: &'a mut Vec<u8>,
    left: usize,
}

impl Write for Capped<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.left = self
            .left
            .checked_sub(bytes.len())
            .ok_or_else(|| io::Error::new(io::ErrorKind::FileTooLarge, format!("its document has more than {DOCUMENT_BYTES_MAX} bytes")))?;
        self.out.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Appends the value to `out`.
pub(crate) fn write_json(out: &mut Vec<u8>, value: &impl Serialize) -> serde_json::Result<()> {
    serde_json::to_writer(Capped { out, left: DOCUMENT_BYTES_MAX }, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_that_repeats_a_text_too_often_is_an_error() {
        let text = "x".repeat(1 << 20);
        let mut out = Vec::new();
        assert!(write_json(&mut out, &vec![text.as_str(); 15]).is_ok());
        out.clear();
        assert!(write_json(&mut out, &vec![text.as_str(); 17]).unwrap_err().to_string().contains("bytes"));
        assert!(out.len() <= DOCUMENT_BYTES_MAX);
    }
}
