//! Reading the log back after a stop, clean or not.

use super::{
    codec::{Pending, decode_frame, decode_schema},
    segment::{self, FILE_HEADER, RECORD_HEADER, RecordKind},
};
use crate::LakehouseError;
use arrow_schema::SchemaRef;
use hashbrown::HashMap;
use schemas::LogPosition;
use std::{
    fs::{File, OpenOptions},
    path::{Path, PathBuf},
};

/// What the log held.
#[derive(Debug, Default)]
pub(crate) struct Recovered {
    /// Segments with at least one frame, by first position.
    pub(crate) segments: Vec<(LogPosition, PathBuf)>,
    /// The position of the next frame.
    pub(crate) next: LogPosition,
    /// Bytes of a torn tail that were cut off.
    pub(crate) torn_bytes: u64,
}

/// Reads every frame in order, hands it to `each`, and cuts a torn tail off the last segment.
///
/// # Errors
/// [`LakehouseError::Corrupt`] when bytes that were durable cannot be read any more.
pub(crate) fn recover(
    dir: &Path,
    mut each: impl FnMut(LogPosition, Vec<Pending>) -> Result<(), LakehouseError>,
) -> Result<Recovered, LakehouseError> {
    let found = segment::list(dir).map_err(LakehouseError::io(format!("listing {}", dir.display())))?;
    let mut out = Recovered { next: found.first().map_or(1, |(first, _)| *first), ..Recovered::default() };
    for (index, (first, path)) in found.iter().enumerate() {
        let bytes = std::fs::read(path).map_err(LakehouseError::io(format!("reading {}", path.display())))?;
        if *first > out.next && bytes.starts_with(&segment::file_header(true)) {
            out.next = *first;
        }
        if *first != out.next {
            let rule = format!("it starts at position {first}, but {} was expected: a segment is missing", out.next);
            return Err(LakehouseError::Corrupt { file: path.clone(), offset: 0, rule });
        }
        let last = index + 1 == found.len();
        let scan = Scan { path, bytes: &bytes, last };
        let end = scan.run(&mut out.next, &mut each)?;
        if end < bytes.len() {
            out.torn_bytes += (bytes.len() - end) as u64;
            cut(path, end as u64)?;
        }
        // A segment without frames stays: its name keeps the next position, and the writer begins it anew.
        if out.next > *first {
            out.segments.push((*first, path.clone()));
        }
    }
    Ok(out)
}

struct Scan<'a> {
    path: &'a Path,
    bytes: &'a [u8],
    last: bool,
}

impl Scan<'_> {
    /// Returns where the readable part ends.
    fn run(
        &self,
        next: &mut LogPosition,
        each: &mut impl FnMut(LogPosition, Vec<Pending>) -> Result<(), LakehouseError>,
    ) -> Result<usize, LakehouseError> {
        if self.bytes.len() < FILE_HEADER && self.last {
            return Ok(0);
        }
        let header = self.bytes.get(..FILE_HEADER);
        if ![false, true].iter().any(|gap| header == Some(&segment::file_header(*gap)[..])) {
            return Err(self.corrupt(0, "it does not start as a log segment of this version"));
        }
        let mut schemas: HashMap<u64, SchemaRef> = HashMap::new();
        let mut at = FILE_HEADER;
        while at < self.bytes.len() {
            let Some((head, payload)) = segment::read_record(&self.bytes[at..]).filter(|(h, _)| h.position == *next) else {
                return self.tail(at, *next);
            };
            match head.kind {
                RecordKind::Schema => {
                    let (fingerprint, message) =
                        payload.split_first_chunk::<8>().ok_or_else(|| self.corrupt(at, "a schema is cut short"))?;
                    let schema = decode_schema(message).map_err(|e| self.corrupt(at, &e))?;
                    schemas.insert(u64::from_le_bytes(*fingerprint), schema);
                }
                RecordKind::Frame => {
                    each(*next, decode_frame(payload, &schemas).map_err(|e| self.corrupt(at, &e))?)?;
                    *next += 1;
                }
            }
            at += RECORD_HEADER + head.len;
        }
        Ok(at)
    }

    /// An unreadable record at `at`: the torn tail of a group that nobody was told of, or damage.
    fn tail(&self, at: usize, next: LogPosition) -> Result<usize, LakehouseError> {
        if !self.last {
            return Err(self.corrupt(at, "a record cannot be read, and a later segment follows"));
        }
        if segment::later_group_follows(&self.bytes[at..], next) {
            return Err(self.corrupt(at, "a record cannot be read, and later records follow"));
        }
        Ok(at)
    }

    fn corrupt(&self, at: usize, rule: &str) -> LakehouseError {
        LakehouseError::Corrupt { file: self.path.to_owned(), offset: at as u64, rule: rule.to_owned() }
    }
}

fn cut(path: &Path, len: u64) -> Result<(), LakehouseError> {
    let doing = || format!("cutting the torn tail of {}", path.display());
    let file = OpenOptions::new().write(true).open(path).map_err(LakehouseError::io(doing()))?;
    file.set_len(len).and_then(|()| file.sync_all()).map_err(LakehouseError::io(doing()))
}

/// Makes a directory's entries durable.
pub(crate) fn sync_dir(dir: &Path) -> std::io::Result<()> {
    File::open(dir)?.sync_all()
}
