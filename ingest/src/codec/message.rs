//! A codec in the way of a message: the document of a format with `data` and `f_port` in, the same with `object` out.
//!
//! Written beside it: `codec`, exactly which one; `warnings`; and `decoded`, `ok` or `warned`, which a mapping may read as quality.

use super::{Codec, Frame, examples::unhex};
use crate::decode::reject::{Reason, Reject};
use schemas::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{borrow::Cow, collections::BTreeMap};

#[derive(Deserialize)]
struct Parts<'a> {
    #[serde(borrow)]
    event: Option<Cow<'a, str>>,
    #[serde(borrow)]
    data: Option<Cow<'a, str>>,
    f_port: Option<u8>,
    #[serde(borrow)]
    time: Option<Cow<'a, str>>,
    #[serde(borrow)]
    device: Option<Device<'a>>,
}

#[derive(Deserialize)]
struct Device<'a> {
    #[serde(borrow)]
    tags: Option<&'a RawValue>,
}

/// The document with what the codec says. Events without a payload (a battery status) pass as they are.
pub(crate) fn apply(codec: &Codec, document: &[u8], received_at: Timestamp) -> Result<Option<Vec<u8>>, Reject> {
    let unusable = |e: serde_json::Error| Reject::new(Reason::NotJson, format!("codec {}: {e}", codec.identity()));
    let parts: Parts<'_> = serde_json::from_slice(document).map_err(unusable)?;
    if parts.event.is_some_and(|e| e != "up") {
        return Ok(None);
    }
    let missing = |field: &str, rule: &str| Reject::field(Reason::MissingField, field, format!("'{field}' {rule}"));
    let data =
        parts.data.ok_or_else(|| missing("data", "is absent; a codec needs the payload in hex, as format = \"lorawan\" writes it"))?;
    let bytes = unhex(&data).ok_or_else(|| missing("data", "is not hex; a codec needs the payload in hex"))?;
    let tags = parts.device.and_then(|d| d.tags).map_or("", RawValue::get);
    // When the network took it: the same in every delivery, so that a value made of it is the same too (ING-3).
    let received_at = parts.time.and_then(|t| Timestamp::parse(&t).ok()).unwrap_or(received_at);
    // Without a port the frame carries MAC commands only.
    let frame = Frame { bytes: &bytes, f_port: parts.f_port.unwrap_or(0), received_at, variables: tags };
    let decoded = codec.decode(frame).map_err(|e| Reject::from((codec, e)))?;

    let mut whole: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_slice(document).map_err(unusable)?;
    let mut warnings: Vec<String> = match whole.get("warnings") {
        Some(raw) => serde_json::from_str(raw.get()).unwrap_or_default(),
        None => Vec::new(),
    };
    warnings.extend(decoded.warnings);
    let status = if warnings.is_empty() { "ok" } else { "warned" };
    let raw = |value: &serde_json::Value| serde_json::value::to_raw_value(value).map_err(unusable);
    let (status, identity, warnings) = (raw(&status.into())?, raw(&codec.identity().into())?, raw(&warnings.into())?);
    for (key, value) in [("decoded", &*status), ("codec", &*identity), ("warnings", &*warnings), ("object", &*decoded.data)] {
        whole.insert(key.into(), value);
    }
    serde_json::to_vec(&whole).map(Some).map_err(unusable)
}
