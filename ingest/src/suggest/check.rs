//! A suggestion proves itself: its text is parsed, compiled and decodes the samples that it was made from.

use super::Sample;
use crate::{
    IngestConfig, Mappings, RawMessage,
    decode::{
        DecodeLimits, Decoded, Decoder, Receipt,
        block::{Block, Slot},
    },
    mapping::route::Router,
};
use schemas::{Contracts, Timestamp};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, sync::Arc};

/// Rows shown.
const PREVIEW_MAX: usize = 5;

/// A row as it would be stored.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PreviewRow {
    pub entity: String,
    pub observed_at: String,
    pub lon: Option<f64>,
    pub lat: Option<f64>,
    pub values: Map<String, Value>,
}

/// What a text makes of samples.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Verdict {
    /// Samples that became rows, all of them.
    pub decoded: usize,
    pub preview: Vec<PreviewRow>,
    /// Why the others were refused, with how many.
    pub refused: BTreeMap<String, usize>,
}

/// Limits as a running pipeline has them, except that no observation is too old.
fn limits() -> DecodeLimits {
    let config = IngestConfig::default();
    DecodeLimits {
        payload_bytes_max: config.payload_bytes_max,
        depth_max: config.depth_max,
        observations_per_message_max: config.observations_per_message_max,
        topics_cached_max: 1_000,
        oldest_accepted: Timestamp(0),
        retention: false,
    }
}

/// Decodes `samples` by the text of a mapping file alone.
///
/// # Errors
/// The rule of mapping files or of a contract that the text breaks.
pub fn check(text: &str, contracts: &Contracts, samples: &[&Sample]) -> Result<Verdict, String> {
    let mappings = Mappings::parse([("suggested.toml", text)]).map_err(|e| e.to_string())?;
    let router = Router::new(contracts.clone(), mappings).map_err(|e| e.to_string())?;
    Ok(with(Arc::new(router), samples))
}

/// Decodes `samples` as the router in force would now.
#[must_use]
pub(super) fn with(router: Arc<Router>, samples: &[&Sample]) -> Verdict {
    let mut decoder = Decoder::new(router, limits());
    let mut out = Verdict::default();
    for sample in samples {
        let mut decoded = Decoded::default();
        let message = RawMessage { topic: sample.topic.clone().into(), payload: sample.payload.clone() };
        decoder.message(Receipt { tenant: &sample.tenant, received_at: sample.received_at }, 0, &message, &mut decoded);
        let rows: usize = decoded.blocks.iter().map(|b| b.rows.len()).sum();
        out.decoded += usize::from(rows > 0 && decoded.refusals.is_empty());
        for refusal in decoded.refusals {
            *out.refused.entry(refusal.reject.to_string()).or_default() += 1;
        }
        for block in &decoded.blocks {
            let room = PREVIEW_MAX.saturating_sub(out.preview.len());
            out.preview.extend((0..block.rows.len()).take(room).map(|i| row(block, i)));
        }
    }
    out
}

/// Which samples the router reads without a refusal, in the order given, so that a birth comes before its data.
/// The router must not be that of a running pipeline, whose formats keep state.
#[must_use]
pub fn reads(router: Arc<Router>, samples: &[&Sample]) -> Vec<bool> {
    let mut decoder = Decoder::new(router, limits());
    let read = |sample: &&Sample| {
        let mut decoded = Decoded::default();
        let message = RawMessage { topic: sample.topic.clone().into(), payload: sample.payload.clone() };
        decoder.message(Receipt { tenant: &sample.tenant, received_at: sample.received_at }, 0, &message, &mut decoded);
        decoded.refusals.is_empty()
    };
    samples.iter().map(read).collect()
}

fn row(block: &Block, i: usize) -> PreviewRow {
    let row = &block.rows[i];
    let fields = block.table.contract.fields.iter().zip(block.slots_of(i));
    let values = fields.filter_map(|(field, slot)| {
        let value = match *slot {
            Slot::Null => return None,
            Slot::Float(v) => json!(v),
            Slot::Int(v) => json!(v),
            Slot::Bool(v) => json!(v),
            Slot::Text { start, len } => json!(block.text(start, len)),
        };
        Some((field.name.clone(), value))
    });
    PreviewRow {
        entity: row.entity.id.to_string(),
        observed_at: row.observed_at.to_rfc3339(),
        lon: row.place.map(|(p, _)| p.lon),
        lat: row.place.map(|(p, _)| p.lat),
        values: values.collect(),
    }
}
