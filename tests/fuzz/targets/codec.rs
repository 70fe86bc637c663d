//! Codecs in JavaScript with a frame each (length of the frame, frame, text), and Cayenne LPP. A limit ends what does not end.
#![no_main]

use ingest::codec::{Codec, Frame, cayenne};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let [n, rest @ ..] = data else { return };
    let (bytes, source) = rest.split_at(usize::from(*n).min(rest.len()));
    let _ = cayenne::decode(bytes);
    let Ok(codec) = Codec::from_source("own", &String::from_utf8_lossy(source), Vec::new()) else { return };
    let frame = Frame { bytes, f_port: *n, received_at: fuzz::NOW, variables: "{\"a\":\"b\"}" };
    // Twice, because the engine is used again.
    for _ in 0..2 {
        if let Ok(decoded) = codec.decode(frame) {
            assert!(decoded.data.get().len() <= 64 << 10, "{} bytes of data", decoded.data.get().len());
        }
    }
    let _ = codec.decode_downlink(frame);
});
