//! Who makes a request: bearer token, basic password, session cookie or nobody; and protection against requests forged by other sites.

use crate::{
    access::{Action, Principal},
    city::Credentials,
    error::ApiError,
    router::App,
};
use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::{HeaderMap, Method, header, request::Parts},
};
use base64::Engine as _;
use schemas::Kind;
use std::net::{IpAddr, SocketAddr};

/// The name of the session cookie.
pub(crate) const COOKIE: &str = "portico_session";
/// The longest secret that is looked at.
const SECRET_LEN_MAX: usize = 1_024;

/// The principal of a request and where it comes from.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) principal: Principal,
    pub(crate) ip: Option<IpAddr>,
}

impl Caller {
    pub(crate) fn require(&self, action: Action) -> Result<(), ApiError> {
        self.principal.require(action)
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let ip = client_ip(parts, app.config.client_ip_header.as_deref());
        let principal = match credentials(&parts.headers)? {
            None => Principal::public(),
            Some(Credentials::Session(token)) => {
                let found = app.city.authenticate(Credentials::Session(token)).await;
                if found.is_some() && !parts.method.is_safe() {
                    same_site(&parts.headers, true)?;
                }
                // An old cookie must not close the public map; whatever needs a role then says that a sign-in is needed.
                found.unwrap_or_else(Principal::public)
            }
            Some(proof) => prove(app, ip, proof).await?,
        };
        Ok(Self { principal, ip })
    }
}

/// Who holds the credentials. Failures count against the address they come from.
pub(crate) async fn prove(app: &App, ip: Option<IpAddr>, proof: Credentials) -> Result<Principal, ApiError> {
    let now = app.city.clock().now();
    app.doors.check_sign_in(ip, now)?;
    app.city.authenticate(proof).await.ok_or_else(|| {
        app.doors.note_failure(ip, now);
        ApiError::unauthenticated("the credentials are wrong, expired or revoked", "check the token or the password, or sign in again")
    })
}

/// The credentials of a request; `Authorization` wins over the cookie.
fn credentials(headers: &HeaderMap) -> Result<Option<Credentials>, ApiError> {
    let malformed = |rule: &str| {
        ApiError::new(Kind::Unauthenticated, format!("header 'authorization' {rule}"))
            .with_hint("write 'Bearer <token>' or 'Basic <base64 of user:password>'")
    };
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return Ok(cookie(headers).map(Credentials::Session));
    };
    let text = value.to_str().map_err(|_| malformed("is not text"))?;
    if text.len() > 2 * SECRET_LEN_MAX {
        return Err(malformed("is too long"));
    }
    let (scheme, rest) = text.split_once(' ').ok_or_else(|| malformed("has no scheme"))?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Ok(Some(Credentials::Token(rest.trim().to_owned())));
    }
    // What clients of InfluxDB 2 send; those written for 1.x put user and password into it.
    if scheme.eq_ignore_ascii_case("token") {
        return Ok(Some(match rest.trim().split_once(':') {
            Some((user, password)) => Credentials::Password { user: user.to_owned(), password: password.to_owned() },
            None => Credentials::Token(rest.trim().to_owned()),
        }));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(malformed("has a scheme that is not known here"));
    }
    let bytes = base64::engine::general_purpose::STANDARD.decode(rest.trim()).map_err(|_| malformed("is not base64"))?;
    let pair = String::from_utf8(bytes).map_err(|_| malformed("is not UTF-8"))?;
    let (user, password) = pair.split_once(':').ok_or_else(|| malformed("has no ':' between user and password"))?;
    Ok(Some(Credentials::Password { user: user.to_owned(), password: password.to_owned() }))
}

/// The session token in the cookies, if any.
pub(crate) fn cookie(headers: &HeaderMap) -> Option<String> {
    let texts = headers.get_all(header::COOKIE).into_iter().filter_map(|v| v.to_str().ok());
    let mut pairs = texts.flat_map(|t| t.split(';')).filter_map(|p| p.trim().split_once('='));
    pairs.find(|(n, v)| *n == COOKIE && !v.is_empty() && v.len() <= SECRET_LEN_MAX).map(|(_, v)| v.to_owned())
}

/// Refuses a state-changing request that a browser sends on behalf of another site.
/// With `cookie`, a request that says nothing about its origin is refused too; without, it is a tool's and passes.
pub(crate) fn same_site(headers: &HeaderMap, cookie: bool) -> Result<(), ApiError> {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    let same = match (text("sec-fetch-site"), text("origin")) {
        (Some(site), _) => site == "same-origin",
        (None, Some(origin)) => {
            let host = text("host").unwrap_or_default();
            origin.split_once("://").is_some_and(|(_, rest)| !host.is_empty() && rest.eq_ignore_ascii_case(host))
        }
        (None, None) => !cookie,
    };
    if same {
        return Ok(());
    }
    Err(ApiError::forbidden(
        "the request seems to come from another site",
        "send it from Portico's own pages, or with 'Authorization: Bearer' instead of the cookie",
    ))
}

pub(crate) fn client_ip(parts: &Parts, header: Option<&str>) -> Option<IpAddr> {
    let forwarded = header.and_then(|h| parts.headers.get(h)).and_then(|v| v.to_str().ok());
    let told = forwarded.and_then(|t| t.rsplit(',').next()).and_then(|t| t.trim().parse().ok());
    told.or_else(|| parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|c| c.0.ip()))
}

/// Whether the request was made on this machine and not passed on by a proxy.
pub(crate) fn is_local(parts: &Parts) -> bool {
    let forwarded = ["x-forwarded-for", "forwarded", "x-real-ip", "via"].iter().any(|h| parts.headers.contains_key(*h));
    !forwarded && parts.extensions.get::<ConnectInfo<SocketAddr>>().is_some_and(|c| c.0.ip().to_canonical().is_loopback())
}

/// Whether the client is a browser asking for a page.
pub(crate) fn wants_html(method: &Method, headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    (method == Method::GET || method == Method::HEAD || method == Method::POST) && accept.contains("text/html")
}
