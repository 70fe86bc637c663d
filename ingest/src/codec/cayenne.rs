//! Cayenne Low Power Payload: channel, type (IPSO object minus 3200), value in big endian, again and again.
//!
//! Values are named `temperature_1` as The Things Stack does: the quantity and the channel.

use super::CodecError;
use serde_json::{Map, Value, json};

pub const NAME: &str = "cayenne_lpp";

/// Type, name, bytes of each number, whether it is signed, divisor; and the parts of those that have several.
struct Kind(u8, &'static str, usize, bool, f64, &'static [&'static str]);

const KINDS: &[Kind] = &[
    Kind(0, "digital_in", 1, false, 1.0, &[]),
    Kind(1, "digital_out", 1, false, 1.0, &[]),
    Kind(2, "analog_in", 2, true, 100.0, &[]),
    Kind(3, "analog_out", 2, true, 100.0, &[]),
    Kind(100, "generic", 4, false, 1.0, &[]),
    Kind(101, "luminosity", 2, false, 1.0, &[]),
    Kind(102, "presence", 1, false, 1.0, &[]),
    Kind(103, "temperature", 2, true, 10.0, &[]),
    Kind(104, "relative_humidity", 1, false, 2.0, &[]),
    Kind(113, "accelerometer", 2, true, 1_000.0, &["x", "y", "z"]),
    Kind(115, "barometric_pressure", 2, false, 10.0, &[]),
    Kind(116, "voltage", 2, false, 100.0, &[]),
    Kind(117, "current", 2, false, 1_000.0, &[]),
    Kind(118, "frequency", 4, false, 1.0, &[]),
    Kind(120, "percentage", 1, false, 1.0, &[]),
    Kind(121, "altitude", 2, true, 1.0, &[]),
    Kind(125, "concentration", 2, false, 1.0, &[]),
    Kind(128, "power", 2, false, 1.0, &[]),
    Kind(130, "distance", 4, false, 1_000.0, &[]),
    Kind(131, "energy", 4, false, 1_000.0, &[]),
    Kind(132, "direction", 2, false, 1.0, &[]),
    Kind(133, "unix_time", 4, false, 1.0, &[]),
    Kind(134, "gyrometer", 2, true, 100.0, &["x", "y", "z"]),
    Kind(135, "colour", 1, false, 1.0, &["r", "g", "b"]),
    Kind(136, "gps", 3, true, 10_000.0, &["latitude", "longitude", "altitude"]),
    Kind(142, "switch", 1, false, 1.0, &[]),
];

/// The values of a frame, as a JSON object.
///
/// # Errors
/// The type that is not known, or the value that is cut off; then nothing of the frame counts.
pub fn decode(bytes: &[u8]) -> Result<Value, CodecError> {
    let refuse = |text: String| Err(CodecError::Refused(vec![text]));
    let mut out = Map::new();
    let mut rest = bytes;
    while let [channel, id, tail @ ..] = rest {
        let at = bytes.len() - rest.len();
        let Some(Kind(_, name, width, signed, divisor, parts)) = KINDS.iter().find(|k| k.0 == *id) else {
            return refuse(format!("byte {}: type {id} is not a type of Cayenne LPP", at + 1));
        };
        let len = width * parts.len().max(1);
        let Some((value, after)) = tail.split_at_checked(len) else {
            return refuse(format!("byte {at}: {name} needs {len} bytes, {} are left", tail.len()));
        };
        let numbers: Vec<f64> = value.chunks(*width).map(|b| number(b, *signed)).collect();
        let value = if *name == "gps" {
            // The altitude alone is in centimetres.
            json!({ "latitude": numbers[0] / divisor, "longitude": numbers[1] / divisor, "altitude": numbers[2] / 100.0 })
        } else if parts.is_empty() {
            json!(numbers[0] / divisor)
        } else {
            Value::Object(parts.iter().zip(&numbers).map(|(part, n)| ((*part).to_owned(), json!(n / divisor))).collect())
        };
        if out.insert(format!("{name}_{channel}"), value).is_some() {
            return refuse(format!("byte {at}: {name} of channel {channel} stands twice"));
        }
        rest = after;
    }
    if rest.is_empty() { Ok(Value::Object(out)) } else { refuse("the last byte is a channel without a type".to_owned()) }
}

/// Big endian of at most four bytes.
fn number(bytes: &[u8], signed: bool) -> f64 {
    let n = bytes.iter().fold(0i64, |n, b| n << 8 | i64::from(*b));
    let bits = 8 * bytes.len();
    let n = if signed && n >= 1 << (bits - 1) { n - (1 << bits) } else { n };
    n as f64
}
