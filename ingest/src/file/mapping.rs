//! Mapping files: what the columns of a file mean.

use crate::IngestError;
use schemas::{ProductId, Quality};
use serde::Deserialize;
use std::collections::BTreeMap;

macro_rules! builtin {
    ($($name:literal),* $(,)?) => {
        /// Name and text of every mapping that is compiled in, in the order in which [`super::guess`] tries them.
        pub(super) const BUILTIN: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../mappings/files/", $name, ".toml")))),*];
    };
}

builtin!("arpae_hourly", "arpae_daily", "regional_counts", "bologna_loops", "bologna_centraline");

/// A parsed mapping file.
#[derive(Debug, Clone)]
pub struct FileMapping {
    pub(super) name: String,
    pub(super) spec: Spec,
    /// Wide files whose name says what they hold: the field of the contract, once a name was given.
    pub(super) field: Option<String>,
}

/// The file, key by key. Unknown keys are errors.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Spec {
    pub(super) product: ProductId,
    pub(super) attribution: String,
    #[serde(default = "comma")]
    pub(super) delimiter: char,
    #[serde(default)]
    pub(super) encoding: Encoding,
    /// Local part of the entity: text with `{column}`; `{station}` in `wide_stations`.
    pub(super) entity: String,
    /// Cells that mean "no value", beside blank ones.
    #[serde(default)]
    pub(super) absent: Vec<String>,
    pub(super) time: TimeSpec,
    /// The same for every message, for example `period`.
    #[serde(default)]
    pub(super) constants: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) fields: BTreeMap<String, FieldSpec>,
    pub(super) place: Option<PlaceSpec>,
    /// Positions by the entity text, for files that have none.
    #[serde(default)]
    pub(super) stations: BTreeMap<String, schemas::Position>,
    /// From the owner's validity flag to ours. A value without a flag, or with another, is `unchecked`.
    #[serde(default)]
    pub(super) flags: BTreeMap<String, Quality>,
    pub(super) wide_stations: Option<WideStations>,
    pub(super) wide_hours: Option<WideHours>,
    pub(super) pivot: Option<Pivot>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Encoding {
    /// With or without a byte order mark.
    #[default]
    Utf8,
    Latin1,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TimeSpec {
    pub(super) column: String,
    /// `rfc3339`, or a strftime pattern of local time.
    pub(super) format: String,
    /// IANA name or fixed offset; needed unless the format is `rfc3339`.
    pub(super) zone: Option<String>,
    /// Rounds down to a multiple of this, for files that write 08:01 for the hour from 08:00.
    pub(super) floor_secs: Option<u32>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FieldSpec {
    pub(super) column: String,
    #[serde(default)]
    pub(super) kind: CellKind,
    /// Part of what tells two rows of one entity and hour apart.
    #[serde(default)]
    pub(super) key: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum CellKind {
    #[default]
    Number,
    Text,
}

/// Where the position stands.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PlaceSpec {
    /// Column with `lat, lon`.
    pub(super) geopoint: String,
}

/// One column per station, beside it a column of flags.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WideStations {
    pub(super) flag_prefix: String,
    /// Start of the file's name (up to a `_`, `-`, `.` or its end), to the field that its values are.
    pub(super) files: BTreeMap<String, String>,
}

/// 24 columns `00:00-01:00` to `23:00-24:00` of one field.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WideHours {
    pub(super) field: String,
}

/// A column that says which field the value column holds, and in which unit.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pivot {
    pub(super) column: String,
    pub(super) value: String,
    pub(super) unit: String,
    pub(super) fields: BTreeMap<String, PivotField>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PivotField {
    pub(super) field: String,
    pub(super) unit: String,
}

fn comma() -> char {
    ','
}

impl FileMapping {
    /// From a mapping file's text; `name` is for messages.
    ///
    /// # Errors
    /// `Config` naming the file, the key and the rule.
    pub fn parse(name: &str, toml: &str) -> Result<Self, IngestError> {
        let fail = |rule: String| IngestError::Config { place: format!("file mapping '{name}'"), rule };
        let spec: Spec = toml::from_str(toml).map_err(|e| fail(e.to_string()))?;
        let shapes = [spec.wide_stations.is_some(), spec.wide_hours.is_some(), spec.pivot.is_some()];
        if shapes.into_iter().filter(|s| *s).count() > 1 {
            return Err(fail("has more than one of wide_stations, wide_hours and pivot; keep one".into()));
        }
        if !spec.delimiter.is_ascii() || matches!(spec.delimiter, '"' | '\n' | '\r') {
            return Err(fail("delimiter must be one ASCII character, and no quote or line break".into()));
        }
        if let Some((station, _)) = spec.stations.iter().find(|(_, p)| schemas::Position::new(p.lon, p.lat).is_none()) {
            return Err(fail(format!("stations.'{station}' lies off the globe")));
        }
        super::time::Clockwork::new(&spec.time).map_err(&fail)?;
        Ok(Self { name: name.to_owned(), spec, field: None })
    }

    /// A mapping that is compiled in: `arpae_hourly`, `arpae_daily`, `regional_counts`, `bologna_loops`, `bologna_centraline`.
    ///
    /// # Errors
    /// `Config` with the names that exist.
    pub fn builtin(name: &str) -> Result<Self, IngestError> {
        match BUILTIN.iter().find(|(n, _)| *n == name) {
            Some((n, toml)) => Self::parse(n, toml),
            None => {
                let names: Vec<&str> = Self::builtin_names().collect();
                Err(IngestError::Config {
                    place: format!("file mapping '{name}'"),
                    rule: format!("does not exist; there are {}", names.join(", ")),
                })
            }
        }
    }

    pub fn builtin_names() -> impl Iterator<Item = &'static str> {
        BUILTIN.iter().map(|(n, _)| *n)
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    #[must_use]
    pub fn product(&self) -> &ProductId {
        &self.spec.product
    }

    /// Whom to name when the data is shown.
    #[must_use]
    pub fn attribution(&self) -> &str {
        &self.spec.attribution
    }

    /// Tells the mapping the file's name, which some publishers put the pollutant in. Other mappings are not changed.
    ///
    /// # Errors
    /// `Config` when the name says none of the fields that the mapping knows.
    pub fn for_file(mut self, file_name: &str) -> Result<Self, IngestError> {
        if let Some(wide) = &self.spec.wide_stations {
            let Some(field) = field_of_name(wide, file_name) else {
                let starts: Vec<&str> = wide.files.keys().map(String::as_str).collect();
                return Err(IngestError::Config {
                    place: format!("file '{file_name}'"),
                    rule: format!("its name must start with one of {}; rename it or name the field", starts.join(", ")),
                });
            };
            self.field = Some(field.to_owned());
        }
        Ok(self)
    }

    /// Names the field of the contract that a wide file holds, whatever the file is called.
    #[must_use]
    pub fn with_field(mut self, field: &str) -> Self {
        self.field = Some(field.to_owned());
        self
    }
}

/// The field that a file's name says.
pub(super) fn field_of_name<'a>(wide: &'a WideStations, file_name: &str) -> Option<&'a str> {
    let base = file_name.rsplit(['/', '\\']).next().unwrap_or(file_name);
    let starts = |key: &str| {
        let head = base.get(..key.len()).is_some_and(|h| h.eq_ignore_ascii_case(key));
        head && !base[key.len()..].starts_with(|c: char| c.is_ascii_alphanumeric())
    };
    wide.files.iter().filter(|(key, _)| starts(key)).max_by_key(|(key, _)| key.len()).map(|(_, field)| field.as_str())
}
