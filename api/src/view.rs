//! Reads of the twin, now or in the past. The only place that talks to the crate `twin`.

pub(crate) mod cells;
pub(crate) mod entities;
pub(crate) mod events;
mod geojson;
pub(crate) mod history;
pub(crate) mod products;
pub(crate) mod tiles;

use crate::{
    city::PastRequest,
    doors::{Door, Place},
    error::ApiError,
    params::{Bbox, Params},
    router::App,
    scope::Scope,
};
use axum::{
    body::Body,
    http::{HeaderValue, header},
    response::Response,
};
use schemas::Timestamp;

/// A twin, what of it may be read, and the instant that it stands for.
struct Reading {
    twin: twin::Twin,
    scope: Scope,
    /// When freshness is judged: now, or the instant asked for.
    at: Timestamp,
    past: bool,
    place: Place,
}

impl Reading {
    /// The twin that `as_of` and `known_as_on` choose; without either, the live one.
    async fn open(app: &App, params: &Params<'_>, scope: Scope, bbox: Option<Bbox>) -> Result<Self, ApiError> {
        let now = app.city.clock().now();
        let (as_of, known_as_on) = (params.time("as_of")?, params.time("known_as_on")?);
        let place = app.doors.enter(Door::Read).await?;
        if as_of.is_none() && known_as_on.is_none() {
            return Ok(Self { twin: app.city.twin(), scope, at: now, past: false, place });
        }
        let at = as_of.or(known_as_on).map_or(now, |t| t.min(now));
        let live = app.city.twin();
        let contracts = app.city.contracts();
        let counted = live.counts(now).into_iter().map(|c| c.table);
        let tables: Vec<_> = counted.filter(|t| scope.visible(t, contracts).is_some()).collect();
        if tables.is_empty() {
            return Ok(Self { twin: twin::Twin::empty(contracts.clone()), scope, at, past: true, place });
        }
        let request = PastRequest { tables, as_of: at, known_as_on, bbox };
        Ok(Self { twin: app.past.get(app, request).await?, scope, at, past: true, place })
    }

    /// Runs work that takes a CPU for longer than the threads that serve connections can spare.
    async fn run<T: Send + 'static>(self, work: impl FnOnce(&Self) -> T + Send + 'static) -> Result<T, ApiError> {
        let task = tokio::task::spawn_blocking(move || {
            let out = work(&self);
            drop(self.place);
            out
        });
        task.await.map_err(|e| ApiError::internal(format!("reading the twin: {e}")))
    }
}

fn with_type(body: impl Into<Body>, content_type: &'static str) -> Response {
    let mut response = Response::new(body.into());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    response
}

/// The twin's own errors: their texts name the thing and the fix already.
fn failed(error: twin::TwinError) -> ApiError {
    ApiError::of(&error)
}

#[cfg(test)]
mod tests;
