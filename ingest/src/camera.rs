//! The register of cameras (GOV-1): a stream of video metadata is read only when it stands here with its purpose, legal basis,
//! impact assessment, retention, field of view and recipients. Loaded once at the start from TOML files of `[[stream]]` tables
//! (`ingest/cameras/example.toml`); formats of cameras look streams up, and refuse what they do not find.

mod ground;
mod pseudonym;
mod read;
mod sector;

use crate::{
    IngestError,
    decode::reject::{Reason, Reject, cut},
};
pub use ground::Homography;
pub use pseudonym::{Key, Pseudonym};
use schemas::{Position, Tenant, Timestamp};
use serde::{Serialize, Serializer};
use std::collections::HashMap;

/// Products whose rows come from cameras, and therefore only through formats that ask the register.
pub const PROTECTED: &[&str] = &["video_count", "video_track", "video_event"];

/// One stream of the register. Serialised, it is what a citizen may read.
#[derive(Debug, Clone, Serialize)]
pub struct Stream {
    /// Name of the stream, and local part of its entities.
    pub id: String,
    pub tenant: Tenant,
    /// What devices call it: camera, serial number, topic prefix or sensor id.
    #[serde(skip)]
    pub names: Vec<String>,
    pub owner: String,
    pub contact: String,
    pub purpose: Purpose,
    pub legal_basis: String,
    /// Reference of the data protection impact assessment.
    pub dpia: String,
    pub retention_days: u32,
    pub recipients: Vec<String>,
    /// Where the camera stands.
    pub position: Option<Position>,
    /// Ring of longitude and latitude on the ground: as declared, or the sector of position, bearing, angle and range.
    pub field_of_view: Vec<Position>,
    /// Lines and zones that the impact assessment covers; no other name is ever written.
    pub zones: Vec<String>,
    /// Width and height of the image in which the device counts pixels.
    #[serde(skip)]
    pub image: Option<(f64, f64)>,
    /// From the image (0 to 1, origin top left) to longitude and latitude.
    #[serde(skip)]
    pub homography: Option<Homography>,
    #[serde(serialize_with = "rfc3339")]
    pub valid_from: Timestamp,
    #[serde(serialize_with = "rfc3339_or_null")]
    pub valid_to: Option<Timestamp>,
}

fn rfc3339<S: Serializer>(at: &Timestamp, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(at)
}

fn rfc3339_or_null<S: Serializer>(at: &Option<Timestamp>, s: S) -> Result<S::Ok, S::Error> {
    at.map(Timestamp::to_rfc3339).serialize(s)
}

/// Why the camera is there, in both languages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Purpose {
    pub it: String,
    pub en: String,
}

impl Stream {
    /// Whether the register covers this instant.
    #[must_use]
    pub fn covers(&self, at: Timestamp) -> bool {
        self.valid_from <= at && self.valid_to.is_none_or(|to| at < to)
    }

    /// The point on the ground, when it lies in the declared field of view.
    #[must_use]
    pub fn ground(&self, x: f64, y: f64) -> Option<Position> {
        self.seen(self.homography.as_ref()?.apply(x, y)?)
    }

    /// The position, when it lies in the declared field of view.
    #[must_use]
    pub fn seen(&self, position: Position) -> Option<Position> {
        ground::contains(&self.field_of_view, position).then_some(position)
    }

    /// The first date whose rows are accepted at an instant.
    #[must_use]
    pub fn oldest_date(&self, now: Timestamp) -> i32 {
        oldest_date(self.retention_days, now)
    }

    /// The register's own text of a zone that a device names.
    #[must_use]
    pub fn zone(&self, name: &str) -> Option<&str> {
        self.zones.iter().find(|z| *z == name).map(String::as_str)
    }
}

/// All streams. The default is empty, and refuses every stream.
#[derive(Debug, Default)]
pub struct Register {
    streams: Vec<Stream>,
    by_name: HashMap<Tenant, HashMap<String, usize>>,
    by_id: HashMap<Tenant, HashMap<String, usize>>,
    key: Key,
}

impl Register {
    /// From file names and TOML texts. The key is secret; whoever knows it could link objects over days.
    ///
    /// # Errors
    /// Names the file, the stream and the key that is wrong, and the fix.
    pub fn parse<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>, key: Key) -> Result<Self, IngestError> {
        let mut register = Self { key, ..Self::default() };
        for (file, text) in files {
            read::file(file, text, &mut register)?;
        }
        Ok(register)
    }

    #[must_use]
    pub fn streams(&self) -> &[Stream] {
        &self.streams
    }

    /// The stream whose rows have this URN. Rows of a stream are about `urn:ngsi-ld:{type of the product}:{tenant}:{id}`.
    #[must_use]
    pub fn of_entity(&self, tenant: &Tenant, urn: &str) -> Option<&Stream> {
        let id = urn.rsplit(':').next()?;
        self.by_id.get(tenant)?.get(id).map(|i| &self.streams[*i])
    }

    /// The stream that one of the names means, the first that is found, if it is registered at `at`.
    ///
    /// # Errors
    /// Says in plain words what a camera needs before it may send.
    pub fn find(&self, tenant: &Tenant, names: &[&str], at: Timestamp) -> Result<&Stream, Reject> {
        let found = self.by_name.get(tenant).and_then(|own| names.iter().find_map(|name| own.get(*name)));
        let Some(stream) = found.map(|i| &self.streams[*i]) else {
            return Err(unregistered(names.first().copied().unwrap_or_default()));
        };
        if stream.covers(at) { Ok(stream) } else { Err(outside(stream, at)) }
    }

    #[must_use]
    pub fn pseudonym(&self, stream: &Stream, object: &str, at: Timestamp) -> Pseudonym {
        self.key.pseudonym(stream.tenant.as_str(), &stream.id, object, at)
    }
}

/// The first date that a stream keeps of so many days.
#[must_use]
pub fn oldest_date(retention_days: u32, now: Timestamp) -> i32 {
    now.date().saturating_sub(i32::try_from(retention_days).unwrap_or(i32::MAX))
}

/// Dates before this one are removed: one day after they are refused, as with contracts (ING-3).
#[must_use]
pub fn expired_before(retention_days: u32, now: Timestamp) -> i32 {
    oldest_date(retention_days, now).saturating_sub(1)
}

/// The refusal of a row whose date its stream no longer keeps.
#[must_use]
pub fn too_old(stream: &Stream, at: Timestamp) -> Reject {
    let message = format!(
        "observed at {at}; the register lets the camera '{}' keep {} days, and older rows are removed",
        stream.id, stream.retention_days
    );
    Reject::field(Reason::TooOld, "observed_at", message)
}

/// The refusal of a stream that is not in the register.
#[must_use]
pub fn unregistered(name: &str) -> Reject {
    let name: String = cut(name, 60).chars().filter(|c| !c.is_control()).collect();
    let message = format!(
        "the camera '{name}' is not in the city's register of cameras, so nothing of what it sent was kept. A camera may send data only \
         when the register says why it is there, on which legal basis, under which impact assessment, for how long data are kept and who \
         receives them; its owner asks the city for an entry"
    );
    Reject::new(Reason::NoRegisterEntry, message)
}

/// The refusal of an instant that the entry does not cover.
#[must_use]
pub fn outside(stream: &Stream, at: Timestamp) -> Reject {
    let to = stream.valid_to.map_or_else(|| "further notice".to_owned(), |to| to.to_string());
    let message = format!(
        "the register allows the camera '{}' from {} until {to}, and this is about {at}, so nothing of it was kept; its owner asks the \
         city to renew the entry",
        stream.id, stream.valid_from
    );
    Reject::new(Reason::NoRegisterEntry, message)
}

/// Whether messages of the topic come from cameras by the conventions of their makers, so that no quarantine may keep the payload
/// although no mapping reads it.
#[must_use]
pub fn is_protected_topic(topic: &[u8]) -> bool {
    let topic = String::from_utf8_lossy(topic).to_ascii_lowercase();
    let mut levels = topic.split('/');
    let camera = |level: &str| {
        matches!(level, "frigate" | "onvif-ej" | "onvif-mj" | "onvif-mx" | "axis" | "deepstream" | "scene" | "objectanalytics")
            || level.contains("axis.")
            || PROTECTED.contains(&level)
    };
    levels.any(camera)
}

#[cfg(test)]
mod tests;
