//! `portico sql`: one query over the data directory of a stopped Portico.

use crate::{cli::SqlArgs, config::Config, node, out::say};
use anyhow::{Result, bail};
use arrow_array::RecordBatch;
use lakehouse::{Access, QueryRequest};
use schemas::SystemClock;
use std::sync::Arc;

pub async fn run(config: &Config, args: SqlArgs) -> Result<()> {
    let contracts = node::contracts(config)?;
    let lakehouse = node::open_lakehouse(config, &contracts, Arc::new(SystemClock)).await?;
    let answer = lakehouse.query(QueryRequest::new(args.sql, Access::admin())).await;
    let batches = match answer {
        Ok(stream) => stream.collect().await,
        Err(error) => Err(error),
    };
    lakehouse.close().await?;
    print(&batches?, &args.format)
}

fn print(batches: &[RecordBatch], format: &str) -> Result<()> {
    match format {
        "table" => say(&arrow_cast::pretty::pretty_format_batches(batches)?.to_string()),
        "csv" => {
            let mut writer = arrow_csv::Writer::new(std::io::stdout().lock());
            batches.iter().try_for_each(|b| writer.write(b))?;
        }
        "json" => {
            let mut writer = arrow_json::LineDelimitedWriter::new(std::io::stdout().lock());
            batches.iter().try_for_each(|b| writer.write(b))?;
            writer.finish()?;
        }
        other => bail!("format '{other}' is not one of table, csv, json"),
    }
    Ok(())
}
