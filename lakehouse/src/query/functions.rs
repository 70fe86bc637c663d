//! Functions that SQL has here beyond DataFusion's: H3 cells, buckets of local time, and what PostgreSQL clients ask for.

mod catalogue;
mod counter;
mod h3;
mod postgres;
mod regtype;
pub(super) mod time_bucket;

use super::{asof, gap_fill};
use arrow_array::{ArrayRef, ListArray, StringArray};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{DataType, Field};
use datafusion::{
    logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf},
    prelude::SessionContext,
    scalar::ScalarValue,
};
use std::sync::Arc;

pub(super) use catalogue::identifier as catalogue_identifier;

/// Drivers read the number to learn what the server can do.
const VERSION: &str = concat!("PostgreSQL 16.6 (Portico ", env!("CARGO_PKG_VERSION"), ")");

/// The functions that are the same for everybody.
pub(super) fn register(context: &SessionContext) {
    for f in h3::all().into_iter().chain(catalogue::all()).chain(postgres::all()) {
        context.register_udf(f);
    }
    for f in counter::all() {
        context.register_udwf(f);
    }
    for f in gap_fill::functions() {
        context.register_udf(f);
    }
    context.register_udf(asof::function());
    context.register_udf(time_bucket::function());
    context.register_udf(regtype::function());
    context.register_udf(constant("version", VERSION));
}

/// `current_schema()` and `current_schemas(boolean)` of one session.
pub(super) fn register_current_schema(context: &SessionContext, schema: &str) {
    context.register_udf(constant("current_schema", schema));
    context.register_udf(postgres::current_setting(schema));
    let name = schema.to_owned();
    let item = Arc::new(Field::new_list_field(DataType::Utf8, true));
    let kind = DataType::List(Arc::clone(&item));
    let body = move |_: &[ColumnarValue]| {
        let values: ArrayRef = Arc::new(StringArray::from(vec!["pg_catalog", name.as_str()]));
        let list = ListArray::new(Arc::clone(&item), OffsetBuffer::from_lengths([2]), values, None);
        Ok(ColumnarValue::Scalar(ScalarValue::List(Arc::new(list))))
    };
    context.register_udf(create_udf("current_schemas", vec![DataType::Boolean], kind, Volatility::Stable, Arc::new(body)));
}

fn constant(name: &str, value: &str) -> ScalarUDF {
    let value = ScalarValue::from(value);
    create_udf(name, vec![], DataType::Utf8, Volatility::Stable, Arc::new(move |_| Ok(ColumnarValue::Scalar(value.clone()))))
}
