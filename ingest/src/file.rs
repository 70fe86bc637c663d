//! Files of observations: CSV (plain or gzip) read with a mapping file, turned into the same messages that devices send.
//!
//! One line of the file is one record; a quoted cell may not hold a line break, so that one broken line costs one line.
//! Nothing is read ahead but a line, so memory does not depend on the size of the file.
//!
//! The way: [`FileMapping`] (what the columns mean) → [`read`] (lines to messages or rejects) → [`import()`] (groups through the
//! [`crate::pipeline::Pipeline`]: the same decode, contract, deduplication and ledger as live messages). [`replay()`] paces messages in time.

mod cell;
mod import;
mod layout;
mod line;
mod mapping;
mod record;
mod replay;
mod rows;
mod time;

pub use import::{ImportReport, LineReject, Progress, import};
pub use layout::guess;
pub use mapping::FileMapping;
pub use replay::{Paced, replay, row_messages};
pub use rows::{FileItem, Rows, read};

#[cfg(test)]
mod tests;
