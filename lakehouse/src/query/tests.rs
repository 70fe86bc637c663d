use super::*;
use crate::testing::{self, NOW, TestRow, at, batch, contracts};
use arrow_array::{cast::AsArray, types::Float64Type, types::TimestampMicrosecondType};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use proptest::prelude::*;
use schemas::{EntityId, Frame, ManualClock, Part, Timestamp};
use std::{collections::BTreeMap, sync::Arc};

/// Statements and answers in the manner of sqllogictest.
const GOLDENS: &str = include_str!("goldens.slt");

struct City {
    lake: Lakehouse,
    _dir: tempfile::TempDir,
}

async fn city() -> City {
    let dir = tempfile::tempdir().unwrap();
    let lake = Lakehouse::open(testing::config(dir.path()), contracts(&["value"]), Arc::new(ManualClock::at(NOW))).await.unwrap();
    City { lake, _dir: dir }
}

impl City {
    async fn add(&self, table: &str, rows: &[TestRow]) {
        let part = Part { table: TableRef::parse(table).unwrap(), rows: batch(&self.lake.contracts, rows) };
        let mut delta = testing::delta(rows.len() as u64);
        delta.tenant = part.table.tenant.clone();
        self.lake.append(Frame { parts: vec![part], ledger: vec![delta] }).await.unwrap().await.unwrap();
    }

    async fn ask(&self, sql: &str, access: Access) -> Result<String, LakehouseError> {
        self.lake.query(QueryRequest::new(sql, access)).await?.collect().await.map(|b| text(&b))
    }

    async fn admin(&self, sql: &str) -> String {
        self.ask(sql, Access::admin()).await.unwrap_or_else(|e| format!("{e:?}"))
    }
}

fn text(batches: &[RecordBatch]) -> String {
    let options = FormatOptions::default().with_null("NULL");
    let mut out = String::new();
    for batch in batches {
        let columns: Vec<_> = batch.columns().iter().map(|c| ArrayFormatter::try_new(c, &options).unwrap()).collect();
        for row in 0..batch.num_rows() {
            let cells: Vec<_> = columns.iter().map(|c| c.value(row).to_string()).collect();
            out += &(cells.join(" | ") + "\n");
        }
    }
    out
}

fn tenant(name: &str) -> Access {
    Access::tenants(vec![Tenant::new(name).unwrap()])
}

fn sql_error(e: LakehouseError) -> (String, Option<u64>, Option<u64>, String) {
    let LakehouseError::Sql { message, line, column, hint } = e else { panic!("{e:?}") };
    (message, line, column, hint.unwrap_or_default())
}

async fn check_goldens(city: &City, when: &str) {
    let mut checked = 0;
    for block in GOLDENS.split("\n\n").filter(|b| b.starts_with("query")) {
        let (sql, expected) = block.split_once("\n----").unwrap();
        let sql = sql.trim_start_matches("query\n");
        assert_eq!(city.admin(sql).await.trim(), expected.trim(), "{when}: {sql}");
        checked += 1;
    }
    assert!(checked > 10, "the goldens were read");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_the_same_hot_flushed_and_compacted() {
    let city = city().await;
    let rows: Vec<TestRow> = (0..40u16).map(|i| ((i % 7) as u8, i * 97, i32::from(i) - 5)).collect();
    for part in rows.chunks(10) {
        city.add("bologna.level", part).await;
    }
    check_goldens(&city, "hot").await;
    city.lake.flush().await.unwrap();
    check_goldens(&city, "in files").await;
    city.add("bologna.level", &[]).await;
    city.lake.compact(crate::CompactBudget::default()).await.unwrap();
    check_goldens(&city, "compacted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hot_rows_and_files_are_read_together_and_once() {
    let city = city().await;
    city.add("bologna.level", &[(1, 0, 10), (2, 0, 20)]).await;
    city.lake.flush().await.unwrap();
    city.add("bologna.level", &[(1, 1, 11)]).await;
    assert_eq!(city.admin("SELECT count(*), sum(value) FROM level").await, "3 | 41.0\n");
    assert_eq!(city.admin("SELECT value FROM level WHERE value > 10 ORDER BY value").await, "11.0\n20.0\n");
    let plan = city.admin("EXPLAIN SELECT value FROM level WHERE entity_id = 'urn:x:9'").await;
    assert!(!plan.contains("parquet"), "no file can hold it: {plan}");
    let plan = city.admin("EXPLAIN SELECT value FROM level WHERE value > 3").await;
    assert!(plan.contains("UnionExec") && plan.contains("predicate=value"), "{plan}");
}

#[tokio::test(flavor = "multi_thread")]
async fn as_of_shows_what_was_known_and_what_was_committed() {
    let city = city().await;
    city.add("bologna.level", &[(1, 0, 10)]).await;
    city.lake.flush().await.unwrap();
    let versions = city.lake.history(&testing::table()).await.unwrap();
    let first = versions[0].version;
    city.add("bologna.level", &[(1, 5, 11), (2, 5, 12)]).await;
    let known = Timestamp(at(1)).to_rfc3339();
    for clause in [format!("FOR SYSTEM_TIME AS OF '{known}'"), format!("TIMESTAMP AS OF '{known}'"), format!("VERSION AS OF {first}")] {
        let sql = format!("SELECT level.value FROM level {clause} WHERE level.value > 0");
        assert_eq!(city.admin(&sql).await, "10.0\n", "{sql}");
    }
    // Two states of one table in one statement.
    let sql =
        format!("SELECT count(*) FROM level AS now LEFT JOIN level VERSION AS OF {first} AS old USING (entity_id) WHERE old.value IS NULL");
    assert_eq!(city.admin(&sql).await, "1\n");
    let gone = city.ask("SELECT * FROM level VERSION AS OF 99", Access::admin()).await.unwrap_err();
    assert!(gone.to_string().contains("99"), "{gone}");
    assert!(city.admin("DESCRIBE HISTORY level").await.starts_with(&format!("{first} | ")));
}

#[tokio::test(flavor = "multi_thread")]
async fn other_tenants_do_not_exist() {
    let city = city().await;
    city.add("bologna.level", &[(1, 0, 10)]).await;
    city.add("imola.level", &[(2, 0, 20), (3, 0, 30)]).await;
    city.lake.flush().await.unwrap();
    city.add("imola.level", &[(3, 1, 31)]).await;
    let imola = || tenant("imola");
    assert_eq!(city.ask("SELECT count(*) FROM level", imola()).await.unwrap(), "3\n");
    for sql in [
        "SELECT * FROM bologna.level",
        "EXPLAIN SELECT * FROM bologna.level",
        "DESCRIBE bologna.level",
        "SELECT * FROM bologna.level VERSION AS OF 0",
    ] {
        let e = city.ask(sql, imola()).await.unwrap_err();
        let missing = city.ask(&sql.replace("bologna", "nowhere"), imola()).await.unwrap_err();
        assert_eq!(e.to_string().replace("bologna", "nowhere"), missing.to_string(), "{sql}");
        let (.., hint) = sql_error(e);
        assert!(!hint.contains("bologna"), "{hint}");
    }
    assert!(city.ask("DESCRIBE HISTORY bologna.level", imola()).await.is_err());
    let listed = city.ask("SELECT table_schema, table_name FROM information_schema.tables WHERE table_schema NOT IN ('information_schema', 'pg_catalog') ORDER BY 1, 2", imola()).await.unwrap();
    assert_eq!(listed, "imola | level\nops | audit\nops | deletions\nops | ledger\nops | quarantine\nops | replayed\n");
    assert!(!city.ask("SELECT relname, relnamespace FROM pg_catalog.pg_class", imola()).await.unwrap().contains("bologna"));
    assert_eq!(city.ask("SELECT DISTINCT tenant FROM ops.ledger", imola()).await.unwrap(), "imola\n");
    assert_eq!(city.admin("SELECT DISTINCT tenant FROM ops.ledger ORDER BY 1").await, "bologna\nimola\n");
    let e = city.ask("EXPLAIN ANALYZE SELECT * FROM ops.ledger", imola()).await.unwrap_err();
    assert!(matches!(e, LakehouseError::Forbidden(_)), "{e:?}");
    let public = Access { products: Some(vec![]), ops: false, ..imola() };
    assert!(city.ask("SELECT * FROM imola.level", public.clone()).await.is_err());
    assert!(city.ask("SELECT * FROM ops.ledger", public).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_point_at_the_place_and_suggest_a_name() {
    let city = city().await;
    city.add("bologna.level", &[(1, 0, 10)]).await;
    for (sql, says, place, hint) in [
        ("SELECT valeu\nFROM level", "column 'valeu' does not exist", (1, 8), "'value'"),
        ("SELECT value\nFROM levle", "table 'bologna.levle' does not exist", (2, 6), "'level'"),
        ("SELECT h3_cell_to_parnt(h3, 8) FROM level", "function 'h3_cell_to_parnt' does not exist", (1, 8), "'h3_cell_to_parent'"),
        ("SELECT value FROM level WHERE", "Expected: an expression", (1, 30), ""),
        ("SELECT value, count(*) FROM level", "value", (1, 8), ""),
    ] {
        let (message, line, column, suggested) = sql_error(city.ask(sql, Access::admin()).await.unwrap_err());
        assert!(message.contains(says), "{sql}: {message}");
        assert!(suggested.contains(hint), "{sql}: {suggested}");
        assert_eq!((line, column), (Some(place.0), Some(place.1)), "{sql}: {message}");
        assert!(!message.contains("bug") && !message.contains('\n'), "{message}");
    }
    let many = city.ask("SELECT (SELECT x FROM generate_series(1, 2) a(x))", Access::admin()).await;
    assert!(many.is_err(), "a subquery of many rows has no one value: {many:?}");
    for sql in ["SELECT 1 INTO other", "WITH x AS (INSERT INTO level VALUES (1) RETURNING 1) SELECT 1"] {
        assert!(city.ask(sql, Access::admin()).await.is_err(), "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_end_a_statement() {
    let city = city().await;
    let heavy = "SELECT count(*) FROM generate_series(1, 1000000000000) a(x) WHERE x % 7 = 9";
    let run = async |sql: &str, limits: Limits| {
        let request = QueryRequest { limits, ..QueryRequest::new(sql, Access::admin()) };
        city.lake.query(request).await?.collect().await
    };
    let short = Limits { timeout: Duration::from_millis(200), ..Limits::default() };
    let e = run(heavy, short).await.unwrap_err();
    assert!(matches!(&e, LakehouseError::Limit(m) if m.contains("200 ms")), "{e:?}");
    let few = Limits { rows_max: 100, ..Limits::default() };
    let e = run("SELECT * FROM generate_series(1, 101)", few).await.unwrap_err();
    assert!(matches!(&e, LakehouseError::Limit(m) if m.contains("100 rows")), "{e:?}");
    assert_eq!(run("SELECT * FROM generate_series(1, 100)", few).await.unwrap().iter().map(RecordBatch::num_rows).sum::<usize>(), 100);
    let tight = Limits { memory_bytes: 1 << 20, ..Limits::default() };
    let e =
        run("SELECT count(*) FROM generate_series(1, 500000) a(x) JOIN generate_series(1, 500000) b(y) ON x = y", tight).await.unwrap_err();
    assert!(matches!(&e, LakehouseError::Limit(m) if m.contains("memory")), "{e:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_and_abandoned_statements_stop() {
    let city = city().await;
    let endless = "SELECT x FROM generate_series(1, 1000000000000) a(x)";
    let request = QueryRequest::new(endless, Access::admin());
    let cancel = request.cancel.clone();
    let mut request = request;
    request.limits.rows_max = usize::MAX;
    let all = u32::try_from(city.lake.engine.permits.available_permits()).unwrap();
    let stream = city.lake.query(request.clone()).await.unwrap();
    cancel.cancel();
    assert!(matches!(stream.collect().await, Err(LakehouseError::Cancelled)));
    request.cancel = CancellationToken::new();
    let abandoned = city.lake.query(request).await.unwrap();
    assert!((city.lake.engine.permits.available_permits() as u32) < all, "it runs");
    drop(abandoned);
    let back = city.lake.engine.permits.acquire_many(all);
    let _all = tokio::time::timeout(Duration::from_secs(30), back).await.expect("both statements gave back their place").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_past_is_what_a_fold_of_all_rows_gives() {
    let city = city().await;
    let rows: Vec<TestRow> = (0..60u16).map(|i| ((i % 6) as u8, (i * 37) % 50, i32::from(i))).collect();
    for part in rows.chunks(7) {
        city.add("bologna.level", part).await;
        city.lake.flush().await.unwrap();
    }
    let as_of = 30;
    let mut expected: BTreeMap<u8, (u16, i32)> = BTreeMap::new();
    for (entity, minute, value) in rows.iter().filter(|r| r.1 <= as_of) {
        let last = expected.entry(*entity).or_insert((*minute, *value));
        if last.0 <= *minute {
            *last = (*minute, *value);
        }
    }
    let found = city.lake.latest_as_of(&testing::table(), Timestamp(at(as_of)), None, None).await.unwrap();
    let mut shown: BTreeMap<u8, (u16, i32)> = BTreeMap::new();
    for b in &found {
        let id = b.column_by_name("entity_id").unwrap().as_string::<i32>();
        let time = b.column_by_name("observed_at").unwrap().as_primitive::<TimestampMicrosecondType>();
        let value = b.column_by_name("value").unwrap().as_primitive::<Float64Type>();
        for r in 0..b.num_rows() {
            let entity = id.value(r).rsplit(':').next().unwrap().parse().unwrap();
            shown.insert(entity, (((time.value(r) - NOW.0) / 60_000_000) as u16, value.value(r) as i32));
        }
    }
    assert_eq!(shown, expected);
    let none = city.lake.latest_as_of(&testing::table(), Timestamp(at(as_of)), Some(Timestamp(NOW.0)), None).await.unwrap();
    assert!(none.is_empty(), "nothing was known yet");
    let box_of_2 = [11.3015, 44.0, 11.3025, 45.0];
    let near = city.lake.latest_as_of(&testing::table(), Timestamp(at(as_of)), None, Some(box_of_2)).await.unwrap();
    let ids: Vec<_> = near
        .iter()
        .flat_map(|b| b.column_by_name("entity_id").unwrap().as_string::<i32>().iter().flatten().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    assert_eq!(ids, ["urn:ngsi-ld:L:bologna:2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_series_is_in_order_and_thinned() {
    let city = city().await;
    let rows: Vec<TestRow> = (0..500u16).rev().map(|i| (1, i, i32::from(i % 50))).collect();
    city.add("bologna.level", &rows).await;
    let request = SeriesRequest {
        table: testing::table(),
        entity: EntityId::new("urn:ngsi-ld:L:bologna:1").unwrap(),
        field: "value".into(),
        from: NOW,
        to: Timestamp(at(400)),
        points_max: 100,
        keys: vec![],
    };
    let thin = city.lake.series(request.clone()).await.unwrap();
    assert_eq!(thin.num_rows(), 100);
    assert_eq!(thin.schema().metadata()["points"], "400");
    let times = thin.column(0).as_primitive::<TimestampMicrosecondType>();
    assert!(times.values().is_sorted());
    let e = city.lake.series(SeriesRequest { field: "depth".into(), ..request }).await.unwrap_err();
    assert!(matches!(e, LakehouseError::NotFound { .. }));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// LH-3: whatever the condition, the files and row groups left out held no row of the answer.
    #[test]
    fn pruning_never_changes_a_result(
        rows in prop::collection::vec((0u8..40, 0u16..5_000, -50i32..50), 1..120),
        boxes in prop::collection::vec((0u8..40, 0u8..40, 0u16..5_000, 0u16..5_000), 1..6),
        flushes in 1usize..5,
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let city = city().await;
            for part in rows.chunks(rows.len().div_ceil(flushes)) {
                city.add("bologna.level", part).await;
                city.lake.flush().await.unwrap();
            }
            city.add("bologna.level", &rows[..1]).await;
            let placed = |r: &&TestRow| r.0 % 5 != 4;
            let all: Vec<TestRow> = rows.iter().chain(&rows[..1]).copied().collect();
            for (e1, e2, m1, m2) in &boxes {
                let (west, east) = (11.30 + f64::from(*e1.min(e2)) * 0.001 - 0.0004, 11.30 + f64::from(*e1.max(e2)) * 0.001 + 0.0004);
                let (from, to) = (*m1.min(m2), *m1.max(m2));
                let inside = |r: &&TestRow| (*e1.min(e2)..=*e1.max(e2)).contains(&r.0);
                let during = |r: &&TestRow| (from..=to).contains(&r.1);
                let sum = |kept: Vec<&TestRow>| (kept.len(), kept.iter().map(|r| i64::from(r.2)).sum::<i64>());
                let time = format!("observed_at BETWEEN '{}' AND '{}'", Timestamp(at(from)), Timestamp(at(to)));
                let cell = schemas::Position::new(11.30 + f64::from(*e1) * 0.001, 44.5).unwrap().cell().0;
                let day = Timestamp(at(from)).date();
                for (condition, kept) in [
                    (format!("lon BETWEEN {west} AND {east} AND {time}"), all.iter().filter(placed).filter(inside).filter(during).collect::<Vec<_>>()),
                    (format!("h3 = {cell}"), all.iter().filter(placed).filter(|r| r.0 == *e1).collect()),
                    (format!("h3 > {cell} OR h3 <= {cell}"), all.iter().filter(placed).collect()),
                    ("h3 IS NULL".to_owned(), all.iter().filter(|r| !placed(r)).collect()),
                    (format!("date = CAST('1970-01-01' AS DATE) + {day}"), all.iter().filter(|r| Timestamp(at(r.1)).date() == day).collect()),
                    (format!("entity_id IN ('urn:ngsi-ld:L:bologna:{e1}', 'urn:ngsi-ld:L:bologna:{e2}')"), all.iter().filter(|r| r.0 == *e1 || r.0 == *e2).collect()),
                    (format!("NOT ({time})"), all.iter().filter(|r| !during(r)).collect()),
                ] {
                    let sql = format!("SELECT count(*), CAST(coalesce(sum(value), 0) AS BIGINT) FROM level WHERE {condition}");
                    let (count, total) = sum(kept);
                    prop_assert_eq!(city.admin(&sql).await, format!("{count} | {total}\n"), "{}", sql);
                }
            }
            Ok(())
        })?;
    }
}
