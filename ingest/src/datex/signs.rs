//! Variable message signs: `vmsControllerStatus` (version 3) and `vmsUnit` (version 2). Images are not kept, only that there is one.

use super::{Kind, Record, Rows, Sites, is_true, shortened, time};
use crate::xml::Element;
use serde::Serialize;

const TEXT_CHARS_MAX: usize = 1_000;
/// Longer than any identifier that a contract takes.
const ID_CHARS_MAX: usize = 300;

#[derive(Debug, Default, Serialize)]
struct Row<'t> {
    sign: String,
    time: &'t str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pictogram: Option<&'t str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'t str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'t str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lon: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lat: Option<f64>,
}

/// The signs of one controller.
pub(super) fn write(root: Element<'_>, published_at: &str, sites: &Sites, record: &mut Record) -> serde_json::Result<()> {
    let reference = root.child("vmsControllerReference").or_else(|| root.child("vmsUnitReference"));
    let site = shortened(reference.and_then(|r| r.attribute("id")).unwrap_or_default(), ID_CHARS_MAX);
    let mut rows = Vec::new();
    for sign in root.children().filter(|c| c.attribute("vmsIndex").is_some()) {
        signs(site, sign, time(root.child("statusUpdateTime"), published_at), sites, &mut rows);
    }
    record.fill(Kind::Vms, site, rows.len(), &Rows { kind: "vms", site, rows: &rows })
}

/// One row per message of the sign; one without a text when it shows none.
fn signs<'t>(controller: &str, sign: Element<'t>, published_at: &'t str, sites: &'t Sites, rows: &mut Vec<Row<'t>>) {
    let id = format!("{controller}/{}", shortened(sign.attribute("vmsIndex").unwrap_or_default(), ID_CHARS_MAX));
    let known = sites.get(&id);
    let place = known.and_then(|k| k.place);
    // Version 2 says whether the sign works, version 3 how.
    let works = sign.text_of("vmsWorking").map(|w| if is_true(Some(w)) { "working" } else { "notWorking" });
    let updated_at = time(sign.find("statusUpdateTime"), published_at);
    let base = |at| Row {
        sign: id.clone(),
        time: at,
        status: sign.text_of("workingStatus").or(works),
        name: known.and_then(|k| k.name.as_deref()),
        lon: place.map(|p| p.0),
        lat: place.map(|p| p.1),
        ..Row::default()
    };
    let before = rows.len();
    for message in sign.inside().filter(|e| e.name() == "vmsMessage" && e.attribute("messageIndex").is_some()) {
        let at = time(message.find("timeLastSet"), updated_at);
        let lines = message.inside().filter(|e| matches!(e.name(), "vmsTextLine" | "textLine") && !e.text().is_empty());
        let text = lines.map(Element::text).collect::<Vec<_>>().join("\n");
        rows.push(Row {
            message: message.attribute("messageIndex").and_then(|i| i.trim().parse().ok()),
            text: (!text.is_empty()).then(|| shortened(&text, TEXT_CHARS_MAX).to_owned()),
            pictogram: message.text_of("pictogramDescription").or_else(|| message.text_of("pictogramCode")),
            image: message.find("imageData").is_some().then_some(true),
            ..base(at)
        });
    }
    if rows.len() == before {
        rows.push(base(updated_at));
    }
}
