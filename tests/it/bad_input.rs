//! What gateways really send: each message ends in a table, in quarantine with a reason, or in the ledger; nothing panics.

use anyhow::{Result, ensure};
use tests::{
    Portico,
    mqtt::{Numbered, Publisher},
    portico::PASSWORD,
};

#[test]
fn every_bad_message_has_a_reason_that_its_owner_understands() -> Result<()> {
    let far_future = 4_102_444_800u64;
    let deep = "[".repeat(200) + &"]".repeat(200);
    let cases: Vec<(&str, String, &str)> = vec![
        ("portico/bologna/noise/a", "not json at all".into(), "not_json"),
        ("portico/bologna/noise/a", r#"{"observed_at":1760000000,"laeq":NaN}"#.into(), "not_finite"),
        ("portico/bologna/noise/a", r#"{"observed_at":1760000000,"laeq":1e999}"#.into(), "out_of_range"),
        ("portico/bologna/noise/a", r#"{"observed_at":1760000000,"laeq":500}"#.into(), "out_of_range"),
        ("portico/bologna/noise/a", r#"{"observed_at":1760000000,"laeq":"loud"}"#.into(), "wrong_type"),
        ("portico/bologna/noise/a", format!(r#"{{"observed_at":{far_future},"laeq":50}}"#), "future"),
        ("portico/bologna/noise/a", r#"{"observed_at":1760000000,"laeq":50,"colour":1}"#.into(), "unknown_field"),
        ("portico/bologna/traffic_count/a", r#"{"observed_at":1760000000,"speed":50}"#.into(), "missing_field"),
        ("portico/bologna/noise/a", format!(r#"{{"observed_at":1760000000,"laeq":{deep}}}"#), "wrong_type"),
        ("portico/bologna/nothing/a", r#"{"observed_at":1760000000}"#.into(), "no_contract"),
        ("portico/bologna/noise/a", r#"[1,2,3]"#.into(), "not_an_object"),
        ("portico/bologna/noise/a", r#"{"observed_at":"yesterday","laeq":50}"#.into(), "bad_time"),
        ("portico/bologna/noise/a", r#"{"observed_at":1760000000,"laeq":50,"lon":999,"lat":44}"#.into(), "bad_position"),
    ];
    let dir = tempfile::tempdir()?;
    let mut portico = Portico::create(dir.path())?;
    portico.start()?;
    let mut publisher = Publisher::connect(&portico.mqtt, "careless", "gate", PASSWORD)?;
    for (id, (topic, payload, _)) in cases.iter().enumerate() {
        publisher.send(&[Numbered { id: id as u64, topic: (*topic).into(), payload: payload.clone() }])?;
        publisher.settle(0)?;
    }
    ensure!(publisher.acked.len() == cases.len(), "{} of {} acknowledged", publisher.acked.len(), cases.len());
    let rows = portico.sql("SELECT reason, message FROM ops.quarantine ORDER BY position")?;
    let reasons: Vec<String> =
        rows.iter().map(|r| r.get(0).or_else(|| r.get("reason")).and_then(|v| v.as_str()).unwrap_or_default().to_owned()).collect();
    let expected: Vec<&str> = cases.iter().map(|c| c.2).collect();
    ensure!(reasons == expected, "expected {expected:?}\n     got {reasons:?}");
    let open =
        portico.number("SELECT CAST(sum(received - stored - duplicate - late - quarantined - dropped) AS BIGINT) FROM ops.ledger")?;
    ensure!(open == 0, "the ledger is off by {open}");
    Ok(())
}

#[test]
fn sql_that_is_wrong_says_where_and_what_was_meant() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut portico = Portico::create(dir.path())?;
    portico.start()?;
    for (sql, says) in [
        ("SELECT * FROM bologna.nois", "noise"),
        ("SELECT laq FROM bologna.noise", "laeq"),
        ("SELEC 1", "line"),
        ("DROP TABLE bologna.noise", "read"),
        ("SELECT count(*) FROM bologna.noise VERSION AS OF 99", "exist"),
    ] {
        let answer = portico.post("/api/sql", "text/plain", sql.as_bytes())?;
        ensure!((400..500).contains(&answer.status), "{sql}: {} {}", answer.status, answer.text());
        ensure!(answer.text().to_lowercase().contains(says), "{sql}: {}", answer.text());
    }
    Ok(())
}
