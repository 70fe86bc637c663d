//! The threads that flush and compact, apart from those that serve requests.

use crate::LakehouseError;
use std::future::Future;
use tokio::runtime::{Builder, Handle, Runtime};

/// Threads that may block. Reading a Delta log holds one and waits for the reads of its files, which take one each on a local disk:
/// when all are held by readers of logs, none of them ever ends. What they compute is bounded by the locks of flush and compaction.
pub(crate) const BLOCKING_THREADS: usize = 64;

/// A runtime of its own; ends with its owner, wherever that is dropped.
#[derive(Debug)]
pub(crate) struct Work(Option<Runtime>);

impl Work {
    pub(crate) fn start() -> Result<Self, LakehouseError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(BLOCKING_THREADS)
            .thread_name("portico-work")
            .enable_all()
            .build()
            .map_err(LakehouseError::io("starting maintenance threads"))?;
        Ok(Self(Some(runtime)))
    }

    pub(crate) fn handle(&self) -> Handle {
        self.0.as_ref().map_or_else(Handle::current, |r| r.handle().clone())
    }

    /// Runs the future on these threads, to its end even if the caller leaves.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        future: impl Future<Output = Result<T, LakehouseError>> + Send + 'static,
    ) -> Result<T, LakehouseError> {
        self.handle().spawn(future).await.unwrap_or_else(|e| Err(LakehouseError::Internal(format!("maintenance task: {e}"))))
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // A plain drop would block, which an async context forbids.
            runtime.shutdown_background();
        }
    }
}

/// Runs CPU work on a blocking thread of the current runtime.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LakehouseError> + Send + 'static,
) -> Result<T, LakehouseError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| Err(LakehouseError::Internal(format!("worker: {e}"))))
}
