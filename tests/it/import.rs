//! Real files: totals equal those of an independent script, and importing again changes nothing (ING-3).

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tests::{Portico, peers};

/// Sums from the files themselves, with nothing but Python's csv module.
const INDEPENDENT: &str = r#"
import csv, gzip, json, sys
air, traffic = sys.argv[1:3]
out = {"air": {}, "classes": {}}
for name, field in (("NO2_hourly", "no2"), ("Ozone_hourly", "o3"), ("CO_hourly", "co"), ("methane_hourly", "ch4"), ("PM10_daily", "pm10"), ("PM25_daily", "pm25")):
    n, total = 0, 0.0
    with open(f"{air}/{name}.csv", encoding="utf-8-sig", newline="") as f:
        for row in csv.DictReader(f):
            for column, value in row.items():
                if column != "data" and not column.startswith("v_") and value not in ("", None):
                    n, total = n + 1, total + float(value)
    out["air"][field] = [n, round(total, 3)]
with gzip.open(f"{traffic}/regional_counts_2024_01_09.csv.gz", "rt", encoding="utf-8-sig", newline="") as f:
    for row in csv.DictReader(f, delimiter=";"):
        if row["TransitCount"] not in ("", "-1"):
            key = f"{row['MTSStationID']}/{row['DirectionCode']}/{row['VehicleType']}"
            n, total = out["classes"].get(key, (0, 0))
            out["classes"][key] = (n + 1, total + int(float(row["TransitCount"])))
print(json.dumps(out))
"#;

fn sum(portico: &Portico, field: &str) -> Result<(i64, f64)> {
    let rows = portico.sql(&format!("SELECT count({field}) AS n, sum({field}) AS total FROM bologna.air_quality"))?;
    let row = rows.first().context("one row")?;
    let cell = |i: usize, name: &str| row.get(i).or_else(|| row.get(name)).cloned().unwrap_or(Value::Null);
    Ok((cell(0, "n").as_i64().context("n")?, cell(1, "total").as_f64().context("total")?))
}

#[test]
fn totals_of_imported_files_equal_those_of_an_independent_script() -> Result<()> {
    let (Some(air), Some(traffic)) = (peers::shared("data/bologna/air"), peers::shared("data/bologna/traffic")) else { return Ok(()) };
    let Some(text) = peers::python(INDEPENDENT, &[&air.display().to_string(), &traffic.display().to_string()])? else { return Ok(()) };
    let expected: Value = serde_json::from_str(&text)?;
    let dir = tempfile::tempdir()?;
    let mut portico = Portico::create(dir.path())?;
    let files: Vec<String> = ["NO2_hourly", "Ozone_hourly", "CO_hourly", "methane_hourly", "PM10_daily", "PM25_daily"]
        .iter()
        .map(|f| air.join(f).with_extension("csv").display().to_string())
        .collect();
    let counts = traffic.join("regional_counts_2024_01_09.csv.gz").display().to_string();
    let loops = traffic.join("rilevazione_flusso_veicoli_2019.csv").display().to_string();
    for round in 0..2 {
        let mut args = vec!["import"];
        args.extend(files.iter().map(String::as_str));
        args.extend([counts.as_str(), loops.as_str()]);
        let report = portico.command(&args)?;
        ensure!(report.contains("ledger"), "the import reports the ledger: {report}");
        portico.start()?;
        check(&portico, &expected).with_context(|| format!("import number {}", round + 1))?;
        portico.stop()?;
    }
    Ok(())
}

fn check(portico: &Portico, expected: &Value) -> Result<()> {
    for (field, want) in expected["air"].as_object().context("air")? {
        let (n, total) = sum(portico, field)?;
        ensure!(Some(n) == want[0].as_i64(), "{field}: {n} rows, the file has {}", want[0]);
        ensure!((total - want[1].as_f64().unwrap_or_default()).abs() < 0.01, "{field}: sum {total}, the file has {}", want[1]);
    }
    let rows = portico.sql(
        "SELECT entity_id, direction, vehicle_class, count(*) AS n, sum(transits) AS total FROM bologna.traffic_class_count GROUP BY 1, 2, 3",
    )?;
    let classes = expected["classes"].as_object().context("classes")?;
    ensure!(rows.len() == classes.len(), "{} groups of station, direction and class; the file has {}", rows.len(), classes.len());
    for row in rows {
        let cell = |i: usize, name: &str| row.get(i).or_else(|| row.get(name)).cloned().unwrap_or(Value::Null);
        let urn = cell(0, "entity_id");
        let station = urn.as_str().and_then(|u| u.rsplit(':').next()).context("station")?.to_owned();
        let key = format!("{station}/{}/{}", cell(1, "direction"), cell(2, "vehicle_class"));
        let want = classes.get(&key).with_context(|| format!("{key} is not in the file"))?;
        ensure!(cell(3, "n") == want[0] && cell(4, "total") == want[1], "{key}: {row} against {want}");
    }
    // 25 loops of one day of 24 hours, one of them per line of the sample.
    ensure!(portico.number("SELECT count(DISTINCT entity_id) FROM bologna.traffic_count")? > 0, "no loop was imported");
    let open =
        portico.number("SELECT CAST(sum(received - stored - duplicate - late - quarantined - dropped) AS BIGINT) FROM ops.ledger")?;
    ensure!(open == 0, "the ledger is off by {open}");
    Ok(())
}
