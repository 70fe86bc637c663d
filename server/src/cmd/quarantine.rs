//! `portico quarantine`: what waits, what would read it, and putting it through again; on the data directory of a stopped Portico.

use crate::{
    cli::QuarantineCommand,
    config::Config,
    node::Parts,
    out::{progress, progress_end, say},
};
use anyhow::{Context as _, Result, bail};
use api::city::{AcceptRequest, NewContract, ReplayRequest};
use schemas::{Counts, ProductId, SystemClock, Tenant};
use std::sync::Arc;
use tokio_util::task::TaskTracker;

/// Messages of one step of a replay.
const STEP: usize = 5_000;

pub async fn run(config: &Config, command: QuarantineCommand) -> Result<()> {
    let tasks = TaskTracker::new();
    let parts = Parts::open(config, Arc::new(SystemClock), &tasks).await?;
    let done = match command {
        QuarantineCommand::List { hours } => list(&parts, hours).await,
        QuarantineCommand::Suggest { hours, id } => suggest(&parts, hours, id.as_deref()).await,
        QuarantineCommand::Accept { id, hours } => accept(&parts, hours, &id).await,
        QuarantineCommand::Replay { tenant, topic, hours } => replay(&parts, tenant.as_deref(), topic, hours).await,
    };
    parts.close(&tasks).await?;
    done
}

async fn list(parts: &Parts, hours: u32) -> Result<()> {
    let waiting = parts.devices.waiting(hours, None).await?;
    let mut by: std::collections::BTreeMap<(String, String, String), usize> = std::collections::BTreeMap::new();
    for row in &waiting.rows {
        *by.entry((row.tenant.to_string(), row.reason.clone(), row.topic.clone())).or_default() += 1;
    }
    for ((tenant, reason, topic), n) in &by {
        say(&format!("{n:>8}  {tenant}  {reason}  {topic}"));
    }
    let more = if waiting.truncated { "; there are more, these are the newest" } else { "" };
    say(&format!("{} messages of the last {hours} hours wait{more}", waiting.rows.len()));
    Ok(())
}

/// All of them in short, or the texts of one.
async fn suggest(parts: &Parts, hours: u32, id: Option<&str>) -> Result<()> {
    let found = parts.devices.suggestions(crate::wire::Devices::everything(hours)).await?;
    for s in &found.list {
        let text = |key: &str| s.body[key].as_str().unwrap_or("-");
        if id.is_some_and(|id| id != text("id")) {
            continue;
        }
        let (score, decoded, checked) = (s.body["score"].as_f64().unwrap_or_default(), &s.body["decoded"], &s.body["checked"]);
        say(&format!("{}  {}  {}", text("id"), s.tenant, text("topic")));
        say(&format!(
            "  {} messages of {} devices; {}: {} ({score:.2}), decodes {decoded} of {checked} samples",
            s.body["messages"],
            s.body["devices"],
            text("state"),
            text("product")
        ));
        for key in ["why", "missing"] {
            s.body[key].as_array().into_iter().flatten().filter_map(|w| w.as_str()).for_each(|w| say(&format!("  {key}: {w}")));
        }
        if id.is_some() {
            say(text("mapping"));
            if let Some(contract) = s.body["contract"]["text"].as_str() {
                say(&format!("# contract\n{contract}"));
            }
        }
    }
    say(&format!("{} messages wait", found.waiting));
    Ok(())
}

async fn accept(parts: &Parts, hours: u32, id: &str) -> Result<()> {
    let found = parts.devices.suggestions(crate::wire::Devices::everything(hours)).await?;
    let Some(s) = found.list.iter().find(|s| s.body["id"] == id) else {
        bail!("there is no suggestion '{id}'; see portico quarantine suggest")
    };
    let mapping = s.body["mapping"].as_str().context("the suggestion has no mapping; it says what is missing")?.to_owned();
    let contract = match (s.body["contract"]["product"].as_str(), s.body["contract"]["text"].as_str()) {
        (Some(product), Some(text)) => Some(NewContract { product: ProductId::new(product)?, text: text.to_owned() }),
        _ => None,
    };
    let accepted = parts.devices.accept(&AcceptRequest {
        actor: "the command line".into(),
        tenant: s.tenant.clone(),
        id: id.into(),
        mapping,
        contract,
    })?;
    say(&format!("written: {}", accepted.files.join(", ")));
    if !accepted.in_force {
        say("the new contract is in force after the next start; then run portico quarantine replay");
    }
    Ok(())
}

async fn replay(parts: &Parts, tenant: Option<&str>, topic: Option<String>, hours: u32) -> Result<()> {
    let tenant = tenant.map_or(Ok(parts.tenant.clone()), Tenant::new)?;
    let (mut n, mut total, mut unread) = (0, Counts::default(), 0);
    loop {
        let request = ReplayRequest { tenant: tenant.clone(), topic: topic.clone(), messages_max: STEP, hours };
        let step = parts.devices.replay(request).await?;
        n += step.replayed;
        total.add(&step.counts);
        unread = step.skipped.get("unread").copied().unwrap_or(unread);
        progress(&format!("{n} replayed, {} left", step.left));
        if step.left == 0 || step.replayed == 0 {
            break;
        }
    }
    progress_end();
    let Counts { stored, duplicate, late, quarantined, .. } = total;
    say(&format!(
        "{n} replayed: {stored} stored, {late} late, {duplicate} known already, {quarantined} refused; {unread} still wait for a mapping"
    ));
    Ok(())
}
