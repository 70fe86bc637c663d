//! GTFS realtime 2.0, `FeedMessage` in protocol buffers: vehicle positions, trip updates and alerts, one document per kind and 5,000 rows:
//! `{"kind": "position" | "update" | "alert", "rows": […]}`. A feed may hold all kinds; deleted entities are passed by.
//!
//! Traps: a time is seconds of the epoch, and the feed's own when an entity has none; 0 is absent; speed is m/s and becomes km/h; a trip
//! update without stops (a cancelled trip) is one row; an alert is one row per part of the network that it touches. `license_plate` is
//! not declared in [`wire`], so it is never read.

use super::{Format, Incoming, Translated};
use crate::{
    capped::write_json,
    decode::reject::{Reason, Reject},
};
use prost::Message;
use schemas::{Timestamp, time::SECOND_US};
use serde::Serialize;
use wire::{Alert, Feed, Stop, TripDescriptor, TripUpdate, Vehicle};

mod wire;

/// Rows of one kind; a national feed has tens of thousands.
const ROWS_MAX: usize = 200_000;
/// Rows of one document; the pipeline takes no more than 10,000 by default.
const DOCUMENT_ROWS: usize = 5_000;
const MPS_TO_KMH: f64 = 3.6;

#[derive(Debug)]
pub(super) struct GtfsRt;

impl Format for GtfsRt {
    fn translate(&self, message: Incoming<'_>, out: &mut Vec<u8>) -> Result<Translated, Reject> {
        let feed = Feed::decode(message.payload)
            .map_err(|e| Reject::new(Reason::NotFormat, format!("not a FeedMessage of GTFS realtime: {e}; send the bytes as published")))?;
        let Some(header) = &feed.header else {
            return Err(Reject::field(Reason::MissingField, "header", "a FeedMessage of GTFS realtime has a header"));
        };
        let published = seconds(header.timestamp).unwrap_or(message.received_at);
        let (mut positions, mut updates, mut alerts) = (Vec::new(), Vec::new(), Vec::new());
        for entity in feed.entity.iter().filter(|e| e.is_deleted != Some(true)) {
            positions.extend(entity.vehicle.as_ref().map(|v| position(&entity.id, v, published)));
            entity.trip_update.iter().for_each(|u| update(&entity.id, u, published, &mut updates));
            entity.alert.iter().for_each(|a| alert(&entity.id, a, published, &mut alerts));
            if [positions.len(), updates.len(), alerts.len()].iter().any(|n| *n > ROWS_MAX) {
                return Err(Reject::new(Reason::TooLarge, format!("more than {ROWS_MAX} rows in one feed; send it in parts")));
            }
        }
        write("position", &positions, out)?;
        write("update", &updates, out)?;
        write("alert", &alerts, out)?;
        Ok(if out.is_empty() { Translated::Nothing } else { Translated::Documents })
    }
}

fn write<T: Serialize>(kind: &'static str, rows: &[T], out: &mut Vec<u8>) -> Result<(), Reject> {
    #[derive(Serialize)]
    struct Document<'a, T> {
        kind: &'static str,
        rows: &'a [T],
    }
    for rows in rows.chunks(DOCUMENT_ROWS) {
        write_json(out, &Document { kind, rows })
            .map_err(|e| Reject::new(Reason::TooLarge, format!("the feed cannot be written: {e}; send it in parts")))?;
        out.push(b'\n');
    }
    Ok(())
}

fn seconds(v: Option<u64>) -> Option<Timestamp> {
    v.filter(|v| *v > 0).and_then(|v| i64::try_from(v).ok()?.checked_mul(SECOND_US)).map(Timestamp)
}

fn rfc3339(v: Option<i64>) -> Option<String> {
    seconds(v.and_then(|v| u64::try_from(v).ok())).map(Timestamp::to_rfc3339)
}

fn text(v: Option<&String>) -> Option<&str> {
    v.map(|t| t.trim()).filter(|t| !t.is_empty())
}

/// A number that JSON can write; what is NaN or infinite is absent.
fn finite(v: Option<f32>) -> Option<f64> {
    // By its decimal text, so that 45.1 does not become 45.099998474121094.
    v.filter(|v| v.is_finite()).and_then(|v| v.to_string().parse().ok())
}

/// A word of an enumeration; a number that is not known is absent.
fn word(names: &[&'static str], v: Option<i32>) -> Option<&'static str> {
    names.get(usize::try_from(v?).ok()?).copied().filter(|n| !n.is_empty())
}

#[derive(Serialize)]
struct Position<'f> {
    id: &'f str,
    time: i64,
    lon: Option<f64>,
    lat: Option<f64>,
    trip: Option<&'f str>,
    route: Option<&'f str>,
    direction: Option<u32>,
    start_date: Option<&'f str>,
    start_time: Option<&'f str>,
    label: Option<&'f str>,
    stop: Option<&'f str>,
    stop_sequence: Option<u32>,
    status: Option<&'static str>,
    bearing: Option<f64>,
    speed: Option<f64>,
    odometer: Option<f64>,
    congestion: Option<&'static str>,
    occupancy: Option<&'static str>,
    occupancy_percentage: Option<u32>,
}

fn trip_of(trip: Option<&TripDescriptor>, of: fn(&TripDescriptor) -> Option<&String>) -> Option<&str> {
    text(trip.and_then(of))
}

fn position<'f>(entity: &'f str, v: &'f Vehicle, published: Timestamp) -> Position<'f> {
    let trip = v.trip.as_ref();
    let vehicle = v.vehicle.as_ref();
    let place = v.position.as_ref();
    // 0, 0 is what trackers without a fix send.
    let (lon, lat) = place.and_then(|p| finite(p.longitude).zip(finite(p.latitude))).filter(|p| *p != (0.0, 0.0)).unzip();
    let stop = text(v.stop_id.as_ref());
    // The status means the stop; without one the default of the protocol says nothing.
    let about_a_stop = stop.is_some() || v.current_stop_sequence.is_some();
    Position {
        id: vehicle.and_then(|d| text(d.id.as_ref())).unwrap_or(entity),
        time: seconds(v.timestamp).unwrap_or(published).micros(),
        lon,
        lat,
        trip: trip_of(trip, |t| t.trip_id.as_ref()),
        route: trip_of(trip, |t| t.route_id.as_ref()),
        direction: trip.and_then(|t| t.direction_id),
        start_date: trip_of(trip, |t| t.start_date.as_ref()),
        start_time: trip_of(trip, |t| t.start_time.as_ref()),
        label: vehicle.and_then(|d| text(d.label.as_ref())),
        stop,
        stop_sequence: v.current_stop_sequence,
        status: word(wire::STOP_STATUS, v.current_status.or(about_a_stop.then_some(wire::IN_TRANSIT_TO))),
        bearing: finite(place.and_then(|p| p.bearing)),
        speed: finite(place.and_then(|p| p.speed)).map(|v| v * MPS_TO_KMH),
        odometer: place.and_then(|p| p.odometer).filter(|v| v.is_finite()),
        congestion: word(wire::CONGESTION, v.congestion_level),
        occupancy: word(wire::OCCUPANCY, v.occupancy_status),
        occupancy_percentage: v.occupancy_percentage,
    }
}

#[derive(Serialize)]
struct Update<'f> {
    id: &'f str,
    time: i64,
    start_date: Option<&'f str>,
    start_time: Option<&'f str>,
    stop_sequence: Option<u32>,
    stop: Option<&'f str>,
    route: Option<&'f str>,
    direction: Option<u32>,
    vehicle: Option<&'f str>,
    trip_status: Option<&'static str>,
    stop_status: Option<&'static str>,
    arrival_delay: Option<i32>,
    arrival_at: Option<String>,
    departure_delay: Option<i32>,
    departure_at: Option<String>,
    delay: Option<i32>,
}

fn update<'f>(entity: &'f str, u: &'f TripUpdate, published: Timestamp, out: &mut Vec<Update<'f>>) {
    let trip = u.trip.as_ref();
    let row = |stop: Option<&'f Stop>| {
        let (arrival, departure) = (stop.and_then(|s| s.arrival.as_ref()), stop.and_then(|s| s.departure.as_ref()));
        Update {
            id: trip_of(trip, |t| t.trip_id.as_ref()).unwrap_or(entity),
            time: seconds(u.timestamp).unwrap_or(published).micros(),
            start_date: trip_of(trip, |t| t.start_date.as_ref()),
            start_time: trip_of(trip, |t| t.start_time.as_ref()),
            stop_sequence: stop.and_then(|s| s.stop_sequence),
            stop: text(stop.and_then(|s| s.stop_id.as_ref())),
            route: trip_of(trip, |t| t.route_id.as_ref()),
            direction: trip.and_then(|t| t.direction_id),
            vehicle: text(u.vehicle.as_ref().and_then(|v| v.id.as_ref())),
            trip_status: word(wire::TRIP_RELATIONSHIP, trip.map(|t| t.schedule_relationship.unwrap_or(0))),
            stop_status: word(wire::STOP_RELATIONSHIP, stop.map(|s| s.schedule_relationship.unwrap_or(0))),
            arrival_delay: arrival.and_then(|e| e.delay),
            arrival_at: rfc3339(arrival.and_then(|e| e.time)),
            departure_delay: departure.and_then(|e| e.delay),
            departure_at: rfc3339(departure.and_then(|e| e.time)),
            delay: u.delay,
        }
    };
    if u.stop_time_update.is_empty() {
        out.push(row(None));
    }
    out.extend(u.stop_time_update.iter().map(|stop| row(Some(stop))));
}

#[derive(Serialize)]
struct Notice<'f> {
    id: &'f str,
    time: i64,
    part: usize,
    cause: &'static str,
    effect: &'static str,
    severity: Option<&'static str>,
    agency: Option<&'f str>,
    route: Option<&'f str>,
    route_type: Option<i32>,
    trip: Option<&'f str>,
    stop: Option<&'f str>,
    starts_at: Option<String>,
    ends_at: Option<String>,
    header: Option<&'f str>,
    description: Option<&'f str>,
    language: Option<&'f str>,
    url: Option<&'f str>,
}

fn alert<'f>(entity: &'f str, a: &'f Alert, published: Timestamp, out: &mut Vec<Notice<'f>>) {
    // The Italian text if there is one, otherwise the first.
    let translated = |t: &'f Option<wire::Translated>| {
        let list = t.as_ref().map_or(&[][..], |t| &t.translation);
        list.iter().find(|t| t.language.as_deref() == Some("it")).or(list.first())
    };
    let header = translated(&a.header_text);
    let starts = a.active_period.iter().filter_map(|p| seconds(p.start));
    let open = a.active_period.iter().any(|p| seconds(p.end).is_none());
    let ends = a.active_period.iter().filter_map(|p| seconds(p.end));
    let (starts_at, ends_at) = (starts.min(), ends.max().filter(|_| !open));
    let row = |part, touched: Option<&'f wire::Touched>| Notice {
        id: entity,
        time: published.micros(),
        part,
        cause: word(wire::CAUSE, a.cause.or(Some(1))).unwrap_or("unknown_cause"),
        effect: word(wire::EFFECT, a.effect.or(Some(8))).unwrap_or("unknown_effect"),
        severity: word(wire::SEVERITY, a.severity_level),
        agency: text(touched.and_then(|t| t.agency_id.as_ref())),
        route: text(touched.and_then(|t| t.route_id.as_ref()))
            .or_else(|| trip_of(touched.and_then(|t| t.trip.as_ref()), |t| t.route_id.as_ref())),
        route_type: touched.and_then(|t| t.route_type),
        trip: trip_of(touched.and_then(|t| t.trip.as_ref()), |t| t.trip_id.as_ref()),
        stop: text(touched.and_then(|t| t.stop_id.as_ref())),
        starts_at: starts_at.map(Timestamp::to_rfc3339),
        ends_at: ends_at.map(Timestamp::to_rfc3339),
        header: text(header.map(|t| &t.text)),
        description: text(translated(&a.description_text).map(|t| &t.text)),
        language: text(header.and_then(|t| t.language.as_ref())),
        url: text(translated(&a.url).map(|t| &t.text)),
    };
    if a.informed_entity.is_empty() {
        out.push(row(0, None));
    }
    out.extend(a.informed_entity.iter().enumerate().map(|(part, touched)| row(part, Some(touched))));
}

#[cfg(test)]
pub(super) mod tests;
