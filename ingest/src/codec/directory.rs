//! Codecs as files: `<name>[@<version>]/codec.js` and `examples.jsonl` beside it.

use super::{Codec, CodecLimits, Example, Pool, source::SOURCE_BYTES_MAX};
use crate::IngestError;
use schemas::Clock;
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

const CODECS_MAX: usize = 10_000;
const EXAMPLES_BYTES_MAX: u64 = 16 << 20;

/// Every codec below `dir`, in the order of their names.
pub(super) fn all(dir: &Path, limits: &CodecLimits, clock: &Arc<dyn Clock>) -> Result<Vec<Codec>, IngestError> {
    let unreadable = |e: &io::Error| config(dir, format!("cannot be read: {e}"));
    if dir.join("codec.js").is_file() {
        return Ok(vec![one(dir, (limits, clock, &Arc::default(), 0))?]);
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(|e| unreadable(&e))? {
        let path = entry.map_err(|e| unreadable(&e))?.path();
        if path.join("codec.js").is_file() {
            found.push(path);
        }
    }
    if found.len() > CODECS_MAX {
        return Err(config(dir, format!("has {} codecs; at most {CODECS_MAX} are read", found.len())));
    }
    found.sort();
    let pool = Arc::new(Pool::default());
    found.iter().zip(0..).map(|(path, id)| one(path, (limits, clock, &pool, id))).collect()
}

type Shared<'a> = (&'a CodecLimits, &'a Arc<dyn Clock>, &'a Arc<Pool>, u64);

fn one(path: &Path, shared: Shared<'_>) -> Result<Codec, IngestError> {
    let full = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    let (name, version) = full.split_once('@').map_or((full, None), |(name, version)| (name, Some(version.to_owned())));
    let plain = |t: &str| !t.is_empty() && t.len() <= 64 && t.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
    if !plain(name) || version.as_deref().is_some_and(|v| !plain(v)) {
        return Err(config(path, "the directory must be named <name> or <name>@<version>, of letters, digits, '_', '-' and '.'".into()));
    }
    let file = path.join("codec.js");
    let source = read(&file, SOURCE_BYTES_MAX as u64)?;
    let examples = path.join("examples.jsonl");
    let text = if examples.is_file() { read(&examples, EXAMPLES_BYTES_MAX)? } else { String::new() };
    let examples = Example::parse(&text).map_err(|rule| config(&examples, rule))?;
    Codec::script(name, version, file.display().to_string(), &source, examples, shared)
}

fn read(path: &PathBuf, bytes_max: u64) -> Result<String, IngestError> {
    let len = fs::metadata(path).map_err(|e| config(path, format!("cannot be read: {e}")))?.len();
    if len > bytes_max {
        return Err(config(path, format!("has {len} bytes; at most {bytes_max} are read")));
    }
    fs::read_to_string(path).map_err(|e| config(path, format!("cannot be read as UTF-8: {e}")))
}

fn config(path: &Path, rule: String) -> IngestError {
    IngestError::Config { place: path.display().to_string(), rule }
}
