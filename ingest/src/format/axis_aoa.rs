//! AXIS Object Analytics events over MQTT, `axis/{serial}/event/tns:axis/CameraApplicationPlatform/ObjectAnalytics/Device1Scenario1`:
//! `{"topic", "timestamp": ms, "serial", "message": {"source", "key", "data": {…}}}`.
//!
//! - Crossline counting (`startTime`, `total`, `totalCar`, …): one running total per class since `startTime`, at `timestamp`.
//! - Occupancy (`total…` without `startTime`): objects present.
//! - Object in area (`active`, `objectId`, `classTypes`, `triggerTime`): `entered` or `left`.
//!
//! Traps: every value is a text; an offset is written `-04:00` and `-0400`; the serial number in the payload may be another than that of
//! the topic, which counts; a scenario is a zone and must be in the register. `ScenarioANY` repeats what the scenarios say: list it or them.

use super::{
    Incoming,
    video::{Class, Happening, Kind, Loose, Observation, Scene, bad_time, json, time, unknown_zone},
};
use crate::decode::reject::Reject;
use schemas::Timestamp;
use serde::Deserialize;

#[derive(Deserialize)]
struct Message {
    timestamp: i64,
    #[serde(default)]
    serial: String,
    message: Body,
}

#[derive(Deserialize)]
struct Body {
    data: Data,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    start_time: Option<String>,
    trigger_time: Option<String>,
    active: Option<Loose>,
    object_id: Option<Loose>,
    class_types: Option<String>,
    total: Option<Loose>,
    total_human: Option<Loose>,
    total_car: Option<Loose>,
    total_bike: Option<Loose>,
    total_truck: Option<Loose>,
    total_bus: Option<Loose>,
    total_motorcycle: Option<Loose>,
    total_other_vehicle: Option<Loose>,
}

pub(super) fn read(scene: &mut Scene<'_>, message: Incoming<'_>) -> Result<(), Reject> {
    let event: Message = json("an Axis event", message.payload)?;
    let levels: Vec<&str> = message.topic.split('/').collect();
    let serial = levels.windows(2).find(|w| w[1] == "event").map_or(event.serial.as_str(), |w| w[0]);
    let stream = scene.open(message, &[serial])?;
    // What stands in the source moves into the topic as `$source/key/value`.
    let event_levels = levels.iter().position(|l| *l == "$source").map_or(levels.as_slice(), |at| &levels[..at]);
    if !event_levels.contains(&"ObjectAnalytics") {
        return Ok(());
    }
    let scenario = event_levels.last().copied().unwrap_or_default();
    let zone = stream.zone(scenario).ok_or_else(|| unknown_zone(stream, "topic"))?;
    let data = event.message.data;
    let at = Timestamp::from_millis(event.timestamp);
    if let Some(active) = data.active.as_ref().and_then(Loose::flag) {
        let at = data.trigger_time.as_deref().map_or(Some(at), time).ok_or_else(|| bad_time("triggerTime"))?;
        let object = data.object_id.as_ref().map(Loose::id);
        let row = Observation {
            at,
            zone: Some(zone),
            object: object.and_then(|id| scene.object(&id, at)),
            class: data.class_types.as_deref().and_then(one_class),
            event: Some(if active { Happening::Entered } else { Happening::Left }),
            ..Observation::default()
        };
        return scene.push(Kind::Event, row);
    }
    let since = data.start_time.as_deref().map(|t| time(t).ok_or_else(|| bad_time("startTime"))).transpose()?;
    let totals = [
        (Class::All, &data.total),
        (Class::Person, &data.total_human),
        (Class::Car, &data.total_car),
        (Class::Bicycle, &data.total_bike),
        (Class::Truck, &data.total_truck),
        (Class::Bus, &data.total_bus),
        (Class::Motorcycle, &data.total_motorcycle),
        (Class::Other, &data.total_other_vehicle),
    ];
    for (class, n) in totals.into_iter().filter_map(|(class, n)| Some((class, n.as_ref()?.count()?))) {
        let (total, present) = if since.is_some() { (Some(n), None) } else { (None, Some(n)) };
        scene
            .push(Kind::Count, Observation { at, class: Some(class), zone: Some(zone), total, since, present, ..Observation::default() })?;
    }
    Ok(())
}

/// Several classes, `human,car`, are no class.
fn one_class(types: &str) -> Option<Class> {
    if types.contains(',') { Some(Class::Other) } else { Class::of(types) }
}
