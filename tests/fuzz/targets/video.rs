//! Metadata of cameras, read over a register. No text of a message may become part of a document (GOV-1).
#![no_main]

use ingest::format::{Incoming, Translated};
use libfuzzer_sys::fuzz_target;

const FORMATS: [&str; 7] = ["frigate", "axis_aoa", "axis_scene", "deepstream", "onvif_ej", "onvif_mj", "onvif_xml"];
const TOPICS: [&str; 8] = [
    "frigate/events",
    "frigate/reviews",
    "frigate/tracked_object_update",
    "axis/B8A44F941234/event/tnsaxis:CameraApplicationPlatform/ObjectAnalytics/Device1Scenario1",
    "axis/B8A44F941234/scene/1",
    "deepstream/CAMERA_ID",
    "MyDevice/onvif-mj/VideoAnalytics/profile0/module0",
    "onvif-xml/MyDevice",
];
/// Stands in seeds where names, plates and faces would.
const PERSONAL: &str = "XYZZYPERSON";

fuzz_target!(|data: &[u8]| {
    fuzz::translate(&FORMATS, &TOPICS, data);
    let [name, topic, payload @ ..] = data else { return };
    let (name, topic, tenant) = (fuzz::pick(&FORMATS, *name), fuzz::pick(&TOPICS, *topic), fuzz::tenant());
    let mut out = Vec::new();
    let incoming = Incoming { tenant: &tenant, topic, payload, received_at: fuzz::NOW };
    let made = fuzz::format(name).format.translate(incoming, &mut out);
    if matches!(made, Ok(Translated::Document | Translated::Documents)) {
        let text = String::from_utf8_lossy(&out);
        assert!(!text.contains(PERSONAL), "{name} wrote a text of its message: {text}");
    }
});
