//! Query parameters, parsed strictly: an unknown, repeated or malformed one is refused with the rule and the fix.

use crate::error::{ApiError, nearest};
use schemas::{ProductId, Tenant, Timestamp};
use std::{borrow::Cow, ops::RangeInclusive};

/// West, south, east, north in degrees.
pub(crate) type Bbox = [f64; 4];

/// Vertices of a polygon.
pub(crate) const POLYGON_VERTICES_MAX: usize = 1_000;
/// Radius of a circle, metres.
pub(crate) const NEAR_RADIUS_M_MAX: f64 = 50_000.0;
/// Products in one request.
const PRODUCTS_MAX: usize = 64;

/// The decoded pairs of a query string. Names are among those the route allows, each at most once unless declared `repeatable`.
#[derive(Debug)]
pub(crate) struct Params<'a> {
    pairs: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl<'a> Params<'a> {
    pub(crate) fn parse(query: Option<&'a str>, allowed: &[&str], repeatable: &[&str]) -> Result<Self, ApiError> {
        let mut pairs: Vec<(Cow<'a, str>, Cow<'a, str>)> = Vec::new();
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            if !allowed.contains(&&*name) {
                let hint = match nearest(&name, allowed.iter().copied()) {
                    Some(known) => format!("did you mean '{known}'?"),
                    None if allowed.is_empty() => "this address takes no parameters".to_owned(),
                    None => format!("known here: {}", allowed.join(", ")),
                };
                let shown: String = name.chars().take(64).collect();
                return Err(ApiError::query(&shown, "is not a parameter of this address").with_hint(hint));
            }
            if !repeatable.contains(&&*name) && pairs.iter().any(|(n, _)| *n == name) {
                return Err(ApiError::query(&name, "is given twice; give it once"));
            }
            pairs.push((name, value));
        }
        Ok(Self { pairs })
    }

    /// The value, `None` when absent or empty.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_ref()).filter(|v| !v.is_empty())
    }

    pub(crate) fn all<'b>(&'b self, name: &'b str) -> impl Iterator<Item = &'b str> {
        self.pairs.iter().filter(move |(n, _)| n == name).map(|(_, v)| v.as_ref())
    }

    pub(crate) fn time(&self, name: &str) -> Result<Option<Timestamp>, ApiError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        // A '+' of an offset that was not percent-encoded arrives as a space.
        let text = if text.contains('T') { Cow::Owned(text.replace(' ', "+")) } else { Cow::Borrowed(text) };
        Timestamp::parse(&text).map(Some).map_err(|e| ApiError::query(name, e.to_string()))
    }

    pub(crate) fn number(&self, name: &str, range: RangeInclusive<usize>, default: usize) -> Result<usize, ApiError> {
        let Some(text) = self.text(name) else { return Ok(default) };
        let rule = || ApiError::query(name, format!("'{}' is not a whole number from {} to {}", clip(text), range.start(), range.end()));
        text.parse().ok().filter(|n| range.contains(n)).ok_or_else(rule)
    }

    pub(crate) fn tenant(&self) -> Result<Option<Tenant>, ApiError> {
        self.text("tenant").map(|t| Tenant::new(t).map_err(|e| ApiError::query("tenant", e.to_string()))).transpose()
    }

    /// `product=a,b`; `None` when absent.
    pub(crate) fn products(&self) -> Result<Option<Vec<ProductId>>, ApiError> {
        let Some(text) = self.text("product") else { return Ok(None) };
        let list: Result<Vec<_>, _> = text.split(',').map(|p| ProductId::new(p.trim())).collect();
        let list = list.map_err(|e| ApiError::query("product", e.to_string()))?;
        if list.len() > PRODUCTS_MAX {
            return Err(ApiError::query("product", format!("names {} products; at most {PRODUCTS_MAX} at once", list.len())));
        }
        Ok(Some(list))
    }

    /// `bbox=west,south,east,north`.
    pub(crate) fn bbox(&self) -> Result<Option<Bbox>, ApiError> {
        let Some(text) = self.text("bbox") else { return Ok(None) };
        let rule = |why: &str| {
            ApiError::query("bbox", format!("{why}; write it as west,south,east,north in degrees, for example 11.2,44.4,11.5,44.6"))
        };
        let numbers = floats(text).ok_or_else(|| rule("holds something that is not a number"))?;
        let [west, south, east, north] = numbers[..] else { return Err(rule("needs four numbers")) };
        if !(on_globe(west, south) && on_globe(east, north)) {
            return Err(rule("lies off the globe"));
        }
        if west > east || south > north {
            return Err(rule("has its corners swapped"));
        }
        Ok(Some([west, south, east, north]))
    }

    /// `polygon=lon lat,lon lat,...`; closed by itself.
    pub(crate) fn polygon(&self) -> Result<Option<Vec<[f64; 2]>>, ApiError> {
        let Some(text) = self.text("polygon") else { return Ok(None) };
        let rule = |why: String| {
            ApiError::query("polygon", format!("{why}; write it as lon lat,lon lat,lon lat with 3 to {POLYGON_VERTICES_MAX} vertices"))
        };
        let mut out = Vec::new();
        for (i, vertex) in text.split(',').enumerate() {
            if i >= POLYGON_VERTICES_MAX {
                return Err(rule("has too many vertices".into()));
            }
            let numbers: Option<Vec<f64>> = vertex.split_whitespace().map(|n| n.parse().ok()).collect();
            match numbers.as_deref() {
                Some(&[lon, lat]) if on_globe(lon, lat) => out.push([lon, lat]),
                _ => return Err(rule(format!("vertex {} '{}' is not a place", i + 1, clip(vertex)))),
            }
        }
        if out.len() < 3 {
            return Err(rule(format!("has {} vertices", out.len())));
        }
        Ok(Some(out))
    }

    /// `near=lon,lat,radius_m`.
    pub(crate) fn near(&self) -> Result<Option<[f64; 3]>, ApiError> {
        let Some(text) = self.text("near") else { return Ok(None) };
        let rule = || {
            ApiError::query(
                "near",
                format!("'{}' is not a circle; write it as lon,lat,radius_m with a radius up to {NEAR_RADIUS_M_MAX} m", clip(text)),
            )
        };
        match floats(text).as_deref() {
            Some(&[lon, lat, radius]) if on_globe(lon, lat) && radius > 0.0 && radius <= NEAR_RADIUS_M_MAX => Ok(Some([lon, lat, radius])),
            _ => Err(rule()),
        }
    }
}

fn floats(text: &str) -> Option<Vec<f64>> {
    text.split(',').map(|n| n.trim().parse::<f64>().ok().filter(|v| v.is_finite())).collect()
}

fn on_globe(lon: f64, lat: f64) -> bool {
    schemas::Position::new(lon, lat).is_some()
}

/// The start of a foreign text, for a message.
pub(crate) fn clip(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests;
