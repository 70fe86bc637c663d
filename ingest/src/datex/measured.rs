//! Measured data: `siteMeasurements` of both versions, and `FDT_data`.

use super::{Kind, Record, Sites, Value, is_true, time, value};
use crate::xml::Element;
use serde::Serialize;

#[derive(Serialize)]
struct Document<'t> {
    kind: &'static str,
    site: &'t str,
    time: &'t str,
    #[serde(skip_serializing_if = "Option::is_none")]
    lon: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lat: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    street: Option<&'t str>,
    rows: &'t [Row<'t>],
}

#[derive(Debug, Default, Serialize)]
struct Row<'t> {
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<Value<'t>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flow: Option<Value<'t>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    speed: Option<Value<'t>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    occupancy: Option<Value<'t>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    travel_time: Option<Value<'t>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vehicle_class: Option<&'t str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lane: Option<&'t str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    direction: Option<&'t str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    period: Option<Value<'t>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inputs: Option<Value<'t>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accuracy: Option<Value<'t>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<bool>,
}

impl Row<'_> {
    /// Whether there is anything to store: a value, or the word that there is none.
    fn says_something(&self) -> bool {
        let values = [&self.flow, &self.speed, &self.occupancy, &self.travel_time, &self.inputs];
        self.fault.is_some() || values.iter().any(|v| v.is_some())
    }
}

/// One `siteMeasurements`.
pub(super) fn write(root: Element<'_>, published_at: &str, sites: &Sites, record: &mut Record) -> serde_json::Result<()> {
    let site = root.child("measurementSiteReference").and_then(|r| r.attribute("id")).unwrap_or_default();
    let known = sites.get(site);
    let quantities = root.children().filter(|c| matches!(c.name(), "measuredValue" | "physicalQuantity"));
    let mut rows = Vec::new();
    for quantity in quantities {
        let mut row = read(quantity);
        let index = quantity.attribute("index").and_then(|i| i.trim().parse::<u32>().ok());
        if let Some(series) = known.and_then(|k| k.series(index?)) {
            row.vehicle_class = row.vehicle_class.or(series.vehicle_class.as_deref());
            row.lane = series.lane.as_deref();
            row.period = row.period.or(series.period_secs.map(Value::Number));
        }
        if row.says_something() {
            rows.push(row);
        }
    }
    let place = known.and_then(|k| k.place);
    let document = Document {
        kind: "measure",
        site,
        time: time(root.child("measurementTimeDefault"), published_at),
        lon: place.map(|p| p.0),
        lat: place.map(|p| p.1),
        street: known.and_then(|k| k.name.as_deref()),
        rows: &rows,
    };
    record.fill(Kind::MeasuredData, site, rows.len(), &document)
}

/// One value with its index. One pass, because files have hundreds of thousands of them.
fn read(quantity: Element<'_>) -> Row<'_> {
    let mut row = Row { index: value(quantity.attribute("index")), ..Row::default() };
    let (mut fault, mut around) = (false, "");
    for e in quantity.inside() {
        match e.name() {
            "vehicleFlow" | "averageVehicleSpeed" | "occupancy" | "travelTime" => {
                around = e.name();
                row.inputs = row.inputs.or(value(e.attribute("numberOfInputValuesUsed")));
                row.accuracy = row.accuracy.or(value(e.attribute("accuracy")));
            }
            "vehicleFlowRate" => row.flow = value(Some(e.text())),
            "speed" if around == "averageVehicleSpeed" => row.speed = value(Some(e.text())),
            "percentage" if around == "occupancy" => row.occupancy = value(Some(e.text())),
            "duration" if around == "travelTime" => row.travel_time = value(Some(e.text())),
            "dataError" => fault |= is_true(Some(e.text())),
            "physicalQuantityFault" => fault = true,
            "vehicleType" => row.vehicle_class = Some(e.text()).filter(|t| !t.is_empty()),
            "measurementOrCalculationPeriod" => row.period = value(Some(e.text())),
            _ => {}
        }
    }
    if fault {
        row = Row {
            index: row.index,
            vehicle_class: row.vehicle_class,
            period: row.period,
            inputs: row.inputs,
            fault: Some(true),
            ..Row::default()
        };
    }
    row
}

/// One `FDT_data`; `at` is the end of the period, or the time of the file.
pub(super) fn write_fdt(root: Element<'_>, at: &str, record: &mut Record) -> serde_json::Result<()> {
    let direction = root.attribute("direction").filter(|d| !d.trim().is_empty());
    let site = format!("{}-{}", root.attribute("lcd1").unwrap_or_default(), direction.unwrap_or("both"));
    let values = root.child("speedflow");
    let accuracy = value(root.attribute("accuracy"));
    // Turin: an accuracy of 0 says that the values are not to be used.
    let usable = accuracy != Some(Value::Number(0.0));
    let of = |name| value(values.filter(|_| usable).and_then(|v| v.attribute(name)));
    let period = match value(root.attribute("period")) {
        Some(Value::Number(minutes)) => Some(Value::Number(minutes * 60.0)),
        other => other,
    };
    let row = Row {
        flow: of("flow"),
        speed: of("speed"),
        occupancy: of("occupancy"),
        accuracy: accuracy.filter(|_| usable),
        fault: (!usable).then_some(true),
        direction,
        period,
        ..Row::default()
    };
    let coordinate = |name| root.attribute(name).and_then(|v| v.trim().parse::<f64>().ok());
    let place = coordinate("lng").zip(coordinate("lat"));
    let document = Document {
        kind: "measure",
        site: &site,
        time: root.attribute("end_time").unwrap_or(at),
        lon: place.map(|p| p.0),
        lat: place.map(|p| p.1),
        street: root.attribute("Road_name"),
        rows: if row.says_something() { std::slice::from_ref(&row) } else { &[] },
    };
    record.fill(Kind::Fdt, &site, document.rows.len(), &document)
}
