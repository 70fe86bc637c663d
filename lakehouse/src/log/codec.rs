//! Frames to bytes and back. Runs on the appender's side, so that the writer thread only writes.
//!
//! A frame record: `parts u16`, then per part `name length u16, name, schema fingerprint u64, header length u32,
//! body length u32, Arrow IPC record batch header, body`. Integers are little-endian. The IPC schema of a fingerprint
//! is a record of its own, written once per segment. Ledger deltas are a part for `ops.ledger`.

use crate::LakehouseError;
use arrow_array::{
    Array, ArrayRef, Date32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, cast::AsArray,
    types::TimestampMicrosecondType,
};
use arrow_buffer::Buffer;
use arrow_ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteOptions, StreamEncoder};
use arrow_schema::{Schema, SchemaRef};
use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};
use schemas::{Contracts, Frame, LedgerDelta, LogPosition, TableRef, Timestamp, ops::OpsTable, row};
use std::{hash::BuildHasher, sync::Arc};

/// A frame above this is refused: the sender must cut it.
pub(crate) const FRAME_BYTES_MAX: usize = 32 << 20;

/// Rows of one table as they will be hot, but for the position.
#[derive(Debug, Clone)]
pub(crate) struct Pending {
    pub(crate) table: TableRef,
    pub(crate) rows: RecordBatch,
    pub(crate) date: ArrayRef,
    pub(crate) stored: SchemaRef,
    /// Bytes in the log, the measure of hot memory.
    pub(crate) bytes: usize,
}

impl Pending {
    pub(crate) fn new(table: TableRef, rows: RecordBatch, bytes: usize) -> Result<Self, LakehouseError> {
        let stored = row::stamped(rows.schema_ref());
        let date = dates(&rows)?;
        Ok(Self { table, rows, date, stored, bytes })
    }

    /// The stored rows of a frame at `position`.
    pub(crate) fn stamp(&self, position: LogPosition) -> Result<RecordBatch, LakehouseError> {
        let mut columns = self.rows.columns().to_vec();
        columns.push(Arc::new(Int64Array::from(vec![position as i64; self.rows.num_rows()])));
        columns.push(Arc::clone(&self.date));
        Ok(RecordBatch::try_new(Arc::clone(&self.stored), columns)?)
    }
}

/// A frame ready for the writer.
pub(crate) struct Encoded {
    /// One after the other they are the record's payload. Columns are the rows' own memory, not copies.
    pub(crate) payload: Vec<Buffer>,
    pub(crate) payload_len: usize,
    pub(crate) checksum: crc32fast::Hasher,
    pub(crate) schemas: Vec<(u64, Arc<[u8]>)>,
    pub(crate) parts: Vec<Pending>,
    pub(crate) frame: Arc<Frame>,
}

impl Encoded {
    fn push(&mut self, piece: Buffer) {
        self.payload_len += piece.len();
        self.checksum.update(&piece);
        self.payload.push(piece);
    }
}

/// Encodes frames against the contracts, and remembers encoded schemas.
#[derive(Debug)]
pub(crate) struct Encoder {
    contracts: Contracts,
    known: RwLock<HashMap<TableRef, Known>>,
}

#[derive(Clone)]
struct Known {
    pending: SchemaRef,
    fingerprint: u64,
    message: Arc<[u8]>,
    /// Has written its schema, so that what it writes are the messages of batches.
    encoder: Arc<Mutex<StreamEncoder>>,
}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Known").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}

impl Known {
    fn of(pending: SchemaRef) -> Result<Self, LakehouseError> {
        let message = schema_message(&pending)?;
        let mut encoder = StreamEncoder::try_new_with_options(&pending, ipc_options()?)?;
        encoder.encode(&RecordBatch::new_empty(Arc::clone(&pending)))?;
        Ok(Self { pending, fingerprint: fingerprint(&message), message: message.into(), encoder: Arc::new(Mutex::new(encoder)) })
    }
}

/// Length of the header, and header and body, of an encapsulated message (Arrow columnar format, "Encapsulated message format"):
/// what stands before them is a marker of 4 bytes and the length.
fn unprefixed(mut message: Vec<Buffer>) -> Result<(usize, Vec<Buffer>), LakehouseError> {
    let mut prefix = Vec::with_capacity(8);
    for piece in &mut message {
        let n = piece.len().min(8 - prefix.len());
        prefix.extend_from_slice(&piece[..n]);
        *piece = piece.slice(n);
    }
    let len: [u8; 4] = prefix
        .get(4..8)
        .and_then(|l| l.try_into().ok())
        .ok_or_else(|| LakehouseError::Internal("an encoded batch does not begin with its length".into()))?;
    message.retain(|piece| !piece.is_empty());
    Ok((u32::from_le_bytes(len) as usize, message))
}

impl Encoder {
    pub(crate) fn new(contracts: Contracts) -> Self {
        Self { contracts, known: RwLock::default() }
    }

    /// Checks every part against its contract and encodes the frame.
    pub(crate) fn encode(&self, frame: Frame) -> Result<Encoded, LakehouseError> {
        let ledger = ledger_rows(&frame.ledger)?;
        let count = frame.parts.len() + usize::from(ledger.is_some());
        let count = u16::try_from(count).map_err(|_| LakehouseError::Frame("more than 65535 parts; send several frames".into()))?;
        let mut out = Encoded {
            payload: Vec::new(),
            payload_len: 0,
            checksum: crc32fast::Hasher::new(),
            schemas: Vec::new(),
            parts: Vec::with_capacity(usize::from(count)),
            frame: Arc::new(Frame::default()),
        };
        out.push(Buffer::from(&count.to_le_bytes()[..]));
        for part in &frame.parts {
            self.encode_part(&part.table, &part.rows, &mut out)?;
        }
        if let Some(rows) = ledger {
            self.encode_part(&OpsTable::Ledger.table(), &rows, &mut out)?;
        }
        if out.payload_len > FRAME_BYTES_MAX {
            return Err(LakehouseError::Frame(format!(
                "{} bytes are more than the limit of {FRAME_BYTES_MAX}; send several frames",
                out.payload_len
            )));
        }
        out.frame = Arc::new(frame);
        Ok(out)
    }

    fn encode_part(&self, table: &TableRef, rows: &RecordBatch, out: &mut Encoded) -> Result<(), LakehouseError> {
        let known = self.known(table)?;
        if rows.schema_ref() != &known.pending {
            return Err(LakehouseError::Frame(format!(
                "rows for {table} do not have the columns of its contract; build them with row::pending_schema"
            )));
        }
        let message = known.encoder.lock().encode(rows)?;
        let (header_len, pieces) = unprefixed(message)?;
        let body_len = pieces.iter().map(Buffer::len).sum::<usize>() - header_len;
        let start = out.payload_len;
        let name = table.to_string();
        let mut head = Vec::with_capacity(18 + name.len());
        head.extend_from_slice(&(name.len() as u16).to_le_bytes());
        head.extend_from_slice(name.as_bytes());
        head.extend_from_slice(&known.fingerprint.to_le_bytes());
        head.extend_from_slice(&(header_len as u32).to_le_bytes());
        head.extend_from_slice(&(body_len as u32).to_le_bytes());
        out.push(head.into());
        pieces.into_iter().for_each(|piece| out.push(piece));
        if !out.schemas.iter().any(|(f, _)| *f == known.fingerprint) {
            out.schemas.push((known.fingerprint, known.message));
        }
        out.parts.push(Pending::new(table.clone(), rows.clone(), out.payload_len - start)?);
        Ok(())
    }

    fn known(&self, table: &TableRef) -> Result<Known, LakehouseError> {
        if let Some(known) = self.known.read().get(table) {
            return Ok(known.clone());
        }
        let pending = self
            .contracts
            .pending_schema(table)
            .ok_or_else(|| LakehouseError::Frame(format!("no contract for table {table}; add one to the contracts directory")))?;
        let known = Known::of(pending)?;
        self.known.write().insert(table.clone(), known.clone());
        Ok(known)
    }
}

fn ipc_options() -> Result<IpcWriteOptions, LakehouseError> {
    Ok(IpcWriteOptions::try_new(8, false, arrow_ipc::MetadataVersion::V5)?)
}

fn schema_message(schema: &Schema) -> Result<Vec<u8>, LakehouseError> {
    let mut tracker = DictionaryTracker::new(false);
    Ok(IpcDataGenerator {}.schema_to_bytes_with_dictionary_tracker(schema, &mut tracker, &ipc_options()?).ipc_message)
}

fn fingerprint(message: &[u8]) -> u64 {
    // A fixed-key hash: the same in every process, and only compared within one segment.
    foldhash::fast::FixedState::with_seed(0x706f_7274).hash_one(message)
}

/// The UTC dates of `observed_at`.
fn dates(rows: &RecordBatch) -> Result<ArrayRef, LakehouseError> {
    let observed = observed_at(rows)?;
    Ok(Arc::new(Date32Array::from_iter_values(observed.values().iter().map(|t| Timestamp(*t).date()))))
}

pub(crate) fn observed_at(rows: &RecordBatch) -> Result<&TimestampMicrosecondArray, LakehouseError> {
    rows.column_by_name(row::OBSERVED_AT)
        .and_then(|c| c.as_primitive_opt::<TimestampMicrosecondType>())
        .filter(|c| c.null_count() == 0)
        .ok_or_else(|| LakehouseError::Frame(format!("rows have no complete '{}' column", row::OBSERVED_AT)))
}

/// Deltas as rows of `ops.ledger`; a row adds to its line, so that readers sum.
fn ledger_rows(deltas: &[LedgerDelta]) -> Result<Option<RecordBatch>, LakehouseError> {
    if deltas.is_empty() {
        return Ok(None);
    }
    let text = |f: fn(&LedgerDelta) -> &str| Arc::new(StringArray::from_iter_values(deltas.iter().map(f))) as ArrayRef;
    let count = |f: fn(&LedgerDelta) -> u64| Arc::new(Int64Array::from_iter_values(deltas.iter().map(|d| f(d) as i64))) as ArrayRef;
    let at = TimestampMicrosecondArray::from_iter_values(deltas.iter().map(|d| d.hour.0)).with_timezone("UTC");
    let product: StringArray = deltas.iter().map(|d| d.product.as_ref().map(|p| p.as_str().to_owned())).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(at),
        text(|d| d.tenant.as_str()),
        text(|d| d.source.as_str()),
        Arc::new(product),
        count(|d| d.counts.received),
        count(|d| d.counts.stored),
        count(|d| d.counts.duplicate),
        count(|d| d.counts.late),
        count(|d| d.counts.quarantined),
        count(|d| d.counts.dropped),
    ];
    Ok(Some(RecordBatch::try_new(OpsTable::Ledger.pending_schema(), columns)?))
}

/// Reads the schema record of a segment.
pub(crate) fn decode_schema(message: &[u8]) -> Result<SchemaRef, String> {
    arrow_ipc::convert::try_schema_from_flatbuffer_bytes(message).map(Arc::new).map_err(|e| e.to_string())
}

/// Reads a frame record; `schemas` are those of its segment. The text of an error is a rule that the bytes break.
pub(crate) fn decode_frame(payload: &[u8], schemas: &HashMap<u64, SchemaRef>) -> Result<Vec<Pending>, String> {
    let mut rest = payload;
    let count = u16::from_le_bytes(take(&mut rest)?);
    (0..count).map(|_| decode_part(&mut rest, schemas)).collect()
}

fn decode_part(rest: &mut &[u8], schemas: &HashMap<u64, SchemaRef>) -> Result<Pending, String> {
    let before = rest.len();
    let name_len = usize::from(u16::from_le_bytes(take(rest)?));
    let name = std::str::from_utf8(split(rest, name_len)?).map_err(|e| e.to_string())?;
    let table = TableRef::parse(name).map_err(|e| e.to_string())?;
    let fingerprint = u64::from_le_bytes(take(rest)?);
    let header_len = u32::from_le_bytes(take(rest)?) as usize;
    let body_len = u32::from_le_bytes(take(rest)?) as usize;
    let header = split(rest, header_len)?;
    let body = split(rest, body_len)?;
    let schema = schemas.get(&fingerprint).ok_or("the schema of a part was not written before it")?;
    let message = arrow_ipc::root_as_message(header).map_err(|e| e.to_string())?;
    let batch = message.header_as_record_batch().ok_or("a part is not a record batch")?;
    let rows = arrow_ipc::reader::read_record_batch(
        &Buffer::from(body),
        batch,
        Arc::clone(schema),
        &std::collections::HashMap::new(),
        None,
        &message.version(),
    )
    .map_err(|e| e.to_string())?;
    let bytes = before - rest.len();
    Pending::new(table, rows, bytes).map_err(|e| e.to_string())
}

fn split<'a>(rest: &mut &'a [u8], len: usize) -> Result<&'a [u8], String> {
    let (head, tail) = rest.split_at_checked(len).ok_or("a part is cut short")?;
    *rest = tail;
    Ok(head)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], String> {
    split(rest, N)?.try_into().map_err(|_| "a part is cut short".to_owned())
}
