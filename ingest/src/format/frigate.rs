//! Frigate over MQTT: `frigate/events` and `frigate/reviews` (`{"type": new | update | end, "before", "after"}`).
//!
//! - `new` is an event `start`, `end` an event `end` with the dwell, and one `visited` per zone that the register lists. `update` is
//!   nothing: the same object comes again with `end`, and sending any of them again changes no count (ING-3).
//! - A review (`reviews`) is kept at its end: how many objects, of which class, for how long.
//! - `tracked_object_update` (faces, plates, descriptions, classes of clothing) and `triggers` are nothing, always.
//!
//! Traps: times are seconds with fractions; boxes are pixels `[x1, y1, x2, y2]` of the detect stream (`image` of the register);
//! `sub_label`, `attributes`, `recognized_license_plate` and `snapshot` are never read; the speed is km/h when Frigate's unit
//! system is metric, as it is by default.

use super::{
    Incoming,
    video::{Area, Class, Happening, Kind, Observation, Scene, Severity, bad_time, json, seconds, share},
};
use crate::decode::reject::{Reason, Reject};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Step {
    New,
    Update,
    End,
    /// Descriptions by a model, and whatever else is to come.
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Message<T> {
    #[serde(rename = "type")]
    step: Step,
    after: T,
}

#[derive(Deserialize)]
struct Event {
    id: String,
    camera: String,
    label: String,
    start_time: f64,
    end_time: Option<f64>,
    #[serde(default)]
    false_positive: bool,
    top_score: Option<f64>,
    r#box: Option<[f64; 4]>,
    #[serde(default)]
    entered_zones: Vec<String>,
    average_estimated_speed: Option<f64>,
}

#[derive(Deserialize)]
struct Review {
    id: String,
    camera: String,
    start_time: f64,
    end_time: Option<f64>,
    severity: Option<Severity>,
    data: ReviewData,
}

#[derive(Deserialize)]
struct ReviewData {
    #[serde(default)]
    detections: Vec<String>,
    #[serde(default)]
    objects: Vec<String>,
}

#[derive(Deserialize)]
struct Other {
    camera: Option<String>,
}

pub(super) fn read(scene: &mut Scene<'_>, message: Incoming<'_>) -> Result<(), Reject> {
    match message.topic.rsplit('/').next() {
        Some("events") => event(scene, message),
        Some("reviews") => review(scene, message),
        Some("tracked_object_update" | "triggers") => {
            let other: Other = json("a Frigate message", message.payload)?;
            other.camera.map_or(Ok(()), |camera| scene.open(message, &[&camera]).map(drop))
        }
        _ => {
            let rule = "of Frigate's topics, events, reviews, tracked_object_update and triggers are read; map only these";
            Err(Reject::new(Reason::UnknownTopic, rule))
        }
    }
}

fn event(scene: &mut Scene<'_>, message: Incoming<'_>) -> Result<(), Reject> {
    let Message { step, after } = json::<Message<Event>>("a Frigate event", message.payload)?;
    let stream = scene.open(message, &[&after.camera])?;
    let start = seconds(after.start_time).ok_or_else(|| bad_time("start_time"))?;
    let (Some(class), false) = (Class::of(&after.label), after.false_positive) else { return Ok(()) };
    let mut row = Observation {
        at: start,
        object: scene.object(&after.id, start),
        class: Some(class),
        event: Some(Happening::Start),
        ..Observation::default()
    };
    match step {
        Step::New => scene.push(Kind::Event, row),
        Step::Update | Step::Other => Ok(()),
        Step::End => {
            row.at = after.end_time.and_then(seconds).ok_or_else(|| bad_time("end_time"))?;
            row.event = Some(Happening::End);
            row.dwell = Some((row.at.micros() - start.micros()) as f64 / 1e6).filter(|v| *v >= 0.0);
            row.confidence = share(after.top_score);
            row.speed = after.average_estimated_speed.filter(|v| *v > 0.0);
            if let (Some((w, h)), Some([x1, y1, x2, y2])) = (stream.image, after.r#box) {
                row.place(Area { left: x1 / w, top: y1 / h, right: x2 / w, bottom: y2 / h }, stream);
            }
            let mut visited: Vec<&str> = after.entered_zones.iter().filter_map(|z| stream.zone(z)).collect();
            visited.sort_unstable();
            visited.dedup();
            for zone in visited {
                let visit = Observation { at: row.at, object: row.object, class: row.class, ..Observation::default() };
                scene.push(Kind::Event, Observation { event: Some(Happening::Visited), zone: Some(zone), ..visit })?;
            }
            scene.push(Kind::Event, row)
        }
    }
}

fn review(scene: &mut Scene<'_>, message: Incoming<'_>) -> Result<(), Reject> {
    let Message { step, after } = json::<Message<Review>>("a Frigate review", message.payload)?;
    scene.open(message, &[&after.camera])?;
    if !matches!(step, Step::End) {
        return Ok(());
    }
    let start = seconds(after.start_time).ok_or_else(|| bad_time("start_time"))?;
    let at = after.end_time.and_then(seconds).ok_or_else(|| bad_time("end_time"))?;
    let mut classes: Vec<Class> = after.data.objects.iter().filter_map(|o| Class::of(o)).collect();
    classes.dedup();
    let row = Observation {
        at,
        object: scene.object(&after.id, start),
        class: if let [one] = classes.as_slice() { Some(*one) } else { None },
        event: Some(Happening::Review),
        severity: after.severity,
        objects: Some(after.data.detections.len() as u64),
        dwell: Some((at.micros() - start.micros()) as f64 / 1e6).filter(|v| *v >= 0.0),
        ..Observation::default()
    };
    scene.push(Kind::Event, row)
}
