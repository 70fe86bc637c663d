//! Functions that PostgreSQL's clients call on its catalogues and that have one answer here: there are no views, triggers,
//! routines or tablespaces to describe, and whatever a caller can name it can see.

use arrow_array::{Array, ArrayRef, Int16Array, Int32Array, ListArray, StringArray, StructArray, cast::AsArray, types::Int64Type};
use arrow_schema::{DataType, Field, Fields};
use datafusion::{
    arrow::compute::cast,
    common::cast::as_list_array,
    error::{DataFusionError, Result},
    logical_expr::{ColumnarValue, ScalarUDF, Signature, Volatility, expr_fn::SimpleScalarUDF},
    scalar::ScalarValue,
};
use std::sync::Arc;

use crate::query::setting;

/// True of everything that is asked about.
const TRUE: [&str; 11] = [
    "pg_function_is_visible",
    "pg_operator_is_visible",
    "pg_collation_is_visible",
    "pg_conversion_is_visible",
    "pg_opclass_is_visible",
    "pg_opfamily_is_visible",
    "pg_ts_config_is_visible",
    "pg_ts_dict_is_visible",
    "pg_statistics_obj_is_visible",
    "pg_has_role",
    "has_function_privilege",
];
const FALSE: [&str; 2] = ["pg_is_in_recovery", "pg_is_other_temp_schema"];
/// Texts that nothing here has.
const NO_TEXT: [&str; 11] = [
    "shobj_description",
    "pg_get_viewdef",
    "pg_get_ruledef",
    "pg_get_triggerdef",
    "pg_get_functiondef",
    "pg_get_function_result",
    "pg_get_function_arguments",
    "pg_get_function_identity_arguments",
    "pg_get_function_sqlbody",
    "pg_get_serial_sequence",
    "pg_tablespace_location",
];
const NO_NUMBER: [&str; 3] = ["pg_database_size", "pg_tablespace_size", "pg_indexes_size"];
/// `pg_encoding` of UTF8 in PostgreSQL.
const UTF8: i32 = 6;

pub(super) fn all() -> Vec<ScalarUDF> {
    let mut out = Vec::new();
    let mut add = |names: &[&str], gives: DataType, value: ScalarValue| {
        for name in names {
            let value = value.clone();
            out.push(function(name, gives.clone(), move |_| Ok(ColumnarValue::Scalar(value.clone()))));
        }
    };
    add(&TRUE, DataType::Boolean, ScalarValue::from(true));
    add(&FALSE, DataType::Boolean, ScalarValue::from(false));
    add(&NO_TEXT, DataType::Utf8, ScalarValue::Utf8(None));
    add(&NO_NUMBER, DataType::Int64, ScalarValue::Int64(None));
    add(&["pg_char_to_encoding"], DataType::Int32, ScalarValue::from(UTF8));
    add(&["pg_my_temp_schema"], DataType::Int32, ScalarValue::from(0_i32));
    out.push(function("pg_size_pretty", DataType::Utf8, size_pretty));
    out.push(function("_pg_expandarray", DataType::Struct(pair()), expand));
    out
}

fn function(name: &str, gives: DataType, body: impl Fn(&[ColumnarValue]) -> Result<ColumnarValue> + Send + Sync + 'static) -> ScalarUDF {
    // No arguments, or any.
    let any = Signature::one_of(
        vec![datafusion::logical_expr::TypeSignature::Nullary, datafusion::logical_expr::TypeSignature::VariadicAny],
        Volatility::Stable,
    );
    SimpleScalarUDF::new_with_signature(name, any, gives, Arc::new(body)).into()
}

/// `current_setting(name[, missing_ok])`: what `SHOW` says, with the path of the session.
pub(super) fn current_setting(search_path: &str) -> ScalarUDF {
    let search_path = search_path.to_owned();
    function("current_setting", DataType::Utf8, move |args| {
        let names = cast(&first(args)?, &DataType::Utf8)?;
        let of = |name: &str| match name.eq_ignore_ascii_case("search_path") {
            true => Some(search_path.as_str()),
            false => setting(name),
        };
        let found: StringArray = names.as_string::<i32>().iter().map(|name| of(name?)).collect();
        if args.len() == 1 && found.null_count() > 0 {
            return Err(DataFusionError::Plan("there is no such setting; SELECT name FROM pg_settings lists them".to_owned()));
        }
        Ok(ColumnarValue::Array(Arc::new(found)))
    })
}

fn first(args: &[ColumnarValue]) -> Result<ArrayRef> {
    ColumnarValue::values_to_arrays(args)?
        .into_iter()
        .next()
        .ok_or_else(|| DataFusionError::Plan("the function takes an argument".to_owned()))
}

/// `3 kB` as PostgreSQL rounds it.
fn size_pretty(args: &[ColumnarValue]) -> Result<ColumnarValue> {
    let bytes = cast(&first(args)?, &DataType::Int64)?;
    let texts: StringArray = bytes.as_primitive::<Int64Type>().iter().map(|b| b.map(pretty)).collect();
    Ok(ColumnarValue::Array(Arc::new(texts)))
}

fn pretty(bytes: i64) -> String {
    const UNITS: [&str; 6] = ["bytes", "kB", "MB", "GB", "TB", "PB"];
    let (mut value, mut unit) = (bytes, 0);
    // PostgreSQL goes on to the next unit from ten thousand on.
    while value.abs() >= 10_240 && unit + 1 < UNITS.len() {
        value = (value + 512) / 1_024;
        unit += 1;
    }
    format!("{value} {}", UNITS[unit])
}

fn pair() -> Fields {
    vec![Field::new("x", DataType::Int16, true), Field::new("n", DataType::Int32, true)].into()
}

/// In PostgreSQL a set of elements with their numbers; here it is only asked about indexes, and there is none.
fn expand(args: &[ColumnarValue]) -> Result<ColumnarValue> {
    let array = first(args)?;
    let list: &ListArray = as_list_array(&array)?;
    if !list.is_empty() && list.null_count() < list.len() {
        return Err(DataFusionError::NotImplemented("_pg_expandarray of an array with elements; use unnest".to_owned()));
    }
    let (x, n): (ArrayRef, ArrayRef) = (Arc::new(Int16Array::new_null(list.len())), Arc::new(Int32Array::new_null(list.len())));
    Ok(ColumnarValue::Array(Arc::new(StructArray::new(pair(), vec![x, n], None))))
}

#[cfg(test)]
mod tests {
    use super::pretty;

    #[test]
    fn sizes_are_written_as_postgresql_does() {
        for (bytes, text) in [(0, "0 bytes"), (10_239, "10239 bytes"), (10_240, "10 kB"), (123_456_789, "118 MB")] {
            assert_eq!(pretty(bytes), text);
        }
    }
}
