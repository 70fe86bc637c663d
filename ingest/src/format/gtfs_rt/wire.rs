//! The messages of GTFS realtime, as far as they are read, with the field numbers of its reference. What is not declared here is skipped
//! by the decoder and cannot be stored: licence plates, images, wheelchair access.

use prost::Message;

#[derive(Clone, PartialEq, Message)]
pub(super) struct Feed {
    #[prost(message, optional, tag = "1")]
    pub(super) header: Option<Header>,
    #[prost(message, repeated, tag = "2")]
    pub(super) entity: Vec<Entity>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Header {
    #[prost(string, tag = "1")]
    pub(super) gtfs_realtime_version: String,
    #[prost(uint64, optional, tag = "3")]
    pub(super) timestamp: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Entity {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(bool, optional, tag = "2")]
    pub(super) is_deleted: Option<bool>,
    #[prost(message, optional, tag = "3")]
    pub(super) trip_update: Option<TripUpdate>,
    #[prost(message, optional, tag = "4")]
    pub(super) vehicle: Option<Vehicle>,
    #[prost(message, optional, tag = "5")]
    pub(super) alert: Option<Alert>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TripUpdate {
    #[prost(message, optional, tag = "1")]
    pub(super) trip: Option<TripDescriptor>,
    #[prost(message, repeated, tag = "2")]
    pub(super) stop_time_update: Vec<Stop>,
    #[prost(message, optional, tag = "3")]
    pub(super) vehicle: Option<VehicleDescriptor>,
    #[prost(uint64, optional, tag = "4")]
    pub(super) timestamp: Option<u64>,
    #[prost(int32, optional, tag = "5")]
    pub(super) delay: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Stop {
    #[prost(uint32, optional, tag = "1")]
    pub(super) stop_sequence: Option<u32>,
    #[prost(message, optional, tag = "2")]
    pub(super) arrival: Option<StopTime>,
    #[prost(message, optional, tag = "3")]
    pub(super) departure: Option<StopTime>,
    #[prost(string, optional, tag = "4")]
    pub(super) stop_id: Option<String>,
    #[prost(int32, optional, tag = "5")]
    pub(super) schedule_relationship: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct StopTime {
    #[prost(int32, optional, tag = "1")]
    pub(super) delay: Option<i32>,
    #[prost(int64, optional, tag = "2")]
    pub(super) time: Option<i64>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Vehicle {
    #[prost(message, optional, tag = "1")]
    pub(super) trip: Option<TripDescriptor>,
    #[prost(message, optional, tag = "2")]
    pub(super) position: Option<Place>,
    #[prost(uint32, optional, tag = "3")]
    pub(super) current_stop_sequence: Option<u32>,
    #[prost(int32, optional, tag = "4")]
    pub(super) current_status: Option<i32>,
    #[prost(uint64, optional, tag = "5")]
    pub(super) timestamp: Option<u64>,
    #[prost(int32, optional, tag = "6")]
    pub(super) congestion_level: Option<i32>,
    #[prost(string, optional, tag = "7")]
    pub(super) stop_id: Option<String>,
    #[prost(message, optional, tag = "8")]
    pub(super) vehicle: Option<VehicleDescriptor>,
    #[prost(int32, optional, tag = "9")]
    pub(super) occupancy_status: Option<i32>,
    #[prost(uint32, optional, tag = "10")]
    pub(super) occupancy_percentage: Option<u32>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Place {
    #[prost(float, optional, tag = "1")]
    pub(super) latitude: Option<f32>,
    #[prost(float, optional, tag = "2")]
    pub(super) longitude: Option<f32>,
    #[prost(float, optional, tag = "3")]
    pub(super) bearing: Option<f32>,
    #[prost(double, optional, tag = "4")]
    pub(super) odometer: Option<f64>,
    #[prost(float, optional, tag = "5")]
    pub(super) speed: Option<f32>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TripDescriptor {
    #[prost(string, optional, tag = "1")]
    pub(super) trip_id: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub(super) start_time: Option<String>,
    #[prost(string, optional, tag = "3")]
    pub(super) start_date: Option<String>,
    #[prost(int32, optional, tag = "4")]
    pub(super) schedule_relationship: Option<i32>,
    #[prost(string, optional, tag = "5")]
    pub(super) route_id: Option<String>,
    #[prost(uint32, optional, tag = "6")]
    pub(super) direction_id: Option<u32>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct VehicleDescriptor {
    #[prost(string, optional, tag = "1")]
    pub(super) id: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub(super) label: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Alert {
    #[prost(message, repeated, tag = "1")]
    pub(super) active_period: Vec<Period>,
    #[prost(message, repeated, tag = "5")]
    pub(super) informed_entity: Vec<Touched>,
    #[prost(int32, optional, tag = "6")]
    pub(super) cause: Option<i32>,
    #[prost(int32, optional, tag = "7")]
    pub(super) effect: Option<i32>,
    #[prost(message, optional, tag = "8")]
    pub(super) url: Option<Translated>,
    #[prost(message, optional, tag = "10")]
    pub(super) header_text: Option<Translated>,
    #[prost(message, optional, tag = "11")]
    pub(super) description_text: Option<Translated>,
    #[prost(int32, optional, tag = "14")]
    pub(super) severity_level: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Period {
    #[prost(uint64, optional, tag = "1")]
    pub(super) start: Option<u64>,
    #[prost(uint64, optional, tag = "2")]
    pub(super) end: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Touched {
    #[prost(string, optional, tag = "1")]
    pub(super) agency_id: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub(super) route_id: Option<String>,
    #[prost(int32, optional, tag = "3")]
    pub(super) route_type: Option<i32>,
    #[prost(message, optional, tag = "4")]
    pub(super) trip: Option<TripDescriptor>,
    #[prost(string, optional, tag = "5")]
    pub(super) stop_id: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Translated {
    #[prost(message, repeated, tag = "1")]
    pub(super) translation: Vec<Translation>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Translation {
    #[prost(string, tag = "1")]
    pub(super) text: String,
    #[prost(string, optional, tag = "2")]
    pub(super) language: Option<String>,
}

/// Words of the enumerations, at the index of their number.
pub(super) const STOP_STATUS: &[&str] = &["incoming_at", "stopped_at", "in_transit_to"];
pub(super) const IN_TRANSIT_TO: i32 = 2;
pub(super) const CONGESTION: &[&str] = &["", "running_smoothly", "stop_and_go", "congestion", "severe_congestion"];
pub(super) const OCCUPANCY: &[&str] = &[
    "empty",
    "many_seats_available",
    "few_seats_available",
    "standing_room_only",
    "crushed_standing_room_only",
    "full",
    "not_accepting_passengers",
    "",
    "not_boardable",
];
pub(super) const TRIP_RELATIONSHIP: &[&str] =
    &["scheduled", "added", "unscheduled", "canceled", "", "replacement", "duplicated", "deleted", "new"];
pub(super) const STOP_RELATIONSHIP: &[&str] = &["scheduled", "skipped", "no_data", "unscheduled"];
pub(super) const CAUSE: &[&str] = &[
    "",
    "unknown_cause",
    "other_cause",
    "technical_problem",
    "strike",
    "demonstration",
    "accident",
    "holiday",
    "weather",
    "maintenance",
    "construction",
    "police_activity",
    "medical_emergency",
];
pub(super) const EFFECT: &[&str] = &[
    "",
    "no_service",
    "reduced_service",
    "significant_delays",
    "detour",
    "additional_service",
    "modified_service",
    "other_effect",
    "unknown_effect",
    "stop_moved",
    "no_effect",
    "accessibility_issue",
];
pub(super) const SEVERITY: &[&str] = &["", "", "info", "warning", "severe"];
