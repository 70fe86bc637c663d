//! `portico twin verify`: the saved twin equals one rebuilt from the tables (TW-1).

use crate::{
    config::Config,
    node::{self, retention::Kept},
    out::say,
    wire,
};
use anyhow::{Result, bail};
use schemas::{Clock as _, SystemClock};
use std::sync::Arc;

const SHOWN_MAX: usize = 10;

pub async fn verify(config: &Config) -> Result<()> {
    let contracts = node::contracts(config)?;
    let lakehouse = node::open_lakehouse(config, &contracts, Arc::new(SystemClock)).await?;
    let feed = wire::TwinFeed::open(&lakehouse, &contracts, &config.state_dir()).await?;
    let register = node::register(config)?;
    let kept = Kept::new(&contracts, register.as_ref(), &feed.snapshot());
    if config.lake.retention && feed.outlived(&kept, SystemClock.now()) {
        say("the saved twin shows rows that retention has removed since; they are left out, as a start would do");
        feed.refold(&lakehouse, &contracts).await?;
    }
    let carried_on = feed.snapshot();
    let rebuilt = wire::rebuild(&lakehouse, &contracts).await?;
    lakehouse.close().await?;
    let differences = carried_on.diff(&rebuilt, SHOWN_MAX);
    for difference in &differences {
        say(&format!("{difference}"));
    }
    if !differences.is_empty() {
        bail!("TW-1 does not hold: the saved twin and its rebuild differ; delete state/twin.bin to start from the rebuild, and report it");
    }
    say(&format!(
        "twin verified: {} entities at position {}, saved and rebuilt are equal ({})",
        rebuilt.len(),
        rebuilt.position(),
        rebuilt.digest()
    ));
    Ok(())
}
