use crate::{
    Freshness,
    filter::Tenants,
    testing::{Row, twin},
};
use schemas::{Quality, Tenant, Timestamp, Value, time::SECOND_US};

const ID: &str = "urn:ngsi-ld:Thing:bologna:1";

fn count(at: i64, period: &str, direction: i64, class: i64, transits: i64) -> Row {
    let row = Row::new("1", at, 1).with("period", period).with("direction", direction).with("vehicle_class", class);
    row.with("transits", transits)
}

#[test]
fn counts_by_class_of_the_newest_instant_and_shortest_period_add_up() {
    let twin = twin(
        "traffic_class_count",
        &[
            count(20, "PT1H", 1, 0, 5).with("speed", 50.0),
            count(20, "PT1H", 2, 0, 15).with("speed", 90.0),
            count(10, "PT1H", 1, 1, 1_000),
            count(30, "P1D", 1, 0, 9_000),
        ],
    );
    let entity = twin.entity(ID, &Tenants::All).unwrap();
    assert_eq!(entity.values(), vec![("transits", Value::Int(20)), ("speed", Value::Float(80.0))], "the mean is weighted by the count");
    assert_eq!(entity.value("transits"), Some(Value::Int(20)));
    assert_eq!(entity.number(0), Some(20.0));
    assert_eq!(entity.attributes().len(), 6);
    assert_eq!(
        entity.attributes()[0].key,
        vec![("period", Value::Text("PT1H".into())), ("direction", Value::Int(1)), ("vehicle_class", Value::Int(0))]
    );
}

#[test]
fn a_figure_known_only_by_the_day_is_shown_beside_those_by_the_hour() {
    let hourly = Row::new("1", 50, 1).with("period", "PT1H").with("no2", 40.0);
    let daily = Row::new("1", 10, 1).with("period", "P1D").with("pm10", 22.0).with("no2", 99.0);
    let twin = twin("air_quality", &[daily, hourly]);
    let entity = twin.entity(ID, &Tenants::All).unwrap();
    assert_eq!(entity.values(), vec![("no2", Value::Float(40.0)), ("pm10", Value::Float(22.0))]);
}

#[test]
fn an_invalid_figure_is_kept_and_not_shown() {
    let twin = twin(
        "water_level",
        &[Row::new("1", 10, 1).with("level", 1.0), Row::new("1", 20, 2).with("level", 99.0).of_quality(Quality::Invalid)],
    );
    let entity = twin.entity(ID, &Tenants::All).unwrap();
    assert_eq!((entity.values(), entity.number(0)), (vec![], None));
    assert_eq!(entity.attributes()[0].value, Value::Float(99.0));
    assert_eq!((entity.quality(), entity.attributes()[0].unit), (Quality::Invalid, Some("m")));
}

#[test]
fn the_street_names_an_entity_where_there_is_one() {
    let named = twin("traffic_count", &[Row::new("1", 10, 1).with("street", "Via Stalingrado").with("period", "PT1H")]);
    assert_eq!(named.entity(ID, &Tenants::All).unwrap().name(), "Via Stalingrado");
    let plain = twin("water_level", &[Row::new("1", 10, 1)]);
    assert_eq!(plain.entity(ID, &Tenants::All).unwrap().name(), "1");
}

#[test]
fn another_tenants_entity_is_not_there() {
    let twin = twin("water_level", &[Row::new("1", 10, 1)]);
    let only = |name: &str| Tenants::Only(vec![Tenant::new(name).unwrap()]);
    assert!(twin.entity(ID, &only("imola")).is_none());
    assert!(twin.entity(ID, &only("bologna")).is_some());
}

#[test]
fn counts_say_how_a_table_stands() {
    let at = |secs: i64| secs * SECOND_US;
    let rows = [("1", 0), ("2", 3_000), ("3", 5_000)].map(|(id, secs)| Row::new(id, at(secs), 1));
    let twin = twin("water_level", &rows);
    let counts = twin.counts(Timestamp(at(5_000)));
    let c = &counts[0];
    assert_eq!((c.entities, c.fresh, c.due, c.overdue, c.simulated), (3, 1, 1, 1, true));
    assert_eq!(c.newest, Some(Timestamp(at(5_000))));
    assert_eq!(twin.entity(ID, &Tenants::All).unwrap().freshness(Timestamp(at(5_000))), Freshness::Overdue);
}
