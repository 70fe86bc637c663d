//! Foreign message formats. Each turns one message into one JSON document, which mappings then read like any other, so that
//! contracts, quarantine, ledger and acknowledgement are the same for all. A format is one file here and a line in [`named`].
//!
//! `format = "…"` in a mapping chooses it; every mapping of one topic must choose the same, because `when` looks at the document.

use crate::decode::reject::{Reject, nearest};
use schemas::{Tenant, Timestamp};
use std::{fmt, sync::Arc};

/// One message as a format sees it.
#[derive(Debug, Clone, Copy)]
pub struct Incoming<'a> {
    /// Of the sender. State that a format keeps between messages is kept per tenant.
    pub tenant: &'a Tenant,
    pub topic: &'a str,
    /// At most `payload_bytes_max` bytes.
    pub payload: &'a [u8],
    pub received_at: Timestamp,
}

/// What a format made of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Translated {
    /// The document was written.
    Document,
    /// Several documents were written, one per line; each is matched with the mappings of the topic by itself.
    Documents,
    /// The payload is InfluxDB line protocol and is read as such, line by line, without a document; see [`line_protocol`].
    Lines,
    /// Nothing to store (a birth, a keep-alive); the ledger counts the message as dropped by policy.
    Nothing,
}

/// Reads one kind of message. Called by several threads at once.
pub trait Format: fmt::Debug + Send + Sync {
    /// Appends one JSON document to `out`, which is empty.
    ///
    /// # Errors
    /// The reason for the quarantine, in words for whoever runs the gateway.
    fn translate(&self, message: Incoming<'_>, out: &mut Vec<u8>) -> Result<Translated, Reject>;

    /// False when payloads may hold personal data: then the quarantine keeps the reason of a refusal only (GOV-1).
    fn keeps_payload(&self) -> bool {
        true
    }

    /// The same format over a register of cameras, when it needs one.
    fn with_cameras(&self, _: &Arc<crate::camera::Register>) -> Option<Arc<dyn Format>> {
        None
    }
}

/// A format and its name in mapping files.
#[derive(Debug, Clone)]
pub struct Chosen {
    pub name: &'static str,
    pub format: Arc<dyn Format>,
}

/// The format whose messages are lines.
pub const LINE_PROTOCOL: &str = "line_protocol";

type Make = fn() -> Arc<dyn Format>;

/// Every format, by its name in mapping files.
const ALL: &[(&str, Make)] = &[
    ("axis_aoa", || video::format(axis_aoa::read)),
    ("axis_scene", || video::format(axis_scene::read)),
    ("chirpstack_v3", || Arc::new(LoRaWan::ChirpStackV3)),
    ("chirpstack_v4", || Arc::new(LoRaWan::ChirpStackV4)),
    ("chirpstack_v4_protobuf", || Arc::new(LoRaWan::ChirpStackV4Protobuf)),
    ("datex2", || Arc::new(datex2::Datex2)),
    ("deepstream", || video::format(deepstream::read)),
    ("fdt", || Arc::new(fdt::Fdt)),
    ("fiware_json", || Arc::new(fiware::Json)),
    ("frigate", || video::format(frigate::read)),
    ("gtfs_rt", || Arc::new(gtfs_rt::GtfsRt)),
    ("homie5", || Arc::new(homie::Homie::default())),
    (LINE_PROTOCOL, || Arc::new(line_protocol::LineProtocol)),
    ("lorawan", || Arc::new(LoRaWan::Any)),
    ("loriot", || Arc::new(LoRaWan::Loriot)),
    ("ngsi_ld", || Arc::new(ngsi_ld::NgsiLd)),
    ("onvif_ej", || video::format(onvif_ej::read)),
    ("onvif_mj", || video::format(onvif_mj::read)),
    ("onvif_xml", || video::format(onvif_xml::read)),
    ("senml", || Arc::new(senml::SenMl)),
    ("sensorthings", || Arc::new(sensorthings::SensorThings)),
    ("sparkplug_b", || Arc::new(sparkplug::SparkplugB::default())),
    ("tasmota", || Arc::new(tasmota::Tasmota)),
    ("thingpark", || Arc::new(LoRaWan::ThingPark)),
    ("tts_v3", || Arc::new(LoRaWan::TheThingsStackV3)),
    ("ultralight", || Arc::new(fiware::UltraLight)),
];

mod axis_aoa;
mod axis_scene;
mod datex2;
mod deepstream;
mod fdt;
mod fiware;
mod frigate;
mod gtfs_rt;
mod homie;
pub mod line_protocol;
mod lorawan;
mod ngsi_ld;
mod onvif;
mod onvif_ej;
mod onvif_mj;
mod onvif_xml;
mod senml;
mod sensorthings;
mod sparkplug;
mod tasmota;
mod video;

use lorawan::LoRaWan;

/// The names of all formats.
pub fn names() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|(name, _)| *name)
}

/// The format of that name, with state of its own.
///
/// # Errors
/// Names the nearest format that exists.
pub fn named(name: &str) -> Result<Chosen, String> {
    if let Some((name, make)) = ALL.iter().find(|(n, _)| *n == name) {
        return Ok(Chosen { name, format: make() });
    }
    let near = nearest(name, ALL.iter().map(|(n, _)| *n)).map_or_else(
        || format!("known formats are {}", ALL.iter().map(|(n, _)| *n).collect::<Vec<_>>().join(", ")),
        |near| format!("did you mean '{near}'?"),
    );
    Err(format!("'{name}' is not a format; {near}"))
}

#[cfg(test)]
mod tests;
