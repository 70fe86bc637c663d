//! Codecs of the project and codecs of a checkout on frames recorded in the field.

use super::*;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

const OURS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/codecs");

fn shared(path: &str) -> Option<Vec<Value>> {
    let root = std::env::var_os("PORTICO_SHARED")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared")), PathBuf::from);
    let full = root.join("data").join(path);
    let Ok(text) = std::fs::read_to_string(&full) else {
        assert!(std::env::var_os("CI").is_none(), "{} is absent; set PORTICO_SHARED", full.display());
        eprintln!("skipped: {} is absent; set PORTICO_SHARED", full.display());
        return None;
    };
    Some(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

fn ours() -> Codecs {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    Codecs::load(Path::new(OURS), &CodecLimits::default(), &clock).expect("codecs")
}

#[test]
fn codecs_of_the_project_pass_their_own_frames_and_share_engines() {
    for codec in ours().iter() {
        let report = codec.test();
        assert_eq!(report.failed, [], "{}", codec.full_name());
        assert!(codec.name == cayenne::NAME || report.passed > 0, "{} has no examples", codec.full_name());
        assert!(!codec.is_slow(), "{}", codec.full_name());
    }
}

/// Codec and model for a decoder of the device repository.
fn ours_for(file: &str) -> Option<(&'static str, String)> {
    let name = file.rsplit('/').next()?.strip_suffix(".js")?;
    match name {
        "elsys" => Some(("elsys", String::new())),
        "r718da_r718db_r718j_r718lb_r718mba" | "r718da2_r718db2_r718f2" | "r711_r718a_r718ab_r720a" | "ra0716" => {
            Some(("netvox", String::new()))
        }
        "dl-downlink-codec" => Some(("decentlab_downlink", String::new())),
        _ => {
            let name = name.strip_prefix("dl-")?.to_ascii_uppercase();
            // Calibrations and ranges stand behind the model.
            let model =
                ["PR26-0-1", "PR36-8192", "TBRG-01"].iter().find(|m| **m == name).map_or(name.as_str(), |m| m.split('-').next().unwrap());
            Some(("decentlab", format!("DL-{model}")))
        }
    }
}

/// A recorded frame as an example of ours.
fn example(row: &Value, model: &str) -> Example {
    let call = match row["fn"].as_str().unwrap() {
        "uplinkDecoder" => "decodeUplink",
        "downlinkDecoder" => "decodeDownlink",
        _ => "encodeDownlink",
    };
    let mut expected = row["expected"].clone();
    if let Some(data) = expected.get_mut("data").and_then(Value::as_object_mut) {
        // Decoders of that maker wrap each value in a description of it.
        data.values_mut().filter(|v| v.get("displayName").is_some()).for_each(|v| *v = v["value"].take());
    }
    let mut line =
        json!({"description": row["description"], "fn": call, "f_port": row["fport"], "bytes": row["bytes_hex"], "expected": expected});
    if call == "encodeDownlink" {
        line["data"] = row["input_data"].clone();
        line["bytes"] = "".into();
    }
    if !model.is_empty() {
        line["variables"] = json!({"model": model});
    }
    Example::parse(&line.to_string()).unwrap().remove(0)
}

fn judge(codec: &Codec, example: &Example) -> Result<(), String> {
    example.run(|call, frame, data| codec.raw(call, frame, data))
}

#[test]
fn frames_of_the_device_repository_decode_to_what_was_recorded() {
    let Some(rows) = shared("lorawan/codec_examples.jsonl") else { return };
    let codecs = ours();
    let (mut n, mut without, mut wrong) = (0, 0, Vec::new());
    for row in rows.iter().filter(|r| r["engine_check"] == "pass") {
        let file = row["codec_js"].as_str().unwrap();
        let known = ours_for(file).filter(|(codec, model)| {
            *codec != "decentlab" || include_str!("../../../codecs/decentlab/codec.js").contains(&format!("\"{model}\": ["))
        });
        let Some((name, model)) = known else {
            without += 1;
            continue;
        };
        match judge(&codecs.get(name).unwrap(), &example(row, &model)) {
            Ok(()) => n += 1,
            Err(difference) => wrong.push(format!("{file} {}: {difference}", row["bytes_hex"])),
        }
    }
    println!("{n} recorded frames pass with codecs of the project; {without} need decoders that are not here");
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), wrong.len() + n, wrong.join("\n"));
    assert!(n >= 450, "only {n}");
}

/// With `PORTICO_DEVICE_REPOSITORY`, a checkout of the state that the examples come from: all of them.
#[test]
fn every_decoder_of_a_checkout_passes_what_passes_in_other_engines() {
    let Some(root) = std::env::var_os("PORTICO_DEVICE_REPOSITORY").map(PathBuf::from) else { return };
    let Some(rows) = shared("lorawan/codec_examples.jsonl") else { return };
    let mut codecs: BTreeMap<String, Result<Codec, String>> = BTreeMap::new();
    let (mut n, mut absent, mut wrong) = (0, 0, Vec::new());
    for row in rows.iter().filter(|r| r["engine_check"] == "pass") {
        let file = row["codec_js"].as_str().unwrap();
        let Ok(source) = std::fs::read_to_string(root.join(file)) else {
            absent += 1;
            continue;
        };
        let mut example = example(row, "");
        example.expected = row["expected"].clone();
        let codec = codecs
            .entry(file.to_owned())
            .or_insert_with(|| Codec::from_source(file, &source, vec![example.clone()]).map_err(|e| e.to_string()));
        match codec.as_ref().map_err(Clone::clone).and_then(|codec| judge(codec, &example)) {
            Ok(()) => n += 1,
            Err(difference) => wrong.push(format!("{file} {} {}: {difference}", row["fn"], row["bytes_hex"])),
        }
    }
    let slow = codecs.values().flatten().filter(|c| c.is_slow()).count();
    println!(
        "{n} recorded frames pass, {} do not, {absent} have no decoder in the checkout; {slow} decoders extend built-in objects",
        wrong.len()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
