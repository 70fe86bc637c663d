//! The bytes of a segment, and the search for where a torn one ends.
//!
//! Header: `PORTICOW`, format version u32, flags u32 (1: positions before this segment are missing on purpose). Then records: `payload length u32, checksum u32, position u64,
//! group u64, kind u8`, payload. The checksum (CRC-32, ISO-HDLC) covers the header behind it and the payload. `group` is the
//! first position of the group that was synced together: group `n + 1` is written only after group `n` is durable, so an
//! unreadable record is a torn tail unless a readable record of a later group follows it.

use std::path::{Path, PathBuf};

pub(crate) const MAGIC: &[u8; 8] = b"PORTICOW";
pub(crate) const FORMAT: u32 = 1;
pub(crate) const FILE_HEADER: usize = 16;
pub(crate) const RECORD_HEADER: usize = 25;
const EXTENSION: &str = "wal";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RecordKind {
    /// Payload: fingerprint u64, IPC schema message. Its position is that of the frame that follows.
    Schema = 0,
    Frame = 1,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordHead {
    pub(crate) len: usize,
    pub(crate) checksum: u32,
    pub(crate) position: u64,
    pub(crate) group: u64,
    pub(crate) kind: RecordKind,
}

pub(crate) fn file_header(after_gap: bool) -> [u8; FILE_HEADER] {
    let mut out = [0; FILE_HEADER];
    out[..8].copy_from_slice(MAGIC);
    out[8..12].copy_from_slice(&FORMAT.to_le_bytes());
    out[12..].copy_from_slice(&u32::from(after_gap).to_le_bytes());
    out
}

/// What stands before a payload. `payload_sum` is the running checksum of the payload alone, made by the appender.
pub(crate) fn record_head(
    kind: RecordKind,
    (position, group): (u64, u64),
    payload_len: usize,
    payload_sum: &crc32fast::Hasher,
) -> [u8; RECORD_HEADER] {
    let mut head = [0; RECORD_HEADER];
    head[..4].copy_from_slice(&(payload_len as u32).to_le_bytes());
    head[8..16].copy_from_slice(&position.to_le_bytes());
    head[16..24].copy_from_slice(&group.to_le_bytes());
    head[24] = kind as u8;
    let mut sum = crc32fast::Hasher::new();
    sum.update(&head[8..]);
    sum.combine(payload_sum);
    head[4..8].copy_from_slice(&sum.finalize().to_le_bytes());
    head
}

/// The record at the start of `bytes`, when all of it is there and its checksum holds.
pub(crate) fn read_record(bytes: &[u8]) -> Option<(RecordHead, &[u8])> {
    let head = parse_head(bytes)?;
    let payload = bytes.get(RECORD_HEADER..RECORD_HEADER.checked_add(head.len)?)?;
    let mut sum = crc32fast::Hasher::new();
    sum.update(&bytes[8..RECORD_HEADER]);
    sum.update(payload);
    (sum.finalize() == head.checksum).then_some((head, payload))
}

fn parse_head(bytes: &[u8]) -> Option<RecordHead> {
    let head = bytes.get(..RECORD_HEADER)?;
    let u32_at = |i: usize| head[i..i + 4].try_into().map(u32::from_le_bytes).ok();
    let u64_at = |i: usize| head[i..i + 8].try_into().map(u64::from_le_bytes).ok();
    let kind = match head[24] {
        0 => RecordKind::Schema,
        1 => RecordKind::Frame,
        _ => return None,
    };
    Some(RecordHead { len: u32_at(0)? as usize, checksum: u32_at(4)?, position: u64_at(8)?, group: u64_at(16)?, kind })
}

/// Whether a readable record of a group after `expected` lies in `bytes`: then what stands before it was durable once.
pub(crate) fn later_group_follows(bytes: &[u8], expected: u64) -> bool {
    (1..bytes.len().saturating_sub(RECORD_HEADER)).any(|at| {
        let rest = &bytes[at..];
        // Positions are dense, so that a plausible one is at most a record per byte ahead; this spares nearly every checksum.
        parse_head(rest).is_some_and(|h| h.group > expected && h.position >= h.group && h.position - expected <= bytes.len() as u64)
            && read_record(rest).is_some()
    })
}

pub(crate) fn path_of(dir: &Path, first: u64) -> PathBuf {
    dir.join(format!("{first:020}.{EXTENSION}"))
}

/// Segments of a directory with their first positions, in order.
pub(crate) fn list(dir: &Path) -> std::io::Result<Vec<(u64, PathBuf)>> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == EXTENSION)
            && let Some(first) = path.file_stem().and_then(|s| s.to_str()).and_then(|s| s.parse().ok())
        {
            out.push((first, path));
        }
    }
    out.sort_unstable();
    Ok(out)
}
