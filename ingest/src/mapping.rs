//! Which message means what: topics and JSON pointers onto the fields of a contract, by configuration.
//!
//! Three sources, tried in this order: the files of `[[mapping]]` and `[[chirpstack]]` tables, then the built-in convention
//! `portico/{tenant}/{product}/{local}` with a flat JSON object that uses the contract's own field names.

pub mod keys;
pub mod plan;
pub mod pointer;
pub mod read;
pub mod route;
pub mod template;

use crate::{IngestError, camera::Register, codec::Codecs, decode::time::TimeFormat, format::Chosen};
use pointer::Pointer;
use schemas::{ProductId, Quality};
use std::sync::Arc;
use template::{TenantRule, TextTemplate, TopicTemplate};

/// How to read the messages of one kind of topic.
#[derive(Debug, Clone)]
pub struct Mapping {
    /// `file: [[mapping]] name`, for messages.
    pub name: String,
    pub topic: TopicTemplate,
    /// Translates the message before it is read; absent when it is JSON already.
    pub format: Option<Chosen>,
    /// Name of the codec that decodes the payload of the document into `/object`.
    pub codec: Option<String>,
    pub product: ProductId,
    pub tenant: TenantRule,
    pub entity: EntityRule,
    /// The list of observations inside the message, when there may be several.
    pub each: Option<Pointer>,
    /// Texts that must stand at these pointers; without a match the next mapping of the topic is tried.
    pub when: Vec<(Pointer, String)>,
    pub observed_at: Pointer,
    pub time_format: TimeFormat,
    pub lon: Option<Pointer>,
    pub lat: Option<Pointer>,
    pub quality: QualityRule,
    /// True or false: whether the message does not come from the real world.
    pub simulated: Option<Pointer>,
    pub fields: Vec<(String, FieldRule)>,
    pub unknown_fields: UnknownFields,
}

/// Where the identifier of the entity comes from. A text that is not a URN is composed into one.
#[derive(Debug, Clone)]
pub enum EntityRule {
    Topic(TextTemplate),
    Payload(Pointer),
}

/// What to do with keys that no pointer names, in the objects that hold mapped fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownFields {
    Quarantine,
    Ignore,
    /// Ignored, and an observation that holds nothing else is dropped by policy: senders that tell only what has changed.
    Drop,
}

/// How the quality flag of a row is found.
#[derive(Debug, Clone)]
pub struct QualityRule {
    pub pointer: Option<Pointer>,
    /// From the sender's flag, as text, to ours. Empty: our own names.
    pub table: Vec<(String, Quality)>,
    /// Of rows without a flag.
    pub default: Quality,
}

/// Where the value of a field comes from, and how it is turned into the contract's unit: `value * scale + offset`.
#[derive(Debug, Clone)]
pub struct FieldRule {
    pub source: FieldSource,
    pub scale: f64,
    pub offset: f64,
    /// Values that mean "no value", before scaling.
    pub absent: Vec<Scalar>,
    /// Whether a number may come as a text, `"12.5"`.
    pub number_in_text: bool,
    /// The number comes as a text that ends in this unit, `"45%"`; another unit is refused rather than read as this one.
    pub unit_in_text: Option<String>,
}

#[derive(Debug, Clone)]
pub enum FieldSource {
    Pointer(Pointer),
    /// The same for every row, for example a `period` that the sender does not write.
    Constant(Scalar),
}

/// A constant of a mapping file.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    Number(f64),
    Text(String),
    Bool(bool),
}

impl FieldRule {
    #[must_use]
    pub fn plain(pointer: Pointer) -> Self {
        Self {
            source: FieldSource::Pointer(pointer),
            scale: 1.0,
            offset: 0.0,
            absent: Vec::new(),
            number_in_text: false,
            unit_in_text: None,
        }
    }
}

/// Everything that was configured.
#[derive(Debug, Clone, Default)]
pub struct Mappings {
    pub list: Vec<Mapping>,
    /// Topics that are dropped by policy, and counted as such.
    pub dropped: Vec<TopicTemplate>,
    /// Tags of line protocol that name the entity when `id` is absent, in order of preference; for the built-in convention.
    pub entity_tags: Vec<String>,
    /// One instance of each format in use: its state is shared by the topics of a sender (births and data of Sparkplug).
    pub formats: Vec<Chosen>,
    /// The same, unless a mapping reads the topic.
    pub dropped_otherwise: Vec<TopicTemplate>,
    /// Of which mappings name some.
    pub codecs: Codecs,
    /// Whose streams may be kept for less long than their contract allows.
    pub cameras: Arc<Register>,
}

impl Mappings {
    /// Only the built-in convention.
    #[must_use]
    pub fn builtin() -> Self {
        Self::default()
    }

    /// Formats of cameras look streams up in this register; without it they refuse every message.
    #[must_use]
    pub fn with_cameras(mut self, cameras: &Arc<Register>) -> Self {
        for chosen in self.list.iter_mut().filter_map(|m| m.format.as_mut()) {
            if let Some(format) = chosen.format.with_cameras(cameras) {
                chosen.format = format;
            }
        }
        self.cameras = Arc::clone(cameras);
        self
    }

    /// From file names and TOML texts; the order of files and tables is the order in which they are tried.
    pub fn parse<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, IngestError> {
        let mut all = Self::default();
        for (file, text) in files {
            read::file(file, text, &mut all)?;
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests;
