//! `POST` and `DELETE /api/session`: sign-in and sign-out of browsers, by cookie. `GET` tells who is signed in.

use crate::{
    body,
    city::{AuditEvent, Session},
    error::ApiError,
    identity::{self, COOKIE, Caller},
    params::clip,
    router::App,
};
use axum::{
    Json,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use std::net::IpAddr;

/// The longest user name and password.
const SECRET_LEN_MAX: usize = 256;

#[derive(serde::Serialize)]
struct Who<'a> {
    user: &'a str,
    role: crate::access::Role,
}

/// Who the caller is.
pub(crate) async fn get(caller: Caller) -> Response {
    let who = Who { user: &caller.principal.name, role: caller.principal.role };
    ([(header::CACHE_CONTROL, "no-store")], Json(who)).into_response()
}

/// JSON `{"user": ..., "password": ...}`, or the same as a form: then the answer leads back to the map.
pub(crate) async fn post(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    identity::same_site(&parts.headers, false)?;
    let ip = identity::client_ip(&parts, app.config.client_ip_header.as_deref());
    let text = body::read(body, app.config.limits.body_bytes_max.min(16 << 10)).await?;
    let form = match body::media_type(&parts.headers).as_deref() {
        Some("application/json") => None,
        Some("application/x-www-form-urlencoded") => Some(form(&text)),
        other => return Err(ApiError::MediaType { got: clip(other.unwrap_or("none")), accepted: "application/json" }),
    };
    match form {
        None => {
            let (user, password) = json(&text)?;
            let session = sign_in(&app, ip, &user, &password).await?;
            let who = Who { user: &session.principal.name, role: session.principal.role };
            Ok(with_cookie(&app, &session, Json(who).into_response()))
        }
        Some(form) => {
            let home = if form.language == "en" { "/en" } else { "/" };
            match sign_in(&app, ip, &form.user, &form.password).await {
                Ok(session) => Ok(with_cookie(&app, &session, see_other(home))),
                Err(_) => Ok(see_other(if form.language == "en" { "/en/login?failed=1" } else { "/login?failed=1" })),
            }
        }
    }
}

/// Revokes the session of the cookie and takes the cookie back.
pub(crate) async fn delete(State(app): State<App>, headers: HeaderMap) -> Result<Response, ApiError> {
    identity::same_site(&headers, true)?;
    if let Some(token) = identity::cookie(&headers) {
        let principal = app.city.authenticate(crate::Credentials::Session(token.clone())).await;
        app.city.sign_out(&token).await;
        if let Some(p) = principal {
            app.city.audit(AuditEvent { actor: p.name.clone(), action: "sign_out", object: p.name, outcome: "ok" });
        }
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    set_cookie(&app, "", 0, &mut response);
    Ok(response)
}

async fn sign_in(app: &App, ip: Option<IpAddr>, user: &str, password: &str) -> Result<Session, ApiError> {
    let now = app.city.clock().now();
    app.doors.check_sign_in(ip, now)?;
    let within = |t: &str| !t.is_empty() && t.len() <= SECRET_LEN_MAX;
    let session = if within(user) && within(password) { app.city.sign_in(user, password).await? } else { None };
    let outcome = if session.is_some() { "ok" } else { "unauthenticated" };
    let name: String = user.chars().take(SECRET_LEN_MAX).collect();
    app.city.audit(AuditEvent { actor: name.clone(), action: "sign_in", object: name, outcome });
    session.ok_or_else(|| {
        app.doors.note_failure(ip, now);
        ApiError::unauthenticated("user or password is wrong", "check both; an administrator can set a new password")
    })
}

fn with_cookie(app: &App, session: &Session, mut response: Response) -> Response {
    set_cookie(app, &session.token, session.lifetime.as_secs(), &mut response);
    response
}

fn set_cookie(app: &App, token: &str, secs: u64, response: &mut Response) {
    let secure = if app.config.tls { "; Secure" } else { "" };
    let text = format!("{COOKIE}={token}; Path=/; HttpOnly; SameSite=Lax; Max-Age={secs}{secure}");
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    match HeaderValue::from_str(&text) {
        Ok(value) => _ = headers.insert(header::SET_COOKIE, value),
        Err(e) => tracing::error!(error = %e, "the session token cannot be a cookie"),
    }
}

fn see_other(place: &'static str) -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, place)]).into_response()
}

#[derive(Default)]
struct Form {
    user: String,
    password: String,
    language: String,
}

fn form(text: &[u8]) -> Form {
    let mut out = Form::default();
    for (name, value) in form_urlencoded::parse(text) {
        match name.as_ref() {
            "user" => out.user = value.into_owned(),
            "password" => out.password = value.into_owned(),
            "language" => out.language = value.into_owned(),
            _ => {}
        }
    }
    out
}

fn json(text: &[u8]) -> Result<(String, String), ApiError> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct SignIn {
        user: String,
        password: String,
    }
    // The error of serde could repeat a part of the body, which holds a password.
    serde_json::from_slice::<SignIn>(text)
        .map(|s| (s.user, s.password))
        .map_err(|_| ApiError::body("json", "is not a sign-in").with_hint(r#"send {"user": "...", "password": "..."} and nothing else"#))
}

#[cfg(test)]
mod tests;
