//! What the tests of the store share: a small contract, frames of it, and everything a store shows.

use crate::{Access, LakehouseConfig, LakehouseError, SqlAuth, Tenants, store::Store};
use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    cast::AsArray,
    types::{Float64Type, Int64Type, TimestampMicrosecondType},
};
use futures::{FutureExt, TryStreamExt, future::BoxFuture};
use schemas::{Contracts, Counts, Frame, LedgerDelta, ManualClock, Part, Position, SourceId, TableRef, Tenant, Timestamp, row};
use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

pub(crate) const NOW: Timestamp = Timestamp(1_767_225_600_000_000);

/// A contract of one product `level` with the given number fields.
pub(crate) fn contracts(fields: &[&str]) -> Contracts {
    contracts_with(fields, "")
}

/// The same with one field, kept for so many days.
pub(crate) fn kept(days: u32) -> Contracts {
    contracts_with(&["value"], &format!("slaProperties:\n  - {{property: retention, value: {days}, unit: d}}\n"))
}

fn contracts_with(fields: &[&str], sla: &str) -> Contracts {
    let field = |name: &&str| format!("      - {{name: {name}, logicalType: number}}\n");
    let properties: String = fields.iter().map(field).collect();
    let custom = |p: &str, v: &str| format!("  - {{property: {p}, value: {v}}}\n");
    let yaml = format!(
        "apiVersion: v3.1.0\nkind: DataContract\nid: t\nname: t\nversion: 1.0.{}\nstatus: active\nschema:\n  - name: level\n    \
         logicalType: object\n    properties:\n{properties}{sla}customProperties:\n{}{}{}{}{}{}",
        fields.len(),
        custom("headline", fields[0]),
        custom("label_it", "l"),
        custom("label_en", "l"),
        custom("entityType", "L"),
        custom("owner", "o"),
        custom("licence", "l"),
    );
    Contracts::parse([("level.yaml", yaml.as_str())]).unwrap()
}

pub(crate) fn table() -> TableRef {
    TableRef::parse("bologna.level").unwrap()
}

/// One row of a test: sensor, minutes since [`NOW`], value.
pub(crate) type TestRow = (u8, u16, i32);

pub(crate) fn at(minute: u16) -> i64 {
    NOW.0 + i64::from(minute) * 60_000_000
}

pub(crate) fn batch(contracts: &Contracts, rows: &[TestRow]) -> RecordBatch {
    let schema = contracts.pending_schema(&table()).unwrap();
    let place = |e: u8| Position::new(11.30 + f64::from(e) * 0.001, 44.5).unwrap();
    let text = |f: &dyn Fn(&TestRow) -> String| Arc::new(StringArray::from_iter_values(rows.iter().map(f))) as ArrayRef;
    let time = |f: &dyn Fn(&TestRow) -> i64| {
        Arc::new(TimestampMicrosecondArray::from_iter_values(rows.iter().map(f)).with_timezone("UTC")) as ArrayRef
    };
    // Every fifth sensor has no known place.
    let placed = |r: &TestRow| (r.0 % 5 != 4).then(|| place(r.0));
    let mut columns: Vec<ArrayRef> = vec![
        text(&|r| format!("urn:ngsi-ld:L:bologna:{}", r.0)),
        time(&|r| at(r.1)),
        time(&|r| at(r.1) + 1_000),
        text(&|_| "mqtt/g1".into()),
        text(&|_| "unchecked".into()),
        Arc::new(BooleanArray::from(vec![true; rows.len()])),
        Arc::new(Float64Array::from_iter(rows.iter().map(|r| placed(r).map(|p| p.lon)))),
        Arc::new(Float64Array::from_iter(rows.iter().map(|r| placed(r).map(|p| p.lat)))),
        Arc::new(Int64Array::from_iter(rows.iter().map(|r| placed(r).map(|p| p.cell().0)))),
    ];
    for _ in row::FIELDS_START..schema.fields().len() {
        columns.push(Arc::new(Float64Array::from_iter_values(rows.iter().map(|r| f64::from(r.2)))));
    }
    RecordBatch::try_new(schema, columns).unwrap()
}

pub(crate) fn delta(stored: u64) -> LedgerDelta {
    LedgerDelta {
        tenant: Tenant::new("bologna").unwrap(),
        source: SourceId::new("mqtt/g1").unwrap(),
        product: Some(table().product),
        hour: NOW.hour(),
        counts: Counts { received: stored, stored, ..Counts::default() },
    }
}

pub(crate) fn frame(contracts: &Contracts, rows: &[TestRow]) -> Frame {
    Frame { parts: vec![Part { table: table(), rows: batch(contracts, rows) }], ledger: vec![delta(rows.len() as u64)] }
}

/// Nothing by itself: tests flush and compact when they want to.
pub(crate) fn config(dir: &Path) -> LakehouseConfig {
    let mut out = LakehouseConfig::new(dir);
    out.flush_interval = Duration::ZERO;
    out.compact_interval = Duration::ZERO;
    out.vacuum_interval = Duration::ZERO;
    out
}

pub(crate) async fn open(config: LakehouseConfig, contracts: &Contracts) -> Result<Arc<Store>, LakehouseError> {
    Store::open(config, contracts.clone(), Arc::new(ManualClock::at(NOW))).await
}

pub(crate) async fn append(store: &Store, frame: Frame) -> Result<u64, LakehouseError> {
    store.append(frame).await?.await
}

/// Everything that a store shows.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Shown {
    /// (position, entity, observed_at, value), sorted.
    pub(crate) rows: Vec<(i64, String, i64, i64)>,
    /// Stored by the ledger, by source.
    pub(crate) ledger: BTreeMap<String, i64>,
}

pub(crate) async fn shown(store: &Arc<Store>) -> Shown {
    let batches: Vec<(TableRef, RecordBatch)> = store.tail(0).1.try_collect().await.unwrap();
    let mut out = Shown::default();
    for (name, batch) in &batches {
        let text = |c: &str| batch.column_by_name(c).unwrap().as_string::<i32>().clone();
        let int = |c: &str| batch.column_by_name(c).unwrap().as_primitive::<Int64Type>().clone();
        if name == &table() {
            let (entity, position) = (text(row::ENTITY_ID), int(row::POSITION));
            let observed = batch.column_by_name(row::OBSERVED_AT).unwrap().as_primitive::<TimestampMicrosecondType>();
            let value = batch.column(row::FIELDS_START).as_primitive::<Float64Type>();
            out.rows.extend(
                (0..batch.num_rows()).map(|i| (position.value(i), entity.value(i).to_owned(), observed.value(i), value.value(i) as i64)),
            );
        } else {
            let (source, stored) = (text("source"), int("stored"));
            (0..batch.num_rows()).for_each(|i| *out.ledger.entry(source.value(i).to_owned()).or_default() += stored.value(i));
        }
    }
    out.rows.sort_unstable();
    out
}

/// What a store with these frames must show; the first has position 1, a missing one was lost unacknowledged.
pub(crate) fn expected(frames: &[(u64, Vec<TestRow>)]) -> Shown {
    let mut out = Shown::default();
    for (position, rows) in frames {
        out.rows.extend(rows.iter().map(|r| (*position as i64, format!("urn:ngsi-ld:L:bologna:{}", r.0), at(r.1), i64::from(r.2))));
        *out.ledger.entry("mqtt/g1".into()).or_default() += rows.len() as i64;
    }
    out.rows.sort_unstable();
    out
}

/// `root` who sees everything and `imola` who sees its tenant, both with the password `right`; a token is the name.
pub(crate) struct Users;

fn access(user: &str) -> Option<Access> {
    match user {
        "root" => Some(Access::admin()),
        "imola" => Some(Access { tenants: Tenants::Only(vec![Tenant::new("imola").unwrap()]), ..Access::admin() }),
        _ => None,
    }
}

impl SqlAuth for Users {
    fn check(&self, user: &str, password: &[u8]) -> BoxFuture<'_, Option<Access>> {
        futures::future::ready((password == b"right").then(|| access(user)).flatten()).boxed()
    }

    fn sign_in(&self, user: &str, password: &[u8]) -> BoxFuture<'_, Option<String>> {
        let known = password == b"right" && access(user).is_some();
        futures::future::ready(known.then(|| format!("token-of-{user}"))).boxed()
    }

    fn check_token(&self, token: &[u8]) -> BoxFuture<'_, Option<Access>> {
        let user = std::str::from_utf8(token).ok().and_then(|t| t.strip_prefix("token-of-"));
        futures::future::ready(user.and_then(access)).boxed()
    }
}
