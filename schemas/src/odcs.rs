//! The part of Open Data Contract Standard 3.1 that Portico reads, as it stands in the YAML file.
//!
//! Unknown keys are allowed here because the standard has many more; the official JSON schema refuses misspelt ones in `xtask tidy`.

use serde::Deserialize;

/// A whole file. Source: ODCS 3.1.0, "Fundamentals", "Schema", "Service level agreement", "Custom properties".
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    pub api_version: String,
    pub kind: String,
    pub id: String,
    pub name: String,
    pub version: String,
    pub status: String,
    #[serde(default)]
    pub domain: Option<String>,
    #[serde(default)]
    pub description: Option<Description>,
    #[serde(default)]
    pub schema: Vec<SchemaObject>,
    #[serde(default)]
    pub sla_properties: Vec<Sla>,
    #[serde(default)]
    pub custom_properties: Vec<Custom>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Description {
    #[serde(default)]
    pub purpose: Option<String>,
    #[serde(default)]
    pub limitations: Option<String>,
    #[serde(default)]
    pub usage: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SchemaObject {
    pub name: String,
    #[serde(default)]
    pub description: Option<String>,
    #[serde(default)]
    pub properties: Vec<Property>,
    #[serde(default)]
    pub custom_properties: Vec<Custom>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Property {
    pub name: String,
    pub logical_type: String,
    #[serde(default)]
    pub description: Option<String>,
    #[serde(default)]
    pub required: bool,
    /// Part of what makes two rows of one entity and instant distinct, for example a direction.
    #[serde(default)]
    pub primary_key: bool,
    #[serde(default)]
    pub classification: Option<String>,
    #[serde(default)]
    pub logical_type_options: Options,
    #[serde(default)]
    pub custom_properties: Vec<Custom>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Options {
    #[serde(default)]
    pub minimum: Option<f64>,
    #[serde(default)]
    pub maximum: Option<f64>,
    #[serde(default)]
    pub max_length: Option<usize>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Sla {
    pub property: String,
    pub value: serde_json::Value,
    #[serde(default)]
    pub unit: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Custom {
    pub property: String,
    pub value: serde_json::Value,
}

/// The text of a custom property, if it is there.
#[must_use]
pub fn custom<'a>(list: &'a [Custom], name: &str) -> Option<&'a str> {
    list.iter().find(|c| c.property == name).and_then(|c| c.value.as_str())
}
