//! Little-endian bytes in checked blocks, for the saved twin.

use crate::{
    TwinError,
    batch::Datum,
    rows::{Column, Values},
    state::{Place, Stamp, State},
};
use schemas::{FieldType, Quality, Value};
use std::io::{Read, Write};

/// No block is larger, so a damaged length cannot ask for all memory.
const BLOCK_LEN_MAX: u32 = 64 << 20;
const QUALITIES: [Quality; 4] = [Quality::Valid, Quality::Unchecked, Quality::Suspect, Quality::Invalid];

/// Writes length, CRC-32 and content.
pub(crate) fn write_block(to: &mut dyn Write, block: &mut Encoder) -> Result<(), TwinError> {
    let len = u32::try_from(block.0.len()).ok().filter(|&l| l <= BLOCK_LEN_MAX);
    let len = len.ok_or(TwinError::Corrupt { at: "block", rule: "larger than 64 MiB" })?;
    to.write_all(&len.to_le_bytes())?;
    to.write_all(&crc32fast::hash(&block.0).to_le_bytes())?;
    to.write_all(&block.0)?;
    block.0.clear();
    Ok(())
}

/// Reads one block into `buffer`. Errors when it is cut off or its checksum does not fit.
pub(crate) fn read_block<'a>(from: &mut dyn Read, buffer: &'a mut Vec<u8>) -> Result<Decoder<'a>, TwinError> {
    let mut head = [0; 8];
    let short = |_| TwinError::Corrupt { at: "block", rule: "the file ends too early" };
    from.read_exact(&mut head).map_err(short)?;
    let [len, crc] = [0, 4].map(|at| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]));
    if len > BLOCK_LEN_MAX {
        return Err(TwinError::Corrupt { at: "block", rule: "larger than 64 MiB" });
    }
    buffer.clear();
    if from.take(u64::from(len)).read_to_end(buffer)? != len as usize {
        return Err(TwinError::Corrupt { at: "block", rule: "the file ends too early" });
    }
    if crc32fast::hash(buffer) != crc {
        return Err(TwinError::Corrupt { at: "block", rule: "the checksum does not fit" });
    }
    Ok(Decoder(buffer))
}

/// A block being filled.
#[derive(Debug, Default)]
pub(crate) struct Encoder(pub(crate) Vec<u8>);

impl Encoder {
    pub(crate) fn u8(&mut self, v: u8) {
        self.0.push(v);
    }

    pub(crate) fn u32(&mut self, v: u32) {
        self.0.extend(v.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, v: u64) {
        self.0.extend(v.to_le_bytes());
    }

    pub(crate) fn i64(&mut self, v: i64) {
        self.0.extend(v.to_le_bytes());
    }

    pub(crate) fn f64(&mut self, v: f64) {
        self.0.extend(v.to_le_bytes());
    }

    pub(crate) fn text(&mut self, v: &str) {
        self.u32(v.len() as u32);
        self.0.extend(v.as_bytes());
    }

    pub(crate) fn stamp(&mut self, s: Stamp) {
        self.i64(s.observed_at);
        self.u64(s.position);
        self.i64(s.received_at);
    }

    pub(crate) fn state(&mut self, s: &State) {
        self.stamp(s.last);
        self.stamp(s.place.stamp);
        self.f64(s.place.lon);
        self.f64(s.place.lat);
        self.i64(s.place.cell);
        self.u32(s.source);
        self.u8(s.quality as u8);
        self.u8(u8::from(s.simulated));
        self.u8(u8::from(s.truncated));
        self.u32(s.first_row);
    }

    pub(crate) fn value(&mut self, v: Option<&Value>) {
        match v {
            None => self.u8(0),
            Some(v) => Datum::of(v).write(&mut self.0),
        }
    }

    pub(crate) fn column(&mut self, column: &Column) {
        column.stamps.iter().for_each(|&s| self.stamp(s));
        column.quality.iter().for_each(|&q| self.u8(q as u8));
        match &column.values {
            Values::Float(v) => v.iter().for_each(|&v| self.f64(v)),
            Values::Int(v) => v.iter().for_each(|&v| self.i64(v)),
            Values::Bool(v) => v.iter().for_each(|&v| self.u8(u8::from(v))),
            Values::Text(v) => v.iter().for_each(|v| self.text(v.as_deref().unwrap_or(""))),
        }
    }
}

/// A block being read. Every method errs when the block is too short.
#[derive(Debug)]
pub(crate) struct Decoder<'a>(&'a [u8]);

const SHORT: TwinError = TwinError::Corrupt { at: "block", rule: "shorter than its content" };

impl<'a> Decoder<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], TwinError> {
        let (taken, rest) = self.0.split_at_checked(n).ok_or(SHORT)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], TwinError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(SHORT)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, TwinError> {
        self.array::<1>().map(|b| b[0])
    }

    pub(crate) fn bool(&mut self) -> Result<bool, TwinError> {
        self.u8().map(|b| b != 0)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, TwinError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, TwinError> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn i64(&mut self) -> Result<i64, TwinError> {
        self.array().map(i64::from_le_bytes)
    }

    pub(crate) fn f64(&mut self) -> Result<f64, TwinError> {
        self.array().map(f64::from_le_bytes)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, TwinError> {
        let len = self.u32()? as usize;
        std::str::from_utf8(self.take(len)?).map_err(|_| TwinError::Corrupt { at: "text", rule: "not UTF-8" })
    }

    pub(crate) fn quality(&mut self) -> Result<Quality, TwinError> {
        let code = usize::from(self.u8()?);
        QUALITIES.get(code).copied().ok_or(TwinError::Corrupt { at: "quality", rule: "not a known code" })
    }

    pub(crate) fn kind(&mut self) -> Result<FieldType, TwinError> {
        let code = self.u8()?;
        let known = [FieldType::Float, FieldType::Int, FieldType::Text, FieldType::Bool];
        known.into_iter().find(|k| *k as u8 == code).ok_or(TwinError::Corrupt { at: "field", rule: "not a known type" })
    }

    pub(crate) fn stamp(&mut self) -> Result<Stamp, TwinError> {
        Ok(Stamp { observed_at: self.i64()?, position: self.u64()?, received_at: self.i64()? })
    }

    pub(crate) fn state(&mut self) -> Result<State, TwinError> {
        Ok(State {
            last: self.stamp()?,
            place: Place { stamp: self.stamp()?, lon: self.f64()?, lat: self.f64()?, cell: self.i64()? },
            source: self.u32()?,
            quality: self.quality()?,
            simulated: self.bool()?,
            truncated: self.bool()?,
            first_row: self.u32()?,
        })
    }

    pub(crate) fn value(&mut self) -> Result<Option<Value>, TwinError> {
        Ok(Some(match self.u8()? {
            0 => return Ok(None),
            1 => Value::Bool(self.bool()?),
            2 => Value::Int(self.i64()?),
            3 => Value::Float(self.f64()?),
            4 => Value::Text(self.text()?.into()),
            _ => return Err(TwinError::Corrupt { at: "value", rule: "not a known type" }),
        }))
    }

    /// A column of `n` rows.
    pub(crate) fn column(&mut self, kind: FieldType, n: usize) -> Result<Column, TwinError> {
        let stamps: Vec<_> = (0..n).map(|_| self.stamp()).collect::<Result<_, _>>()?;
        let quality = (0..n).map(|_| self.quality()).collect::<Result<_, _>>()?;
        let values = match kind {
            FieldType::Float => Values::Float((0..n).map(|_| self.f64()).collect::<Result<_, _>>()?),
            FieldType::Int => Values::Int((0..n).map(|_| self.i64()).collect::<Result<_, _>>()?),
            FieldType::Bool => Values::Bool((0..n).map(|_| self.bool()).collect::<Result<_, _>>()?),
            FieldType::Text => {
                let text = |(d, s): (&mut Self, &Stamp)| d.text().map(|t| s.is_present().then(|| t.into()));
                Values::Text(stamps.iter().map(|s| text((self, s))).collect::<Result<_, _>>()?)
            }
        };
        Ok(Column { values, stamps, quality })
    }
}
