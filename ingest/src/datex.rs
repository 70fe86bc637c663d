//! DATEX II (CEN/TS 16157) versions 2, also in SOAP, and 3, and the Turin FDT format, record by record in the memory of one record:
//! measured data with the table of their sites, situations, and variable message signs with their table.
//!
//! A record becomes one JSON document `{"kind": "measure" | "situation" | "vms", "site", …, "rows": […]}` and, in a file, one message on
//! `datex2/{measured_data | situation | vms | fdt}/{site}`; `ingest/mappings/datex2.toml` reads them.
//!
//! Absent is absent: a negative value (NDW writes `-1` for "no vehicle"), a blank, `dataError`, a fault of version 3 and an `accuracy` of 0
//! in FDT leave the value out; the last three set `fault`. A value that is no number stays a text, so that the contract refuses its row.

mod import;
mod measured;
mod signs;
mod sites;
mod situation;

use crate::{
    capped::write_json,
    xml::{Element, Elements, Tree, XmlError},
};
pub use import::{ImportReport, import};
use schemas::Timestamp;
use serde::Serialize;
pub use sites::Sites;
use std::io::BufRead;

/// Mappings of the messages that [`import`] makes, and of the same publications as XML.
pub const MAPPINGS: &str = include_str!("../mappings/datex2.toml");

/// What a record is about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Kind {
    #[default]
    MeasuredData,
    Situation,
    Vms,
    Fdt,
}

impl Kind {
    /// Level of the topic.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MeasuredData => "measured_data",
            Self::Situation => "situation",
            Self::Vms => "vms",
            Self::Fdt => "fdt",
        }
    }
}

/// One record.
#[derive(Debug, Default)]
pub struct Record {
    pub kind: Kind,
    /// Identifier of the site, situation or sign.
    pub site: String,
    pub n_rows: usize,
    /// JSON without line feeds.
    pub document: Vec<u8>,
}

impl Record {
    /// Takes over what a reader found.
    fn fill(&mut self, kind: Kind, site: &str, n_rows: usize, document: &impl Serialize) -> serde_json::Result<()> {
        self.kind = kind;
        self.n_rows = n_rows;
        site.clone_into(&mut self.site);
        write_json(&mut self.document, document)
    }
}

/// A document of rows that have nothing in common.
#[derive(Serialize)]
struct Rows<'t, R> {
    kind: &'static str,
    site: &'t str,
    rows: &'t [R],
}

/// A publication, read from the front to the back.
#[derive(Debug)]
pub struct Publication<R> {
    elements: Elements<R>,
    tree: Tree,
    published_at: String,
    sites: Sites,
    recognised: bool,
}

/// Elements that are read; everything around them is passed by.
const RECORDS: &[&str] = &[
    "siteMeasurements",
    "situation",
    "FDT_data",
    "publicationTime",
    "measurementSiteRecord",
    "measurementSite",
    "vmsControllerStatus",
    "vmsController",
    "vmsUnit",
    "vmsUnitRecord",
];

impl<R: BufRead> Publication<R> {
    /// `sites` places measurements and signs; tables in the text itself are added to it.
    pub fn new(source: R, sites: Sites) -> Self {
        Self { elements: Elements::new(source), tree: Tree::default(), published_at: String::new(), sites, recognised: false }
    }

    /// The next record; false at the end.
    ///
    /// # Errors
    /// The text is not XML, or over a limit. Records before it are good.
    pub fn next(&mut self, record: &mut Record) -> Result<bool, XmlError> {
        while self.elements.next(&mut self.tree, |name| RECORDS.contains(&name))? {
            self.recognised = true;
            record.document.clear();
            let root = self.tree.root();
            let out = match root.name() {
                "publicationTime" => {
                    root.text().clone_into(&mut self.published_at);
                    continue;
                }
                "measurementSiteRecord" | "measurementSite" | "vmsController" | "vmsUnitRecord" => {
                    self.sites.learn(root).map_err(|rule| XmlError { at: 0, rule: rule.into() })?;
                    continue;
                }
                "situation" => situation::write(root, &self.published_at, record),
                "vmsControllerStatus" | "vmsUnit" => signs::write(root, &self.published_at, &self.sites, record),
                "FDT_data" => {
                    let at = self.elements.root("end_time").or_else(|| self.elements.root("generation_time"));
                    measured::write_fdt(root, at.unwrap_or_default(), record)
                }
                _ => measured::write(root, &self.published_at, &self.sites, record),
            };
            out.map_err(|e| XmlError { at: 0, rule: format!("a record cannot be written: {e}") })?;
            if record.n_rows > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether anything of DATEX II or FDT was found so far.
    #[must_use]
    pub fn is_recognised(&self) -> bool {
        self.recognised
    }

    /// The sites known at the end, for the next file.
    #[must_use]
    pub fn into_sites(self) -> Sites {
        self.sites
    }
}

/// A value as it stands: a number, or a text that the contract will refuse with its reason.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(untagged)]
enum Value<'t> {
    Number(f64),
    Text(&'t str),
}

/// Longest text that is passed on as a value.
const VALUE_BYTES_MAX: usize = 40;

/// `None` for a blank and for a negative number.
fn value(text: Option<&str>) -> Option<Value<'_>> {
    let text = text?.trim();
    match text.parse::<f64>() {
        Ok(v) if v.is_finite() => (v >= 0.0).then_some(Value::Number(v)),
        _ if text.is_empty() || text.eq_ignore_ascii_case("nan") => None,
        _ => Some(Value::Text(text.get(..VALUE_BYTES_MAX).unwrap_or(text))),
    }
}

fn is_true(text: Option<&str>) -> bool {
    matches!(text.map(str::trim), Some("true" | "1"))
}

/// A type as `xsi:type` writes it, without its namespace.
fn local_type(element: Element<'_>) -> Option<&str> {
    element.attribute("type").map(|t| t.rsplit_once(':').map_or(t, |(_, local)| local))
}

/// The first point inside.
fn point(element: Element<'_>) -> Option<(f64, f64)> {
    let coordinate = |name| element.text_of(name)?.parse::<f64>().ok().filter(|v| v.is_finite());
    if let (Some(lat), Some(lon)) = (coordinate("latitude"), coordinate("longitude")) {
        return Some((lon, lat));
    }
    // A line of GML: latitude and longitude in turn.
    let mut numbers = element.text_of("posList")?.split_ascii_whitespace().map(str::parse::<f64>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(lat)), Some(Ok(lon))) if lat.is_finite() && lon.is_finite() => Some((lon, lat)),
        _ => None,
    }
}

/// A time of version 2 (text) or 3 (`timeValue`); the publication's when it is absent.
fn time<'t>(element: Option<Element<'t>>, published_at: &'t str) -> &'t str {
    let own = element.map(|e| if e.text().is_empty() { e.text_of("timeValue").unwrap_or_default() } else { e.text() });
    own.filter(|t| !t.is_empty()).unwrap_or(published_at)
}

/// In UTC, when it is a time.
fn utc(text: Option<&str>) -> Option<String> {
    Timestamp::parse(text?.trim()).ok().map(Timestamp::to_rfc3339)
}

/// At most so many characters.
fn shortened(text: &str, chars_max: usize) -> &str {
    text.char_indices().nth(chars_max).map_or(text, |(at, _)| &text[..at])
}

#[cfg(test)]
mod tests;
