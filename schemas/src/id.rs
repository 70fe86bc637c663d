//! Identifiers. Each is checked once, where it enters, and is cheap to clone.

use std::{fmt, sync::Arc};

/// The longest identifier that is accepted, in bytes.
pub const ID_LEN_MAX: usize = 256;

/// Why a text cannot be an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} '{text}' is not valid: {rule}")]
pub struct IdError {
    pub what: &'static str,
    pub text: String,
    pub rule: &'static str,
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            pub fn new(text: &str) -> Result<Self, IdError> {
                let check: fn(&str) -> bool = $check;
                if text.len() <= ID_LEN_MAX && check(text) {
                    return Ok(Self(Arc::from(text)));
                }
                Err(IdError { what: $what, text: text.chars().take(80).collect(), rule: $rule })
            }

            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
                Self::new(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

fn is_sql_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_lowercase()) && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

identifier!(
    /// A municipality or body; the schema of its tables in the catalogue, `bologna`.
    Tenant, "tenant", "lower-case letters, digits and underscores, starting with a letter", is_sql_name
);
identifier!(
    /// A data product; the name of its table and of its contract, `air_quality`.
    ProductId, "product", "lower-case letters, digits and underscores, starting with a letter", is_sql_name
);
identifier!(
    /// Who sent a message: an MQTT user, an external broker, an import, `mqtt/gateway-7`.
    SourceId, "source", "1 to 256 visible characters without spaces",
    |t| !t.is_empty() && t.chars().all(|c| c.is_ascii_graphic())
);
identifier!(
    /// An entity of the twin: a URN (RFC 8141), `urn:ngsi-ld:AirQualityObserved:bologna:porta-san-felice`.
    EntityId, "entity", "a URN without spaces, for example urn:ngsi-ld:TrafficFlowObserved:bologna:318",
    |t| t.strip_prefix("urn:").is_some_and(|r| r.contains(':')) && t.chars().all(|c| c.is_ascii_graphic())
);

impl EntityId {
    /// `urn:ngsi-ld:{type}:{tenant}:{local}`, with the local part reduced by [`EntityId::local_part`].
    pub fn compose(entity_type: &str, tenant: &Tenant, local: &str) -> Result<Self, IdError> {
        let part = Self::local_part(local);
        if part.is_empty() {
            return Err(IdError { what: "entity", text: local.to_owned(), rule: "the local part has no letter or digit" });
        }
        Self::new(&format!("urn:ngsi-ld:{entity_type}:{tenant}:{part}"))
    }

    /// The text in lower-case letters, digits, `.`, `-` and `_`, everything else between them as one `-`.
    /// Also the last level of the topic of an entity that files or simulators name freely.
    #[must_use]
    pub fn local_part(text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        for c in text.chars() {
            if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') {
                out.push(c.to_ascii_lowercase());
            } else if !out.is_empty() && !out.ends_with('-') {
                out.push('-');
            }
        }
        out
    }
}

/// A table: a data product of a tenant, `bologna.air_quality`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct TableRef {
    pub tenant: Tenant,
    pub product: ProductId,
}

impl TableRef {
    #[must_use]
    pub fn new(tenant: Tenant, product: ProductId) -> Self {
        Self { tenant, product }
    }

    /// From `tenant.product`.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let (tenant, product) = text.split_once('.').ok_or_else(|| IdError {
            what: "table",
            text: text.to_owned(),
            rule: "write it as tenant.product, for example bologna.air_quality",
        })?;
        Ok(Self { tenant: Tenant::new(tenant)?, product: ProductId::new(product)? })
    }
}

impl fmt::Display for TableRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.tenant, self.product)
    }
}

impl fmt::Debug for TableRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn composed_urns_are_clean_and_stable() {
        let t = Tenant::new("bologna").unwrap();
        let id = EntityId::compose("TrafficFlowObserved", &t, "0.127 2.73 6 1").unwrap();
        assert_eq!(id.as_str(), "urn:ngsi-ld:TrafficFlowObserved:bologna:0.127-2.73-6-1");
        assert!(EntityId::compose("X", &t, "  ").is_err());
    }

    #[test]
    fn names_that_sql_would_have_to_quote_are_refused() {
        for bad in ["", "Bologna", "1st", "a-b", "a b", "è"] {
            assert!(Tenant::new(bad).is_err(), "{bad}");
        }
    }
}
