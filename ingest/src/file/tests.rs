use super::*;
use crate::RawMessage;
use proptest::prelude::*;
use schemas::{Tenant, Timestamp};
use serde_json::{Value, json};
use std::io::Write as _;

mod against_real_files;
mod through_pipeline;

fn tenant() -> Tenant {
    Tenant::new("bologna").unwrap()
}

fn builtin(name: &str, file: &str) -> FileMapping {
    FileMapping::builtin(name).unwrap().for_file(file).unwrap()
}

fn items(mapping: &FileMapping, input: &[u8]) -> Vec<FileItem> {
    read(mapping, input, &tenant()).unwrap().map(Result::unwrap).collect()
}

/// Topic and payload of every message.
fn messages(items: &[FileItem]) -> Vec<(String, Value)> {
    let of = |m: &RawMessage| (String::from_utf8(m.topic.to_vec()).unwrap(), serde_json::from_slice(&m.payload).unwrap());
    items.iter().filter_map(|i| if let FileItem::Message { message, .. } = i { Some(of(message)) } else { None }).collect()
}

/// Line, reason and field of every reject.
fn rejects(items: &[FileItem]) -> Vec<(u64, &'static str, Option<&str>)> {
    let of = |i| if let &FileItem::Reject { line, reason, ref field, .. } = i { Some((line, reason, field.as_deref())) } else { None };
    items.iter().filter_map(of).collect()
}

const NO2: &str = "\"data\",\"DE AMICIS\",\"v_DE AMICIS\",\"NUOVA\",\"v_NUOVA\"\n";

fn hours_header() -> String {
    let hours: Vec<String> = (0..24).map(layout::hour_label).collect();
    format!("data;codice spira;{};Nome via;direzione;longitudine;geopoint\n", hours.join(";"))
}

fn hours_line(day: &str, values: &[&str; 24]) -> String {
    format!("{day};1.4 1.3 8 1;{};VIA IRNERIO;E;113473933293812,00;44.50043, 11.34739\n", values.join(";"))
}

#[test]
fn a_wide_file_of_stations_gives_a_message_per_value_with_its_flag() {
    let text = format!("{NO2}\"2024-07-01 00:00\",\"23\",\"S\",\"13.5\",\"M\"\n\"2024-07-01 01:00\",\"\",\"\",\"7\",\"\"\n");
    let found = messages(&items(&builtin("arpae_hourly", "NO2_hourly.csv"), text.as_bytes()));
    let (de_amicis, new) = ("portico/bologna/air_quality/de-amicis", "portico/bologna/air_quality/nuova");
    let expect = [
        // Solar time has no summer.
        (
            de_amicis,
            json!({"no2": 23, "quality": "valid", "observed_at": "2024-06-30T23:00:00Z", "period": "PT1H", "lon": 11.3632997, "lat": 44.4972784}),
        ),
        (new, json!({"no2": 13.5, "quality": "suspect", "observed_at": "2024-06-30T23:00:00Z", "period": "PT1H"})),
        (new, json!({"no2": 7, "quality": "unchecked", "observed_at": "2024-07-01T00:00:00Z", "period": "PT1H"})),
    ];
    assert_eq!(found, expect.map(|(t, v)| (t.to_owned(), v)));
}

#[test]
fn the_name_of_the_file_says_the_pollutant() {
    for (file, field) in [("NO2_hourly.csv", "no2"), ("dir/ozone-2024.csv.gz", "o3"), ("no_hourly.csv", "no"), ("CO.csv", "co")] {
        assert_eq!(builtin("arpae_hourly", file).field.as_deref(), Some(field), "{file}");
    }
    let error = FileMapping::builtin("arpae_hourly").unwrap().for_file("NOX_hourly.csv").unwrap_err().to_string();
    assert!(error.contains("NOX_hourly.csv") && error.contains("NO2"), "{error}");
}

#[test]
fn blank_and_minus_one_are_no_values_and_the_broken_longitude_is_not_read() {
    let mut values = [""; 24];
    (values[7], values[8], values[9]) = ("120", "-1", "0");
    let text = format!("\u{feff}{}{}", hours_header(), hours_line("2024-06-03", &values)).replace('\n', "\r\n");
    let mapping = builtin("bologna_loops", "x.csv");
    let mut rows = read(&mapping, text.as_bytes(), &tenant()).unwrap();
    let found: Vec<FileItem> = rows.by_ref().map(Result::unwrap).collect();
    assert_eq!(rows.blanks(), 22);
    let row = |at: &str, n: i64| {
        let payload = json!({"vehicles": n, "direction": "E", "street": "VIA IRNERIO", "observed_at": at, "period": "PT1H", "lon": 11.34739, "lat": 44.50043});
        ("portico/bologna/traffic_count/1.4-1.3-8-1".to_owned(), payload)
    };
    assert_eq!(messages(&found), [row("2024-06-03T05:00:00Z", 120), row("2024-06-03T07:00:00Z", 0)]);
}

#[test]
fn a_day_of_23_hours_refuses_the_hour_that_was_not() {
    let values: [&str; 24] = ["5"; 24];
    let found = items(&builtin("bologna_loops", "x.csv"), (hours_header() + &hours_line("2024-03-31", &values)).as_bytes());
    assert_eq!(rejects(&found), [(2, "skipped_hour", Some("02:00-03:00"))]);
    let times: Vec<Value> = messages(&found).into_iter().map(|(_, v)| v["observed_at"].clone()).collect();
    assert_eq!(
        (times.len(), &times[1], &times[2], &times[22]),
        (23, &json!("2024-03-31T00:00:00Z"), &json!("2024-03-31T01:00:00Z"), &json!("2024-03-31T21:00:00Z"),)
    );
    let mut blank = values;
    blank[2] = "";
    let found = items(&builtin("bologna_loops", "x.csv"), (hours_header() + &hours_line("2024-03-31", &blank)).as_bytes());
    assert_eq!((rejects(&found).len(), found.len()), (0, 23));
}

#[test]
fn a_day_of_25_hours_puts_two_hours_into_the_repeated_column() {
    let values: [&str; 24] = ["5"; 24];
    let found = messages(&items(&builtin("bologna_loops", "x.csv"), (hours_header() + &hours_line("2024-10-27", &values)).as_bytes()));
    let at = |i: usize| (found[i].1["observed_at"].as_str().unwrap(), found[i].1["period"].as_str().unwrap());
    assert_eq!(found.len(), 24);
    assert_eq!(at(1), ("2024-10-26T23:00:00Z", "PT1H"));
    assert_eq!(at(2), ("2024-10-27T00:00:00Z", "PT2H"));
    assert_eq!(at(3), ("2024-10-27T02:00:00Z", "PT1H"));
}

#[test]
fn long_files_keep_both_repeated_hours_and_refuse_the_skipped_one() {
    let header = "datetime;MTSStationID;DirectionCode;VehicleType;TransitCount\n";
    let line = |time: &str, class: u8, n: u32| format!("2024-{time}:00:00;152;0;{class};{n}\n");
    let text = [
        header.to_owned(),
        line("03-31 02", 2, 7),
        line("10-27 02", 2, 11),
        line("10-27 02", 3, 1),
        line("10-27 02", 2, 13),
        line("10-27 03", 2, 17),
    ]
    .concat();
    let found = items(&builtin("regional_counts", "x.csv.gz"), text.as_bytes());
    assert_eq!(rejects(&found), [(2, "skipped_hour", Some("datetime"))]);
    let rows: Vec<_> = messages(&found)
        .into_iter()
        .map(|(_, v)| (v["observed_at"].as_str().unwrap().to_owned(), v["transits"].as_i64().unwrap()))
        .collect();
    let expect = [("2024-10-27T00:00:00Z", 11), ("2024-10-27T00:00:00Z", 1), ("2024-10-27T01:00:00Z", 13), ("2024-10-27T02:00:00Z", 17)];
    assert_eq!(rows, expect.map(|(t, n)| (t.to_owned(), n)));
}

#[test]
fn a_pollutant_in_another_unit_or_unknown_is_refused() {
    let text = "COD_STAZ;AGENTE;DATA_INIZIO;DATA_FINE;VALORE;UM\n\
        PORTA SAN FELICE;CO (MONOSSIDO DI CARBONIO);2019-04-05T08:01:00+02:00;2019-04-05T09:00:00+02:00;0.8;mg/m3\n\
        PORTA SAN FELICE;CO (MONOSSIDO DI CARBONIO);2019-04-05T09:01:00+02:00;2019-04-05T10:00:00+02:00;800;ug/m3\n\
        PORTA SAN FELICE;RADON;2019-04-05T08:01:00+02:00;2019-04-05T09:00:00+02:00;8;Bq/m3\n";
    let found = items(&builtin("bologna_centraline", "x.csv"), text.as_bytes());
    assert_eq!(rejects(&found), [(3, "wrong_unit", Some("UM")), (4, "unknown_field", Some("AGENTE"))]);
    let rows = messages(&found);
    assert_eq!((&rows[0].1["co"], &rows[0].1["observed_at"], rows.len()), (&json!(0.8), &json!("2019-04-05T06:00:00Z"), 1));
}

#[test]
fn one_broken_line_is_one_reject_and_nothing_else() {
    let good = |hour: u32| format!("\"2024-01-01 {hour:02}:00\",\"23\",\"S\",\"13\",\"S\"\n");
    let mapping = builtin("arpae_hourly", "NO2.csv");
    let clean = items(&mapping, (NO2.to_owned() + &good(0) + &good(2)).as_bytes());
    let too_long = format!("{}\n", "x".repeat(200_000));
    for (broken, reason) in [
        (&b"\"2024-01-01 01:00\",\"23\n"[..], "bad_line"),
        (b"a \"quote\" here\n", "bad_line"),
        (b"\"2024-01-01 01:00\",\"23\",\"S\"\n", "bad_line"),
        (b"\"2024-01-01 25:00\",\"23\",\"S\",\"13\",\"S\"\n", "bad_time"),
        (b"\xff\xfe\x00\x9f\n", "not_utf8"),
        (too_long.as_bytes(), "too_large"),
    ] {
        let text = [NO2.as_bytes(), good(0).as_bytes(), broken, good(2).as_bytes()].concat();
        let found = items(&mapping, &text);
        assert_eq!(rejects(&found), [(3, reason, rejects(&found)[0].2)]);
        assert_eq!(messages(&found), messages(&clean), "{reason}");
        let FileItem::Reject { payload, .. } = &found[2] else { panic!("{found:?}") };
        assert!(broken.starts_with(payload) && payload.len() <= line::LINE_BYTES_MAX);
    }
    let bad_cell = [NO2, &good(0), "\"2024-01-01 01:00\",\"n.d.\",\"\",\"13\",\"S\"\n"].concat();
    let found = items(&mapping, bad_cell.as_bytes());
    assert_eq!((rejects(&found), messages(&found).len()), (vec![(3, "wrong_type", Some("DE AMICIS"))], 3));
}

#[test]
fn a_header_that_does_not_fit_is_an_error_that_names_the_column() {
    let mapping = FileMapping::builtin("regional_counts").unwrap();
    let error = |text: &str| read(&mapping, text.as_bytes(), &tenant()).unwrap_err().to_string();
    let told = error("datetime;MTSStationID;DirectionCod;VehicleType;TransitCount\n");
    assert!(told.contains("'DirectionCode'") && told.contains("did you mean 'DirectionCod'"), "{told}");
    assert!(error("").contains("empty"));
}

#[test]
fn gzip_is_told_by_its_bytes_and_a_cut_archive_is_an_error() {
    let text = format!("{NO2}\"2024-01-01 00:00\",\"23\",\"S\",\"13\",\"S\"\n");
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    let packed = encoder.finish().unwrap();
    let mapping = builtin("arpae_hourly", "NO2_hourly.csv");
    assert_eq!(items(&mapping, &packed), items(&mapping, text.as_bytes()));
    let cut = read(&mapping, &packed[..packed.len() - 12], &tenant());
    assert!(cut.is_err() || cut.unwrap().any(|i| i.is_err()));
}

#[test]
fn mapping_files_are_checked() {
    let parse = |toml: &str| FileMapping::parse("mine.toml", toml).unwrap_err().to_string();
    let base = "product = \"noise\"\nattribution = \"x\"\nentity = \"{id}\"\n";
    assert!(parse(&format!("{base}delimeter = \";\"\n[time]\ncolumn = \"t\"\nformat = \"rfc3339\"\n")).contains("delimeter"));
    assert!(parse(&format!("{base}[time]\ncolumn = \"t\"\nformat = \"%Y\"\n")).contains("zone"));
    assert!(parse(&format!("{base}[time]\ncolumn = \"t\"\nformat = \"%Y\"\nzone = \"Europe/Roma\"\n")).contains("Europe/Roma"));
    assert!(FileMapping::builtin("nope").unwrap_err().to_string().contains("bologna_loops"));
}

#[test]
fn a_mapping_from_disk_reads_latin_1_and_text_fields() {
    let toml = "product = \"traffic_count\"\nattribution = \"x\"\nentity = \"{id}\"\ndelimiter = \";\"\nencoding = \"latin1\"\n\
        [time]\ncolumn = \"t\"\nformat = \"rfc3339\"\n[fields]\nvehicles = { column = \"n\" }\nstreet = { column = \"via\", kind = \"text\" }\n";
    let mapping = FileMapping::parse("mine.toml", toml).unwrap();
    let found = messages(&items(&mapping, b"t;id;n;via\n2024-01-01T00:00:00Z;A/1;+007;Via dell'Universit\xe0\n"));
    let expect = json!({"vehicles": 7, "street": "Via dell'Università", "observed_at": "2024-01-01T00:00:00Z"});
    assert_eq!(found, [("portico/bologna/traffic_count/a-1".to_owned(), expect)]);
}

#[test]
fn replay_keeps_the_distances_and_never_goes_back() {
    let at = |s: i64| Timestamp(s * 1_000_000);
    let items = [(at(90), 0), (at(100), 1), (at(160), 2), (at(130), 3), (at(220), 4), (at(400), 5)];
    let due =
        |speed, from| replay(items.into_iter(), speed, from, Some(at(300))).map(|p| (p.after.as_millis(), p.item)).collect::<Vec<_>>();
    assert_eq!(due(60.0, Some(at(100))), [(0, 1), (1_000, 2), (1_000, 3), (2_000, 4)]);
    assert_eq!(due(10.0, None), [(0, 0), (1_000, 1), (7_000, 2), (7_000, 3), (13_000, 4)]);
    assert!(due(0.0, None).iter().all(|(ms, _)| *ms == 0));
}

proptest! {
    #[test]
    fn any_bytes_end_without_a_panic(name in 0usize..5, body in prop::collection::vec(any::<u8>(), 0..2_000), with_header in any::<bool>()) {
        let (name, _) = mapping::BUILTIN[name];
        let mapping = FileMapping::builtin(name).unwrap().with_field("no2");
        let header = match name {
            "bologna_loops" => hours_header(),
            "regional_counts" => "datetime;MTSStationID;DirectionCode;VehicleType;TransitCount\n".to_owned(),
            "bologna_centraline" => "COD_STAZ;AGENTE;DATA_INIZIO;DATA_FINE;VALORE;UM\n".to_owned(),
            _ => NO2.to_owned(),
        };
        let input = if with_header { [header.as_bytes(), &body].concat() } else { body };
        if let Ok(rows) = read(&mapping, &input[..], &tenant()) {
            for item in rows {
                prop_assert!(item.is_ok());
            }
        }
    }

    #[test]
    fn near_misses_end_without_a_panic(cells in prop::collection::vec("[0-9:;,\"+ -]{0,12}|-1|2024-10-27|2024-03-31 02:00:00|1e999|NaN", 1..8)) {
        let header = "datetime;MTSStationID;DirectionCode;VehicleType;TransitCount\n";
        let text = format!("{header}{}\n", cells.join(";"));
        for item in items(&FileMapping::builtin("regional_counts").unwrap(), text.as_bytes()) {
            if let FileItem::Message { message, .. } = item {
                let payload: Value = serde_json::from_slice(&message.payload).unwrap();
                prop_assert!(payload["observed_at"].is_string());
            }
        }
    }

    #[test]
    fn cells_are_those_of_the_csv_crate(cells in prop::collection::vec("[a-z;\" ]{0,6}", 1..6)) {
        let mut writer = csv::WriterBuilder::new().delimiter(b';').quote_style(csv::QuoteStyle::Always).from_writer(Vec::new());
        writer.write_record(&cells).unwrap();
        let written = String::from_utf8(writer.into_inner().unwrap()).unwrap();
        let mut out = Vec::new();
        line::cells(written.trim_end_matches('\n'), ';', &mut out).unwrap();
        prop_assert_eq!(out, cells);
    }
}
