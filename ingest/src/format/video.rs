//! What the formats of cameras share: one vocabulary, and the door that personal data cannot pass.
//!
//! Documents, one per line: `{"kind": "count" | "track" | "event", "stream", "rows": [{"time", …}]}`; times are microseconds of the epoch.
//! `x` and `y` are where the object touches the ground in the image, 0 to 1 from the top left; `lon` and `lat` are the same point on the
//! ground, when the register has the camera's homography and the point lies in its declared field of view.
//!
//! **Allow-list by type (GOV-1).** An [`Observation`] holds numbers, closed sets of words, a keyed hash, and texts that are borrowed from
//! the register. No text of a message can become part of a document, and errors never quote the message.

use super::{Format, Incoming, Translated};
use crate::{
    camera::{self, Pseudonym, Register, Stream},
    capped::write_json,
    decode::reject::{Reason, Reject},
};
use schemas::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::sync::Arc;

/// Reads one message into a scene.
pub(super) type Read = fn(&mut Scene<'_>, Incoming<'_>) -> Result<(), Reject>;

/// A format of cameras; refuses every stream until it has a register.
#[derive(Debug)]
struct Video {
    read: Read,
    cameras: Arc<Register>,
}

pub(super) fn format(read: Read) -> Arc<dyn Format> {
    Arc::new(Video { read, cameras: Arc::default() })
}

impl Format for Video {
    fn translate(&self, message: Incoming<'_>, out: &mut Vec<u8>) -> Result<Translated, Reject> {
        let mut scene = Scene { cameras: &self.cameras, stream: None, received_at: message.received_at, rows: [const { Vec::new() }; 3] };
        (self.read)(&mut scene, message)?;
        scene.write(out)
    }

    fn keeps_payload(&self) -> bool {
        false
    }

    fn with_cameras(&self, cameras: &Arc<Register>) -> Option<Arc<dyn Format>> {
        Some(Arc::new(Self { read: self.read, cameras: Arc::clone(cameras) }))
    }
}

/// Which contract an observation is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Count,
    Track,
    Event,
}

const KINDS: [&str; 3] = ["count", "track", "event"];

/// Classes of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Class {
    Person,
    Car,
    Bicycle,
    Truck,
    Bus,
    Motorcycle,
    Other,
    /// A count of all classes together.
    All,
}

impl Class {
    /// The class that a device's word means; `None` for parts of a person or a vehicle (faces, heads, plates), which are not objects
    /// of their own: counting them would count twice, and they are what must not be looked at.
    pub(super) fn of(word: &str) -> Option<Self> {
        let word: String = word.trim().chars().filter(char::is_ascii_alphanumeric).take(32).collect::<String>().to_ascii_lowercase();
        Some(match word.as_str() {
            "person" | "human" | "pedestrian" | "people" => Self::Person,
            "car" | "sedan" | "suv" | "van" | "minivan" | "coupe" | "taxi" | "limousine" | "passengercar" | "pickup" => Self::Car,
            "bicycle" | "bike" | "cyclist" => Self::Bicycle,
            "truck" | "lorry" | "largevehicle" => Self::Truck,
            "bus" => Self::Bus,
            "motorcycle" | "motorbike" | "scooter" | "moped" => Self::Motorcycle,
            "face" | "humanface" | "head" | "licenseplate" | "licenceplate" | "plate" | "barcode" | "label" => return None,
            _ => Self::Other,
        })
    }
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Happening {
    Start,
    End,
    Visited,
    Crossed,
    Entered,
    Left,
    Loitering,
    Parked,
    Review,
}

/// Side of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Way {
    In,
    Out,
    Left,
    Right,
}

impl Way {
    pub(super) fn of(word: &str) -> Option<Self> {
        [("in", Self::In), ("out", Self::Out), ("left", Self::Left), ("right", Self::Right)]
            .into_iter()
            .find_map(|(name, way)| word.eq_ignore_ascii_case(name).then_some(way))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Severity {
    Alert,
    Detection,
}

/// A row to be. Every field is a number, a closed set of words, a hash, or a text of the register; keep it so.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Observation<'r> {
    #[serde(rename = "time", serialize_with = "micros")]
    pub(super) at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) object: Option<Pseudonym>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) class: Option<Class>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) event: Option<Happening>,
    /// Borrowed from the register.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) zone: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) direction: Option<Way>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) severity: Option<Severity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) x: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) y: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) width: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) height: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) lon: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) lat: Option<f64>,
    /// 0 to the right of the camera, 90 away from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) heading: Option<f64>,
    /// km/h.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) speed: Option<f64>,
    /// Seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) dwell: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) confidence: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) total: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "text")]
    pub(super) since: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) present: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) objects: Option<u64>,
}

fn micros<S: serde::Serializer>(at: &Timestamp, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_i64(at.micros())
}

fn text<S: serde::Serializer>(at: &Option<Timestamp>, s: S) -> Result<S::Ok, S::Error> {
    at.map(Timestamp::to_rfc3339).serialize(s)
}

/// A box in the image, from 0 to 1, origin top left.
#[derive(Debug, Clone, Copy)]
pub(super) struct Area {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) right: f64,
    pub(super) bottom: f64,
}

impl Observation<'_> {
    /// Adds where the object is: the foot of its box, in the image and on the ground.
    pub(super) fn place(&mut self, area: Area, stream: &Stream) {
        let clamp = |v: f64| v.clamp(0.0, 1.0);
        let (left, right) = (clamp(area.left.min(area.right)), clamp(area.left.max(area.right)));
        let (top, bottom) = (clamp(area.top.min(area.bottom)), clamp(area.top.max(area.bottom)));
        if ![left, right, top, bottom].iter().all(|v| v.is_finite()) {
            return;
        }
        let (x, y) = (f64::midpoint(left, right), bottom);
        (self.x, self.y, self.width, self.height) = (Some(x), Some(y), Some(right - left), Some(bottom - top));
        if let Some(p) = stream.ground(x, y) {
            (self.lon, self.lat) = (Some(p.lon), Some(p.lat));
        }
    }
}

/// A share from 0 to 1; what devices write for "unset" (-0.1, NaN) is absent.
pub(super) fn share(v: Option<f64>) -> Option<f64> {
    v.filter(|v| (0.0..=1.0).contains(v))
}

/// What one message tells.
#[derive(Debug)]
pub(super) struct Scene<'r> {
    cameras: &'r Register,
    stream: Option<&'r Stream>,
    received_at: Timestamp,
    rows: [Vec<Observation<'r>>; 3],
}

impl<'r> Scene<'r> {
    /// Looks the stream up by the names that the message gives it, the most specific first. Call it before anything is read.
    pub(super) fn open(&mut self, message: Incoming<'_>, names: &[&str]) -> Result<&'r Stream, Reject> {
        let stream = self.cameras.find(message.tenant, names, self.received_at)?;
        self.stream = Some(stream);
        Ok(stream)
    }

    /// The object's name of the day.
    pub(super) fn object(&self, name: &str, at: Timestamp) -> Option<Pseudonym> {
        self.stream.map(|stream| self.cameras.pseudonym(stream, name, at))
    }

    pub(super) fn push(&mut self, kind: Kind, mut row: Observation<'r>) -> Result<(), Reject> {
        if kind == Kind::Event {
            row.objects = row.objects.or(Some(1));
        }
        match self.stream {
            Some(stream) if !stream.covers(row.at) => Err(camera::outside(stream, row.at)),
            _ => {
                self.rows[kind as usize].push(row);
                Ok(())
            }
        }
    }

    fn write(self, out: &mut Vec<u8>) -> Result<Translated, Reject> {
        let Some(stream) = self.stream else { return Ok(Translated::Nothing) };
        for (kind, rows) in KINDS.into_iter().zip(&self.rows).filter(|(_, rows)| !rows.is_empty()) {
            let document = Document { kind, stream: &stream.id, rows };
            write_json(out, &document).map_err(|_| Reject::new(Reason::NotFormat, "a number that JSON cannot write"))?;
            out.push(b'\n');
        }
        Ok(if out.is_empty() { Translated::Nothing } else { Translated::Documents })
    }
}

#[derive(Serialize)]
struct Document<'a, 'r> {
    kind: &'static str,
    stream: &'r str,
    rows: &'a [Observation<'r>],
}

/// JSON into a structure. The error says where and what kind, never what stood there.
pub(super) fn json<T: DeserializeOwned>(what: &str, payload: &[u8]) -> Result<T, Reject> {
    serde_json::from_slice(payload).map_err(|e| {
        let (reason, rule) = match e.classify() {
            serde_json::error::Category::Data => {
                (Reason::WrongType, "a value of another type than the format says, or one that is missing")
            }
            _ => (Reason::NotJson, "not JSON"),
        };
        Reject::new(reason, format!("{what}: {rule}, at line {} column {}", e.line(), e.column()))
    })
}

/// A time that could not be read; `field` is the format's name of it.
pub(super) fn bad_time(field: &str) -> Reject {
    Reject::field(Reason::BadTime, field, format!("'{field}' is absent or not a time (ISO 8601)"))
}

/// A zone that the register does not list.
pub(super) fn unknown_zone(stream: &Stream, field: &str) -> Reject {
    let message = format!(
        "the line or zone that '{field}' names is not in 'zones' of the register entry '{}', so nothing of it was kept; add it there when the \
         impact assessment covers it",
        stream.id
    );
    Reject::field(Reason::NoRegisterEntry, field, message)
}

/// Times as cameras write them: RFC 3339, without an offset (then UTC by the name of the field), or with an offset without a colon.
pub(super) fn time(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if text.len() > 40 || !text.is_ascii() {
        return None;
    }
    if let Ok(at) = Timestamp::parse(text) {
        return Some(at);
    }
    let (head, tail) = text.split_at(text.len().saturating_sub(5));
    if tail.starts_with(['+', '-']) && tail[1..].bytes().all(|b| b.is_ascii_digit()) && head.contains('T') {
        return Timestamp::parse(&format!("{head}{}:{}", &tail[..3], &tail[3..])).ok();
    }
    Timestamp::parse(&format!("{text}Z")).ok()
}

/// Seconds of the epoch as a number.
pub(super) fn seconds(v: f64) -> Option<Timestamp> {
    let us = (v * 1e6).round();
    // 2^53: beyond it microseconds are not exact, and no camera lives that long.
    (us.abs() < 9e15).then_some(Timestamp(us as i64))
}

/// A scalar that devices write as a number, a text or a flag.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum Loose {
    Flag(bool),
    Number(serde_json::Number),
    Text(String),
}

impl Loose {
    /// An identifier: `15` and `"15"` are the same.
    pub(super) fn id(&self) -> String {
        match self {
            Self::Flag(v) => v.to_string(),
            Self::Number(n) => {
                n.as_f64().filter(|v| v.fract() == 0.0 && v.abs() < 9e15).map_or_else(|| n.to_string(), |v| (v as i64).to_string())
            }
            Self::Text(text) => text.trim().to_owned(),
        }
    }

    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Self::Flag(_) => None,
            Self::Number(n) => n.as_f64(),
            Self::Text(text) => text.trim().parse().ok(),
        }
        .filter(|v| v.is_finite())
    }

    /// A whole number from 0.
    pub(super) fn count(&self) -> Option<u64> {
        self.number().filter(|v| v.fract() == 0.0 && (0.0..9e15).contains(v)).map(|v| v as u64)
    }

    pub(super) fn flag(&self) -> Option<bool> {
        match self.id().to_ascii_lowercase().as_str() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
