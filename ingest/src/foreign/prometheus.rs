//! Prometheus remote write 1.0 (specification of April 2023): `WriteRequest` in protobuf, compressed with snappy's block format.
//!
//! A sample becomes `{__name__},{label}={value},… value={value} {time}`. Traps: a stale marker is a NaN and means "no value any more", as does
//! every NaN of a quantile without observations, so they are left out; infinities are quarantined; histograms of the experimental
//! native kind, exemplars and metadata are left out.

use super::line::{Number, Writer};
use crate::{IngestError, http::within_limit};
use bytes::Bytes;
use prost::Message;

/// Labels of one series.
const LABELS_MAX: usize = 64;

#[derive(Clone, PartialEq, Message)]
pub(super) struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    pub(super) timeseries: Vec<TimeSeries>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    pub(super) labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    pub(super) samples: Vec<Sample>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Label {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) value: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Sample {
    #[prost(double, tag = "1")]
    pub(super) value: f64,
    /// Milliseconds of the epoch.
    #[prost(int64, tag = "2")]
    pub(super) timestamp: i64,
}

pub(super) fn lines(body: &[u8], bytes_max: usize) -> Result<Bytes, IngestError> {
    let broken = |e: &dyn std::fmt::Display| IngestError::Invalid(format!("not a remote write of Prometheus: {e}"));
    let len = snap::raw::decompress_len(body).map_err(|e| broken(&e))?;
    within_limit(len, bytes_max)?;
    let plain = snap::raw::Decoder::new().decompress_vec(body).map_err(|e| broken(&e))?;
    let request = WriteRequest::decode(plain.as_slice()).map_err(|e| broken(&e))?;
    let mut out = Writer::new(bytes_max);
    for series in request.timeseries {
        if series.labels.len() > LABELS_MAX {
            let (value, limit) = (series.labels.len() as u64, LABELS_MAX as u64);
            return Err(IngestError::Limit {
                what: "the number of labels of a series",
                value,
                limit,
                fix: "drop labels with write_relabel_configs",
            });
        }
        let name = series.labels.iter().find(|l| l.name == "__name__").map_or("", |l| l.value.as_str());
        if name.is_empty() {
            return Err(broken(&"a series has no label '__name__'"));
        }
        let tags = series.labels.iter().filter(|l| l.name != "__name__").map(|l| (l.name.as_str(), l.value.as_str()));
        let head = Writer::head(name, tags);
        for sample in series.samples.into_iter().filter(|s| !s.value.is_nan()) {
            let nanos = sample.timestamp.checked_mul(1_000_000).ok_or_else(|| broken(&"a timestamp is out of range"))?;
            out.line(&head, &[("value", Some(Number::Float(sample.value)))], Some(nanos))?;
        }
    }
    Ok(out.finish())
}
