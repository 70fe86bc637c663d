//! Structured logs on standard error.

use crate::config::Config;
use anyhow::{Context as _, Result};
use tracing_subscriber::{EnvFilter, fmt, prelude::*};

/// Starts logging as `[log]` says.
pub fn start(config: &Config) -> Result<()> {
    let filter = EnvFilter::try_new(&config.log.level).context("log.level")?;
    let registry = tracing_subscriber::registry().with(filter);
    let layer = fmt::layer().with_writer(std::io::stderr).with_target(true);
    match config.log.format.as_str() {
        "json" => registry.with(layer.json()).try_init(),
        _ => registry.with(layer.compact()).try_init(),
    }
    .context("logging is started twice")
}
