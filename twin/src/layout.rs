//! What the fold needs to know of a contract, worked out once per table.

use schemas::{Contract, FieldType};
use std::sync::Arc;

/// The text field that names an entity for people, where a contract has it.
const NAME_FIELD: &str = "street";
/// The key field that holds an ISO 8601 duration.
const PERIOD_FIELD: &str = "period";

/// A field that holds a figure or a text, latest value kept.
#[derive(Debug, Clone)]
pub(crate) struct AttributeField {
    pub(crate) name: Arc<str>,
    pub(crate) kind: FieldType,
    /// Whether figures of different key values of one instant add up: whole numbers of counted things (UCUM annotation).
    pub(crate) additive: bool,
}

/// A field that tells rows of one entity and instant apart.
#[derive(Debug, Clone)]
pub(crate) struct KeyField {
    pub(crate) name: Arc<str>,
    pub(crate) kind: FieldType,
}

/// Attributes and key fields of a contract, each in its order.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) attributes: Vec<AttributeField>,
    pub(crate) keys: Vec<KeyField>,
    /// Which of `keys` is the averaging period.
    pub(crate) period: Option<usize>,
    /// Which of `attributes` colours the map.
    pub(crate) headline: Option<usize>,
    /// Which of `attributes` names the entity.
    pub(crate) name: Option<usize>,
}

impl Layout {
    pub(crate) fn of(contract: &Contract) -> Self {
        let (keys, attributes): (Vec<_>, Vec<_>) = contract.fields.iter().partition(|f| f.key);
        let keys: Vec<_> = keys.iter().map(|f| KeyField { name: f.name.as_str().into(), kind: f.kind }).collect();
        let attributes: Vec<_> = attributes
            .iter()
            .map(|f| AttributeField {
                name: f.name.as_str().into(),
                kind: f.kind,
                additive: f.kind == FieldType::Int && f.unit.as_deref().is_some_and(|u| u.starts_with('{')),
            })
            .collect();
        Self {
            period: keys.iter().position(|k| &*k.name == PERIOD_FIELD && k.kind == FieldType::Text),
            headline: attributes.iter().position(|a| *a.name == contract.headline),
            name: attributes.iter().position(|a| &*a.name == NAME_FIELD && a.kind == FieldType::Text),
            attributes,
            keys,
        }
    }

    pub(crate) fn attribute(&self, name: &str) -> Option<usize> {
        self.attributes.iter().position(|a| &*a.name == name)
    }

    pub(crate) fn keyed(&self) -> bool {
        !self.keys.is_empty()
    }
}
