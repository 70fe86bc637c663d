//! One certificate, four doors: Mosquitto's client, psql, ADBC and Python's own HTTP client check it.

use anyhow::{Context as _, Result, ensure};
use std::{path::Path, process::Command};
use tests::{Portico, peers, portico::PASSWORD};

const HTTPS: &str = r#"
import ssl, sys, urllib.request
context = ssl.create_default_context(cafile=sys.argv[2])
print(urllib.request.urlopen(f"https://localhost:{sys.argv[1]}/healthz", context=context, timeout=30).status)
try:
    urllib.request.urlopen(f"https://localhost:{sys.argv[1]}/healthz", timeout=30)
    print("trusted by nobody, and yet accepted")
except urllib.error.URLError as e:
    print("refused" if isinstance(e.reason, ssl.SSLCertVerificationError) else e)
"#;

const ADBC: &str = r#"
import sys
from adbc_driver_flightsql import DatabaseOptions, dbapi
place, certificate, password = sys.argv[1:4]
options = {"username": "anna", "password": password, DatabaseOptions.TLS_ROOT_CERTS.value: open(certificate).read()}
with dbapi.connect(place, db_kwargs=options, autocommit=True) as c, c.cursor() as q:
    q.execute("SELECT level FROM water_level")
    print(q.fetchone()[0])
"#;

fn certificate(dir: &Path) -> Result<()> {
    let mut make = Command::new("openssl");
    make.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:TRUE"])
        .arg("-keyout")
        .arg(dir.join("key.pem"))
        .arg("-out")
        .arg(dir.join("cert.pem"));
    peers::run(&mut make).map(drop)
}

fn port(place: &str) -> Result<&str> {
    place.rsplit_once(':').map(|p| p.1).context("host:port")
}

#[test]
fn every_door_speaks_tls() -> Result<()> {
    let (Some(_), Some(mosquitto_pub), Some(psql)) = (peers::program("openssl"), peers::program("mosquitto_pub"), peers::program("psql"))
    else {
        return Ok(());
    };
    let dir = tempfile::tempdir()?;
    certificate(dir.path())?;
    let (cert, key) = (dir.path().join("cert.pem").display().to_string(), dir.path().join("key.pem").display().to_string());
    let mut portico = Portico::create(dir.path())?;
    portico.set("PORTICO_TLS_CERTIFICATE", &cert);
    portico.set("PORTICO_TLS_KEY", &key);
    portico.start()?;

    let mut publish = Command::new(mosquitto_pub);
    publish.args(["-h", "localhost", "-p", port(&portico.mqtt)?, "--cafile", &cert, "-u", "gate", "-P", PASSWORD, "-q", "1"]).args([
        "-t",
        "portico/bologna/water_level/m1",
        "-m",
        r#"{"observed_at":1760000000,"level":2.5}"#,
    ]);
    peers::run(&mut publish)?;

    let mut ask = Command::new(psql);
    ask.args(["-X", "-A", "-t", "-c", "SELECT level FROM water_level"])
        .arg(format!("host=localhost port={} user=anna dbname=portico sslmode=verify-full sslrootcert={cert}", port(&portico.postgres)?))
        .env("PGPASSWORD", PASSWORD);
    let level = peers::run(&mut ask)?;
    ensure!(level.trim() == "2.5", "psql over TLS reads '{level}'");

    if let Some(said) = peers::python(ADBC, &[&format!("grpc+tls://localhost:{}", port(&portico.flight)?), &cert, PASSWORD])? {
        ensure!(said.trim() == "2.5", "ADBC over TLS reads '{said}'");
    }

    if let Some(said) = peers::python(HTTPS, &[port(&portico.http)?, &cert])? {
        ensure!(said.split_whitespace().collect::<Vec<_>>() == ["200", "refused"], "{said}");
    }
    Ok(())
}
