//! ING-3 over everything there is: each fixture as the message that its device, server or publisher would send, through the example
//! mappings. Delivered ten times in shuffled order, the tables are those of one delivery.

use super::*;
use crate::{
    camera::{Key, Register},
    datex::{Publication, Record, Sites},
};
use arrow_array::{cast::AsArray, types::TimestampMicrosecondType};
use flate2::read::GzDecoder;
use schemas::{ops::OpsTable, row, time::SECOND_US};
use std::{collections::BTreeSet, fs, io::BufReader, path::Path};

const TIMES: u64 = 10;
/// After every fixture, and before none of them is out of its contract's time.
const FIRST: &str = "2026-08-01T00:00:00Z";
/// Of NDW's file of 50 MB: what one region measures in a minute.
const NDW_SITES: usize = 500;

const MAPPINGS: [(&str, &str); 8] = [
    ("video.toml", include_str!("../../../mappings/video.toml")),
    ("lorawan.toml", include_str!("../../../mappings/lorawan.toml")),
    ("fiware.toml", include_str!("../../../mappings/fiware.toml")),
    ("home.toml", include_str!("../../../mappings/home.toml")),
    ("sensorthings.toml", include_str!("../../../mappings/sensorthings.toml")),
    ("sparkplug.toml", include_str!("../../../mappings/sparkplug.toml")),
    ("gtfs_rt.toml", include_str!("../../../mappings/gtfs_rt.toml")),
    ("datex2.toml", crate::datex::MAPPINGS),
];
const CAMERAS: &str = include_str!("../../../cameras/example.toml");

/// Folders of radio: their frames are judged by keys and counters before there is a message. `lorawan` has tests of its own.
const RADIO: [&str; 3] = ["basics_station", "gwmp", "lorawan_phy"];
/// They have no time, so that each delivery is an observation of its own (`observed_at = "receipt"` in their mappings).
const WITHOUT_TIME: &[&str] = &["fiware-ul/1", "homie5/8", "zigbee2mqtt/6"];

type Delivery = (String, RawMessage);

fn shared() -> Option<PathBuf> {
    let root = std::env::var_os("PORTICO_SHARED")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared")), PathBuf::from)
        .join("data");
    if root.join("fixtures").exists() {
        return Some(root);
    }
    assert!(std::env::var_os("CI").is_none(), "{} is absent; set PORTICO_SHARED", root.display());
    eprintln!("skipped: {} is absent; set PORTICO_SHARED", root.display());
    None
}

fn paths(folder: &Path) -> Vec<PathBuf> {
    let mut out: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_file()).collect();
    out.sort();
    out
}

fn delivery(name: impl Into<String>, topic: &str, payload: Vec<u8>) -> Delivery {
    (name.into(), RawMessage { topic: topic.to_owned().into(), payload: payload.into() })
}

/// The message of a file: its topic, when it says so itself, and its payload.
fn of_file(folder: &str, path: &Path) -> Option<Delivery> {
    let name = path.file_name().unwrap().to_str().unwrap();
    let bytes = fs::read(path).unwrap();
    let value: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let payload = value.get("payload").map_or(bytes, |p| p.to_string().into_bytes());
    let own = value.get("topic").and_then(Value::as_str).map(|t| t.replace("SERIAL", "B8A44F941234"));
    let stem = name.split('.').next().unwrap_or_default();
    let topic = match folder {
        "axis" => "axis/B8A44F941234/scene/1".into(),
        "deepstream" => "deepstream/CAMERA_ID".into(),
        "onvif" if name.ends_with(".xsd") => return None,
        "onvif" if name.starts_with("mj_") => "MyDevice/onvif-mj/VideoAnalytics/profile0/module0".into(),
        "onvif" => "onvif-xml/cam-xml".into(),
        "chirpstack_v4" => format!("application/1/device/0101010101010101/event/{}", stem.trim_start_matches("event_")),
        "tts_v3" => "lns/tts".into(),
        "traffic_5t_torino" => "fdt-xml/torino".into(),
        "frigate" => "frigate/events".into(),
        other => panic!("the fixtures have a new folder '{other}': say here how its messages come"),
    };
    Some(delivery(format!("{folder}/{name}"), &own.unwrap_or(topic), payload))
}

fn ndw(path: &Path) -> Vec<Delivery> {
    let source = BufReader::new(GzDecoder::new(fs::File::open(path).unwrap()));
    let mut publication = Publication::new(source, Sites::default());
    let (mut record, mut out) = (Record::default(), Vec::new());
    while out.len() < NDW_SITES && publication.next(&mut record).unwrap() {
        let topic = format!("datex2/{}/{}", record.kind.name(), record.site);
        out.push(delivery(format!("ndw/{}", record.site), &topic, record.document.clone()));
    }
    out
}

/// Everything, each with a name.
fn everything() -> Option<Vec<Delivery>> {
    let root = shared()?;
    let mut out = Vec::new();
    let mut folders: Vec<String> =
        fs::read_dir(root.join("fixtures")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    folders.retain(|f| !RADIO.contains(&f.as_str()) && f != "mqtt_conventions");
    folders.sort();
    for folder in folders {
        out.extend(paths(&root.join("fixtures").join(&folder)).iter().filter_map(|p| of_file(&folder, p)));
    }
    for (i, sample) in all_samples().into_iter().enumerate() {
        let (convention, topic) = (sample["conv"].as_str().unwrap(), sample["topic"].as_str().unwrap());
        let payload = sample["payload_text"].as_str().map_or_else(|| sample["payload"].to_string(), str::to_owned);
        let topic = topic.replace("<apikey>", "key").replace("<device>", "dev");
        out.push(delivery(format!("{convention}/{i}"), &topic, payload.into_bytes()));
    }
    for path in paths(&root.join("datex2")) {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        match name.strip_suffix(".gz") {
            Some(_) => out.extend(ndw(&path)),
            None => out.push(delivery(name, "datex2-xml/publisher", fs::read(&path).unwrap())),
        }
    }
    for name in ["trip-updates-full.asciipb", "alerts.asciipb"] {
        out.push(delivery(name, "gtfs-rt/tper", crate::format::gtfs_rt::tests::sample(name)?));
    }
    let envelopes = fs::read_to_string(root.join("lorawan/lns_envelopes.jsonl")).unwrap();
    for (i, line) in envelopes.lines().enumerate() {
        let row: Value = serde_json::from_str(line).unwrap();
        if row["direction"] == "uplink" {
            out.push(delivery(format!("lns/{i}"), "lns/server", row["payload"].to_string().into_bytes()));
        }
    }
    Some(out)
}

struct Tables {
    sink: Arc<MemorySink>,
    pipeline: Pipeline,
}

impl Tables {
    fn new() -> Self {
        let cameras = CAMERAS.replace("\"CAMERA_ID\"]", "\"CAMERA_ID\", \"driveway_cam\", \"driveway\", \"cam-xml\"]");
        let register = Register::parse([("cameras.toml", cameras.as_str())], Key::new([7; 32])).unwrap();
        let mappings = Mappings::parse(MAPPINGS).unwrap().with_cameras(&Arc::new(register));
        let sink = Arc::new(MemorySink::default());
        let pipeline = Pipeline::start(crate::testing::keeping_all(), contracts(), mappings, Arc::clone(&sink) as Arc<dyn Sink>).unwrap();
        Self { sink, pipeline }
    }

    /// Each delivery has an instant of its own.
    async fn send(&self, messages: Vec<RawMessage>, n: u64) -> Outcome {
        let received_at = Timestamp(Timestamp::parse(FIRST).unwrap().0 + n as i64 * SECOND_US);
        let group = Group { publisher: publisher(), messages, rejects: Vec::new(), received_at };
        self.pipeline.submit_group(group).await.unwrap().outcome().await.unwrap()
    }

    /// Whether the last frame has a row that was observed when it was received.
    fn used_receipt(&self) -> bool {
        let frames = self.sink.frames.lock();
        let parts = frames.last().into_iter().flat_map(|f| &f.parts).filter(|p| OpsTable::of(&p.table).is_none());
        parts.into_iter().any(|part| {
            let times = |name| part.rows.column_by_name(name).unwrap().as_primitive::<TimestampMicrosecondType>().values().to_vec();
            times(row::OBSERVED_AT).iter().zip(times(row::RECEIVED_AT)).any(|(a, b)| *a == b)
        })
    }
}

/// A shuffle that the seed decides.
fn shuffle<T>(list: &mut [T], mut seed: u64) {
    for i in (1..list.len()).rev() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        list.swap(i, (seed >> 33) as usize % (i + 1));
    }
}

#[tokio::test]
async fn ten_deliveries_of_every_fixture_in_any_order_make_the_tables_of_one() {
    let Some(all) = everything() else { return };
    assert!(all.len() > 1_000, "{} messages", all.len());
    let (once, mut kept, mut without_time, mut conflicts) = (Tables::new(), Vec::new(), BTreeSet::new(), BTreeSet::new());
    let (mut read, mut n_rows) = (BTreeSet::new(), 0);
    for (i, (name, message)) in all.into_iter().enumerate() {
        let outcome = once.send(vec![message.clone()], i as u64).await;
        let family = name.split('/').next().unwrap().to_owned();
        if once.used_receipt() {
            without_time.insert(name);
            continue;
        }
        // Two fixtures say different things of one instant: then the first stays, and which is first is the order.
        if outcome.rejects.iter().any(|r| r.reason == "conflict") {
            conflicts.insert(name);
            continue;
        }
        n_rows += outcome.counts.stored + outcome.counts.late;
        if outcome.counts.stored + outcome.counts.late > 0 {
            read.insert(family);
        }
        kept.push(message);
    }
    assert_eq!(without_time.iter().map(String::as_str).collect::<Vec<_>>(), WITHOUT_TIME);
    assert!(conflicts.iter().all(|name| name.starts_with("lns/")), "{conflicts:?}");
    assert!(read.len() >= 8 && n_rows > 1_000, "{n_rows} rows of {read:?}");
    eprintln!("{} messages, {n_rows} rows; fixtures that contradict another: {conflicts:?}", kept.len());

    let reference = Tables::new();
    reference.send(kept.clone(), 0).await;
    for seed in [1, 20_260_801] {
        let again = Tables::new();
        for turn in 0..TIMES {
            let mut messages = kept.clone();
            shuffle(&mut messages, seed + turn);
            for group in messages.chunks(97) {
                again.send(group.to_vec(), turn * 60).await;
            }
        }
        let (one, ten) = (reference.sink.rows(), again.sink.rows());
        assert!(one == ten, "seed {seed}: {} rows, not {}; the first that differs: {:?}", ten.len(), one.len(), difference(&one, &ten));
        let counts = again.sink.counts();
        assert_eq!((counts.imbalance(), counts.received), (0, reference.sink.counts().received * TIMES));
    }
}

fn difference<'a>(one: &'a [String], ten: &'a [String]) -> Option<(&'a String, &'a String)> {
    one.iter().zip(ten).find(|(a, b)| a != b)
}

#[test]
fn radio_frames_are_the_only_fixtures_that_come_another_way() {
    let Some(root) = shared() else { return };
    let folders: BTreeSet<String> =
        fs::read_dir(root.join("fixtures")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    assert!(RADIO.iter().all(|f| folders.contains(*f)), "{folders:?}");
    for folder in RADIO {
        for path in paths(&root.join("fixtures").join(folder)) {
            let text = fs::read(&path).unwrap();
            let value: Value = serde_json::from_slice(&text).unwrap_or_default();
            assert!(value.get("topic").is_none(), "{} is a message of MQTT", path.display());
        }
    }
}
