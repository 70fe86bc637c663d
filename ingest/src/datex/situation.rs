//! Situations: one row per version of a record. Comments that are not public (`nonGeneralPublicComment`) are never read.

use super::{Kind, Record, Rows, local_type, point, shortened, time, utc};
use crate::xml::Element;
use serde::Serialize;

const COMMENT_CHARS_MAX: usize = 2_000;

#[derive(Debug, Default, Serialize)]
struct Row<'t> {
    record: &'t str,
    time: &'t str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'t str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'t str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'t str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'t str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    severity: Option<&'t str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    probability: Option<&'t str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    starts_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    road: Option<&'t str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<&'t str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    confidentiality: Option<&'t str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lon: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lat: Option<f64>,
}

/// One `situation`.
pub(super) fn write(root: Element<'_>, published_at: &str, record: &mut Record) -> serde_json::Result<()> {
    let confidentiality = root.child("headerInformation").and_then(|h| h.text_of("confidentiality"));
    let rows: Vec<Row<'_>> = root.all("situationRecord").map(|r| row(r, published_at, confidentiality)).collect();
    let site = root.attribute("id").unwrap_or_default();
    record.fill(Kind::Situation, site, rows.len(), &Rows { kind: "situation", site, rows: &rows })
}

fn row<'t>(record: Element<'t>, published_at: &'t str, confidentiality: Option<&'t str>) -> Row<'t> {
    let text = |name| record.child(name).map(Element::text).filter(|t| !t.is_empty());
    let validity = record.child("validity");
    let of_validity = |name| validity.and_then(|v| v.text_of(name));
    // Each type of record has a code of its own, as the first child whose name says so.
    let is_code = |c: &Element<'t>| (c.name().ends_with("Type") || c.name().ends_with("Information")) && !c.text().is_empty();
    let detail = record.children().find(is_code).map(Element::text);
    let place = point(record);
    let comment = record.child("generalPublicComment").and_then(|c| c.text_of("value"));
    Row {
        record: record.attribute("id").unwrap_or_default(),
        time: time(record.child("situationRecordVersionTime"), published_at),
        version: record.attribute("version"),
        kind: local_type(record),
        detail,
        status: of_validity("validityStatus"),
        severity: text("severity").or_else(|| text("overallSeverity")),
        probability: text("probabilityOfOccurrence"),
        starts_at: utc(of_validity("overallStartTime")),
        ends_at: utc(of_validity("overallEndTime")),
        road: record.text_of("roadNumber"),
        comment: comment.map(|c| shortened(c, COMMENT_CHARS_MAX)),
        confidentiality,
        lon: place.map(|p| p.0),
        lat: place.map(|p| p.1),
    }
}
