//! Suggestions as files: a mapping in TOML, and a contract in ODCS YAML when none of the city's fits.

use super::{
    fit::{FieldGuess, Fit, Hints, measures},
    leaves::View,
    names, units,
};
use schemas::{Contract, ProductId, Tenant};
use serde_json::Value;
use std::{collections::BTreeSet, fmt::Write as _};

/// What a mapping needs beside the fit.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub(super) tenant: Tenant,
    /// One table each, with the entity as a text with captures or a pointer: the template, or the literal topics of devices
    /// that share it with another kind.
    pub(super) topics: Vec<(String, String)>,
    /// Name of a format.
    pub(super) format: Option<&'static str>,
    /// A pointer and the text that it must have, to tell this kind from others of the same topics.
    pub(super) when: Option<(String, String)>,
    /// Whether something of the document stays unread.
    pub(super) ignore: bool,
    /// The topics are those of the built-in convention, whose common keys stay readable.
    pub(super) convention: bool,
}

/// A TOML string.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn number(v: f64) -> String {
    toml::Value::Float(v).to_string()
}

/// The text of a mapping file.
pub(super) fn mapping(frame: &Frame, fit: &Fit<'_>, fields: &[FieldGuess]) -> String {
    let mut out = String::new();
    for (topic, entity) in &frame.topics {
        table(&mut out, frame, (topic, entity), fit, fields);
    }
    out
}

// Writing to a String cannot fail.
fn table(out: &mut String, frame: &Frame, (topic, entity): (&str, &str), fit: &Fit<'_>, fields: &[FieldGuess]) {
    out.push_str(if out.is_empty() { "[[mapping]]\n" } else { "\n[[mapping]]\n" });
    let mut line = |key: &str, value: &str| {
        let _ = writeln!(out, "{key} = {value}");
    };
    line("name", &quoted(&format!("{} from {topic}", fit.contract.product)));
    line("topic", &quoted(topic));
    line("tenant", &quoted(frame.tenant.as_str()));
    line("product", &quoted(fit.contract.product.as_str()));
    line("entity", &quoted(entity));
    if let Some(format) = frame.format {
        line("format", &quoted(format));
    }
    if let Some(each) = &fit.view.each {
        line("each", &quoted(each));
    }
    if let Some((pointer, text)) = &frame.when {
        line("when", &format!("{{ {} = {} }}", quoted(pointer), quoted(text)));
    }
    line("observed_at", &time(fit));
    let plain = frame.convention.then(|| ("/lon".to_owned(), "/lat".to_owned()));
    if let Some((lon, lat)) = fit.place.as_ref().or(plain.as_ref()) {
        line("lon", &quoted(lon));
        line("lat", &quoted(lat));
    }
    if frame.convention {
        line("quality", &quoted("/quality"));
    }
    if frame.ignore {
        line("unknown_fields", &quoted("ignore"));
    }
    out.push_str("\n[mapping.fields]\n");
    for f in fields {
        let _ = writeln!(out, "{} = {}", f.field, field(f));
    }
}

fn time(fit: &Fit<'_>) -> String {
    match (&fit.time.pointer, &fit.time.zone) {
        (None, _) => quoted("receipt"),
        (Some(pointer), None) => format!("{{ pointer = {}, format = {} }}", quoted(pointer), quoted(fit.time.format)),
        (Some(pointer), Some(zone)) => {
            format!("{{ pointer = {}, format = {}, zone = {} }}", quoted(pointer), quoted(fit.time.format), quoted(zone))
        }
    }
}

fn field(f: &FieldGuess) -> String {
    let mut parts = vec![format!("pointer = {}", quoted(&f.pointer))];
    if f.scale != 1.0 {
        parts.push(format!("scale = {}", number(f.scale)));
    }
    if f.offset != 0.0 {
        parts.push(format!("offset = {}", number(f.offset)));
    }
    if !f.absent.is_empty() {
        parts.push(format!("absent = [{}]", f.absent.iter().map(|v| number(*v)).collect::<Vec<_>>().join(", ")));
    }
    if f.number_in_text {
        parts.push("number_in_text = true".into());
    }
    if let Some(unit) = &f.unit_in_text {
        parts.push(format!("unit_in_text = {}", quoted(unit)));
    }
    if parts.len() == 1 { quoted(&f.pointer) } else { format!("{{ {} }}", parts.join(", ")) }
}

/// A contract for what the messages measure, with its text; `None` when they measure nothing, or the text does not validate.
pub(super) fn contract(view: &View, hints: Hints<'_>, taken: &dyn Fn(&str) -> bool) -> Option<(Contract, String)> {
    let mut seen = BTreeSet::new();
    let mut properties = String::new();
    let mut headline = None;
    for column in measures(view, hints) {
        let (name, unit) = field_name(&column.path);
        if !seen.insert(name.clone()) || seen.len() > 60 {
            continue;
        }
        let whole = column.values.iter().all(|v| v.is_i64() || v.is_u64());
        // A figure that happens to be whole today may have decimals tomorrow; only counts are whole by nature.
        let count = whole && ["count", "n", "num", "total", "conteggio"].iter().any(|w| names::words(&name).iter().any(|n| n == w));
        let kind = if column.is_flag() {
            "boolean"
        } else if count {
            "integer"
        } else {
            "number"
        };
        let label = name.replace('_', " ");
        let _ = write!(
            properties,
            "      - name: {name}\n        logicalType: {kind}\n        description: {}\n        classification: internal\n        customProperties:\n          - property: label_it\n            value: {}\n          - property: label_en\n            value: {}\n",
            yaml(&format!("As the device sends it at {}", column.pointer())),
            yaml(&label),
            yaml(&label),
        );
        if let Some(unit) = unit {
            let _ = writeln!(properties, "          - property: unit\n            value: {}", yaml(unit));
        }
        headline.get_or_insert(name);
    }
    let headline = headline?;
    let product = product_name(hints.topic, &headline, taken);
    let label = product.replace('_', " ");
    let mut text = format!(
        "# Suggested from messages in quarantine. Check names, units, ranges, owner and classification before you accept it.\n\
         apiVersion: v3.1.0\nkind: DataContract\nid: urn:portico:contract:{product}\nname: {}\nversion: 0.1.0\nstatus: draft\ndomain: city\n\
         description:\n  purpose: {}\nschema:\n  - name: {product}\n    logicalType: object\n    physicalType: table\n    properties:\n",
        yaml(&label),
        yaml(&format!("What the devices of {} send", hints.topic)),
    );
    text.push_str(&properties);
    text.push_str("slaProperties:\n  - property: frequency\n    value: 3600\n    unit: s\n  - property: latency\n    value: 86400\n    unit: s\ncustomProperties:\n");
    let custom = [
        ("label_it", label.as_str()),
        ("label_en", &label),
        ("entityType", "Device"),
        ("headline", &headline),
        ("owner", "to be named"),
        ("licence", "to be decided"),
    ];
    for (name, value) in custom {
        let _ = writeln!(text, "  - property: {name}\n    value: {}", yaml(value));
    }
    let parsed = Contract::parse(&format!("{product}.yaml"), &text).ok()?;
    Some((parsed, text))
}

/// JSON strings are YAML strings.
fn yaml(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}

/// A name that a table may have as a column, and the UCUM code of the unit that stood in the key.
fn field_name(path: &[String]) -> (String, Option<&'static str>) {
    let mut words = names::words(names::naming(path));
    let mut unit = None;
    if words.len() > 1
        && let Some(found) = words.last().and_then(|w| units::in_name(w))
    {
        unit = Some(units::code(found));
        words.pop();
    }
    let name = sql_name(&words.join("_"));
    // The columns that every row has are taken.
    (if schemas::row::is_common(&name) { format!("{name}_value") } else { name }, unit)
}

fn sql_name(text: &str) -> String {
    let name = if text.starts_with(|c: char| c.is_ascii_lowercase()) { text.to_owned() } else { format!("f_{text}") };
    name.trim_end_matches('_').chars().take(40).collect()
}

/// From the first telling level of the topic, else from the headline; numbered when it is taken.
fn product_name(topic: &str, headline: &str, taken: &dyn Fn(&str) -> bool) -> String {
    let level = topic
        .split('/')
        .find(|l| l.len() >= 3 && !l.contains(['{', '+', '#']) && l.chars().all(|c| c.is_ascii_alphabetic() || c == '_' || c == '-'));
    let base = sql_name(&names::words(level.unwrap_or(headline)).join("_"));
    let base = if ProductId::new(&base).is_ok() { base } else { "devices".to_owned() };
    (1..100).map(|n| if n == 1 { base.clone() } else { format!("{base}_{n}") }).find(|n| !taken(n)).unwrap_or(base)
}
