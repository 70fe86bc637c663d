//! OpenTelemetry metrics over HTTP (OTLP 1.x, `ExportMetricsServiceRequest`), in protobuf and in its JSON.
//!
//! A data point becomes `{metric},{attributes of resource and point} … {time}` with the field `value` (gauge, sum) or `count`, `sum`, `min`,
//! `max` (histogram, exponential histogram, summary). The unit is the tag `otlp.unit`, the temporality of sums and histograms is
//! `otlp.temporality` (`delta` or `cumulative`), so that a mapping can choose with `when`. Traps: 64-bit integers are texts in the JSON;
//! attributes of a point win over those of its resource; lists, maps and bytes as attributes are left out, as are buckets and quantiles;
//! a point flagged as "no recorded value" and a NaN have no value.

use super::line::{Number, Writer};
use crate::IngestError;
use bytes::Bytes;
use prost::Message;
use serde::{Deserialize, Deserializer, de};
use std::collections::BTreeMap;

/// Attributes of one data point with its resource.
const ATTRIBUTES_MAX: usize = 128;
/// `DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK`.
const NO_VALUE: u32 = 1;

/// Declares messages that are read from protobuf and from JSON alike.
macro_rules! messages {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field:meta])* $key:ident: $kind:ty,)* })*) => {
        $($(#[$doc])*
        #[derive(Clone, PartialEq, Message, Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        pub(super) struct $name { $($(#[$field])* pub(super) $key: $kind,)* })*
    };
}

messages! {
    Request {
        #[prost(message, repeated, tag = "1")] resource_metrics: Vec<ResourceMetrics>,
    }
    ResourceMetrics {
        #[prost(message, optional, tag = "1")] resource: Option<Resource>,
        #[prost(message, repeated, tag = "2")] scope_metrics: Vec<ScopeMetrics>,
    }
    Resource {
        #[prost(message, repeated, tag = "1")] attributes: Vec<KeyValue>,
    }
    ScopeMetrics {
        #[prost(message, repeated, tag = "2")] metrics: Vec<Metric>,
    }
    /// The kinds are a `oneof`, which on the wire is the same as optional fields.
    Metric {
        #[prost(string, tag = "1")] name: String,
        #[prost(string, tag = "3")] unit: String,
        #[prost(message, optional, tag = "5")] gauge: Option<Numbers>,
        #[prost(message, optional, tag = "7")] sum: Option<Numbers>,
        #[prost(message, optional, tag = "9")] histogram: Option<Histograms>,
        #[prost(message, optional, tag = "10")] exponential_histogram: Option<Exponentials>,
        #[prost(message, optional, tag = "11")] summary: Option<Summaries>,
    }
    Numbers {
        #[prost(message, repeated, tag = "1")] data_points: Vec<NumberPoint>,
        #[prost(int32, tag = "2")] #[serde(deserialize_with = "temporality")] aggregation_temporality: i32,
    }
    NumberPoint {
        #[prost(message, repeated, tag = "7")] attributes: Vec<KeyValue>,
        #[prost(fixed64, tag = "3")] #[serde(deserialize_with = "lenient")] time_unix_nano: u64,
        #[prost(double, optional, tag = "4")] #[serde(deserialize_with = "some")] as_double: Option<f64>,
        #[prost(sfixed64, optional, tag = "6")] #[serde(deserialize_with = "some")] as_int: Option<i64>,
        #[prost(uint32, tag = "8")] flags: u32,
    }
    Histograms {
        #[prost(message, repeated, tag = "1")] data_points: Vec<HistogramPoint>,
        #[prost(int32, tag = "2")] #[serde(deserialize_with = "temporality")] aggregation_temporality: i32,
    }
    HistogramPoint {
        #[prost(message, repeated, tag = "9")] attributes: Vec<KeyValue>,
        #[prost(fixed64, tag = "3")] #[serde(deserialize_with = "lenient")] time_unix_nano: u64,
        #[prost(fixed64, tag = "4")] #[serde(deserialize_with = "lenient")] count: u64,
        #[prost(double, optional, tag = "5")] #[serde(deserialize_with = "some")] sum: Option<f64>,
        #[prost(double, optional, tag = "11")] #[serde(deserialize_with = "some")] min: Option<f64>,
        #[prost(double, optional, tag = "12")] #[serde(deserialize_with = "some")] max: Option<f64>,
        #[prost(uint32, tag = "10")] flags: u32,
    }
    Exponentials {
        #[prost(message, repeated, tag = "1")] data_points: Vec<ExponentialPoint>,
        #[prost(int32, tag = "2")] #[serde(deserialize_with = "temporality")] aggregation_temporality: i32,
    }
    ExponentialPoint {
        #[prost(message, repeated, tag = "1")] attributes: Vec<KeyValue>,
        #[prost(fixed64, tag = "3")] #[serde(deserialize_with = "lenient")] time_unix_nano: u64,
        #[prost(fixed64, tag = "4")] #[serde(deserialize_with = "lenient")] count: u64,
        #[prost(double, optional, tag = "5")] #[serde(deserialize_with = "some")] sum: Option<f64>,
        #[prost(double, optional, tag = "12")] #[serde(deserialize_with = "some")] min: Option<f64>,
        #[prost(double, optional, tag = "13")] #[serde(deserialize_with = "some")] max: Option<f64>,
        #[prost(uint32, tag = "10")] flags: u32,
    }
    Summaries {
        #[prost(message, repeated, tag = "1")] data_points: Vec<SummaryPoint>,
    }
    SummaryPoint {
        #[prost(message, repeated, tag = "7")] attributes: Vec<KeyValue>,
        #[prost(fixed64, tag = "3")] #[serde(deserialize_with = "lenient")] time_unix_nano: u64,
        #[prost(fixed64, tag = "4")] #[serde(deserialize_with = "lenient")] count: u64,
        #[prost(double, tag = "5")] #[serde(deserialize_with = "lenient")] sum: f64,
        #[prost(uint32, tag = "8")] flags: u32,
    }
    KeyValue {
        #[prost(string, tag = "1")] key: String,
        #[prost(message, optional, tag = "2")] value: Option<AnyValue>,
    }
    /// Scalars only.
    AnyValue {
        #[prost(string, optional, tag = "1")] string_value: Option<String>,
        #[prost(bool, optional, tag = "2")] bool_value: Option<bool>,
        #[prost(int64, optional, tag = "3")] #[serde(deserialize_with = "some")] int_value: Option<i64>,
        #[prost(double, optional, tag = "4")] #[serde(deserialize_with = "some")] double_value: Option<f64>,
    }
}

/// A number as a number or as a text (`"NaN"` and `"Infinity"` too), as the JSON of protobuf allows.
fn lenient<'de, D: Deserializer<'de>, T: std::str::FromStr>(from: D) -> Result<T, D::Error> {
    let text = match serde_json::Value::deserialize(from)? {
        serde_json::Value::String(text) => text,
        serde_json::Value::Number(number) => number.to_string(),
        other => return Err(de::Error::custom(format_args!("{other} is no number"))),
    };
    text.parse().map_err(|_| de::Error::custom(format_args!("'{}' is no number that fits", crate::decode::reject::cut(&text, 40))))
}

/// An enumeration is a number in OTLP's JSON, and a name in that of protobuf.
fn temporality<'de, D: Deserializer<'de>>(from: D) -> Result<i32, D::Error> {
    Ok(match serde_json::Value::deserialize(from)? {
        serde_json::Value::String(name) if name == "AGGREGATION_TEMPORALITY_DELTA" => 1,
        serde_json::Value::String(name) if name == "AGGREGATION_TEMPORALITY_CUMULATIVE" => 2,
        other => other.as_i64().and_then(|n| i32::try_from(n).ok()).unwrap_or(0),
    })
}

fn some<'de, D: Deserializer<'de>, T: std::str::FromStr>(from: D) -> Result<Option<T>, D::Error> {
    lenient(from).map(Some)
}

pub(super) fn lines(body: &[u8], json: bool, bytes_max: usize) -> Result<Bytes, IngestError> {
    let broken = |e: &dyn std::fmt::Display| IngestError::Invalid(format!("not metrics of OpenTelemetry: {e}"));
    let request = if json {
        serde_json::from_slice::<Request>(body).map_err(|e| broken(&e))?
    } else {
        Request::decode(body).map_err(|e| broken(&e))?
    };
    let mut out = Writer::new(bytes_max);
    for ResourceMetrics { resource, scope_metrics } in request.resource_metrics {
        let resource = resource.unwrap_or_default().attributes;
        for metric in scope_metrics.iter().flat_map(|s| &s.metrics) {
            if metric.name.is_empty() {
                return Err(broken(&"a metric has no name"));
            }
            points(metric, &resource, &mut out)?;
        }
    }
    Ok(out.finish())
}

/// What the points of all kinds have.
struct Common<'a> {
    metric: &'a Metric,
    resource: &'a [KeyValue],
    temporality: i32,
}

fn points(metric: &Metric, resource: &[KeyValue], out: &mut Writer) -> Result<(), IngestError> {
    let common = |temporality| Common { metric, resource, temporality };
    for numbers in metric.gauge.iter().chain(&metric.sum) {
        let common = common(numbers.aggregation_temporality);
        for p in &numbers.data_points {
            let value = p.as_double.map(Number::Float).or(p.as_int.map(Number::Int));
            common.write(&p.attributes, (p.flags, p.time_unix_nano), &[("value", value)], out)?;
        }
    }
    let float = |v: Option<f64>| v.map(Number::Float);
    if let Some(histogram) = &metric.histogram {
        let common = common(histogram.aggregation_temporality);
        for p in &histogram.data_points {
            let fields = [("count", Some(Number::Count(p.count))), ("sum", float(p.sum)), ("min", float(p.min)), ("max", float(p.max))];
            common.write(&p.attributes, (p.flags, p.time_unix_nano), &fields, out)?;
        }
    }
    if let Some(histogram) = &metric.exponential_histogram {
        let common = common(histogram.aggregation_temporality);
        for p in &histogram.data_points {
            let fields = [("count", Some(Number::Count(p.count))), ("sum", float(p.sum)), ("min", float(p.min)), ("max", float(p.max))];
            common.write(&p.attributes, (p.flags, p.time_unix_nano), &fields, out)?;
        }
    }
    for p in metric.summary.iter().flat_map(|s| &s.data_points) {
        let fields = [("count", Some(Number::Count(p.count))), ("sum", float(Some(p.sum)))];
        common(0).write(&p.attributes, (p.flags, p.time_unix_nano), &fields, out)?;
    }
    Ok(())
}

impl Common<'_> {
    fn write(
        &self,
        attributes: &[KeyValue],
        (flags, nanos): (u32, u64),
        fields: &[(&str, Option<Number>)],
        out: &mut Writer,
    ) -> Result<(), IngestError> {
        if flags & NO_VALUE != 0 {
            return Ok(());
        }
        if self.resource.len() + attributes.len() > ATTRIBUTES_MAX {
            let (value, limit) = ((self.resource.len() + attributes.len()) as u64, ATTRIBUTES_MAX as u64);
            return Err(IngestError::Limit {
                what: "the number of attributes of a point",
                value,
                limit,
                fix: "drop attributes in the collector",
            });
        }
        let texts: BTreeMap<&str, String> =
            self.resource.iter().chain(attributes).filter_map(|a| Some((a.key.as_str(), text(a.value.as_ref()?)?))).collect();
        let temporality = match self.temporality {
            1 => "delta",
            2 => "cumulative",
            _ => "",
        };
        let own = [("otlp.unit", self.metric.unit.as_str()), ("otlp.temporality", temporality)];
        let head = Writer::head(&self.metric.name, texts.iter().map(|(k, v)| (*k, v.as_str())).chain(own));
        let fields: Vec<_> = fields.iter().copied().filter(|(_, v)| !matches!(v, Some(Number::Float(v)) if v.is_nan())).collect();
        // 0 is "unknown" (the standard), and over 2^63 is the year 2262.
        let nanos =
            i64::try_from(nanos).map_err(|_| IngestError::Invalid("not metrics of OpenTelemetry: a time is out of range".into()))?;
        out.line(&head, &fields, (nanos > 0).then_some(nanos))
    }
}

fn text(value: &AnyValue) -> Option<String> {
    let AnyValue { string_value, bool_value, int_value, double_value } = value;
    string_value
        .clone()
        .or_else(|| bool_value.map(|v| v.to_string()))
        .or_else(|| int_value.map(|v| v.to_string()))
        .or_else(|| double_value.map(|v| v.to_string()))
}
