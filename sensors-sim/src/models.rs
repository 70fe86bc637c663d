//! What each product's sensors would measure: one function per product, from the scene to the fields of its contract.

mod air;
mod street;
mod surroundings;
mod traffic;

use crate::{calendar::Moment, chance::Chance, climate::Nights, climate::Weather, places::Place, scenario::City};
use serde::Deserialize;
use serde_json::{Map, Number, Value};

pub(crate) type Fields = Map<String, Value>;

/// A data product that the simulator knows how to make up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Model {
    AirQuality,
    Noise,
    Parking,
    PeopleVehicleCount,
    StreetLight,
    TrafficClassCount,
    TrafficCount,
    WasteContainer,
    WaterLevel,
    Weather,
}

/// All that a value may depend on, beside the sensor.
pub(crate) struct Scene<'a> {
    pub(crate) city: &'a City,
    pub(crate) chance: Chance,
    pub(crate) nights: &'a Nights,
    pub(crate) moment: Moment,
    pub(crate) weather: Weather,
    pub(crate) period_secs: u32,
}

/// One sensor, or one line of a sensor that counts several classes.
pub(crate) struct Sensor<'a> {
    pub(crate) place: &'a Place,
    /// Tells it from all others in every draw.
    pub(crate) who: u64,
    pub(crate) variant: usize,
}

impl Model {
    /// The product, which is also the table and a level of the topic.
    pub(crate) const fn product(self) -> &'static str {
        match self {
            Self::AirQuality => "air_quality",
            Self::Noise => "noise",
            Self::Parking => "parking",
            Self::PeopleVehicleCount => "people_vehicle_count",
            Self::StreetLight => "street_light",
            Self::TrafficClassCount => "traffic_class_count",
            Self::TrafficCount => "traffic_count",
            Self::WasteContainer => "waste_container",
            Self::WaterLevel => "water_level",
            Self::Weather => "weather",
        }
    }

    /// The measured field that drift and a stuck sensor show in, with the largest value its contract takes.
    pub(crate) const fn headline(self) -> (&'static str, f64) {
        match self {
            Self::AirQuality => ("no2", 2_000.0),
            Self::Noise => ("laeq", 160.0),
            Self::Parking => ("free", 20_000.0),
            Self::PeopleVehicleCount => ("total", 100_000.0),
            Self::StreetLight => ("power", 5_000.0),
            Self::TrafficClassCount => ("transits", 50_000.0),
            Self::TrafficCount => ("vehicles", 20_000.0),
            Self::WasteContainer => ("fill", 100.0),
            Self::WaterLevel => ("level", 50.0),
            Self::Weather => ("temperature", 60.0),
        }
    }

    /// How many messages one sensor sends at each tick.
    pub(crate) const fn variants(self) -> usize {
        match self {
            Self::PeopleVehicleCount => street::PEOPLE_VARIANTS,
            Self::TrafficClassCount => traffic::CLASS_VARIANTS,
            _ => 1,
        }
    }

    /// The fields of the contract; `None` when a sensor of this kind would send nothing.
    pub(crate) fn fields(self, scene: &Scene<'_>, sensor: &Sensor<'_>) -> Option<Fields> {
        let mut out = match self {
            Self::AirQuality => air::quality(scene, sensor),
            Self::Noise => street::noise(scene, sensor),
            Self::Parking => street::parking(scene, sensor),
            Self::PeopleVehicleCount => street::people(scene, sensor),
            Self::StreetLight => street::light(scene, sensor),
            Self::TrafficClassCount => traffic::class_count(scene, sensor)?,
            Self::TrafficCount => traffic::loop_count(scene, sensor),
            Self::WasteContainer => surroundings::waste(scene, sensor),
            Self::WaterLevel => surroundings::water(scene, sensor),
            Self::Weather => air::weather(scene, sensor),
        };
        if scene.period_secs > 0 {
            out.insert("period".into(), period_text(scene.period_secs).into());
        }
        Some(out)
    }
}

/// ISO 8601 duration with the largest unit that divides it.
pub(crate) fn period_text(secs: u32) -> String {
    match secs {
        s if s % 86_400 == 0 => format!("P{}D", s / 86_400),
        s if s % 3_600 == 0 => format!("PT{}H", s / 3_600),
        s if s % 60 == 0 => format!("PT{}M", s / 60),
        s => format!("PT{s}S"),
    }
}

/// A number with so many decimals, as devices print it.
pub(crate) fn decimal(value: f64, decimals: i32) -> Value {
    let scale = 10f64.powi(decimals);
    Number::from_f64((value * scale).round() / scale).map_or(Value::Null, Value::Number)
}

/// Builds the fields from pairs.
pub(crate) fn fields<const N: usize>(pairs: [(&str, Value); N]) -> Fields {
    pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()
}
