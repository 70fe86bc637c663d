//! The rules of a contract, one value or one row at a time. Pure.

use crate::decode::{
    block::Slot,
    reject::{Reason, Reject, cut},
};
use schemas::{
    Contract, Field, FieldType, Timestamp,
    time::{DAY_US, SECOND_US},
};

const fn kind_name(kind: FieldType) -> &'static str {
    match kind {
        FieldType::Float => "a number",
        FieldType::Int => "a whole number",
        FieldType::Text => "a text",
        FieldType::Bool => "true or false",
    }
}

/// A value of the wrong type was found.
#[cold]
#[must_use]
pub fn wrong_type(field: &Field, found: &str) -> Reject {
    Reject::field(Reason::WrongType, &field.name, format!("'{}' must be {}, not {found}", field.name, kind_name(field.kind)))
}

#[cold]
fn out_of_range(field: &Field, value: &str) -> Reject {
    let unit = field.unit.as_deref().unwrap_or("");
    let range = match (field.min, field.max) {
        (Some(min), Some(max)) => format!("between {min} and {max} {unit}"),
        (Some(min), None) => format!("at least {min} {unit}"),
        (None, Some(max)) => format!("at most {max} {unit}"),
        (None, None) => "a 64-bit number".to_owned(),
    };
    Reject::field(Reason::OutOfRange, &field.name, format!("'{}' is {value}; the contract wants {}", field.name, range.trim_end()))
}

fn in_range(field: &Field, value: f64) -> bool {
    field.min.is_none_or(|min| value >= min) && field.max.is_none_or(|max| value <= max)
}

/// The text of a JSON number, stored exactly.
pub fn number_text(field: &Field, text: &str) -> Result<Slot, Reject> {
    match field.kind {
        FieldType::Float => match text.parse::<f64>() {
            Ok(v) if v.is_finite() => float(field, v),
            _ => Err(out_of_range(field, &cut(text, 40))),
        },
        FieldType::Int => match text.parse::<i64>() {
            Ok(v) if in_range(field, v as f64) => Ok(Slot::Int(v)),
            Ok(v) => Err(out_of_range(field, &v.to_string())),
            // `43.0` and `4.3e1` are whole numbers too.
            Err(_) => text.parse::<f64>().map_err(|_| wrong_type(field, text)).and_then(|v| number(field, v)),
        },
        FieldType::Text | FieldType::Bool => Err(wrong_type(field, "a number")),
    }
}

fn float(field: &Field, v: f64) -> Result<Slot, Reject> {
    if in_range(field, v) { Ok(Slot::Float(v)) } else { Err(out_of_range(field, &v.to_string())) }
}

/// A number that was computed, for example by a scale.
pub fn number(field: &Field, v: f64) -> Result<Slot, Reject> {
    // 2^63 as a float; the comparison makes the cast exact.
    const INT_END: f64 = 9_223_372_036_854_775_808.0;
    match field.kind {
        _ if !v.is_finite() => Err(out_of_range(field, &v.to_string())),
        FieldType::Float => float(field, v),
        FieldType::Int if v.fract() != 0.0 => Err(wrong_type(field, &v.to_string())),
        FieldType::Int if in_range(field, v) && (-INT_END..INT_END).contains(&v) => Ok(Slot::Int(v as i64)),
        FieldType::Int => Err(out_of_range(field, &v.to_string())),
        FieldType::Text | FieldType::Bool => Err(wrong_type(field, "a number")),
    }
}

pub fn boolean(field: &Field, v: bool) -> Result<Slot, Reject> {
    if field.kind == FieldType::Bool { Ok(Slot::Bool(v)) } else { Err(wrong_type(field, "true or false")) }
}

/// Length is counted in characters, as JSON Schema does.
pub fn text(field: &Field, v: &str) -> Result<(), Reject> {
    if field.kind != FieldType::Text {
        return Err(wrong_type(field, "a text"));
    }
    if v.len() > field.len_max && v.chars().count() > field.len_max {
        let message = format!("'{}' has {} characters; the contract allows {}", field.name, v.chars().count(), field.len_max);
        return Err(Reject::field(Reason::OutOfRange, &field.name, message));
    }
    Ok(())
}

/// Required fields are there, and at least one field that is not a key holds a value.
pub fn row(contract: &Contract, slots: &[Slot]) -> Result<(), Reject> {
    let mut any = false;
    for (field, slot) in contract.fields.iter().zip(slots) {
        let null = matches!(slot, Slot::Null);
        if null && field.required {
            let message = format!("'{}' is required by the contract of {} and is absent or null", field.name, contract.product);
            return Err(Reject::field(Reason::MissingField, &field.name, message));
        }
        any |= !null && !field.key;
    }
    if any {
        return Ok(());
    }
    let names: Vec<&str> = contract.fields.iter().filter(|f| !f.key).map(|f| f.name.as_str()).take(8).collect();
    let message = format!("the message holds no value of {}; send at least one of: {}", contract.product, names.join(", "));
    Err(Reject::new(Reason::MissingField, message))
}

/// Whether the row is late; or why its time is refused.
pub fn time(contract: &Contract, oldest: Timestamp, observed_at: Timestamp, received_at: Timestamp) -> Result<bool, Reject> {
    let ahead = observed_at.0.saturating_sub(received_at.0);
    if ahead > i64::from(contract.future_secs_max) * SECOND_US {
        let message = format!(
            "observed at {observed_at}, which is {} s after it was received; at most {} s is allowed: set the device's clock",
            ahead / SECOND_US,
            contract.future_secs_max
        );
        return Err(Reject::field(Reason::Future, "observed_at", message));
    }
    if observed_at < oldest {
        let message = format!("observed at {observed_at}, before {oldest}, the oldest instant that is accepted");
        return Err(Reject::field(Reason::TooOld, "observed_at", message));
    }
    Ok(ahead < -i64::from(contract.late_after_secs) * SECOND_US)
}

/// Why a row is refused whose date the contract no longer keeps.
pub fn kept(contract: &Contract, observed_at: Timestamp, received_at: Timestamp) -> Result<(), Reject> {
    match contract.oldest_date(received_at).filter(|first| observed_at.date() < *first) {
        None => Ok(()),
        Some(first) => {
            let message = format!(
                "observed at {observed_at}; the contract of {} keeps {} days, which now begin at {}, and older rows are removed",
                contract.product,
                contract.retention_days.unwrap_or_default(),
                Timestamp(i64::from(first) * DAY_US)
            );
            Err(Reject::field(Reason::TooOld, "observed_at", message))
        }
    }
}
