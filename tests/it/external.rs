//! A real Mosquitto between the gateways and Portico, and Portico killed under it.

use anyhow::{Context as _, Result, ensure};
use rand::{Rng as _, SeedableRng as _};
use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tests::{
    Portico,
    mqtt::{Numbered, Publisher},
    peers,
};

/// Longest wait for Portico to catch up with what the broker keeps for it.
const CATCH_UP_MAX: Duration = Duration::from_secs(60);

struct Mosquitto {
    child: Child,
    place: String,
}

impl Mosquitto {
    fn start(dir: &std::path::Path) -> Result<Option<Self>> {
        let Some(program) = peers::program("mosquitto") else { return Ok(None) };
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let conf = dir.join("mosquitto.conf");
        std::fs::write(
            &conf,
            format!("listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nmax_queued_messages 0\nmax_inflight_messages 0\n"),
        )?;
        let child = Command::new(program).arg("-c").arg(&conf).stderr(Stdio::null()).spawn()?;
        let place = format!("127.0.0.1:{port}");
        let start = Instant::now();
        while std::net::TcpStream::connect(&place).is_err() {
            ensure!(start.elapsed() < CATCH_UP_MAX, "mosquitto does not listen");
            std::thread::park_timeout(Duration::from_millis(20));
        }
        Ok(Some(Self { child, place }))
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn message(id: u64) -> Numbered {
    Numbered {
        id,
        topic: format!("portico/bologna/water_level/m{}", id % 20),
        payload: format!(r#"{{"observed_at":{},"level":{}}}"#, 1_760_000_000 + id / 20, id % 9),
    }
}

#[test]
fn nothing_that_mosquitto_took_is_lost_when_portico_is_killed() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let Some(mosquitto) = Mosquitto::start(dir.path())? else { return Ok(()) };
    let mut portico = Portico::create(dir.path())?;
    let file = dir.path().join("portico.toml");
    std::fs::write(
        &file,
        format!(
            "[[brokers]]\nurl = 'mqtt://{}'\nclient_id = 'portico'\ntopics = ['portico/#']\ntenant = 'bologna'\nsource = 'mosquitto'\n",
            mosquitto.place
        ),
    )?;
    portico.set("PORTICO_CONFIG", &file.display().to_string());
    portico.set("PORTICO_LAKE_FLUSH_SECS", "1");
    let seed = rand::random();
    eprintln!("seed {seed}");
    let mut chance = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    // The session must exist before anything is published: a broker keeps messages only for those it knows.
    portico.start()?;
    wait(&portico, "the subscription", || Ok(portico_follows(&portico)))?;
    let mut next = 0u64;
    for _ in 0..4 {
        let mut publisher = Publisher::connect(&mosquitto.place, "gateway", "any", "any")?;
        for _ in 0..chance.random_range(5..60) {
            publisher.send(&(next..next + 100).map(message).collect::<Vec<_>>())?;
            publisher.settle(0)?;
            next += 100;
        }
        portico.kill()?;
        portico.start()?;
    }
    let count = |table: &str| portico.number(&format!("SELECT count(*) FROM {table}"));
    wait(&portico, "every message", || Ok(count("bologna.water_level")? as u64 >= next))?;
    ensure!(count("bologna.water_level")? as u64 == next, "{next} sent, {} rows", count("bologna.water_level")?);
    let sum = portico.number("SELECT CAST(sum(level) AS BIGINT) FROM bologna.water_level")?;
    ensure!(sum as u64 == (0..next).map(|id| id % 9).sum::<u64>(), "the sum is {sum}");
    let open =
        portico.number("SELECT CAST(sum(received - stored - duplicate - late - quarantined - dropped) AS BIGINT) FROM ops.ledger")?;
    ensure!(open == 0, "the ledger is off by {open}");
    Ok(())
}

fn portico_follows(portico: &Portico) -> bool {
    std::fs::read_to_string(portico.dir.join("portico.log")).is_ok_and(|log| log.contains("following broker"))
}

fn wait(portico: &Portico, what: &str, done: impl Fn() -> Result<bool>) -> Result<()> {
    let start = Instant::now();
    while !done().context(what.to_owned())? {
        ensure!(start.elapsed() < CATCH_UP_MAX, "{what} did not come:\n{}", portico.log_tail());
        std::thread::park_timeout(Duration::from_millis(50));
    }
    Ok(())
}
