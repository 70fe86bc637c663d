//! ONVIF metadata streams in XML, `tt:MetadataStream` as it comes over RTSP: `VideoAnalytics/Frame` are track points, and
//! `Event/NotificationMessage` events; `SensorData`, `PTZ` and `Extension` are nothing here. One document may hold all of them.
//! The stream is the whole topic, or its last level.

use super::{
    Incoming,
    onvif::{self, Event, Object, Transformation},
    video::{Area, Loose, Scene},
};
use crate::{
    camera::Stream,
    decode::reject::{Reason, Reject},
    xml::{self, Element},
};

pub(super) fn read(scene: &mut Scene<'_>, message: Incoming<'_>) -> Result<(), Reject> {
    let last = message.topic.rsplit('/').next().unwrap_or_default();
    let stream = scene.open(message, &[message.topic, last])?;
    let tree = xml::whole(message.payload)?;
    let root = tree.root();
    if !root.name().eq_ignore_ascii_case("MetadataStream") {
        return Err(Reject::new(Reason::NotFormat, "the root element must be MetadataStream of http://www.onvif.org/ver10/schema"));
    }
    // The specification's samples nest VideoAnalytics in VideoAnalytics; frames are found at any depth.
    for element in root.inside() {
        match element.name() {
            "Frame" => {
                let objects = element.all("Object").filter_map(object).collect();
                onvif::frame(scene, stream, element.attribute("UtcTime").unwrap_or_default(), (transformation(element), objects))?;
            }
            "NotificationMessage" => notification(scene, stream, element)?,
            _ => {}
        }
    }
    Ok(())
}

fn number(element: Element<'_>, attribute: &str) -> Option<f64> {
    element.attribute(attribute)?.trim().parse().ok().filter(|v: &f64| v.is_finite())
}

fn pair(element: Option<Element<'_>>) -> Option<(f64, f64)> {
    element.and_then(|e| Some((number(e, "x")?, number(e, "y")?)))
}

fn transformation(frame: Element<'_>) -> Transformation {
    let identity = Transformation::default();
    Transformation {
        translate: pair(frame.path(&["Transformation", "Translate"])).unwrap_or(identity.translate),
        scale: pair(frame.path(&["Transformation", "Scale"])).unwrap_or(identity.scale),
    }
}

/// `None` for an object that is a plate.
fn object(element: Element<'_>) -> Option<Object> {
    let appearance = element.child("Appearance");
    if appearance.is_some_and(|a| a.child("LicensePlateInfo").is_some()) {
        return None;
    }
    let bounds = appearance.and_then(|a| a.path(&["Shape", "BoundingBox"]));
    let likelihood = |e: Element<'_>| (e.text().to_owned(), number(e, "Likelihood"));
    let types = |name| appearance.and_then(|a| a.child(name)).into_iter().flat_map(|c| c.all("Type")).map(likelihood);
    let behaviour = element.child("Behaviour");
    let geo = element.child("GeoLocation").or_else(|| appearance.and_then(|a| a.child("GeoLocation")));
    Some(Object {
        id: element.attribute("ObjectId").map(|id| id.trim().to_owned()),
        bounds: bounds.and_then(|b| {
            Some(Area { left: number(b, "left")?, top: number(b, "top")?, right: number(b, "right")?, bottom: number(b, "bottom")? })
        }),
        classes: types("Class").chain(types("VehicleInfo")).collect(),
        yaw: behaviour.and_then(|b| b.child("Direction")).and_then(|d| number(d, "yaw")),
        geo: geo.and_then(|g| Some((number(g, "lon")?, number(g, "lat")?))),
        removed: behaviour.is_some_and(|b| b.child("Removed").is_some()),
    })
}

fn notification<'r>(scene: &mut Scene<'r>, stream: &'r Stream, element: Element<'_>) -> Result<(), Reject> {
    let Some(message) = element.inside().find(|e| e.name() == "Message" && e.attribute("UtcTime").is_some()) else { return Ok(()) };
    let topic = onvif::topic(element.child("Topic").map(Element::text).unwrap_or_default());
    let mut event = Event { topic, utc_time: message.attribute("UtcTime").unwrap_or_default(), ..Event::default() };
    for item in message.inside().filter(|e| e.name() == "SimpleItem") {
        if let (Some(name), Some(value)) = (item.attribute("Name"), item.attribute("Value")) {
            event.item(name, &Loose::Text(value.to_owned()));
        }
    }
    onvif::event(scene, stream, &event)
}
