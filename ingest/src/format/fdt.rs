//! The traffic data of Turin (5T, `traffic_data` with `FDT_data`): the documents of [`crate::datex`], one per road section. Flow is in
//! vehicles per hour, speed in km/h, `period` in minutes, and an `accuracy` of 0 says that there is no value.

use super::{Format, Incoming, Translated, datex2};
use crate::decode::reject::Reject;

#[derive(Debug)]
pub(super) struct Fdt;

impl Format for Fdt {
    fn translate(&self, message: Incoming<'_>, out: &mut Vec<u8>) -> Result<Translated, Reject> {
        datex2::lines(message.payload, out)
    }
}
