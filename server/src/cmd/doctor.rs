//! `portico doctor`: checks the set-up, and says what to do about each fault.

use crate::{access::Users, config::Config, node, out::say, tls};
use anyhow::{Result, ensure};
use schemas::{Clock as _, SystemClock};
use std::{net::TcpListener, sync::Arc};

/// One check: what was looked at, and the fault with its remedy.
struct Finding {
    what: &'static str,
    fault: Option<String>,
}

fn finding(what: &'static str, result: Result<()>) -> Finding {
    Finding { what, fault: result.err().map(|e| format!("{e:#}")) }
}

pub async fn run(config: &Config) -> Result<()> {
    let mut all = vec![
        finding("clock", clock()),
        finding("data directory is writable", writable(config)),
        finding("users", users(config)),
        finding("TLS", certificates(config)),
        finding("contracts and mappings", node::contracts(config).map(|_| ())),
    ];
    for (setting, address) in [
        ("http.bind", config.http.bind),
        ("mqtt.bind", config.mqtt.bind),
        ("postgres.bind", config.postgres.bind),
        ("flight.bind", config.flight.bind),
    ] {
        let free = TcpListener::bind(address)
            .map(|_| ())
            .map_err(|e| anyhow::anyhow!("{setting} {address}: {e}; stop the other program or set another port"));
        all.push(finding("ports", free));
    }
    if config.lorawan.enabled || config.lorawan.station_enabled {
        all.push(finding("LoRaWAN devices", lorawan_devices(config)));
    }
    all.push(finding("log and tables", tables(config).await));
    for f in &all {
        match &f.fault {
            None => say(&format!("ok     {}", f.what)),
            Some(fault) => say(&format!("FAULT  {}: {fault}", f.what)),
        }
    }
    let faults = all.iter().filter(|f| f.fault.is_some()).count();
    ensure!(faults == 0, "{faults} faults");
    Ok(())
}

fn clock() -> Result<()> {
    // 2026-01-01: before Portico existed, so a clock that says less was never set.
    ensure!(
        SystemClock.now().0 > 1_767_225_600_000_000,
        "the machine's clock says {}; set it, or observations of now are refused as future",
        SystemClock.now()
    );
    Ok(())
}

fn writable(config: &Config) -> Result<()> {
    let dir = config.state_dir();
    std::fs::create_dir_all(&dir)?;
    let probe = dir.join("doctor.probe");
    std::fs::write(&probe, b"probe")?;
    Ok(std::fs::remove_file(&probe)?)
}

fn users(config: &Config) -> Result<()> {
    let users = Users::open(&config.state_dir(), Arc::new(SystemClock))?;
    ensure!(!users.is_empty(), "there are none; add one with: portico user add NAME --role admin");
    Ok(())
}

fn certificates(config: &Config) -> Result<()> {
    match config.tls_files() {
        Some((certificate, key)) => tls::server_config(certificate, key).map(|_| ()),
        None => {
            let open = [config.http.bind, config.mqtt.bind, config.postgres.bind, config.flight.bind].iter().any(|a| !a.ip().is_loopback());
            ensure!(!open, "a door listens beyond this machine without TLS; set tls.certificate and tls.key, or put a TLS proxy in front");
            Ok(())
        }
    }
}

fn lorawan_devices(config: &Config) -> Result<()> {
    let set = &config.lorawan;
    ensure!(!set.devices.as_os_str().is_empty(), "lorawan.devices is not set, so no frame is trusted; name a file with devices and keys");
    let known = ingest::lorawan::Registry::read(&set.devices)?;
    ensure!(!known.is_empty(), "{} names no device", set.devices.display());
    if set.enabled {
        let rule = |e: std::io::Error| anyhow::anyhow!("lorawan.bind {}: {e}; stop the other program or set another port", set.bind);
        std::net::UdpSocket::bind(set.bind).map_err(rule)?;
    }
    Ok(())
}

async fn tables(config: &Config) -> Result<()> {
    let contracts = node::contracts(config)?;
    let lakehouse = node::open_lakehouse(config, &contracts, Arc::new(SystemClock)).await?;
    Ok(lakehouse.close().await?)
}
