//! DATEX II as one message: the documents of [`crate::datex`], one per record. Tables of sites and signs are read for the records that
//! follow them in the same message only; files that are too big for a message go through `datex::import`.

use super::{Format, Incoming, Translated};
use crate::{
    datex::{Publication, Record, Sites},
    decode::reject::{Reason, Reject},
};

#[derive(Debug)]
pub(super) struct Datex2;

impl Format for Datex2 {
    fn translate(&self, message: Incoming<'_>, out: &mut Vec<u8>) -> Result<Translated, Reject> {
        lines(message.payload, out)
    }
}

/// The records of a text, one document per line.
pub(super) fn lines(text: &[u8], out: &mut Vec<u8>) -> Result<Translated, Reject> {
    let mut publication = Publication::new(text, Sites::default());
    let mut record = Record::default();
    while publication.next(&mut record)? {
        out.extend_from_slice(&record.document);
        out.push(b'\n');
    }
    if !publication.is_recognised() {
        return Err(Reject::new(Reason::NotFormat, "no element of DATEX II version 2 or 3, nor of FDT, was found"));
    }
    Ok(if out.is_empty() { Translated::Nothing } else { Translated::Documents })
}

#[cfg(test)]
mod tests;
