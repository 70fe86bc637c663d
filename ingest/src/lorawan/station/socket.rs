//! The WebSocket endpoint of the stations.

use super::{Said, read, router_config, router_info, time_sync};
use crate::{
    IngestError,
    lorawan::{gateway::Route, hub::Hub, text::Eui},
};
use futures::{SinkExt as _, StreamExt as _};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::{Semaphore, mpsc},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async_with_config,
    tungstenite::{
        self, Message,
        handshake::server::{ErrorResponse, Request, Response},
        protocol::WebSocketConfig,
    },
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(super) const GATEWAY_PATH: &str = "/gateway/";
const ROUTER_INFO: &str = "/router-info";
/// TLS and the handshake of the WebSocket.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// A station is pinged after this silence, and let go after two of them.
const SILENCE: Duration = Duration::from_secs(30);
/// Bytes of one message; a frame with all its fields has under a kilobyte.
const MESSAGE_MAX: usize = 16 << 10;
/// Downlinks on their way to one station.
const OUTBOX: usize = 64;

/// Serves stations until `stop`.
pub(in crate::lorawan) async fn serve(
    hub: Arc<Hub>,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    stop: CancellationToken,
) -> Result<(), IngestError> {
    let tasks = TaskTracker::new();
    // Two connections at once for each gateway: its socket, and its next query.
    let seats = Arc::new(Semaphore::new(hub.config.gateways_max.saturating_mul(2).clamp(1, 100_000)));
    let connections = Arc::new(AtomicU64::new(0));
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (socket, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a station's connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Ok(seat) = Arc::clone(&seats).try_acquire_owned() else {
            hub.counters.refused_gateways.one();
            continue;
        };
        let (hub, tls, stop) = (Arc::clone(&hub), tls.clone(), stop.clone());
        let number = connections.fetch_add(1, Ordering::Relaxed);
        tasks.spawn(async move {
            socket.set_nodelay(true).ok();
            let ended = match tls {
                None => connection(&hub, socket, false, number, &stop).await,
                Some(tls) => match stop.run_until_cancelled(timeout(HANDSHAKE_MAX, tls.accept(socket))).await {
                    Some(Ok(Ok(stream))) => connection(&hub, stream, true, number, &stop).await,
                    Some(Ok(Err(e))) => Err(format!("TLS: {e}")),
                    Some(Err(_)) => Err("the TLS handshake took too long".into()),
                    None => Ok(()),
                },
            };
            if let Err(rule) = ended {
                trace(peer, &rule);
            }
            drop(seat);
        });
    }
    tasks.close();
    tasks.wait().await;
    Ok(())
}

fn trace(peer: SocketAddr, rule: &str) {
    tracing::debug!(%peer, rule, "a station's connection ended");
}

/// What the handshake tells: the path and the name by which the station knows us.
#[derive(Debug, Default)]
struct Asked {
    path: String,
    host: String,
}

async fn connection<S>(hub: &Hub, socket: S, secure: bool, number: u64, stop: &CancellationToken) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut asked = Asked::default();
    #[expect(clippy::result_large_err, reason = "the signature of the library's callback")]
    let look = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        let host = request.headers().get("host").and_then(|h| h.to_str().ok()).unwrap_or("localhost");
        asked = Asked { path: request.uri().path().to_owned(), host: host.chars().take(255).collect() };
        Ok(response)
    };
    let config = WebSocketConfig::default()
        .read_buffer_size(4 << 10)
        .write_buffer_size(0)
        .max_write_buffer_size(1 << 20)
        .max_message_size(Some(MESSAGE_MAX))
        .max_frame_size(Some(MESSAGE_MAX));
    let handshake = accept_hdr_async_with_config(socket, look, Some(config));
    let Some(shaken) = stop.run_until_cancelled(timeout(HANDSHAKE_MAX, handshake)).await else { return Ok(()) };
    let mut socket = shaken.map_err(|_| "the handshake took too long")?.map_err(|e| e.to_string())?;
    if asked.path == ROUTER_INFO {
        return stop.run_until_cancelled(discover(hub, &mut socket, &asked.host, secure)).await.unwrap_or(Ok(()));
    }
    let eui = asked.path.strip_prefix(GATEWAY_PATH).and_then(Eui::parse);
    let Some(gateway) = eui else {
        socket.close(None).await.ok();
        return Err(format!("no such path: {}", crate::decode::reject::cut(&asked.path, 128)));
    };
    if !hub.admit(gateway, hub.clock.now()) {
        socket.close(None).await.ok();
        return Err(format!("gateway {gateway} is not allowed"));
    }
    hub.counters.stations.one();
    let (outbox, messages) = mpsc::channel(OUTBOX);
    hub.set_route(gateway, Route::Station { to: outbox, connection: number }, hub.clock.now());
    let ended = converse(hub, gateway, &mut socket, messages, stop).await;
    hub.air.lock().gateways.close_route(gateway, number);
    hub.counters.stations.less(1);
    timeout(HANDSHAKE_MAX, socket.close(None)).await.ok();
    ended
}

type Socket<S> = WebSocketStream<S>;

async fn discover<S>(hub: &Hub, socket: &mut Socket<S>, host: &str, secure: bool) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let first = timeout(HANDSHAKE_MAX, socket.next()).await.map_err(|_| "no query came")?;
    let message = first.ok_or("closed without a query")?.map_err(|e| e.to_string())?;
    let text = message.to_text().map_err(|e| e.to_string())?;
    hub.count_packet(text.len());
    let answer = match router_info(text, host, secure) {
        Ok((gateway, answer)) if hub.admit(gateway, hub.clock.now()) => answer,
        Ok((gateway, _)) => {
            serde_json::json!({ "router": gateway.dashed(), "error": "this gateway is not in lorawan.gateways" }).to_string()
        }
        Err(rule) => serde_json::json!({ "error": rule }).to_string(),
    };
    socket.send(Message::text(answer)).await.map_err(|e| e.to_string())?;
    socket.close(None).await.map_err(|e| e.to_string())?;
    // Until the station closes too, for its last bytes not to turn the answer into a reset.
    while timeout(HANDSHAKE_MAX, socket.next()).await.is_ok_and(|m| m.is_some_and(|m| m.is_ok())) {}
    Ok(())
}

async fn converse<S>(
    hub: &Hub,
    gateway: Eui,
    socket: &mut Socket<S>,
    mut messages: mpsc::Receiver<String>,
    stop: &CancellationToken,
) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut is_silent = false;
    loop {
        let said = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            message = messages.recv() => match message {
                Some(message) => {
                    send(socket, Message::text(message)).await?;
                    continue;
                }
                // The route is another connection's now.
                None => return Err("the gateway has connected again".into()),
            },
            said = timeout(SILENCE, socket.next()) => said,
        };
        let Ok(said) = said else {
            if is_silent {
                return Err("nothing was heard of the station".into());
            }
            is_silent = true;
            send(socket, Message::Ping(tungstenite::Bytes::new())).await?;
            continue;
        };
        is_silent = false;
        match said.ok_or("closed")?.map_err(|e| e.to_string())? {
            Message::Text(text) => {
                if let Some(answer) = hear(hub, gateway, text.as_str()).await {
                    send(socket, Message::text(answer)).await?;
                }
            }
            Message::Close(_) => return Ok(()),
            // Remote shells are not offered.
            Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }
}

async fn send<S>(socket: &mut Socket<S>, message: Message) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    timeout(HANDSHAKE_MAX, socket.send(message)).await.map_err(|_| "the station does not read")?.map_err(|e| e.to_string())
}

/// One message of an admitted station; what it is to be answered at once.
async fn hear(hub: &Hub, gateway: Eui, text: &str) -> Option<String> {
    let now = hub.clock.now();
    hub.count_packet(text.len());
    if !hub.admit(gateway, now) {
        return None;
    }
    match read(gateway, text) {
        Ok(Said::Version) => return Some(router_config(hub.config.tx_power_dbm)),
        Ok(Said::TimeSync { txtime }) => return Some(time_sync(txtime, now)),
        Ok(Said::Frame(reception)) => hub.hear(gateway, vec![*reception], None, now),
        Ok(Said::Transmitted { diid }) => hub.answered(gateway, diid, Ok(()), now).await,
        Ok(Said::Other) => {}
        Err(rule) => hub.malformed(gateway, rule, text.as_bytes(), now),
    }
    None
}
