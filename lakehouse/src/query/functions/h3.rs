//! H3 cells in SQL. A cell is an `Int64`, as in the column `h3`; what is not a cell gives NULL.

use arrow_array::{Array, ArrayRef, Float64Array, Int64Array, StringArray, cast::AsArray, types::Float64Type, types::Int64Type};
use arrow_schema::DataType;
use datafusion::{
    error::Result,
    logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf},
};
use h3o::{CellIndex, LatLng, Resolution};
use schemas::{Cell, Position};
use std::sync::Arc;

/// `h3_latlng_to_cell(lat, lon, resolution)`, `h3_cell_to_parent(cell, resolution)`, `h3_cell_to_string(cell)`,
/// `h3_string_to_cell(text)`, `h3_cell_to_lat(cell)`, `h3_cell_to_lng(cell)`.
pub(super) fn all() -> Vec<ScalarUDF> {
    use DataType::{Float64, Int64, Utf8};
    vec![
        function("h3_latlng_to_cell", vec![Float64, Float64, Int64], Int64, latlng_to_cell),
        function("h3_cell_to_parent", vec![Int64, Int64], Int64, cell_to_parent),
        function("h3_cell_to_string", vec![Int64], Utf8, cell_to_string),
        function("h3_string_to_cell", vec![Utf8], Int64, string_to_cell),
        function("h3_cell_to_lat", vec![Int64], Float64, |a| coordinate(a, |p| p.lat())),
        function("h3_cell_to_lng", vec![Int64], Float64, |a| coordinate(a, |p| p.lng())),
    ]
}

fn function(name: &str, takes: Vec<DataType>, gives: DataType, body: fn(&[ArrayRef]) -> ArrayRef) -> ScalarUDF {
    let run = move |args: &[ColumnarValue]| -> Result<ColumnarValue> {
        let scalar = args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let out = body(&ColumnarValue::values_to_arrays(args)?);
        if scalar {
            return Ok(ColumnarValue::Scalar(datafusion::scalar::ScalarValue::try_from_array(&out, 0)?));
        }
        Ok(ColumnarValue::Array(out))
    };
    create_udf(name, takes, gives, Volatility::Immutable, Arc::new(run))
}

fn resolution(value: Option<i64>) -> Option<Resolution> {
    Resolution::try_from(u8::try_from(value?).ok()?).ok()
}

fn ints(array: &ArrayRef) -> impl Iterator<Item = Option<i64>> {
    array.as_primitive::<Int64Type>().iter()
}

fn floats(array: &ArrayRef) -> impl Iterator<Item = Option<f64>> {
    array.as_primitive::<Float64Type>().iter()
}

fn index(cell: Option<i64>) -> Option<CellIndex> {
    Cell(cell?).index()
}

fn latlng_to_cell(args: &[ArrayRef]) -> ArrayRef {
    let rows = floats(&args[0]).zip(floats(&args[1])).zip(ints(&args[2]));
    Arc::new(rows.map(|((lat, lon), r)| Some(Position::new(lon?, lat?)?.cell_at(resolution(r)?).0)).collect::<Int64Array>())
}

fn cell_to_parent(args: &[ArrayRef]) -> ArrayRef {
    let rows = ints(&args[0]).zip(ints(&args[1]));
    Arc::new(rows.map(|(cell, r)| Some(Cell(cell?).parent(resolution(r)?)?.0)).collect::<Int64Array>())
}

fn cell_to_string(args: &[ArrayRef]) -> ArrayRef {
    Arc::new(ints(&args[0]).map(|cell| index(cell).map(|i| Cell::from(i).text())).collect::<StringArray>())
}

fn string_to_cell(args: &[ArrayRef]) -> ArrayRef {
    let texts = args[0].as_string::<i32>();
    Arc::new(
        (0..texts.len())
            .map(|i| texts.is_valid(i).then(|| texts.value(i).parse::<CellIndex>().ok().map(|c| Cell::from(c).0)).flatten())
            .collect::<Int64Array>(),
    )
}

fn coordinate(args: &[ArrayRef], pick: fn(LatLng) -> f64) -> ArrayRef {
    Arc::new(ints(&args[0]).map(|cell| index(cell).map(|i| pick(LatLng::from(i)))).collect::<Float64Array>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_cell_is_null() {
        let cells: ArrayRef = Arc::new(Int64Array::from(vec![Some(-1), Some(7), None]));
        assert_eq!(cell_to_string(std::slice::from_ref(&cells)).null_count(), 3);
        let deep: ArrayRef = Arc::new(Int64Array::from(vec![16, -1, 99]));
        assert_eq!(cell_to_parent(&[cells, deep]).null_count(), 3);
    }

    #[test]
    fn text_and_number_are_the_same_cell() {
        let p = Position::new(11.3428, 44.4938).unwrap().cell();
        let text = cell_to_string(&[Arc::new(Int64Array::from(vec![p.0]))]);
        let back = string_to_cell(&[text]);
        assert_eq!(back.as_primitive::<Int64Type>().value(0), p.0);
    }
}
