//! All addresses, and the layers around them.

use crate::{
    city::City,
    config::ApiConfig,
    devices,
    doors::Doors,
    error::ApiError,
    foreign, ingest,
    layers::{self, RequestIds, Security},
    ops, pages,
    past::Past,
    register, session, signals, sql, view,
};
use axum::{
    Router,
    extract::{Path, rejection::PathRejection},
    http::{HeaderName, HeaderValue, Method, header},
    middleware,
    routing::{get, post, put},
};
use schemas::Kind;
use std::sync::Arc;
use tower_http::{
    CompressionLevel,
    catch_panic::CatchPanicLayer,
    compression::{
        CompressionLayer, Predicate as _,
        predicate::{DefaultPredicate, NotForContentType},
    },
    cors::{AllowOrigin, CorsLayer},
};

/// What every handler gets.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) city: Arc<dyn City>,
    pub(crate) config: Arc<ApiConfig>,
    pub(crate) doors: Arc<Doors>,
    pub(crate) past: Arc<Past>,
}

/// The whole HTTP surface over a city.
///
/// Serve it with connection info (`into_make_service_with_connect_info::<SocketAddr>()`, or a `ConnectInfo<SocketAddr>` extension):
/// without it every client counts as one address and `/metrics` is for administrators only.
/// Errors: `Invalid`, when an origin or host in the configuration cannot stand in a header.
pub fn router(city: Arc<dyn City>, config: ApiConfig) -> Result<Router, ApiError> {
    let security = Security::new(&config)?;
    let cors = cors(&config)?;
    let ids = RequestIds::new(city.clock().now());
    let app = App { city, doors: Arc::new(Doors::new(&config.limits)), past: Arc::default(), config: Arc::new(config) };
    let compression = CompressionLayer::new().quality(CompressionLevel::Precise(4)).compress_when(
        DefaultPredicate::new()
            .and(NotForContentType::const_new("application/vnd.apache.parquet"))
            .and(NotForContentType::const_new("font/")),
    );
    Ok(routes()
        .fallback(pages::fallback)
        .method_not_allowed_fallback(wrong_method)
        .layer(CatchPanicLayer::custom(layers::panicked))
        .layer(middleware::from_fn_with_state((app.clone(), ids), layers::trace))
        .layer(compression)
        .layer(cors)
        .layer(middleware::from_fn_with_state(security, layers::secure))
        .with_state(app))
}

fn routes() -> Router<App> {
    Router::new()
        .route("/api/products", get(view::products::list))
        .route("/api/twin/entities", get(view::entities::list))
        .route("/api/twin/entities/{id}", get(view::entities::one))
        .route("/api/twin/entities/{id}/history", get(view::history::get))
        .route("/api/twin/h3", get(view::cells::get))
        .route("/api/twin/tiles/{z}/{x}/{y}", get(view::tiles::get))
        .route("/api/twin/events", get(view::events::get))
        .route("/api/sql", post(sql::run))
        .route("/api/ingest/{product}", post(ingest::post))
        .route("/api/quarantine/suggestions", get(devices::suggestions))
        .route("/api/quarantine/accept", post(devices::accept))
        .route("/api/quarantine/replay", post(devices::replay))
        .route("/api/register/{entity}", put(register::put))
        .route("/api/signals/{entity}/command", post(signals::command))
        .merge(foreign::routes())
        .route("/api/ledger", get(ops::ledger))
        .route("/api/status", get(ops::status))
        .route("/api/session", get(session::get).post(session::post).delete(session::delete))
        .route("/healthz", get(ops::health))
        .route("/readyz", get(ops::ready))
        .route("/metrics", get(ops::metrics))
        .route("/", get(pages::map_it))
        .route("/en", get(pages::map_en))
        .route("/login", get(pages::login_it))
        .route("/en/login", get(pages::login_en))
        .route("/devices", get(pages::devices_it))
        .route("/en/devices", get(pages::devices_en))
        .route("/assets/{*path}", get(pages::asset))
        .route("/favicon.ico", get(pages::asset))
        .route("/favicon.svg", get(pages::asset))
        .route("/robots.txt", get(pages::asset))
}

/// Reading by scripts of the configured origins, without cookies.
fn cors(config: &ApiConfig) -> Result<CorsLayer, ApiError> {
    let bad = |o: &str| ApiError::new(Kind::Invalid, format!("origin '{o}' is not valid; write it as https://portal.example.it"));
    let origins: Result<Vec<HeaderValue>, ApiError> =
        config.cors_origins.iter().map(|o| HeaderValue::from_str(o).map_err(|_| bad(o))).collect();
    let origins = origins?;
    if origins.is_empty() {
        return Ok(CorsLayer::new());
    }
    if origins.iter().any(|o| o == "*") {
        return Err(bad("*"));
    }
    let exposed = [header::ETAG, HeaderName::from_static("x-portico-versions"), HeaderName::from_static("x-request-id")];
    Ok(CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE, header::ACCEPT])
        .expose_headers(exposed))
}

async fn wrong_method(method: Method) -> ApiError {
    ApiError::Method(method.to_string())
}

/// The parts of a path, or a problem that says why not.
pub(crate) fn path<T>(found: Result<Path<T>, PathRejection>) -> Result<T, ApiError> {
    found.map(|Path(value)| value).map_err(|e| ApiError::Parameter { place: "path", name: "id".into(), rule: e.body_text(), hint: None })
}

#[cfg(test)]
mod tests;
