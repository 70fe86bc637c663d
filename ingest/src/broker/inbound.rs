//! What a connected client sends: PUBLISH packets into groups, and the rest.

use super::{
    connection::{Connection, Owed},
    control::{self, NoGrant, Wanted},
    ending::End,
    subscriptions::{Delivery, Options},
    wire::{self, Fault, Head, Version, kind, reason},
};
use crate::{RawMessage, TopicFilter, topic};
use bytes::{Buf, Bytes};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// A group is handed over when it holds this much, or when nothing more has arrived.
const GROUP_MESSAGES: usize = 4_096;
const GROUP_BYTES: usize = 1 << 20;

/// Messages read and not yet handed over.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) messages: Vec<RawMessage>,
    pub(super) owed: Owed,
    /// The last topic that was checked: gateways send many messages to one.
    topic: Bytes,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<S> {
    /// Works through the packets that have arrived as far as the window allows, and hands the messages over.
    pub(super) fn take_packets(&mut self) -> Result<(), End> {
        while self.has_room() {
            if self.packets.is_empty() {
                let size_max = self.shared.config.packet_max;
                let whole = wire::whole_packets(&self.input, size_max);
                if whole == 0 {
                    // Cut off, or wrong: then reading on would not help.
                    wire::head(&self.input, size_max).map_err(End::Fault)?;
                    break;
                }
                self.packets = self.input.split_to(whole).freeze();
            }
            let ended = self.take_some();
            self.draft_done();
            ended?;
        }
        Ok(())
    }

    fn draft_done(&mut self) {
        let topic = std::mem::take(&mut self.draft.topic);
        self.shared.counters.messages.add(self.draft.messages.len() as u64);
        self.dispatch();
        self.draft.topic = topic;
    }

    /// Fills one group from `self.packets`.
    fn take_some(&mut self) -> Result<(), End> {
        let room = self.room().min(GROUP_MESSAGES);
        let packets = std::mem::take(&mut self.packets);
        let mut at = 0;
        let mut ended = Ok(());
        while at < packets.len() && self.draft.owed.messages < room && self.draft.owed.bytes < GROUP_BYTES {
            let packet = &packets[at..];
            // Whole packets only are in here, so there is a header and its body.
            let Ok(Some(h)) = wire::head(packet, usize::MAX) else { break };
            let packet = &packet[..h.end];
            let taken = if h.kind() == kind::PUBLISH { self.publish(&packets, at, h).map_err(End::Fault) } else { self.other(packet, h) };
            at += h.end;
            if taken.is_err() {
                ended = taken;
                break;
            }
        }
        self.packets = packets;
        self.packets.advance(at);
        ended
    }

    fn publish(&mut self, packets: &Bytes, at: usize, h: Head) -> Result<(), Fault> {
        let version = self.client.version;
        let p = wire::publish(&packets[at..at + h.end], h, version)?;
        // Refused and repeated ones count too: what is owed for them waits in line like the rest.
        self.draft.owed.messages += 1;
        self.draft.owed.bytes += h.end;
        let part = |r: &std::ops::Range<usize>| packets.slice(at + r.start..at + r.end);
        let topic_bytes = &packets[at + p.topic.start..at + p.topic.end];
        if topic_bytes.is_empty() || self.draft.topic != topic_bytes {
            let topic = topic::name(topic_bytes).map_err(Fault::Topic)?;
            if topic.starts_with(topic::COMMANDS) || !self.client.publisher.publish.iter().any(|f| f.matches(topic)) {
                self.shared.counters.refused_topic.one();
                return self.refuse_topic(p.qos, p.id);
            }
            // A copy, because a slice would keep the read buffer alive.
            self.draft.topic = Bytes::copy_from_slice(topic_bytes);
        }
        match p.qos {
            0 => {}
            1 => self.draft.owed.ack(1, p.id, reason::SUCCESS),
            _ => {
                if !self.first_time(p.id)? {
                    return Ok(());
                }
            }
        }
        let (topic, payload) = (self.draft.topic.clone(), part(&p.payload));
        if p.retain || self.shared.hub.has_subscribers() {
            let delivery = Delivery { topic: topic.clone(), payload: payload.clone(), properties: part(&p.properties), retain: p.retain };
            self.draft.owed.deliveries.push(delivery);
        }
        self.shared.counters.bytes.add(payload.len() as u64);
        self.draft.messages.push(RawMessage { topic, payload });
        Ok(())
    }

    /// MQTT 5.0 is told per message; 3.1.1 has no way to say it but the end of the connection (3.3.5.2).
    fn refuse_topic(&mut self, qos: u8, id: u16) -> Result<(), Fault> {
        if self.client.version == Version::V4 {
            return Err(Fault::NotAuthorized);
        }
        if qos > 0 {
            self.draft.owed.ack(qos, id, reason::NOT_AUTHORIZED);
        }
        Ok(())
    }

    /// Whether a QoS 2 identifier is new (method A of 4.3.3). A repeated one is answered when it is durable, and only then.
    fn first_time(&mut self, id: u16) -> Result<bool, Fault> {
        let limit = usize::from(self.shared.config.window_messages);
        match self.session.received.get(&id) {
            Some(durable) => {
                self.shared.counters.resent.one();
                if *durable {
                    self.draft.owed.ack(2, id, reason::SUCCESS);
                }
                Ok(false)
            }
            None if self.session.received.len() >= limit => Err(Fault::ReceiveMaximum(limit)),
            None => {
                self.session.received.insert(id, false);
                self.draft.owed.exactly_once.push(id);
                self.draft.owed.ack(2, id, reason::SUCCESS);
                Ok(true)
            }
        }
    }

    fn other(&mut self, packet: &[u8], h: Head) -> Result<(), End> {
        let fault = End::Fault;
        match h.kind() {
            kind::PUBREL => {
                let id = wire::ack_id(packet, h).map_err(fault)?;
                self.release(id);
            }
            kind::PINGREQ => control::pingresp(&mut self.out),
            kind::SUBSCRIBE => self.subscribe(packet).map_err(fault)?,
            kind::UNSUBSCRIBE => self.unsubscribe(packet).map_err(fault)?,
            kind::DISCONNECT => return Err(self.disconnect(packet, h)),
            kind::CONNECT => return Err(fault(Fault::Protocol("a second CONNECT"))),
            // Deliveries are QoS 0, so there is nothing that a client could acknowledge.
            _ => return Err(fault(Fault::Protocol("an acknowledgement of something that was not sent"))),
        }
        Ok(())
    }

    fn release(&mut self, id: u16) {
        let known = self.session.received.get(&id).copied();
        if known == Some(true) {
            self.session.received.remove(&id);
        }
        let code = if known.is_none() && self.client.version == Version::V5 { reason::PACKET_ID_NOT_FOUND } else { reason::SUCCESS };
        let mut packet = Vec::with_capacity(5);
        wire::put_ack(&mut packet, kind::PUBCOMP, id, code);
        self.out.extend_from_slice(&packet);
    }

    fn subscribe(&mut self, packet: &[u8]) -> Result<(), Fault> {
        let (id, wanted) = control::subscribe(packet, self.client.version)?;
        let mut granted = Vec::new();
        let mut grants = Vec::with_capacity(wanted.len());
        for w in &wanted {
            let grant = self.grant(w).map(|(filter, new)| granted.push((filter, w, new)));
            grants.push(grant);
        }
        control::suback(&mut self.out, self.client.version, id, &grants);
        for (filter, w, new) in granted {
            self.shared.hub.send_retained(&self.client.subscriber, &filter, w, new);
        }
        Ok(())
    }

    fn grant(&mut self, wanted: &Wanted) -> Result<(TopicFilter, bool), NoGrant> {
        if wanted.filter.starts_with("$share/") {
            return Err(NoGrant::SharedSubscriptionsNotSupported);
        }
        let filter = TopicFilter::parse(&wanted.filter).ok_or(NoGrant::TopicFilterInvalid)?;
        if !self.client.publisher.subscribe.iter().any(|right| right.covers(&filter)) {
            return Err(NoGrant::NotAuthorized);
        }
        let options = Options { no_local: wanted.no_local, retain_as_published: wanted.retain_as_published };
        let held = &mut self.session.subscriptions;
        match held.iter().position(|(f, _)| *f == filter) {
            Some(i) => held[i].1 = options,
            None if held.len() >= self.shared.config.subscriptions_per_client_max => return Err(NoGrant::QuotaExceeded),
            None => held.push((filter.clone(), options)),
        }
        let new = self.shared.hub.subscribe(&self.client.subscriber, &filter, options);
        Ok((filter, new))
    }

    fn unsubscribe(&mut self, packet: &[u8]) -> Result<(), Fault> {
        let (id, filters) = control::unsubscribe(packet, self.client.version)?;
        let existed: Vec<bool> = filters.iter().map(|text| self.drop_subscription(text)).collect();
        control::unsuback(&mut self.out, self.client.version, id, &existed);
        Ok(())
    }

    fn drop_subscription(&mut self, text: &str) -> bool {
        let Some(filter) = TopicFilter::parse(text) else { return false };
        self.session.subscriptions.retain(|(f, _)| *f != filter);
        self.shared.hub.unsubscribe(self.client.subscriber.id, &filter)
    }

    fn disconnect(&mut self, packet: &[u8], h: Head) -> End {
        match control::disconnect(packet, h, self.client.version) {
            Err(fault) => End::Fault(fault),
            // A session that was to end with the connection cannot be made longer now (3.14.2.2.2).
            Ok((_, Some(secs))) if secs > 0 && self.client.session_keep.is_zero() => {
                End::Fault(Fault::Protocol("a session expiry in DISCONNECT and none in CONNECT"))
            }
            Ok((with_will, secs)) => {
                if let Some(secs) = secs {
                    self.client.session_keep = Duration::from_secs(secs.into()).min(self.shared.config.session_expiry_max);
                }
                End::Client(with_will)
            }
        }
    }
}
