//! Compares the shapes with the published figures, read in place.

use super::*;
use std::{fs::File, path::PathBuf};

/// The shared data, or `None` (named in the output) where it is absent and nobody claims to be the CI.
fn shared(path: &str) -> Option<PathBuf> {
    let root = std::env::var_os("PORTICO_SHARED")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared")), PathBuf::from);
    let full = root.join("data/bologna").join(path);
    if full.exists() {
        return Some(full);
    }
    assert!(std::env::var_os("CI").is_none(), "{} is absent; set PORTICO_SHARED", full.display());
    eprintln!("skipped: {} is absent", full.display());
    None
}

/// Pearson's coefficient over the keys that both have.
fn correlation(real: &HashMap<String, f64>, made: &HashMap<String, f64>) -> f64 {
    let pairs: Vec<(f64, f64)> = real.iter().filter_map(|(k, r)| made.get(k).map(|m| (*r, *m))).collect();
    assert!(pairs.len() >= real.len() * 9 / 10 && pairs.len() >= 24, "{} of {} keys are simulated", pairs.len(), real.len());
    let n = pairs.len() as f64;
    let mean = |f: fn(&(f64, f64)) -> f64| pairs.iter().map(f).sum::<f64>() / n;
    let (mr, mm) = (mean(|p| p.0), mean(|p| p.1));
    let sum = |f: &dyn Fn(&(f64, f64)) -> f64| pairs.iter().map(f).sum::<f64>();
    sum(&|p| (p.0 - mr) * (p.1 - mm)) / (sum(&|p| (p.0 - mr).powi(2)) * sum(&|p| (p.1 - mm).powi(2))).sqrt()
}

/// Sums (or means, when `mean`) of a field by whatever `key` makes of the local part, the local time and the payload.
fn simulated(
    product: &str,
    days: (&str, i64),
    mean: bool,
    key: impl Fn(&str, schemas::time::Zone, Timestamp, &Value) -> Option<(String, f64)>,
) -> HashMap<String, f64> {
    let rome = schemas::time::Zone::named("Europe/Rome").unwrap();
    let from = at(days.0);
    let mut sums: HashMap<String, (f64, f64)> = HashMap::new();
    let scenario = bologna().without_faults().only(&[product]);
    for (_, m) in Sim::backfill(3, &scenario, from, Timestamp(from.0 + days.1 * DAY_US)) {
        let value: Value = serde_json::from_slice(&m.payload).unwrap();
        let observed = at(value["observed_at"].as_str().unwrap());
        if let Some((k, v)) = key(m.topic.rsplit('/').next().unwrap(), rome.clone(), observed, &value) {
            let e = sums.entry(k).or_default();
            *e = (e.0 + v, e.1 + 1.0);
        }
    }
    sums.into_iter().map(|(k, (s, n))| (k, if mean { s / n } else { s })).collect()
}

#[test]
fn transits_by_station_direction_class_and_by_hour_follow_the_region() {
    let Some(path) = shared("traffic/regional_counts_2024_01_09.csv.gz") else { return };
    let mut reader = csv::ReaderBuilder::new().delimiter(b';').from_reader(flate2::read::GzDecoder::new(File::open(path).unwrap()));
    let (mut by_line, mut by_hour): (HashMap<String, f64>, HashMap<String, f64>) = Default::default();
    for row in reader.records().map(Result::unwrap).filter(|r| ("2024-04-10".."2024-04-17").contains(&&r[0][..10])) {
        let n: f64 = row[4].parse().unwrap();
        *by_line.entry(format!("{}/{}/{}", &row[1], &row[2], &row[3])).or_default() += n;
        let day: i64 = row[0][8..10].parse().unwrap();
        // 10 April 2024 was a Wednesday.
        *by_hour.entry(format!("{}/{}", (day - 10 + 2) % 7, &row[0][11..13])).or_default() += n;
    }
    let transits = |v: &Value| v["transits"].as_f64().unwrap();
    let made = simulated("traffic_class_count", ("2024-04-09T22:00:00Z", 7), false, |local, _, _, v| {
        Some((format!("{local}/{}/{}", v["direction"], v["vehicle_class"]), transits(v)))
    });
    let common: HashMap<String, f64> = by_line.into_iter().filter(|(_, n)| *n > 1_000.0).collect();
    let r = correlation(&common, &made);
    assert!(r > 0.95, "by station, direction and class: {r}");
    let made = simulated("traffic_class_count", ("2024-04-09T22:00:00Z", 7), false, |_, rome, t, v| {
        let local = rome.civil(t);
        Some((format!("{}/{:02}", local.date().weekday().to_monday_zero_offset(), local.hour()), transits(v)))
    });
    let r = correlation(&by_hour, &made);
    assert!(r > 0.95, "by day of the week and hour: {r}");
}

#[test]
fn air_by_hour_and_month_follows_arpae() {
    for (file, field) in [("air/NO2_hourly.csv", "no2"), ("air/Ozone_hourly.csv", "o3")] {
        let Some(path) = shared(file) else { return };
        let mut reader = csv::Reader::from_path(path).unwrap();
        let mut real: HashMap<String, (f64, f64)> = HashMap::new();
        for row in reader.records().map(Result::unwrap).filter(|r| ["02", "07"].contains(&&r[0][5..7])) {
            for value in row.iter().skip(1).step_by(2).filter(|v| !v.is_empty()) {
                let e = real.entry(format!("{}/{}", &row[0][5..7], &row[0][11..13])).or_default();
                *e = (e.0 + value.parse::<f64>().unwrap(), e.1 + 1.0);
            }
        }
        let real = real.into_iter().map(|(k, (s, n))| (k, s / n)).collect();
        let mut made = HashMap::new();
        for start in ["2024-01-31T23:00:00Z", "2024-06-30T23:00:00Z"] {
            made.extend(simulated("air_quality", (start, 28), true, |_, _, t, v| {
                let solar = Timestamp(t.0 + HOUR_US).to_rfc3339();
                Some((format!("{}/{}", &solar[5..7], &solar[11..13]), v.get(field)?.as_f64()?))
            }));
        }
        let r = correlation(&real, &made);
        assert!(r > 0.9, "{field}: {r}");
    }
}

#[test]
fn counted_loops_follow_their_2019_samples() {
    let Some(path) = shared("traffic/rilevazione_flusso_veicoli_2019.csv") else { return };
    let mut reader = csv::ReaderBuilder::new().delimiter(b';').from_path(path).unwrap();
    let mut real: HashMap<String, f64> = HashMap::new();
    for row in reader.records().map(Result::unwrap).filter(|r| ["2019-04-05", "2019-04-15", "2019-05-15"].contains(&&r[0])) {
        for hour in 0..24 {
            *real.entry(format!("{}/{hour}", row[1].replace(' ', "-"))).or_default() += row[2 + hour].parse::<f64>().unwrap();
        }
    }
    let made = simulated("traffic_count", ("2024-04-07T22:00:00Z", 3), false, |local, rome, t, v| {
        Some((format!("{local}/{}", rome.civil(t).hour()), v["vehicles"].as_f64()?))
    });
    let r = correlation(&real, &made);
    assert!(r > 0.9, "{r}");
}
