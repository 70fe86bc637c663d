//! Envelopes of the field: what the document says is what the row says, read here by other code.

use super::*;

struct Row {
    lns: String,
    device: String,
    payload: Value,
}

fn rows() -> Vec<Row> {
    let Some(path) = shared("lorawan/lns_envelopes.jsonl") else { return Vec::new() };
    let text = std::fs::read_to_string(path).unwrap();
    let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).filter(|row| row["direction"] == "uplink");
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    rows.map(|row| Row { lns: text(&row["lns"]), device: text(&row["device"]), payload: row["payload"].clone() }).collect()
}

/// What a row says of itself: device, port, counter, payload in base64 or hex, time, and its gateways as (RSSI, SNR).
struct Says {
    eui: String,
    port: Option<u64>,
    counter: u64,
    payload: Vec<u8>,
    time: Timestamp,
    gateways: Vec<(f64, f64)>,
}

fn base64_or_hex(text: &str, hexadecimal: bool) -> Vec<u8> {
    if hexadecimal { crate::codec::examples::unhex(text).unwrap() } else { BASE64.decode(text).unwrap() }
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn says(row: &Row) -> Says {
    let p = &row.payload;
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let pair = |g: &Value, snr: &str| (g["rssi"].as_f64().unwrap(), g[snr].as_f64().unwrap());
    let list = |v: &Value| v.as_array().cloned().unwrap_or_default();
    if let Some(up) = p.get("uplink_message") {
        Says {
            eui: text(&p["end_device_ids"]["dev_eui"]),
            port: up["f_port"].as_u64(),
            counter: up["f_cnt"].as_u64().unwrap_or(0),
            payload: base64_or_hex(&text(&up["frm_payload"]), false),
            time: at(&text(&up["received_at"])),
            gateways: list(&up["rx_metadata"]).iter().map(|g| pair(g, "snr")).collect(),
        }
    } else if let Some(up) = p.get("DevEUI_uplink") {
        Says {
            eui: text(&up["DevEUI"]),
            port: up["FPort"].as_u64(),
            counter: up["FCntUp"].as_u64().unwrap(),
            payload: base64_or_hex(&text(&up["payload_hex"]), true),
            time: at(&text(&up["Time"])),
            gateways: vec![(up["LrrRSSI"].as_f64().unwrap(), up["LrrSNR"].as_f64().unwrap())],
        }
    } else if row.lns == "LORIOT" {
        let all = list(&p["gws"]);
        Says {
            eui: text(&p["EUI"]),
            port: p["port"].as_u64(),
            counter: p["fcnt"].as_u64().unwrap(),
            payload: base64_or_hex(&text(&p["data"]), true),
            time: Timestamp(p["ts"].as_i64().unwrap() * 1_000),
            gateways: if all.is_empty() { vec![pair(p, "snr")] } else { all.iter().map(|g| pair(g, "snr")).collect() },
        }
    } else if let Some(info) = p.get("deviceInfo") {
        Says {
            eui: text(&info["devEui"]),
            port: p["fPort"].as_u64(),
            counter: p["fCnt"].as_u64().unwrap_or(0),
            payload: base64_or_hex(&text(&p["data"]), false),
            time: at(&text(&p["time"])),
            gateways: list(&p["rxInfo"]).iter().map(|g| pair(g, "snr")).collect(),
        }
    } else {
        let eui = text(&p["devEUI"]);
        // One sender of the rows writes the date without its second dash.
        let time = p["time"].as_str().or(p["rxInfo"][0]["time"].as_str()).unwrap().replace("2020-0327", "2020-03-27");
        Says {
            eui: if eui.len() == 16 { eui } else { hex(&BASE64.decode(eui).unwrap()) },
            port: p["fPort"].as_u64(),
            counter: p["fCnt"].as_u64().unwrap(),
            payload: base64_or_hex(&text(&p["data"]), false),
            time: at(&time),
            gateways: list(&p["rxInfo"]).iter().map(|g| pair(g, "loRaSNR")).collect(),
        }
    }
}

/// The format that reads one server only.
fn format_of(row: &Row) -> &'static str {
    match row.lns.as_str() {
        "LORIOT" => "loriot",
        "ThingPark" | "ThingParkEnterprise" => "thingpark",
        "ThingsStackCommunity" | "ThingsStackIndustries" => "tts_v3",
        _ if row.payload.get("deviceInfo").is_some() => "chirpstack_v4",
        _ => "chirpstack_v3",
    }
}

#[test]
fn every_uplink_says_what_its_row_says() {
    let rows = rows();
    let (mut n, mut n_status, mut wrong) = (0, 0, Vec::new());
    for row in &rows {
        let payload = row.payload.to_string();
        let whose = format!("{} {}", row.lns, row.device);
        let document = match translate("lorawan", "webhook", payload.as_bytes()) {
            Ok(Some(document)) => document,
            other => {
                wrong.push(format!("{whose}: {other:?}: {}", &payload[..payload.len().min(300)]));
                continue;
            }
        };
        assert_eq!(translate(format_of(row), "webhook", payload.as_bytes()).unwrap().as_ref(), Some(&document), "{whose}");
        if document["event"] == "status" {
            n_status += 1;
            continue;
        }
        let says = says(row);
        let best = says.gateways.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1).then(a.0.total_cmp(&b.0))).unwrap();
        assert_eq!(document["device"]["eui"], says.eui.to_ascii_lowercase(), "{whose}");
        assert_eq!((document["f_port"].as_u64(), document["f_cnt"].as_u64()), (says.port, Some(says.counter)), "{whose}");
        assert_eq!(document["data"], hex(&says.payload), "{whose}");
        assert_eq!(at(document["time"].as_str().unwrap()), says.time, "{whose}");
        let gateway = &document["gateway"];
        assert_eq!((gateway["rssi"].as_f64().unwrap(), gateway["snr"].as_f64().unwrap()), best, "{whose}");
        assert_eq!(document["gateways"].as_array().unwrap().len(), says.gateways.len(), "{whose}");
        n += 1;
    }
    assert!(wrong.is_empty(), "{} rows:\n{}", wrong.len(), wrong.join("\n"));
    println!("{n} uplinks and {n_status} status events of {} rows", rows.len());
    assert!(rows.is_empty() || n + n_status == 1_186);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn damaged_envelopes_never_panic(
        row in any::<prop::sample::Index>(), cuts in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        static ROWS: std::sync::OnceLock<Vec<String>> = std::sync::OnceLock::new();
        let rows = ROWS.get_or_init(|| rows().into_iter().map(|r| r.payload.to_string()).collect());
        if rows.is_empty() {
            return Ok(());
        }
        let mut bytes = row.get(rows).clone().into_bytes();
        for (at, byte) in cuts {
            let n = bytes.len();
            bytes[at.index(n)] = byte;
        }
        drop(translate("lorawan", "webhook", &bytes));
    }
}
