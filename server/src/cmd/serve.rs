//! `portico serve`.

use crate::{
    config::Config,
    listen::WhenTaken,
    node::{Addresses, Node},
    out::say,
};
use anyhow::{Context as _, Result};
use schemas::SystemClock;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};

pub async fn run(config: &Config) -> Result<()> {
    let node = Node::start(config, Arc::new(SystemClock), WhenTaken::Fail).await?;
    if node.parts.users.0.is_empty() {
        tracing::warn!("there is no user yet, so nobody can sign in or publish; add one with: portico user add NAME --role admin");
    }
    say(&ready_line(&node.addresses));
    wait_for_signal().await?;
    node.stop().await
}

/// One line of JSON for programs that start Portico and need to know where it listens.
fn ready_line(addresses: &Addresses) -> String {
    let text = |a: Option<std::net::SocketAddr>| a.map(|a| a.to_string());
    serde_json::json!({
        "ready": true, "http": addresses.http.to_string(), "mqtt": text(addresses.mqtt), "postgres": text(addresses.postgres),
        "flight": text(addresses.flight),
        "lorawan": text(addresses.lorawan), "lorawan_station": text(addresses.lorawan_station),
    })
    .to_string()
}

/// Ctrl-C or SIGTERM.
pub async fn wait_for_signal() -> Result<()> {
    let mut term = signal(SignalKind::terminate()).context("SIGTERM")?;
    tokio::select! {
        _ = term.recv() => Ok(()),
        ctrl_c = tokio::signal::ctrl_c() => ctrl_c.context("Ctrl-C"),
    }
}
