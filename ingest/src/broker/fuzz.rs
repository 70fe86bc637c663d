//! For the fuzz targets (`tests/fuzz`), which stand outside the crate.

use super::{
    control,
    wire::{self, Version, kind},
};

const PACKET_MAX: usize = 1 << 20;

/// What a client sends, packet by packet, as a connection reads it.
pub fn client(bytes: &[u8], v5: bool) {
    let mut version = if v5 { Version::V5 } else { Version::V4 };
    if let Ok(Some(head)) = control::first_packet(bytes, PACKET_MAX)
        && head.kind() == kind::CONNECT
        && let Ok(connect) = control::connect(bytes, head)
    {
        version = connect.version;
        if let Some(will) = connect.will {
            wire::message_expiry(&will.properties);
        }
    }
    let whole = wire::whole_packets(bytes, PACKET_MAX);
    let mut rest = &bytes[..whole];
    while let Ok(Some(head)) = wire::head(rest, PACKET_MAX) {
        let (packet, after) = rest.split_at(head.end);
        match head.kind() {
            kind::PUBLISH => published(packet, head, version),
            kind::SUBSCRIBE => drop(control::subscribe(packet, version)),
            kind::UNSUBSCRIBE => drop(control::unsubscribe(packet, version)),
            kind::DISCONNECT => drop(control::disconnect(packet, head, version)),
            kind::PUBACK | kind::PUBREC | kind::PUBREL | kind::PUBCOMP => drop(wire::ack_id(packet, head)),
            _ => {}
        }
        rest = after;
    }
}

/// What is read is written as it stood, without the identifier.
fn published(packet: &[u8], head: wire::Head, version: Version) {
    let Ok(p) = wire::publish(packet, head, version) else { return };
    let (topic, properties, payload) = (&packet[p.topic], &packet[p.properties], &packet[p.payload]);
    wire::message_expiry(properties);
    let again = wire::encode_publish(version, topic, properties, payload, p.retain);
    let Ok(Some(head)) = wire::head(&again, PACKET_MAX * 2) else { unreachable!("a packet of ours has no header") };
    let read = wire::publish(&again, head, version);
    assert!(read.is_ok_and(|r| again[r.topic] == *topic && again[r.properties] == *properties && again[r.payload] == *payload));
}
