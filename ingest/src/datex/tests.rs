use super::*;
use crate::{
    IngestConfig, Mappings, Sink,
    pipeline::Pipeline,
    testing::{MemorySink, contracts, publisher},
};
use arrow_array::{Array, cast::AsArray, types::Float64Type};
use proptest::prelude::*;
use schemas::time::ManualClock;
use serde_json::{Value as Json, json};
use std::{fs::File, io::BufReader, io::Read, path::PathBuf, sync::Arc};
use tokio_util::sync::CancellationToken;

const NOW: &str = "2026-08-01T00:00:00Z";

fn shared(path: &str) -> Option<PathBuf> {
    let root = std::env::var_os("PORTICO_SHARED")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared")), PathBuf::from);
    let full = root.join("data").join(path);
    if full.exists() {
        return Some(full);
    }
    assert!(std::env::var_os("CI").is_none(), "{} is absent; set PORTICO_SHARED", full.display());
    eprintln!("skipped: {} is absent", full.display());
    None
}

fn documents(text: &str) -> Vec<(Kind, Json)> {
    let mut publication = Publication::new(text.as_bytes(), Sites::default());
    let mut record = Record::default();
    let mut out = Vec::new();
    while publication.next(&mut record).unwrap() {
        assert!(!record.document.contains(&b'\n'));
        out.push((record.kind, serde_json::from_slice(&record.document).unwrap()));
    }
    out
}

fn pipeline() -> (Arc<MemorySink>, Pipeline) {
    let sink = Arc::new(MemorySink::default());
    let mappings = Mappings::parse([("datex2.toml", MAPPINGS)]).unwrap();
    let pipeline = Pipeline::start(IngestConfig::default(), contracts(), mappings, Arc::clone(&sink) as Arc<dyn Sink>).unwrap();
    (sink, pipeline)
}

async fn imported(pipeline: &Pipeline, source: impl std::io::BufRead + Send) -> Result<ImportReport, crate::IngestError> {
    let clock = ManualClock::at(Timestamp::parse(NOW).unwrap());
    import(pipeline, &publisher(), &clock, (source, Sites::default()), &CancellationToken::new()).await
}

/// Flows, speeds and occupancies of version 3 with its table, as NDW and others publish them.
const VERSION_3: &str = r#"<mc:messageContainer xmlns:mc="m" xmlns:roa="r" xmlns:com="c" xmlns:loc="l" xmlns:xsi="x">
<mc:payload xsi:type="roa:MeasurementSiteTablePublication"><com:publicationTime>2026-07-01T10:00:00Z</com:publicationTime>
<roa:measurementSiteTable id="T"><roa:measurementSite id="A1" version="3">
<roa:measurementSiteName><com:values><com:value lang="it">Viale Aldini</com:value></com:values></roa:measurementSiteName>
<roa:measurementSpecificCharacteristics index="1"><roa:measurementSpecificCharacteristics><roa:period>60.0</roa:period><roa:specificLane>lane1</roa:specificLane>
<roa:specificVehicleCharacteristics><com:lengthCharacteristic><com:comparisonOperator>greaterThan</com:comparisonOperator><com:vehicleLength>5.6</com:vehicleLength></com:lengthCharacteristic></roa:specificVehicleCharacteristics>
</roa:measurementSpecificCharacteristics></roa:measurementSpecificCharacteristics>
<roa:measurementSiteLocation xsi:type="loc:PointLocation"><loc:pointByCoordinates><loc:pointCoordinates><loc:latitude>44.49</loc:latitude><loc:longitude>11.33</loc:longitude></loc:pointCoordinates></loc:pointByCoordinates></roa:measurementSiteLocation>
</roa:measurementSite></roa:measurementSiteTable></mc:payload>
<mc:payload xsi:type="roa:MeasuredDataPublication"><com:publicationTime>2026-07-01T10:02:00Z</com:publicationTime>
<roa:siteMeasurements><roa:measurementSiteReference targetClass="roa:MeasurementSite" id="A1" version="3"/>
<roa:physicalQuantity index="1"><roa:physicalQuantity xsi:type="roa:SinglePhysicalQuantity"><roa:basicData xsi:type="roa:TrafficFlow"><roa:vehicleFlow accuracy="95.0"><com:vehicleFlowRate>240</com:vehicleFlowRate></roa:vehicleFlow></roa:basicData></roa:physicalQuantity></roa:physicalQuantity>
<roa:physicalQuantity index="2"><roa:physicalQuantity><roa:basicData xsi:type="roa:TrafficSpeed"><roa:averageVehicleSpeed numberOfInputValuesUsed="4"><com:speed>-1</com:speed></roa:averageVehicleSpeed></roa:basicData></roa:physicalQuantity></roa:physicalQuantity>
<roa:physicalQuantity index="3"><roa:physicalQuantity><roa:basicData xsi:type="roa:TrafficConcentration"><roa:occupancy><com:percentage>12.5</com:percentage></roa:occupancy></roa:basicData></roa:physicalQuantity></roa:physicalQuantity>
<roa:physicalQuantity index="4"><roa:physicalQuantity><roa:physicalQuantityFault><roa:faultLastUpdateTime>2026-07-01T10:00:00Z</roa:faultLastUpdateTime></roa:physicalQuantityFault><roa:basicData xsi:type="roa:TrafficFlow"><roa:vehicleFlow><com:vehicleFlowRate>0</com:vehicleFlowRate></roa:vehicleFlow></roa:basicData></roa:physicalQuantity></roa:physicalQuantity>
<roa:physicalQuantity index="5"><roa:physicalQuantity><roa:basicData xsi:type="roa:TravelTimeData"><roa:travelTime><com:duration>37.2</com:duration></roa:travelTime></roa:basicData></roa:physicalQuantity></roa:physicalQuantity>
<roa:physicalQuantity index="6"><roa:physicalQuantity><roa:basicData xsi:type="roa:TrafficFlow"><roa:vehicleFlow><com:vehicleFlowRate> </com:vehicleFlowRate></roa:vehicleFlow></roa:basicData></roa:physicalQuantity></roa:physicalQuantity>
<roa:measurementTimeDefault><roa:timeValue>2026-07-01T10:01:00Z</roa:timeValue></roa:measurementTimeDefault>
</roa:siteMeasurements></mc:payload></mc:messageContainer>"#;

#[test]
fn version_3_is_read_with_its_table_and_absent_is_absent() {
    let found = documents(VERSION_3);
    let want = json!({
        "kind": "measure", "site": "A1", "time": "2026-07-01T10:01:00Z", "lon": 11.33, "lat": 44.49, "street": "Viale Aldini",
        "rows": [
            {"index": 1.0, "flow": 240.0, "accuracy": 95.0, "vehicle_class": "length>5.6", "lane": "lane1", "period": 60.0},
            {"index": 2.0, "inputs": 4.0},
            {"index": 3.0, "occupancy": 12.5},
            {"index": 4.0, "fault": true},
            {"index": 5.0, "travel_time": 37.2}
        ]
    });
    assert_eq!(found, [(Kind::MeasuredData, want)]);
}

#[test]
fn turin_says_with_an_accuracy_of_zero_that_there_is_no_value() {
    let Some(path) = shared("fixtures/traffic_5t_torino/fdt_2026.xml") else { return };
    let found = documents(&std::fs::read_to_string(path).unwrap());
    assert_eq!(found.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), [Kind::Fdt, Kind::Fdt]);
    assert_eq!(found[0].1["time"], "2026-07-10T18:00:03.516Z");
    assert_eq!(found[0].1["rows"], json!([{"flow": 360.0, "speed": 54.5, "direction": "positive", "period": 300.0, "accuracy": 95.0}]));
    assert_eq!(found[1].1["rows"], json!([{"direction": "positive", "period": 300.0, "fault": true}]));
}

#[test]
fn situations_of_both_versions_are_one_row_per_record() {
    let Some(path) = shared("datex2/fi_lotju__datex2__3.5__GUID50456943.xml") else { return };
    let found = documents(&std::fs::read_to_string(path).unwrap());
    let row = &found[0].1["rows"][0];
    assert_eq!((found[0].0, &row["record"], &row["kind"]), (Kind::Situation, &json!("GUID5046133001"), &json!("TransitInformation")));
    assert_eq!(
        (&row["detail"], &row["severity"], &row["time"]),
        (&json!("delaysDueToFlotsam"), &json!("high"), &json!("2025-11-27T06:24:59.065Z"))
    );
    assert_eq!((&row["starts_at"], &row["ends_at"]), (&json!("2025-11-27T07:20:00Z"), &json!("2025-11-27T07:50:00Z")));
    assert_eq!(row["confidentiality"], "restrictedToAuthoritiesAndTrafficOperators");
    let path = shared("datex2/fi_wazefeed__TrafficSituationAccidentAndRoadOrCarriagewayOrLaneManagement.xml").unwrap();
    let found = documents(&std::fs::read_to_string(path).unwrap());
    let rows = found[0].1["rows"].as_array().unwrap();
    let kinds: Vec<_> = rows.iter().map(|r| (r["kind"].as_str().unwrap(), r["detail"].as_str())).collect();
    assert_eq!(kinds[..2], [("Accident", Some("multivehicleAccident")), ("RoadOrCarriagewayOrLaneManagement", Some("laneClosures"))]);
    assert!(rows[0]["comment"].as_str().unwrap().starts_with("Tie 101, eli Kehä I") && rows[0].get("ends_at").is_none());
}

#[test]
fn signs_say_what_they_show_and_images_are_not_kept() {
    let Some(path) = shared("datex2/ndw_datex2v3_drip.xml") else { return };
    let text = std::fs::read_to_string(path).unwrap();
    let found = documents(&text);
    let sign = "ARN01_VMST_0c6127a4-df40-4973-8a9a-d3b8713fa30e/1";
    let want = json!([{"sign": sign, "time": "2026-04-05T09:37:36.153Z", "message": 0, "image": true, "status": "notWorking"}]);
    assert_eq!((found[0].0, &found[0].1["rows"]), (Kind::Vms, &want));
    // A sign that the table places, with two lines of text.
    let lines = "<vms:textLine lineIndex=\"0\"><vms:textLine><vms:textLine>CODA</vms:textLine></vms:textLine></vms:textLine>\
        <vms:textLine lineIndex=\"1\"><vms:textLine><vms:textLine>A 2 KM</vms:textLine></vms:textLine></vms:textLine>";
    let text = text
        .replace("ARN01_VMST_0c6127a4-df40-4973-8a9a-d3b8713fa30e", "NDW02_000a1b70-927f-338d-87c0-1504bf1bbf6f")
        .replace("<vms:vmsStatus vmsIndex=\"1\">", "<vms:vmsStatus vmsIndex=\"0\">")
        .replace("<vms:image>", &format!("{lines}<vms:image>"));
    let row = &documents(&text)[0].1["rows"][0];
    assert_eq!((&row["text"], &row["name"]), (&json!("CODA\nA 2 KM"), &json!("A7-Li-18,8 (dBD146)")));
    assert_eq!((&row["lon"], &row["lat"]), (&json!(4.956807), &json!(52.547028)));
}

#[tokio::test]
async fn what_is_no_number_is_refused_by_its_contract_and_its_neighbours_stay() {
    let (sink, pipeline) = pipeline();
    let text = VERSION_3.replace("<com:percentage>12.5<", "<com:percentage>high<");
    let report = imported(&pipeline, text.as_bytes()).await.unwrap();
    assert_eq!((report.records, report.counts.quarantined, report.counts.late + report.counts.stored), (1, 1, 4));
    assert_eq!((report.rejects[0].reason, report.rejects[0].field.as_deref()), ("wrong_type", Some("occupancy")));
    assert_eq!((sink.rows().len(), report.sites.len()), (4, 1));
    // Again, and nothing changes.
    let again = imported(&pipeline, text.as_bytes()).await.unwrap();
    assert_eq!((again.counts.duplicate, sink.rows().len()), (4, 4));
}

#[tokio::test]
async fn what_is_not_datex_is_refused_and_what_came_before_the_break_stays() {
    let (sink, pipeline) = pipeline();
    assert!(imported(&pipeline, &b"<html><body/></html>"[..]).await.unwrap_err().to_string().contains("no element of DATEX II"));
    let cut = &VERSION_3[..VERSION_3.len() - 30];
    assert!(imported(&pipeline, cut.as_bytes()).await.unwrap_err().to_string().contains("not XML that is read here"));
    assert_eq!(sink.rows().len(), 5);
}

/// Totals of the text itself, by cutting it at its tags.
#[derive(Debug, Default, PartialEq, Eq)]
struct Totals {
    flows: usize,
    vehicles: u64,
    speeds: usize,
    faults: usize,
    /// Values that are absent without a word: neither a fault nor the number of inputs.
    silent: usize,
}

fn totals(text: &str) -> Totals {
    let mut out = Totals::default();
    let between = |chunk: &str, tag: &str| {
        let (_, rest) = chunk.split_once(&format!("<{tag}>"))?;
        rest.split_once('<').map(|(v, _)| v.to_owned())
    };
    for chunk in text.split("<measuredValue index=").skip(1) {
        if between(chunk, "dataError").as_deref() == Some("true") {
            out.faults += 1;
            continue;
        }
        if let Some(flow) = between(chunk, "vehicleFlowRate") {
            out.flows += 1;
            out.vehicles += flow.parse::<u64>().unwrap();
        }
        let speed = between(chunk, "speed");
        out.speeds += usize::from(speed.as_ref().is_some_and(|s| !s.starts_with('-')));
        out.silent += usize::from(speed.is_some_and(|s| s.starts_with('-')) && !chunk.contains("numberOfInputValuesUsed"));
    }
    out
}

#[tokio::test]
async fn the_file_of_the_netherlands_gives_its_own_totals() {
    let Some(path) = shared("datex2/ndw_trafficspeed.xml.gz") else { return };
    let unzip = |path: &PathBuf| flate2::read::GzDecoder::new(File::open(path).unwrap());
    let mut text = String::new();
    unzip(&path).read_to_string(&mut text).unwrap();
    let want = totals(&text);
    drop(text);
    let (sink, pipeline) = pipeline();
    let report = imported(&pipeline, BufReader::new(unzip(&path))).await.unwrap();
    assert_eq!((report.records, report.rejects), (19_587, vec![]));
    let (mut have, mut n_rows) = (Totals::default(), 0);
    for part in sink.frames.lock().iter().flat_map(|f| &f.parts).filter(|p| p.table.product.as_str() == "traffic_measure") {
        let column = |name: &str| part.rows.column_by_name(name).unwrap();
        n_rows += part.rows.num_rows();
        let flows = column("flow").as_primitive::<Float64Type>();
        have.flows += flows.len() - flows.null_count();
        have.vehicles += flows.iter().flatten().sum::<f64>() as u64;
        have.speeds += part.rows.num_rows() - column("speed").null_count();
        have.faults += column("fault").as_boolean().true_count();
    }
    have.silent = want.silent;
    assert_eq!((&have, want.faults), (&want, 14_679));
    assert_eq!(n_rows + want.silent, 94_996 + 94_990);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_and_broken_publications_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100), at in any::<prop::sample::Index>()) {
        let mut text = VERSION_3.as_bytes().to_vec();
        let at = at.index(text.len());
        let end = (at + bytes.len() / 2).min(text.len());
        text.splice(at..end, bytes.iter().copied());
        for text in [text, bytes] {
            let mut publication = Publication::new(text.as_slice(), Sites::default());
            let mut record = Record::default();
            while publication.next(&mut record).is_ok_and(|more| more) {
                prop_assert!(serde_json::from_slice::<Json>(&record.document).is_ok());
            }
        }
    }
}
