//! What is removed because it is too old: whole dates by contract, rows of a camera by its entry in the register; each removal is
//! attested in `ops.deletions`, and what the twin showed of it goes too.

use super::Parts;
use anyhow::Result;
use ingest::camera::{self, Register};
use lakehouse::{Erase, Removed};
use schemas::{Contract, Contracts, TableRef, Tenant, Timestamp, Value};
use std::{collections::BTreeMap, sync::Arc};
use twin::{EntityView, Twin};

/// How long rows are kept, by contract and by camera.
#[derive(Debug)]
pub struct Kept {
    contracts: Contracts,
    /// Days, and the impact assessment that says so; of streams in the register, and of those that left it as their last entry said.
    streams: BTreeMap<(Tenant, String), (u32, String)>,
}

fn local(urn: &str) -> &str {
    urn.rsplit(':').next().unwrap_or_default()
}

impl Kept {
    pub fn new(contracts: &Contracts, register: &Register, twin: &Twin) -> Self {
        let mut streams = BTreeMap::new();
        for entry in twin.all().filter(|e| e.table().product.as_str() == super::camera_register::PRODUCT) {
            let days = match entry.value("retention_days") {
                Some(Value::Int(days)) => u32::try_from(days).unwrap_or(0),
                _ => continue,
            };
            let dpia = super::camera_register::text(entry, "dpia");
            streams.insert((entry.table().tenant.clone(), local(entry.id()).to_owned()), (days, dpia));
        }
        for s in register.streams() {
            streams.insert((s.tenant.clone(), s.id.clone()), (s.retention_days, s.dpia.clone()));
        }
        Self { contracts: contracts.clone(), streams }
    }

    /// The days of a stream, where they are fewer than the contract's.
    fn shorter(&self, contract: &Contract, tenant: &Tenant, id: &str) -> Option<&(u32, String)> {
        let protected = camera::PROTECTED.contains(&contract.product.as_str());
        let stream = self.streams.get(&(tenant.clone(), id.to_owned())).filter(|_| protected)?;
        contract.retention_days.is_none_or(|days| stream.0 < days).then_some(stream)
    }

    fn orders(&self, table: &TableRef, now: Timestamp) -> Vec<Erase> {
        let Some(contract) = self.contracts.get(&table.product) else { return Vec::new() };
        let own = self.streams.keys().filter(|(tenant, _)| *tenant == table.tenant);
        own.filter_map(|(tenant, id)| {
            let (days, _) = self.shorter(contract, tenant, id)?;
            let urn = schemas::EntityId::compose(&contract.entity_type, tenant, id).ok()?;
            Some(Erase { entity_id: Arc::from(urn.as_str()), before: camera::expired_before(*days, now) })
        })
        .collect()
    }

    /// The first date that is kept of an entity; `None` when its rows are kept for good.
    pub fn before(&self, entity: EntityView<'_>, now: Timestamp) -> Option<i32> {
        let contract = self.contracts.get(&entity.table().product)?;
        let stream = self.shorter(contract, &entity.table().tenant, local(entity.id()));
        stream.map(|(days, _)| camera::expired_before(*days, now)).or_else(|| contract.expired_before(now))
    }

    fn reason(&self, table: &TableRef, removed: &Removed) -> String {
        let Some(contract) = self.contracts.get(&table.product) else { return String::new() };
        match removed.entity_id.as_deref().and_then(|urn| self.shorter(contract, &table.tenant, local(urn))) {
            Some((days, dpia)) => format!("the register of cameras keeps {days} days ({dpia})"),
            None => format!("the contract {} {} keeps {} days", contract.product, contract.version, contract.retention_days.unwrap_or(0)),
        }
    }
}

/// Removes what is no longer kept, from the tables and from what the twin shows.
pub(super) async fn round(parts: &Parts) -> Result<()> {
    parts.deletions.catch_up().await?;
    let now = parts.clock.now();
    let kept = Kept::new(&parts.contracts, &parts.devices.readers.cameras, &parts.feed.snapshot());
    let mut gone = parts.lakehouse.expire().await?;
    for expired in &gone {
        parts.deletions.attest(expired, |r| kept.reason(&expired.table, r)).await?;
    }
    for table in parts.lakehouse.tables().into_iter().filter(|t| camera::PROTECTED.contains(&t.product.as_str())) {
        let orders = kept.orders(&table, now);
        if let Some(expired) = parts.lakehouse.erase(&table, orders).await? {
            parts.deletions.attest(&expired, |r| kept.reason(&table, r)).await?;
            gone.push(expired);
        }
    }
    if parts.feed.outlived(&kept, now) {
        parts.feed.refold(&parts.lakehouse, &parts.contracts).await?;
        tracing::info!(removals = gone.len(), "the twin was folded anew without the removed rows");
    }
    Ok(())
}
