//! Commands to traffic signals: the request as a row, then to the signal's controller over MQTT, and the note when nobody answered.

use crate::{
    access::random_secret,
    node::{
        Parts,
        own_rows::{self, Origin},
    },
};
use anyhow::{Context as _, Result};
use api::{
    city::{CommandRequest, Commanded, Wanted},
    error::ApiError,
};
use lakehouse::{Access, QueryRequest};
use schemas::{EntityId, Tenant, Timestamp, time::SECOND_US};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

const PRODUCT: &str = "signal_command";
/// An answer that is under way when a command expires has this long to arrive.
const GRACE: Duration = Duration::from_secs(5);

/// Durable as a row before it leaves.
pub(super) async fn command(parts: &Arc<Parts>, request: CommandRequest) -> Result<Commanded, ApiError> {
    let now = parts.clock.now();
    let expires = Timestamp(now.0 + i64::try_from(request.expires_secs).unwrap_or(0) * SECOND_US);
    let command: String = random_secret().chars().filter(char::is_ascii_alphanumeric).take(20).collect();
    let twin = parts.feed.snapshot();
    let simulated = twin.find(request.signal.as_str()).any(|e| e.table().product.as_str() == "traffic_signal" && e.simulated());
    let mut wire = json!({"command": command, "hold_secs": request.hold_secs, "expires_at": expires.to_rfc3339()});
    match &request.wanted {
        Wanted::Phase(phase) => wire["phase"] = (*phase).into(),
        Wanted::Program(program) => wire["program"] = program.as_str().into(),
    }
    let mut row = wire.clone();
    for (name, value) in [("status", "requested"), ("requested_by", request.actor.as_str()), ("reason", request.reason.as_str())] {
        row[name] = value.into();
    }
    write(parts, (&request.tenant, &request.signal, simulated), row, now).await?;
    let local = request.signal.as_str().rsplit(':').next().unwrap_or_default();
    let topic = format!("{}{}/traffic_signal/{local}", ingest::topic::COMMANDS, request.tenant);
    parts.ingest.announce(&topic, wire.to_string().into());
    let (parts, id) = (Arc::clone(parts), command.clone());
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(request.expires_secs) + GRACE).await;
        if let Err(error) = settle(&parts, &request, simulated, &id).await {
            tracing::warn!(command = id, %error, "a command that expired is not noted");
        }
    });
    Ok(Commanded { command, expires_at: expires.to_rfc3339() })
}

/// Notes a command that nobody applied or refused.
async fn settle(parts: &Arc<Parts>, request: &CommandRequest, simulated: bool, command: &str) -> Result<()> {
    // The identifier is letters and digits.
    let sql = format!(
        "SELECT status FROM {}.{PRODUCT} WHERE command = '{command}' AND status NOT IN ('requested', 'sent') LIMIT 1",
        request.tenant
    );
    let batches = parts.lakehouse.query(QueryRequest::new(sql, Access::admin())).await?.collect().await?;
    if batches.iter().any(|b| b.num_rows() > 0) {
        return Ok(());
    }
    let row = json!({"command": command, "status": "expired", "message": "no controller applied or refused it"});
    let about = (&request.tenant, &request.signal, simulated);
    write(parts, about, row, parts.clock.now()).await.map_err(anyhow::Error::new).context("writing the row")
}

async fn write(
    parts: &Parts,
    (tenant, signal, simulated): (&Tenant, &EntityId, bool),
    mut row: Value,
    now: Timestamp,
) -> Result<(), ApiError> {
    row["id"] = signal.as_str().into();
    row["observed_at"] = now.to_rfc3339().into();
    let origin = Origin { source: "portico/signals", tenant, simulated };
    let outcome = own_rows::submit(parts, origin, PRODUCT, [row.to_string()], now).await.map_err(|e| ApiError::of(&e))?;
    match outcome.rejects.first() {
        Some(reject) => Err(ApiError::body(reject.field.as_deref().unwrap_or("command"), reject.text.clone())),
        None => Ok(()),
    }
}
