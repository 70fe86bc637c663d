//! The value of one field of one row, and the quality flag beside it.

/// A decoded value, before it becomes a column and after it is read from one.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(untagged)]
pub enum Value {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(std::sync::Arc<str>),
}

impl Value {
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Int(v) => Some(*v as f64),
            Self::Float(v) => Some(*v),
            Self::Bool(_) | Self::Text(_) => None,
        }
    }
}

/// How far a row may be trusted. Stored as text in the `quality` column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quality {
    /// Validated by its owner (ARPAE flag `S`, loop accuracy 100 %).
    Valid,
    /// As the device sent it; nobody has checked it.
    Unchecked,
    /// Its owner, or a rule of the contract, doubts it.
    Suspect,
    /// Its owner says it is wrong; kept, never shown as a figure.
    Invalid,
}

impl Quality {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Unchecked => "unchecked",
            Self::Suspect => "suspect",
            Self::Invalid => "invalid",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Valid, Self::Unchecked, Self::Suspect, Self::Invalid].into_iter().find(|q| q.name() == name)
    }
}
