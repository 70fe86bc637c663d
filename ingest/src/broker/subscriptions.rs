//! Who wants which topics: a tree of filters, a bounded queue per subscriber, and the retained messages.

use super::{
    control::{RetainForwardRule, Wanted},
    retained::Retained,
    stats::Counters,
    wire::{self, Version},
};
use crate::TopicFilter;
use bytes::Bytes;
use futures::task::AtomicWaker;
use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};
use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// A message on its way to subscribers, after it became durable.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) topic: Bytes,
    pub(crate) payload: Bytes,
    /// PUBLISH properties of MQTT 5.0 without their length; empty from 3.1.1.
    pub(crate) properties: Bytes,
    pub(crate) retain: bool,
}

/// Options of a subscription that outlive the SUBSCRIBE (MQTT 5.0, 3.8.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) no_local: bool,
    pub(crate) retain_as_published: bool,
}

/// A connected client that has subscriptions.
#[derive(Debug)]
pub(crate) struct Subscriber {
    pub(crate) id: u64,
    version: Version,
    packet_max: usize,
    bytes_max: usize,
    queue: Mutex<Queue>,
    waker: AtomicWaker,
}

#[derive(Debug, Default)]
struct Queue {
    packets: VecDeque<Bytes>,
    bytes: usize,
}

impl Subscriber {
    /// `packet_max` is what the client takes, `bytes_max` what the server keeps for it.
    pub(crate) fn new(id: u64, version: Version, packet_max: usize, bytes_max: usize) -> Self {
        Self { id, version, packet_max, bytes_max, queue: Mutex::default(), waker: AtomicWaker::new() }
    }

    /// False when the client is too slow, or takes only smaller packets: it loses the message (QoS 0).
    fn push(&self, packet: Bytes) -> bool {
        let mut queue = self.queue.lock();
        if packet.len() > self.packet_max || queue.bytes + packet.len() > self.bytes_max {
            return false;
        }
        queue.bytes += packet.len();
        queue.packets.push_back(packet);
        drop(queue);
        self.waker.wake();
        true
    }

    /// Takes what is queued, or registers the task that wants it.
    pub(crate) fn take(&self, cx: &std::task::Context<'_>) -> VecDeque<Bytes> {
        self.waker.register(cx.waker());
        let mut queue = self.queue.lock();
        queue.bytes = 0;
        std::mem::take(&mut queue.packets)
    }
}

/// Subscriptions and retained messages of the whole broker.
#[derive(Debug)]
pub(crate) struct Hub {
    tree: RwLock<Node>,
    /// Subscriptions in the tree, so that a broker without any spends nothing on them.
    len: AtomicUsize,
    retained: Mutex<Retained>,
    counters: Arc<Counters>,
}

impl Hub {
    pub(crate) fn new(retained: Retained, counters: Arc<Counters>) -> Self {
        Self { tree: RwLock::default(), len: AtomicUsize::new(0), retained: Mutex::new(retained), counters }
    }

    pub(crate) fn has_subscribers(&self) -> bool {
        self.len.load(Ordering::Acquire) > 0
    }

    /// Adds or replaces; true when the subscriber did not have the filter.
    pub(crate) fn subscribe(&self, subscriber: &Arc<Subscriber>, filter: &TopicFilter, options: Options) -> bool {
        let new = self.tree.write().insert(filter.as_str(), Entry { subscriber: Arc::clone(subscriber), options });
        if new {
            self.len.fetch_add(1, Ordering::AcqRel);
            self.counters.subscriptions.add(1);
        }
        new
    }

    /// True when there was such a subscription.
    pub(crate) fn unsubscribe(&self, subscriber: u64, filter: &TopicFilter) -> bool {
        let existed = self.tree.write().remove(filter.as_str(), subscriber);
        if existed {
            self.len.fetch_sub(1, Ordering::AcqRel);
            self.counters.subscriptions.less(1);
        }
        existed
    }

    /// Keeps what is to be retained and queues the rest of the way: one copy per subscriber, however many of its filters match.
    pub(crate) fn deliver(&self, batch: Vec<Delivery>, from: u64) {
        for message in batch.iter().filter(|m| m.retain) {
            let mut retained = self.retained.lock();
            if !retained.put(message) {
                self.counters.dropped_retained.one();
            }
            self.counters.retained.set(retained.len() as u64);
        }
        if !self.has_subscribers() {
            return;
        }
        let tree = self.tree.read();
        let mut found = Vec::new();
        for message in &batch {
            let Ok(topic) = std::str::from_utf8(&message.topic) else { continue };
            found.clear();
            tree.matches(topic, &mut |e| found.push(e.clone()));
            if !found.is_empty() {
                self.fan_out(message, &mut found, from);
            }
        }
    }

    fn fan_out(&self, message: &Delivery, found: &mut Vec<Entry>, from: u64) {
        found.retain(|e| !(e.options.no_local && e.subscriber.id == from));
        // Overlapping filters give one copy; it carries the retain flag if one of them asked for that.
        found.sort_by_key(|e| (e.subscriber.id, !e.options.retain_as_published));
        found.dedup_by_key(|e| e.subscriber.id);
        let mut encoded: [Option<Bytes>; 4] = [const { None }; 4];
        for Entry { subscriber, options } in found.iter() {
            let retain = message.retain && options.retain_as_published;
            let slot = &mut encoded[usize::from(subscriber.version == Version::V5) * 2 + usize::from(retain)];
            let packet = slot.get_or_insert_with(|| encode(message, subscriber.version, retain));
            self.queue(subscriber, packet.clone());
        }
    }

    /// The retained messages that a new subscription asks for (3.3.1.3, 3.8.3.1).
    pub(crate) fn send_retained(&self, subscriber: &Subscriber, filter: &TopicFilter, wanted: &Wanted, new: bool) {
        let send = match wanted.retain_rule {
            RetainForwardRule::OnEverySubscribe => true,
            RetainForwardRule::OnNewSubscribe => new,
            RetainForwardRule::Never => false,
        };
        if send {
            for message in self.retained.lock().matching(filter) {
                self.queue(subscriber, encode(&message, subscriber.version, true));
            }
        }
    }

    fn queue(&self, subscriber: &Subscriber, packet: Bytes) {
        let counter = if subscriber.push(packet) { &self.counters.deliveries } else { &self.counters.dropped_deliveries };
        counter.one();
    }
}

fn encode(m: &Delivery, version: Version, retain: bool) -> Bytes {
    wire::encode_publish(version, &m.topic, &m.properties, &m.payload, retain).into()
}

#[derive(Debug, Clone)]
struct Entry {
    subscriber: Arc<Subscriber>,
    options: Options,
}

/// One level of the filters. Wildcards are children like others, under their own names.
#[derive(Debug, Default)]
struct Node {
    children: HashMap<Box<str>, Node>,
    here: Vec<Entry>,
}

impl Node {
    fn insert(&mut self, filter: &str, entry: Entry) -> bool {
        let mut node = self;
        for level in filter.split('/') {
            node = node.children.entry_ref(level).or_default();
        }
        match node.here.iter_mut().find(|e| e.subscriber.id == entry.subscriber.id) {
            Some(old) => {
                *old = entry;
                false
            }
            None => {
                node.here.push(entry);
                true
            }
        }
    }

    /// Removes the entry and the nodes that became empty.
    fn remove(&mut self, filter: &str, subscriber: u64) -> bool {
        let (level, rest) = match filter.split_once('/') {
            Some((level, rest)) => (level, Some(rest)),
            None => (filter, None),
        };
        let Some(child) = self.children.get_mut(level) else { return false };
        let existed = match rest {
            Some(rest) => child.remove(rest, subscriber),
            None => {
                let before = child.here.len();
                child.here.retain(|e| e.subscriber.id != subscriber);
                child.here.len() < before
            }
        };
        if child.here.is_empty() && child.children.is_empty() {
            self.children.remove(level);
        }
        existed
    }

    fn matches<'a>(&'a self, topic: &str, found: &mut dyn FnMut(&'a Entry)) {
        let system = topic.starts_with('$');
        self.walk(Some(topic), !system, found);
    }

    /// `rest` is what remains of the topic below this node; wildcards count when `wild`.
    fn walk<'a>(&'a self, rest: Option<&str>, wild: bool, found: &mut dyn FnMut(&'a Entry)) {
        if wild && let Some(all) = self.children.get("#") {
            all.here.iter().for_each(&mut *found);
        }
        let Some(rest) = rest else {
            self.here.iter().for_each(found);
            return;
        };
        let (level, below) = match rest.split_once('/') {
            Some((level, below)) => (level, Some(below)),
            None => (rest, None),
        };
        if let Some(child) = self.children.get(level) {
            child.walk(below, true, found);
        }
        if wild && let Some(any) = self.children.get("+") {
            any.walk(below, true, found);
        }
    }
}

#[cfg(test)]
mod tests;
