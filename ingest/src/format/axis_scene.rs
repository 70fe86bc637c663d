//! AXIS scene metadata: `axis.scene.frame_v1` (`{"channel_id", "timestamp", "detections": […]}`) and the older
//! `analytics_scene_description.v0.beta` (`{"frame": {"timestamp", "observations": […]}}`). One track point per detection.
//!
//! Traps: the origin is top left, 0 to 1, y down; `detections` is absent when there are none; about a tenth have no class; `Head` is a
//! second track of the same person and is left out. Colours of clothing and vehicles are never read. Some gateways wrap the frame in
//! `payload`.

use super::{
    Incoming,
    video::{Area, Class, Kind, Loose, Observation, Scene, bad_time, json, share, time},
};
use crate::decode::reject::Reject;
use serde::Deserialize;

#[derive(Deserialize)]
struct Message {
    #[serde(flatten)]
    body: Body,
    payload: Option<Body>,
}

#[derive(Deserialize)]
struct Body {
    channel_id: Option<Loose>,
    timestamp: Option<String>,
    #[serde(default, alias = "observations")]
    detections: Vec<Detection>,
    frame: Option<Frame>,
}

#[derive(Deserialize)]
struct Frame {
    timestamp: Option<String>,
    #[serde(default)]
    observations: Vec<Detection>,
}

#[derive(Deserialize)]
struct Detection {
    #[serde(alias = "track_id")]
    object_track_id: Option<Loose>,
    bounding_box: Option<Bounds>,
    class: Option<Kinds>,
}

#[derive(Deserialize)]
struct Bounds {
    left: f64,
    top: f64,
    right: f64,
    bottom: f64,
}

#[derive(Deserialize)]
struct Kinds {
    r#type: Option<String>,
    score: Option<f64>,
}

pub(super) fn read(scene: &mut Scene<'_>, message: Incoming<'_>) -> Result<(), Reject> {
    let Message { body, payload } = json("an Axis scene frame", message.payload)?;
    let body = payload.unwrap_or(body);
    let levels: Vec<&str> = message.topic.split('/').collect();
    let device = if levels.first() == Some(&"axis") { levels.get(1).copied().unwrap_or_default() } else { message.topic };
    let channel = body.channel_id.as_ref().map(|c| format!("{device}/{}", c.id()));
    let stream = scene.open(message, &[channel.as_deref().unwrap_or(device), device])?;
    let (timestamp, detections) = match body.frame {
        Some(frame) => (frame.timestamp, frame.observations),
        None => (body.timestamp, body.detections),
    };
    let at = timestamp.as_deref().and_then(time).ok_or_else(|| bad_time("timestamp"))?;
    for detection in detections {
        let kinds = detection.class;
        let word = kinds.as_ref().and_then(|k| k.r#type.as_deref());
        let class = word.and_then(Class::of);
        let (Some(bounds), false) = (detection.bounding_box, word.is_some() && class.is_none()) else { continue };
        let object = detection.object_track_id.as_ref().map(Loose::id);
        let mut row = Observation {
            at,
            object: object.and_then(|id| scene.object(&id, at)),
            class,
            confidence: share(kinds.and_then(|k| k.score)),
            ..Observation::default()
        };
        row.place(Area { left: bounds.left, top: bounds.top, right: bounds.right, bottom: bounds.bottom }, stream);
        scene.push(Kind::Track, row)?;
    }
    Ok(())
}
