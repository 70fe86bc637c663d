//! What comes in and what goes out.

use super::{FieldGuess, LeftOver, PreviewRow, TimeGuess};
use bytes::Bytes;
use schemas::{ProductId, Tenant, Timestamp};
use serde::Serialize;
use std::collections::BTreeMap;

/// One quarantined message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    pub tenant: Tenant,
    pub topic: String,
    pub payload: Bytes,
    /// Code and words of the quarantine.
    pub reason: String,
    pub message: String,
    pub received_at: Timestamp,
}

/// How far a suggestion goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// What is in force reads these messages already: they only wait to be replayed.
    Ready,
    /// A mapping onto an existing contract reads every sample looked at.
    Mapping,
    /// No contract fits: a new one and a mapping onto it.
    Contract,
    /// Something is missing; `missing` says what.
    Incomplete,
}

/// A contract of its own for these messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NewContract {
    pub product: ProductId,
    /// ODCS YAML.
    pub text: String,
}

/// A message as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Example {
    pub topic: String,
    pub payload: String,
    pub reason: String,
    pub message: String,
}

/// Another contract that was considered.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Other {
    pub product: ProductId,
    pub score: f64,
}

/// Messages of one kind of device, and what can be done about them.
#[derive(Debug, Clone, Serialize)]
pub struct Suggestion {
    /// The same for the same topics, so that accepting again replaces what was accepted before.
    pub id: String,
    pub tenant: Tenant,
    /// Template of the topics.
    pub topic: String,
    pub state: State,
    pub messages: usize,
    pub devices: usize,
    pub first_at: String,
    pub last_at: String,
    pub reasons: BTreeMap<String, usize>,
    pub examples: Vec<Example>,
    pub product: Option<ProductId>,
    /// From 0 to 1.
    pub score: f64,
    pub why: Vec<String>,
    pub others: Vec<Other>,
    /// Mapping in force that reads these topics already, and refused the messages.
    pub in_force: Option<String>,
    pub format: Option<&'static str>,
    pub fields: Vec<FieldGuess>,
    pub time: Option<TimeGuess>,
    /// Pointers to longitude and latitude.
    pub place: Option<(String, String)>,
    pub left_over: Vec<LeftOver>,
    pub missing: Vec<String>,
    /// TOML of a mapping file.
    pub mapping: Option<String>,
    pub contract: Option<NewContract>,
    /// Of `checked` samples, how many the mapping turns into rows.
    pub decoded: usize,
    pub checked: usize,
    pub preview: Vec<PreviewRow>,
}

/// What the city knows beside the messages.
#[derive(Debug, Clone)]
pub struct Options {
    /// IANA name of the zone of local times without an offset.
    pub zone: String,
}

impl Suggestion {
    /// FNV-1a: stable from one release to the next, since files are named by it.
    pub(super) fn named(mut self, topics: &str) -> Self {
        let text = format!("{}\n{topics}", self.tenant);
        let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
        self.id = format!("{hash:016x}");
        self
    }
}
