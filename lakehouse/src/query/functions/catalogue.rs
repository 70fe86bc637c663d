//! Functions of PostgreSQL that clients call on its catalogue, beyond those of datafusion-pg-catalog.

use arrow_array::{Array, new_null_array};
use arrow_schema::{DataType, Field};
use datafusion::{
    error::{DataFusionError, Result},
    logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf},
    scalar::ScalarValue,
};
use std::sync::Arc;

/// Object identifiers of the catalogues that `pg_description.classoid` names (`pg_class.dat` of PostgreSQL 16).
const CATALOGUES: [(&str, i32); 12] = [
    ("pg_type", 1247),
    ("pg_attribute", 1249),
    ("pg_proc", 1255),
    ("pg_class", 1259),
    ("pg_database", 1262),
    ("pg_attrdef", 2604),
    ("pg_constraint", 2606),
    ("pg_description", 2609),
    ("pg_index", 2610),
    ("pg_namespace", 2615),
    ("pg_rewrite", 2618),
    ("pg_trigger", 2620),
];

pub(super) fn all() -> Vec<ScalarUDF> {
    use DataType::{Boolean, Int16, Int32, Utf8};
    let numbers = DataType::List(Arc::new(Field::new_list_field(Int16, true)));
    vec![
        stable("pg_type_is_visible", vec![Int32], Boolean, |_| Ok(ColumnarValue::Scalar(ScalarValue::from(true)))),
        stable("pg_get_indexdef", vec![Int32, Int32, Boolean], Utf8, |_| Ok(ColumnarValue::Scalar(ScalarValue::Utf8(None)))),
        stable("generate_subscripts", vec![numbers, Int32], Int32, subscripts),
    ]
}

fn stable(name: &str, takes: Vec<DataType>, gives: DataType, body: fn(&[ColumnarValue]) -> Result<ColumnarValue>) -> ScalarUDF {
    create_udf(name, takes, gives, Volatility::Stable, Arc::new(body))
}

/// In PostgreSQL a set; here only the arrays of the empty catalogues are asked for.
fn subscripts(args: &[ColumnarValue]) -> Result<ColumnarValue> {
    match &args[0] {
        ColumnarValue::Array(array) if array.is_empty() => Ok(ColumnarValue::Array(new_null_array(&DataType::Int32, 0))),
        _ => Err(DataFusionError::NotImplemented("generate_subscripts; use unnest with row_number".to_owned())),
    }
}

/// The identifier of one of PostgreSQL's own catalogues.
pub(in crate::query) fn identifier(name: &str) -> Option<i32> {
    CATALOGUES.iter().find(|c| c.0 == name).map(|c| c.1)
}
