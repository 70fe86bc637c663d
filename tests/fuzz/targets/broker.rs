//! Bytes of MQTT clients, of both versions.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let [version, bytes @ ..] = data else { return };
    ingest::broker::fuzz::client(bytes, version % 2 == 1);
});
