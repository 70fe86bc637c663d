//! Samples by kind of device: the same tenant, topics that differ in their names only, documents with mostly the same keys.

use super::{Sample, leaves, topics};
use schemas::{Tenant, Timestamp};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Kinds of devices; samples of further ones wait until these are dealt with.
const GROUPS_MAX: usize = 200;
/// Samples of one group that are looked at, and topics that are remembered.
const SAMPLES_MAX: usize = 50;
const TOPICS_MAX: usize = 1_000;
/// Two documents are of one kind when they share this part of their keys.
const SHARED_MIN: f64 = 0.5;

/// Messages of one kind.
#[derive(Debug)]
pub(super) struct Group<'a> {
    pub(super) tenant: Tenant,
    pub(super) topics: BTreeSet<&'a str>,
    pub(super) samples: Vec<&'a Sample>,
    pub(super) n: usize,
    pub(super) reasons: BTreeMap<String, usize>,
    pub(super) first_at: Timestamp,
    pub(super) last_at: Timestamp,
    shape: BTreeSet<String>,
}

impl<'a> Group<'a> {
    fn new(sample: &'a Sample, shape: BTreeSet<String>) -> Self {
        Self {
            tenant: sample.tenant.clone(),
            topics: BTreeSet::new(),
            samples: Vec::new(),
            n: 0,
            reasons: BTreeMap::new(),
            first_at: sample.received_at,
            last_at: sample.received_at,
            shape,
        }
    }

    pub(super) fn topic_texts(&self) -> BTreeSet<&'a str> {
        self.topics.iter().copied().collect()
    }

    fn takes(&self, sample: &Sample, shape: &BTreeSet<String>) -> bool {
        let near = |t: &&str| topics::alike(t, &sample.topic);
        self.tenant == sample.tenant && self.topics.first().is_some_and(near) && similar(&self.shape, shape)
    }

    fn add(&mut self, sample: &'a Sample) {
        self.n += 1;
        *self.reasons.entry(sample.reason.clone()).or_default() += 1;
        self.first_at = self.first_at.min(sample.received_at);
        self.last_at = self.last_at.max(sample.received_at);
        let known = self.topics.contains(sample.topic.as_str());
        if self.topics.len() < TOPICS_MAX {
            self.topics.insert(&sample.topic);
        }
        if self.samples.len() < SAMPLES_MAX {
            self.samples.push(sample);
        } else if !known {
            // Rather one message of each device than fifty of the first.
            let at = self.n % SAMPLES_MAX;
            self.samples[at] = sample;
        }
    }
}

fn similar(a: &BTreeSet<String>, b: &BTreeSet<String>) -> bool {
    if a.is_empty() || b.is_empty() {
        return a.is_empty() && b.is_empty();
    }
    let shared = a.intersection(b).count() as f64;
    // A message that leaves out what has no value is of the same kind.
    shared / (a.len().max(b.len()) as f64) >= SHARED_MIN || shared as usize == a.len().min(b.len())
}

/// Samples without a payload (kept back, or empty) are left out.
pub(super) fn groups(samples: &[Sample]) -> Vec<Group<'_>> {
    let mut out: Vec<Group<'_>> = Vec::new();
    for sample in samples.iter().filter(|s| !s.payload.is_empty() && s.topic.split('/').count() <= 32) {
        let document: Option<Value> = serde_json::from_slice(&sample.payload).ok();
        let shape = document.as_ref().map(leaves::shape).unwrap_or_default();
        let at = out.iter().position(|g| g.takes(sample, &shape));
        let at = at.or_else(|| {
            let room = out.len() < GROUPS_MAX;
            room.then(|| {
                out.push(Group::new(sample, shape));
                out.len() - 1
            })
        });
        if let Some(at) = at {
            out[at].add(sample);
        }
    }
    out
}
