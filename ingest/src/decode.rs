//! From the bytes of a message to checked rows, one pass over the text, without a tree. Runs on the sender's side, in parallel.

pub mod block;
mod cache;
mod fill;
pub mod json;
pub mod reject;
pub mod time;

use crate::{
    RawMessage,
    format::{Incoming, Translated},
    mapping::route::{Choice, Known, Route, Router},
};
use block::{Block, Row, Slot};
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
            Route::Refused(reject) => return refuse(out, None, reject.clone()),
            Route::Known(known) => known,
        };
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
        let n_refusals = out.refusals.len();
        let block = out.block(choice);
        let mark = (block.rows.len(), block.slots.len(), block.texts.len());
        let result = match &choice.plan.outer {
            None => self.single(receipt, index, choice, text, block),
            Some(_) => self.several(receipt, index, choice, text, out),
        };
        if let Err(reject) = result {
            let block = out.block(choice);
            block.rows.truncate(mark.0);
            block.slots.truncate(mark.1);
            block.texts.truncate(mark.2);
            out.refusals.truncate(n_refusals);
            refuse(out, Some(choice.table.name.product.clone()), reject);
        }
    }

    fn choose<'k>(&mut self, known: &'k Known, payload: &[u8]) -> Result<&'k Choice, Reject> {
        let Some(selector) = &known.selector else {
            return known.choices.first().ok_or_else(|| Reject::new(Reason::UnknownTopic, "no mapping reads this topic"));
        };
        let texts = fill::selects(selector, known.n_selects, payload, self.limits.depth_max)?;
        let holds = |c: &&Choice| c.when.iter().all(|(i, want)| texts[*i].as_deref() == Some(want));
        known.choices.iter().find(holds).ok_or_else(|| {
            let have: Vec<String> = texts.iter().map(|t| t.as_deref().map_or("(absent)".into(), |t| format!("'{}'", cut(t, 60)))).collect();
            let message =
                format!("mappings read this topic, but none fits this message, which has {}; add one for this device", have.join(", "));
            Reject::new(Reason::UnknownTopic, message)
        })
    }

    fn single(&mut self, receipt: Receipt<'_>, index: u32, choice: &Choice, payload: &[u8], block: &mut Block) -> Result<(), Reject> {
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
    fn several(&mut self, receipt: Receipt<'_>, index: u32, choice: &Choice, payload: &[u8], out: &mut Decoded) -> Result<(), Reject> {
        let Some(outer) = &choice.plan.outer else { return Ok(()) };
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
        Ok(())
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
        if let Err(reject) = result.and_then(|()| self.finish(receipt, index, choice, draft, block)) {
            block.slots.truncate(start);
            block.texts.truncate(n_texts);
            out.refusals.push(Refusal { message: index, product: Some(choice.table.name.product.clone()), reject });
        }
    }

    /// The slots of the row stand at the end of the block; adds the row, or says why not.
    fn finish(&mut self, receipt: Receipt<'_>, index: u32, choice: &Choice, draft: Draft, block: &mut Block) -> Result<(), Reject> {
        let contract = &choice.plan.contract;
        let start = block.slots.len() - contract.fields.len();
        fill::constants(&choice.plan, &mut block.slots[start..], &mut block.texts);
        let entity = match (draft.entity, &choice.entity) {
            (Some(entity), _) => entity,
            (None, Some(entity)) => entity.clone()?,
            (None, None) => {
                return Err(Reject::field(Reason::BadEntity, "id", "the message does not say which entity it is about; add 'id'"));
            }
        };
        let Some(observed_at) = draft.observed_at else {
            return Err(Reject::field(Reason::BadTime, "observed_at", "the time of observation is absent; add 'observed_at'"));
        };
        let late = crate::validate::time(contract, self.limits.oldest_accepted, observed_at, receipt.received_at)?;
        if self.limits.retention {
            crate::validate::kept(contract, observed_at, receipt.received_at)?;
        }
        let place = self.place(draft.lon, draft.lat)?;
        crate::validate::row(contract, &block.slots[start..])?;
        let quality = draft.quality.unwrap_or(choice.plan.quality.default);
        let identity = self.router.identities.row(contract, entity.hash, quality, &block.slots[start..], &block.texts);
        block.rows.push(Row { message: index, late, quality, entity, observed_at, place, identity });
        Ok(())
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
