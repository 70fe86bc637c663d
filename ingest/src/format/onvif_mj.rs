//! ONVIF scenes as JSON over MQTT: `{prefix}/onvif-mj/VideoAnalytics/{profile}/{module}` with the XML's attributes as `@name` and its
//! text as `#text`. Track points; sensor data (`SensorData`) is nothing here. The stream is `{prefix}/{profile}` or `{prefix}`.
//!
//! An element that may repeat is a list, or a single object when there is one.

use super::{
    Incoming,
    onvif::{self, Object, Transformation},
    video::{Area, Loose, Scene, json},
};
use crate::decode::reject::Reject;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(untagged)]
enum Repeated<T> {
    Many(Vec<T>),
    One(T),
}

impl<T> Default for Repeated<T> {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl<T> Repeated<T> {
    fn list(self) -> Vec<T> {
        match self {
            Self::Many(list) => list,
            Self::One(one) => vec![one],
        }
    }
}

#[derive(Deserialize)]
struct Stream {
    #[serde(rename = "Frame", default)]
    frames: Repeated<Frame>,
}

#[derive(Deserialize)]
struct Frame {
    #[serde(rename = "@UtcTime")]
    utc_time: String,
    #[serde(rename = "Transformation")]
    transformation: Option<Transform>,
    #[serde(rename = "Object", default)]
    objects: Repeated<Thing>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Transform {
    translate: Option<Pair>,
    scale: Option<Pair>,
}

#[derive(Deserialize)]
struct Pair {
    #[serde(rename = "@x")]
    x: Loose,
    #[serde(rename = "@y")]
    y: Loose,
}

impl Pair {
    fn numbers(&self) -> Option<(f64, f64)> {
        Some((self.x.number()?, self.y.number()?))
    }
}

#[derive(Deserialize)]
struct Thing {
    #[serde(rename = "@ObjectId")]
    id: Option<Loose>,
    #[serde(rename = "Appearance")]
    appearance: Option<Appearance>,
    #[serde(rename = "Behaviour")]
    behaviour: Option<Behaviour>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Appearance {
    shape: Option<Shape>,
    class: Option<Classes>,
    geo_location: Option<Geo>,
    /// A person's face or a plate as an object of its own: only that it is one.
    license_plate_info: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Shape {
    bounding_box: Option<Bounds>,
}

#[derive(Deserialize)]
struct Bounds {
    #[serde(rename = "@left")]
    left: Loose,
    #[serde(rename = "@top")]
    top: Loose,
    #[serde(rename = "@right")]
    right: Loose,
    #[serde(rename = "@bottom")]
    bottom: Loose,
}

#[derive(Deserialize)]
struct Classes {
    #[serde(rename = "Type", default)]
    types: Repeated<Type>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Type {
    Likely {
        #[serde(rename = "@Likelihood")]
        likelihood: Option<Loose>,
        #[serde(rename = "#text")]
        text: String,
    },
    Plain(String),
}

#[derive(Deserialize)]
struct Geo {
    #[serde(rename = "@lon")]
    lon: Option<Loose>,
    #[serde(rename = "@lat")]
    lat: Option<Loose>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Behaviour {
    removed: Option<serde::de::IgnoredAny>,
    direction: Option<Direction>,
}

#[derive(Deserialize)]
struct Direction {
    #[serde(rename = "@yaw")]
    yaw: Option<Loose>,
}

pub(super) fn read(scene: &mut Scene<'_>, message: Incoming<'_>) -> Result<(), Reject> {
    let profile = message.topic.split_once("/onvif-mj/").and_then(|(_, rest)| rest.split('/').nth(1));
    let stream = onvif::open(scene, message, "/onvif-mj/", profile)?;
    // A retained message without a byte says that the property is gone.
    if message.payload.is_empty() {
        return Ok(());
    }
    let body: Stream = json("an ONVIF scene", message.payload)?;
    for frame in body.frames.list() {
        let objects = frame.objects.list().into_iter().filter_map(object).collect();
        onvif::frame(scene, stream, &frame.utc_time, (transformation(frame.transformation.as_ref()), objects))?;
    }
    Ok(())
}

fn transformation(t: Option<&Transform>) -> Transformation {
    let identity = Transformation::default();
    Transformation {
        translate: t.and_then(|t| t.translate.as_ref()?.numbers()).unwrap_or(identity.translate),
        scale: t.and_then(|t| t.scale.as_ref()?.numbers()).unwrap_or(identity.scale),
    }
}

fn object(thing: Thing) -> Option<Object> {
    let mut object = Object { id: thing.id.as_ref().map(Loose::id), ..Object::default() };
    if let Some(appearance) = thing.appearance {
        if appearance.license_plate_info.is_some() {
            return None;
        }
        let area =
            |b: &Bounds| Some(Area { left: b.left.number()?, top: b.top.number()?, right: b.right.number()?, bottom: b.bottom.number()? });
        object.bounds = appearance.shape.and_then(|s| s.bounding_box).as_ref().and_then(area);
        object.geo = appearance.geo_location.and_then(|g| Some((g.lon?.number()?, g.lat?.number()?)));
        let class = |t| match t {
            Type::Likely { likelihood, text } => (text, likelihood.as_ref().and_then(Loose::number)),
            Type::Plain(text) => (text, None),
        };
        object.classes = appearance.class.map(|c| c.types.list().into_iter().map(class).collect()).unwrap_or_default();
    }
    if let Some(behaviour) = thing.behaviour {
        object.removed = behaviour.removed.is_some();
        object.yaw = behaviour.direction.and_then(|d| d.yaw?.number());
    }
    Some(object)
}
