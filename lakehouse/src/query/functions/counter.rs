//! `increase(value)` and `rate(value, time)` over a window in time order: what a counter grew by since the row before, and per second.
//!
//! A counter that fell was reset, so all of its value is new (as in Prometheus). Rows without a value are stepped over. The first row of
//! a partition has no answer.

use arrow_array::{Array, ArrayRef, Float64Array, cast::AsArray, types::TimestampMicrosecondType};
use arrow_schema::{DataType, Field, FieldRef};
use datafusion::{
    common::Result,
    logical_expr::{
        PartitionEvaluator, Signature, TypeSignature, Volatility, WindowUDF, WindowUDFImpl,
        function::{PartitionEvaluatorArgs, WindowUDFFieldArgs},
    },
};
use schemas::row;
use std::sync::Arc;

const MICROS: f64 = 1e6;

pub(super) fn all() -> [WindowUDF; 2] {
    let counter =
        |name, takes| WindowUDF::from(Counter { name, signature: Signature::new(TypeSignature::Exact(takes), Volatility::Immutable) });
    [counter("increase", vec![DataType::Float64]), counter("rate", vec![DataType::Float64, row::timestamp_type()])]
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Counter {
    name: &'static str,
    signature: Signature,
}

impl WindowUDFImpl for Counter {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn partition_evaluator(&self, _: PartitionEvaluatorArgs) -> Result<Box<dyn PartitionEvaluator>> {
        Ok(Box::new(Growth))
    }

    fn field(&self, args: WindowUDFFieldArgs) -> Result<FieldRef> {
        Ok(Field::new(args.name(), DataType::Float64, true).into())
    }
}

#[derive(Debug)]
struct Growth;

impl PartitionEvaluator for Growth {
    fn evaluate_all(&mut self, columns: &[ArrayRef], _: usize) -> Result<ArrayRef> {
        let times = columns.get(1).map(|times| times.as_primitive::<TimestampMicrosecondType>().clone());
        let seconds = |from: usize, to: usize| match &times {
            None => Some(1.0),
            Some(t) if t.is_valid(from) && t.is_valid(to) => Some((t.value(to) - t.value(from)) as f64 / MICROS).filter(|s| *s > 0.0),
            Some(_) => None,
        };
        Ok(Arc::new(growth(columns[0].as_primitive(), seconds)))
    }
}

fn growth(values: &Float64Array, seconds: impl Fn(usize, usize) -> Option<f64>) -> Float64Array {
    let mut before: Option<usize> = None;
    let next = |i: usize| {
        let value = values.is_valid(i).then(|| values.value(i))?;
        let out = before.and_then(|b| {
            let last = values.value(b);
            let grown = if value < last { value } else { value - last };
            seconds(b, i).map(|s| grown / s)
        });
        before = Some(i);
        out
    };
    (0..values.len()).map(next).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_grows_is_reset_and_may_miss_a_row() {
        let values = Float64Array::from(vec![Some(5.0), Some(8.0), None, Some(20.0), Some(3.0)]);
        let want = Float64Array::from(vec![None, Some(3.0), None, Some(12.0), Some(3.0)]);
        assert_eq!(growth(&values, |_, _| Some(1.0)), want);
        let want = Float64Array::from(vec![None, Some(0.3), None, Some(0.6), Some(0.3)]);
        assert_eq!(growth(&values, |from, to| Some((to - from) as f64 * 10.0)), want);
    }
}
