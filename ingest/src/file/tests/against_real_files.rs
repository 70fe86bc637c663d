//! Totals of the published files, computed here without the code under test.

use super::*;
use std::{collections::BTreeMap, fs::File, io::Read, path::PathBuf};

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

fn csv_of(path: &std::path::Path, delimiter: u8) -> csv::Reader<Box<dyn Read>> {
    let file = File::open(path).unwrap();
    let input: Box<dyn Read> =
        if path.extension().is_some_and(|e| e == "gz") { Box::new(flate2::read::GzDecoder::new(file)) } else { Box::new(file) };
    csv::ReaderBuilder::new().delimiter(delimiter).from_reader(input)
}

/// Count and sum per key, in thousandths so that the order of adding does not matter.
type Totals = BTreeMap<String, (u64, i64)>;

fn add(totals: &mut Totals, key: String, value: f64) {
    let e = totals.entry(key).or_default();
    *e = (e.0 + 1, e.1 + (value * 1_000.0).round() as i64);
}

/// Imports the file and sums its messages by what `key` gives; every file here must be without rejects.
fn imported(mapping: &str, path: &std::path::Path, key: impl Fn(&str, &Value) -> (String, f64)) -> Totals {
    let mapping = builtin(mapping, path.file_name().unwrap().to_str().unwrap());
    let mut totals = Totals::new();
    for item in read(&mapping, File::open(path).unwrap(), &tenant()).unwrap() {
        match item.unwrap() {
            FileItem::Message { message, observed_at, .. } => {
                let value: Value = serde_json::from_slice(&message.payload).unwrap();
                assert_eq!(value["observed_at"], json!(observed_at.to_rfc3339()));
                let topic = std::str::from_utf8(&message.topic).unwrap();
                let (key, n) = key(topic.rsplit('/').next().unwrap(), &value);
                add(&mut totals, key, n);
            }
            reject => panic!("{reject:?}"),
        }
    }
    totals
}

fn slug(station: &str) -> String {
    station.to_lowercase().replace(' ', "-")
}

#[test]
fn arpae_by_station_month_and_flag() {
    for (file, mapping, field) in [
        ("NO2_hourly.csv", "arpae_hourly", "no2"),
        ("Ozone_hourly.csv", "arpae_hourly", "o3"),
        ("CO_hourly.csv", "arpae_hourly", "co"),
        ("methane_hourly.csv", "arpae_hourly", "ch4"),
        ("PM10_daily.csv", "arpae_daily", "pm10"),
        ("PM25_daily.csv", "arpae_daily", "pm25"),
    ] {
        let Some(path) = shared(&format!("air/{file}")) else { return };
        let mut reader = csv_of(&path, b',');
        let header = reader.headers().unwrap().clone();
        let mut expect = Totals::new();
        for row in reader.records().map(Result::unwrap) {
            for i in (1..header.len()).step_by(2).filter(|i| !row[*i].is_empty()) {
                let quality = match &row[i + 1] {
                    "S" | "G" => "valid",
                    "M" => "suspect",
                    "" => "unchecked",
                    other => panic!("flag {other}"),
                };
                add(&mut expect, format!("{}/{}/{quality}", slug(&header[i]), &row[0][..7]), row[i].parse().unwrap());
            }
        }
        let found = imported(mapping, &path, |local, v| {
            let solar = Timestamp(Timestamp::parse(v["observed_at"].as_str().unwrap()).unwrap().0 + schemas::time::HOUR_US);
            (format!("{local}/{}/{}", &solar.to_rfc3339()[..7], v["quality"].as_str().unwrap()), v[field].as_f64().unwrap())
        });
        assert!(expect.len() >= 9 && found == expect, "{file}: {found:?} instead of {expect:?}");
    }
}

#[test]
fn regional_transits_by_station_direction_and_class() {
    let Some(path) = shared("traffic/regional_counts_2024_01_09.csv.gz") else { return };
    let mut expect = Totals::new();
    for row in csv_of(&path, b';').records().map(Result::unwrap) {
        add(&mut expect, format!("{}/{}/{}", &row[1], &row[2], &row[3]), row[4].parse().unwrap());
    }
    let found = imported("regional_counts", &path, |local, v| {
        (format!("{local}/{}/{}", v["direction"], v["vehicle_class"]), v["transits"].as_f64().unwrap())
    });
    assert_eq!(found, expect);
    assert_eq!(found.values().map(|(n, _)| n).sum::<u64>(), 334_406);
}

#[test]
fn loops_by_code_and_day() {
    let Some(path) = shared("traffic/rilevazione_flusso_veicoli_2019.csv") else { return };
    let mut expect = Totals::new();
    for row in csv_of(&path, b';').records().map(Result::unwrap) {
        for hour in 0..24 {
            let value = &row[2 + hour];
            if !value.is_empty() && value != "-1" {
                add(&mut expect, format!("{}/{}", row[1].replace(' ', "-"), &row[0]), value.parse().unwrap());
            }
        }
    }
    let rome = schemas::time::Zone::named("Europe/Rome").unwrap();
    let found = imported("bologna_loops", &path, |local, v| {
        let (lon, lat) = (v["lon"].as_f64().unwrap(), v["lat"].as_f64().unwrap());
        assert!((11.2..11.5).contains(&lon) && (44.4..44.6).contains(&lat), "{lon} {lat}");
        let day = rome.civil(Timestamp::parse(v["observed_at"].as_str().unwrap()).unwrap()).date();
        (format!("{local}/{day}"), v["vehicles"].as_f64().unwrap())
    });
    assert_eq!(found, expect);
}

#[test]
fn city_stations_by_pollutant() {
    let Some(path) = shared("traffic/dati_centraline_2019.csv") else { return };
    let mut expect = Totals::new();
    for row in csv_of(&path, b';').records().map(Result::unwrap) {
        let field = match row[1].split(' ').next().unwrap() {
            "C6H6" => "benzene".to_owned(),
            other => other.to_lowercase(),
        };
        add(&mut expect, format!("{}/{field}", slug(&row[0])), row[4].parse().unwrap());
    }
    let fields = ["benzene", "co", "no", "no2", "nox", "o3"];
    let found = imported("bologna_centraline", &path, |local, v| {
        let field = fields.iter().find(|f| v.get(**f).is_some()).unwrap();
        assert!(v["observed_at"].as_str().unwrap().ends_with(":00:00Z"));
        (format!("{local}/{field}"), v[*field].as_f64().unwrap())
    });
    assert_eq!(found, expect);
}

#[test]
fn every_published_file_is_recognised_and_no_other() {
    for (path, expect) in [
        ("air/NO2_hourly.csv", Some("arpae_hourly")),
        ("air/PM25_daily.csv", Some("arpae_daily")),
        ("traffic/rilevazione_flusso_veicoli_2019.csv", Some("bologna_loops")),
        ("traffic/dati_centraline_2019.csv", Some("bologna_centraline")),
        ("traffic/accuratezza_spire_2019.csv", None),
        ("traffic/spire_register.csv", None),
    ] {
        let Some(full) = shared(path) else { return };
        let text = std::fs::read_to_string(full).unwrap();
        assert_eq!(guess(path, text.lines().next().unwrap()), expect, "{path}");
    }
    let header = "datetime;MTSStationID;DirectionCode;VehicleType;TransitCount";
    assert_eq!(guess("regional_counts_2024_01_09.csv.gz", header), Some("regional_counts"));
}
