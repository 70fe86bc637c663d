//! The protobuf messages of Sparkplug B (`sparkplug_b.proto`), the parts that carry values. Other fields are skipped as unknown.

use serde_json::{Number, Value};

/// A message.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Payload {
    /// Milliseconds of the epoch.
    #[prost(uint64, optional, tag = "1")]
    pub(crate) timestamp: Option<u64>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) metrics: Vec<Metric>,
    #[prost(uint64, optional, tag = "3")]
    pub(crate) seq: Option<u64>,
}

/// One metric.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Metric {
    #[prost(string, optional, tag = "1")]
    pub(crate) name: Option<String>,
    #[prost(uint64, optional, tag = "2")]
    pub(crate) alias: Option<u64>,
    #[prost(uint64, optional, tag = "3")]
    pub(crate) timestamp: Option<u64>,
    #[prost(uint32, optional, tag = "4")]
    pub(crate) datatype: Option<u32>,
    #[prost(bool, optional, tag = "5")]
    pub(crate) is_historical: Option<bool>,
    #[prost(bool, optional, tag = "7")]
    pub(crate) is_null: Option<bool>,
    #[prost(oneof = "Scalar", tags = "10, 11, 12, 13, 14, 15, 16")]
    pub(crate) value: Option<Scalar>,
}

/// The value of a metric.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum Scalar {
    #[prost(uint32, tag = "10")]
    Int(u32),
    #[prost(uint64, tag = "11")]
    Long(u64),
    #[prost(float, tag = "12")]
    Float(f32),
    #[prost(double, tag = "13")]
    Double(f64),
    #[prost(bool, tag = "14")]
    Boolean(bool),
    #[prost(string, tag = "15")]
    Text(String),
    #[prost(bytes = "vec", tag = "16")]
    Bytes(Vec<u8>),
}

impl Metric {
    /// The value by its data type, `Null` when the metric is null, `None` for kinds that are no scalars. The error is a rule.
    pub(crate) fn read(&self, datatype: u32) -> Result<Option<Value>, &'static str> {
        if self.is_null == Some(true) {
            return Ok(Some(Value::Null));
        }
        let Some(value) = &self.value else { return Ok(None) };
        // Codes of the specification, chapter 6: 1 to 4 are Int8 to Int64. The casts are its two's complement.
        Ok(Some(match (value, datatype) {
            (Scalar::Int(v), 1) => i64::from(*v as i8).into(),
            (Scalar::Int(v), 2) => i64::from(*v as i16).into(),
            (Scalar::Int(v), 3) => i64::from(*v as i32).into(),
            (Scalar::Int(v), 11) => (*v != 0).into(),
            (Scalar::Int(v), _) => (*v).into(),
            (Scalar::Long(v), 1..=4) => (*v as i64).into(),
            (Scalar::Long(v), _) => (*v).into(),
            // Its shortest decimal, which is what the device meant.
            (Scalar::Float(v), _) => {
                v.to_string().parse().ok().and_then(Number::from_f64).map(Value::Number).ok_or("is not a finite number")?
            }
            (Scalar::Double(v), _) => Number::from_f64(*v).map(Value::Number).ok_or("is not a finite number")?,
            (Scalar::Boolean(v), _) => (*v).into(),
            (Scalar::Text(v), _) => v.clone().into(),
            (Scalar::Bytes(_), _) => return Ok(None),
        }))
    }
}
