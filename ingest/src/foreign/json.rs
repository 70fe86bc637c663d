//! Bodies in JSON: entities of NGSI-LD and messages of webhooks.

use super::Taker;
use crate::{IngestError, decode::elements, lines::level};
use bytes::Bytes;
use serde::Deserialize;

/// Byte ranges of the messages of a body: the elements of a list, or the whole. What is broken is one message, which decoding judges.
fn parts(taker: &Taker<'_>, body: &Bytes) -> Vec<Bytes> {
    let list = elements(body, taker.pipeline.config().depth_max + 1);
    list.map_or_else(|| vec![body.clone()], |list| list.into_iter().map(|(from, to)| body.slice(from..to)).collect())
}

#[derive(Debug, Deserialize)]
struct Typed {
    #[serde(rename = "type")]
    kind: serde_json::Value,
}

/// Each entity goes to `ngsi-ld/{type}`; of several types the first counts.
pub(super) async fn entities(taker: &mut Taker<'_>, body: &Bytes) -> Result<(), IngestError> {
    for (i, entity) in parts(taker, body).into_iter().enumerate() {
        let kind = serde_json::from_slice::<Typed>(&entity).ok().and_then(|typed| match typed.kind {
            serde_json::Value::String(kind) => Some(kind),
            serde_json::Value::Array(list) => list.into_iter().find_map(|kind| kind.as_str().map(str::to_owned)),
            _ => None,
        });
        // Without a type no mapping can fit: the quarantine shows it under this topic.
        let mut topic = "ngsi-ld/".to_owned();
        level(kind.as_deref().unwrap_or("-"), &mut topic);
        taker.put(i + 1, &topic, "type", entity).await?;
    }
    Ok(())
}

/// `webhook/{name}`.
pub(super) async fn messages(taker: &mut Taker<'_>, name: &str, body: &Bytes) -> Result<(), IngestError> {
    let mut topic = "webhook/".to_owned();
    level(name, &mut topic);
    for (i, message) in parts(taker, body).into_iter().enumerate() {
        taker.put(i + 1, &topic, "webhook", message).await?;
    }
    Ok(())
}
