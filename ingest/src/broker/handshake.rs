//! From an accepted socket to a connection that may publish: TLS, CONNECT, password, session, CONNACK.

use super::{
    Shared,
    connection::{Client, Connection},
    control::{self, Code, Connect, Refusal, Welcome, Will},
    session::{Lease, Session},
    subscriptions::Subscriber,
    wire::{Fault, Version, kind},
};
use crate::{Publisher, topic};
use bytes::{Buf, BytesMut};
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout_at},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// A CONNECT is read before anybody is known, so it is limited further than other packets.
const CONNECT_MAX: usize = 16 << 10;
/// MQTT asks servers for 23 bytes at least (3.1.3.1).
const CLIENT_ID_MAX: usize = 256;

/// Serves one socket to its end.
pub(super) async fn serve_socket(
    shared: Arc<Shared>,
    socket: TcpStream,
    peer: SocketAddr,
    tls: Option<TlsAcceptor>,
    stop: CancellationToken,
) {
    // Acknowledgements are small and already gathered: never wait for more.
    if socket.set_nodelay(true).is_err() {
        return;
    }
    let deadline = Instant::now() + shared.config.connect_timeout;
    match tls {
        None => serve_stream(shared, socket, peer.ip(), deadline, stop).await,
        Some(tls) => match timeout_at(deadline, tls.accept(socket)).await {
            Ok(Ok(stream)) => serve_stream(shared, stream, peer.ip(), deadline, stop).await,
            Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake failed"),
            Err(_) => tracing::debug!(%peer, "TLS handshake took too long"),
        },
    }
}

/// Serves one stream to its end. `address` is who the failed logins are counted for.
pub(super) async fn serve_stream<S>(shared: Arc<Shared>, mut stream: S, address: IpAddr, deadline: Instant, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let greeting = timeout_at(deadline, greet(&shared, &mut stream, address, &stop));
    let greeted = tokio::select! {
        () = stop.cancelled() => return,
        greeted = greeting => greeted,
    };
    match greeted {
        Ok(Some(guest)) => {
            let Guest { client, lease, session, input } = guest;
            let counters = Arc::clone(&shared.counters);
            counters.connections.add(1);
            counters.connections_total.one();
            Connection::new(shared, stream, client, session, input, stop).serve(lease).await;
            counters.connections.less(1);
        }
        Ok(None) => drop(timeout_at(deadline, stream.shutdown()).await),
        Err(_) => tracing::debug!(%address, "no complete CONNECT in time"),
    }
}

struct Guest {
    client: Client,
    lease: Lease,
    session: Session,
    /// Bytes that came behind the CONNECT.
    input: BytesMut,
}

/// Reads and answers a CONNECT; `None` when the client was refused.
async fn greet<S>(shared: &Arc<Shared>, stream: &mut S, address: IpAddr, stop: &CancellationToken) -> Option<Guest>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut input = BytesMut::with_capacity(1_024);
    let mut out = BytesMut::new();
    let connect = match read_connect(stream, &mut input, shared.config.packet_max.min(CONNECT_MAX)).await? {
        Ok(connect) => connect,
        Err(refusal) => {
            shared.counters.faults.one();
            match refusal {
                Refusal::Version(five) => {
                    let version = if five { Version::V5 } else { Version::V4 };
                    control::refuse(&mut out, version, Code::UnsupportedProtocolVersion);
                    stream.write_all(&out).await.ok()?;
                }
                // What is not MQTT gets no MQTT answer (3.1.4).
                Refusal::Fault(fault) => tracing::debug!(%address, %fault, "connection closed before CONNECT was read"),
            }
            return None;
        }
    };
    let version = connect.version;
    match admit(shared, connect, address, stop).await {
        Ok((client, lease, session, welcome)) => {
            control::welcome(&mut out, version, welcome);
            stream.write_all(&out).await.ok()?;
            stream.flush().await.ok()?;
            Some(Guest { client, lease, session, input })
        }
        Err(code) => {
            control::refuse(&mut out, version, code);
            stream.write_all(&out).await.ok()?;
            None
        }
    }
}

/// `None` when the peer left.
async fn read_connect<S>(stream: &mut S, input: &mut BytesMut, size_max: usize) -> Option<Result<Connect, Refusal>>
where
    S: AsyncRead + Unpin,
{
    loop {
        match control::first_packet(input, size_max) {
            Ok(Some(h)) if h.kind() == kind::CONNECT => {
                let connect = control::connect(input, h);
                input.advance(h.end);
                return Some(connect);
            }
            Ok(Some(_)) => return Some(Err(Refusal::Fault(Fault::Protocol("the first packet is not CONNECT")))),
            Ok(None) if input.first().is_some_and(|b| b >> 4 != kind::CONNECT) => {
                return Some(Err(Refusal::Fault(Fault::Protocol("the first packet is not CONNECT"))));
            }
            Ok(None) => {}
            Err(fault) => return Some(Err(Refusal::Fault(fault))),
        }
        if stream.read_buf(input).await.ok()? == 0 {
            return None;
        }
    }
}

type Admitted = (Client, Lease, Session, Welcome);

/// Everything that can refuse a well-formed CONNECT, in the order that says least to strangers.
async fn admit(shared: &Arc<Shared>, mut connect: Connect, address: IpAddr, stop: &CancellationToken) -> Result<Admitted, Code> {
    let config = &shared.config;
    if connect.enhanced_auth {
        return Err(Code::BadAuthenticationMethod);
    }
    let publisher = login(shared, &connect, address).await?;
    let assigned = assign_client_id(shared, &mut connect)?;
    if let Some(will) = &connect.will {
        check_will(will, &publisher)?;
    }
    let longest = config.session_expiry_max.as_secs().min(u64::from(u32::MAX)) as u32;
    let session_secs = connect.session_expiry.min(longest);
    let (keep_alive, told) = keep_alive(&connect, config.keep_alive_max);
    let cancel = stop.child_token();
    let key = (publisher.source.clone(), connect.client_id.clone());
    let (lease, session, session_present) = shared.sessions.acquire(key, connect.clean, cancel.clone()).await;
    let id = shared.next_id();
    let subscriber = Arc::new(Subscriber::new(id, connect.version, connect.packet_max, config.subscriber_queue_bytes));
    let welcome = Welcome {
        session_present,
        packet_max: config.packet_max,
        receive_max: config.window_messages.max(1),
        assigned_client_id: assigned,
        session_expiry: (session_secs != connect.session_expiry).then_some(session_secs),
        keep_alive: told,
    };
    let client = Client {
        publisher,
        version: connect.version,
        client_id: connect.client_id,
        session_keep: Duration::from_secs(session_secs.into()),
        keep_alive,
        packet_max: connect.packet_max,
        will: connect.will,
        subscriber,
        cancel,
    };
    Ok((client, lease, session, welcome))
}

async fn login(shared: &Shared, connect: &Connect, address: IpAddr) -> Result<Arc<Publisher>, Code> {
    // Permits are never closed, so this only waits.
    let _turn = shared.logins.acquire().await.map_err(|_| Code::ServerUnavailable)?;
    if let Some(publisher) = shared.access.authenticate(&connect.user, connect.password.as_bytes()).await {
        return Ok(publisher);
    }
    shared.guard.failed(address);
    shared.counters.refused_logins.one();
    tracing::info!(%address, user = ?connect.user, "MQTT login refused");
    Err(Code::BadUserNamePassword)
}

/// A client without identifier gets one when it keeps no session (3.1.3.1); returned when MQTT 5.0 must be told.
fn assign_client_id(shared: &Shared, connect: &mut Connect) -> Result<Option<String>, Code> {
    if connect.client_id.len() > CLIENT_ID_MAX || connect.client_id.chars().any(char::is_control) {
        return Err(Code::ClientIdentifierNotValid);
    }
    if !connect.client_id.is_empty() {
        return Ok(None);
    }
    if connect.version == Version::V4 && !connect.clean {
        return Err(Code::ClientIdentifierNotValid);
    }
    connect.client_id = format!("portico-{:x}-{}", shared.clock.now().micros(), shared.next_id());
    Ok((connect.version == Version::V5).then(|| connect.client_id.clone()))
}

fn check_will(will: &Will, publisher: &Publisher) -> Result<(), Code> {
    let topic = topic::name(&will.topic).map_err(|_| Code::TopicNameInvalid)?;
    let may = !topic.starts_with(topic::COMMANDS) && publisher.publish.iter().any(|f| f.matches(topic));
    if may { Ok(()) } else { Err(Code::NotAuthorized) }
}

/// The silence after which the client is gone, 1.5 times its keep alive (3.1.2.10), and the value to tell it when it is ours.
fn keep_alive(connect: &Connect, longest: Duration) -> (Duration, Option<u16>) {
    let asked = Duration::from_secs(connect.keep_alive.into());
    if asked.is_zero() || asked > longest {
        let secs = u16::try_from(longest.as_secs()).unwrap_or(u16::MAX);
        return (longest.mul_f32(1.5), Some(secs));
    }
    (asked.mul_f32(1.5), None)
}
