//! The threads that flush and compact, apart from those that serve requests.

use crate::LakehouseError;
use std::future::Future;
use tokio::runtime::{Builder, Handle, Runtime};

/// Threads for CPU-bound pieces of one maintenance task each; more would take the machine from queries.
const BLOCKING_THREADS: usize = 8;

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
