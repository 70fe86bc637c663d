//! `portico deletions`: the attestations of what was removed, once their chain is found whole.

use crate::{config::Config, deletions, node, out::say};
use anyhow::Result;
use schemas::SystemClock;
use std::sync::Arc;

pub async fn run(config: &Config) -> Result<()> {
    let contracts = node::contracts(config)?;
    let lakehouse = node::open_lakehouse(config, &contracts, Arc::new(SystemClock)).await?;
    let found = deletions::verified(&lakehouse).await;
    lakehouse.close().await?;
    let all = found?;
    for a in &all {
        let whose = a.entity_id.as_deref().unwrap_or("all entities");
        say(&format!(
            "{} {} {}.{} {whose}: {} rows of {} to {}, version {} to {}; {}",
            a.seq, a.observed_at, a.tenant, a.product, a.rows_removed, a.first_day, a.last_day, a.version_before, a.version_after, a.reason
        ));
    }
    say(&format!("{} attestations, the chain is whole; its end is {}", all.len(), all.last().map_or("-", |a| &a.hash)));
    Ok(())
}
