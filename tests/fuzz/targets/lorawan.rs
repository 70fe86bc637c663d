//! Gateways: packets of Semtech's forwarder, messages of Basics Station, and radio frames as a network with keys judges them.
#![no_main]

use ingest::lorawan::fuzz;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let [door, input @ ..] = data else { return };
    match door % 4 {
        0 => fuzz::datagram(input, NOW),
        1 => fuzz::station(&String::from_utf8_lossy(input), NOW),
        2 => fuzz::frame(input, NOW),
        _ => fuzz::signed(input, NOW),
    }
});

const NOW: schemas::Timestamp = ::fuzz::NOW;
