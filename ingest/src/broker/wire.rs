//! The hot part of the MQTT wire: cutting a byte stream into packets, PUBLISH without copies, acknowledgements.
//!
//! MQTT 3.1.1 (`V4`) and 5.0 (`V5`), sections 2 and 3.3 to 3.7. Everything rarer goes through [`super::control`].

use crate::topic::TopicError;
use std::ops::Range;

/// Packet types in the upper half of the first byte (2.1.2).
pub(crate) mod kind {
    pub(crate) const CONNECT: u8 = 1;
    pub(crate) const PUBLISH: u8 = 3;
    pub(crate) const PUBACK: u8 = 4;
    pub(crate) const PUBREC: u8 = 5;
    pub(crate) const PUBREL: u8 = 6;
    pub(crate) const PUBCOMP: u8 = 7;
    pub(crate) const SUBSCRIBE: u8 = 8;
    pub(crate) const UNSUBSCRIBE: u8 = 10;
    pub(crate) const PINGREQ: u8 = 12;
    pub(crate) const DISCONNECT: u8 = 14;
}

/// Reason codes of MQTT 5.0, 2.4 that acknowledgements use.
pub(crate) mod reason {
    pub(crate) const SUCCESS: u8 = 0x00;
    pub(crate) const NOT_AUTHORIZED: u8 = 0x87;
    pub(crate) const PACKET_ID_NOT_FOUND: u8 = 0x92;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    V4,
    V5,
}

/// Why the bytes of a peer end its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("malformed packet: {0}")]
    Malformed(&'static str),
    #[error("protocol error: {0}")]
    Protocol(&'static str),
    #[error("{0}")]
    Topic(TopicError),
    #[error("a topic alias was used and none was offered; send the topic")]
    TopicAlias,
    #[error("a packet of {size} bytes, the limit is {limit}; send smaller payloads")]
    TooLarge { size: usize, limit: usize },
    #[error("more than {0} QoS 2 messages are not released; answer PUBREC with PUBREL")]
    ReceiveMaximum(usize),
    #[error("this user may not publish to that topic")]
    NotAuthorized,
    #[error("subscription identifiers are not supported")]
    SubscriptionId,
}

/// The fixed header of a packet, as offsets from its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) first: u8,
    pub(crate) body: usize,
    pub(crate) end: usize,
}

impl Head {
    pub(crate) fn kind(self) -> u8 {
        self.first >> 4
    }
}

/// Reads the fixed header at the start of `buf`; `None` when more bytes are needed for it. The packet itself may still be incomplete.
pub(crate) fn head(buf: &[u8], size_max: usize) -> Result<Option<Head>, Fault> {
    let Some(&first) = buf.first() else { return Ok(None) };
    check_first(first)?;
    let Some((len, len_len)) = varint(&buf[1..])? else { return Ok(None) };
    let (body, end) = (1 + len_len, 1 + len_len + len);
    if end > size_max {
        return Err(Fault::TooLarge { size: end, limit: size_max });
    }
    Ok(Some(Head { first, body, end }))
}

/// The flags that the standard fixes (2.1.3), and the types a client may send.
fn check_first(first: u8) -> Result<(), Fault> {
    let flags = first & 0x0f;
    let good = match first >> 4 {
        kind::PUBLISH => flags & 0b0110 != 0b0110,
        kind::PUBREL | kind::SUBSCRIBE | kind::UNSUBSCRIBE => flags == 0b0010,
        kind::CONNECT | kind::PUBACK | kind::PUBREC | kind::PUBCOMP | kind::PINGREQ | kind::DISCONNECT => flags == 0,
        _ => return Err(Fault::Protocol("this packet type is not for a server")),
    };
    if good { Ok(()) } else { Err(Fault::Malformed("reserved flags of the fixed header are set")) }
}

/// Length of the complete packets at the start of `buf`. Stops before a packet with a wrong header: it is reported when it is first in line.
pub(crate) fn whole_packets(buf: &[u8], size_max: usize) -> usize {
    let mut at = 0;
    while let Ok(Some(h)) = head(&buf[at..], size_max) {
        if buf.len() - at < h.end {
            break;
        }
        at += h.end;
    }
    at
}

/// Variable byte integer (1.5.5): value and bytes used, `None` when cut off.
fn varint(buf: &[u8]) -> Result<Option<(usize, usize)>, Fault> {
    let mut value = 0;
    for i in 0..4 {
        let Some(&byte) = buf.get(i) else { return Ok(None) };
        value |= usize::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Ok(Some((value, i + 1)));
        }
    }
    Err(Fault::Malformed("a length of more than four bytes"))
}

/// A PUBLISH (3.3) as ranges of the packet's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Publish {
    pub(crate) topic: Range<usize>,
    /// Properties without their length; empty in 3.1.1.
    pub(crate) properties: Range<usize>,
    pub(crate) payload: Range<usize>,
    /// 0 when `qos` is 0.
    pub(crate) id: u16,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
}

/// Reads a complete PUBLISH whose header is `h`. The topic is not checked yet.
pub(crate) fn publish(packet: &[u8], h: Head, version: Version) -> Result<Publish, Fault> {
    const CUT: Fault = Fault::Malformed("PUBLISH is shorter than its parts");
    let qos = (h.first >> 1) & 3;
    let topic_at = h.body + 2;
    let topic = topic_at..topic_at + usize::from(u16_at(packet, h.body).ok_or(CUT)?);
    let mut at = topic.end;
    let mut id = 0;
    if qos > 0 {
        id = u16_at(packet, at).ok_or(CUT)?;
        at += 2;
        if id == 0 {
            return Err(Fault::Malformed("packet identifier 0"));
        }
    } else if h.first & 0x08 != 0 {
        return Err(Fault::Malformed("DUP on a QoS 0 PUBLISH"));
    }
    let mut properties = at..at;
    if version == Version::V5 {
        let (len, len_len) = varint(packet.get(at..).ok_or(CUT)?)?.ok_or(CUT)?;
        properties = at + len_len..at + len_len + len;
        if len > 0 {
            check_publish_properties(packet.get(properties.clone()).ok_or(CUT)?)?;
        }
        at = properties.end;
    }
    if at > h.end {
        return Err(CUT);
    }
    Ok(Publish { topic, properties, payload: at..h.end, id, qos, retain: h.first & 1 != 0 })
}

fn u16_at(buf: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*buf.get(at)?, *buf.get(at + 1)?]))
}

/// Walks the properties of a PUBLISH from a client (3.3.2.3) and refuses those it may not send.
fn check_publish_properties(mut rest: &[u8]) -> Result<(), Fault> {
    const CUT: Fault = Fault::Malformed("a property is cut off");
    let mut seen = 0_u64;
    while let Some((&id, after)) = rest.split_first() {
        let text = |at: usize| u16_at(after, at).map(|n| 2 + usize::from(n)).ok_or(CUT);
        let size = match id {
            0x01 => 1,
            0x02 => 4,
            0x03 | 0x08 | 0x09 => text(0)?,
            0x26 => {
                let key = text(0)?;
                key + text(key)?
            }
            0x23 => return Err(Fault::TopicAlias),
            0x0b => return Err(Fault::Protocol("a client may not send a subscription identifier in PUBLISH")),
            _ => return Err(Fault::Malformed("a property that PUBLISH does not have")),
        };
        if id != 0x26 && seen & (1 << id) != 0 {
            return Err(Fault::Protocol("a property occurs twice"));
        }
        seen |= 1 << id;
        rest = after.get(size..).ok_or(CUT)?;
    }
    Ok(())
}

/// The message expiry of checked PUBLISH properties: seconds, and where the four bytes are (3.3.2.3.3).
pub(crate) fn message_expiry(properties: &[u8]) -> Option<(u32, usize)> {
    let mut at = 0;
    while let Some(&id) = properties.get(at) {
        at += 1;
        let text = |at: usize| u16_at(properties, at).map(|n| 2 + usize::from(n));
        at += match id {
            0x01 => 1,
            0x02 => return Some((u32::from_be_bytes(properties.get(at..at + 4)?.try_into().ok()?), at)),
            0x26 => text(at)? + text(at + text(at)?)?,
            _ => text(at)?,
        };
    }
    None
}

/// The packet identifier of PUBACK, PUBREC, PUBREL or PUBCOMP (3.4 to 3.7).
pub(crate) fn ack_id(packet: &[u8], h: Head) -> Result<u16, Fault> {
    match u16_at(&packet[..h.end], h.body) {
        None | Some(0) => Err(Fault::Malformed("an acknowledgement without packet identifier")),
        Some(id) => Ok(id),
    }
}

/// Appends PUBACK, PUBREC, PUBREL or PUBCOMP. A reason other than success is only for MQTT 5.0.
pub(crate) fn put_ack(out: &mut Vec<u8>, kind: u8, id: u16, reason: u8) {
    let [high, low] = id.to_be_bytes();
    let first = (kind << 4) | if kind == kind::PUBREL { 0b0010 } else { 0 };
    if reason == reason::SUCCESS {
        out.extend_from_slice(&[first, 2, high, low]);
    } else {
        out.extend_from_slice(&[first, 3, high, low, reason]);
    }
}

/// A whole QoS 0 PUBLISH for a subscriber.
pub(crate) fn encode_publish(version: Version, topic: &[u8], properties: &[u8], payload: &[u8], retain: bool) -> Vec<u8> {
    let property_bytes = if version == Version::V5 { varint_len(properties.len()) + properties.len() } else { 0 };
    let remaining = 2 + topic.len() + property_bytes + payload.len();
    let mut out = Vec::with_capacity(1 + 4 + remaining);
    out.push((kind::PUBLISH << 4) | u8::from(retain));
    put_varint(&mut out, remaining);
    out.extend_from_slice(&(topic.len() as u16).to_be_bytes());
    out.extend_from_slice(topic);
    if version == Version::V5 {
        put_varint(&mut out, properties.len());
        out.extend_from_slice(properties);
    }
    out.extend_from_slice(payload);
    out
}

fn varint_len(value: usize) -> usize {
    match value {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    }
}

fn put_varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests;
