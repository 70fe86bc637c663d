//! `GET /api/twin/tiles/{z}/{x}/{y}.mvt`: vector tiles of one product.

use super::{Reading, failed, with_type};
use crate::{
    error::ApiError,
    identity::Caller,
    params::Params,
    router::{App, path},
    scope::Scope,
};
use axum::{
    extract::{Path, RawQuery, State, rejection::PathRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use schemas::{Timestamp, time::SECOND_US};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

const CONTENT_TYPE: &str = "application/vnd.mapbox-vector-tile";
/// Freshness changes as time goes by without new rows, so a tile is looked at anew after this.
const LOOK_AGAIN_US: i64 = 10 * SECOND_US;

/// A tile; `field` is the headline when absent. `If-None-Match` is answered without drawing while the log stands still.
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    at: Result<Path<(String, String, String)>, PathRejection>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let params = Params::parse(query.as_deref(), &["tenant", "product", "field", "as_of", "known_as_on"], &[])?;
    let (z, x, y) = address(&path(at)?)?;
    let scope = Scope::from(&params, &app, &caller.principal)?;
    let Some((contract, field, tenants)) = scope.field(params.text("field"))? else {
        return Ok(with_type(Vec::new(), CONTENT_TYPE));
    };
    let mut request = twin::TileRequest::new(tenants, contract.product.clone(), Timestamp::default());
    request.field = Some(field.name.clone());
    let reading = Reading::open(&app, &params, scope, None).await?;
    request.now = reading.at;
    let past = reading.past;
    let cache = if past { "private, max-age=30" } else { "private, no-cache" };
    let state = State304 { position: reading.twin.position(), rest: state_hash(&request) };
    let known = headers.get(header::IF_NONE_MATCH).and_then(|v| v.to_str().ok()).and_then(Tag::parse);
    if let Some(tag) = known.filter(|t| !past && t.state == state) {
        return Ok(tagged(StatusCode::NOT_MODIFIED.into_response(), tag, cache));
    }
    let tile = reading.run(move |r| r.twin.tile(z, x, y, &request)).await?.map_err(failed)?;
    let mut hasher = DefaultHasher::new();
    tile.hash(&mut hasher);
    let tag = Tag { state, content: hasher.finish() };
    if known.is_some_and(|k| k.content == tag.content) {
        return Ok(tagged(StatusCode::NOT_MODIFIED.into_response(), tag, cache));
    }
    Ok(tagged(with_type(tile, CONTENT_TYPE), tag, cache))
}

fn address((z, x, y): &(String, String, String)) -> Result<(u8, u32, u32), ApiError> {
    let bad = |name: &str, rule: &str| ApiError::Parameter {
        place: "path",
        name: name.into(),
        rule: rule.into(),
        hint: Some("write /api/twin/tiles/14/8707/5910.mvt".into()),
    };
    let y = y.strip_suffix(".mvt").ok_or_else(|| bad("y", "must end in .mvt"))?;
    let z = z.parse().map_err(|_| bad("z", "is not a zoom from 0 to 24"))?;
    let x = x.parse().map_err(|_| bad("x", "is not a whole number"))?;
    Ok((z, x, y.parse().map_err(|_| bad("y", "is not a whole number"))?))
}

/// What a live tile depends on beside its address.
#[derive(Debug, Clone, Copy, PartialEq)]
struct State304 {
    position: u64,
    rest: u64,
}

fn state_hash(request: &twin::TileRequest) -> u64 {
    let mut hasher = DefaultHasher::new();
    match &request.tenants {
        twin::Tenants::All => 0u8.hash(&mut hasher),
        twin::Tenants::Only(list) => list.hash(&mut hasher),
    }
    request.now.0.div_euclid(LOOK_AGAIN_US).hash(&mut hasher);
    hasher.finish()
}

/// The validator: the state that the tile was drawn from, and its bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Tag {
    state: State304,
    content: u64,
}

impl Tag {
    fn parse(text: &str) -> Option<Self> {
        let inner = text.trim().strip_prefix("W/")?.strip_prefix('"')?.strip_suffix('"')?;
        let mut parts = inner.split('-').map(|p| u64::from_str_radix(p, 16).ok());
        let (position, rest, content) = (parts.next()??, parts.next()??, parts.next()??);
        Some(Self { state: State304 { position, rest }, content })
    }
}

fn tagged(mut response: Response, tag: Tag, cache: &'static str) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.insert(header::VARY, HeaderValue::from_static("authorization, cookie, accept-encoding"));
    let text = format!("W/\"{:x}-{:x}-{:x}\"", tag.state.position, tag.state.rest, tag.content);
    if let Ok(value) = HeaderValue::from_str(&text) {
        headers.insert(header::ETAG, value);
    }
    response
}
