//! SUMO as a child process: where it is, the directory it runs in, and the first contact.

use super::ANSWER_MAX;
use crate::cli::SumoArgs;
use anyhow::{Context as _, Result, bail, ensure};
use ingest::sumo::{scenario::Scenario, traci::Client};
use std::{
    fs::File,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::{
    net::TcpStream,
    process::{Child, Command},
    time::Instant,
};

/// Longest wait until SUMO has read its network and listens.
const START_MAX: Duration = Duration::from_secs(120);
const RETRY_AFTER: Duration = Duration::from_millis(50);
const ERRORS: &str = "sumo.err";

/// The directory of one run: links to the scenario's files, so that SUMO writes beside the links and never into the scenario.
#[derive(Debug)]
pub(super) struct RunDir {
    path: PathBuf,
    keep: bool,
}

impl RunDir {
    /// The directory that was asked for, or a temporary one of this name, removed at the end.
    pub(super) fn make(asked: Option<&Path>, name: &str) -> Result<Self> {
        let path = match asked {
            Some(path) => std::path::absolute(path)?,
            None => std::env::temp_dir().join(format!("portico-{name}-{}", std::process::id())),
        };
        std::fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
        ensure!(std::fs::read_dir(&path)?.next().is_none(), "{} is not empty; SUMO's output needs a directory of its own", path.display());
        Ok(Self { path, keep: asked.is_some() })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Links every input, except those that have another text here.
    pub(super) fn fill(&self, scenario: &Scenario, instead: &[(String, String)]) -> Result<()> {
        let dir = std::path::absolute(&scenario.dir)?;
        for name in scenario.inputs.iter().chain([&scenario.config]) {
            let target = self.path.join(name);
            if let Some(parent) = target.parent() {
                std::fs::create_dir_all(parent)?;
            }
            match instead.iter().find(|(n, _)| n == name) {
                Some((_, text)) => std::fs::write(&target, text)?,
                None if target.exists() => {}
                None => std::os::unix::fs::symlink(dir.join(name), &target).with_context(|| target.display().to_string())?,
            }
        }
        Ok(())
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        if !self.keep {
            std::fs::remove_dir_all(&self.path).ok();
        }
    }
}

/// The program: as asked, below `SUMO_HOME`, or on the path.
pub(super) fn program(asked: Option<&Path>) -> Result<PathBuf> {
    if let Some(asked) = asked {
        ensure!(asked.is_file(), "--sumo {} is not a file", asked.display());
        return Ok(asked.to_owned());
    }
    let home = std::env::var_os("SUMO_HOME").map(|h| PathBuf::from(h).join("bin/sumo"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = home.into_iter().chain(std::env::split_paths(&path).map(|d| d.join("sumo"))).find(|p| p.is_file());
    found.context(
        "SUMO is not found: install it (pip install eclipse-sumo, or the package sumo), then set SUMO_HOME to its directory, \
         put sumo on the PATH, or name it with --sumo",
    )
}

/// SUMO itself, with what every run needs.
pub(super) fn command(program: &Path, dir: &RunDir, config: &str) -> Result<Command> {
    let mut command = Command::new(program);
    // The program of a wheel finds its data by SUMO_HOME.
    if std::env::var_os("SUMO_HOME").is_none()
        && let Some(home) = program.parent().and_then(Path::parent)
    {
        command.env("SUMO_HOME", home);
    }
    let errors = File::create(dir.path().join(ERRORS))?;
    command.current_dir(dir.path()).args(["-c", config, "--no-step-log", "true", "--no-warnings", "true"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors).kill_on_drop(true);
    Ok(command)
}

/// What SUMO complained of, at most the end of it.
pub(super) fn complaints(dir: &RunDir) -> String {
    let text = std::fs::read_to_string(dir.path().join(ERRORS)).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(10)..].join("; ")
}

/// Starts SUMO with its detectors speaking to `detectors`, and connects to it.
pub(super) async fn start(args: &SumoArgs, scenario: &Scenario, dir: &RunDir, detectors: SocketAddr) -> Result<(Child, Client<TcpStream>)> {
    let program = program(args.sumo.as_deref())?;
    let socket = detectors.to_string();
    let redirected = scenario.with_detectors.iter().map(|name| Ok((name.clone(), scenario.redirected(name, &socket, args.interval)?)));
    dir.fill(scenario, &redirected.collect::<Result<Vec<_>>>()?)?;
    // Free now; SUMO says so when somebody else is faster.
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let mut command = command(&program, dir, &scenario.config)?;
    command.args(["--remote-port", &port.to_string(), "--seed", &args.seed.to_string()]);
    let mut child = command.spawn().with_context(|| program.display().to_string())?;
    let deadline = Instant::now() + START_MAX;
    loop {
        if let Some(status) = child.try_wait()? {
            bail!("SUMO ended before it listened ({status}): {}", complaints(dir));
        }
        match Client::connect(([127, 0, 0, 1], port).into(), ANSWER_MAX).await {
            Ok(client) => return Ok((child, client)),
            Err(error) if Instant::now() > deadline => return Err(error).context("SUMO does not listen"),
            // SUMO tells nobody when it listens.
            Err(_) => tokio::time::sleep(RETRY_AFTER).await,
        }
    }
}
