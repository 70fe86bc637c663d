//! How gateways name things: keys cut into words, words that mean a field of a contract (Italian, English, abbreviations),
//! and words that say nothing about the city (radio, battery, housekeeping).

use super::units::{self, Unit};
use schemas::Field;

/// What people call the fields of the contracts; a contract of the city's own profits when its fields have the same names.
const SYNONYMS: &[(&str, &[&str])] = &[
    (
        "temperature",
        &[
            "temp",
            "temperatura",
            "tmp",
            "t",
            "ta",
            "tair",
            "airtemp",
            "airtemperature",
            "temperaturaaria",
            "ambienttemperature",
            "tempext",
            "temp1",
            "celsius",
        ],
    ),
    ("humidity", &["hum", "rh", "h", "ur", "humid", "umidita", "relativehumidity", "umiditarelativa", "airhumidity", "relhum", "hr"]),
    (
        "pressure",
        &[
            "press",
            "pressione",
            "p",
            "baro",
            "barometer",
            "barometricpressure",
            "atmosphericpressure",
            "airpressure",
            "pressioneatmosferica",
            "atm",
        ],
    ),
    ("wind_speed", &["windspeed", "wind", "vento", "velocitavento", "velocitadelvento", "ws", "windvelocity", "ff", "anemometer"]),
    ("wind_direction", &["winddirection", "winddir", "wd", "direzionevento", "direzionedelvento", "dirvento", "dd", "windbearing"]),
    ("precipitation", &["rain", "rainfall", "pioggia", "precipitazione", "precipitazioni", "raingauge", "rainmm", "rr"]),
    (
        "solar_radiation",
        &["solar", "solarradiation", "radiazionesolare", "radiazione", "irradiance", "globalradiation", "pyranometer", "sr"],
    ),
    ("no2", &["biossidodiazoto", "nitrogendioxide"]),
    ("no", &["monossidodiazoto", "nitricoxide"]),
    ("o3", &["ozono", "ozone"]),
    ("co", &["monossidodicarbonio", "carbonmonoxide"]),
    ("ch4", &["metano", "methane"]),
    ("so2", &["biossidodizolfo", "sulphurdioxide", "sulfurdioxide"]),
    ("benzene", &["c6h6"]),
    ("pm10", &["pm100", "polveri", "p1", "particulate10", "polverisottili"]),
    ("pm25", &["pm2p5", "p2", "particulate25", "pm02", "polverifini"]),
    ("nox", &["ossididiazoto", "nitrogenoxides"]),
    (
        "laeq",
        &[
            "leq",
            "rumore",
            "noise",
            "noiselevel",
            "soundlevel",
            "livellosonoro",
            "laeqt",
            "leqa",
            "spl",
            "dba",
            "ambientnoise",
            "laeq15m",
            "laeq1m",
            "las",
        ],
    ),
    ("lamax", &["lmax", "lafmax", "lasmax", "noisemax", "maxnoise"]),
    ("la90", &["l90", "laf90", "background"]),
    ("capacity", &["totalspotnumber", "totalspaces", "postitotali", "capienza", "total", "spaces", "stallitotali"]),
    ("occupied", &["occupiedspotnumber", "taken", "occupati", "postioccupati", "used", "stallioccupati"]),
    ("free", &["availablespotnumber", "available", "liberi", "postiliberi", "vacant", "freespaces", "stalliliberi", "disponibili"]),
    ("vehicles", &["vehicle", "veicoli", "intensity", "count", "conteggio", "flow", "flusso", "volume", "transiti", "passaggi", "cars"]),
    ("speed", &["averagevehiclespeed", "meanspeed", "avgspeed", "velocita", "velocitamedia", "vmean", "v85"]),
    ("occupancy", &["occupazione", "occ"]),
    ("accuracy", &["accuratezza"]),
    ("direction", &["direzione", "dir", "verso", "lanedirection"]),
    ("street", &["via", "strada", "road", "nomevia", "streetname"]),
    ("total", &["peoplecount", "persone", "people", "conteggio", "count", "n"]),
    ("object_class", &["class", "classe", "objecttype", "label"]),
    ("vehicle_class", &["classe", "vehicletype", "classeveicolo"]),
    ("transits", &["transiti", "passaggi"]),
    ("dwell", &["dwelltime", "permanenza", "staytime"]),
    ("lit", &["on", "accesa", "lampon", "lampstate"]),
    ("power", &["potenza", "activepower", "powerconsumption", "watt", "watts", "pactive"]),
    ("energy", &["energia", "activeenergy", "energytotal", "kwh", "lifetimepowerconsumption", "totalenergy"]),
    ("dimming", &["dim", "dimlevel", "livello", "illuminancelevel", "brightness"]),
    ("fault", &["guasto", "error", "faultcode", "alarm", "allarme"]),
    ("fill", &["filllevel", "fillinglevel", "filling", "riempimento", "livelloriempimento", "fullness", "binfullness", "level"]),
    ("battery", &["batt", "bat", "batteria", "batterylevel", "batterypercent", "soc", "livellobatteria"]),
    ("fraction", &["frazione", "wastetype", "storedwastekind", "tiporifiuto"]),
    ("level", &["livello", "waterlevel", "livelloacqua", "livelloidrometrico", "height", "altezza", "stage", "distance"]),
    ("flow", &["portata", "discharge", "waterdischarge", "flowrate"]),
];

/// Keys that hold the value of what their parent names.
const GENERIC: &[&str] =
    &["value", "val", "v", "instvalue", "avg", "mean", "current", "raw", "reading", "result", "measure", "misura", "valore"];

/// Parts of envelopes that are about the network and not about the city.
const ENVELOPES: &[&str] = &[
    "rxinfo",
    "txinfo",
    "rxmetadata",
    "deviceinfo",
    "uplinkids",
    "correlationids",
    "settings",
    "networkids",
    "endiddeviceids",
    "enddeviceids",
    "gws",
    "lrrs",
    "before",
    "municipalityinfo",
    "address",
];

/// Words of keys that say how the device is, not how the city is.
const HOUSEKEEPING: &[&str] = &[
    "rssi",
    "snr",
    "lsnr",
    "linkquality",
    "lqi",
    "fcnt",
    "fport",
    "dr",
    "adr",
    "seq",
    "seqno",
    "counter",
    "uptime",
    "heap",
    "version",
    "fw",
    "firmware",
    "hw",
    "battery",
    "batt",
    "bat",
    "batteria",
    "vbat",
    "vbatt",
    "voltage",
    "signal",
    "wifi",
    "channel",
    "port",
    "mac",
    "ip",
    "errors",
    "interval",
    "boot",
    "reset",
    "retries",
    "crc",
    "msgid",
    "packet",
    "frequency",
    "freq",
    "quality",
    "reliability",
    "status",
    "type",
];

/// Letters and digits in lower case, accents of Italian taken away.
pub(super) fn compact(text: &str) -> String {
    text.chars().filter_map(plain).collect()
}

fn plain(c: char) -> Option<char> {
    let c = match c.to_lowercase().next().unwrap_or(c) {
        'à' | 'á' => 'a',
        'è' | 'é' => 'e',
        'ì' | 'í' => 'i',
        'ò' | 'ó' => 'o',
        'ù' | 'ú' => 'u',
        c => c,
    };
    c.is_ascii_alphanumeric().then_some(c)
}

/// `airTemperature_C` is air, temperature, c.
pub(super) fn words(key: &str) -> Vec<String> {
    let mut out: Vec<String> = vec![String::new()];
    let mut lower_before = false;
    for c in key.chars() {
        let Some(plain) = plain(c) else {
            out.push(String::new());
            lower_before = false;
            continue;
        };
        if c.is_uppercase() && lower_before {
            out.push(String::new());
        }
        lower_before = c.is_lowercase();
        if let Some(last) = out.last_mut() {
            last.push(plain);
        }
    }
    out.retain(|w| !w.is_empty());
    out
}

/// The words that name a value: its key, or the parent of a key that says nothing by itself.
pub(super) fn naming(path: &[String]) -> &str {
    let said = path.iter().rev().find(|k| !GENERIC.contains(&compact(k).as_str()) && k.parse::<usize>().is_err());
    said.or(path.last()).map_or("", String::as_str)
}

/// Whether a path is about the device or its network.
pub(super) fn is_housekeeping(path: &[String]) -> bool {
    in_envelope(path) || words(naming(path)).iter().any(|w| HOUSEKEEPING.contains(&w.as_str()))
}

pub(super) fn in_envelope(path: &[String]) -> bool {
    path.iter().take(path.len().saturating_sub(1)).any(|k| ENVELOPES.contains(&compact(k).as_str()))
}

/// How well a name says a field.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Match {
    /// From 0 to 1.
    pub(super) confidence: f64,
    /// Of the unit that stands in the name, `temp_c`.
    pub(super) unit: Option<&'static Unit>,
    pub(super) why: String,
}

/// A path as the words that name its value; made once for all fields.
#[derive(Debug)]
pub(super) struct Key<'p> {
    text: &'p str,
    words: Vec<String>,
    whole: String,
}

impl<'p> Key<'p> {
    pub(super) fn of(path: &'p [String]) -> Self {
        let text = naming(path);
        let words = words(text);
        Self { text, whole: words.concat(), words }
    }
}

/// The words that say a field; made once for all keys.
#[derive(Debug)]
pub(super) struct Said<'f> {
    pub(super) field: &'f Field,
    name: String,
    labels: [String; 2],
    others: &'static [&'static str],
}

impl<'f> Said<'f> {
    pub(super) fn of(field: &'f Field) -> Self {
        let others = SYNONYMS.iter().find(|(name, _)| *name == field.name).map_or(&[][..], |(_, others)| *others);
        Self { field, name: compact(&field.name), labels: [compact(&field.label.it), compact(&field.label.en)], others }
    }
}

/// `None` when the name says something else.
pub(super) fn field(key: &Key<'_>, said: &Said<'_>) -> Option<Match> {
    if let Some((confidence, why)) = same(&key.whole, said) {
        return Some(Match { confidence, unit: None, why: why.words(key.text, said) });
    }
    // A unit at the end, of one word or of two (`ug_m3`).
    for n in [1, 2] {
        let Some(at) = key.words.len().checked_sub(n).filter(|at| *at > 0) else { continue };
        let Some(unit) = units::in_name(&key.words[at..].concat()) else { continue };
        if let Some((confidence, why)) = same(&key.words[..at].concat(), said) {
            let why = format!("{}, in {}", why.words(key.text, said), unit.sign);
            return Some(Match { confidence: confidence * 0.97, unit: Some(unit), why });
        }
    }
    part(key, said)
}

/// How a name says a field.
#[derive(Debug, Clone, Copy)]
enum Why {
    Name,
    Label,
    Synonym,
    Near,
}

impl Why {
    fn words(self, key: &str, said: &Said<'_>) -> String {
        let name = &said.field.name;
        match self {
            Self::Name => format!("'{key}' is the name of the field"),
            Self::Label => format!("'{key}' is the label of the field"),
            Self::Synonym => format!("'{key}' is another word for '{name}'"),
            Self::Near => format!("'{key}' is close to '{name}'"),
        }
    }
}

/// The whole name is the field's name, its label, or another word for it.
fn same(whole: &str, said: &Said<'_>) -> Option<(f64, Why)> {
    if whole == said.name {
        return Some((1.0, Why::Name));
    }
    if whole.len() > 1 && said.labels.iter().any(|l| l == whole) {
        return Some((0.95, Why::Label));
    }
    if said.others.contains(&whole) {
        // One letter is little to go by.
        return Some((if whole.len() < 2 { 0.6 } else { 0.9 }, Why::Synonym));
    }
    let close = near(whole, &said.name) || said.others.iter().any(|other| near(whole, other));
    close.then_some((0.7, Why::Near))
}

fn near(a: &str, b: &str) -> bool {
    a.len() >= 6 && b.len() >= 6 && a.len().abs_diff(b.len()) <= 1 && strsim::damerau_levenshtein(a, b) <= 1
}

/// Some words of the name say the field: `outdoor_temperature_1`.
fn part(key: &Key<'_>, said: &Said<'_>) -> Option<Match> {
    let n = key.words.len();
    for len in (1..n).rev() {
        for start in 0..=n - len {
            let piece = key.words[start..start + len].concat();
            if piece.len() < 3 {
                continue;
            }
            let Some((confidence, _)) = same(&piece, said).filter(|(c, _)| *c >= 0.9) else { continue };
            let covered = len as f64 / n as f64;
            let unit = key.words.get(start + len).and_then(|w| units::in_name(w));
            let why = format!("'{piece}' in '{}' says '{}'", key.text, said.field.name);
            return Some(Match { confidence: confidence * (0.5 + 0.35 * covered), unit, why });
        }
    }
    None
}
