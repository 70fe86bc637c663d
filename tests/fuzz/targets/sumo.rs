//! Whatever a simulator writes on TraCI or to the file of its detectors: no panic, no unbounded memory.

#![no_main]

use ingest::sumo::{intervals::Intervals, traci::value::Reader};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((kind, data)) = data.split_first() else { return };
    if kind % 2 == 0 {
        let mut reader = Reader::new(data);
        while let Ok((_, mut content)) = reader.command() {
            while content.value().is_ok() {}
            if reader.is_empty() {
                break;
            }
        }
    } else {
        let mut intervals = Intervals::new(data);
        while let Ok(Some(_)) = intervals.next() {}
    }
});
