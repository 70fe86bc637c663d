//! Attestations of removals: one row of `ops.deletions` for whatever retention took away, chained by hashes, so that none can be
//! changed or left out unnoticed. What was removed stands in the Delta commit itself too; after a stop between the commit and its
//! row, the row is made from there.

use anyhow::{Context as _, Result, ensure};
use arrow_array::{
    Array as _, ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    cast::AsArray as _,
    types::{Int64Type, TimestampMicrosecondType},
};
use arrow_schema::DataType;
use lakehouse::{Access, Expired, Lakehouse, QueryRequest, Removed};
use schemas::{Clock, Frame, Part, TableRef, Timestamp, ops::OpsTable, time::DAY_US};
use sha2::{Digest as _, Sha256};
use std::{collections::HashSet, sync::Arc};
use tokio::sync::Mutex;

/// Commits of a table that are searched for removals nobody attested; the newest are enough, because every round attests its own.
const COMMITS_MAX: usize = 64;
const ROWS_MAX: usize = 1_000_000;
const FOUND_LATER: &str = "found in the log of the table after a stop; the reason is in the log of the server";
const COLUMNS: &str = "observed_at, tenant, product, entity_id, first_day, last_day, rows_removed, files_removed, version_before, \
                       version_after, reason, seq, previous_hash, hash";

/// One row of `ops.deletions`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attestation {
    pub observed_at: Timestamp,
    pub tenant: String,
    pub product: String,
    pub entity_id: Option<String>,
    pub first_day: String,
    pub last_day: String,
    pub rows_removed: i64,
    pub files_removed: i64,
    pub version_before: i64,
    pub version_after: i64,
    pub reason: String,
    pub seq: i64,
    pub previous_hash: String,
    pub hash: String,
}

impl Attestation {
    /// SHA-256 of the lines: the hash before, then every column in order; an absent text is an empty line.
    fn digest(&self) -> String {
        let counts = [self.rows_removed, self.files_removed, self.version_before, self.version_after].map(|n| n.to_string());
        let (at, seq) = (self.observed_at.to_rfc3339(), self.seq.to_string());
        let mut lines: Vec<&str> = vec![&self.previous_hash, &seq, &at, &self.tenant, &self.product];
        lines.extend([self.entity_id.as_deref().unwrap_or_default(), &self.first_day, &self.last_day]);
        lines.extend(counts.iter().map(String::as_str));
        lines.push(&self.reason);
        Sha256::digest(lines.join("\n")).iter().map(|b| format!("{b:02x}")).collect()
    }
}

/// Where the chain ends.
#[derive(Debug, Default)]
struct End {
    /// Read when the first attestation is made.
    last: Option<(i64, String)>,
    /// False until the logs of the tables were compared with what is attested.
    compared: bool,
}

/// The one writer of `ops.deletions`.
#[derive(Debug)]
pub struct Deletions {
    lakehouse: Lakehouse,
    clock: Arc<dyn Clock>,
    end: Mutex<End>,
}

impl Deletions {
    #[must_use]
    pub fn new(lakehouse: Lakehouse, clock: Arc<dyn Clock>) -> Self {
        Self { lakehouse, clock, end: Mutex::default() }
    }

    /// Attests what a stop left without its row; once, and again after an attestation failed.
    pub async fn catch_up(&self) -> Result<()> {
        let mut end = self.end.lock().await;
        if end.compared {
            return Ok(());
        }
        for table in self.lakehouse.tables().into_iter().filter(|t| OpsTable::of(t).is_none()) {
            let mut found = self.lakehouse.removals(&table, COMMITS_MAX).await?;
            found.reverse();
            let known = if found.is_empty() { HashSet::new() } else { self.attested(&table).await? };
            for expired in found.iter().filter(|e| !known.contains(&e.version)) {
                self.append(&mut end, expired, |_| FOUND_LATER.to_owned()).await?;
            }
        }
        end.compared = true;
        Ok(())
    }

    /// Attests a removal; durable when this returns.
    pub async fn attest(&self, expired: &Expired, reason: impl Fn(&Removed) -> String) -> Result<()> {
        let mut end = self.end.lock().await;
        end.compared = false;
        self.append(&mut end, expired, reason).await?;
        end.compared = true;
        Ok(())
    }

    async fn attested(&self, table: &TableRef) -> Result<HashSet<i64>> {
        // Tenants and products are letters, digits and underscores: nothing to escape.
        let whose = format!("WHERE tenant = '{}' AND product = '{}'", table.tenant, table.product);
        Ok(read(&self.lakehouse, &whose).await?.into_iter().map(|a| a.version_after).collect())
    }

    async fn append(&self, end: &mut End, expired: &Expired, reason: impl Fn(&Removed) -> String) -> Result<()> {
        let (mut seq, mut previous) = match end.last.take() {
            Some(last) => last,
            None => read(&self.lakehouse, "ORDER BY seq DESC LIMIT 1").await?.pop().map_or_else(Default::default, |a| (a.seq, a.hash)),
        };
        let now = self.clock.now();
        let mut rows = Vec::with_capacity(expired.removed.len());
        for removed in &expired.removed {
            seq += 1;
            let mut row = Attestation {
                observed_at: now,
                tenant: expired.table.tenant.to_string(),
                product: expired.table.product.to_string(),
                entity_id: removed.entity_id.clone(),
                first_day: day(removed.from),
                last_day: day(removed.to),
                rows_removed: i64::try_from(removed.rows).unwrap_or(i64::MAX),
                files_removed: i64::try_from(expired.files).unwrap_or(i64::MAX),
                version_before: expired.version - 1,
                version_after: expired.version,
                reason: reason(removed).replace(char::is_control, " "),
                seq,
                previous_hash: previous,
                hash: String::new(),
            };
            row.hash = row.digest();
            previous = row.hash.clone();
            rows.push(row);
        }
        let part = Part { table: OpsTable::Deletions.table(), rows: batch(&rows)? };
        self.lakehouse.append(Frame { parts: vec![part], ledger: Vec::new() }).await?.await?;
        end.last = Some((seq, previous));
        Ok(())
    }
}

fn day(date: i32) -> String {
    Timestamp(i64::from(date) * DAY_US).to_date_text()
}

fn batch(rows: &[Attestation]) -> Result<RecordBatch> {
    let text = |get: fn(&Attestation) -> Option<&str>| -> ArrayRef { Arc::new(rows.iter().map(get).collect::<StringArray>()) };
    let count = |get: fn(&Attestation) -> i64| -> ArrayRef { Arc::new(Int64Array::from_iter_values(rows.iter().map(get))) };
    let at = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|r| r.observed_at.0)).with_timezone("UTC");
    let columns = vec![
        Arc::new(at) as ArrayRef,
        text(|r| Some(&r.tenant)),
        text(|r| Some(&r.product)),
        text(|r| r.entity_id.as_deref()),
        text(|r| Some(&r.first_day)),
        text(|r| Some(&r.last_day)),
        count(|r| r.rows_removed),
        count(|r| r.files_removed),
        count(|r| r.version_before),
        count(|r| r.version_after),
        text(|r| Some(&r.reason)),
        count(|r| r.seq),
        text(|r| Some(&r.previous_hash)),
        text(|r| Some(&r.hash)),
    ];
    RecordBatch::try_new(OpsTable::Deletions.pending_schema(), columns).context("a row of ops.deletions")
}

async fn read(lakehouse: &Lakehouse, rest: &str) -> Result<Vec<Attestation>> {
    let sql = format!("SELECT {COLUMNS} FROM ops.deletions {rest}");
    let mut request = QueryRequest::new(sql, Access::admin());
    request.limits.rows_max = ROWS_MAX;
    let batches = lakehouse.query(request).await?.collect().await?;
    batches.iter().map(attestations).collect::<Result<Vec<_>>>().map(|all| all.into_iter().flatten().collect())
}

fn attestations(batch: &RecordBatch) -> Result<Vec<Attestation>> {
    let at = arrow_cast::cast(batch.column(0), &schemas::row::timestamp_type())?;
    let column = |i: usize, kind: &DataType| arrow_cast::cast(batch.column(i), kind);
    let texts = [1, 2, 3, 4, 5, 10, 12, 13].map(|i| column(i, &DataType::Utf8));
    let counts = [6, 7, 8, 9, 11].map(|i| column(i, &DataType::Int64));
    let texts = texts.into_iter().collect::<Result<Vec<_>, _>>()?;
    let counts = counts.into_iter().collect::<Result<Vec<_>, _>>()?;
    let text = |i: usize, row: usize| texts[i].as_string::<i32>().value(row).to_owned();
    let count = |i: usize, row: usize| counts[i].as_primitive::<Int64Type>().value(row);
    let one = |row: usize| Attestation {
        observed_at: Timestamp(at.as_primitive::<TimestampMicrosecondType>().value(row)),
        tenant: text(0, row),
        product: text(1, row),
        entity_id: texts[2].is_valid(row).then(|| text(2, row)),
        first_day: text(3, row),
        last_day: text(4, row),
        rows_removed: count(0, row),
        files_removed: count(1, row),
        version_before: count(2, row),
        version_after: count(3, row),
        reason: text(5, row),
        seq: count(4, row),
        previous_hash: text(6, row),
        hash: text(7, row),
    };
    Ok((0..batch.num_rows()).map(one).collect())
}

/// Every attestation, in order, once the chain is found whole.
pub async fn verified(lakehouse: &Lakehouse) -> Result<Vec<Attestation>> {
    let all = read(lakehouse, "ORDER BY seq").await?;
    check(&all)?;
    Ok(all)
}

fn check(all: &[Attestation]) -> Result<()> {
    let (mut seq, mut previous) = (0, "");
    for row in all {
        seq += 1;
        ensure!(row.seq == seq, "attestation {seq} is missing: the next is {}", row.seq);
        ensure!(row.previous_hash == previous, "attestation {seq} does not follow the one before it");
        ensure!(row.digest() == row.hash, "attestation {seq} was changed: its hash does not fit it");
        previous = &row.hash;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain() -> Vec<Attestation> {
        let mut out: Vec<Attestation> = Vec::new();
        for seq in 1..=3 {
            let mut row = Attestation {
                observed_at: Timestamp(seq * DAY_US),
                tenant: "bologna".into(),
                product: "video_count".into(),
                entity_id: (seq == 2).then(|| "urn:ngsi-ld:CameraCountObserved:bologna:porta".into()),
                first_day: day(1),
                last_day: day(2),
                rows_removed: 5,
                files_removed: 1,
                version_before: 7,
                version_after: 8,
                reason: "register".into(),
                seq,
                previous_hash: out.last().map(|r| r.hash.clone()).unwrap_or_default(),
                hash: String::new(),
            };
            row.hash = row.digest();
            out.push(row);
        }
        out
    }

    #[test]
    fn whatever_is_changed_left_out_or_moved_breaks_the_chain() {
        check(&chain()).unwrap();
        let wrong = |change: fn(&mut Vec<Attestation>)| {
            let mut all = chain();
            change(&mut all);
            check(&all).unwrap_err().to_string()
        };
        assert_eq!(wrong(|a| a[1].rows_removed = 4), "attestation 2 was changed: its hash does not fit it");
        assert_eq!(wrong(|a| drop(a.remove(1))), "attestation 2 is missing: the next is 3");
        assert_eq!(wrong(|a| a[1].entity_id = None), "attestation 2 was changed: its hash does not fit it");
        let again = |a: &mut Vec<Attestation>| {
            a[0].reason = "nothing".into();
            a[0].hash = a[0].digest();
        };
        assert_eq!(wrong(again), "attestation 2 does not follow the one before it");
        assert_eq!(attestations(&batch(&chain()).unwrap()).unwrap(), chain());
    }
}
