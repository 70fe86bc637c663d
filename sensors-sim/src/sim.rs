//! The iterator: which sensor speaks when, and what comes of its words on the way.

use crate::{
    calendar::Moment,
    chance::Chance,
    climate::{self, Nights},
    fault::{self, FaultKind, Struck},
    models::{Fields, Scene, Sensor, decimal},
    scenario::{Group, Scenario},
};
use schemas::{EntityId, Timestamp, time::SECOND_US};
use serde_json::Value;
use std::{cmp::Reverse, collections::BinaryHeap, sync::Arc};

/// A message as a sensor sends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// `portico/{tenant}/{product}/{local}`.
    pub topic: Arc<str>,
    /// Flat JSON by the product's contract, unless it is garbage.
    pub payload: Vec<u8>,
    /// The fault that struck it, for whoever checks counts; it does not travel.
    pub fault: Option<FaultKind>,
}

/// Messages in the order in which they are sent, each with the instant of its sending.
#[derive(Debug)]
pub struct Sim {
    scenario: Scenario,
    chance: Chance,
    nights: Nights,
    streams: Vec<Stream>,
    queue: BinaryHeap<Reverse<(Timestamp, u64, Event)>>,
    /// Orders events of one instant.
    sequence: u64,
    until: Option<Timestamp>,
}

/// One line of one sensor.
#[derive(Debug)]
struct Stream {
    group: usize,
    place: usize,
    variant: usize,
    topic: Arc<str>,
    /// Between two messages, microseconds.
    every_us: i64,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Tick(usize),
    /// A message that left late or twice.
    Delayed(Arc<str>, Vec<u8>, FaultOrder),
}

/// Whether the delayed message is late (else a duplicate).
type FaultOrder = bool;

impl Sim {
    /// Every sensor at the pace of the demo, from `start` on, without end. Phases are spread evenly over the cadence.
    #[must_use]
    pub fn live(seed: u64, scenario: &Scenario, start: Timestamp) -> Self {
        Self::new(seed, scenario, start, None)
    }

    /// The past from `from` (included) to `to` (excluded): the same messages that `live` would have sent,
    /// thinned to `backfill_secs` per sensor.
    #[must_use]
    pub fn backfill(seed: u64, scenario: &Scenario, from: Timestamp, to: Timestamp) -> Self {
        Self::new(seed, scenario, from, Some(to))
    }

    fn new(seed: u64, scenario: &Scenario, start: Timestamp, until: Option<Timestamp>) -> Self {
        let mut sim = Self {
            scenario: scenario.clone(),
            chance: Chance(seed),
            nights: Nights::new(),
            streams: Vec::new(),
            queue: BinaryHeap::new(),
            sequence: 0,
            until,
        };
        let city = Arc::clone(&scenario.0);
        for (g, group) in city.groups.iter().enumerate() {
            for (p, place) in group.places.iter().enumerate() {
                let topic: Arc<str> =
                    format!("portico/{}/{}/{}", city.tenant, group.model.product(), EntityId::local_part(&place.id)).into();
                let every_us = i64::from(if until.is_some() { group.backfill_secs } else { group.cadence_secs }) * SECOND_US;
                let first = first_tick(group, p, every_us, start);
                for variant in 0..group.model.variants() {
                    let stream = sim.streams.len();
                    sim.streams.push(Stream { group: g, place: p, variant, topic: Arc::clone(&topic), every_us });
                    sim.push(first, Event::Tick(stream));
                }
            }
        }
        sim
    }

    fn push(&mut self, at: Timestamp, event: Event) {
        if self.until.is_none_or(|until| at < until) {
            self.sequence += 1;
            self.queue.push(Reverse((at, self.sequence, event)));
        }
    }

    /// What the stream sends at its tick, after its faults; the message may also leave later, or again.
    fn speak(&mut self, stream: usize, at: Timestamp) -> Option<Message> {
        let city = Arc::clone(&self.scenario.0);
        let s = &self.streams[stream];
        let group = &city.groups[s.group];
        let who = who(s);
        let topic = Arc::clone(&s.topic);
        let struck = fault::strike(&city.faults, self.chance, group.model.product(), who, at.0);
        if struck.is_some_and(|f| f.kind == FaultKind::Silence) {
            return None;
        }
        let mut fields = self.fields(&self.streams[stream], at, struck)?;
        let observed = Timestamp(at.0 - i64::from(group.period_secs) * SECOND_US + skew(struck));
        fields.insert("observed_at".into(), observed.to_rfc3339().into());
        let place = &group.places[s.place];
        fields.insert("lon".into(), decimal(place.lon, 5));
        fields.insert("lat".into(), decimal(place.lat, 5));
        let mut payload = serde_json::to_vec(&fields).ok()?;
        match struck {
            Some(Struck { kind: FaultKind::Garbage, .. }) => {
                payload = fault::garbage(self.chance, who, at.0, &payload, group.model.headline().0);
            }
            Some(Struck { kind: FaultKind::Duplicate, .. }) => {
                self.push(Timestamp(at.0 + 2 * SECOND_US), Event::Delayed(Arc::clone(&topic), payload.clone(), false));
            }
            Some(Struck { kind: FaultKind::Late, by, .. }) => {
                self.push(Timestamp(at.0 + by as i64), Event::Delayed(topic, payload, true));
                return None;
            }
            _ => {}
        }
        // A duplicate is counted where it repeats, not where it was first said.
        let fault = struck.map(|f| f.kind).filter(|k| *k != FaultKind::Duplicate);
        Some(Message { topic, payload, fault })
    }

    /// The contract's fields with drift and a stuck value worked in.
    fn fields(&self, stream: &Stream, at: Timestamp, struck: Option<Struck>) -> Option<Fields> {
        let mut fields = self.truth(stream, at)?;
        let (headline, max) = self.scenario.0.groups[stream.group].model.headline();
        match struck {
            Some(Struck { kind: FaultKind::Stuck, since_us, .. }) => {
                let stuck = self.truth(stream, Timestamp(since_us)).and_then(|f| f.get(headline).cloned());
                if let (Some(value), Some(stuck)) = (fields.get_mut(headline), stuck) {
                    *value = stuck;
                }
            }
            Some(Struck { kind: FaultKind::Drift, by, .. }) => {
                if let Some(value) = fields.get_mut(headline) {
                    *value = drifted(value, by, max);
                }
            }
            _ => {}
        }
        Some(fields)
    }

    fn truth(&self, stream: &Stream, at: Timestamp) -> Option<Fields> {
        let city = &*self.scenario.0;
        let group = &city.groups[stream.group];
        let moment = Moment::new(&city.zone, at);
        let weather = climate::weather(self.chance, &city.profiles.weather, &moment);
        let scene = Scene { city, chance: self.chance, nights: &self.nights, moment, weather, period_secs: group.period_secs };
        group.model.fields(&scene, &Sensor { place: &group.places[stream.place], who: who(stream), variant: stream.variant })
    }
}

impl Iterator for Sim {
    type Item = (Timestamp, Message);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Reverse((at, _, event)) = self.queue.pop()?;
            match event {
                Event::Tick(stream) => {
                    self.push(Timestamp(at.0 + self.streams[stream].every_us), Event::Tick(stream));
                    if let Some(message) = self.speak(stream, at) {
                        return Some((at, message));
                    }
                }
                Event::Delayed(topic, payload, late) => {
                    let fault = Some(if late { FaultKind::Late } else { FaultKind::Duplicate });
                    return Some((at, Message { topic, payload, fault }));
                }
            }
        }
    }
}

/// Group, place and variant in one word; all variants of one sensor lie side by side from a multiple of 256.
fn who(s: &Stream) -> u64 {
    ((s.group as u64 + 1) << 40) | ((s.place as u64) << 8) | s.variant as u64
}

/// The first instant of the sensor's own grid at or after `start`. Live and thinned grids share their instants.
fn first_tick(group: &Group, place: usize, every_us: i64, start: Timestamp) -> Timestamp {
    let (cadence_us, n) = (i64::from(group.cadence_secs) * SECOND_US, group.places.len() as i64);
    // Whole milliseconds, and neighbours in the list far apart in time (the golden ratio spreads any number of them evenly).
    let turn = (place as f64 * 0.618_033_988_749_895).fract();
    let phase = (turn * cadence_us as f64 / 1_000.0) as i64 * 1_000;
    let stride = (every_us / cadence_us).max(1);
    let offset = phase + (place as i64 * stride / n) % stride * cadence_us;
    let behind = (start.0 - offset).rem_euclid(every_us);
    Timestamp(if behind == 0 { start.0 } else { start.0 + every_us - behind })
}

fn skew(struck: Option<Struck>) -> i64 {
    struck.filter(|f| f.kind == FaultKind::ClockSkew).map_or(0, |f| f.by as i64)
}

fn drifted(value: &Value, by: f64, max: f64) -> Value {
    match (value.as_i64(), value.as_f64()) {
        (Some(v), _) => ((v as f64 * by).round().min(max) as i64).into(),
        (None, Some(v)) => decimal((v * by).min(max), 2),
        _ => value.clone(),
    }
}

#[cfg(test)]
mod tests;
