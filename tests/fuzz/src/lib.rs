//! What the targets share. An input is a byte that chooses, mostly another for the topic, and messages between [`SEPARATOR`]s.
//! A target fails on a panic, on a message that vanishes, and on a document that is not JSON.

use ingest::{
    Mappings, RawMessage,
    camera::{Key, Register},
    decode::{
        DecodeLimits, Decoded, Decoder, Receipt,
        json::{JsonError, Reader},
    },
    format::{Chosen, Incoming, Translated, named},
    mapping::route::Router,
};
use schemas::{Contracts, Tenant, Timestamp};
use std::sync::{Arc, OnceLock};

pub const NOW: Timestamp = Timestamp(1_790_000_000_000_000);
pub const SEPARATOR: &[u8] = b"\n\0\n";
const MESSAGES_MAX: usize = 16;
/// Of a document, as a multiple of its message: formats repeat what stands around a list for each of its elements.
const DOCUMENT_BYTES_MAX: usize = 256 << 20;

#[must_use]
pub fn tenant() -> Tenant {
    Tenant::new("bologna").expect("a name")
}

/// What stands between separators.
pub fn messages(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(data);
    std::iter::from_fn(move || {
        let all = rest?;
        let at = all.windows(SEPARATOR.len()).position(|w| w == SEPARATOR);
        rest = at.map(|at| &all[at + SEPARATOR.len()..]);
        Some(at.map_or(all, |at| &all[..at]))
    })
    .take(MESSAGES_MAX)
}

#[must_use]
pub fn pick<'a, T: ?Sized>(list: &[&'a T], byte: u8) -> &'a T {
    list[usize::from(byte) % list.len()]
}

/// The streams of the example, in the tenant of [`tenant`].
#[must_use]
pub fn register() -> Arc<Register> {
    static ONCE: OnceLock<Arc<Register>> = OnceLock::new();
    let text = include_str!("../../../ingest/cameras/example.toml");
    let new = || Arc::new(Register::parse([("example.toml", text)], Key::new([7; 32])).expect("the example"));
    Arc::clone(ONCE.get_or_init(new))
}

/// The format of that name with a state of its own, over the register when it asks for one.
#[must_use]
pub fn format(name: &str) -> Chosen {
    let mut chosen = named(name).expect("a name of the list");
    if let Some(over) = chosen.format.with_cameras(&register()) {
        chosen.format = over;
    }
    chosen
}

/// Input: format, topic, messages of one sender, which the format sees one after the other.
pub fn translate(formats: &[&str], topics: &[&str], data: &[u8]) {
    let [name, topic, payloads @ ..] = data else { return };
    let (name, topic, tenant) = (pick(formats, *name), pick(topics, *topic), tenant());
    let chosen = format(name);
    for payload in messages(payloads) {
        let mut out = Vec::new();
        let incoming = Incoming { tenant: &tenant, topic, payload, received_at: NOW };
        match chosen.format.translate(incoming, &mut out) {
            Ok(Translated::Document) => json(name, &out),
            Ok(Translated::Documents) => out.split(|b| *b == b'\n').filter(|d| !d.is_empty()).for_each(|d| json(name, d)),
            Ok(Translated::Lines | Translated::Nothing) => {}
            Err(reject) => assert!(!reject.message.is_empty(), "{name} refused without a word"),
        }
        assert!(out.len() < DOCUMENT_BYTES_MAX, "{name} made {} bytes of {}", out.len(), payload.len());
    }
}

/// Asserts that a document is JSON; how deep it may be is the decoder's limit.
fn json(name: &str, text: &[u8]) {
    let whole = Reader::new(text, 100).and_then(|mut r| {
        let value = r.value()?;
        r.skip(&value)?;
        r.end()
    });
    assert!(matches!(whole, Ok(()) | Err(JsonError::TooDeep(_))), "{name} wrote {whole:?}: {}", String::from_utf8_lossy(text));
}

/// A router over mapping files and the built-in contracts.
#[must_use]
pub fn router(files: &[(&str, &str)]) -> Arc<Router> {
    let mappings = Mappings::parse(files.iter().copied()).expect("mappings").with_cameras(&register());
    Arc::new(Router::new(Contracts::builtin().expect("contracts"), mappings).expect("router"))
}

/// Input: topic, messages. Each becomes rows, refusals or a drop.
pub fn decode(router: &Arc<Router>, topics: &[&str], data: &[u8]) {
    let [topic, payloads @ ..] = data else { return };
    let topic = pick(topics, *topic);
    for payload in messages(payloads) {
        decode_one(router, topic, payload);
    }
}

pub fn decode_one(router: &Arc<Router>, topic: &str, payload: &[u8]) {
    let limits = DecodeLimits {
        payload_bytes_max: 1 << 18,
        depth_max: 16,
        observations_per_message_max: 1_000,
        topics_cached_max: 100,
        oldest_accepted: Timestamp(0),
        retention: true,
    };
    let tenant = tenant();
    let receipt = Receipt { tenant: &tenant, received_at: NOW };
    let message = RawMessage { topic: topic.as_bytes().to_vec().into(), payload: payload.to_vec().into() };
    let mut out = Decoded::default();
    Decoder::new(Arc::clone(router), limits).message(receipt, 0, &message, &mut out);
    let n_rows: usize = out.blocks.iter().map(|b| b.rows.len()).sum();
    assert!(n_rows + out.refusals.len() + out.dropped as usize >= 1, "a message on {topic} vanished");
    assert!(n_rows <= 1_000, "{n_rows} rows of one message");
}
