//! A data contract: what one data product promises, parsed from its ODCS file and turned into schema and rules.

use crate::{ProductId, Timestamp, odcs, row};
use arrow_schema::{DataType, SchemaRef};
use serde::Serialize;

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldType {
    Float,
    Int,
    Text,
    Bool,
}

impl FieldType {
    #[must_use]
    pub const fn arrow(self) -> DataType {
        match self {
            Self::Float => DataType::Float64,
            Self::Int => DataType::Int64,
            Self::Text => DataType::Utf8,
            Self::Bool => DataType::Boolean,
        }
    }
}

/// Who may see a field: everybody, the administration, or nobody without a register entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Classification {
    Open,
    Internal,
    Personal,
}

/// A text in the two languages of the pages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Label {
    pub it: String,
    pub en: String,
}

/// One field of the product, beyond the columns that every row carries.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Field {
    pub name: String,
    pub kind: FieldType,
    pub label: Label,
    pub description: String,
    /// UCUM code, for example `ug/m3`, `Cel`, `dB[SPL]`; absent for texts, flags and codes.
    pub unit: Option<String>,
    pub required: bool,
    /// Part of the identity of a row, beside entity and instant.
    pub key: bool,
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub len_max: usize,
    pub classification: Classification,
}

/// A parsed contract.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Contract {
    pub product: ProductId,
    pub version: String,
    pub label: Label,
    pub description: String,
    /// NGSI-LD type of the entities, for example `AirQualityObserved`.
    pub entity_type: String,
    /// The field that colours the map when nobody chose another.
    pub headline: String,
    pub fields: Vec<Field>,
    /// Expected seconds between two rows of one entity.
    pub cadence_secs: u32,
    /// A row older than this at receipt is counted as late.
    pub late_after_secs: u32,
    /// A row further in the future than this is quarantined.
    pub future_secs_max: u32,
    /// Whole days that rows are kept; `None` keeps them for good. See [`Contract::oldest_date`].
    pub retention_days: Option<u32>,
    pub owner: String,
    pub licence: String,
    pub geography: String,
}

/// Why a file is not a usable contract. `at` names the place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("contract {file}: {at}: {rule}")]
pub struct ContractError {
    pub file: String,
    pub at: String,
    pub rule: String,
}

/// A change of contract that would break those who read the table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Breach {
    #[error("field '{0}' was removed; keep it and stop filling it")]
    FieldRemoved(String),
    #[error("field '{0}' changed type; add a field with another name")]
    TypeChanged(String),
    #[error("field '{0}' changed unit; add a field with another name")]
    UnitChanged(String),
    #[error("field '{0}' became required; rows already stored lack it")]
    BecameRequired(String),
    #[error("the key fields changed; rows already stored were told apart by the old ones")]
    KeyChanged,
    #[error("field '{0}' became less protected")]
    Declassified(String),
    #[error("something changed and the version did not")]
    VersionUnchanged,
}

const LEN_MAX_DEFAULT: usize = 1_024;

impl Contract {
    /// Parses the YAML text of `file` (the name is only for messages).
    pub fn parse(file: &str, yaml: &str) -> Result<Self, ContractError> {
        let fail = |at: &str, rule: String| ContractError { file: file.to_owned(), at: at.to_owned(), rule };
        let doc: odcs::Document = serde_yaml_ng::from_str(yaml).map_err(|e| fail("document", e.to_string()))?;
        if doc.kind != "DataContract" || !doc.api_version.starts_with("v3.") {
            return Err(fail("apiVersion", "must be an ODCS v3 DataContract".into()));
        }
        let [object] = doc.schema.as_slice() else {
            return Err(fail("schema", "must hold exactly one object, the table".into()));
        };
        let product = ProductId::new(&object.name).map_err(|e| fail("schema[0].name", e.to_string()))?;
        let fields =
            object.properties.iter().filter(|p| !row::is_common(&p.name)).map(|p| field(p, &fail)).collect::<Result<Vec<_>, _>>()?;
        let top = |name: &str| odcs::custom(&doc.custom_properties, name).map(str::to_owned);
        let need = |name: &str| top(name).ok_or_else(|| fail("customProperties", format!("'{name}' is missing")));
        let headline = need("headline")?;
        if !fields.iter().any(|f| f.name == headline) {
            return Err(fail("customProperties.headline", format!("'{headline}' is not a field")));
        }
        let secs = |name: &str, default: u32| sla_secs(&doc.sla_properties, name).unwrap_or(default);
        Ok(Self {
            label: Label { it: need("label_it")?, en: need("label_en")? },
            description: doc.description.and_then(|d| d.purpose).unwrap_or_default(),
            entity_type: need("entityType")?,
            cadence_secs: secs("frequency", 3_600),
            late_after_secs: secs("latency", 86_400),
            future_secs_max: top("futureSecsMax").and_then(|t| t.parse().ok()).unwrap_or(300),
            retention_days: sla_secs(&doc.sla_properties, "retention").map(|s| s.div_ceil(86_400)),
            owner: need("owner")?,
            licence: need("licence")?,
            geography: top("geography").unwrap_or_else(|| "IT".into()),
            version: doc.version,
            product,
            headline,
            fields,
        })
    }

    /// Columns of the stored table, in order.
    #[must_use]
    pub fn arrow_schema(&self) -> SchemaRef {
        row::stored_schema(self)
    }

    /// The first date whose rows are accepted at an instant; `None` when rows are kept for good.
    #[must_use]
    pub fn oldest_date(&self, now: Timestamp) -> Option<i32> {
        let days = i32::try_from(self.retention_days?).unwrap_or(i32::MAX);
        Some(now.date().saturating_sub(days))
    }

    /// Dates before this one are removed from the tables. One day after they are refused: what was received before midnight
    /// is judged, logged and in files by then, so that a row delivered again cannot outlive its date (ING-3).
    #[must_use]
    pub fn expired_before(&self, now: Timestamp) -> Option<i32> {
        self.oldest_date(now).map(|d| d.saturating_sub(1))
    }

    #[must_use]
    pub fn field(&self, name: &str) -> Option<(usize, &Field)> {
        self.fields.iter().enumerate().find(|(_, f)| f.name == name)
    }

    /// What would break the readers of `prev` if this contract replaced it.
    #[must_use]
    pub fn breaches_since(&self, prev: &Self) -> Vec<Breach> {
        let mut out = Vec::new();
        for old in &prev.fields {
            let Some((_, new)) = self.field(&old.name) else {
                out.push(Breach::FieldRemoved(old.name.clone()));
                continue;
            };
            if new.kind != old.kind {
                out.push(Breach::TypeChanged(old.name.clone()));
            }
            if new.unit != old.unit {
                out.push(Breach::UnitChanged(old.name.clone()));
            }
            if new.required && !old.required {
                out.push(Breach::BecameRequired(old.name.clone()));
            }
            if old.classification == Classification::Personal && new.classification != Classification::Personal {
                out.push(Breach::Declassified(old.name.clone()));
            }
        }
        out.extend(
            self.fields.iter().filter(|f| f.required && prev.field(&f.name).is_none()).map(|f| Breach::BecameRequired(f.name.clone())),
        );
        let keys = |c: &Self| c.fields.iter().filter(|f| f.key).map(|f| f.name.clone()).collect::<Vec<_>>();
        if keys(self) != keys(prev) {
            out.push(Breach::KeyChanged);
        }
        if out.is_empty() && self != prev && self.version == prev.version {
            out.push(Breach::VersionUnchanged);
        }
        out
    }

    /// JSON Schema (2020-12) of one flat message of this product: the fields plus `id`, `observed_at`, `lon`, `lat` and `quality`.
    #[must_use]
    pub fn json_schema(&self) -> serde_json::Value {
        let mut properties = serde_json::Map::new();
        properties.insert("id".into(), serde_json::json!({"type": "string", "maxLength": crate::id::ID_LEN_MAX}));
        properties.insert("observed_at".into(), serde_json::json!({"type": "string", "format": "date-time"}));
        properties.insert("lon".into(), serde_json::json!({"type": "number", "minimum": -180, "maximum": 180}));
        properties.insert("lat".into(), serde_json::json!({"type": "number", "minimum": -90, "maximum": 90}));
        properties.insert("simulated".into(), serde_json::json!({"type": "boolean"}));
        properties.insert("quality".into(), serde_json::json!({"enum": ["valid", "unchecked", "suspect", "invalid"]}));
        for f in &self.fields {
            properties.insert(f.name.clone(), field_json_schema(f));
        }
        let required: Vec<&str> =
            ["id", "observed_at"].into_iter().chain(self.fields.iter().filter(|f| f.required).map(|f| f.name.as_str())).collect();
        serde_json::json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": self.product.as_str(), "description": self.description, "type": "object",
            "properties": properties, "required": required, "additionalProperties": false,
        })
    }
}

fn field_json_schema(f: &Field) -> serde_json::Value {
    let kind = match f.kind {
        FieldType::Float => "number",
        FieldType::Int => "integer",
        FieldType::Text => "string",
        FieldType::Bool => "boolean",
    };
    let mut out = serde_json::json!({"type": kind, "description": f.description});
    for (key, value) in [("minimum", f.min), ("maximum", f.max)] {
        if let Some(v) = value {
            out[key] = v.into();
        }
    }
    if f.kind == FieldType::Text {
        out["maxLength"] = f.len_max.into();
    }
    if let Some(unit) = &f.unit {
        out["x-unit"] = unit.as_str().into();
    }
    out
}

fn field(p: &odcs::Property, fail: &dyn Fn(&str, String) -> ContractError) -> Result<Field, ContractError> {
    let at = format!("schema[0].properties.{}", p.name);
    ProductId::new(&p.name).map_err(|e| fail(&at, e.to_string()))?;
    let kind = match p.logical_type.as_str() {
        "number" => FieldType::Float,
        "integer" => FieldType::Int,
        "string" => FieldType::Text,
        "boolean" => FieldType::Bool,
        other => {
            return Err(fail(&at, format!("logicalType '{other}' is not one of number, integer, string, boolean")));
        }
    };
    let classification = match p.classification.as_deref() {
        None | Some("open" | "public") => Classification::Open,
        Some("internal") => Classification::Internal,
        Some("personal") => Classification::Personal,
        Some(other) => {
            return Err(fail(&at, format!("classification '{other}' is not one of open, internal, personal")));
        }
    };
    let text = |name: &str| odcs::custom(&p.custom_properties, name).map(str::to_owned);
    let named = |name: &str| text(name).unwrap_or_else(|| p.name.replace('_', " "));
    Ok(Field {
        name: p.name.clone(),
        kind,
        label: Label { it: named("label_it"), en: named("label_en") },
        description: p.description.clone().unwrap_or_default(),
        unit: text("unit"),
        required: p.required,
        key: p.primary_key,
        min: p.logical_type_options.minimum,
        max: p.logical_type_options.maximum,
        len_max: p.logical_type_options.max_length.unwrap_or(LEN_MAX_DEFAULT),
        classification,
    })
}

fn sla_secs(list: &[odcs::Sla], name: &str) -> Option<u32> {
    let sla = list.iter().find(|s| s.property == name)?;
    let value = sla.value.as_f64()?;
    let unit = match sla.unit.as_deref() {
        Some("m" | "min" | "minutes") => 60.0,
        Some("h" | "hours") => 3_600.0,
        Some("d" | "days") => 86_400.0,
        Some("y" | "years") => 365.0 * 86_400.0,
        _ => 1.0,
    };
    Some((value * unit) as u32)
}

#[cfg(test)]
mod tests;
