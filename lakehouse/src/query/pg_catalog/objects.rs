//! The caller's tables by object identifier: what `pg_description` and the functions about one object answer from.

use super::PgCatalog;
use crate::query::catalog::Door;
use arrow_array::{Array, ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, cast::AsArray, types::Int32Type};
use arrow_schema::{DataType, Schema};
use datafusion::{
    arrow::compute::cast,
    catalog::SchemaProvider,
    error::{DataFusionError, Result},
    logical_expr::{ColumnarValue, ScalarUDF, Signature, Volatility, expr_fn::SimpleScalarUDF},
    prelude::SessionContext,
    scalar::ScalarValue,
};
use schemas::{ProductId, TableRef, Tenant, ops, ops::OpsTable};
use std::{collections::HashMap, sync::Arc};

/// Object identifier of `pg_class` in PostgreSQL: the kind of object that a description of a table or column is of.
const PG_CLASS: i32 = 1_259;

#[derive(Debug)]
struct Object {
    schema: String,
    name: String,
    bytes: i64,
    comment: Option<String>,
    /// By number of the column, from 1.
    columns: Vec<Option<String>>,
}

#[derive(Debug)]
pub(crate) struct Objects(HashMap<i32, Object>);

impl Objects {
    /// Identifiers are `pg_catalog`'s own, so that what is looked up here joins with what it lists.
    pub(crate) async fn of(pg_catalog: &PgCatalog, door: &Door) -> Result<Self> {
        let namespaces: HashMap<i32, String> =
            named(pg_catalog, "pg_namespace", "nspname").await?.into_iter().map(|(oid, name, _)| (oid, name)).collect();
        let views = door.pin();
        let mut out = HashMap::new();
        for (oid, name, namespace) in named(pg_catalog, "pg_class", "relname").await? {
            let Some(schema) = namespaces.get(&namespace) else { continue };
            let Some(view) = door.view(&views, schema, &name) else { continue };
            let bytes = view.files.iter().map(|f| f.size).sum::<u64>();
            let (comment, columns) = comments(door, schema, &name, &view.schema);
            let object = Object { schema: schema.clone(), name, bytes: i64::try_from(bytes).unwrap_or(i64::MAX), comment, columns };
            out.insert(oid, object);
        }
        Ok(Self(out))
    }

    /// Rows of `pg_description` about these objects, with its columns.
    pub(super) fn descriptions(&self, schema: &Arc<Schema>) -> Result<RecordBatch> {
        let mut rows: Vec<(i32, i32, &str)> = Vec::new();
        for (oid, object) in &self.0 {
            rows.extend(object.comment.iter().map(|c| (*oid, 0, c.as_str())));
            rows.extend((1..).zip(&object.columns).filter_map(|(n, c)| Some((*oid, n, c.as_deref()?))));
        }
        rows.sort_unstable();
        let column = |name: &str| -> ArrayRef {
            match name {
                "objoid" => Arc::new(Int32Array::from_iter_values(rows.iter().map(|r| r.0))),
                "objsubid" => Arc::new(Int32Array::from_iter_values(rows.iter().map(|r| r.1))),
                "classoid" => Arc::new(Int32Array::from_iter_values(rows.iter().map(|_| PG_CLASS))),
                _ => Arc::new(StringArray::from_iter_values(rows.iter().map(|r| r.2))),
            }
        };
        let columns = schema.fields().iter().map(|f| Ok(cast(&column(f.name()), f.data_type())?)).collect::<Result<Vec<_>>>()?;
        Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
    }

    /// The functions about one object that PostgreSQL has.
    pub(crate) fn functions(self, default_schema: &str) -> Vec<ScalarUDF> {
        let all = Arc::new(self);
        let (comments, columns) = (Arc::clone(&all), Arc::clone(&all));
        let mut out = vec![
            function("obj_description", DataType::Utf8, move |args| {
                texts(args, |oid| comments.0.get(&oid).and_then(|o| o.comment.as_deref()))
            }),
            function("col_description", DataType::Utf8, move |args| {
                let column = |o: &Object, n: i64| {
                    n.checked_sub(1).and_then(|n| usize::try_from(n).ok()).and_then(|n| o.columns.get(n).cloned().flatten())
                };
                let found = |(oid, n): (Option<i32>, Option<i64>)| column(columns.0.get(&oid?)?, n?);
                let numbers = integers(args.get(1))?;
                let found: StringArray = identifiers(args.first())?.into_iter().zip(numbers).map(found).collect();
                Ok(Arc::new(found))
            }),
        ];
        for name in ["pg_table_size", "pg_relation_size", "pg_total_relation_size"] {
            let sizes = Arc::clone(&all);
            out.push(function(name, DataType::Int64, move |args| {
                let size = |oid: Option<i32>| Some(sizes.0.get(&oid?).map_or(0, |o| o.bytes));
                Ok(Arc::new(identifiers(args.first())?.into_iter().map(size).collect::<Int64Array>()))
            }));
        }
        let schema = default_schema.to_owned();
        out.push(function("to_regclass", DataType::Int32, move |args| {
            let names = cast(args.first().ok_or_else(missing)?, &DataType::Utf8)?;
            let found = names.as_string::<i32>().iter().map(|n| n.and_then(|n| all.named(n, &schema)));
            Ok(Arc::new(found.collect::<Int32Array>()))
        }));
        out
    }

    /// `table`, `schema.table`, quoted or not; or one of PostgreSQL's own catalogues.
    fn named(&self, text: &str, default_schema: &str) -> Option<i32> {
        let parts: Vec<String> = text.split('.').map(|p| p.trim_matches('"').to_owned()).collect();
        let (schema, name) = match parts.as_slice() {
            [name] => (default_schema, name),
            [schema, name] => (schema.as_str(), name),
            _ => return None,
        };
        let own = self.0.iter().find(|(_, o)| o.schema == schema && o.name == *name).map(|(oid, _)| *oid);
        own.or_else(|| crate::query::functions::catalogue_identifier(name))
    }
}

fn comments(door: &Door, schema: &str, name: &str, columns: &Schema) -> (Option<String>, Vec<Option<String>>) {
    let none = || vec![None; columns.fields().len()];
    let table = Tenant::new(schema).ok().zip(ProductId::new(name).ok()).map(|(t, p)| TableRef::new(t, p));
    let Some(table) = table else { return (None, none()) };
    if schema == ops::TENANT {
        return (OpsTable::of(&table).map(|t| t.comment().to_owned()), none());
    }
    match door.contract(&table.product) {
        Some(contract) => (Some(contract.comment()), columns.fields().iter().map(|f| contract.column_comment(f.name())).collect()),
        None => (None, none()),
    }
}

/// Identifier, name and (of a table) schema of every row of a catalogue.
async fn named(pg_catalog: &PgCatalog, catalogue: &str, name: &str) -> Result<Vec<(i32, String, i32)>> {
    let lost = || DataFusionError::Internal(format!("{catalogue} is not in the catalogue"));
    let table = pg_catalog.table(catalogue).await?.ok_or_else(lost)?;
    let batches = SessionContext::new().read_table(table)?.collect().await?;
    let mut out = Vec::new();
    for batch in &batches {
        let column = |name: &str| batch.column_by_name(name).ok_or_else(lost);
        let (oids, names) = (column("oid")?.as_primitive::<Int32Type>(), column(name)?.as_string::<i32>());
        let namespaces = batch.column_by_name("relnamespace").map(|c| c.as_primitive::<Int32Type>());
        out.extend((0..batch.num_rows()).map(|i| (oids.value(i), names.value(i).to_owned(), namespaces.map_or(0, |n| n.value(i)))));
    }
    Ok(out)
}

fn function(name: &str, gives: DataType, body: impl Fn(&[ArrayRef]) -> Result<ArrayRef> + Send + Sync + 'static) -> ScalarUDF {
    let run = move |args: &[ColumnarValue]| {
        let scalar = args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let found = body(&ColumnarValue::values_to_arrays(args)?)?;
        Ok(if scalar { ColumnarValue::Scalar(ScalarValue::try_from_array(&found, 0)?) } else { ColumnarValue::Array(found) })
    };
    let signature = Signature::variadic_any(Volatility::Stable);
    SimpleScalarUDF::new_with_signature(name, signature, gives, Arc::new(run)).into()
}

fn missing() -> DataFusionError {
    DataFusionError::Plan("the function takes an object identifier".to_owned())
}

fn identifiers(column: Option<&ArrayRef>) -> Result<Vec<Option<i32>>> {
    Ok(integers(column)?.into_iter().map(|n| n.and_then(|n| i32::try_from(n).ok())).collect())
}

fn integers(column: Option<&ArrayRef>) -> Result<Vec<Option<i64>>> {
    let column = cast(column.ok_or_else(missing)?, &DataType::Int64)?;
    let numbers = column.as_primitive::<arrow_array::types::Int64Type>();
    Ok((0..numbers.len()).map(|i| numbers.is_valid(i).then(|| numbers.value(i))).collect())
}

fn texts<'a>(args: &[ArrayRef], of: impl Fn(i32) -> Option<&'a str>) -> Result<ArrayRef> {
    let found: StringArray = identifiers(args.first())?.into_iter().map(|oid| oid.and_then(&of)).collect();
    Ok(Arc::new(found))
}
