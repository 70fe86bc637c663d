//! The last retained message of each topic, bounded by count and bytes.

use super::{subscriptions::Delivery, wire};
use crate::TopicFilter;
use bytes::{Bytes, BytesMut};
use hashbrown::HashMap;
use std::time::Duration;
use tokio::time::Instant;

#[derive(Debug)]
struct Kept {
    payload: Bytes,
    properties: Bytes,
    since: Instant,
}

/// Retained messages (MQTT 5.0, 3.3.1.3). In memory only.
#[derive(Debug)]
pub(crate) struct Retained {
    by_topic: HashMap<Bytes, Kept>,
    bytes: usize,
    count_max: usize,
    bytes_max: usize,
}

impl Retained {
    pub(crate) fn new(count_max: usize, bytes_max: usize) -> Self {
        Self { by_topic: HashMap::new(), bytes: 0, count_max, bytes_max }
    }

    pub(crate) fn len(&self) -> usize {
        self.by_topic.len()
    }

    /// Replaces the message of the topic; an empty payload removes it. False when there is no room: the topic then has none,
    /// because an older message would be wrong.
    pub(crate) fn put(&mut self, message: &Delivery) -> bool {
        if let Some(old) = self.by_topic.remove(&message.topic) {
            self.bytes -= size(&message.topic, &old);
        }
        if message.payload.is_empty() {
            return true;
        }
        // Copies: a slice would keep the whole read buffer of its connection.
        let copy = |b: &Bytes| Bytes::copy_from_slice(b);
        let kept = Kept { payload: copy(&message.payload), properties: copy(&message.properties), since: Instant::now() };
        let bytes = self.bytes + size(&message.topic, &kept);
        if self.by_topic.len() >= self.count_max || bytes > self.bytes_max {
            return false;
        }
        self.bytes = bytes;
        self.by_topic.insert(copy(&message.topic), kept);
        true
    }

    /// The messages in the filter that have not expired, with the seconds they waited taken off their expiry (3.3.2.3.3).
    pub(crate) fn matching(&mut self, filter: &TopicFilter) -> Vec<Delivery> {
        let bytes = &mut self.bytes;
        self.by_topic.retain(|topic, kept| {
            let alive = kept.left().is_some();
            if !alive {
                *bytes -= size(topic, kept);
            }
            alive
        });
        let in_filter = |topic: &Bytes| std::str::from_utf8(topic).is_ok_and(|t| filter.matches(t));
        let found = self.by_topic.iter().filter(|(topic, _)| in_filter(topic));
        found
            .filter_map(|(topic, kept)| {
                Some(Delivery { topic: topic.clone(), payload: kept.payload.clone(), properties: kept.left()?, retain: true })
            })
            .collect()
    }
}

impl Kept {
    /// The properties as they must be sent now; `None` when the message has expired.
    fn left(&self) -> Option<Bytes> {
        let Some((secs, at)) = wire::message_expiry(&self.properties) else { return Some(self.properties.clone()) };
        let waited = self.since.elapsed();
        if waited >= Duration::from_secs(u64::from(secs)) {
            return None;
        }
        let mut properties = BytesMut::from(&self.properties[..]);
        properties[at..at + 4].copy_from_slice(&(secs - waited.as_secs() as u32).to_be_bytes());
        Some(properties.freeze())
    }
}

fn size(topic: &Bytes, kept: &Kept) -> usize {
    topic.len() + kept.payload.len() + kept.properties.len()
}
