//! ChirpStack v4 over MQTT: `application/{id}/device/{dev_eui}/event/up` in JSON, with `object` decoded by the device profile's codec.
//!
//! Source: ChirpStack v4 integration events. Proto3 JSON leaves default values out, so only what a mapping needs is asked for.
//! `[[chirpstack]]` tables are turned into ordinary mappings whose `when` looks at `deviceInfo`; the first that fits a device reads it.
//! The other events (join, status, ack, txack, log, location, integration) are dropped by policy, unless a mapping reads them.
//! Mappings with `format = "lorawan"` read the same events and those of other servers, and may have a codec of Portico.

use crate::{
    IngestError,
    decode::time::TimeFormat,
    mapping::{
        EntityRule, FieldSource, Mapping, Mappings, QualityRule, UnknownFields,
        keys::Keys,
        pointer::Pointer,
        read,
        template::{TenantRule, TextTemplate, TopicTemplate},
    },
};
use schemas::ProductId;
use toml::Table;

const UP: &str = "application/{application}/device/{dev_eui}/event/up";
const OTHER_EVENTS: [&str; 7] = ["join", "status", "ack", "txack", "log", "location", "integration"];
/// Key of the table and the place in the event it is compared with.
const SELECTORS: [(&str, &str); 3] =
    [("application_id", "applicationId"), ("device_profile_name", "deviceProfileName"), ("dev_eui", "devEui")];

/// Adds the tables of one file. Every pointer starts at `object`; `^/…` starts at the event.
pub fn add(file: &str, tables: Vec<Table>, all: &mut Mappings) -> Result<(), IngestError> {
    for (i, table) in tables.into_iter().enumerate() {
        let mapping = device(&format!("{file}: chirpstack[{i}]"), table)?;
        all.list.push(mapping);
    }
    for event in OTHER_EVENTS {
        let topic = UP.replace("/up", &format!("/{event}"));
        let template = TopicTemplate::parse(&topic).map_err(|rule| IngestError::Config { place: topic, rule })?;
        if !all.dropped_otherwise.contains(&template) {
            all.dropped_otherwise.push(template);
        }
    }
    Ok(())
}

fn device(place: &str, table: Table) -> Result<Mapping, IngestError> {
    let mut keys = Keys::new(place, table);
    let topic = TopicTemplate::parse(UP).map_err(|e| keys.error("topic", e))?;
    let product = keys.parsed("product", ProductId::new)?.ok_or_else(|| keys.error("product", "is missing"))?;
    let mut when = Vec::new();
    for (key, place) in SELECTORS {
        if let Some(text) = keys.text(key)? {
            when.push((Pointer { path: vec!["deviceInfo".into(), place.into()], from_root: false }, text));
        }
    }
    let names: Vec<&str> = topic.names().collect();
    let entity = keys.parsed("entity", |t| TextTemplate::parse(t, &names))?;
    let entity = match entity {
        Some(template) => template,
        None => TextTemplate::parse("{dev_eui}", &names).map_err(|e| keys.error("entity", e))?,
    };
    let below = |p: Option<Pointer>| p.map(|p| p.below(&["object"]));
    let quality = read::quality(&mut keys)?;
    let mut fields = read::fields(&mut keys)?;
    for (_, rule) in &mut fields {
        if let FieldSource::Pointer(pointer) = &mut rule.source {
            *pointer = pointer.clone().below(&["object"]);
        }
    }
    let mapping = Mapping {
        format: None,
        codec: None,
        simulated: None,
        entity: EntityRule::Topic(entity),
        each: None,
        when,
        observed_at: Pointer::key("time"),
        time_format: TimeFormat::Rfc3339,
        lon: below(keys.parsed("lon", Pointer::parse)?),
        lat: below(keys.parsed("lat", Pointer::parse)?),
        quality: QualityRule { pointer: below(quality.pointer), ..quality },
        fields,
        unknown_fields: UnknownFields::Ignore,
        name: keys.place().to_owned(),
        topic: topic.clone(),
        product,
        tenant: TenantRule::Sender,
    };
    if mapping.lon.is_some() != mapping.lat.is_some() {
        return keys.fail("lon", "lon and lat come together");
    }
    keys.finish()?;
    Ok(mapping)
}

#[cfg(test)]
mod tests;
