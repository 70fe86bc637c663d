//! A statement with its values as the client carries it from call to call: in a ticket, or as the handle of a prepared
//! statement. Whoever made one up could have sent the statement itself, so nothing in it needs to be secret or signed.

use super::errors::{invalid, to_status};
use crate::LakehouseError;
use arrow_array::RecordBatch;
use arrow_ipc::{reader::StreamReader, writer::StreamWriter};
use bytes::Bytes;
use datafusion::{common::ParamValues, scalar::ScalarValue};
use tonic::Status;

/// Most bytes of the values of one statement: they travel with every call.
const VALUES_BYTES_MAX: usize = 1 << 20;

/// A statement, and the values of its parameters when they are known.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Carried {
    pub(super) sql: String,
    /// One row in Arrow's stream format; empty when there are no values.
    values: Bytes,
}

impl Carried {
    pub(super) fn new(sql: String) -> Self {
        Self { sql, values: Bytes::new() }
    }

    /// Length of the statement, the statement, the values.
    pub(super) fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(4 + self.sql.len() + self.values.len());
        out.extend(u32::try_from(self.sql.len()).unwrap_or(u32::MAX).to_le_bytes());
        out.extend(self.sql.as_bytes());
        out.extend(&self.values);
        out.into()
    }

    pub(super) fn decode(handle: &Bytes) -> Result<Self, Status> {
        let wrong = || invalid("this is no ticket or handle of this server; prepare the statement again");
        let (length, rest) = handle.split_at_checked(4).ok_or_else(wrong)?;
        let length = length.try_into().map(u32::from_le_bytes).map_err(|_| wrong())?;
        let (sql, values) = usize::try_from(length).ok().and_then(|n| rest.split_at_checked(n)).ok_or_else(wrong)?;
        let sql = std::str::from_utf8(sql).map_err(|_| wrong())?.to_owned();
        Ok(Self { sql, values: handle.slice_ref(values) })
    }

    /// The same statement with the values of a row: `$1` is the first column, whatever its name.
    pub(super) fn bind(self, row: Option<&RecordBatch>) -> Result<Self, Status> {
        let Some(row) = row.filter(|r| r.num_columns() > 0) else { return Ok(Self::new(self.sql)) };
        let mut bytes = Vec::new();
        let written = StreamWriter::try_new(&mut bytes, row.schema_ref()).and_then(|mut w| {
            w.write(row)?;
            w.finish()
        });
        written.map_err(|e| to_status(&LakehouseError::from(e)))?;
        if bytes.len() > VALUES_BYTES_MAX {
            return Err(Status::resource_exhausted(format!(
                "the values of the parameters take {} bytes, the most are {VALUES_BYTES_MAX}",
                bytes.len()
            )));
        }
        Ok(Self { sql: self.sql, values: bytes.into() })
    }

    /// `None` when no values were sent.
    pub(super) fn parameters(&self) -> Result<Option<ParamValues>, Status> {
        if self.values.is_empty() {
            return Ok(None);
        }
        let wrong = |e: &dyn std::fmt::Display| invalid(format!("the values of the parameters cannot be read: {e}"));
        let mut reader = StreamReader::try_new(self.values.as_ref(), None).map_err(|e| wrong(&e))?;
        let row = reader.next().ok_or_else(|| wrong(&"there is no row"))?.map_err(|e| wrong(&e))?;
        if row.num_rows() != 1 {
            return Err(wrong(&"there must be one row"));
        }
        let values: Vec<ScalarValue> =
            row.columns().iter().map(|c| ScalarValue::try_from_array(c, 0)).collect::<Result<_, _>>().map_err(|e| wrong(&e))?;
        Ok(Some(values.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{ArrayRef, Int64Array};
    use std::sync::Arc;

    #[test]
    fn a_handle_carries_statement_and_values() {
        let plain = Carried::new("SELECT 'è'".into());
        assert_eq!(Carried::decode(&plain.encode()).unwrap(), plain);
        assert!(plain.parameters().unwrap().is_none());
        let row = RecordBatch::try_from_iter([("0", Arc::new(Int64Array::from(vec![7])) as ArrayRef)]).unwrap();
        let bound = Carried::decode(&plain.clone().bind(Some(&row)).unwrap().encode()).unwrap();
        let Some(ParamValues::List(values)) = bound.parameters().unwrap() else { panic!("one value") };
        assert_eq!(values[0].value, ScalarValue::Int64(Some(7)));
        assert_eq!(bound.bind(None).unwrap(), plain, "values can be taken back");
    }

    #[test]
    fn what_is_no_handle_is_refused() {
        for bytes in [&b""[..], b"\xff\xff\xff\xffx", b"\x02\0\0\0\xff\xff", b"\x01\0\0\0xgarbage"] {
            let bytes = Bytes::copy_from_slice(bytes);
            let refused = Carried::decode(&bytes).and_then(|c| c.parameters());
            assert_eq!(refused.unwrap_err().code(), tonic::Code::InvalidArgument, "{bytes:?}");
        }
    }
}
