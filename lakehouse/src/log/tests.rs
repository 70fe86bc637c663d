//! The bytes of the log: what is read back, what counts as torn, what as damage.

use super::{
    recover::{Recovered, recover},
    segment::{self, RecordKind},
};
use crate::LakehouseError;
use std::path::Path;

/// A segment whose groups hold frames without parts: a payload of two zero bytes.
fn segment_of(first: u64, groups: &[u64]) -> Vec<u8> {
    let mut out = segment::file_header(false).to_vec();
    let mut position = first;
    for size in groups {
        let group = position;
        for _ in 0..*size {
            let mut sum = crc32fast::Hasher::new();
            sum.update(&[0, 0]);
            out.extend_from_slice(&segment::record_head(RecordKind::Frame, (position, group), 2, &sum));
            out.extend_from_slice(&[0, 0]);
            position += 1;
        }
    }
    out
}

fn read(dir: &Path) -> Result<(Vec<u64>, Recovered), LakehouseError> {
    let mut seen = Vec::new();
    let recovered = recover(dir, |position, _| {
        seen.push(position);
        Ok(())
    })?;
    Ok((seen, recovered))
}

const RECORD: usize = segment::RECORD_HEADER + 2;

#[test]
fn whatever_is_cut_off_the_end_the_frames_before_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let whole = segment_of(7, &[1, 3, 2]);
    let path = segment::path_of(dir.path(), 7);
    for len in segment::FILE_HEADER..=whole.len() {
        std::fs::write(&path, &whole[..len]).unwrap();
        let frames = ((len - segment::FILE_HEADER) / RECORD) as u64;
        let (seen, recovered) = read(dir.path()).unwrap();
        assert_eq!(seen, (7..7 + frames).collect::<Vec<_>>(), "cut at {len}");
        assert_eq!(recovered.next, 7 + frames);
        assert_eq!(std::fs::metadata(&path).unwrap().len() as usize, segment::FILE_HEADER + frames as usize * RECORD);
    }
}

#[test]
fn a_bad_record_is_torn_only_within_the_last_group() {
    let dir = tempfile::tempdir().unwrap();
    let path = segment::path_of(dir.path(), 1);
    let whole = segment_of(1, &[2, 3]);
    for (record, torn) in [(0, false), (1, false), (2, true), (3, true), (4, true)] {
        for byte in 0..RECORD {
            let mut bytes = whole.clone();
            bytes[segment::FILE_HEADER + record * RECORD + byte] ^= 0x55;
            std::fs::write(&path, &bytes).unwrap();
            match read(dir.path()) {
                Ok((seen, _)) => assert!(torn && seen.len() == record, "record {record} byte {byte}"),
                Err(LakehouseError::Corrupt { offset, .. }) => {
                    assert!(!torn && offset as usize == segment::FILE_HEADER + record * RECORD, "record {record} byte {byte}");
                }
                Err(other) => panic!("{other}"),
            }
        }
    }
}

#[test]
fn a_cut_before_a_later_segment_and_a_missing_one_are_damage() {
    let dir = tempfile::tempdir().unwrap();
    let first = segment_of(1, &[2]);
    std::fs::write(segment::path_of(dir.path(), 3), segment_of(3, &[1])).unwrap();
    std::fs::write(segment::path_of(dir.path(), 1), &first).unwrap();
    assert_eq!(read(dir.path()).unwrap().0, [1, 2, 3]);
    std::fs::write(segment::path_of(dir.path(), 1), &first[..first.len() - 1]).unwrap();
    assert!(matches!(read(dir.path()), Err(LakehouseError::Corrupt { .. })));
    std::fs::write(segment::path_of(dir.path(), 1), segment_of(1, &[1])).unwrap();
    assert!(matches!(read(dir.path()), Err(LakehouseError::Corrupt { .. })));
}

#[test]
fn garbage_is_never_a_segment_and_never_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    for bytes in [&b"PORTICOW\x02\0\0\0\0\0\0\0"[..], &[0xff; 64], &b"PORTICOX\x01\0\0\0\0\0\0\0"[..]] {
        std::fs::write(segment::path_of(dir.path(), 1), bytes).unwrap();
        assert!(matches!(read(dir.path()), Err(LakehouseError::Corrupt { offset: 0, .. })));
    }
}
