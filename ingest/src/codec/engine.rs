//! One JavaScript engine (QuickJS) with one codec in it, fenced: time, memory, stack, no modules, nothing of the machine.
//!
//! An engine costs most of a millisecond to make, so it is kept and used again. That is safe because everything that outlives
//! a call is frozen by `harness.js` and the codec's own variables are made anew in each call; an engine that a call left
//! different (a global that cannot be deleted, a waiting promise), or that was stopped, is thrown away.

use super::{CodecLimits, source::Script};
use crate::decode::reject::cut;
use parking_lot::Mutex;
use rquickjs::{
    CatchResultExt, CaughtError, Context, Ctx, Function, Runtime, Value,
    context::{EvalOptions, intrinsic},
};
use schemas::{Clock, Timestamp};
use std::{fmt, sync::Arc};

const HARNESS: &str = include_str!("harness.js");
/// Then an engine is made anew: names of properties that payloads invent stay in its tables.
const CALLS_MAX: u32 = 100_000;

/// Of an exception.
const MESSAGE_BYTES_MAX: usize = 400;

/// What QuickJS brings, without Proxy, WeakRef, performance and DOMException. Promise stays because `async` needs it.
type Intrinsics = (
    intrinsic::Date,
    intrinsic::Eval,
    intrinsic::RegExpCompiler,
    intrinsic::RegExp,
    intrinsic::Json,
    intrinsic::MapSet,
    intrinsic::TypedArrays,
    intrinsic::Promise,
);

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stop {
    /// The codec threw this.
    Thrown(String),
    /// It ran longer than the limit.
    TooLong,
    /// It wanted more memory or stack than the limit.
    TooBig(String),
}

/// When the call that is running must end. Shared with the interrupt handler, which QuickJS asks every 10,000 jumps.
///
/// The time runs from the first time it asks: a call of fewer jumps is never stopped, however long the machine let it wait.
#[derive(Debug, Default)]
struct Deadline {
    /// `None`: no limit.
    budget: Option<Budget>,
    at: Option<Timestamp>,
    passed: bool,
}

#[derive(Debug, Clone, Copy)]
struct Budget {
    time_ms: i64,
    steps_left: u32,
}

impl Deadline {
    fn tick(&mut self, now: Timestamp) -> bool {
        let Some(budget) = &mut self.budget else { return false };
        let at = *self.at.get_or_insert(Timestamp(now.micros().saturating_add(budget.time_ms.saturating_mul(1_000))));
        budget.steps_left = budget.steps_left.saturating_sub(1);
        self.passed |= budget.steps_left == 0 || now > at;
        self.passed
    }
}

pub(super) struct Engine {
    context: Context,
    deadline: Arc<Mutex<Deadline>>,
    limits: CodecLimits,
    calls: u32,
    /// A call left it different, threw, or was stopped.
    spent: bool,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("calls", &self.calls).field("spent", &self.spent).finish_non_exhaustive()
    }
}

/// One question.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question<'a> {
    /// See `harness.js`.
    pub(super) what: u8,
    pub(super) bytes: &'a [u8],
    pub(super) f_port: u8,
    pub(super) at: Timestamp,
    /// JSON, or empty.
    pub(super) extra: &'a str,
}

/// The name of the function that answered, and its result as JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) function: String,
    pub(super) json: String,
}

impl Engine {
    /// An engine with the harness alone.
    fn bare(limits: &CodecLimits, clock: &Arc<dyn Clock>) -> Result<(Self, Runtime), Stop> {
        let runtime = Runtime::new().map_err(|e| Stop::TooBig(e.to_string()))?;
        runtime.set_memory_limit(limits.memory_bytes_max);
        runtime.set_max_stack_size(limits.stack_bytes_max);
        let deadline = Arc::new(Mutex::new(Deadline::default()));
        let (watched, ticking) = (Arc::clone(&deadline), Arc::clone(clock));
        runtime.set_interrupt_handler(Some(Box::new(move || watched.lock().tick(ticking.now()))));
        let context = Context::custom::<Intrinsics>(&runtime).map_err(|e| Stop::TooBig(e.to_string()))?;
        let engine = Self { context, deadline, limits: limits.clone(), calls: 0, spent: false };
        Ok((engine, runtime))
    }

    /// Runs the script by itself once: finds syntax errors and whatever its first lines throw.
    pub(super) fn rehearse(script: &Script, limits: &CodecLimits, clock: &Arc<dyn Clock>) -> Result<(), Stop> {
        let (engine, _runtime) = Self::bare(limits, clock)?;
        engine.timed(Some(engine.budget()), |ctx| {
            if script.text().contains("exports") {
                let _: Value<'_> = eval(ctx, "globalThis.module = { exports: {} }; globalThis.exports = module.exports", "", false)?;
            }
            let _: Value<'_> = eval(ctx, "globalThis.console = { log() {}, info() {}, warn() {}, error() {}, debug() {} }", "", false)?;
            eval::<Value<'_>>(ctx, script.text(), "codec.js", script.is_strict()).map(drop)
        })
    }

    /// An engine that answers with this codec. `frozen` is told in `harness.js`.
    pub(super) fn new(script: &Script, frozen: bool, limits: &CodecLimits, clock: &Arc<dyn Clock>) -> Result<Self, Stop> {
        let (engine, _runtime) = Self::bare(limits, clock)?;
        // Nothing of the codec runs here, so there is nothing to stop.
        engine.timed(None, |ctx| {
            // The codec is compiled first: compiling is not running, and afterwards there is no way to compile.
            let code: Function<'_> = eval(ctx, &script.function(), "codec.js", false)?;
            let harness: Function<'_> = eval(ctx, HARNESS, "harness.js", false)?;
            let call: Function<'_> = harness.call((frozen, code))?;
            // The only reference to it; the engine's own store is out of reach of scripts.
            ctx.store_userdata(call).map(drop).map_err(|_| rquickjs::Error::Unknown)
        })?;
        Ok(engine)
    }

    /// Whether it may answer again.
    pub(super) fn is_fit(&self) -> bool {
        !self.spent && self.calls < CALLS_MAX
    }

    /// `None` when the codec has no such function. After an exception the engine is spent: who knows what was left behind.
    pub(super) fn ask(&mut self, question: Question<'_>) -> Result<Option<Answer>, Stop> {
        self.calls += 1;
        // Until it is known to be as it was.
        self.spent = true;
        let text = self.timed(Some(self.budget()), |ctx| {
            let call = ctx.userdata::<Function<'_>>().ok_or(rquickjs::Error::Unknown)?;
            // JavaScript counts milliseconds.
            let at = question.at.micros().div_euclid(1_000) as f64;
            call.call::<_, String>((question.what, question.bytes.to_vec(), question.f_port, at, question.extra))
        })?;
        let waiting = self.context.runtime().is_job_pending();
        if text.is_empty() {
            self.spent = waiting;
            return Ok(None);
        }
        let (head, json) = text.split_once('\n').unwrap_or((&text, ""));
        self.spent = waiting || !head.starts_with('1');
        let max = self.limits.result_bytes_max;
        if json.len() > max {
            return Err(Stop::TooBig(format!("the result has {} bytes, the limit is {max}", json.len())));
        }
        Ok(Some(Answer { function: head.get(1..).unwrap_or_default().to_owned(), json: json.to_owned() }))
    }

    fn budget(&self) -> Budget {
        Budget { time_ms: self.limits.time_ms_max, steps_left: self.limits.steps_max.max(1) }
    }

    /// Runs something in the engine until its time is over.
    fn timed<T>(&self, budget: Option<Budget>, run: impl for<'js> FnOnce(&Ctx<'js>) -> Result<T, rquickjs::Error>) -> Result<T, Stop> {
        *self.deadline.lock() = Deadline { budget, ..Deadline::default() };
        let result = self.context.with(|ctx| {
            run(&ctx).catch(&ctx).map_err(|caught| match caught {
                CaughtError::Exception(e) => {
                    let line = e.stack().and_then(|s| place(&s)).unwrap_or_default();
                    let name: String = e.as_object().get("name").unwrap_or_default();
                    (name, format!("{}{line}", e.message().unwrap_or_default()))
                }
                // Also what QuickJS throws when there is no memory left to say so.
                CaughtError::Value(value) if value.is_null() => (String::new(), "out of memory, or it threw null".to_owned()),
                CaughtError::Value(value) => {
                    let text = value
                        .as_string()
                        .and_then(|s| s.to_string().ok())
                        .unwrap_or_else(|| format!("a value of type {}", value.type_name()));
                    (String::new(), text)
                }
                CaughtError::Error(e) => (String::new(), e.to_string()),
            })
        });
        let passed = std::mem::take(&mut *self.deadline.lock()).passed;
        result.map_err(|(name, message)| {
            let text = cut(&message, MESSAGE_BYTES_MAX);
            let memory = message.starts_with("out of memory");
            let stack = message.starts_with("Maximum call stack size") || message.starts_with("stack overflow");
            if passed {
                Stop::TooLong
            } else if memory || stack {
                Stop::TooBig(text)
            } else {
                Stop::Thrown(if name.is_empty() { text } else { format!("{name}: {text}") })
            }
        })
    }
}

/// ` (codec.js:12)`, from the first line of a stack that is the codec's.
fn place(stack: &str) -> Option<String> {
    let at = stack.find("codec.js:")?;
    let line: String = stack[at + "codec.js:".len()..].chars().take_while(char::is_ascii_digit).collect();
    Some(format!(" (codec.js:{line})"))
}

fn eval<'js, V: rquickjs::FromJs<'js>>(ctx: &Ctx<'js>, source: &str, file: &str, strict: bool) -> Result<V, rquickjs::Error> {
    let mut options = EvalOptions::default();
    (options.strict, options.filename, options.backtrace_barrier) = (strict, Some(file.to_owned()), true);
    ctx.eval_with_options(source, options)
}
