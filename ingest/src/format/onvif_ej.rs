//! ONVIF events as JSON over MQTT: `{prefix}/onvif-ej/{topic}/{sources}` with `{"UtcTime", "Source", "Data"}`, sources after `&`.
//! Of the rule engine, lines crossed, objects in a field, loitering and counters are read; the rule is a zone of the register.
//! The stream is `{prefix}/{VideoSource}` or `{prefix}`. A retained message without a byte says that the property is gone.

use super::{
    Incoming,
    onvif::{self, Event},
    video::{Loose, Scene, json},
};
use crate::decode::reject::Reject;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Message {
    utc_time: String,
    source: Option<Source>,
    data: Option<Data>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Source {
    #[serde(alias = "VideoSourceConfigurationToken")]
    video_source: Option<Loose>,
    rule: Option<Loose>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Data {
    object_id: Option<Loose>,
    class_types: Option<Loose>,
    direction: Option<Loose>,
    #[serde(alias = "IsLoitering", alias = "State")]
    is_inside: Option<Loose>,
    count: Option<Loose>,
}

pub(super) fn read(scene: &mut Scene<'_>, message: Incoming<'_>) -> Result<(), Reject> {
    let (_, rest) = message.topic.split_once("/onvif-ej/").unwrap_or_default();
    let levels = rest.split_once("/&").map_or(rest, |(levels, _)| levels);
    if message.payload.is_empty() {
        return onvif::open(scene, message, "/onvif-ej/", None).map(drop);
    }
    let body: Message = json("an ONVIF event", message.payload)?;
    let source = body.source.as_ref().and_then(|s| s.video_source.as_ref()).map(Loose::id);
    let stream = onvif::open(scene, message, "/onvif-ej/", source.as_deref())?;
    let mut event = Event { topic: onvif::topic(levels), utc_time: &body.utc_time, ..Event::default() };
    let rule = body.source.and_then(|s| s.rule);
    let mut item = |name, value: &Option<Loose>| value.iter().for_each(|v| event.item(name, v));
    item("Rule", &rule);
    if let Some(data) = &body.data {
        item("ObjectId", &data.object_id);
        item("ClassTypes", &data.class_types);
        item("Direction", &data.direction);
        item("State", &data.is_inside);
        item("Count", &data.count);
    }
    onvif::event(scene, stream, &event)
}
