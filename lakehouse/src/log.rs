//! The write-ahead log: what makes a frame durable before anything else happens with it (ING-1).
//!
//! Segments `log/<first position, 20 digits>.wal` hold records; see [`segment`] for the bytes. One thread writes
//! ([`writer`]): it takes all frames that wait, writes them, syncs once, publishes them and only then resolves tickets.

pub(crate) mod codec;
mod gather;
pub(crate) mod recover;
pub(crate) mod segment;
pub(crate) mod writer;

use crate::LakehouseError;
use schemas::LogPosition;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// Resolves when the frame is durable and visible to queries, or could not be made durable.
#[derive(Debug)]
pub struct Ticket(pub(crate) tokio::sync::oneshot::Receiver<Result<LogPosition, LakehouseError>>);

impl Future for Ticket {
    type Output = Result<LogPosition, LakehouseError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|r| r.unwrap_or(Err(LakehouseError::Closed)))
    }
}

/// A step of the log writer that a test can make fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogStep {
    Write,
    Sync,
}

type FaultFn = dyn Fn(LogStep, usize) -> std::io::Result<usize> + Send + Sync;

/// Asked before each write of `n` bytes (and each sync, with 0): answers how many bytes to write before failing
/// as a full disk does, or `Err` to fail at once. `Ok(n)` lets the step pass.
#[derive(Clone)]
pub struct LogFault(pub Arc<FaultFn>);

impl fmt::Debug for LogFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogFault")
    }
}

#[cfg(test)]
mod tests;
