//! `portico codec`: payload codecs of devices, without a running Portico.

use crate::{cli::CodecCommand, out::say};
use anyhow::{Context as _, Result, bail, ensure};
use ingest::codec::{Codec, CodecLimits, Codecs, Frame, cayenne, examples::unhex};
use schemas::{Clock, SystemClock, Timestamp};
use std::{path::Path, sync::Arc};

pub fn run(command: CodecCommand) -> Result<()> {
    match command {
        CodecCommand::Test { dir } => test(&dir),
        CodecCommand::Decode(args) => {
            let codecs = match &args.dir {
                Some(dir) => load(dir)?,
                None => Codecs::builtin(),
            };
            let codec = codecs.get(&args.codec).map_err(anyhow::Error::msg)?;
            let bytes = unhex(&args.bytes).context("the bytes must be hex, two digits each")?;
            let received_at = args.received_at.as_deref().map_or_else(|| Ok(SystemClock.now()), Timestamp::parse)?;
            let frame = Frame { bytes: &bytes, f_port: args.port, received_at, variables: args.variables.as_deref().unwrap_or_default() };
            let decoded = if args.downlink { codec.decode_downlink(frame) } else { codec.decode(frame) };
            let decoded = decoded.with_context(|| codec.identity())?;
            for warning in &decoded.warnings {
                say(&format!("warning: {warning}"));
            }
            say(decoded.data.get());
            Ok(())
        }
    }
}

fn load(dir: &Path) -> Result<Codecs> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    Ok(Codecs::load(dir, &CodecLimits::default(), &clock)?)
}

/// Runs the recorded frames of every codec below `dir`, or of the one in it.
fn test(dir: &Path) -> Result<()> {
    let codecs = load(dir)?;
    let own: Vec<&Arc<Codec>> = codecs.iter().filter(|c| c.name != cayenne::NAME).collect();
    ensure!(!own.is_empty(), "{} holds no codec; a codec is a directory with codec.js and examples.jsonl", dir.display());
    let mut n_failed = 0;
    for codec in own {
        let report = codec.test();
        n_failed += report.failed.len();
        let note =
            if codec.is_slow() { "; it extends built-in objects, so each frame needs an engine of its own, which is slow" } else { "" };
        let none = if report.passed + report.failed.len() == 0 { "; it has no recorded frames" } else { "" };
        say(&format!("{}: {} of {} frames pass{note}{none}", codec.identity(), report.passed, report.passed + report.failed.len()));
        for (description, difference) in &report.failed {
            say(&format!("  '{description}': {difference}"));
        }
    }
    if n_failed > 0 {
        bail!("{n_failed} recorded frames do not give what was recorded");
    }
    Ok(())
}
