//! The UDP socket of the packet forwarders. An acknowledgement leaves before the packet is read further, as the protocol wants:
//! it says that the datagram arrived, not that anything of it is stored.

use super::{
    gateway::Route,
    gwmp::{self, Kind},
    hub::Hub,
};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;

/// The largest UDP datagram.
const DATAGRAM_MAX: usize = 65_536;

pub(super) async fn serve(hub: &Hub, socket: UdpSocket, stop: CancellationToken) {
    let socket = Arc::new(socket);
    let mut buffer = vec![0; DATAGRAM_MAX];
    loop {
        let received = tokio::select! {
            () = stop.cancelled() => return,
            received = socket.recv_from(&mut buffer) => received,
        };
        match received {
            Ok((n, from)) => datagram(hub, &socket, &buffer[..n], from).await,
            // An ICMP answer to something sent earlier, or no memory for a moment: the socket itself stays good.
            Err(error) => {
                tracing::debug!(%error, "a datagram could not be received");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

async fn datagram(hub: &Hub, socket: &Arc<UdpSocket>, bytes: &[u8], from: SocketAddr) {
    let now = hub.clock.now();
    hub.count_packet(bytes.len());
    let packet = match gwmp::read(bytes) {
        Ok(packet) => packet,
        Err(rule) => {
            // Nobody known has sent it, so it is not kept.
            hub.counters.malformed.one();
            return tracing::debug!(%from, rule, "not a packet of a gateway");
        }
    };
    if !hub.admit(packet.gateway, now) {
        return;
    }
    if let Some(ack) = gwmp::acknowledge(&packet)
        && let Err(error) = socket.send_to(&ack, from).await
    {
        tracing::debug!(%from, %error, "a gateway could not be acknowledged");
    }
    match packet.kind {
        Kind::PullData => {
            hub.set_route(packet.gateway, Route::Udp { socket: Arc::clone(socket), to: from, version: packet.version }, now);
        }
        Kind::TxAck => hub.answered(packet.gateway, u16::from_be_bytes(packet.token), gwmp::transmitted(packet.body), now).await,
        Kind::PushData => match gwmp::pushed(packet.gateway, packet.body) {
            Ok(pushed) => {
                hub.counters.crc_failed.add(usize::try_from(pushed.crc_failed).unwrap_or(0));
                for rule in pushed.faults {
                    hub.malformed(packet.gateway, rule, packet.body, now);
                }
                hub.hear(packet.gateway, pushed.frames, pushed.position, now);
            }
            Err(rule) => hub.malformed(packet.gateway, rule, packet.body, now),
        },
    }
}
