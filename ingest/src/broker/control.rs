//! The rare packets (CONNECT, SUBSCRIBE, UNSUBSCRIBE, DISCONNECT and their answers) through the codec of `rumqttc`.

use super::wire::{self, Fault, Head, Version};
use bytes::{Bytes, BytesMut};
use rumqttc::mqttbytes::v4;
use rumqttc::v5::mqttbytes as v5bytes;
use v5bytes::v5;

pub(crate) use v5::{ConnectReturnCode as Code, DisconnectReasonCode, RetainForwardRule};

/// A CONNECT of either version (3.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Connect {
    pub(crate) version: Version,
    pub(crate) client_id: String,
    pub(crate) clean: bool,
    /// Seconds; 0 is none.
    pub(crate) keep_alive: u16,
    /// Seconds the session may outlive the connection; 3.1.1 without clean session asks for the longest.
    pub(crate) session_expiry: u32,
    /// The largest packet the client takes.
    pub(crate) packet_max: usize,
    pub(crate) will: Option<Will>,
    pub(crate) user: String,
    pub(crate) password: String,
    /// MQTT 5.0 enhanced authentication was asked for; it is not offered.
    pub(crate) enhanced_auth: bool,
}

/// What is published when the connection ends without DISCONNECT (3.1.2.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Will {
    pub(crate) topic: Bytes,
    pub(crate) payload: Bytes,
    pub(crate) properties: Bytes,
    pub(crate) retain: bool,
}

/// Why a CONNECT is answered with a refusal, or not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// A version that we do not speak; `true` when the client knows the answers of MQTT 5.0.
    Version(bool),
    Fault(Fault),
}

/// Reads a complete CONNECT. Passwords must be UTF-8, a limit of the codec.
pub(crate) fn connect(packet: &[u8], h: Head) -> Result<Connect, Refusal> {
    let malformed = |what| Refusal::Fault(Fault::Malformed(what));
    let body = &packet[h.body..h.end];
    let (name_len, rest) = body.split_first_chunk::<2>().ok_or(malformed("CONNECT without protocol name"))?;
    let rest = rest.get(usize::from(u16::from_be_bytes(*name_len))..).ok_or(malformed("CONNECT without protocol level"))?;
    let [level, flags, ..] = *rest else { return Err(malformed("CONNECT without flags")) };
    if !matches!(level, 4 | 5) {
        return Err(Refusal::Version(level > 5));
    }
    if !body.starts_with(b"\x00\x04MQTT") {
        return Err(Refusal::Fault(Fault::Protocol("the protocol name is not MQTT")));
    }
    if flags & 1 != 0 || (level == 4 && flags & 0xc0 == 0x40) {
        return Err(malformed("wrong CONNECT flags"));
    }
    let mut stream = BytesMut::from(&packet[..h.end]);
    if level == 4 { connect_v4(&mut stream) } else { connect_v5(&mut stream) }.map_err(Refusal::Fault)
}

fn connect_v4(stream: &mut BytesMut) -> Result<Connect, Fault> {
    let Ok(v4::Packet::Connect(c)) = v4::Packet::read(stream, usize::MAX) else { return Err(Fault::Malformed("CONNECT")) };
    let login = c.login.unwrap_or_else(|| v4::Login::new("", ""));
    Ok(Connect {
        version: Version::V4,
        client_id: c.client_id,
        clean: c.clean_session,
        keep_alive: c.keep_alive,
        session_expiry: if c.clean_session { 0 } else { u32::MAX },
        packet_max: usize::MAX,
        will: c.last_will.map(|w| Will { topic: w.topic.into(), payload: w.message, properties: Bytes::new(), retain: w.retain }),
        user: login.username,
        password: login.password,
        enhanced_auth: false,
    })
}

fn connect_v5(stream: &mut BytesMut) -> Result<Connect, Fault> {
    let Ok(v5::Packet::Connect(c, will, login)) = v5::Packet::read(stream, None) else { return Err(Fault::Malformed("CONNECT")) };
    let login = login.unwrap_or_else(|| v5::Login::new("", ""));
    let p = c.properties.unwrap_or_default();
    if p.receive_maximum == Some(0) || p.max_packet_size == Some(0) {
        return Err(Fault::Protocol("a maximum of 0"));
    }
    Ok(Connect {
        version: Version::V5,
        client_id: c.client_id,
        clean: c.clean_start,
        keep_alive: c.keep_alive,
        session_expiry: p.session_expiry_interval.unwrap_or(0),
        packet_max: p.max_packet_size.map_or(usize::MAX, |m| m as usize),
        will: will.map(will_v5).transpose()?,
        user: login.username,
        password: login.password,
        enhanced_auth: p.authentication_method.is_some(),
    })
}

/// The will's properties as PUBLISH carries them: without the delay, which is not honoured (the will follows at once).
fn will_v5(will: v5::LastWill) -> Result<Will, Fault> {
    let mut encoded = BytesMut::new();
    if let Some(mut p) = will.properties {
        p.delay_interval = None;
        p.write(&mut encoded).map_err(|_| Fault::Malformed("will properties"))?;
    }
    let properties = match encoded.iter().position(|b| b & 0x80 == 0) {
        Some(last) => encoded.freeze().slice(last + 1..),
        None => Bytes::new(),
    };
    Ok(Will { topic: will.topic, payload: will.message, properties, retain: will.retain })
}

/// One filter of a SUBSCRIBE with its options (3.8.3.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) filter: String,
    pub(crate) no_local: bool,
    pub(crate) retain_as_published: bool,
    pub(crate) retain_rule: RetainForwardRule,
}

/// Packet identifier and filters of a SUBSCRIBE.
pub(crate) fn subscribe(packet: &[u8], version: Version) -> Result<(u16, Vec<Wanted>), Fault> {
    const BAD: Fault = Fault::Malformed("SUBSCRIBE");
    let mut stream = BytesMut::from(packet);
    let (id, wanted) = match version {
        Version::V4 => {
            let Ok(v4::Packet::Subscribe(s)) = v4::Packet::read(&mut stream, usize::MAX) else { return Err(BAD) };
            let plain = |f: v4::SubscribeFilter| Wanted {
                filter: f.path,
                no_local: false,
                retain_as_published: false,
                retain_rule: RetainForwardRule::OnEverySubscribe,
            };
            (s.pkid, s.filters.into_iter().map(plain).collect())
        }
        Version::V5 => {
            let Ok(v5::Packet::Subscribe(s)) = v5::Packet::read(&mut stream, None) else { return Err(BAD) };
            if s.properties.is_some_and(|p| p.id.is_some()) {
                return Err(Fault::SubscriptionId);
            }
            let with_options = |f: v5::Filter| Wanted {
                filter: f.path,
                no_local: f.nolocal,
                retain_as_published: f.preserve_retain,
                retain_rule: f.retain_forward_rule,
            };
            (s.pkid, s.filters.into_iter().map(with_options).collect())
        }
    };
    if id == 0 { Err(Fault::Malformed("packet identifier 0")) } else { Ok((id, wanted)) }
}

/// Packet identifier and filters of an UNSUBSCRIBE (3.10).
pub(crate) fn unsubscribe(packet: &[u8], version: Version) -> Result<(u16, Vec<String>), Fault> {
    const BAD: Fault = Fault::Malformed("UNSUBSCRIBE");
    let mut stream = BytesMut::from(packet);
    let (id, filters) = match version {
        Version::V4 => match v4::Packet::read(&mut stream, usize::MAX) {
            Ok(v4::Packet::Unsubscribe(u)) => (u.pkid, u.topics),
            _ => return Err(BAD),
        },
        Version::V5 => match v5::Packet::read(&mut stream, None) {
            Ok(v5::Packet::Unsubscribe(u)) => (u.pkid, u.filters),
            _ => return Err(BAD),
        },
    };
    if id == 0 || filters.is_empty() { Err(BAD) } else { Ok((id, filters)) }
}

/// What a DISCONNECT asks for (3.14): whether the will is still published, and a new session expiry in seconds.
pub(crate) fn disconnect(packet: &[u8], h: Head, version: Version) -> Result<(bool, Option<u32>), Fault> {
    const WITH_WILL: u8 = 0x04;
    match (&packet[h.body..h.end], version) {
        ([], _) => Ok((false, None)),
        (_, Version::V4) => Err(Fault::Malformed("DISCONNECT with a body")),
        ([reason], Version::V5) => Ok((*reason == WITH_WILL, None)),
        (_, Version::V5) => match v5::Packet::read(&mut BytesMut::from(&packet[..h.end]), None) {
            Ok(v5::Packet::Disconnect(d)) => {
                let with_will = d.reason_code == DisconnectReasonCode::DisconnectWithWillMessage;
                Ok((with_will, d.properties.and_then(|p| p.session_expiry_interval)))
            }
            _ => Err(Fault::Malformed("DISCONNECT")),
        },
    }
}

/// What the server tells a client that it lets in.
#[derive(Debug, Clone, Default)]
pub(crate) struct Welcome {
    pub(crate) session_present: bool,
    pub(crate) packet_max: usize,
    pub(crate) receive_max: u16,
    pub(crate) assigned_client_id: Option<String>,
    /// Set when it is not what the client asked for.
    pub(crate) session_expiry: Option<u32>,
    /// Seconds, when it is not what the client asked for.
    pub(crate) keep_alive: Option<u16>,
}

/// CONNACK with success (3.2).
pub(crate) fn welcome(out: &mut BytesMut, version: Version, w: Welcome) {
    let written = match version {
        Version::V4 => v4::ConnAck::new(v4::ConnectReturnCode::Success, w.session_present).write(out).is_ok(),
        Version::V5 => {
            let properties = v5::ConnAckProperties {
                session_expiry_interval: w.session_expiry,
                receive_max: Some(w.receive_max),
                retain_available: Some(1),
                max_packet_size: Some(u32::try_from(w.packet_max).unwrap_or(u32::MAX)),
                assigned_client_identifier: w.assigned_client_id,
                topic_alias_max: Some(0),
                wildcard_subscription_available: Some(1),
                subscription_identifiers_available: Some(0),
                shared_subscription_available: Some(0),
                server_keep_alive: w.keep_alive,
                max_qos: None,
                reason_string: None,
                user_properties: Vec::new(),
                response_information: None,
                server_reference: None,
                authentication_method: None,
                authentication_data: None,
            };
            let ack = v5::ConnAck { session_present: w.session_present, code: Code::Success, properties: Some(properties) };
            ack.write(out).is_ok()
        }
    };
    debug_assert!(written, "a CONNACK is far below the largest length of the wire");
}

/// CONNACK with a refusal; 3.1.1 knows five reasons, so the rest becomes one of them.
pub(crate) fn refuse(out: &mut BytesMut, version: Version, code: Code) {
    let written = match version {
        Version::V4 => {
            let old = match code {
                Code::UnsupportedProtocolVersion => v4::ConnectReturnCode::RefusedProtocolVersion,
                Code::ClientIdentifierNotValid => v4::ConnectReturnCode::BadClientId,
                Code::BadUserNamePassword => v4::ConnectReturnCode::BadUserNamePassword,
                Code::NotAuthorized => v4::ConnectReturnCode::NotAuthorized,
                _ => v4::ConnectReturnCode::ServiceUnavailable,
            };
            v4::ConnAck::new(old, false).write(out).is_ok()
        }
        Version::V5 => v5::ConnAck { session_present: false, code, properties: None }.write(out).is_ok(),
    };
    debug_assert!(written, "a CONNACK is far below the largest length of the wire");
}

/// The answer to one filter of a SUBSCRIBE.
pub(crate) type Grant = Result<(), v5::SubscribeReasonCode>;
pub(crate) use v5::SubscribeReasonCode as NoGrant;

/// SUBACK (3.9). What is granted is QoS 0.
pub(crate) fn suback(out: &mut BytesMut, version: Version, id: u16, grants: &[Grant]) {
    let written = match version {
        Version::V4 => {
            let code = |g: &Grant| match g {
                Ok(()) => v4::SubscribeReasonCode::Success(rumqttc::mqttbytes::QoS::AtMostOnce),
                Err(_) => v4::SubscribeReasonCode::Failure,
            };
            v4::SubAck::new(id, grants.iter().map(code).collect()).write(out).is_ok()
        }
        Version::V5 => {
            let code = |g: &Grant| g.err().unwrap_or(NoGrant::Success(v5bytes::QoS::AtMostOnce));
            v5::SubAck { pkid: id, return_codes: grants.iter().map(code).collect(), properties: None }.write(out).is_ok()
        }
    };
    debug_assert!(written, "a SUBACK has one byte per filter of a packet that was itself limited");
}

/// UNSUBACK (3.11); `existed` has one entry per filter.
pub(crate) fn unsuback(out: &mut BytesMut, version: Version, id: u16, existed: &[bool]) {
    let written = match version {
        Version::V4 => v4::UnsubAck::new(id).write(out).is_ok(),
        Version::V5 => {
            let code = |e: &bool| if *e { v5::UnsubAckReason::Success } else { v5::UnsubAckReason::NoSubscriptionExisted };
            v5::UnsubAck { pkid: id, reasons: existed.iter().map(code).collect(), properties: None }.write(out).is_ok()
        }
    };
    debug_assert!(written, "an UNSUBACK has one byte per filter of a packet that was itself limited");
}

pub(crate) fn pingresp(out: &mut BytesMut) {
    out.extend_from_slice(&[0xd0, 0]);
}

/// DISCONNECT of MQTT 5.0 with a reason in words when the client takes packets that long; 3.1.1 has none from the server.
pub(crate) fn goodbye(out: &mut BytesMut, version: Version, code: DisconnectReasonCode, words: &str, packet_max: usize) {
    if version == Version::V4 {
        return;
    }
    if words.len() + 16 > packet_max.min(1_024) {
        // By hand: the codec writes one byte more than it announces when there are no properties.
        out.extend_from_slice(&[wire::kind::DISCONNECT << 4, 1, code as u8]);
        return;
    }
    let properties = v5::DisconnectProperties {
        session_expiry_interval: None,
        reason_string: Some(words.to_owned()),
        user_properties: Vec::new(),
        server_reference: None,
    };
    let written = v5::Disconnect { reason_code: code, properties: Some(properties) }.write(out).is_ok();
    debug_assert!(written, "a DISCONNECT is far below the largest length of the wire");
}

impl Fault {
    /// The reason code that tells a client of MQTT 5.0 what it did.
    pub(crate) fn code(self) -> DisconnectReasonCode {
        match self {
            Self::Malformed(_) => DisconnectReasonCode::MalformedPacket,
            Self::Protocol(_) => DisconnectReasonCode::ProtocolError,
            Self::Topic(crate::topic::TopicError::NotText) => DisconnectReasonCode::MalformedPacket,
            Self::Topic(_) => DisconnectReasonCode::TopicNameInvalid,
            Self::TopicAlias => DisconnectReasonCode::TopicAliasInvalid,
            Self::TooLarge { .. } => DisconnectReasonCode::PacketTooLarge,
            Self::ReceiveMaximum(_) => DisconnectReasonCode::ReceiveMaximumExceeded,
            Self::NotAuthorized => DisconnectReasonCode::NotAuthorized,
            Self::SubscriptionId => DisconnectReasonCode::SubscriptionIdentifiersNotSupported,
        }
    }
}

/// The whole packet at the start of `buf`, for a door that reads one packet only.
pub(crate) fn first_packet(buf: &[u8], size_max: usize) -> Result<Option<Head>, Fault> {
    Ok(wire::head(buf, size_max)?.filter(|h| buf.len() >= h.end))
}
