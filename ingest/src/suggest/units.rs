//! Units as gateways write them, and how they become the unit of a contract (UCUM).

/// A unit and what it measures: `value * factor + offset` is in the base unit of the dimension.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Unit {
    /// As it is written on a sign.
    pub(super) sign: &'static str,
    dimension: &'static str,
    factor: f64,
    offset: f64,
    /// In names of keys, compact.
    names: &'static [&'static str],
    /// UCUM codes and what stands beside values.
    codes: &'static [&'static str],
}

const fn unit(
    sign: &'static str,
    dimension: &'static str,
    factor: f64,
    offset: f64,
    names: &'static [&'static str],
    codes: &'static [&'static str],
) -> Unit {
    Unit { sign, dimension, factor, offset, names, codes }
}

const UNITS: &[Unit] = &[
    unit("°C", "temperature", 1.0, 0.0, &["c", "degc", "celsius", "cel", "gradi"], &["Cel", "°C", "C", "℃", "CEL"]),
    unit("°F", "temperature", 5.0 / 9.0, -160.0 / 9.0, &["f", "degf", "fahrenheit"], &["[degF]", "°F", "F"]),
    unit("K", "temperature", 1.0, -273.15, &["k", "kelvin"], &["K"]),
    unit("%", "share", 1.0, 0.0, &["pct", "perc", "percent", "percentage", "percentuale", "rh"], &["%", "%RH", "% RH", "percent"]),
    unit("hPa", "pressure", 1.0, 0.0, &["hpa", "mbar", "mb"], &["hPa", "mbar"]),
    unit("Pa", "pressure", 0.01, 0.0, &["pa"], &["Pa"]),
    unit("kPa", "pressure", 10.0, 0.0, &["kpa"], &["kPa"]),
    unit("bar", "pressure", 1_000.0, 0.0, &["bar"], &["bar"]),
    unit("m/s", "speed", 1.0, 0.0, &["ms", "mps"], &["m/s"]),
    unit("km/h", "speed", 1.0 / 3.6, 0.0, &["kmh", "kph"], &["km/h", "kmh"]),
    unit("mph", "speed", 0.447_04, 0.0, &["mph"], &["[mi_i]/h", "mph"]),
    unit("kn", "speed", 1_852.0 / 3_600.0, 0.0, &["kn", "knots", "kt"], &["[kn_i]", "kn", "kt"]),
    unit("µg/m³", "concentration", 1.0, 0.0, &["ugm3", "ug", "mcgm3"], &["ug/m3", "µg/m³", "μg/m³", "µg/m3", "GQ"]),
    unit("mg/m³", "concentration", 1_000.0, 0.0, &["mgm3"], &["mg/m3", "mg/m³"]),
    unit("ppb", "mixing ratio", 1.0, 0.0, &["ppb"], &["[ppb]", "ppb"]),
    unit("ppm", "mixing ratio", 1_000.0, 0.0, &["ppm"], &["[ppm]", "ppm"]),
    unit("dB", "sound", 1.0, 0.0, &["db", "dba"], &["dB[SPL]", "dB", "dBA", "dB(A)"]),
    unit("mm", "length", 0.001, 0.0, &["mm"], &["mm"]),
    unit("cm", "length", 0.01, 0.0, &["cm"], &["cm"]),
    unit("m", "length", 1.0, 0.0, &["m", "metri"], &["m"]),
    unit("W/m²", "irradiance", 1.0, 0.0, &["wm2"], &["W/m2", "W/m²"]),
    unit("W", "power", 1.0, 0.0, &["w", "watt"], &["W"]),
    unit("kW", "power", 1_000.0, 0.0, &["kw"], &["kW"]),
    unit("kWh", "energy", 1.0, 0.0, &["kwh"], &["kW.h", "kWh"]),
    unit("Wh", "energy", 0.001, 0.0, &["wh"], &["W.h", "Wh"]),
    unit("m³/s", "volume flow", 1.0, 0.0, &["m3s", "mcs"], &["m3/s", "m³/s", "mc/s"]),
    unit("l/s", "volume flow", 0.001, 0.0, &["ls", "lps"], &["L/s", "l/s"]),
    unit("°", "angle", 1.0, 0.0, &["deg", "degrees"], &["deg", "°"]),
    unit("s", "time", 1.0, 0.0, &["s", "sec", "secs", "seconds"], &["s"]),
    unit("ms", "time", 0.001, 0.0, &["millis", "msec"], &["ms"]),
    unit("min", "time", 60.0, 0.0, &["min", "minutes", "minuti"], &["min"]),
];

/// The unit that a word of a key names.
pub(super) fn in_name(word: &str) -> Option<&'static Unit> {
    UNITS.iter().find(|u| u.names.contains(&word))
}

/// The unit of a UCUM code, or as people write it.
pub(super) fn of_code(code: &str) -> Option<&'static Unit> {
    let code = code.trim();
    UNITS.iter().find(|u| u.codes.contains(&code) || u.sign == code)
}

/// A text that is a number followed by its unit: the number, the text of the unit and what it is.
pub(super) fn in_value(text: &str) -> Option<(f64, &str, &'static Unit)> {
    let text = text.trim();
    let end = text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '-' | '+')))?;
    let number = text[..end].parse().ok()?;
    let unit = text[end..].trim_start();
    Some((number, unit, of_code(unit)?))
}

/// UCUM code of a unit, for a contract.
pub(super) fn code(unit: &Unit) -> &'static str {
    unit.codes.first().copied().unwrap_or_default()
}

/// Scale and offset from one unit to another; `None` when they measure different things.
pub(super) fn convert(from: &Unit, to: &Unit) -> Option<(f64, f64)> {
    (from.dimension == to.dimension).then(|| (tidy(from.factor / to.factor), tidy((from.offset - to.offset) / to.factor)))
}

/// `0.1 * 3` prints as 0.3: rounds to twelve significant digits.
fn tidy(v: f64) -> f64 {
    format!("{v:.12e}").parse().unwrap_or(v)
}
