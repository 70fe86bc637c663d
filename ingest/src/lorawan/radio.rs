//! What a gateway heard, and the radio parameters of EU868 (LoRaWAN Regional Parameters RP002, section 2.4), the band of Europe.

use super::text::Eui;
use bytes::Bytes;
use schemas::Timestamp;
use serde_json::Value;

/// Downlinks in the second receive window.
pub(super) const RX2_HZ: u32 = 869_525_000;
pub(super) const RX2_DR: u8 = 0;
/// From the end of an uplink to the first window of its answer, and of a join accept; the second window opens a second later.
pub(super) const RX1_DELAY_SECS: u8 = 1;
pub(super) const JOIN_DELAY_SECS: u8 = 5;
/// The five channels that a join accept adds to the three that every device knows.
pub(super) const EXTRA_CHANNELS_HZ: [u32; 5] = [867_100_000, 867_300_000, 867_500_000, 867_700_000, 867_900_000];

/// How a frame was modulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Modulation {
    Lora { spreading_factor: u8, bandwidth_hz: u32 },
    Fsk { bits_per_second: u32 },
}

impl Modulation {
    /// The `datr` of the packet forwarder: `"SF7BW125"`, or a number of bits per second.
    pub(super) fn from_datr(datr: &Value) -> Option<Self> {
        if let Some(bits) = datr.as_u64() {
            return Some(Self::Fsk { bits_per_second: u32::try_from(bits).ok()? });
        }
        let (sf, bw) = datr.as_str()?.strip_prefix("SF")?.split_once("BW")?;
        let (sf, khz) = (sf.parse().ok()?, bw.parse::<u32>().ok()?);
        ((5..=12).contains(&sf) && khz <= 1_000).then_some(Self::Lora { spreading_factor: sf, bandwidth_hz: khz * 1_000 })
    }

    pub(super) fn datr(self) -> Value {
        match self {
            Self::Lora { spreading_factor, bandwidth_hz } => format!("SF{spreading_factor}BW{}", bandwidth_hz / 1_000).into(),
            Self::Fsk { bits_per_second } => bits_per_second.into(),
        }
    }

    /// The index of EU868; `None` for a modulation that the band does not have.
    #[must_use]
    pub(super) fn data_rate(self) -> Option<u8> {
        match self {
            Self::Lora { spreading_factor: sf @ 7..=12, bandwidth_hz: 125_000 } => Some(12 - sf),
            Self::Lora { spreading_factor: 7, bandwidth_hz: 250_000 } => Some(6),
            Self::Fsk { bits_per_second: 50_000 } => Some(7),
            _ => None,
        }
    }

    pub(super) fn of_data_rate(dr: u8) -> Option<Self> {
        match dr {
            0..=5 => Some(Self::Lora { spreading_factor: 12 - dr, bandwidth_hz: 125_000 }),
            6 => Some(Self::Lora { spreading_factor: 7, bandwidth_hz: 250_000 }),
            7 => Some(Self::Fsk { bits_per_second: 50_000 }),
            _ => None,
        }
    }

    /// Longest FRMPayload at this rate when there are no MAC commands (column N, no repeater).
    pub(super) fn payload_max(self) -> usize {
        match self.data_rate() {
            Some(0..=2) | None => 51,
            Some(3) => 115,
            Some(_) => 222,
        }
    }
}

/// Where a gateway stands, from its own status.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Position {
    pub(super) lat: f64,
    pub(super) lon: f64,
    pub(super) alt: Option<f64>,
}

impl Position {
    /// `None` off the globe, and at 0/0, where forwarders without a fix are.
    pub(super) fn new(lat: f64, lon: f64, alt: Option<f64>) -> Option<Self> {
        let on_globe = (-90.0..=90.0).contains(&lat) && (-180.0..=180.0).contains(&lon);
        (on_globe && (lat, lon) != (0.0, 0.0)).then_some(Self { lat, lon, alt: alt.filter(|a| a.is_finite()) })
    }
}

/// What an answer to a frame needs to come at the right instant of the gateway's own counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AnswerAt {
    /// Microseconds, wrapping (packet forwarder).
    Tmst(u32),
    /// Basics Station.
    Station { xtime: i64, rctx: i64 },
}

/// One frame as one gateway heard it. What the gateway did not say is absent.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Reception {
    pub(super) gateway: Eui,
    pub(super) phy: Bytes,
    pub(super) time: Option<Timestamp>,
    pub(super) frequency_hz: Option<u32>,
    pub(super) modulation: Option<Modulation>,
    pub(super) channel: Option<u32>,
    pub(super) rssi: Option<f64>,
    pub(super) snr: Option<f64>,
    pub(super) position: Option<Position>,
    pub(super) answer_at: Option<AnswerAt>,
}

impl Reception {
    /// The better of two has the higher signal to noise ratio, then the stronger signal.
    pub(super) fn strength(&self) -> (f64, f64) {
        (self.snr.unwrap_or(f64::NEG_INFINITY), self.rssi.unwrap_or(f64::NEG_INFINITY))
    }
}

/// The instant of a count since the GPS epoch (1980-01-06), which knows no leap seconds: 18 since 2017.
pub(super) fn from_gps_micros(micros: i64) -> Option<Timestamp> {
    micros.checked_add(GPS_TO_UNIX_US).filter(|_| micros > 0).map(Timestamp)
}

pub(super) fn to_gps_micros(at: Timestamp) -> i64 {
    at.0.saturating_sub(GPS_TO_UNIX_US)
}

const GPS_TO_UNIX_US: i64 = (315_964_800 - 18) * 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_rates_and_their_names_agree() {
        for dr in 0..=7 {
            let modulation = Modulation::of_data_rate(dr).unwrap();
            assert_eq!((modulation.data_rate(), Modulation::from_datr(&modulation.datr())), (Some(dr), Some(modulation)));
        }
        assert_eq!(Modulation::of_data_rate(0).unwrap().datr(), "SF12BW125");
        for wrong in [serde_json::json!("SF13BW125"), "SF7".into(), "BW125".into(), "SF7BW9999999999".into(), Value::Null, (-1).into()] {
            assert_eq!(Modulation::from_datr(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn gps_time_is_utc_plus_leap_seconds() {
        let at = Timestamp::parse("2024-03-03T08:00:00Z").unwrap();
        assert_eq!((to_gps_micros(at), from_gps_micros(to_gps_micros(at))), (1_393_488_018_000_000, Some(at)));
        assert_eq!(from_gps_micros(0), None);
    }
}
