//! Which contract a document fits: fields to pointers with scale and unit, time, place, identifier, and a score with its reasons.

use super::{
    leaves::{Column, View},
    names,
    units::{self, Unit},
};
use schemas::{Contract, Contracts, Field, FieldType, Timestamp, time::DAY_US};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeSet;

/// Values that gateways write for "no value".
const SENTINELS: &[f64] = &[-9_999.0, -999.0, -99.0, -127.0, -1.0, 255.0, 999.0, 9_999.0, 65_535.0, 32_767.0, -32_768.0];
const SCALES: &[f64] = &[1.0, 0.1, 0.01, 0.001, 10.0, 100.0];
const TIME_NAMES: &[&str] = &[
    "observedat",
    "dateobserved",
    "timeinstant",
    "phenomenontime",
    "observationdatetime",
    "timestamp",
    "timestamputc",
    "datetime",
    "dateobservedfrom",
    "time",
    "ts",
    "measuredat",
    "sampledat",
    "readingtime",
    "dataora",
    "dataoramisura",
    "datamisura",
    "orario",
    "data",
    "date",
    "utc",
    "epoch",
    "at",
    "when",
    "sentat",
    "receivedat",
    "occupancymodified",
    "binloggedtime",
    "t",
    "datemodified",
    "tst",
];
const ID_NAMES: &[&str] = &[
    "deviceid",
    "device",
    "deveui",
    "sensorid",
    "sensor",
    "stationid",
    "station",
    "stazione",
    "codstaz",
    "serialnumber",
    "serial",
    "sn",
    "matricola",
    "idsensore",
    "nodeid",
    "node",
    "uid",
    "uuid",
    "mac",
    "id",
    "name",
    "refdevice",
];
/// Filled by Portico itself.
const HEALTH: &str = "device_health";
const LON_NAMES: &[&str] = &["lon", "lng", "long", "longitude", "longitudine", "x"];
const LAT_NAMES: &[&str] = &["lat", "latitude", "latitudine", "y"];

/// How one field of the contract is filled.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FieldGuess {
    pub field: String,
    /// As it stands in the mapping, `/sensors/t` or `^/t`.
    pub pointer: String,
    /// `value * scale + offset` is in the unit of the contract.
    pub scale: f64,
    pub offset: f64,
    /// Values that mean "no value".
    pub absent: Vec<f64>,
    pub number_in_text: bool,
    /// The unit that ends the text of the value, `%` in `"45%"`.
    pub unit_in_text: Option<String>,
    /// Unit of the contract.
    pub unit: Option<String>,
    /// From 0 to 1.
    pub confidence: f64,
    pub why: String,
    pub example: Value,
}

/// Where the time of observation stands; `None` as pointer: nowhere, the time of receipt takes its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TimeGuess {
    pub pointer: Option<String>,
    /// Name of a format of mapping files.
    pub format: &'static str,
    pub zone: Option<String>,
}

/// Something of the document that no field takes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LeftOver {
    pub pointer: String,
    pub example: Value,
    /// Why, when there is more to say than that no field fits.
    pub why: Option<String>,
}

/// One contract laid over one view.
#[derive(Debug, Clone)]
pub(super) struct Fit<'a> {
    pub(super) view: &'a View,
    pub(super) contract: &'a Contract,
    pub(super) score: f64,
    pub(super) why: Vec<String>,
    pub(super) fields: Vec<FieldGuess>,
    pub(super) time: TimeGuess,
    pub(super) place: Option<(String, String)>,
    /// Pointer to an identifier, with how many different values it has.
    pub(super) id: Option<(String, usize)>,
    pub(super) left: Vec<LeftOver>,
    pub(super) missing: Vec<String>,
}

/// What is known beside the document.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hints<'a> {
    pub(super) topic: &'a str,
    /// Of local times without an offset.
    pub(super) zone: &'a str,
    /// No observation is newer.
    pub(super) newest: Timestamp,
}

/// Everything of a view that does not depend on the contract.
#[derive(Debug, Clone)]
struct Frame {
    time: TimeGuess,
    place: Option<(String, String)>,
    id: Option<(String, usize)>,
    taken: BTreeSet<String>,
}

/// The contracts that say something about this view, best first.
pub(super) fn fits<'a>(view: &'a View, contracts: &'a Contracts, hints: Hints<'_>) -> Vec<Fit<'a>> {
    let frame = frame(view, hints);
    // A register of words measures nothing, and how devices are is Portico's own to say.
    let measures = |c: &&'a std::sync::Arc<Contract>| {
        c.product.as_str() != HEALTH && c.fields.iter().any(|f| matches!(f.kind, FieldType::Float | FieldType::Int))
    };
    let mut out: Vec<Fit<'a>> =
        contracts.iter().filter(measures).map(|c| fit(view, c, contracts, &frame, hints)).filter(|f| !f.fields.is_empty()).collect();
    out.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.contract.product.cmp(&b.contract.product)));
    out
}

/// The same for one contract, whatever its score.
pub(super) fn fit_one<'a>(view: &'a View, contract: &'a Contract, contracts: &Contracts, hints: Hints<'_>) -> Fit<'a> {
    fit(view, contract, contracts, &frame(view, hints), hints)
}

/// Columns that are measures: numbers or flags that are neither time, place, identifier nor about the device.
pub(super) fn measures<'a>(view: &'a View, hints: Hints<'_>) -> Vec<&'a Column> {
    let frame = frame(view, hints);
    view.columns.iter().filter(|c| is_measure(c, &frame)).collect()
}

fn is_measure(column: &Column, frame: &Frame) -> bool {
    let value = column.numbers().is_some() || column.is_flag() || column.texts().is_some_and(|t| t.iter().all(|t| number_of(t).is_some()));
    value && !frame.taken.contains(&column.pointer()) && !names::is_housekeeping(&column.path) && column.last().parse::<usize>().is_err()
}

fn frame(view: &View, hints: Hints<'_>) -> Frame {
    let mut taken = BTreeSet::new();
    let time = time(view, hints);
    taken.extend(time.pointer.clone());
    let place = place(view);
    if let Some((lon, lat)) = &place {
        taken.extend([lon.clone(), lat.clone()]);
    }
    let id = id(view);
    taken.extend(id.iter().map(|(p, _)| p.clone()));
    Frame { time, place, id, taken }
}

fn fit<'a>(view: &'a View, contract: &'a Contract, contracts: &Contracts, frame: &Frame, hints: Hints<'_>) -> Fit<'a> {
    let mut pairs = Vec::new();
    let mut left = Vec::new();
    let said: Vec<names::Said<'_>> = contract.fields.iter().map(names::Said::of).collect();
    for column in view.columns.iter().filter(|c| !frame.taken.contains(&c.pointer()) && !names::in_envelope(&c.path)) {
        let (mut refused, key) = (None, names::Key::of(&column.path));
        for said in &said {
            match guess(view, column, &key, said) {
                Some(Ok(guess)) => pairs.push(guess),
                Some(Err(why)) => refused = Some(why),
                None => {}
            }
        }
        let example = column.values.first().cloned().unwrap_or_default();
        left.push((is_measure(column, frame), LeftOver { pointer: column.pointer(), example, why: refused }));
    }
    pairs.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
    let mut fields: Vec<FieldGuess> = Vec::new();
    for pair in pairs {
        if fields.iter().all(|f| f.field != pair.field && f.pointer != pair.pointer) {
            fields.push(pair);
        }
    }
    fields.sort_by_key(|f| contract.field(&f.field).map(|(i, _)| i));
    left.retain(|(_, l)| fields.iter().all(|f| f.pointer != l.pointer));
    let mut out = Fit {
        view,
        contract,
        score: 0.0,
        why: Vec::new(),
        missing: missing(contract, &fields),
        fields,
        time: frame.time.clone(),
        place: frame.place.clone(),
        id: frame.id.clone(),
        left: Vec::new(),
    };
    score(&mut out, contracts, left.iter().filter(|(m, _)| *m).count(), hints);
    out.left = left.into_iter().map(|(_, l)| l).collect();
    out
}

fn missing(contract: &Contract, fields: &[FieldGuess]) -> Vec<String> {
    let needed = contract.fields.iter().filter(|f| f.required && fields.iter().all(|g| g.field != f.name));
    needed.map(|f| format!("'{}' is required by the contract and nothing in the messages says it; add it as a constant", f.name)).collect()
}

/// A field that few contracts have says more than one that many have.
fn score(fit: &mut Fit<'_>, contracts: &Contracts, unmatched: usize, hints: Hints<'_>) {
    let having = |name: &str| contracts.iter().filter(|c| c.field(name).is_some()).count().max(1) as f64;
    // Key fields tell rows apart and measure nothing; a battery is in every device.
    let says = |f: &Field| !f.key && !names::is_housekeeping(std::slice::from_ref(&f.name));
    let figures = fit.fields.iter().filter(|g| fit.contract.field(&g.field).is_some_and(|(_, f)| says(f)));
    let matched: f64 = figures.map(|g| g.confidence / having(&g.field)).sum();
    let n = fit.fields.len();
    fit.why.push(format!("{n} of its fields are in the messages: {}", list(fit.fields.iter().map(|f| f.field.as_str()))));
    let mut score = matched / (matched + 0.35 * unmatched as f64 + 0.25);
    if unmatched > 0 {
        fit.why.push(format!("{unmatched} other figures have no field in it"));
    }
    if let Some(word) = named(fit.view, fit.contract, hints.topic) {
        score = 0.75 * score + 0.25;
        fit.why.push(word);
    }
    if !fit.missing.is_empty() {
        score *= 0.4;
    }
    fit.score = if matched > 0.0 { score } else { 0.0 };
}

fn list<'t>(words: impl Iterator<Item = &'t str>) -> String {
    words.collect::<Vec<_>>().join(", ")
}

/// The type of the document, or a level of the topic, names the product.
fn named(view: &View, contract: &Contract, topic: &str) -> Option<String> {
    let kinds = view.columns.iter().filter(|c| names::compact(c.last()) == "type").filter_map(Column::texts).flatten();
    if let Some(kind) = kinds.into_iter().find(|k| **k == contract.entity_type) {
        return Some(format!("the messages call themselves {kind}"));
    }
    let own = [contract.product.as_str(), &contract.label.it, &contract.label.en].map(names::compact);
    let words: BTreeSet<String> = own.iter().cloned().chain(names::words(&contract.product.as_str().replace('_', " "))).collect();
    let level = topic.split('/').find(|l| words.iter().any(|w| w.len() >= 4 && *w == names::compact(l)));
    level.map(|l| format!("'{l}' in the topic names it"))
}

/// `Err`: the name fits and the value does not; why.
fn guess(view: &View, column: &Column, key: &names::Key<'_>, said: &names::Said<'_>) -> Option<Result<FieldGuess, String>> {
    let found = names::field(key, said)?;
    let field = said.field;
    let mut out = FieldGuess {
        field: field.name.clone(),
        pointer: column.pointer(),
        scale: 1.0,
        offset: 0.0,
        absent: Vec::new(),
        number_in_text: false,
        unit_in_text: None,
        unit: field.unit.clone(),
        confidence: found.confidence,
        why: found.why,
        example: column.values.first().cloned().unwrap_or_default(),
    };
    match field.kind {
        FieldType::Bool => column.is_flag().then_some(Ok(out)),
        FieldType::Text => {
            let fits = column.texts().is_some_and(|t| t.iter().all(|t| t.chars().count() <= field.len_max));
            // Texts have no range to check a guess by: only a name that says it.
            (fits && out.confidence >= 0.9).then_some(Ok(out))
        }
        FieldType::Float | FieldType::Int => {
            let unit = found.unit.or_else(|| beside(view, column));
            Some(number(column, field, unit, &mut out).map(|()| out))
        }
    }
}

/// A unit that stands beside the value: `{"value": 21, "unit": "C"}`, or `TempUnit` beside `Temperature`.
fn beside(view: &View, column: &Column) -> Option<&'static Unit> {
    let parents = &column.path[..column.path.len() - 1];
    let own = names::compact(names::naming(&column.path));
    let units = view.columns.iter().filter(|c| c.outer == column.outer && names::compact(c.last()).ends_with("unit"));
    let near = units.into_iter().find(|c| {
        let said = names::compact(c.last());
        let about = said.strip_suffix("unit").unwrap_or_default();
        (about.is_empty() && c.path[..c.path.len() - 1] == *parents) || (about.len() >= 3 && own.starts_with(about))
    })?;
    near.texts()?.first().and_then(|code| units::of_code(code))
}

fn number(column: &Column, field: &Field, mut unit: Option<&'static Unit>, out: &mut FieldGuess) -> Result<(), String> {
    let mut values = Vec::with_capacity(column.values.len());
    for value in &column.values {
        let (v, in_text) = match value {
            Value::Number(n) => (n.as_f64(), false),
            Value::String(text) => (number_of(text), true),
            _ => (None, false),
        };
        let shown = || format!("'{}' holds {value}, which is not a number", out.pointer);
        let v = v.ok_or_else(shown)?;
        if in_text && let Value::String(text) = value {
            match units::in_value(text) {
                Some((_, sign, found)) => {
                    unit = Some(found);
                    out.unit_in_text = Some(sign.to_owned());
                }
                None => out.number_in_text = true,
            }
        }
        values.push(v);
    }
    let wanted = field.unit.as_deref().and_then(units::of_code);
    let mut sure = false;
    if let (Some(from), Some(to)) = (unit, wanted) {
        let Some((scale, offset)) = units::convert(from, to) else {
            return Err(format!("'{}' is in {}, which cannot be turned into {} by a scale", out.pointer, from.sign, to.sign));
        };
        (out.scale, out.offset, sure) = (scale, offset, true);
        if (scale, offset) != (1.0, 0.0) {
            out.why.push_str(&format!("; {} becomes {}", from.sign, to.sign));
        }
    }
    ranged(field, &mut values, sure, out)
}

/// Chooses the scale that brings all values into the contract's range; sentinels are set aside first.
fn ranged(field: &Field, values: &mut Vec<f64>, sure: bool, out: &mut FieldGuess) -> Result<(), String> {
    let whole = |v: f64| field.kind != FieldType::Int || v.fract() == 0.0;
    let fits = |v: f64, scale: f64, offset: f64| {
        let v = v * scale + offset;
        field.min.is_none_or(|m| v >= m) && field.max.is_none_or(|m| v <= m) && (whole(v) || scale != 1.0)
    };
    let outside: BTreeSet<i64> =
        values.iter().filter(|v| !fits(**v, out.scale, out.offset) && SENTINELS.contains(v)).map(|v| *v as i64).collect();
    if !outside.is_empty() && values.iter().any(|v| fits(*v, out.scale, out.offset)) {
        out.absent = outside.iter().map(|v| *v as f64).collect();
        out.why.push_str(&format!(
            "; {} means no value",
            list(outside.iter().map(i64::to_string).collect::<Vec<_>>().iter().map(String::as_str))
        ));
        values.retain(|v| !out.absent.contains(v));
    }
    // A share as 0 to 1, when a part of one shows that it is one.
    let share = field.unit.as_deref() == Some("%") && field.max == Some(100.0) && !sure;
    if share && values.iter().all(|v| (0.0..=1.0).contains(v)) && values.iter().any(|v| v.fract() != 0.0) {
        (out.scale, out.confidence) = (100.0, out.confidence * 0.9);
        out.why.push_str("; values from 0 to 1 are parts of one hundred per cent");
        return Ok(());
    }
    if values.iter().all(|v| fits(*v, out.scale, out.offset)) {
        return Ok(());
    }
    let scales = if sure { &[][..] } else { SCALES };
    let found = scales.iter().find(|s| values.iter().all(|v| fits(*v, **s, 0.0)));
    let Some(scale) = found.filter(|_| field.min.is_some() && field.max.is_some()) else {
        let worst = values.iter().find(|v| !fits(**v, out.scale, out.offset)).copied().unwrap_or_default();
        return Err(format!("'{}' is {worst}, outside what '{}' allows at any likely scale", out.pointer, field.name));
    };
    (out.scale, out.confidence) = (*scale, out.confidence * 0.8);
    out.why.push_str(&format!("; the range of the contract says that {} means {}", values[0], format_args!("{:.3}", values[0] * scale)));
    Ok(())
}

/// A number in a text, with or without its unit.
fn number_of(text: &str) -> Option<f64> {
    text.trim().parse::<f64>().ok().filter(|v| v.is_finite()).or_else(|| units::in_value(text).map(|(v, ..)| v))
}

fn time(view: &View, hints: Hints<'_>) -> TimeGuess {
    let rank = |c: &Column| TIME_NAMES.iter().position(|n| *n == names::compact(c.last()));
    let generic = |c: &Column| rank(c).or_else(|| names::compact(names::naming(&c.path)).contains("time").then_some(TIME_NAMES.len()));
    let mut found: Vec<(usize, usize, TimeGuess)> = Vec::new();
    for column in &view.columns {
        let Some(rank) = generic(column).filter(|_| !names::in_envelope(&column.path)) else { continue };
        let Some((format, zone)) = time_format(column, hints) else { continue };
        let zone = zone.then(|| hints.zone.to_owned());
        found.push((rank, column.path.len(), TimeGuess { pointer: Some(column.pointer()), format, zone }));
    }
    found.sort_by_key(|(rank, depth, _)| (*rank, *depth));
    let none = TimeGuess { pointer: None, format: "receipt", zone: None };
    found.into_iter().next().map_or(none, |(.., guess)| guess)
}

/// The format that reads every value, and whether it needs a zone.
fn time_format(column: &Column, hints: Hints<'_>) -> Option<(&'static str, bool)> {
    let oldest = Timestamp(946_684_800_000_000);
    let plausible = |t: Timestamp| t >= oldest && t.0 <= hints.newest.0 + DAY_US;
    if let Some(texts) = column.texts() {
        if texts.iter().all(|t| Timestamp::parse(t).is_ok_and(plausible)) {
            return Some(("rfc3339", false));
        }
        let local = texts.iter().all(|t| t.contains(':') && t.parse::<jiff::civil::DateTime>().is_ok() && Timestamp::parse(t).is_err());
        return local.then_some(("local", true));
    }
    let numbers = column.numbers()?;
    let units = [("epoch_s", 1e6), ("epoch_ms", 1e3), ("epoch_us", 1.0)];
    let fits = |factor: f64| numbers.iter().all(|n| (n * factor).abs() < 4e18 && plausible(Timestamp((n * factor) as i64)));
    units.into_iter().find(|(_, factor)| fits(*factor)).map(|(name, _)| (name, false))
}

fn place(view: &View) -> Option<(String, String)> {
    let within = |c: &Column, max: f64| c.numbers().is_some_and(|n| !n.is_empty() && n.iter().all(|v| v.abs() <= max && *v != 0.0));
    let called = |names: &[&str], max: f64| {
        let hits = view.columns.iter().filter(|c| names.contains(&names::compact(c.last()).as_str()) && within(c, max));
        hits.into_iter().min_by_key(|c| (names::in_envelope(&c.path), c.path.len())).filter(|c| !names::in_envelope(&c.path))
    };
    if let (Some(lon), Some(lat)) = (called(LON_NAMES, 180.0), called(LAT_NAMES, 90.0))
        && lon.path[..lon.path.len() - 1] == lat.path[..lat.path.len() - 1]
    {
        return Some((lon.pointer(), lat.pointer()));
    }
    // GeoJSON: longitude first (RFC 7946, 3.1.1).
    let axis = |i: &str, max: f64| {
        view.columns.iter().find(|c| c.last() == i && c.path.len() >= 2 && c.path[c.path.len() - 2] == "coordinates" && within(c, max))
    };
    let (lon, lat) = (axis("0", 180.0)?, axis("1", 90.0)?);
    (lon.path[..lon.path.len() - 1] == lat.path[..lat.path.len() - 1]).then(|| (lon.pointer(), lat.pointer()))
}

fn id(view: &View) -> Option<(String, usize)> {
    let rank = |c: &Column| ID_NAMES.iter().position(|n| *n == names::compact(c.last())).filter(|_| c.path.len() <= 3);
    let usable = |c: &&Column| {
        let text = |v: &Value| match v {
            Value::String(t) => !t.is_empty() && t.len() <= 128 && !holds_date(t) && t.chars().any(|c| c.is_ascii_alphanumeric()),
            Value::Number(n) => n.is_u64(),
            _ => false,
        };
        !names::in_envelope(&c.path) && c.values.iter().all(text)
    };
    let best = view.columns.iter().filter(usable).filter_map(|c| Some((rank(c)?, c.path.len(), c))).min_by_key(|(r, d, _)| (*d, *r))?.2;
    Some((best.pointer(), best.values.iter().map(Value::to_string).collect::<BTreeSet<_>>().len()))
}

/// An identifier with a date in it names an observation and not a thing.
fn holds_date(text: &str) -> bool {
    let digits = |t: &[u8]| t.iter().all(u8::is_ascii_digit);
    text.as_bytes().windows(10).any(|w| digits(&w[..4]) && w[4] == b'-' && digits(&w[5..7]) && w[7] == b'-' && digits(&w[8..]))
}
