//! `GET /api/twin/entities` and `/api/twin/entities/{urn}`.

use super::{Reading, failed, geojson, with_type};
use crate::{
    error::{ApiError, nearest},
    identity::Caller,
    params::{Params, clip},
    register,
    router::{App, path},
    scope::{Scope, Visible},
};
use axum::{
    extract::{Path, RawQuery, State, rejection::PathRejection},
    response::Response,
};
use base64::Engine as _;
use schemas::{EntityId, Position, ProductId};

const LIMIT_DEFAULT: usize = 1_000;
const LIMIT_MAX: usize = 100_000;
const PARAMETERS: &[&str] = &["tenant", "product", "bbox", "polygon", "near", "type", "as_of", "known_as_on", "limit", "cursor"];
const BASE64: base64::engine::GeneralPurpose = base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// A page of entities within an area, as a GeoJSON FeatureCollection with `as_of`, `position` and `next`.
pub(crate) async fn list(State(app): State<App>, caller: Caller, RawQuery(query): RawQuery) -> Result<Response, ApiError> {
    let params = Params::parse(query.as_deref(), PARAMETERS, &[])?;
    let scope = Scope::from(&params, &app, &caller.principal)?;
    let bbox = params.bbox()?;
    let filter = filter(&params, &app)?;
    let cursor = params.text("cursor").map(Cursor::parse).transpose()?;
    let limit = filter.limit;
    let reading = Reading::open(&app, &params, scope, bbox).await?;
    let body = reading.run(move |r| collection(r, &filter, cursor, limit)).await?;
    Ok(with_type(body, "application/geo+json"))
}

/// One entity, with every attribute. With `product`, of that product; else of the first that has it.
pub(crate) async fn one(
    State(app): State<App>,
    caller: Caller,
    id: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let params = Params::parse(query.as_deref(), &["tenant", "product", "as_of", "known_as_on"], &[])?;
    let id = entity_id(&path(id)?)?;
    let scope = Scope::from(&params, &app, &caller.principal)?;
    let reading = Reading::open(&app, &params, scope, None).await?;
    let found = reading.run(move |r| {
        let (entity, visible) = find(r, &id)?;
        let mut out = Vec::with_capacity(2_048);
        geojson::entity(&mut out, entity, &visible, r.at);
        Ok(out)
    });
    Ok(with_type(found.await??, "application/json"))
}

/// The identifier in a path.
pub(crate) fn entity_id(text: &str) -> Result<EntityId, ApiError> {
    EntityId::new(text).map_err(|e| ApiError::Parameter { place: "path", name: "id".into(), rule: e.to_string(), hint: None })
}

/// The entity in the first visible table that has it; register and health speak of devices that have data of their own, so they come last.
/// A hidden one is not told from one that does not exist.
pub(super) fn find<'a>(reading: &'a Reading, id: &'a EntityId) -> Result<(twin::EntityView<'a>, Visible), ApiError> {
    let seen = |e: twin::EntityView<'a>| reading.scope.visible(e.table(), reading.twin.contracts()).map(|v| (e, v));
    let tables = reading.twin.find(id.as_str()).filter_map(seen);
    tables.min_by_key(|(e, _)| register::ABOUT_DEVICES.contains(&e.table().product.as_str())).ok_or_else(|| {
        ApiError::not_found(format!("there is no entity '{id}' that you may see")).with_hint("GET /api/twin/entities lists them")
    })
}

fn filter(params: &Params<'_>, app: &App) -> Result<twin::Filter, ApiError> {
    let mut filter = twin::Filter::all(twin::Tenants::Only(Vec::new()), params.number("limit", 1..=LIMIT_MAX, LIMIT_DEFAULT)?);
    filter.bbox = params.bbox()?.map(twin::BBox::new).transpose().map_err(failed)?;
    filter.polygon = params.polygon()?.map(|ring| twin::Polygon::new(&[ring])).transpose().map_err(failed)?;
    if let Some([lon, lat, radius]) = params.near()? {
        filter.near = Some(twin::Near::new(Position { lon, lat }, radius).map_err(failed)?);
    }
    if let Some(wanted) = params.text("type") {
        let known: Vec<&str> = app.city.contracts().iter().map(|c| c.entity_type.as_str()).collect();
        if !known.contains(&wanted) {
            let hint = nearest(wanted, known.iter().copied())
                .map_or_else(|| format!("known: {}", known.join(", ")), |n| format!("did you mean '{n}'?"));
            return Err(ApiError::query("type", format!("'{}' is not a type of entity", clip(wanted))).with_hint(hint));
        }
        filter.entity_type = Some(wanted.to_owned());
    }
    Ok(filter)
}

/// Where a page ended: the product, and the place in it that the twin knows. Opaque to callers.
#[derive(Debug, PartialEq)]
struct Cursor {
    product: ProductId,
    inner: Option<twin::Cursor>,
}

impl Cursor {
    fn parse(text: &str) -> Result<Self, ApiError> {
        let rule = || ApiError::query("cursor", "is not one that this address gave out; use the 'next' of the page before, unchanged");
        let bytes = BASE64.decode(text).map_err(|_| rule())?;
        let text = String::from_utf8(bytes).map_err(|_| rule())?;
        let (product, inner) = text.split_once('\n').ok_or_else(rule)?;
        let product = ProductId::new(product).map_err(|_| rule())?;
        let inner = if inner.is_empty() { None } else { Some(inner.parse().map_err(|_| rule())?) };
        Ok(Self { product, inner })
    }

    fn text(&self) -> String {
        let inner = self.inner.as_ref().map(ToString::to_string).unwrap_or_default();
        BASE64.encode(format!("{}\n{inner}", self.product))
    }
}

/// The page as bytes. Products follow one another; each has its own tenants.
fn collection(reading: &Reading, filter: &twin::Filter, cursor: Option<Cursor>, limit: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 << 10);
    out.extend_from_slice(b"{\"type\":\"FeatureCollection\",\"features\":[");
    let (start, mut after) = cursor.map_or((None, None), |c| (Some(c.product), c.inner));
    let mut left = limit;
    let mut next = None;
    for product in reading.scope.products.iter().filter(|p| start.as_ref().is_none_or(|s| p.contract.product >= *s)) {
        let inner = if start.as_ref() == Some(&product.contract.product) { after.take() } else { None };
        let own = twin::Filter {
            tenants: product.tenants.clone(),
            products: vec![product.contract.product.clone()],
            // A full page looks one entity further, to know whether there is a next one.
            limit: left.max(1),
            after: inner,
            ..filter.clone()
        };
        let page = reading.twin.entities(&own);
        if left == 0 {
            if page.entities.is_empty() {
                continue;
            }
            next = Some(Cursor { product: product.contract.product.clone(), inner: None });
            break;
        }
        left -= page.entities.len();
        features(&mut out, reading, &page.entities);
        if let Some(inner) = page.next {
            next = Some(Cursor { product: product.contract.product.clone(), inner: Some(inner) });
            break;
        }
    }
    out.extend_from_slice(
        format!("],\"as_of\":\"{}\",\"position\":{},\"next\":", reading.at.to_rfc3339(), reading.twin.position()).as_bytes(),
    );
    geojson::json(&mut out, &next.map(|c| c.text()));
    out.push(b'}');
    out
}

fn features(out: &mut Vec<u8>, reading: &Reading, entities: &[twin::EntityView<'_>]) {
    let mut current: Option<Visible> = None;
    for &entity in entities {
        if current.as_ref().is_none_or(|v| v.table != *entity.table()) {
            current = reading.scope.visible(entity.table(), reading.twin.contracts());
        }
        let Some(visible) = &current else { continue };
        if out.last() == Some(&b'}') {
            out.push(b',');
        }
        geojson::feature(out, entity, visible, reading.at);
    }
}
