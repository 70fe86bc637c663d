//! Decodes per second on one core, for each codec that has recorded frames, and their median.
//!
//! `codec_bench <codec_examples.jsonl> <directory of codecs> [checkout of the device repository]`

use ingest::codec::{Codec, CodecLimits, Codecs, Frame, examples::unhex};
use schemas::{Clock, SystemClock, Timestamp};
use serde_json::{Value, value::to_raw_value};
use std::{collections::BTreeMap, error::Error, path::Path, sync::Arc, time::Instant};

const SECONDS: f64 = 0.5;

struct Case {
    call: String,
    bytes: Vec<u8>,
    f_port: u8,
    data: Value,
    variables: String,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().collect();
    let [_, examples, ours, rest @ ..] = args.as_slice() else { return Err("give the examples and the directory of codecs".into()) };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let codecs = Codecs::load(Path::new(ours), &CodecLimits::default(), &clock)?;
    let mut cases: BTreeMap<String, Vec<Case>> = BTreeMap::new();
    for line in std::fs::read_to_string(examples)?.lines() {
        let row: Value = serde_json::from_str(line)?;
        if row["engine_check"] == "pass" {
            cases.entry(row["codec_js"].as_str().unwrap_or_default().to_owned()).or_default().push(case(&row));
        }
    }
    let mut rates = Vec::new();
    for (file, cases) in &mut cases {
        let Some(codec) = codec_for(file, cases, &codecs, rest.first().map(Path::new)) else { continue };
        let rate = rate(&codec, cases);
        println!("{rate:>9.0} a second  {file}");
        rates.push(rate);
    }
    rates.sort_by(f64::total_cmp);
    if let (Some(median), Some(least)) = (rates.get(rates.len() / 2), rates.first()) {
        println!("{} codecs: median {median:.0} decodes a second on one core, slowest {least:.0}", rates.len());
    }
    Ok(())
}

fn case(row: &Value) -> Case {
    Case {
        call: row["fn"].as_str().unwrap_or_default().to_owned(),
        bytes: row["bytes_hex"].as_str().and_then(unhex).unwrap_or_default(),
        f_port: row["fport"].as_u64().and_then(|p| u8::try_from(p).ok()).unwrap_or(1),
        data: row["input_data"].clone(),
        variables: String::new(),
    }
}

/// The decoder of the checkout, or ours for the same device.
fn codec_for(file: &str, cases: &mut [Case], codecs: &Codecs, checkout: Option<&Path>) -> Option<Arc<Codec>> {
    if let Some(source) = checkout.and_then(|root| std::fs::read_to_string(root.join(file)).ok()) {
        return Codec::from_source(file, &source, Vec::new()).ok().map(Arc::new);
    }
    let name = file.rsplit('/').next()?.strip_suffix(".js")?;
    let codec = match name {
        "elsys" => codecs.get("elsys"),
        "r718da_r718db_r718j_r718lb_r718mba" | "r718da2_r718db2_r718f2" | "r711_r718a_r718ab_r720a" | "ra0716" => codecs.get("netvox"),
        "dl-downlink-codec" => codecs.get("decentlab_downlink"),
        name => {
            let model = format!("DL-{}", name.strip_prefix("dl-")?.to_ascii_uppercase());
            cases.iter_mut().for_each(|c| c.variables = format!("{{\"model\":\"{model}\"}}"));
            codecs.get("decentlab")
        }
    };
    // A model that ours does not know answers with an error, which says nothing about speed.
    codec.ok().filter(|codec| cases.iter().all(|c| ask(codec, c)))
}

fn ask(codec: &Codec, case: &Case) -> bool {
    let frame =
        Frame { bytes: &case.bytes, f_port: case.f_port, received_at: Timestamp(1_700_000_000_000_000), variables: &case.variables };
    match case.call.as_str() {
        "uplinkDecoder" => codec.decode(frame).is_ok(),
        "downlinkDecoder" => codec.decode_downlink(frame).is_ok(),
        _ => to_raw_value(&case.data).is_ok_and(|data| codec.encode_downlink(&data, case.f_port, frame.received_at).is_ok()),
    }
}

/// By the time that this thread had the core, where the system tells it, so that other work on the machine does not count.
fn rate(codec: &Codec, cases: &[Case]) -> f64 {
    // Warm: an engine is made by the first call.
    let all = || cases.iter().all(|c| ask(codec, c));
    all();
    let (start, on_core, mut n) = (Instant::now(), on_core_secs(), 0u32);
    while start.elapsed().as_secs_f64() < SECONDS {
        all();
        n += cases.len() as u32;
    }
    let wall = start.elapsed().as_secs_f64();
    f64::from(n) / on_core.zip(on_core_secs()).map_or(wall, |(from, to)| to - from)
}

fn on_core_secs() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(text.split(' ').next()?.parse::<f64>().ok()? / 1e9)
}
