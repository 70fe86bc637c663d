use super::{payload::Scalar, *};
use crate::format::tests::{City, samples};
use proptest::prelude::*;
use schemas::Timestamp;

const MAPPINGS: &str = include_str!("../../../mappings/sparkplug.toml");
/// 2026-03-01T09:59:00Z
const T: u64 = 1_772_359_140_000;

fn metric(name: &str, alias: u64, datatype: u32, value: Scalar) -> Metric {
    Metric {
        name: (!name.is_empty()).then(|| name.to_owned()),
        alias: Some(alias),
        datatype: (datatype > 0).then_some(datatype),
        value: Some(value),
        ..Metric::default()
    }
}

fn payload(seq: u64, metrics: Vec<Metric>) -> Vec<u8> {
    Payload { timestamp: Some(T + seq * 1_000), metrics, seq: Some(seq) }.encode_to_vec()
}

fn bd_seq(n: u64) -> Metric {
    Metric { name: Some("bdSeq".into()), datatype: Some(4), value: Some(Scalar::Long(n)), ..Metric::default() }
}

fn node_birth(bd: u64) -> Vec<u8> {
    payload(0, vec![bd_seq(bd), metric("Node Control/Rebirth", 1, 11, Scalar::Boolean(false)), metric("Level", 2, 9, Scalar::Float(0.3))])
}

fn device_birth(seq: u64) -> Vec<u8> {
    payload(seq, vec![metric("Inputs/Level", 10, 9, Scalar::Float(1.1)), metric("Inputs/Flow", 11, 3, Scalar::Int(5))])
}

fn level(seq: u64, level: f32) -> Vec<u8> {
    payload(seq, vec![metric("", 10, 0, Scalar::Float(level)), metric("", 11, 0, Scalar::Int(-7i32 as u32))])
}

fn send(format: &SparkplugB, topic: &str, payload: &[u8]) -> Result<Option<Value>, Reject> {
    let tenant = Tenant::new("bologna").unwrap();
    let mut out = Vec::new();
    Ok(match format.translate(Incoming { tenant: &tenant, topic, payload, received_at: Timestamp(0) }, &mut out)? {
        Translated::Document => Some(serde_json::from_slice(&out).unwrap()),
        _ => None,
    })
}

#[tokio::test]
async fn births_name_what_aliases_mean_and_again_changes_nothing() {
    let city = City::new(MAPPINGS);
    let births = [("spBv1.0/g/NBIRTH/e", node_birth(0)), ("spBv1.0/g/DBIRTH/e/d", device_birth(1))];
    let births: Vec<(&str, &[u8])> = births.iter().map(|(t, p)| (*t, p.as_slice())).collect();
    let data: Vec<Vec<u8>> = (2..8).map(|i| level(i, 1.0 + i as f32 / 8.0)).collect();
    let outcome = city.send(&births).await;
    assert_eq!((outcome.counts.stored, outcome.counts.quarantined), (2, 0), "{:?}", outcome.rejects);
    let messages: Vec<(&str, &[u8])> = data.iter().map(|p| ("spBv1.0/g/DDATA/e/d", p.as_slice())).collect();
    city.send(&messages).await;
    let rows = city.sink.rows();
    assert_eq!(rows.len(), 8);
    assert!(
        rows.iter().any(|r| r.contains("e-d") && r.contains("1.1,") && r.contains("5.0")),
        "a float of 32 bits keeps its decimal: {rows:?}"
    );
    assert!(rows.iter().any(|r| r.contains("-7.0")), "{rows:?}");
    for turn in 0..10 {
        let mut shuffled = messages.clone();
        shuffled.rotate_left(turn % 6);
        shuffled.swap(0, 3);
        city.send(&shuffled).await;
    }
    assert_eq!((city.sink.rows(), city.sink.counts().quarantined), (rows, 0));
}

#[tokio::test]
async fn the_birth_of_the_specification_is_read() {
    let sample = crate::format::tests::all_samples().into_iter().find(|s| s["conv"] == "sparkplug-b").unwrap();
    let birth = &sample["payload_as_json"];
    let metrics = birth["metrics"].as_array().unwrap().iter().map(|m| Metric {
        name: m["name"].as_str().map(str::to_owned),
        timestamp: m["timestamp"].as_u64(),
        datatype: Some(match m["dataType"].as_str().unwrap() {
            "Int64" => 4,
            "Boolean" => 11,
            _ => 9,
        }),
        value: Some(match &m["value"] {
            Value::Bool(b) => Scalar::Boolean(*b),
            v if m["dataType"] == "Int64" => Scalar::Long(v.as_u64().unwrap()),
            v => Scalar::Float(v.as_f64().unwrap() as f32),
        }),
        ..Metric::default()
    });
    let payload = Payload { timestamp: birth["timestamp"].as_u64(), metrics: metrics.collect(), seq: Some(0) }.encode_to_vec();
    let city = City::new(&MAPPINGS.replace("/values/Level", "/values/Supply Voltage"));
    let outcome = city.send(&[(sample["topic"].as_str().unwrap(), &payload)]).await;
    assert_eq!((outcome.counts.received, outcome.counts.late), (1, 1), "{:?}", outcome.rejects);
    assert!(city.sink.rows()[0].contains("12.1") && city.sink.rows()[0].contains("2017-02-03T17:55:02.122"), "{:?}", city.sink.rows());
    assert!(samples("sparkplug-b").len() == 1);
}

#[test]
fn data_without_a_birth_are_refused_with_the_way_to_a_rebirth() {
    let format = SparkplugB::default();
    let no_birth = |topic: &str, payload: &[u8], word: &str| {
        let reject = send(&format, topic, payload).unwrap_err();
        assert_eq!(reject.reason, Reason::NoBirth, "{}", reject.message);
        assert!(reject.message.contains(word) && reject.message.contains("spBv1.0/g/NCMD/e"), "{}", reject.message);
    };
    no_birth("spBv1.0/g/NDATA/e", &level(3, 1.0), "edge node 'g/e'");
    no_birth("spBv1.0/g/DBIRTH/e/d", &device_birth(1), "edge node 'g/e'");
    assert!(send(&format, "spBv1.0/g/NBIRTH/e", &node_birth(4)).unwrap().is_some());
    no_birth("spBv1.0/g/DDATA/e/d", &level(1, 1.0), "device 'g/e/d'");
    assert!(send(&format, "spBv1.0/g/DBIRTH/e/d", &device_birth(2)).unwrap().is_some());
    no_birth("spBv1.0/g/NDATA/e", &level(3, 1.0), "alias 10");
    no_birth("spBv1.0/g/DDATA/e/d", &payload(4, vec![metric("", 99, 0, Scalar::Int(1))]), "alias 99");
    // The will of an older session changes nothing; the own one ends the node and its aliases.
    assert_eq!(send(&format, "spBv1.0/g/NDEATH/e", &payload(0, vec![bd_seq(3)])), Ok(None));
    assert!(send(&format, "spBv1.0/g/DDATA/e/d", &level(5, 1.0)).unwrap().is_some());
    assert_eq!(send(&format, "spBv1.0/g/DDEATH/e/d", &payload(6, vec![])), Ok(None));
    no_birth("spBv1.0/g/DDATA/e/d", &level(7, 1.0), "device 'g/e/d'");
    assert_eq!(send(&format, "spBv1.0/g/NDEATH/e", &payload(0, vec![bd_seq(4)])), Ok(None));
    no_birth("spBv1.0/g/NDATA/e", &payload(8, vec![metric("", 2, 0, Scalar::Float(1.0))]), "edge node 'g/e'");
}

#[test]
fn missing_messages_are_counted_across_the_wrap() {
    let format = SparkplugB::default();
    send(&format, "spBv1.0/g/NBIRTH/e", &node_birth(0)).unwrap();
    let mut gaps = Vec::new();
    for seq in [1, 2, 2, 5, 254, 255, 0, 3] {
        let payload = payload(seq, vec![metric("Level", 2, 0, Scalar::Float(1.0))]);
        gaps.push(send(&format, "spBv1.0/g/NDATA/e", &payload).unwrap().unwrap()["gap"].as_u64().unwrap());
    }
    assert_eq!(gaps, [0, 0, 0, 2, 248, 0, 0, 2]);
}

#[test]
fn metrics_are_grouped_by_their_own_times_and_null_is_null() {
    let format = SparkplugB::default();
    let at = |t: u64, historical: bool, m: Metric| Metric { timestamp: Some(t), is_historical: historical.then_some(true), ..m };
    let null = Metric { is_null: Some(true), value: None, ..metric("b", 3, 10, Scalar::Int(0)) };
    let birth = payload(
        0,
        vec![
            at(1, true, metric("a", 2, 1, Scalar::Int(0xff))),
            at(2, false, metric("a", 2, 2, Scalar::Int(0xffff_fffe))),
            at(2, false, null),
            at(2, false, metric("a", 2, 8, Scalar::Long(u64::MAX))),
            metric("c", 4, 17, Scalar::Bytes(vec![1])),
        ],
    );
    let document = send(&format, "spBv1.0/g/NBIRTH/e", &birth).unwrap().unwrap();
    let want = serde_json::json!([
        {"time": 1, "historical": true, "values": {"a": -1}},
        {"time": 2, "historical": false, "values": {"a": -2, "b": null}},
        {"time": 2, "historical": false, "values": {"a": u64::MAX}},
    ]);
    assert_eq!(document["observations"], want);
    let nan = payload(1, vec![metric("a", 2, 10, Scalar::Double(f64::NAN))]);
    assert_eq!(send(&format, "spBv1.0/g/NDATA/e", &nan).unwrap_err().field.as_deref(), Some("a"));
    for topic in ["spBv1.0/STATE/host", "spBv1.0/g/NCMD/e", "spBv1.0/g/DCMD/e/d"] {
        assert_eq!(send(&format, topic, b"{}"), Ok(None), "{topic}");
    }
    assert_eq!(send(&format, "spBv1.0/g/NDATA", b"").unwrap_err().reason, Reason::NotFormat);
}

/// A birth with every kind of metric, as the protobuf of `pysparkplug` 0.6 writes it.
const BIRTH_OF_PYTHON: &str = "08a085d9c6ca3312140a056264536571100018a085d9c6ca3320085803122e0a054c6576656c100118a085d9c6ca33200942034201644a100a07656e67556e69741205080c42\
    016d659a99993e12140a0169100218a085d9c6ca33200350f9ffffff0f12190a016c100318a085d9c6ca33200458f8ffffffffffffffff0112170a0164100418a085d9c6ca33\
    200a69000000000000044012100a0162100518a085d9c6ca33200b700112120a0173100618a085d9c6ca33200c7a02c3a812120a016e100718a085d9c6ca33200a2801380112\
    1c0a0174100818a085d9c6ca33201392010b0a013112060a02696e500112170a026473100918a085d9c6ca3320108a0105080112016318002201752a0178";

#[test]
fn what_another_implementation_writes_is_read() {
    let digit = |b: u8| char::from(b).to_digit(16).unwrap() as u8;
    let birth: Vec<u8> = BIRTH_OF_PYTHON.as_bytes().chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect();
    let document = send(&SparkplugB::default(), "spBv1.0/g/NBIRTH/e", &birth).unwrap().unwrap();
    let want = serde_json::json!([
        {"time": T, "historical": false, "values": {"Level": 0.3, "i": -7, "l": -8, "d": 2.5, "b": true, "s": "è"}},
        {"time": T, "historical": true, "values": {"n": null}},
    ]);
    assert_eq!(document["observations"], want);
}

#[test]
fn what_is_kept_is_bounded() {
    let format = SparkplugB::default();
    let wide: Vec<Metric> = (0..METRICS_MAX as u64).map(|i| metric(&format!("m{i}"), i, 9, Scalar::Float(1.0))).collect();
    let birth = payload(0, wide);
    let births = (0..20).filter(|i| send(&format, &format!("spBv1.0/g/NBIRTH/e{i}"), &birth).is_ok()).count();
    assert_eq!(births, 12, "500,000 names and aliases");
    // A birth again replaces the one before, and takes no further room.
    assert!(send(&format, "spBv1.0/g/NBIRTH/e0", &birth).is_ok());
    let over = payload(0, vec![Metric::default(); METRICS_MAX + 1]);
    assert_eq!(send(&format, "spBv1.0/g/NBIRTH/x", &over).unwrap_err().reason, Reason::TooLarge);
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60), at in any::<prop::sample::Index>(), b in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let format = SparkplugB::default();
        for topic in ["spBv1.0/g/NBIRTH/e", "spBv1.0/g/NDATA/e", "spBv1.0/g/DBIRTH/e/d", "spBv1.0/g/DDATA/e/d", "spBv1.0/g/NDEATH/e", "spBv1.0/g/DDEATH/e/d"] {
            let _ = send(&format, topic, &bytes);
        }
        let mut birth = device_birth(1);
        let at = at.index(birth.len());
        birth[at] = b;
        birth.truncate(cut.index(birth.len()) + 1);
        let _ = send(&format, "spBv1.0/g/NBIRTH/e", &node_birth(0));
        let _ = send(&format, "spBv1.0/g/DBIRTH/e/d", &birth);
        let _ = send(&format, "spBv1.0/g/DDATA/e/d", &level(2, 1.0));
    }
}
