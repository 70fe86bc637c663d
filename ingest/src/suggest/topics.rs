//! From the topics of a group to one template: which levels are the same, which tell devices apart.

use super::names;
use std::collections::{BTreeMap, BTreeSet};

/// Last levels that say what a message is, not who sent it.
const DATA_WORDS: &[&str] = &[
    "data",
    "dati",
    "attrs",
    "sensor",
    "sensors",
    "state",
    "stato",
    "status",
    "up",
    "uplink",
    "telemetry",
    "telemetria",
    "values",
    "valori",
    "event",
    "events",
    "measurements",
    "misure",
    "json",
    "result",
    "observations",
    "out",
    "pub",
    "payload",
    "readings",
    "info",
    "report",
    "live",
];

/// A template and how the device is named in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    /// As mapping files write it, `masts/{site}/{device}`.
    pub(super) text: String,
    /// The entity as a text with captures, `{site}-{device}`.
    pub(super) entity: String,
    /// Index of the level that names the device.
    pub(super) device: usize,
    /// Whether that level looks like the name of one thing.
    pub(super) device_is_sure: bool,
    pub(super) devices: usize,
}

/// `topics` is not empty, and all have the same number of levels, at most 32.
pub(super) fn template(topics: &BTreeSet<&str>) -> Template {
    let split: Vec<Vec<&str>> = topics.iter().map(|t| t.split('/').collect()).collect();
    let n = split.first().map_or(0, Vec::len);
    let distinct: Vec<BTreeSet<&str>> = (0..n).map(|i| split.iter().filter_map(|t| t.get(i).copied()).collect()).collect();
    let varies: Vec<usize> = (0..n).filter(|i| distinct[*i].len() > 1).collect();
    let likeness = |i: usize| distinct[i].iter().map(|l| likeness(l)).fold(f64::INFINITY, f64::min);
    let device = match varies.iter().copied().max_by(|a, b| (distinct[*a].len(), *a).cmp(&(distinct[*b].len(), *b))) {
        Some(most) => most,
        None => by_look(&split, n, likeness),
    };
    let mut names: BTreeMap<usize, String> = BTreeMap::new();
    for i in varies.iter().copied().filter(|i| *i != device) {
        let before = i.checked_sub(1).filter(|b| distinct[*b].len() == 1).and_then(|b| distinct[b].first()).map(|l| names::compact(l));
        let name = before
            .filter(|b| !b.is_empty() && !names.values().any(|n| n == b) && b != "device")
            .unwrap_or_else(|| format!("level{}", i + 1));
        names.insert(i, name);
    }
    names.insert(device, "device".into());
    let text: Vec<String> = (0..n)
        .map(|i| match names.get(&i) {
            Some(name) => format!("{{{name}}}"),
            None => distinct[i].first().map_or_else(String::new, |l| (*l).to_owned()),
        })
        .collect();
    // The device alone, when it tells all topics apart; else everything that varies.
    let alone = distinct.get(device).is_some_and(|d| d.len() == topics.len());
    let entity = if alone { "{device}".to_owned() } else { names.values().map(|n| format!("{{{n}}}")).collect::<Vec<_>>().join("-") };
    Template { text: text.join("/"), entity, device, device_is_sure: !varies.is_empty() || likeness(device) >= 0.5, devices: topics.len() }
}

/// One topic only: the level that looks most like a device; else the last that is not a word about data.
fn by_look(split: &[Vec<&str>], n: usize, likeness: impl Fn(usize) -> f64) -> usize {
    // The nearer to the end the better: what comes first is the owner's own tree.
    let best = (0..n).max_by(|a, b| (likeness(*a), *a).partial_cmp(&(likeness(*b), *b)).unwrap_or(std::cmp::Ordering::Equal));
    if let Some(best) = best.filter(|b| likeness(*b) >= 0.5) {
        return best;
    }
    let topic = split.first().map_or(&[][..], Vec::as_slice);
    (0..n)
        .rev()
        .find(|i| topic.get(*i).is_some_and(|l| !l.is_empty() && !DATA_WORDS.contains(&names::compact(l).as_str())))
        .unwrap_or(n.saturating_sub(1))
}

/// How much a level looks like the identifier of one device, from 0 to 1.
fn likeness(level: &str) -> f64 {
    let compact = names::compact(level);
    let digits = compact.bytes().filter(u8::is_ascii_digit).count();
    let hex = compact.len() >= 8 && compact.bytes().all(|b| b.is_ascii_hexdigit());
    let version = level.len() <= 4 && level.starts_with('v') && digits > 0;
    match () {
        () if compact.is_empty() || version || level.contains(['{', '}', '+', '#']) => 0.0,
        // A UUID names an application as often as a device.
        () if hex && compact.len() == 32 => 0.6,
        () if hex && digits > 0 => 1.0,
        () if digits >= 4 => 0.9,
        // `zigbee2mqtt` is a name, `5` a version of a convention.
        () if digits == 1 && (compact.len() == 1 || compact.ends_with(|c: char| c.is_ascii_alphabetic())) => 0.3,
        () if digits > 0 && compact.len() > 2 => 0.7,
        () if digits > 0 => 0.5,
        () => 0.1,
    }
}

/// Whether two topics may be of one kind: as many levels, and at least one the same (or only one level).
pub(super) fn alike(a: &str, b: &str) -> bool {
    let (a, b): (Vec<&str>, Vec<&str>) = (a.split('/').collect(), b.split('/').collect());
    a.len() == b.len() && (a.len() == 1 || a.iter().zip(&b).any(|(x, y)| x == y && !x.is_empty()))
}

/// What cannot stand in a template as a literal: the topic can then only be matched by a wildcard.
pub(super) fn is_plain(topic: &str) -> bool {
    !topic.is_empty() && !topic.starts_with('$') && !topic.contains(['{', '}', '+', '#'])
}
