//! A source that gives at most so many bytes to one event of the reader, which would otherwise gather a tag or a text without end.

use std::io::{self, BufRead, Read};

#[derive(Debug)]
pub(super) struct Bounded<R> {
    source: R,
    bytes_max: usize,
    left: usize,
}

impl<R> Bounded<R> {
    pub(super) fn new(source: R, bytes_max: usize) -> Self {
        Self { source, bytes_max, left: bytes_max }
    }

    /// Before each event.
    pub(super) fn allow(&mut self) {
        self.left = self.bytes_max;
    }
}

fn over(bytes_max: usize) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("a tag or text has more than {bytes_max} bytes"))
}

impl<R: BufRead> Read for Bounded<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.source.read(out)?;
        self.left = self.left.checked_sub(n).ok_or_else(|| over(self.bytes_max))?;
        Ok(n)
    }
}

impl<R: BufRead> BufRead for Bounded<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.left == 0 {
            return Err(over(self.bytes_max));
        }
        let filled = self.source.fill_buf()?;
        // A slice gives all it has at once: no more of it than is left.
        Ok(&filled[..filled.len().min(self.left)])
    }

    fn consume(&mut self, n: usize) {
        self.left = self.left.saturating_sub(n);
        self.source.consume(n);
    }
}
