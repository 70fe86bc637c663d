//! Twins of the past, kept for a moment: one move of the map's time handle asks for a dozen tiles of the same instant.

use crate::{city::PastRequest, doors::Door, error::ApiError, router::App};
use parking_lot::Mutex;
use schemas::{Timestamp, time::SECOND_US};
use std::sync::Arc;
use tokio::sync::OnceCell;

/// Twins kept at once, and entities in all of them.
const KEPT_MAX: usize = 12;
const ENTITIES_MAX: usize = 300_000;
/// Late rows may still change the past, so a twin of it is used no longer than this.
const KEPT_US: i64 = 30 * SECOND_US;

type Slot = Arc<OnceCell<twin::Twin>>;

struct Kept {
    request: PastRequest,
    at: Timestamp,
    twin: Slot,
}

/// The kept twins, the newest last.
#[derive(Default)]
pub(crate) struct Past(Mutex<Vec<Kept>>);

impl Past {
    /// The twin of a request: made once, also when many ask at the same time. It may hold more than the box asked for.
    pub(crate) async fn get(&self, app: &App, request: PastRequest) -> Result<twin::Twin, ApiError> {
        let slot = self.slot(&request, app.city.clock().now());
        let made = slot.get_or_try_init(async || {
            let _place = app.doors.enter(Door::Past).await?;
            app.city.twin_at(request.clone()).await
        });
        let twin = made.await.cloned()?;
        self.trim();
        Ok(twin)
    }

    fn slot(&self, request: &PastRequest, now: Timestamp) -> Slot {
        let mut kept = self.0.lock();
        kept.retain(|k| now.0.saturating_sub(k.at.0) < KEPT_US);
        // The whole, if it is there already, serves for any box.
        let whole = PastRequest { bbox: None, ..request.clone() };
        let found = kept.iter().find(|k| k.request == *request || (k.request == whole && k.twin.initialized()));
        if let Some(found) = found {
            return Arc::clone(&found.twin);
        }
        if kept.len() >= KEPT_MAX {
            kept.remove(0);
        }
        let twin = Slot::default();
        kept.push(Kept { request: request.clone(), at: now, twin: Arc::clone(&twin) });
        twin
    }

    /// Lets the oldest go until the rest is small enough; the newest stays.
    fn trim(&self) {
        let mut kept = self.0.lock();
        let size = |kept: &[Kept]| kept.iter().filter_map(|k| k.twin.get()).map(twin::Twin::len).sum::<usize>();
        while kept.len() > 1 && size(&kept) > ENTITIES_MAX {
            kept.remove(0);
        }
    }
}
