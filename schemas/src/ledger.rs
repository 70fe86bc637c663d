//! The ledger: what became of every message, per source, product and hour (ING-2).

use crate::{ProductId, SourceId, Tenant, Timestamp};

/// Disjoint outcomes. `late` rows are in the table like `stored` ones; they are counted apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Counts {
    pub received: u64,
    pub stored: u64,
    pub duplicate: u64,
    pub late: u64,
    pub quarantined: u64,
    /// Dropped by a declared policy, for example a field of personal data or a retention of zero.
    pub dropped: u64,
}

impl Counts {
    pub fn add(&mut self, other: &Self) {
        self.received += other.received;
        self.stored += other.stored;
        self.duplicate += other.duplicate;
        self.late += other.late;
        self.quarantined += other.quarantined;
        self.dropped += other.dropped;
    }

    /// `received` less every outcome: zero when the ledger balances.
    #[must_use]
    pub fn imbalance(&self) -> i128 {
        i128::from(self.received)
            - i128::from(self.stored)
            - i128::from(self.duplicate)
            - i128::from(self.late)
            - i128::from(self.quarantined)
            - i128::from(self.dropped)
    }
}

/// What one frame adds to one line of the ledger. `product` is absent when no contract could be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerDelta {
    pub tenant: Tenant,
    pub source: SourceId,
    pub product: Option<ProductId>,
    /// Start of the UTC hour of receipt.
    pub hour: Timestamp,
    pub counts: Counts,
}
