//! Questions about the catalogue exactly as clients write them: each must be planned and answered.

use crate::{
    Access, Lakehouse, QueryRequest,
    testing::{self, NOW, config, contracts},
};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use schemas::ManualClock;
use std::sync::Arc;

/// Name, question, and a text that the answer holds. `TABLE` is the identifier of `bologna.level`.
const QUESTIONS: &str = include_str!("questions.sql");

async fn city() -> (Lakehouse, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let contracts = contracts(&["value"]);
    let lake = Lakehouse::open(config(dir.path()), contracts.clone(), Arc::new(ManualClock::at(NOW))).await.unwrap();
    lake.append(testing::frame(&contracts, &[(1, 0, 10)])).await.unwrap().await.unwrap();
    lake.flush().await.unwrap();
    (lake, dir)
}

async fn ask(lake: &Lakehouse, sql: &str) -> Result<String, String> {
    let stream = lake.query(QueryRequest::new(sql, Access::admin())).await.map_err(|e| format!("{e:?}"))?;
    let batches = stream.collect().await.map_err(|e| format!("{e:?}"))?;
    let options = FormatOptions::default().with_null("NULL");
    let mut out = String::new();
    for batch in &batches {
        let columns: Vec<_> = batch.columns().iter().map(|c| ArrayFormatter::try_new(c, &options).unwrap()).collect();
        for row in 0..batch.num_rows() {
            out += &(columns.iter().map(|c| c.value(row).to_string()).collect::<Vec<_>>().join(" | ") + "\n");
        }
    }
    Ok(out)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_ask_is_answered() {
    let (lake, _dir) = city().await;
    let mut failed = Vec::new();
    for block in QUESTIONS.split("\n-- ").skip(1) {
        let (head, sql) = block.split_once('\n').unwrap();
        let (name, holds) = head.split_once(": ").unwrap_or((head, ""));
        // Without a connection each statement numbers objects anew, so that the identifier is looked up in the same one.
        let table = "(SELECT c.oid FROM pg_catalog.pg_class c WHERE c.relname = 'level')";
        let sql = sql.trim().trim_end_matches(';').replace("TABLE_OID", table);
        match ask(&lake, &sql).await {
            Ok(answer) if answer.contains(holds) => {}
            Ok(answer) => failed.push(format!("{name}: there is no '{holds}' in\n{answer}")),
            Err(e) => failed.push(format!("{name}: {e}")),
        }
    }
    assert!(failed.is_empty(), "{} failed:\n{}", failed.len(), failed.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_reads_what_others_say_of_their_tables() {
    let (lake, _dir) = city().await;
    let imola = Access::tenants(vec![schemas::Tenant::new("imola").unwrap()]);
    let sql = "SELECT count(*) AS n FROM pg_catalog.pg_description d JOIN pg_catalog.pg_class c ON c.oid = d.objoid \
               JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'bologna'";
    let batches = lake.query(QueryRequest::new(sql, imola)).await.unwrap().collect().await.unwrap();
    let counts = batches[0].column(0).as_any().downcast_ref::<arrow_array::Int64Array>().unwrap();
    assert_eq!(counts.value(0), 0);
    assert!(!ask(&lake, sql).await.unwrap().starts_with('0'), "its owner does");
}
