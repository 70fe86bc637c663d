//! The program under test, started on free ports in a directory of its own.

use crate::http::{self, Answer};
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

/// Longest wait for the ready line of a start, and for the end after a signal.
const START_MAX: Duration = Duration::from_secs(60);

/// Password of every user that the harness makes: the directories are temporary and the ports local.
pub const PASSWORD: &str = "a password of tests";

/// The binary: `TEST_PORTICO`, else the one beside this test's own.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("TEST_PORTICO") {
        return Ok(path.into());
    }
    let exe = std::env::current_exe()?;
    let path = exe.ancestors().nth(2).context("a test lies in target/debug/deps")?.join("portico");
    ensure!(path.is_file(), "{} is absent: run cargo build --bin portico first, or cargo xtask test", path.display());
    Ok(path)
}

/// A data directory, and the process that serves it while there is one.
#[derive(Debug)]
pub struct Portico {
    pub dir: PathBuf,
    pub http: String,
    pub mqtt: String,
    pub postgres: String,
    pub flight: String,
    /// UDP.
    pub lorawan: String,
    env: Vec<(String, String)>,
    child: Option<Child>,
}

impl Portico {
    /// A new directory with the users `admin`, `anna` (analyst), `gate` (gateway), all of tenant bologna.
    pub fn create(dir: &Path) -> Result<Self> {
        let [http, mqtt, postgres, flight, lorawan] = std::array::from_fn(|_| String::new());
        let portico = Self { dir: dir.to_owned(), http, mqtt, postgres, flight, lorawan, env: Vec::new(), child: None };
        let file = dir.join("password");
        std::fs::write(&file, PASSWORD)?;
        let file = file.display().to_string();
        for (name, role, tenants) in [("admin", "admin", ""), ("anna", "analyst", "bologna"), ("gate", "gateway", "bologna")] {
            let mut args = vec!["user", "add", name, "--role", role, "--password-file", &file];
            if !tenants.is_empty() {
                args.extend(["--tenants", tenants]);
            }
            portico.command(&args)?;
        }
        Ok(portico)
    }

    /// A setting by its environment name, for every later start.
    pub fn set(&mut self, name: &str, value: &str) {
        self.env.push((name.to_owned(), value.to_owned()));
    }

    /// Starts the server and waits until it says that it is ready.
    pub fn start(&mut self) -> Result<()> {
        let log = File::options().create(true).append(true).open(self.dir.join("portico.log"))?;
        let mut child = self.prepared().arg("serve").stdout(Stdio::piped()).stderr(log).spawn().context("portico serve")?;
        let out = child.stdout.take().context("standard output is piped")?;
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if let Some(ready) = serde_json::from_str::<Value>(&line).ok().filter(|v| v["ready"] == true) {
                    tell.try_send(ready).ok();
                }
            }
        });
        let ready = match told.recv_timeout(START_MAX) {
            Ok(ready) => ready,
            Err(_) => {
                child.kill().ok();
                bail!("portico did not start:\n{}", self.log_tail());
            }
        };
        let place = |key: &str| ready[key].as_str().unwrap_or_default().to_owned();
        (self.http, self.mqtt) = (place("http"), place("mqtt"));
        (self.postgres, self.flight, self.lorawan) = (place("postgres"), place("flight"), place("lorawan"));
        self.child = Some(child);
        Ok(())
    }

    /// SIGKILL, as a power cut would.
    pub fn kill(&mut self) -> Result<()> {
        let mut child = self.child.take().context("portico runs")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// SIGTERM, and the orderly end.
    pub fn stop(&mut self) -> Result<()> {
        let mut child = self.child.take().context("portico runs")?;
        Command::new("kill").args(["-TERM", &child.id().to_string()]).status()?;
        let status = child.wait()?;
        ensure!(status.success(), "portico ended with {status}:\n{}", self.log_tail());
        Ok(())
    }

    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Runs a subcommand on the directory and returns what it printed.
    pub fn command(&self, args: &[&str]) -> Result<String> {
        let out = self.prepared().args(args).output()?;
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        ensure!(out.status.success(), "portico {} failed:\n{text}{}", args.join(" "), String::from_utf8_lossy(&out.stderr));
        Ok(text)
    }

    fn prepared(&self) -> Command {
        let mut command = Command::new(binary().unwrap_or_else(|e| PathBuf::from(e.to_string())));
        command.env("PORTICO_DATA_DIR", self.dir.join("data"));
        for door in ["HTTP", "MQTT", "POSTGRES", "FLIGHT", "LORAWAN"] {
            command.env(format!("PORTICO_{door}_BIND"), "127.0.0.1:0");
        }
        command.envs(self.env.iter().map(|(k, v)| (k, v)));
        command
    }

    /// The answer to a query as JSON rows, asked as `admin`.
    pub fn sql(&self, query: &str) -> Result<Vec<Value>> {
        let body = serde_json::json!({"sql": query, "format": "json"}).to_string();
        let answer = self.post("/api/sql", "application/json", body.as_bytes())?;
        ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
        let value: Value = serde_json::from_slice(&answer.body)?;
        Ok(value["rows"].as_array().cloned().unwrap_or_default())
    }

    /// The one number that a query answers with.
    pub fn number(&self, query: &str) -> Result<i64> {
        let rows = self.sql(query)?;
        let cell = rows.first().and_then(|r| r.get(0).or_else(|| r.as_object().and_then(|o| o.values().next()))).context("one row")?;
        cell.as_i64().or_else(|| cell.as_str().and_then(|t| t.parse().ok())).with_context(|| format!("{query}: {cell} is not a number"))
    }

    pub fn get(&self, path: &str) -> Result<Answer> {
        http::request(&self.http, "GET", path, &[http::basic("admin", PASSWORD)], &[])
    }

    pub fn post(&self, path: &str, kind: &str, body: &[u8]) -> Result<Answer> {
        http::request(&self.http, "POST", path, &[http::basic("admin", PASSWORD), ("Content-Type".into(), kind.into())], body)
    }

    /// The last lines of the log, for messages of failing tests.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(self.dir.join("portico.log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for Portico {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().ok();
            child.wait().ok();
        }
    }
}
