//! Which server wrote a message, by the keys that only it uses at the top of its documents.

use super::{LoRaWan, last_level};
use crate::{
    decode::reject::{Reason, Reject},
    format::Incoming,
};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use std::fmt;

const FORMS: &str = "ChirpStack (deviceInfo, or devEUI and applicationID), The Things Stack (end_device_ids), LORIOT (cmd and EUI) and ThingPark (DevEUI_uplink)";

/// The server whose document this is.
pub(super) fn server(message: &Incoming<'_>) -> Result<LoRaWan, Reject> {
    let text = message.payload.trim_ascii_start();
    if text.first() != Some(&b'{') {
        // ChirpStack in protobuf begins with the tag of its first field; the topic then says which event it is.
        let event = last_level(message.topic);
        if message.payload.first() == Some(&0x0a) && super::chirpstack_v4::EVENTS.contains(&event) {
            return Ok(LoRaWan::ChirpStackV4Protobuf);
        }
        return Err(Reject::new(Reason::NotJson, format!("neither a JSON object nor protobuf of ChirpStack; read are {FORMS}")));
    }
    let found: Found =
        serde_json::from_slice(text).map_err(|e| Reject::new(Reason::NotJson, format!("not JSON: {e}; send one event in each message")))?;
    found.0.ok_or_else(|| {
        Reject::new(Reason::WrongType, format!("no event of a network server that is known here; read are {FORMS}; or use another format"))
    })
}

struct Found(Option<LoRaWan>);

impl<'de> Deserialize<'de> for Found {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_map(Keys)
    }
}

struct Keys;

impl<'de> Visitor<'de> for Keys {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event of a LoRaWAN network server")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found, A::Error> {
        let mut found = None;
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            let server = match key.as_ref() {
                "deviceInfo" => Some(LoRaWan::ChirpStackV4),
                "end_device_ids" => Some(LoRaWan::TheThingsStackV3),
                "cmd" | "EUI" => Some(LoRaWan::Loriot),
                "devEUI" => Some(LoRaWan::ChirpStackV3),
                key if key.starts_with("DevEUI_") => Some(LoRaWan::ThingPark),
                _ => None,
            };
            found = found.or(server);
            map.next_value::<IgnoredAny>()?;
        }
        Ok(Found(found))
    }
}
