//! `portico replay`: stored rows are published again through MQTT, so that the past can be lived again.

use crate::{
    cli::ReplayArgs,
    config::Config,
    node,
    out::{progress, progress_end, say},
    publish::{Publisher, Target},
};
use anyhow::{Context as _, Result, ensure};
use arrow_array::RecordBatch;
use arrow_schema::DataType;
use futures::StreamExt as _;
use ingest::file::{replay, row_messages};
use lakehouse::{Access, Lakehouse, Limits, QueryRequest};
use schemas::{Contract, SystemClock, TableRef, Tenant, Timestamp};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

const DAY: Duration = Duration::from_secs(86_400);

pub async fn run(config: &Config, args: ReplayArgs) -> Result<()> {
    let table = TableRef::parse(&args.table)?;
    let (from, to) = (Timestamp::parse(&args.from)?, Timestamp::parse(&args.to)?);
    ensure!(from < to, "--from {from} is not before --to {to}");
    ensure!(args.speed >= 0.0 && args.speed.is_finite(), "--speed must be 0 or more");
    let tenant = args.tenant.as_deref().map_or(Ok(table.tenant.clone()), Tenant::new)?;
    let contracts = node::contracts(config)?;
    let contract = contracts.get(&table.product).with_context(|| format!("{table} has no contract"))?;
    let lakehouse = node::open_lakehouse(config, &contracts, Arc::new(SystemClock)).await?;
    let mut publisher = Publisher::connect(&Target::of(&args.at_broker, format!("portico-replay-{}", args.at_broker.user))?);
    let sent = publish_rows(&lakehouse, &table, contract, &tenant, (from, to), args.speed, &mut publisher).await;
    lakehouse.close().await?;
    sent?;
    progress_end();
    say(&format!("{} messages published and acknowledged", publisher.finish().await?));
    Ok(())
}

async fn publish_rows(
    lakehouse: &Lakehouse,
    table: &TableRef,
    contract: &Contract,
    tenant: &Tenant,
    (from, to): (Timestamp, Timestamp),
    speed: f64,
    publisher: &mut Publisher,
) -> Result<()> {
    let sql = format!("SELECT * FROM {table} WHERE observed_at >= '{from}' AND observed_at < '{to}' ORDER BY observed_at, position");
    let limits = Limits { rows_max: usize::MAX, timeout: DAY, ..Limits::default() };
    let mut batches = lakehouse.query(QueryRequest { limits, ..QueryRequest::new(sql, Access::admin()) }).await?.batches;
    let start = Instant::now();
    let mut published = 0u64;
    while let Some(batch) = batches.next().await {
        let batch = with_plain_text(&batch?)?;
        for due in replay(row_messages(contract, tenant, &batch), speed, Some(from), Some(to)) {
            if speed > 0.0 {
                tokio::time::sleep_until(start + due.after).await;
            }
            let topic = std::str::from_utf8(&due.item.topic)?.to_owned();
            publisher.publish(&topic, due.item.payload.to_vec()).await?;
            published += 1;
            if published.is_multiple_of(1_000) {
                progress(&format!("{}  {published} published, {} acknowledged", due.observed_at, publisher.acked()));
            }
        }
    }
    Ok(())
}

/// Queries answer texts as views; messages are made of plain ones.
fn with_plain_text(batch: &RecordBatch) -> Result<RecordBatch> {
    let plain = |c: &arrow_array::ArrayRef| match c.data_type() {
        DataType::Utf8View | DataType::LargeUtf8 | DataType::Dictionary(..) => arrow_cast::cast(c, &DataType::Utf8),
        _ => Ok(Arc::clone(c)),
    };
    let columns = batch.columns().iter().map(plain).collect::<Result<Vec<_>, _>>()?;
    let names = batch.schema();
    Ok(RecordBatch::try_from_iter_with_nullable(names.fields().iter().zip(columns).map(|(f, c)| (f.name().clone(), c, true)))?)
}
