//! Payload codecs: from the bytes of a device's frame to named values, by JavaScript that the maker of the device wrote.
//!
//! A codec is a directory `<name>` or `<name>@<version>` with `codec.js` and `examples.jsonl`, its recorded frames, which are its
//! tests: a codec that a mapping names must exist and pass them when Portico starts. Dialects: `decodeUplink` (LoRa Alliance
//! TS013, The Things Stack, ChirpStack v4), `Decoder(bytes, port)` (TTN v2), `Decode(fPort, bytes, variables)` (ChirpStack v3);
//! as a script, with `module.exports`, or with `export`. `cayenne_lpp` is built in.
//!
//! A codec sees one frame and nothing else: no clock but the time of receipt, no modules, no code from text, no other message.

use crate::{
    IngestError,
    decode::reject::{Reason, Reject, cut, nearest},
};
use engine::{Answer, Engine, Question, Stop};
use parking_lot::Mutex;
use schemas::{Clock, SystemClock, Timestamp};
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use source::Script;
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

pub mod cayenne;
mod directory;
mod engine;
pub mod examples;
pub(crate) mod message;
mod source;

pub use examples::{Example, Report};

/// Calls in a row that were stopped for their time; then most messages are refused without running the codec.
const STRIKES_MAX: u32 = 16;
/// Of the messages of such a codec, one in this many is tried.
const RETRY_EVERY: u32 = 256;

/// What one call may take. The defaults are far above what codecs of devices need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodecLimits {
    pub time_ms_max: i64,
    /// Stretches of 10,000 jumps and calls, for clocks that stand still.
    pub steps_max: u32,
    /// Of one engine.
    pub memory_bytes_max: usize,
    pub stack_bytes_max: usize,
    /// Of the result as JSON.
    pub result_bytes_max: usize,
    /// Engines kept for the next call, over all codecs.
    pub engines_idle_max: usize,
}

impl Default for CodecLimits {
    fn default() -> Self {
        Self {
            time_ms_max: 200,
            steps_max: 10_000,
            memory_bytes_max: 8 << 20,
            stack_bytes_max: 256 << 10,
            result_bytes_max: 64 << 10,
            engines_idle_max: 64,
        }
    }
}

/// Engines between two calls, the last used at the end.
#[derive(Debug, Default)]
struct Pool(Mutex<Vec<(u64, Engine)>>);

impl Pool {
    fn take(&self, codec: u64) -> Option<Engine> {
        let mut idle = self.0.lock();
        let at = idle.iter().rposition(|(id, _)| *id == codec)?;
        Some(idle.remove(at).1)
    }

    fn put(&self, codec: u64, engine: Engine, max: usize) {
        let mut idle = self.0.lock();
        let oldest = (idle.len() >= max.max(1)).then(|| idle.remove(0));
        idle.push((codec, engine));
        drop(idle);
        // Ending an engine takes a while; not behind the lock.
        drop(oldest);
    }
}

/// All codecs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Codecs(Arc<BTreeMap<String, Arc<Codec>>>);

impl Default for Codecs {
    fn default() -> Self {
        Self::builtin()
    }
}

impl Codecs {
    /// `cayenne_lpp` alone.
    #[must_use]
    pub fn builtin() -> Self {
        Self(Arc::new(BTreeMap::from([(cayenne::NAME.to_owned(), Arc::new(Codec::cayenne()))])))
    }

    /// The built-in codecs and those in the directories below `dir`, or in `dir` itself. `clock` measures how long calls take.
    ///
    /// # Errors
    /// A codec that cannot be read; that its examples pass is asked of those only that a mapping names.
    pub fn load(dir: &Path, limits: &CodecLimits, clock: &Arc<dyn Clock>) -> Result<Self, IngestError> {
        let mut all = (*Self::builtin().0).clone();
        for codec in directory::all(dir, limits, clock)? {
            let place = codec.place.clone();
            if all.insert(codec.full_name(), Arc::new(codec)).is_some() {
                return Err(IngestError::Config { place, rule: "there are two codecs of this name".into() });
            }
        }
        Ok(Self(Arc::new(all)))
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Codec>> {
        self.0.values()
    }

    /// By `name` when there is one version, or by `name@version`.
    ///
    /// # Errors
    /// Names the versions that exist, or the nearest codec.
    pub fn get(&self, name: &str) -> Result<Arc<Codec>, String> {
        if let Some(codec) = self.0.get(name) {
            return Ok(Arc::clone(codec));
        }
        let versions: Vec<&Arc<Codec>> = self.0.values().filter(|c| c.name == name).collect();
        match versions.as_slice() {
            [one] => Ok(Arc::clone(one)),
            [] => Err(nearest(name, self.0.keys().map(String::as_str)).map_or_else(
                || format!("there is no codec '{name}'; there are {}", self.0.keys().cloned().collect::<Vec<_>>().join(", ")),
                |near| format!("there is no codec '{name}'; did you mean '{near}'?"),
            )),
            several => {
                let names: Vec<String> = several.iter().map(|c| c.full_name()).collect();
                Err(format!("codec '{name}' has several versions; choose one of {}", names.join(", ")))
            }
        }
    }
}

/// Which function of a codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Call {
    #[serde(rename = "decodeUplink")]
    DecodeUplink = 0,
    #[serde(rename = "decodeDownlink")]
    DecodeDownlink = 1,
    #[serde(rename = "encodeDownlink")]
    EncodeDownlink = 2,
}

impl Call {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DecodeUplink => "decodeUplink",
            Self::DecodeDownlink => "decodeDownlink",
            Self::EncodeDownlink => "encodeDownlink",
        }
    }
}

/// One frame of a device.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    pub bytes: &'a [u8],
    pub f_port: u8,
    /// By the network server: `recvTime` of TS013, and the only clock of a codec.
    pub received_at: Timestamp,
    /// A JSON object, or empty: what ChirpStack calls `variables`.
    pub variables: &'a str,
}

/// What a codec made of a frame.
#[derive(Debug)]
pub struct Decoded {
    /// An object.
    pub data: Box<RawValue>,
    pub warnings: Vec<String>,
}

/// Bytes for a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    pub bytes: Vec<u8>,
    pub f_port: Option<u8>,
    pub warnings: Vec<String>,
}

/// Why a codec gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    #[error("it says: {}", .0.join("; "))]
    Refused(Vec<String>),
    #[error("it failed: {0}")]
    Thrown(String),
    #[error("it was stopped after {0} ms; it must not loop over more than its payload")]
    TooLong(i64),
    #[error("it was stopped: {0}")]
    TooBig(String),
    #[error("it is not run any more, because {STRIKES_MAX} frames in a row took too long; repair it and restart")]
    Suspended,
    #[error("it has no function {0}")]
    NoFunction(&'static str),
    #[error("its result {0}")]
    Shape(String),
}

/// One codec in one version.
#[derive(Debug)]
pub struct Codec {
    pub name: String,
    /// Of the directory's name, when it has one.
    pub version: Option<String>,
    /// The first digits of the SHA-256 of its text: which text decoded a row.
    pub hash: String,
    /// Where it was read, for messages.
    pub place: String,
    kind: Kind,
    examples: Vec<Example>,
}

#[derive(Debug)]
enum Kind {
    CayenneLpp,
    Script(Box<Runner>),
}

/// A script with the engines that run it.
#[derive(Debug)]
struct Runner {
    script: Script,
    /// Whether built-in objects can be frozen; otherwise each call has an engine of its own, which is slow.
    frozen: bool,
    id: u64,
    pool: Arc<Pool>,
    limits: CodecLimits,
    clock: Arc<dyn Clock>,
    strikes: AtomicU32,
    refused: AtomicU32,
}

impl Codec {
    fn cayenne() -> Self {
        let (name, place) = (cayenne::NAME.to_owned(), "built in".to_owned());
        Self { name, version: None, hash: "1".into(), place, kind: Kind::CayenneLpp, examples: Vec::new() }
    }

    /// From its text, for tests of codecs and for the command line.
    ///
    /// # Errors
    /// The syntax error, or what its first lines throw.
    pub fn from_source(name: &str, source: &str, examples: Vec<Example>) -> Result<Self, IngestError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        Self::script(name, None, name.to_owned(), source, examples, (&CodecLimits::default(), &clock, &Arc::default(), 0))
    }

    fn script(
        name: &str,
        version: Option<String>,
        place: String,
        source: &str,
        examples: Vec<Example>,
        (limits, clock, pool, id): (&CodecLimits, &Arc<dyn Clock>, &Arc<Pool>, u64),
    ) -> Result<Self, IngestError> {
        let fail = |rule: String| IngestError::Config { place: place.clone(), rule };
        let script = Script::new(source).map_err(fail)?;
        let stopped = |stop: Stop| fail(error(stop, limits).to_string());
        Engine::rehearse(&script, limits, clock).map_err(stopped)?;
        let hash = Sha256::digest(source.as_bytes()).iter().take(6).map(|b| format!("{b:02x}")).collect();
        let (limits, clock, pool) = (limits.clone(), Arc::clone(clock), Arc::clone(pool));
        let (strikes, refused) = (AtomicU32::new(0), AtomicU32::new(0));
        let mut runner = Runner { script, frozen: true, id, pool, limits, clock, strikes, refused };
        // A codec that extends String.prototype does nothing wrong; it only cannot share an engine between calls.
        let passes = |frozen: bool, runner: &mut Runner| {
            runner.frozen = frozen;
            examples.iter().all(|e| e.run(|call, frame, data| runner.raw(call, frame, data)).is_ok())
        };
        if !passes(true, &mut runner) && !passes(false, &mut runner) {
            runner.frozen = true;
        }
        let kind = Kind::Script(Box::new(runner));
        Ok(Self { name: name.to_owned(), version, hash, place, kind, examples })
    }

    /// `name` or `name@version`.
    #[must_use]
    pub fn full_name(&self) -> String {
        self.version.as_ref().map_or_else(|| self.name.clone(), |v| format!("{}@{v}", self.name))
    }

    /// `name@version#hash`: exactly which codec made a value.
    #[must_use]
    pub fn identity(&self) -> String {
        format!("{}#{}", self.full_name(), self.hash)
    }

    /// Whether each call needs an engine of its own, because the codec changes built-in objects.
    #[must_use]
    pub fn is_slow(&self) -> bool {
        matches!(&self.kind, Kind::Script(runner) if !runner.frozen)
    }

    /// Runs the recorded frames.
    #[must_use]
    pub fn test(&self) -> Report {
        let mut report = Report::default();
        for example in &self.examples {
            match example.run(|call, frame, data| self.raw(call, frame, data)) {
                Ok(()) => report.passed += 1,
                Err(difference) => report.failed.push((example.description.clone(), difference)),
            }
        }
        report
    }

    /// The whole answer of a function as JSON, `{"data"…}`, `{"bytes"…}`, with its `errors`. `data` is for encoding.
    fn raw(&self, call: Call, frame: Frame<'_>, data: Option<&RawValue>) -> Result<String, CodecError> {
        match &self.kind {
            Kind::CayenneLpp if call == Call::DecodeUplink => cayenne::decode(frame.bytes).map(|data| format!("{{\"data\":{data}}}")),
            Kind::CayenneLpp => Err(CodecError::NoFunction(call.name())),
            Kind::Script(runner) => runner.raw(call, frame, data),
        }
    }

    /// Decodes an uplink.
    ///
    /// # Errors
    /// What the codec says is wrong with the frame, or what is wrong with the codec.
    pub fn decode(&self, frame: Frame<'_>) -> Result<Decoded, CodecError> {
        self.decoded(Call::DecodeUplink, frame)
    }

    /// Decodes a downlink, to show what was sent.
    pub fn decode_downlink(&self, frame: Frame<'_>) -> Result<Decoded, CodecError> {
        self.decoded(Call::DecodeDownlink, frame)
    }

    fn decoded(&self, call: Call, frame: Frame<'_>) -> Result<Decoded, CodecError> {
        #[derive(Deserialize)]
        struct Answered {
            data: Option<Box<RawValue>>,
            #[serde(default, deserialize_with = "texts")]
            warnings: Vec<String>,
            #[serde(default, deserialize_with = "texts")]
            errors: Vec<String>,
        }
        let answer: Answered = parsed(&self.raw(call, frame, None)?)?;
        if !answer.errors.is_empty() {
            return Err(CodecError::Refused(answer.errors));
        }
        match answer.data {
            Some(data) if data.get().starts_with('{') => Ok(Decoded { data, warnings: answer.warnings }),
            Some(data) => Err(CodecError::Shape(format!("has 'data' {}; it must be an object", cut(data.get(), 40)))),
            None => Err(CodecError::Shape("has no 'data' and no 'errors'".into())),
        }
    }

    /// Encodes a command for the device. `data` is what the codec calls `input.data`, a JSON value.
    pub fn encode_downlink(&self, data: &RawValue, f_port: u8, at: Timestamp) -> Result<Encoded, CodecError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Answered {
            bytes: Option<Vec<u8>>,
            f_port: Option<u8>,
            #[serde(default, deserialize_with = "texts")]
            warnings: Vec<String>,
            #[serde(default, deserialize_with = "texts")]
            errors: Vec<String>,
        }
        let frame = Frame { bytes: &[], f_port, received_at: at, variables: "" };
        let answer: Answered = parsed(&self.raw(Call::EncodeDownlink, frame, Some(data))?)?;
        if !answer.errors.is_empty() {
            return Err(CodecError::Refused(answer.errors));
        }
        let bytes = answer.bytes.ok_or_else(|| CodecError::Shape("has no 'bytes' and no 'errors'".into()))?;
        Ok(Encoded { bytes, f_port: answer.f_port, warnings: answer.warnings })
    }
}

impl Runner {
    fn raw(&self, call: Call, frame: Frame<'_>, data: Option<&RawValue>) -> Result<String, CodecError> {
        if self.strikes.load(Relaxed) >= STRIKES_MAX && self.refused.fetch_add(1, Relaxed) % RETRY_EVERY != RETRY_EVERY - 1 {
            return Err(CodecError::Suspended);
        }
        let variables = if frame.variables.is_empty() { "{}" } else { frame.variables };
        let extra = match data {
            Some(data) => format!("{{\"data\":{},\"variables\":{variables}}}", data.get()),
            None => frame.variables.to_owned(),
        };
        let question = Question { what: call as u8, bytes: frame.bytes, f_port: frame.f_port, at: frame.received_at, extra: &extra };
        let mut engine = match self.pool.take(self.id).filter(|_| self.frozen) {
            Some(engine) => engine,
            None => Engine::new(&self.script, self.frozen, &self.limits, &self.clock).map_err(|s| error(s, &self.limits))?,
        };
        let answer = engine.ask(question);
        if self.frozen && engine.is_fit() {
            self.pool.put(self.id, engine, self.limits.engines_idle_max);
        }
        if matches!(answer, Err(Stop::TooLong)) {
            self.strikes.fetch_add(1, Relaxed);
        } else {
            self.strikes.store(0, Relaxed);
        }
        let answer = answer.map_err(|s| error(s, &self.limits))?;
        answer.map_or(Err(CodecError::NoFunction(call.name())), ts013)
    }
}

/// The older dialects return what TS013 calls `data` or `bytes`.
fn ts013(answer: Answer) -> Result<String, CodecError> {
    let shape = |rule: &str| Err(CodecError::Shape(rule.to_owned()));
    let Answer { function, json } = answer;
    match (function.as_str(), json.as_bytes().first()) {
        (_, None) => shape("is undefined; return an object"),
        ("decodeUplink" | "decodeDownlink" | "encodeDownlink", Some(b'{')) => Ok(json),
        ("Decode" | "Decoder", Some(b'{')) => Ok(format!("{{\"data\":{json}}}")),
        ("Encode" | "Encoder", Some(b'[')) => Ok(format!("{{\"bytes\":{json}}}")),
        _ => Err(CodecError::Shape(format!("is {}; return an object", cut(&json, 40)))),
    }
}

fn error(stop: Stop, limits: &CodecLimits) -> CodecError {
    match stop {
        Stop::Thrown(text) => CodecError::Thrown(text),
        Stop::TooLong => CodecError::TooLong(limits.time_ms_max),
        Stop::TooBig(text) => CodecError::TooBig(text),
    }
}

fn parsed<T: serde::de::DeserializeOwned>(json: &str) -> Result<T, CodecError> {
    serde_json::from_str(json).map_err(|e| CodecError::Shape(format!("is not what TS013 says: {e}")))
}

/// Texts, or whatever a codec put in place of texts.
fn texts<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Vec<String>, D::Error> {
    let text = |v: serde_json::Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
    Ok(match Option::<serde_json::Value>::deserialize(d)? {
        None => Vec::new(),
        Some(serde_json::Value::Array(list)) => list.into_iter().take(32).map(text).map(|t| cut(&t, 200)).collect(),
        Some(other) => vec![cut(&text(other), 200)],
    })
}

impl From<(&Codec, CodecError)> for Reject {
    fn from((codec, e): (&Codec, CodecError)) -> Self {
        Self::new(Reason::CodecFailed, format!("codec {}: {e}", codec.identity()))
    }
}

#[cfg(test)]
mod tests;
