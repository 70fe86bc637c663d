//! DATEX II and FDT as messages and as streams, GTFS realtime, and XML as such.
#![no_main]

use ingest::{
    datex::{Publication, Record, Sites},
    xml,
};
use libfuzzer_sys::fuzz_target;
use std::io::BufReader;

const FORMATS: [&str; 3] = ["datex2", "fdt", "gtfs_rt"];
const TOPICS: [&str; 3] = ["datex2-xml/ndw", "fdt-xml/torino", "gtfs-rt/tper"];
const RECORDS_MAX: usize = 10_000;

fuzz_target!(|data: &[u8]| {
    match data {
        // In pieces of seven bytes, so that every name and text is cut somewhere.
        [0xff, text @ ..] => {
            let mut publication = Publication::new(BufReader::with_capacity(7, text), Sites::default());
            let mut record = Record::default();
            for _ in 0..RECORDS_MAX {
                match publication.next(&mut record) {
                    Ok(true) => assert!(serde_json::from_slice::<serde_json::Value>(&record.document).is_ok(), "not JSON"),
                    Ok(false) | Err(_) => break,
                }
            }
        }
        [0xfe, text @ ..] => {
            if let Ok(tree) = xml::whole(text) {
                let root = tree.root();
                let n = root.inside().map(|e| e.text().len() + e.name().len() + e.children().count()).sum::<usize>();
                assert!(n <= text.len() * 4 + 64, "{n} of {}", text.len());
            }
        }
        _ => fuzz::translate(&FORMATS, &TOPICS, data),
    }
});
