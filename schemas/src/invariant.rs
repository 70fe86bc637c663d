//! The named invariants: one definition used by property tests, debug assertions and the metric of violations.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! invariants {
    ($($id:ident $name:literal $says:literal;)*) => {
        /// An invariant of DESIGN, by its name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Id { $(#[doc = $says] $id,)* }

        impl Id {
            pub const ALL: &'static [Self] = &[$(Self::$id,)*];

            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$id => $name,)* }
            }

            #[must_use]
            pub const fn says(self) -> &'static str {
                match self { $(Self::$id => $says,)* }
            }
        }
    };
}

invariants! {
    Ing1 "ING-1" "an acknowledged message is in the log, whatever is killed and when";
    Ing2 "ING-2" "per source and hour the ledger balances to zero";
    Ing3 "ING-3" "delivering a message again changes no count and no sum";
    Lh1 "LH-1" "a committed row is visible exactly once: hot or in one live file";
    Lh2 "LH-2" "replaying the write-ahead log any number of times gives the same tables";
    Lh3 "LH-3" "pruning by H3, time or statistics never changes a result";
    Lh4 "LH-4" "a query at a pinned version returns the same bytes after compaction, upgrade and restart";
    Tw1 "TW-1" "the twin at t equals the fold of the log up to t; the twin now equals one rebuilt from the log";
    Api1 "API-1" "no row and no count crosses a tenant or a policy";
    Gov1 "GOV-1" "no stream with personal data enters without a register entry; no forbidden field reaches a file";
    Pub1 "PUB-1" "a published figure never changes silently";
}

static VIOLATIONS: [AtomicU64; Id::ALL.len()] = [const { AtomicU64::new(0) }; Id::ALL.len()];

/// Violations of `id` counted since the process started; exported as a metric.
#[must_use]
pub fn violations(id: Id) -> u64 {
    VIOLATIONS[id as usize].load(Ordering::Relaxed)
}

/// Counts a violation, and stops a debug build. Use through [`crate::check!`].
pub fn violated(id: Id, context: std::fmt::Arguments<'_>) {
    VIOLATIONS[id as usize].fetch_add(1, Ordering::Relaxed);
    debug_assert!(false, "{} broken ({}): {context}", id.name(), id.says());
}

/// Evaluates the condition in every build: a debug build stops, a release build counts.
#[macro_export]
macro_rules! check {
    ($id:expr, $cond:expr, $($context:tt)+) => {
        if !$cond {
            $crate::invariant::violated($id, format_args!($($context)+));
        }
    };
}
