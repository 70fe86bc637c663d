use super::*;
use schemas::ManualClock;
use serde_json::{Value, json};

mod recorded;
mod through_pipeline;

const AT: &str = "2026-03-01T10:00:00.250Z";

fn at() -> Timestamp {
    Timestamp::parse(AT).unwrap()
}

fn codec(source: &str) -> Codec {
    Codec::from_source("test", source, Vec::new()).expect("a codec")
}

fn frame(bytes: &[u8]) -> Frame<'_> {
    Frame { bytes, f_port: 7, received_at: at(), variables: r#"{"model": "x"}"# }
}

fn decode(source: &str, bytes: &[u8]) -> Result<Value, CodecError> {
    codec(source).decode(frame(bytes)).map(|d| serde_json::from_str(d.data.get()).unwrap())
}

#[test]
fn every_dialect_is_called_as_its_authors_wrote_it() {
    let ts013 = "return { data: { n: input.bytes.length, p: input.fPort, t: input.recvTime.toISOString(), m: input.variables.model } };";
    let want = json!({"n": 2, "p": 7, "t": AT, "m": "x"});
    for source in [
        format!("function decodeUplink(input) {{ {ts013} }}"),
        format!("const decodeUplink = (input) => {{ {ts013} }}"),
        format!("export function decodeUplink(input) {{ {ts013} }}"),
        format!("export default function decodeUplink(input) {{ {ts013} }}"),
        format!("export default {{ decodeUplink(input) {{ {ts013} }} }};"),
        format!("function f(input) {{ {ts013} }}\nexport default f;"),
        format!("function f(input) {{ {ts013} }}\nexport {{\n  f as decodeUplink,\n}};"),
        format!("module.exports = {{ decodeUplink: function (input) {{ {ts013} }} }};"),
        format!("exports.decodeUplink = function (input) {{ {ts013} }};"),
    ] {
        assert_eq!(decode(&source, &[1, 2]).as_ref(), Ok(&want), "{source}");
    }
    assert_eq!(decode("function Decoder(bytes, port) { return { n: bytes.length, p: port }; }", &[1]), Ok(json!({"n": 1, "p": 7})));
    let v3 = "function Decode(fPort, bytes, variables) { return { n: bytes[0], p: fPort, m: variables.model }; }";
    assert_eq!(decode(v3, &[5]), Ok(json!({"n": 5, "p": 7, "m": "x"})));
}

#[test]
fn downlinks_are_encoded_and_decoded() {
    let source = "function encodeDownlink(input) { return { bytes: [input.data.led ? 1 : 0, 255], fPort: 2, warnings: ['w'] }; }
        function decodeDownlink(input) { return { data: { led: input.bytes[0] === 1 } }; }";
    let data = serde_json::value::to_raw_value(&json!({"led": true})).unwrap();
    let encoded = codec(source).encode_downlink(&data, 9, at());
    assert_eq!(encoded, Ok(Encoded { bytes: vec![1, 255], f_port: Some(2), warnings: vec!["w".into()] }));
    assert_eq!(codec(source).decode_downlink(frame(&[1])).unwrap().data.get(), r#"{"led":true}"#);
    for old in
        ["function Encode(fPort, obj, variables) { return [fPort, obj.led]; }", "function Encoder(obj, port) { return [port, obj.led]; }"]
    {
        let data = serde_json::value::to_raw_value(&json!({"led": 3})).unwrap();
        assert_eq!(codec(old).encode_downlink(&data, 9, at()).unwrap().bytes, [9, 3]);
        assert_eq!(codec(old).decode(frame(&[])).unwrap_err(), CodecError::NoFunction("decodeUplink"));
    }
    let negative = "function encodeDownlink() { return { bytes: [-1] }; }";
    assert!(matches!(codec(negative).encode_downlink(&data, 9, at()), Err(CodecError::Shape(_))));
}

#[test]
fn what_a_codec_says_and_what_it_breaks_are_told_apart() {
    let body = |body: &str| codec(&format!("function decodeUplink(input) {{ {body} }}")).decode(frame(&[1]));
    assert_eq!(body("return { errors: ['too short', 7] };").unwrap_err(), CodecError::Refused(vec!["too short".into(), "7".into()]));
    assert_eq!(body("return { data: {}, errors: [] , warnings: ['low'] };").unwrap().warnings, ["low"]);
    assert_eq!(body("\n\nthrow new Error('no such port')").unwrap_err(), CodecError::Thrown("Error: no such port (codec.js:3)".into()));
    assert!(matches!(body("throw 'text'").unwrap_err(), CodecError::Thrown(t) if t == "text"));
    assert!(matches!(body("undefined.x"), Err(CodecError::Thrown(_))));
    for shape in [
        "",
        "return 5",
        "return null",
        "return 'x'",
        "return [1]",
        "return {}",
        "return { data: 5 }",
        "return { data: [1] }",
        "return () => 1",
    ] {
        assert!(matches!(body(shape), Err(CodecError::Shape(_))), "{shape}: {:?}", body(shape));
    }
    assert!(matches!(body("const a = {}; a.a = a; return { data: a };"), Err(CodecError::Thrown(_))));
    assert!(matches!(body("return { data: { n: 1n } };"), Err(CodecError::Thrown(_))));
    // What JSON has no word for is absent.
    let odd = body("return { data: { a: NaN, b: Infinity, c: undefined, d: () => 1, e: 1 } };").unwrap();
    assert_eq!(serde_json::from_str::<Value>(odd.data.get()).unwrap(), json!({"a": null, "b": null, "e": 1}));
    assert!(matches!(body("async"), Err(CodecError::Thrown(_))));
    for bad in ["function decodeUplink( {", "}); globalThis.x = 1; (() => {", "import x from 'y';", "/* open", "throw new Error('at once')"]
    {
        assert!(Codec::from_source("bad", bad, Vec::new()).is_err(), "{bad}");
    }
}

#[test]
fn a_codec_that_never_ends_or_grows_is_stopped_and_the_next_frame_is_decoded() {
    let source = "function decodeUplink(input) {
        switch (input.bytes[0]) {
            case 0: while (1) {}
            case 1: for (const a = []; ; ) a.push(new Array(1e6).fill(1.5));
            case 2: return (function f() { return f() + 1; })();
            case 3: return { data: { s: 'x'.repeat(1e9) } };
            case 4: return { data: { s: 'x'.repeat(1e5) } };
            case 5: return /^(a+)+$/.test('a'.repeat(40) + 'b');
            case 6: try { while (1) {} } catch (e) { return { data: { caught: 1 } }; }
            case 7: { let d = { }; for (let i = 0; i < 1e5; i++) d = { d }; return { data: d }; }
            case 8: return { data: { toJSON() { while (1) {} } } };
            case 9: return { data: new Array(2 ** 32 - 1) };
        }
        return { data: { ok: 1 } };
    }";
    // A clock that stands still: the steps are the limit, whatever the machine is doing.
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(at()));
    let limits = CodecLimits { steps_max: 20, ..CodecLimits::default() };
    let codec = Codec::script("test", None, "test".into(), source, Vec::new(), (&limits, &clock, &Arc::default(), 0)).unwrap();
    for case in 0..=9u8 {
        let stopped = codec.decode(frame(&[case])).err().unwrap_or_else(|| panic!("case {case} was not stopped"));
        match case {
            0 | 6 | 8 => assert_eq!(stopped, CodecError::TooLong(limits.time_ms_max), "{case}"),
            5 | 9 => assert!(matches!(stopped, CodecError::TooLong(_) | CodecError::TooBig(_) | CodecError::Shape(_)), "{case}: {stopped}"),
            _ => assert!(matches!(stopped, CodecError::TooBig(_)), "{case}: {stopped}"),
        }
        assert!(codec.decode(frame(&[99])).is_ok(), "after {case}");
    }
}

#[test]
fn time_is_measured_on_the_clock_that_was_given() {
    #[derive(Debug, Default)]
    struct Running(std::sync::atomic::AtomicI64);
    impl Clock for Running {
        fn now(&self) -> Timestamp {
            // 90 ms pass between two looks.
            Timestamp(self.0.fetch_add(90_000, Relaxed))
        }
    }
    let clock: Arc<dyn Clock> = Arc::new(Running::default());
    let source = "function decodeUplink(input) { while (1) {} }";
    let limits = CodecLimits::default();
    let codec = Codec::script("test", None, "test".into(), source, Vec::new(), (&limits, &clock, &Arc::default(), 0)).unwrap();
    for _ in 0..STRIKES_MAX {
        assert_eq!(codec.decode(frame(&[])).unwrap_err(), CodecError::TooLong(200));
    }
    // It is left alone from here on, with a try now and then.
    let later: Vec<CodecError> = (0..2 * RETRY_EVERY).map(|_| codec.decode(frame(&[])).unwrap_err()).collect();
    assert_eq!(later.iter().filter(|e| **e == CodecError::TooLong(200)).count(), 2);
    assert_eq!(later.iter().filter(|e| **e == CodecError::Suspended).count(), 510);
}

/// Every way that is known to leave something behind for the next call.
const KEEPERS: &[&str] = &[
    "var kept; function see() { return kept; } function keep(v) { kept = v; }",
    "let kept = []; function see() { return kept[0]; } function keep(v) { kept.push(v); }",
    "function see() { return typeof leaked === 'undefined' ? undefined : leaked; } function keep(v) { leaked = v; }",
    "function see() { return globalThis.kept; } function keep(v) { globalThis.kept = v; }",
    "function see() { return globalThis[Symbol.for('k')]; } function keep(v) { globalThis[Symbol.for('k')] = v; }",
    "function see() { return globalThis[5]; } function keep(v) { globalThis[5] = v; }",
    "function see() { return globalThis.h; } function keep(v) { Object.defineProperty(globalThis, 'h', { value: v }); }",
    "function see() { return globalThis.p; } function keep(v) { Object.setPrototypeOf(globalThis, { p: v }); }",
    "function see() { return [].kept; } function keep(v) { Array.prototype.kept = v; }",
    "function see() { return ({}).kept; } function keep(v) { Object.prototype.kept = v; }",
    "function see() { return Math.kept; } function keep(v) { Math.kept = v; }",
    "function see() { return Date.kept; } function keep(v) { Date.kept = v; }",
    "function see() { return new Date(0).kept; } function keep(v) { Date.prototype.kept = v; }",
    "function see() { return JSON.stringify.kept; } function keep(v) { JSON.stringify.kept = v; }",
    "function see() { return JSON.kept; } function keep(v) { JSON = { kept: v }; }",
    "function see() { return console.log.kept; } function keep(v) { console.log.kept = v; }",
    "function see() { return Error.prepareStackTrace; } function keep(v) { Error.prepareStackTrace = () => v; try { null.x } catch (e) { e.stack } }",
    "function see() { return Error.stackTraceLimit; } function keep(v) { Error.stackTraceLimit = v; }",
    "function g() {} function see() { return Object.getPrototypeOf(g).kept; } function keep(v) { Object.getPrototypeOf(g).kept = v; }",
    "function* g() {} function see() { return Object.getPrototypeOf(g).kept; } function keep(v) { Object.getPrototypeOf(g).kept = v; }",
    "function see() { return Object.getPrototypeOf([][Symbol.iterator]()).k; } function keep(v) { Object.getPrototypeOf([][Symbol.iterator]()).k = v; }",
    "function see() { return Object.getPrototypeOf(new Map().keys()).k; } function keep(v) { Object.getPrototypeOf(new Map().keys()).k = v; }",
    "function see() { return Object.getPrototypeOf(''.matchAll(/x/g)).k; } function keep(v) { Object.getPrototypeOf(''.matchAll(/x/g)).k = v; }",
    "function see() { return Object.getPrototypeOf(Int8Array).k; } function keep(v) { Object.getPrototypeOf(Int8Array).k = v; }",
    "function t(s) { return s; } function c() { return t`a`; } function see() { return c().k; } function keep(v) { c().k = v; }",
    "function see() { return see.k; } function keep(v) { see.k = v; }",
    "class A { static k; } function see() { return A.k; } function keep(v) { A.k = v; }",
    "function see() { return /x/g.lastIndex || undefined; } function keep(v) { /x/g.lastIndex = 3; RegExp.k = v; }",
    "function see() { return Promise.k; } function keep(v) { Promise.resolve().then(() => { Promise.k = v; }); }",
    "async function a(v) { await 0; } function see() { return undefined; } function keep(v) { a(v); }",
    "function see() { return Symbol.k; } function keep(v) { Symbol.k = v; Symbol.prototype.k = v; BigInt.prototype.k = v; }",
    "function see() { return (() => {}).constructor.k; } function keep(v) { (() => {}).constructor.k = v; }",
];

#[test]
fn a_codec_cannot_see_another_frame() {
    for source in KEEPERS {
        let source = format!(
            "{source}\nfunction decodeUplink(input) {{ let seen = see(); try {{ keep('secret'); }} catch (e) {{ }}
             return {{ data: {{ seen: typeof seen === 'undefined' ? 'nothing' : String(seen) }} }}; }}"
        );
        let codec = codec(&source);
        for n in 0..4 {
            let data = codec.decode(frame(&[n])).unwrap_or_else(|e| panic!("{source}: {e}")).data;
            assert_eq!(data.get(), r#"{"seen":"nothing"}"#, "call {n} of {source}");
        }
    }
}

#[test]
fn there_is_no_machine_behind_a_codec() {
    for (expression, want) in [
        ("Date.now()", json!(at().micros() / 1_000)),
        ("new Date().getTime()", json!(at().micros() / 1_000)),
        ("new Date(5).getTime() + Date.UTC(1970, 0, 1)", json!(5)),
        ("new Date() instanceof Date && input.recvTime instanceof Date", json!(true)),
        (
            "[typeof require, typeof process, typeof fetch, typeof eval, typeof WeakRef, typeof std, typeof os].join()",
            json!("undefined,undefined,undefined,undefined,undefined,undefined,undefined"),
        ),
        ("(() => { try { return Function('return 1')(); } catch (e) { return e.name; } })()", json!("TypeError")),
        ("(() => { try { return (function* () {}).constructor('yield 1')(); } catch (e) { return e.name; } })()", json!("TypeError")),
        ("typeof console.log('x')", json!("undefined")),
    ] {
        let source = format!("function decodeUplink(input) {{ return {{ data: {{ v: {expression} }} }}; }}");
        assert_eq!(decode(&source, &[]), Ok(json!({"v": want})), "{expression}");
    }
    // The same frame gives the same values, always.
    let random = codec("function decodeUplink() { return { data: { a: Math.random(), b: Math.random() } }; }");
    let twice = [random.decode(frame(&[])).unwrap(), random.decode(frame(&[])).unwrap()];
    assert_eq!(twice[0].data.get(), twice[1].data.get());
}

#[test]
fn the_document_gives_its_time_its_tags_and_its_warnings() {
    let source = "function decodeUplink(i) {
        return { data: { t: i.recvTime.toISOString(), m: i.variables.model, b: i.bytes, big: 0.1 }, warnings: ['w'] }; }";
    let document = json!({"event": "up", "time": "2025-01-01T00:00:00Z", "data": "0aff", "f_port": 3, "precise": 0.30000000000000004,
        "device": {"eui": "a", "tags": {"model": "x"}}, "object": {"old": 1}, "warnings": ["v"]});
    let codec = codec(source);
    let decoded = message::apply(&codec, document.to_string().as_bytes(), at()).unwrap().expect("an uplink");
    let decoded: Value = serde_json::from_slice(&decoded).unwrap();
    assert_eq!(decoded["object"], json!({"t": "2025-01-01T00:00:00.000Z", "m": "x", "b": [10, 255], "big": 0.1}));
    assert_eq!((&decoded["warnings"], &decoded["decoded"]), (&json!(["v", "w"]), &json!("warned")));
    assert_eq!((&decoded["codec"], &decoded["precise"]), (&json!(codec.identity()), &document["precise"]));
    assert_eq!(message::apply(&codec, br#"{"event": "status"}"#, at()), Ok(None));
}

#[test]
fn a_codec_that_extends_built_in_objects_gets_engines_of_its_own() {
    let source = "String.prototype.twice = function () { return this + this; };
        function decodeUplink(input) { const seen = [].k; Array.prototype.k = 1; return { data: { v: 'ab'.twice(), seen } }; }";
    let example = r#"{"bytes": "00", "expected": {"data": {"v": "abab"}}}"#;
    let codec = Codec::from_source("slow", source, Example::parse(example).unwrap()).unwrap();
    assert!(codec.is_slow());
    for _ in 0..3 {
        assert_eq!(codec.decode(frame(&[])).unwrap().data.get(), r#"{"v":"abab"}"#);
    }
}

#[test]
fn cayenne_lpp_follows_its_data_types() {
    let decode = |hex: &str| cayenne::decode(&examples::unhex(hex).unwrap());
    // Two temperatures; temperature and acceleration; a position: examples of the format's documentation.
    assert_eq!(decode("03670110056700ff"), Ok(json!({"temperature_3": 27.2, "temperature_5": 25.5})));
    assert_eq!(
        decode("0167ffd7067104d2fb2e0000"),
        Ok(json!({"temperature_1": -4.1, "accelerometer_6": {"x": 1.234, "y": -1.234, "z": 0.0}}))
    );
    assert_eq!(decode("018806765ff2960a0003e8"), Ok(json!({"gps_1": {"latitude": 42.3519, "longitude": -87.9094, "altitude": 10.0}})));
    assert_eq!(
        decode("0a68a00b73279c0c6500640d6601"),
        Ok(json!({"relative_humidity_10": 80.0, "barometric_pressure_11": 1014.0, "luminosity_12": 100.0, "presence_13": 1.0}))
    );
    assert_eq!(decode(""), Ok(json!({})));
    for broken in ["01", "0167", "016701", "01ff00", "0100010001", "0100010002"] {
        assert!(matches!(decode(broken), Err(CodecError::Refused(_))), "{broken}");
    }
}

#[test]
fn examples_name_what_differs() {
    let examples = "{\"description\": \"a\", \"bytes\": \"01\", \"expected\": {\"data\": {\"n\": 1, \"x\": {\"y\": [1, 2]}}}}\n\n\
        {\"description\": \"b\", \"bytes\": \"02\", \"expected\": {\"data\": {\"n\": 2, \"x\": {\"y\": [1, 3]}}}}\n\
        {\"description\": \"c\", \"bytes\": \"03\", \"expected\": {\"errors\": [\"three\"]}}";
    let source = "function decodeUplink(i) { if (i.bytes[0] === 3) return { errors: ['three'], data: {} };
        return { data: { n: i.bytes[0] + 1e-12, x: { y: [1, 2] }, z: null }, warnings: [] }; }";
    let report = Codec::from_source("t", source, Example::parse(examples).unwrap()).unwrap().test();
    assert_eq!((report.passed, report.failed), (2, vec![("b".into(), "/data/x/y/1 is 2, expected 3".into())]));
    assert!(Example::parse("{\"expectd\": 1}").unwrap_err().starts_with("line 1"));
}

#[test]
fn codecs_are_directories_with_versions() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, source: &str| {
        std::fs::create_dir(dir.path().join(name)).unwrap();
        std::fs::write(dir.path().join(name).join("codec.js"), source).unwrap();
    };
    write("bin@1", "function decodeUplink() { return { data: { v: 1 } }; }");
    write("bin@2", "function decodeUplink() { return { data: { v: 2 } }; }");
    write("lamp", "function decodeUplink() { return { data: { v: 3 } }; }");
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let codecs = Codecs::load(dir.path(), &CodecLimits::default(), &clock).unwrap();
    assert_eq!(codecs.get("bin@2").unwrap().decode(frame(&[])).unwrap().data.get(), r#"{"v":2}"#);
    assert_eq!(codecs.get("bin@1").unwrap().decode(frame(&[])).unwrap().data.get(), r#"{"v":1}"#);
    assert!(codecs.get("bin").unwrap_err().contains("bin@1, bin@2"));
    assert!(codecs.get("lmap").unwrap_err().contains("did you mean 'lamp'"));
    assert!(codecs.get(cayenne::NAME).is_ok());
    let hashes: std::collections::BTreeSet<&str> = codecs.iter().map(|c| c.hash.as_str()).collect();
    assert_eq!(hashes.len(), 4);
    write("broken", "function (");
    assert!(Codecs::load(dir.path(), &CodecLimits::default(), &clock).unwrap_err().to_string().contains("broken"));
}

#[test]
fn engines_are_kept_for_the_newest_codecs_only() {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let (limits, pool) = (CodecLimits { engines_idle_max: 2, ..CodecLimits::default() }, Arc::new(Pool::default()));
    let source = "function decodeUplink() { return { data: {} }; }";
    let codecs: Vec<Codec> =
        (0..5).map(|id| Codec::script("c", None, "c".into(), source, Vec::new(), (&limits, &clock, &pool, id)).unwrap()).collect();
    for codec in &codecs {
        codec.decode(frame(&[])).unwrap();
    }
    assert_eq!(pool.0.lock().iter().map(|(id, _)| *id).collect::<Vec<_>>(), [3, 4]);
    std::thread::scope(|scope| {
        for codec in &codecs {
            scope.spawn(move || (0..20).for_each(|_| drop(codec.decode(frame(&[])).unwrap())));
        }
    });
    assert!(pool.0.lock().len() <= 2);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 64, ..proptest::prelude::ProptestConfig::default() })]

    #[test]
    fn any_text_is_a_codec_or_an_error(source in "(function decodeUplink|return|export |[{}()\\[\\];`'\"/*\\\\]|[a-z=+ \n]){0,24}") {
        if let Ok(codec) = Codec::from_source("t", &source, Vec::new()) {
            drop(codec.decode(frame(&[1])));
        }
    }

    #[test]
    fn any_bytes_are_values_or_an_error_of_cayenne(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..60)) {
        drop(cayenne::decode(&bytes));
    }
}
