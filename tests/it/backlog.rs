//! A gateway that was cut off for more than an hour comes back with what it kept: instants are those of the measurements, the ledger
//! balances and counts what is late, the twin shows the newest, and what was known meanwhile can still be asked.

use anyhow::{Context as _, Result, ensure};
use lrwn::{AES128Key, DevAddr, FCtrl, FHDR, FRMPayload, FType, MACCommandSet, MACPayload, MACVersion, MHDR, Major, Payload, PhyPayload};
use rand::{SeedableRng as _, seq::SliceRandom as _};
use schemas::{Clock as _, SystemClock, Timestamp};
use serde_json::{Value, json};
use std::{
    net::UdpSocket,
    time::{Duration, Instant},
};
use tests::{
    Portico,
    http::base64,
    mqtt::{Numbered, Publisher},
    portico::PASSWORD,
};

const FORWARDED: &str = "0303030303030303";
const SERVED: &str = "0404040404040404";
/// Ages of the measurements at delivery, minutes: one before the gateway was lost, then what it kept.
const BEFORE: i64 = 90;
const KEPT: [i64; 16] = [77, 72, 67, 62, 57, 52, 47, 42, 37, 32, 27, 22, 17, 12, 7, 2];
/// Older than the hour that the contract of the weather calls late.
const LATE: i64 = 4;
const MINUTE_US: i64 = 60_000_000;
const WAIT_MAX: Duration = Duration::from_secs(60);

const MAPPINGS: &str = "
[[mapping]]
name = 'own gateways'
topic = 'lorawan/{eui}/up'
codec = 'cayenne_lpp'
product = 'weather'
entity = '{eui}'
observed_at = '/time'
unknown_fields = 'ignore'
[mapping.fields]
temperature = '/object/temperature_1'

[[mapping]]
name = 'network server'
topic = 'application/{application}/device/{eui}/event/{event}'
format = 'lorawan'
when = { '/event' = 'up' }
codec = 'cayenne_lpp'
product = 'weather'
entity = '{eui}'
observed_at = '/time'
unknown_fields = 'ignore'
[mapping.fields]
temperature = '/object/temperature_1'
";

/// Temperature of channel 1, in tenths of a degree, as Cayenne LPP writes it.
fn lpp(tenths: i16) -> Vec<u8> {
    let mut out = vec![1, 0x67];
    out.extend(tenths.to_be_bytes());
    out
}

/// A frame as the device signed it when it measured.
fn phy(f_cnt: u32, tenths: i16) -> Result<Vec<u8>> {
    let key = |b| AES128Key::from_bytes([b; 16]);
    let fhdr = FHDR { devaddr: DevAddr::from_be_bytes([1, 2, 3, 4]), f_ctrl: FCtrl::default(), f_cnt, f_opts: MACCommandSet::new(vec![]) };
    let mut phy = PhyPayload {
        mhdr: MHDR { f_type: FType::UnconfirmedDataUp, major: Major::LoRaWANR1 },
        payload: Payload::MACPayload(MACPayload { fhdr, f_port: Some(2), frm_payload: Some(FRMPayload::Raw(lpp(tenths))) }),
        mic: None,
    };
    phy.encrypt_frm_payload(&key(0x22))?;
    phy.set_uplink_data_mic(MACVersion::LoRaWAN1_0, 0, 0, 0, &key(0x11), &key(0x11))?;
    Ok(phy.to_vec()?)
}

/// A measurement: age in minutes at `now`, which is also what it measured.
fn measured(now: Timestamp, age: i64) -> (Timestamp, i16) {
    (Timestamp(now.0 - age * MINUTE_US), i16::try_from(age).unwrap_or(0))
}

/// Sends PUSH_DATA and waits for its acknowledgement, as a forwarder does that keeps what was not taken.
fn forward(socket: &UdpSocket, place: &str, f_cnt: u32, (at, tenths): (Timestamp, i16)) -> Result<()> {
    let phy = phy(f_cnt, tenths)?;
    let rxpk = json!({ "rxpk": [{ "time": at.to_rfc3339(), "tmst": f_cnt, "freq": 868.1, "stat": 1, "modu": "LORA", "datr": "SF7BW125",
        "rssi": -60, "lsnr": 9.5, "size": phy.len(), "data": base64(&phy) }] });
    let mut packet = vec![2, 0, f_cnt as u8, 0, 0xaa, 0x55, 0x5a, 0, 0, 0, 1, 1];
    packet.extend(rxpk.to_string().bytes());
    let mut answer = [0; 64];
    for _ in 0..20 {
        socket.send_to(&packet, place)?;
        if matches!(socket.recv(&mut answer), Ok(4) if answer[..4] == [2, 0, f_cnt as u8, 1]) {
            return Ok(());
        }
    }
    anyhow::bail!("frame {f_cnt} was not acknowledged")
}

fn event(f_cnt: u32, (at, tenths): (Timestamp, i16)) -> Numbered {
    let payload = json!({ "deduplicationId": format!("id-{f_cnt}"), "time": at.to_rfc3339(), "devAddr": "01020305", "fCnt": f_cnt, "fPort": 2,
        "deviceInfo": { "devEui": SERVED, "deviceName": "mast" }, "data": base64(&lpp(tenths)),
        "rxInfo": [{ "gatewayId": "aa555a0000000102", "gwTime": at.to_rfc3339(), "rssi": -60, "snr": 9.5 }] });
    Numbered { id: u64::from(f_cnt), topic: format!("application/1/device/{SERVED}/event/up"), payload: payload.to_string() }
}

fn entity(portico: &Portico, eui: &str, more: &str) -> Result<Value> {
    let answer = portico.get(&format!("/api/twin/entities/urn:ngsi-ld:{}:bologna:{eui}?product=weather{more}", entity_type()?))?;
    ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
    Ok(serde_json::from_slice(&answer.body)?)
}

fn entity_type() -> Result<String> {
    let contracts = schemas::Contracts::builtin()?;
    Ok(contracts.get(&schemas::ProductId::new("weather")?).context("weather")?.entity_type.clone())
}

fn wait_for(portico: &Portico, rows: i64) -> Result<()> {
    let start = Instant::now();
    while portico.number("SELECT count(*) FROM weather")? < rows {
        ensure!(start.elapsed() < WAIT_MAX, "{rows} rows did not come:\n{}", portico.log_tail());
        std::thread::park_timeout(Duration::from_millis(50));
    }
    Ok(())
}

fn start(dir: &std::path::Path) -> Result<Portico> {
    let mut portico = Portico::create(dir)?;
    let password = dir.join("password").display().to_string();
    portico.command(&[
        "user",
        "add",
        "chirp",
        "--role",
        "gateway",
        "--tenants",
        "bologna",
        "--publish",
        "application/#",
        "--password-file",
        &password,
    ])?;
    std::fs::create_dir(dir.join("mappings"))?;
    std::fs::write(dir.join("mappings/gateways.toml"), MAPPINGS)?;
    let devices = dir.join("devices.toml");
    let (network, application) = ("11".repeat(16), "22".repeat(16));
    std::fs::write(
        &devices,
        format!("[[device]]\ndev_eui='{FORWARDED}'\ndev_addr='01020304'\nnwk_s_key='{network}'\napp_s_key='{application}'\n"),
    )?;
    portico.set("PORTICO_DATA_MAPPINGS", &dir.join("mappings").display().to_string());
    portico.set("PORTICO_LORAWAN_DEVICES", &devices.display().to_string());
    portico.start()?;
    Ok(portico)
}

#[test]
fn a_backlog_has_its_own_instants_and_is_shown_as_late() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut portico = start(dir.path())?;
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut server = Publisher::connect(&portico.mqtt, "chirpstack", "chirp", PASSWORD)?;
    let now = SystemClock.now();

    forward(&socket, &portico.lorawan, 1, measured(now, BEFORE))?;
    server.send(&[event(1, measured(now, BEFORE))])?;
    server.settle(0)?;
    wait_for(&portico, 2)?;
    for eui in [FORWARDED, SERVED] {
        ensure!(entity(&portico, eui, "")?["freshness"] == "overdue", "{eui} was silent for {BEFORE} minutes");
    }
    let meanwhile = SystemClock.now();

    for (i, age) in KEPT.into_iter().enumerate() {
        forward(&socket, &portico.lorawan, 2 + i as u32, measured(now, age))?;
    }
    // A network server's queue comes in any order, and what was not acknowledged comes again.
    let mut queue: Vec<Numbered> = KEPT.into_iter().enumerate().map(|(i, age)| event(2 + i as u32, measured(now, age))).collect();
    queue.shuffle(&mut rand_chacha::ChaCha8Rng::seed_from_u64(7));
    for _ in 0..2 {
        server.send(&queue)?;
        server.settle(0)?;
    }
    wait_for(&portico, 2 + 2 * KEPT.len() as i64)?;
    check(&portico, now, meanwhile)?;
    portico.stop()?;
    portico.start()?;
    check(&portico, now, meanwhile)?;
    portico.stop()?;
    ensure!(portico.command(&["twin", "verify"])?.contains("twin verified"), "TW-1");
    Ok(())
}

/// Same before and after a restart.
fn check(portico: &Portico, now: Timestamp, meanwhile: Timestamp) -> Result<()> {
    let mut expected: Vec<Value> = std::iter::once(BEFORE)
        .chain(KEPT)
        .map(|age| measured(now, age))
        .map(|(at, tenths)| json!([at.0, f64::from(tenths) / 10.0]))
        .collect();
    expected.sort_by_key(|row| row[0].as_i64());
    for eui in [FORWARDED, SERVED] {
        let sql = format!(
            "SELECT CAST(observed_at AS BIGINT) AS at, temperature FROM weather WHERE entity_id LIKE '%:{eui}' ORDER BY observed_at"
        );
        let rows = portico.sql(&sql)?.into_iter().map(|r| if r.is_array() { r } else { json!([r["at"], r["temperature"]]) });
        let rows: Vec<Value> = rows.collect();
        ensure!(rows == expected, "{eui}: {rows:?}");
        let received = format!("SELECT count(*) FROM weather WHERE entity_id LIKE '%:{eui}' AND received_at >= '{now}'");
        ensure!(portico.number(&received)? == expected.len() as i64, "{eui}: received when it came, not when it was measured");

        let newest = entity(portico, eui, "")?;
        let (at, tenths) = measured(now, 2);
        ensure!(newest["observed_at"] == at.to_rfc3339().as_str() && newest["freshness"] == "fresh", "{eui}: {newest}");
        let value = newest["attributes"].as_array().into_iter().flatten().find(|a| a["name"] == "temperature").cloned();
        ensure!(value.context("a temperature")?["value"] == json!(f64::from(tenths) / 10.0), "{eui}: {newest}");
        // The map of an instant of the outage has the measurement today, and had it not while the gateway was lost.
        let then = Timestamp(now.0 - 40 * MINUTE_US);
        let known = entity(portico, eui, &format!("&as_of={then}"))?;
        ensure!(known["observed_at"] == measured(now, 42).0.to_rfc3339().as_str(), "{eui}: {known}");
        let unknown = entity(portico, eui, &format!("&as_of={then}&known_as_on={meanwhile}"))?;
        ensure!(unknown["observed_at"] == measured(now, BEFORE).0.to_rfc3339().as_str(), "{eui}: {unknown}");
    }
    let all = 1 + KEPT.len() as i64;
    for (source, duplicate) in [("lorawan", 0), ("mqtt/chirp", KEPT.len() as i64)] {
        let line =
            |column: &str| portico.number(&format!("SELECT CAST(sum({column}) AS BIGINT) FROM ops.ledger WHERE source = '{source}'"));
        let (late, stored) = (line("late")?, line("stored")?);
        ensure!((late, stored + late) == (1 + LATE, all), "{source}: {stored} stored, {late} late");
        ensure!(line("duplicate")? == duplicate, "{source}: {} duplicates", line("duplicate")?);
        ensure!(line("received - stored - duplicate - late - quarantined - dropped")? == 0, "{source}: the ledger does not balance");
    }
    Ok(())
}
