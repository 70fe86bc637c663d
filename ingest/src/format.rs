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
}

/// A format and its name in mapping files.
#[derive(Debug, Clone)]
pub struct Chosen {
    pub name: &'static str,
    pub format: Arc<dyn Format>,
}

type Make = fn() -> Arc<dyn Format>;

/// Every format, by its name in mapping files.
const ALL: &[(&str, Make)] = &[
    ("chirpstack_v3", || Arc::new(LoRaWan::ChirpStackV3)),
    ("chirpstack_v4", || Arc::new(LoRaWan::ChirpStackV4)),
    ("chirpstack_v4_protobuf", || Arc::new(LoRaWan::ChirpStackV4Protobuf)),
    ("loriot", || Arc::new(LoRaWan::Loriot)),
    ("lorawan", || Arc::new(LoRaWan::Any)),
    ("senml", || Arc::new(senml::SenMl)),
    ("thingpark", || Arc::new(LoRaWan::ThingPark)),
    ("tts_v3", || Arc::new(LoRaWan::TheThingsStackV3)),
];

mod lorawan;
mod senml;

use lorawan::LoRaWan;

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
