//! The pages in a real browser: the tests of `web` against the real program.

use anyhow::{Result, ensure};
use std::{path::Path, process::Command};
use tests::{Portico, peers};

#[test]
fn pages_pass_axe_keyboard_and_reflow_in_chromium() -> Result<()> {
    let (Some(_), Some(npm)) = (peers::program("chromium"), peers::program("npm")) else { return Ok(()) };
    let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("../web");
    let dir = tempfile::tempdir()?;
    let mut portico = Portico::create(dir.path())?;
    portico.start()?;
    let mut lines = String::new();
    for i in 0..200 {
        let (lon, lat) = (11.30 + f64::from(i % 20) * 0.004, 44.48 + f64::from(i / 20) * 0.003);
        lines += &format!(
            "{{\"id\":\"n{i}\",\"observed_at\":\"{}\",\"period\":\"PT15M\",\"laeq\":{},\"lon\":{lon},\"lat\":{lat}}}\n",
            now(),
            45 + i % 30
        );
    }
    let answer = portico.post("/api/ingest/noise", "application/x-ndjson", lines.as_bytes())?;
    ensure!(answer.status == 200, "{}", answer.text());
    let status = Command::new(npm).args(["test"]).current_dir(web).env("PORTICO_URL", format!("http://{}", portico.http)).status()?;
    ensure!(status.success(), "npm test ended with {status}");
    Ok(())
}

fn now() -> String {
    use schemas::Clock as _;
    schemas::SystemClock.now().to_rfc3339()
}
