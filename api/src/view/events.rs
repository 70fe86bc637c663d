//! `GET /api/twin/events`: changes of the twin as server-sent events.

use crate::{
    city::ChangeBatch,
    doors::EventsPlace,
    error::ApiError,
    identity::Caller,
    params::{Bbox, Params},
    router::App,
    scope::{Scope, Visible},
};
use axum::{
    extract::{RawQuery, State},
    http::header,
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures::{Stream, StreamExt as _, stream};
use schemas::{LogPosition, TableRef};
use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::broadcast::{
        self,
        error::{RecvError, TryRecvError},
    },
    time::{Interval, MissedTickBehavior},
};

/// Silence after which a comment is sent, so that proxies keep the connection.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Changes of one entity within this time are sent as one.
const PACE: Duration = Duration::from_millis(100);
/// Entities in one go. What is beyond waits in the channel, and a client that never catches up is told that it lags.
const BURST_MAX: usize = 2_000;

/// The stream of changes within `tenant`, `product` and `bbox`.
pub(crate) async fn get(State(app): State<App>, caller: Caller, RawQuery(query): RawQuery) -> Result<Response, ApiError> {
    let params = Params::parse(query.as_deref(), &["tenant", "product", "bbox"], &[])?;
    let scope = Scope::from(&params, &app, &caller.principal)?;
    let bbox = params.bbox()?;
    let place = app.doors.open_events(caller.ip)?;
    let mut pace = tokio::time::interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let lifetime = app.config.limits.events_lifetime;
    let changes = app.city.changes();
    let feed = Feed { app, scope, bbox, changes, seen: HashMap::new(), pending: VecDeque::new(), pace, _place: place };
    let events = feed.into_stream().take_until(tokio::time::sleep(lifetime));
    let sse = Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT).text("heartbeat"));
    // nginx would hold events back.
    Ok(([(header::CACHE_CONTROL, "no-store"), (header::HeaderName::from_static("x-accel-buffering"), "no")], sse).into_response())
}

struct Feed {
    app: App,

    scope: Scope,
    bbox: Option<Bbox>,
    changes: broadcast::Receiver<Arc<ChangeBatch>>,
    /// Whether and how each table is visible, decided when it first shows.
    seen: HashMap<TableRef, Option<Visible>>,
    pending: VecDeque<Event>,
    pace: Interval,
    _place: EventsPlace,
}

/// The changes of one entity within a burst.
struct Merged {
    change: twin::Change,
    position: LogPosition,
}

impl Feed {
    fn into_stream(self) -> impl Stream<Item = Result<Event, Infallible>> + Send {
        stream::unfold(self, async |mut feed| {
            loop {
                if let Some(event) = feed.pending.pop_front() {
                    return Some((Ok(event), feed));
                }
                feed.pace.tick().await;
                match feed.changes.recv().await {
                    Ok(batch) => feed.burst(&batch),
                    Err(RecvError::Lagged(n)) => feed.pending.push_back(lagged(n)),
                    // The city stops: the stream ends and the browser asks again.
                    Err(RecvError::Closed) => return None,
                }
            }
        })
    }

    /// Turns `first` and what else is ready into events, one per entity.
    fn burst(&mut self, first: &ChangeBatch) {
        let mut order: Vec<Merged> = Vec::new();
        let mut index: HashMap<(TableRef, Arc<str>), usize> = HashMap::new();
        self.collect(first, &mut order, &mut index);
        while order.len() < BURST_MAX {
            match self.changes.try_recv() {
                Ok(batch) => self.collect(&batch, &mut order, &mut index),
                Err(TryRecvError::Lagged(n)) => self.pending.push_back(lagged(n)),
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        for merged in order {
            let Some(Some(visible)) = self.seen.get(&merged.change.table) else { continue };
            self.pending.push_back(event(&merged, visible));
        }
    }

    fn collect(&mut self, batch: &ChangeBatch, order: &mut Vec<Merged>, index: &mut HashMap<(TableRef, Arc<str>), usize>) {
        for change in &batch.changes {
            if !self.wants(change) {
                continue;
            }
            match index.entry((change.table.clone(), Arc::clone(&change.id))) {
                std::collections::hash_map::Entry::Occupied(at) => merge(&mut order[*at.get()], change, batch.position),
                std::collections::hash_map::Entry::Vacant(free) => {
                    free.insert(order.len());
                    order.push(Merged { change: change.clone(), position: batch.position });
                }
            }
        }
    }

    fn wants(&mut self, change: &twin::Change) -> bool {
        if let Some([west, south, east, north]) = self.bbox {
            let inside = |p: schemas::Position| (west..=east).contains(&p.lon) && (south..=north).contains(&p.lat);
            if !change.place.is_some_and(inside) {
                return false;
            }
        }
        if !self.seen.contains_key(&change.table) {
            let decided = self.scope.visible(&change.table, self.app.city.contracts());
            self.seen.insert(change.table.clone(), decided);
        }
        self.seen.get(&change.table).is_some_and(Option::is_some)
    }
}

fn merge(into: &mut Merged, change: &twin::Change, position: LogPosition) {
    into.position = position;
    into.change.place = change.place.or(into.change.place);
    into.change.observed_at = into.change.observed_at.max(change.observed_at);
    for (name, value) in &change.values {
        match into.change.values.iter_mut().find(|(n, _)| n == name) {
            Some(slot) => slot.1 = value.clone(),
            None => into.change.values.push((Arc::clone(name), value.clone())),
        }
    }
}

fn event(merged: &Merged, visible: &Visible) -> Event {
    let change = &merged.change;
    let shown = change.values.iter().filter(|(name, _)| visible.shows(name));
    let values: serde_json::Map<String, serde_json::Value> =
        shown.map(|(name, value)| (name.to_string(), serde_json::to_value(value).unwrap_or_default())).collect();
    let data = serde_json::json!({
        "id": change.id, "product": change.table.product, "tenant": change.table.tenant,
        "lon": change.place.map(|p| p.lon), "lat": change.place.map(|p| p.lat),
        "observed_at": change.observed_at.to_rfc3339(), "values": values, "position": merged.position,
    });
    Event::default().event("change").data(data.to_string())
}

fn lagged(skipped: u64) -> Event {
    Event::default().event("lagged").data(format!("{{\"skipped\":{skipped}}}"))
}

#[cfg(test)]
mod tests;
