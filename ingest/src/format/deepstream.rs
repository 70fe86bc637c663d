//! NVIDIA DeepStream messages: the full schema (`sensor`, `object`, `event`, one object a message) and the minimal one
//! (`sensorId`, `objects: ["id|left|top|right|bottom|class|…"]`). `moving`, `stopped` and no event are track points; `entry`, `exit` and
//! `parked` are events.
//!
//! Traps: `confidence: -0.1`, `id: "-1"` and a location of exactly 0, 0 mean "unset"; boxes are pixels (`image` of the register); what follows
//! the class in the minimal schema, and type details, make, colour, plate, age, gender, clothing and faces are never read. The unit of
//! `speed` is not stated, so it is not kept.

use super::{
    Incoming,
    video::{Area, Class, Happening, Kind, Loose, Observation, Scene, bad_time, json, share, time},
};
use crate::{
    camera::Stream,
    decode::reject::{Reason, Reject},
};
use schemas::{Position, Timestamp};
use serde::Deserialize;

/// Objects of one minimal message; more is not a frame.
const OBJECTS_MAX: usize = 10_000;

#[derive(Deserialize)]
struct Message {
    messageid: Option<String>,
    #[serde(rename = "@timestamp")]
    timestamp: String,
    sensor: Option<Sensor>,
    #[serde(rename = "sensorId")]
    sensor_id: Option<Loose>,
    object: Option<Object>,
    event: Option<Event>,
    #[serde(default)]
    objects: Vec<String>,
}

#[derive(Deserialize)]
struct Sensor {
    id: Loose,
}

#[derive(Deserialize)]
struct Event {
    r#type: Option<String>,
}

#[derive(Deserialize)]
struct Object {
    id: Option<Loose>,
    bbox: Option<Bounds>,
    location: Option<Location>,
    vehicle: Option<Vehicle>,
    person: Option<Sure>,
    face: Option<Sure>,
    bicycle: Option<Sure>,
}

#[derive(Deserialize)]
struct Vehicle {
    r#type: Option<String>,
    confidence: Option<f64>,
}

#[derive(Deserialize)]
struct Sure {
    confidence: Option<f64>,
}

#[derive(Deserialize)]
struct Bounds {
    topleftx: f64,
    toplefty: f64,
    bottomrightx: f64,
    bottomrighty: f64,
}

#[derive(Deserialize)]
struct Location {
    lat: f64,
    lon: f64,
}

pub(super) fn read(scene: &mut Scene<'_>, message: Incoming<'_>) -> Result<(), Reject> {
    let body: Message = json("a DeepStream message", message.payload)?;
    let sensor = body.sensor.map(|s| s.id).or(body.sensor_id);
    let Some(sensor) = sensor.map(|s| s.id()) else {
        return Err(Reject::field(Reason::MissingField, "sensor.id", "'sensor.id' or 'sensorId' must say which camera this is"));
    };
    let stream = scene.open(message, &[&sensor])?;
    let at = time(&body.timestamp).ok_or_else(|| bad_time("@timestamp"))?;
    if body.objects.len() > OBJECTS_MAX {
        return Err(Reject::field(Reason::TooLarge, "objects", format!("more than {OBJECTS_MAX} objects in one frame")));
    }
    for line in &body.objects {
        minimal(scene, stream, at, line)?;
    }
    let Some(object) = body.object else { return Ok(()) };
    if object.face.is_some() {
        return Ok(());
    }
    let (class, confidence) = match (&object.vehicle, &object.person, &object.bicycle) {
        (Some(v), ..) => (v.r#type.as_deref().map_or(Some(Class::Other), Class::of), v.confidence),
        (_, Some(p), _) => (Some(Class::Person), p.confidence),
        (.., Some(b)) => (Some(Class::Bicycle), b.confidence),
        _ => (None, None),
    };
    let (event, kind) = match body.event.and_then(|e| e.r#type).as_deref() {
        Some("entry") => (Some(Happening::Entered), Kind::Event),
        Some("exit") => (Some(Happening::Left), Kind::Event),
        Some("parked") => (Some(Happening::Parked), Kind::Event),
        _ => (None, Kind::Track),
    };
    // An object that is not tracked is told from others of its frame by the identifier of the message.
    let id = object.id.map(|id| id.id()).filter(|id| id != "-1").or_else(|| body.messageid.map(|m| format!("message {m}")));
    let object_name = id.and_then(|id| scene.object(&id, at));
    let mut row = Observation { at, object: object_name, class, event, confidence: share(confidence), ..Observation::default() };
    if let (Some((w, h)), Some(b)) = (stream.image, object.bbox) {
        row.place(Area { left: b.topleftx / w, top: b.toplefty / h, right: b.bottomrightx / w, bottom: b.bottomrighty / h }, stream);
    }
    let location = object.location.filter(|l| (l.lat, l.lon) != (0.0, 0.0)).and_then(|l| Position::new(l.lon, l.lat));
    if let Some(p) = location.and_then(|p| stream.seen(p)) {
        (row.lon, row.lat) = (Some(p.lon), Some(p.lat));
    }
    scene.push(kind, row)
}

fn minimal<'r>(scene: &mut Scene<'r>, stream: &'r Stream, at: Timestamp, line: &str) -> Result<(), Reject> {
    let mut parts = line.split('|');
    let id = parts.next().unwrap_or_default().trim();
    let numbers: Vec<f64> = parts.by_ref().take(4).filter_map(|n| n.trim().parse().ok()).collect();
    let class = parts.next().unwrap_or_default();
    let ([left, top, right, bottom], Some((w, h))) = (numbers.as_slice(), stream.image) else {
        let rule = "each of 'objects' is id|left|top|right|bottom|class in pixels, and the register gives 'image'";
        return Err(Reject::field(Reason::WrongType, "objects", rule));
    };
    let Some(class) = Class::of(class) else { return Ok(()) };
    let mut row = Observation { at, object: scene.object(id, at), class: Some(class), ..Observation::default() };
    row.place(Area { left: left / w, top: top / h, right: right / w, bottom: bottom / h }, stream);
    scene.push(Kind::Track, row)
}
