//! A full disk: nothing is acknowledged that is not safe, and it goes on when there is space again.

use anyhow::{Result, ensure};
use std::{path::Path, process::Command};
use tests::{
    Portico,
    mqtt::{Numbered, Publisher},
    portico::PASSWORD,
};

/// A small file system in memory, gone at the end.
struct Small<'a>(&'a Path);

impl<'a> Small<'a> {
    /// `None` where mounting is not allowed; CI runs as root, where it is.
    fn mount(at: &'a Path) -> Option<Self> {
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=24m", "tmpfs"]).arg(at).status().is_ok_and(|s| s.success());
        if !mounted {
            eprintln!("skipped: a tmpfs cannot be mounted here");
        }
        mounted.then_some(Self(at))
    }
}

impl Drop for Small<'_> {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(self.0).status().ok();
    }
}

fn message(id: u64) -> Numbered {
    Numbered {
        id,
        topic: format!("portico/bologna/noise/d{}", id % 10),
        payload: format!(r#"{{"observed_at":{},"period":"PT1S","laeq":{}}}"#, 1_760_000_000 + id / 10, 40 + id % 10),
    }
}

#[test]
fn a_full_disk_acknowledges_nothing_and_recovers() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let Some(_small) = Small::mount(dir.path()) else { return Ok(()) };
    let mut portico = Portico::create(dir.path())?;
    portico.set("PORTICO_LOG_LEVEL", "error");
    portico.start()?;
    let ballast = dir.path().join("ballast");
    let mut publisher = Publisher::connect(&portico.mqtt, "full", "gate", PASSWORD)?;
    publisher.send(&(0..1_000).map(message).collect::<Vec<_>>())?;
    publisher.settle(0)?;
    // Whatever is left is taken by somebody else.
    let filled = Command::new("dd").args(["if=/dev/zero", "bs=64k"]).arg(format!("of={}", ballast.display())).output()?;
    ensure!(!filled.status.success(), "the disk did not fill");
    let refused = publisher.send(&(1_000..40_000).map(message).collect::<Vec<_>>()).and_then(|()| publisher.settle(0));
    ensure!(refused.is_err(), "39,000 messages were acknowledged on a full disk");
    let acked = publisher.acked.clone();
    std::fs::remove_file(&ballast)?;
    let mut again = Publisher::connect(&portico.mqtt, "full", "gate", PASSWORD)?;
    for start in (0..10_000u64).step_by(1_000) {
        again.send(&(start..start + 1_000).map(message).collect::<Vec<_>>())?;
        again.settle(0)?;
    }
    ensure!(
        portico.number("SELECT count(DISTINCT entity_id || observed_at::text) FROM noise")?
            == portico.number("SELECT count(*) FROM noise")?,
        "a message is twice"
    );
    let rows = portico.number("SELECT count(*) FROM noise")?;
    let wanted = acked.iter().filter(|id| **id >= 10_000).count() as i64 + 10_000;
    ensure!(rows >= wanted, "{rows} rows, at least {wanted} were acknowledged");
    let open =
        portico.number("SELECT CAST(sum(received - stored - duplicate - late - quarantined - dropped) AS BIGINT) FROM ops.ledger")?;
    ensure!(open == 0, "the ledger is off by {open}");
    Ok(())
}
