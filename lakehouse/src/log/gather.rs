//! What one write of the log consists of: small pieces are put together, large ones are written from where they are.

use std::{
    fs::File,
    io::{IoSlice, Write},
    ops::Range,
};

/// A piece from this size on is not copied.
const DIRECT_MIN: usize = 4_096;

#[derive(Debug)]
enum Part<'a> {
    Small(Range<usize>),
    Direct(&'a [u8]),
}

/// Pieces in order.
#[derive(Debug)]
pub(super) struct Gather<'a> {
    small: Vec<u8>,
    parts: Vec<Part<'a>>,
    len: usize,
}

impl<'a> Gather<'a> {
    /// Uses the memory of `buffer`, whatever it holds.
    pub(super) fn new(mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        Self { small: buffer, parts: Vec::new(), len: 0 }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// The memory, for the next.
    pub(super) fn into_buffer(self) -> Vec<u8> {
        self.small
    }

    pub(super) fn copy(&mut self, piece: &[u8]) {
        let start = self.small.len();
        self.small.extend_from_slice(piece);
        self.len += piece.len();
        match self.parts.last_mut() {
            Some(Part::Small(range)) => range.end = self.small.len(),
            _ => self.parts.push(Part::Small(start..self.small.len())),
        }
    }

    pub(super) fn push(&mut self, piece: &'a [u8]) {
        if piece.len() < DIRECT_MIN {
            return self.copy(piece);
        }
        self.len += piece.len();
        self.parts.push(Part::Direct(piece));
    }

    /// Writes the first `len` bytes.
    pub(super) fn write(&self, file: &mut File, len: usize) -> std::io::Result<()> {
        let mut left = len;
        let slices = self.parts.iter().map_while(|part| {
            let bytes = match part {
                Part::Small(range) => &self.small[range.clone()],
                Part::Direct(bytes) => bytes,
            };
            let bytes = &bytes[..bytes.len().min(left)];
            left -= bytes.len();
            (!bytes.is_empty()).then(|| IoSlice::new(bytes))
        });
        let mut slices: Vec<IoSlice<'_>> = slices.collect();
        let mut rest = slices.as_mut_slice();
        while !rest.is_empty() {
            match file.write_vectored(rest) {
                Ok(0) => return Err(std::io::ErrorKind::WriteZero.into()),
                Ok(n) => IoSlice::advance_slices(&mut rest, n),
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn pieces_arrive_in_order_and_a_cut_is_a_cut() {
        let large: Vec<Vec<u8>> = (0..40u8).map(|i| vec![i; DIRECT_MIN + usize::from(i)]).collect();
        let mut gather = Gather::new(b"left over".to_vec());
        let mut want = Vec::new();
        for (i, piece) in large.iter().enumerate() {
            let small = format!("piece {i};");
            for piece in [small.as_bytes(), b"", b"x"] {
                gather.copy(piece);
                want.extend_from_slice(piece);
            }
            gather.push(piece);
            want.extend_from_slice(piece);
        }
        assert_eq!(gather.len(), want.len());
        for len in [0, 1, 9, 10, 11, 4_105, 4_106, 50_000, want.len()] {
            let file = tempfile::NamedTempFile::new().unwrap();
            gather.write(&mut file.reopen().unwrap(), len).unwrap();
            let mut have = Vec::new();
            file.reopen().unwrap().read_to_end(&mut have).unwrap();
            assert_eq!(have, want[..len], "{len}");
        }
    }
}
