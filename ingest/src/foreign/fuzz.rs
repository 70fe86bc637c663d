//! For the fuzz targets (`tests/fuzz`), which stand outside the crate.

use crate::{IngestError, lines};
use bytes::Bytes;

/// Lines of a compressed remote write.
///
/// # Errors
/// As at the door.
pub fn prometheus(body: &[u8], bytes_max: usize) -> Result<Bytes, IngestError> {
    super::prometheus::lines(body, bytes_max)
}

/// Lines of OpenTelemetry metrics.
///
/// # Errors
/// As at the door.
pub fn otlp(body: &[u8], json: bool, bytes_max: usize) -> Result<Bytes, IngestError> {
    super::otlp::lines(body, json, bytes_max)
}

#[must_use]
pub fn in_nanoseconds(body: &[u8], precision: &str) -> Bytes {
    lines::in_nanoseconds(body, lines::Precision::named(precision).unwrap_or_default())
}
