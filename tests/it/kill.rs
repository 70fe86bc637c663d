//! `kill -9` at random moments under load (ING-1, ING-2, ING-3, TW-1).

use anyhow::{Result, ensure};
use rand::{Rng as _, SeedableRng as _};
use std::collections::BTreeSet;
use tests::{
    Portico,
    mqtt::{Numbered, Publisher},
    portico::PASSWORD,
};

/// How often the program is killed; the proof of the issue runs with KILLS=100.
fn kills() -> usize {
    std::env::var("KILLS").ok().and_then(|t| t.parse().ok()).unwrap_or(6)
}

fn message(id: u64) -> Numbered {
    // Every number is one observation: sensor and instant follow from it, and so does the value.
    let (sensor, second) = (id % 50, id / 50);
    let at = 1_760_000_000 + second;
    Numbered {
        id,
        topic: format!("portico/bologna/noise/k{sensor}"),
        payload: format!(r#"{{"observed_at":{at},"period":"PT1S","laeq":{}}}"#, 40 + id % 50),
    }
}

/// Publishes until the program is killed under it; what was not acknowledged is sent again next time.
fn round(portico: &mut Portico, pending: &mut BTreeSet<u64>, acked: &mut BTreeSet<u64>, next: &mut u64, groups: usize) -> Result<()> {
    let mut publisher = Publisher::connect(&portico.mqtt, "killer", "gate", PASSWORD)?;
    let again: Vec<u64> = pending.iter().copied().collect();
    for chunk in again.chunks(200) {
        publisher.send(&chunk.iter().map(|id| message(*id)).collect::<Vec<_>>())?;
        publisher.settle(100)?;
    }
    for _ in 0..groups {
        let ids: Vec<u64> = (*next..*next + 200).collect();
        *next += 200;
        pending.extend(&ids);
        publisher.send(&ids.iter().map(|id| message(*id)).collect::<Vec<_>>())?;
        publisher.settle(150)?;
    }
    portico.kill()?;
    // Acknowledgements that were on the wire when the program died count too.
    publisher.settle(0).ok();
    for id in &publisher.acked {
        pending.remove(id);
        acked.insert(*id);
    }
    Ok(())
}

#[test]
fn no_acknowledged_message_is_lost_and_none_is_twice() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut portico = Portico::create(dir.path())?;
    portico.set("PORTICO_LAKE_FLUSH_SECS", "1");
    let seed = rand::random();
    eprintln!("seed {seed}");
    let mut chance = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let (mut pending, mut acked, mut next) = (BTreeSet::new(), BTreeSet::new(), 0);
    for _ in 0..kills() {
        portico.start()?;
        round(&mut portico, &mut pending, &mut acked, &mut next, chance.random_range(1..120))?;
    }
    portico.start()?;
    let mut publisher = Publisher::connect(&portico.mqtt, "killer", "gate", PASSWORD)?;
    for chunk in pending.iter().copied().collect::<Vec<_>>().chunks(1_000) {
        publisher.send(&chunk.iter().map(|id| message(*id)).collect::<Vec<_>>())?;
        publisher.settle(0)?;
    }
    acked.extend(&publisher.acked);
    ensure!(acked.len() as u64 == next, "{} acknowledged of {next}", acked.len());

    let rows = portico.number("SELECT count(*) FROM bologna.noise")?;
    let distinct = portico.number("SELECT count(DISTINCT entity_id || observed_at::text) FROM bologna.noise")?;
    ensure!(rows as u64 == next && distinct as u64 == next, "{next} sent, {rows} rows, {distinct} of them distinct");
    let sum = portico.number("SELECT CAST(sum(laeq) AS BIGINT) FROM bologna.noise")?;
    ensure!(sum as u64 == (0..next).map(|id| 40 + id % 50).sum::<u64>(), "the sum of the values is {sum}");
    let open =
        portico.number("SELECT CAST(sum(received - stored - duplicate - late - quarantined - dropped) AS BIGINT) FROM ops.ledger")?;
    ensure!(open == 0, "the ledger is off by {open}");
    let kept = portico.number("SELECT CAST(sum(stored + late) AS BIGINT) FROM ops.ledger WHERE product = 'noise'")?;
    ensure!(kept as u64 == next, "the ledger says {kept} rows, there are {next}");
    portico.stop()?;
    portico.command(&["twin", "verify"])?;
    Ok(())
}
