//! What the tests need from the machine, and how it is brought.

use anyhow::{Context as _, Result, bail};
use std::{path::Path, process::Command};

/// Program to look for, Debian package that has it.
const DEBIAN: &[(&str, &str)] = &[
    ("mosquitto", "mosquitto"),
    ("mosquitto_pub", "mosquitto-clients"),
    ("psql", "postgresql-client"),
    ("openssl", "openssl"),
    ("chromium", "chromium"),
    ("node", "nodejs"),
    ("npm", "npm"),
];

/// Python clients, in a virtual environment of their own.
const PYTHON: &[&str] = &[
    "deltalake==1.6.6",
    "duckdb",
    "pyarrow",
    "psycopg[binary]",
    "sqlalchemy",
    "adbc-driver-flightsql",
    "jsonschema",
    "pyyaml",
    "paho-mqtt",
    "moto[server]",
    "eclipse-sumo==1.28.0",
];

/// Installs what is missing; says exactly what when it may not.
pub(crate) fn install(target: &Path) -> Result<()> {
    let missing: Vec<&str> = DEBIAN.iter().filter(|(program, _)| !on_path(program)).map(|d| d.1).collect();
    if !missing.is_empty() {
        if !on_path("apt-get") {
            bail!("the tests need these Debian packages or their like: {}", missing.join(" "));
        }
        let sudo = if is_root() { "" } else { "sudo " };
        shell(&format!(
            "{sudo}apt-get update -qq && {sudo}DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends {}",
            missing.join(" ")
        ))
        .with_context(|| format!("the tests need these Debian packages: {}", missing.join(" ")))?;
    }
    let venv = target.join("test-python");
    let list = PYTHON.iter().map(|p| format!("'{p}'")).collect::<Vec<_>>().join(" ");
    let stamp = venv.join("installed");
    if std::fs::read_to_string(&stamp).is_ok_and(|now| now == list) {
        return Ok(());
    }
    let venv_text = venv.display();
    shell(&format!("python3 -m venv '{venv_text}' && '{venv_text}/bin/pip' install -q --disable-pip-version-check {list}"))
        .context("the tests need Python 3 with venv and pip, and PyPI")?;
    std::fs::write(&stamp, list)?;
    Ok(())
}

pub(crate) fn on_path(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|p| std::env::split_paths(&p).any(|d| d.join(program).is_file() || Path::new("/usr/sbin").join(program).is_file()))
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|o| o.stdout.starts_with(b"0"))
}

pub(crate) fn shell(script: &str) -> Result<()> {
    let status = Command::new("sh").args(["-c", script]).status()?;
    if !status.success() {
        bail!("failed ({status}): {script}");
    }
    Ok(())
}
