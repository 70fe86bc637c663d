//! `to_regtype(text)`: the OID of a type by name, null when there is none. Drivers ask it about extensions they could use.

use arrow_array::{ArrayRef, Int32Array};
use arrow_schema::DataType;
use datafusion::{
    common::cast::as_string_array,
    error::Result,
    logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf},
};
use std::sync::Arc;

/// Names and OIDs of PostgreSQL's own types that results have here (`pg_type.dat` of PostgreSQL 16).
const TYPES: &[(&str, i32)] = &[
    ("bool", 16),
    ("boolean", 16),
    ("bytea", 17),
    ("int8", 20),
    ("bigint", 20),
    ("int2", 21),
    ("smallint", 21),
    ("int4", 23),
    ("integer", 23),
    ("text", 25),
    ("float4", 700),
    ("real", 700),
    ("float8", 701),
    ("double precision", 701),
    ("varchar", 1043),
    ("date", 1082),
    ("timestamp", 1114),
    ("timestamptz", 1184),
    ("numeric", 1700),
];

pub(super) fn function() -> ScalarUDF {
    create_udf("to_regtype", vec![DataType::Utf8], DataType::Int32, Volatility::Stable, Arc::new(lookup))
}

fn lookup(args: &[ColumnarValue]) -> Result<ColumnarValue> {
    let names = ColumnarValue::values_to_arrays(args)?;
    let oid = |name: &str| TYPES.iter().find(|t| t.0.eq_ignore_ascii_case(name)).map(|t| t.1);
    let found: Int32Array = as_string_array(&names[0])?.iter().map(|n| n.and_then(oid)).collect();
    Ok(ColumnarValue::Array(Arc::new(found) as ArrayRef))
}
