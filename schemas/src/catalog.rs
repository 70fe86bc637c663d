//! The set of contracts that a running Portico knows.

use crate::{Contract, ProductId, TableRef, contract::ContractError, ops::OpsTable, row};
use arrow_schema::SchemaRef;
use std::{collections::BTreeMap, sync::Arc};

macro_rules! builtin {
    ($($name:literal),* $(,)?) => {
        /// File name and text of every contract in `schemas/contracts`.
        pub const BUILTIN: &[(&str, &str)] = &[$((concat!($name, ".yaml"), include_str!(concat!("../contracts/", $name, ".yaml")))),*];
    };
}

builtin!(
    "air_quality",
    "camera_register",
    "detector_quality",
    "device_health",
    "device_status",
    "green_wave",
    "noise",
    "parking",
    "people_vehicle_count",
    "sensor_register",
    "service_alert",
    "signal_command",
    "signal_plan",
    "signal_simulation",
    "street_light",
    "traffic_class_count",
    "traffic_count",
    "traffic_measure",
    "traffic_signal",
    "traffic_situation",
    "trip_update",
    "vehicle_position",
    "video_count",
    "video_event",
    "video_track",
    "vms_message",
    "waste_container",
    "water_level",
    "weather",
);

/// Contracts by product. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Contracts(Arc<BTreeMap<ProductId, Arc<Contract>>>);

impl Contracts {
    /// The contracts compiled into the binary.
    pub fn builtin() -> Result<Self, ContractError> {
        Self::parse(BUILTIN.iter().copied())
    }

    /// From file names and YAML texts; a later file replaces an earlier one of the same product.
    pub fn parse<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, ContractError> {
        let mut map = BTreeMap::new();
        for (file, yaml) in files {
            let contract = Contract::parse(file, yaml)?;
            map.insert(contract.product.clone(), Arc::new(contract));
        }
        Ok(Self(Arc::new(map)))
    }

    /// These and one more, which replaces one of the same product.
    #[must_use]
    pub fn with(&self, contract: Contract) -> Self {
        let mut map = BTreeMap::clone(&self.0);
        map.insert(contract.product.clone(), Arc::new(contract));
        Self(Arc::new(map))
    }

    #[must_use]
    pub fn get(&self, product: &ProductId) -> Option<&Arc<Contract>> {
        self.0.get(product)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Contract>> {
        self.0.values()
    }

    /// The columns of a stored table, contract or `ops`; `None` when nobody declared it.
    #[must_use]
    pub fn stored_schema(&self, table: &TableRef) -> Option<SchemaRef> {
        match OpsTable::of(table) {
            Some(ops) => Some(ops.stored_schema()),
            None => self.get(&table.product).map(|c| row::stored_schema(c)),
        }
    }

    /// The same without the columns that the lakehouse stamps.
    #[must_use]
    pub fn pending_schema(&self, table: &TableRef) -> Option<SchemaRef> {
        match OpsTable::of(table) {
            Some(ops) => Some(ops.pending_schema()),
            None => self.get(&table.product).map(|c| row::pending_schema(c)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_builtin_contract_parses() {
        let all = Contracts::builtin().unwrap();
        assert_eq!(all.iter().count(), BUILTIN.len());
    }
}
