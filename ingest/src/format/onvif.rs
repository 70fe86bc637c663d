//! What the three carriers of ONVIF analytics metadata share (Analytics Service Specification, Profile M): scenes of objects, and events
//! of the rule engine.
//!
//! Traps: `UtcTime` may lack its `Z`; the image is -1 to 1 with y up, after `Transformation` (scale, then translate); `ObjectId` is a number
//! in JSON and a text in events; `Class` may name kinds of a kind (`Vehicle` 0.8, `Car` 0.75). The unit of `Speed` is not in the schema,
//! so speed is not kept. Face, body, plate, brand, colour and barcode elements are never read.

use super::{
    Incoming,
    video::{Area, Class, Happening, Kind, Loose, Observation, Scene, Way, bad_time, share, time, unknown_zone},
};
use crate::{camera::Stream, decode::reject::Reject};
use schemas::Position;

/// Least likelihood of a class that says more than the likeliest one.
const LIKELY: f64 = 0.5;

/// Into the normalised image: `v * scale + translate`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Transformation {
    pub(super) translate: (f64, f64),
    pub(super) scale: (f64, f64),
}

impl Default for Transformation {
    fn default() -> Self {
        Self { translate: (0.0, 0.0), scale: (1.0, 1.0) }
    }
}

impl Transformation {
    /// From ONVIF's image to ours: 0 to 1 from the top left.
    fn area(self, bounds: Area) -> Area {
        let x = |v: f64| f64::midpoint(v * self.scale.0 + self.translate.0, 1.0);
        let y = |v: f64| f64::midpoint(1.0, -(v * self.scale.1 + self.translate.1));
        Area { left: x(bounds.left), top: y(bounds.top), right: x(bounds.right), bottom: y(bounds.bottom) }
    }
}

/// One object of a frame.
#[derive(Debug, Default)]
pub(super) struct Object {
    pub(super) id: Option<String>,
    /// As written, before the transformation.
    pub(super) bounds: Option<Area>,
    /// Classes with their likelihood, the general and the special ones.
    pub(super) classes: Vec<(String, Option<f64>)>,
    pub(super) yaw: Option<f64>,
    pub(super) geo: Option<(f64, f64)>,
    /// The object is no longer there.
    pub(super) removed: bool,
}

/// Adds the track points of one frame.
pub(super) fn frame<'r>(
    scene: &mut Scene<'r>,
    stream: &'r Stream,
    utc_time: &str,
    (to_image, objects): (Transformation, Vec<Object>),
) -> Result<(), Reject> {
    let at = time(utc_time).ok_or_else(|| bad_time("UtcTime"))?;
    for object in objects.into_iter().filter(|o| !o.removed) {
        let (class, confidence) = match class(&object.classes) {
            Some((None, _)) => continue,
            Some((class, likelihood)) => (class, share(likelihood)),
            None => (None, None),
        };
        let name = object.id.and_then(|id| scene.object(&id, at));
        let heading = object.yaw.filter(|v| (-180.0..=180.0).contains(v));
        let mut row = Observation { at, object: name, class, confidence, heading, ..Observation::default() };
        if let Some(bounds) = object.bounds {
            row.place(to_image.area(bounds), stream);
        }
        let geo = object.geo.and_then(|(lon, lat)| Position::new(lon, lat)).and_then(|p| stream.seen(p));
        if let Some(p) = geo {
            (row.lon, row.lat) = (Some(p.lon), Some(p.lat));
        }
        // An object without a place is no point of a trajectory.
        if row.x.is_some() || row.lon.is_some() {
            scene.push(Kind::Track, row)?;
        }
    }
    Ok(())
}

/// The class to keep: the likeliest special one, when it is likely; otherwise the likeliest. `Some((None, _))` is a part, not an object.
fn class(classes: &[(String, Option<f64>)]) -> Option<(Option<Class>, Option<f64>)> {
    let likelihood = |c: &&(String, Option<f64>)| c.1.unwrap_or(1.0);
    let by_likelihood = |a: &&(String, Option<f64>), b: &&(String, Option<f64>)| likelihood(a).total_cmp(&likelihood(b));
    let special = |c: &&(String, Option<f64>)| !matches!(Class::of(&c.0), Some(Class::Other) | None) && likelihood(c) >= LIKELY;
    let best = classes.iter().filter(special).max_by(by_likelihood).or_else(|| classes.iter().max_by(by_likelihood))?;
    Some((Class::of(&best.0), best.1))
}

/// An event of the rule engine, whatever carried it.
#[derive(Debug, Default)]
pub(super) struct Event<'a> {
    /// Without namespaces, for example `RuleEngine/LineDetector/Crossed`.
    pub(super) topic: String,
    pub(super) utc_time: &'a str,
    /// Name of the rule: the line or zone.
    pub(super) rule: Option<String>,
    pub(super) object: Option<String>,
    pub(super) class: Option<String>,
    pub(super) direction: Option<String>,
    /// `IsInside`, `IsLoitering` or `State`.
    pub(super) state: Option<bool>,
    pub(super) count: Option<u64>,
}

impl Event<'_> {
    /// Takes an item of `Source` or `Data` by its name; every other name is passed by.
    pub(super) fn item(&mut self, name: &str, value: &Loose) {
        match name {
            "Rule" => self.rule = Some(value.id()),
            "ObjectId" => self.object = Some(value.id()),
            "ClassTypes" => self.class = Some(value.id()),
            "Direction" => self.direction = Some(value.id()),
            "IsInside" | "IsLoitering" | "State" => self.state = value.flag(),
            "Count" => self.count = value.count(),
            _ => {}
        }
    }
}

/// The topic without the namespaces of its levels.
pub(super) fn topic(levels: &str) -> String {
    let local = |level: &str| level.rsplit_once(':').map_or(level, |(_, local)| local).to_owned();
    levels.trim().split('/').map(local).collect::<Vec<_>>().join("/")
}

/// Adds what an event says; events of other topics are passed by.
pub(super) fn event<'r>(scene: &mut Scene<'r>, stream: &'r Stream, event: &Event<'_>) -> Result<(), Reject> {
    let happening = match (event.topic.as_str(), event.state) {
        ("RuleEngine/LineDetector/Crossed", _) => Some(Happening::Crossed),
        ("RuleEngine/FieldDetector/ObjectsInside", Some(true)) => Some(Happening::Entered),
        ("RuleEngine/FieldDetector/ObjectsInside", Some(false)) => Some(Happening::Left),
        ("RuleEngine/LoiteringDetector/ObjectIsLoitering", Some(true) | None) => Some(Happening::Loitering),
        ("RuleEngine/CountAggregation/Counter", _) => None,
        _ => return Ok(()),
    };
    let at = time(event.utc_time).ok_or_else(|| bad_time("UtcTime"))?;
    let zone = event.rule.as_deref().and_then(|rule| stream.zone(rule)).ok_or_else(|| unknown_zone(stream, "Rule"))?;
    let class = event.class.as_deref().and_then(Class::of);
    let mut row = Observation { at, zone: Some(zone), class, event: happening, ..Observation::default() };
    row.direction = event.direction.as_deref().and_then(Way::of);
    if happening.is_none() {
        row.total = event.count;
        row.class = Some(class.unwrap_or(Class::All));
        return scene.push(Kind::Count, row);
    }
    row.object = event.object.as_deref().and_then(|id| scene.object(id, at));
    scene.push(Kind::Event, row)
}

/// Looks up `{prefix}/{source}`, then `{prefix}`, where the prefix stands before `marker` in the topic.
pub(super) fn open<'r>(scene: &mut Scene<'r>, message: Incoming<'_>, marker: &str, source: Option<&str>) -> Result<&'r Stream, Reject> {
    let prefix = message.topic.split_once(marker).map_or(message.topic, |(prefix, _)| prefix).trim_matches('/');
    let with_source = source.map(|s| format!("{prefix}/{s}"));
    scene.open(message, &[with_source.as_deref().unwrap_or(prefix), prefix])
}
