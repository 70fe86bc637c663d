//! From the bytes of a message to checked rows, one pass over the text, without a tree. Runs on the sender's side, in parallel.

pub mod block;
mod cache;
mod fill;
mod flat;
pub mod json;
pub mod reject;
pub mod time;

use crate::{
    RawMessage, camera, codec,
    format::{
        Incoming, Translated,
        line_protocol::{Line, Lines},
    },
    mapping::route::{Choice, Known, Route, Router},
};
use block::{Block, Entity, Row, Slot};
use cache::{Cells, Entities, Routes};
use fill::{Draft, Filler};
use json::{Reader, Token};
use reject::{Reason, Reject, cut};
use schemas::{Position, ProductId, Tenant, Timestamp};
use std::sync::Arc;

/// What decoding needs to know of the configuration.
#[derive(Debug, Clone)]
pub struct DecodeLimits {
    pub payload_bytes_max: usize,
    pub depth_max: usize,
    pub observations_per_message_max: usize,
    pub topics_cached_max: usize,
    pub oldest_accepted: Timestamp,
    /// Whether what a contract no longer keeps is refused.
    pub retention: bool,
}

/// A message, or one observation of it, that was refused.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// Index in the group.
    pub message: u32,
    pub product: Option<ProductId>,
    pub reject: Reject,
}

/// Outcome of a group before duplicates are told apart. Every message is in it: as rows, refusals or drops.
#[derive(Debug, Default)]
pub struct Decoded {
    pub blocks: Vec<Block>,
    pub refusals: Vec<Refusal>,
    /// Dropped by policy.
    pub dropped: u64,
    /// Messages whose payload no quarantine may keep, in order (GOV-1).
    pub private: Vec<u32>,
}

impl Decoded {
    fn block(&mut self, choice: &Choice) -> &mut Block {
        let at = self.blocks.iter().position(|b| b.table.id == choice.table.id).unwrap_or(self.blocks.len());
        if at == self.blocks.len() {
            self.blocks.push(Block::new(Arc::clone(&choice.table)));
        }
        &mut self.blocks[at]
    }
}

/// What became of one observation that nothing speaks against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    Row,
    /// It holds no value, and its mapping drops those.
    Empty,
}

/// Sender and receipt of the messages of a group.
#[derive(Debug, Clone, Copy)]
pub struct Receipt<'a> {
    pub tenant: &'a Tenant,
    pub received_at: Timestamp,
}

/// Decodes messages; remembers routes, entities and cells between calls. One per thread that decodes.
#[derive(Debug)]
pub struct Decoder {
    router: Arc<Router>,
    limits: DecodeLimits,
    routes: Routes,
    entities: Entities,
    cells: Cells,
    /// The document that a format made of the message.
    document: Vec<u8>,
}

impl Decoder {
    #[must_use]
    pub fn new(router: Arc<Router>, limits: DecodeLimits) -> Self {
        let routes = Routes::new(limits.topics_cached_max);
        let entities = Entities::new(limits.topics_cached_max);
        Self { router, limits, routes, entities, cells: Cells::default(), document: Vec::new() }
    }

    /// Decodes message `index` of a group.
    pub fn message(&mut self, receipt: Receipt<'_>, index: u32, message: &RawMessage, out: &mut Decoded) {
        let refuse = |out: &mut Decoded, product, reject| out.refusals.push(Refusal { message: index, product, reject });
        let route = self.routes.get(&self.router, receipt.tenant, &message.topic);
        let known = match &*route {
            Route::Dropped => {
                out.dropped += 1;
                return;
            }
            Route::Refused(reject) => {
                if camera::is_protected_topic(&message.topic) {
                    out.private.push(index);
                }
                return refuse(out, None, reject.clone());
            }
            Route::Known(known) => known,
        };
        if known.format.as_ref().is_some_and(|f| !f.format.keeps_payload()) {
            out.private.push(index);
        }
        if message.payload.len() > self.limits.payload_bytes_max {
            let (len, max) = (message.payload.len(), self.limits.payload_bytes_max);
            let reject = Reject::new(Reason::TooLarge, format!("the payload has {len} bytes, the limit is {max}; send smaller messages"));
            return refuse(out, product_of(known), reject);
        }
        let Some(chosen) = &known.format else { return self.document(receipt, index, known, &message.payload, out) };
        let mut document = std::mem::take(&mut self.document);
        document.clear();
        // The door checked that a topic is UTF-8.
        let topic = std::str::from_utf8(&message.topic).unwrap_or_default();
        let incoming = Incoming { tenant: receipt.tenant, topic, payload: &message.payload, received_at: receipt.received_at };
        match chosen.format.translate(incoming, &mut document) {
            Ok(Translated::Document) => self.document(receipt, index, known, &document, out),
            Ok(Translated::Documents) => {
                for text in document.split(|b| *b == b'\n').filter(|text| !text.is_empty()) {
                    self.document(receipt, index, known, text, out);
                }
            }
            Ok(Translated::Lines) => self.lines(receipt, index, known, &message.payload, out),
            Ok(Translated::Nothing) => out.dropped += 1,
            Err(reject) => out.refusals.push(Refusal { message: index, product: product_of(known), reject }),
        }
        self.document = document;
    }

    /// Decodes the JSON text of a message.
    fn document(&mut self, receipt: Receipt<'_>, index: u32, known: &Known, text: &[u8], out: &mut Decoded) {
        let refuse = |out: &mut Decoded, product, reject| out.refusals.push(Refusal { message: index, product, reject });
        let choice = match self.choose(known, text) {
            Ok(choice) => choice,
            Err(reject) => return refuse(out, product_of(known), reject),
        };
        let decoded = match choice.codec.as_ref().map_or(Ok(None), |codec| codec::message::apply(codec, text, receipt.received_at)) {
            Ok(decoded) => decoded,
            Err(reject) => return refuse(out, Some(choice.table.name.product.clone()), reject),
        };
        let text = decoded.as_deref().unwrap_or(text);
        let (n_refusals, n_dropped) = (out.refusals.len(), out.dropped);
        let block = out.block(choice);
        let mark = (block.rows.len(), block.slots.len(), block.texts.len());
        let result = match &choice.plan.outer {
            None => self.single(receipt, index, choice, text, block),
            Some(_) => self.several(receipt, index, choice, text, out),
        };
        if matches!(result, Ok(Kept::Row)) {
            return;
        }
        let block = out.block(choice);
        block.rows.truncate(mark.0);
        block.slots.truncate(mark.1);
        block.texts.truncate(mark.2);
        match result {
            Ok(_) => out.dropped += 1,
            Err(reject) => {
                out.refusals.truncate(n_refusals);
                out.dropped = n_dropped;
                refuse(out, Some(choice.table.name.product.clone()), reject);
            }
        }
    }

    /// Decodes the lines of a message; each is an observation of its own.
    fn lines(&mut self, receipt: Receipt<'_>, index: u32, known: &Known, text: &[u8], out: &mut Decoded) {
        let Ok(text) = std::str::from_utf8(text) else {
            let reject = Reject::new(Reason::NotFormat, "not UTF-8; line protocol is always UTF-8");
            return out.refusals.push(Refusal { message: index, product: product_of(known), reject });
        };
        // One line, which is what the doors over HTTP hand over.
        if text.starts_with(|c: char| c.is_alphanumeric()) && memchr::memchr(b'\n', text.as_bytes()).is_none() {
            if let Err((product, reject)) = self.line(receipt, index, known, text, out) {
                out.refusals.push(Refusal { message: index, product, reject });
            }
            return;
        }
        let n_max = self.limits.observations_per_message_max;
        let mut n = 0;
        for (number, range) in Lines::new(text.as_bytes()) {
            n += 1;
            if n > n_max {
                let message = format!("more than {n_max} lines in one message; those from line {number} on were left out: send them again");
                out.refusals.push(Refusal { message: index, product: product_of(known), reject: Reject::new(Reason::TooLarge, message) });
                return;
            }
            // Newlines are ASCII, so the range is on borders of characters.
            if let Err((product, mut reject)) = self.line(receipt, index, known, &text[range.clone()], out) {
                if number > 1 || range.end < text.trim_end().len() {
                    reject.message = format!("line {number}: {}", reject.message);
                }
                out.refusals.push(Refusal { message: index, product, reject });
            }
        }
        out.dropped += u64::from(n == 0);
    }

    fn line(
        &mut self,
        receipt: Receipt<'_>,
        index: u32,
        known: &Known,
        text: &str,
        out: &mut Decoded,
    ) -> Result<(), (Option<ProductId>, Reject)> {
        let choice = match &known.selector {
            None => self.first(known),
            Some(selector) => flat::selects(selector, known.n_selects, Line::new(text)).and_then(|texts| self.fitting(known, &texts)),
        };
        let choice = choice.map_err(|reject| (product_of(known), reject))?;
        let block = out.block(choice);
        let (start, n_texts) = (block.slots.len(), block.texts.len());
        block.slots.resize(start + choice.plan.fields.len(), Slot::Null);
        let mut filler = Filler {
            choice,
            router: &self.router,
            entities: &mut self.entities,
            slots: &mut block.slots[start..],
            texts: &mut block.texts,
            draft: Draft::default(),
        };
        let result = filler.line(&choice.plan.root, &mut Line::new(text), receipt.received_at);
        let draft = filler.draft;
        let result = result.and_then(|()| self.finish(receipt, index, choice, draft, block));
        if !matches!(result, Ok(Kept::Row)) {
            block.slots.truncate(start);
            block.texts.truncate(n_texts);
        }
        out.dropped += u64::from(matches!(result, Ok(Kept::Empty)));
        result.map(drop).map_err(|reject| (Some(choice.table.name.product.clone()), reject))
    }

    fn first<'k>(&self, known: &'k Known) -> Result<&'k Choice, Reject> {
        known.choices.first().ok_or_else(|| Reject::new(Reason::UnknownTopic, "no mapping reads this topic"))
    }

    fn choose<'k>(&mut self, known: &'k Known, payload: &[u8]) -> Result<&'k Choice, Reject> {
        let Some(selector) = &known.selector else { return self.first(known) };
        let texts = fill::selects(selector, known.n_selects, payload, self.limits.depth_max)?;
        self.fitting(known, &texts)
    }

    fn fitting<'k>(&self, known: &'k Known, texts: &[Option<String>]) -> Result<&'k Choice, Reject> {
        let holds = |c: &&Choice| c.when.iter().all(|(i, want)| texts[*i].as_deref() == Some(want));
        known.choices.iter().find(holds).ok_or_else(|| {
            let have: Vec<String> = texts.iter().map(|t| t.as_deref().map_or("(absent)".into(), |t| format!("'{}'", cut(t, 60)))).collect();
            let message =
                format!("mappings read this topic, but none fits this message, which has {}; add one for this device", have.join(", "));
            Reject::new(Reason::UnknownTopic, message)
        })
    }

    fn single(&mut self, receipt: Receipt<'_>, index: u32, choice: &Choice, payload: &[u8], block: &mut Block) -> Result<Kept, Reject> {
        let mut reader = Reader::new(payload, self.limits.depth_max)?;
        let start = block.slots.len();
        block.slots.resize(start + choice.plan.fields.len(), Slot::Null);
        let mut filler = Filler {
            choice,
            router: &self.router,
            entities: &mut self.entities,
            slots: &mut block.slots[start..],
            texts: &mut block.texts,
            draft: Draft::default(),
        };
        filler.whole(&choice.plan.root, &mut reader)?;
        let draft = filler.draft;
        self.finish(receipt, index, choice, draft, block)
    }

    /// Two passes: the first finds the list and what stands around it (and proves that all of it is JSON), the second reads the elements.
    fn several(&mut self, receipt: Receipt<'_>, index: u32, choice: &Choice, payload: &[u8], out: &mut Decoded) -> Result<Kept, Reject> {
        let Some(outer) = &choice.plan.outer else { return Ok(Kept::Empty) };
        let mut base = vec![Slot::Null; choice.plan.fields.len()];
        let mut reader = Reader::new(payload, self.limits.depth_max)?;
        let block = out.block(choice);
        let mut filler = Filler {
            choice,
            router: &self.router,
            entities: &mut self.entities,
            slots: &mut base,
            texts: &mut block.texts,
            draft: Draft::default(),
        };
        filler.whole(outer, &mut reader)?;
        let mut around = filler.draft;
        let Some((from, to)) = around.each.take() else {
            return Err(Reject::new(Reason::MissingField, format!("{}: the list of observations is absent", choice.plan.name)));
        };
        around.seen = 0;
        let mut list = Reader::new(&payload[from..to], self.limits.depth_max)?;
        let (mut first, mut n) = (true, 0);
        list.value()?;
        while list.element(&mut first)? {
            let start = list.offset();
            let token = list.value()?;
            list.skip(&token)?;
            n += 1;
            if n > self.limits.observations_per_message_max {
                let message = format!("more than {} observations in one message; split it", self.limits.observations_per_message_max);
                return Err(Reject::new(Reason::TooLarge, message));
            }
            let element = &payload[from + start..from + list.offset_after()];
            self.element(receipt, index, choice, element, (&base, around.clone()), out);
        }
        // Nothing to store: still one message received, and dropped because there is nothing in it.
        out.dropped += u64::from(n == 0);
        Ok(Kept::Row)
    }

    fn element(&mut self, receipt: Receipt<'_>, index: u32, choice: &Choice, element: &[u8], base: (&[Slot], Draft), out: &mut Decoded) {
        let block = out.block(choice);
        let (start, n_texts) = (block.slots.len(), block.texts.len());
        block.slots.extend_from_slice(base.0);
        let mut filler = Filler {
            choice,
            router: &self.router,
            entities: &mut self.entities,
            slots: &mut block.slots[start..],
            texts: &mut block.texts,
            draft: base.1,
        };
        let read = Reader::new(element, self.limits.depth_max).map_err(Reject::from);
        let result = read.and_then(|mut reader| filler.whole(&choice.plan.root, &mut reader));
        let draft = filler.draft;
        let result = result.and_then(|()| self.finish(receipt, index, choice, draft, block));
        if !matches!(result, Ok(Kept::Row)) {
            block.slots.truncate(start);
            block.texts.truncate(n_texts);
        }
        match result {
            Ok(Kept::Row) => {}
            Ok(Kept::Empty) => out.dropped += 1,
            Err(reject) => out.refusals.push(Refusal { message: index, product: Some(choice.table.name.product.clone()), reject }),
        }
    }

    /// The slots of the row stand at the end of the block; adds the row, or says why not.
    fn finish(&mut self, receipt: Receipt<'_>, index: u32, choice: &Choice, draft: Draft, block: &mut Block) -> Result<Kept, Reject> {
        let contract = &choice.plan.contract;
        let start = block.slots.len() - contract.fields.len();
        if choice.plan.drops_empty {
            let mut values = contract.fields.iter().zip(&block.slots[start..]).filter(|(f, _)| !f.key);
            if values.all(|(_, slot)| *slot == Slot::Null) {
                return Ok(Kept::Empty);
            }
        }
        fill::constants(&choice.plan, &mut block.slots[start..], &mut block.texts);
        let entity = match (draft.entity, &choice.entity) {
            (Some(entity), _) => entity,
            (None, Some(entity)) => entity.clone()?,
            (None, None) => {
                return Err(Reject::field(Reason::BadEntity, "id", "the message does not say which entity it is about; add 'id'"));
            }
        };
        let received_at = choice.plan.time.falls_back().then_some(receipt.received_at);
        let Some(observed_at) = draft.observed_at.or(received_at) else {
            return Err(Reject::field(Reason::BadTime, "observed_at", "the time of observation is absent; add 'observed_at'"));
        };
        let late = crate::validate::time(contract, self.limits.oldest_accepted, observed_at, receipt.received_at)?;
        if self.limits.retention {
            crate::validate::kept(contract, observed_at, receipt.received_at)?;
            kept_by_stream(choice, &entity, observed_at, receipt.received_at)?;
        }
        let place = self.place(draft.lon, draft.lat)?;
        crate::validate::row(contract, &block.slots[start..])?;
        let quality = draft.quality.unwrap_or(choice.plan.quality.default);
        let identity = self.router.identities.row(contract, entity.hash, quality, &block.slots[start..], &block.texts);
        let simulated = draft.simulated;
        block.rows.push(Row { message: index, late, simulated, quality, entity, observed_at, place, identity });
        Ok(Kept::Row)
    }

    fn place(&mut self, lon: Option<f64>, lat: Option<f64>) -> Result<Option<(Position, i64)>, Reject> {
        match (lon, lat) {
            (None, None) => Ok(None),
            (Some(lon), Some(lat)) => match Position::new(lon, lat) {
                Some(position) => Ok(Some((position, self.cells.cell(position)))),
                None => {
                    let message = format!("longitude {lon}, latitude {lat} is not on the globe; write degrees, WGS 84");
                    Err(Reject::field(Reason::BadPosition, "lon", message))
                }
            },
            (Some(_), None) => Err(Reject::field(Reason::BadPosition, "lat", "'lon' came without 'lat'; send both or none")),
            (None, Some(_)) => Err(Reject::field(Reason::BadPosition, "lon", "'lat' came without 'lon'; send both or none")),
        }
    }
}

/// Why a row of a camera is refused whose date its entry in the register no longer keeps.
fn kept_by_stream(choice: &Choice, entity: &Entity, observed_at: Timestamp, received_at: Timestamp) -> Result<(), Reject> {
    let stream = choice.cameras.as_ref().and_then(|cameras| cameras.of_entity(&choice.table.name.tenant, &entity.id));
    match stream.filter(|s| observed_at.date() < s.oldest_date(received_at)) {
        Some(stream) => Err(camera::too_old(stream, observed_at)),
        None => Ok(()),
    }
}

/// The product, when every choice agrees on it.
fn product_of(known: &Known) -> Option<ProductId> {
    let (first, rest) = known.choices.split_first()?;
    rest.iter().all(|c| c.table.id == first.table.id).then(|| first.table.name.product.clone())
}

/// The element bytes of a JSON list, `None` when the text is not a list in JSON. For doors that take lists of messages.
#[must_use]
pub fn elements(text: &[u8], depth_max: usize) -> Option<Vec<(usize, usize)>> {
    let mut reader = Reader::new(text, depth_max).ok()?;
    let mut out = Vec::new();
    let mut first = true;
    if reader.value().ok()? != Token::Array {
        return None;
    }
    while reader.element(&mut first).ok()? {
        let start = reader.offset();
        let token = reader.value().ok()?;
        reader.skip(&token).ok()?;
        out.push((start, reader.offset_after()));
    }
    reader.end().ok()?;
    Some(out)
}

#[cfg(test)]
mod tests;
