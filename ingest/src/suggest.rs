//! From messages in quarantine to suggestions that an operator can accept: which device speaks, which contract its messages fit,
//! and the mapping file that reads them. Pure: samples, contracts and the mappings in force come in, suggestions go out.
//!
//! Every suggested text is parsed, compiled and run over the samples it was made from ([`check`]); what it cannot read it says.
//! Guesses come from names (Italian, English, the field's abbreviations), units in names and values, and the ranges of contracts.

mod check;
mod fit;
mod group;
mod leaves;
mod model;
mod names;
mod topics;
mod units;
mod write;

pub use check::{PreviewRow, Verdict, check, reads};
pub use fit::{FieldGuess, LeftOver, TimeGuess};
pub use model::{Example, NewContract, Options, Other, Sample, State, Suggestion};

use crate::{
    format::{self, Incoming, Translated},
    mapping::{
        route::{CONVENTION, Route, Router},
        template::{TextTemplate, TopicTemplate},
    },
};
use fit::{Fit, Hints};
use group::Group;
use leaves::View;
use schemas::{Contract, Contracts, ProductId};
use serde_json::Value;
use std::sync::Arc;
use write::Frame;

/// Below this a contract does not fit, and one of its own is suggested.
const SCORE_MIN: f64 = 0.35;
/// Devices that may be listed one by one when their topics cannot be told from others by a template.
const LITERAL_TOPICS_MAX: usize = 50;
/// Bytes of a payload shown.
const EXAMPLE_BYTES_MAX: usize = 2_000;
const EXAMPLES_MAX: usize = 3;
const LEFT_MAX: usize = 40;

/// Groups samples by device kind and suggests what reads them; groups with most messages first.
///
/// `router` must be one of its own over the mappings in force, not that of a running pipeline: formats keep state between messages.
#[must_use]
pub fn suggest(samples: &[Sample], router: &Arc<Router>, options: &Options) -> Vec<Suggestion> {
    let groups = group::groups(samples);
    let plans: Vec<_> = groups.iter().map(|g| (g, topics::template(&g.topic_texts()))).collect();
    let mut out: Vec<Suggestion> = Vec::with_capacity(groups.len());
    for (group, template) in &plans {
        let rivals: Vec<&Group<'_>> = plans
            .iter()
            .filter(|(g, t)| !std::ptr::eq(*g, *group) && g.tenant == group.tenant && t.text == template.text)
            .map(|(g, _)| *g)
            .collect();
        out.push(Maker { group, template, rivals, router, options }.make());
    }
    out.sort_by(|a, b| b.messages.cmp(&a.messages).then_with(|| a.id.cmp(&b.id)));
    out
}

/// Documents of a group, by one format.
struct Reading {
    format: Option<&'static str>,
    views: Vec<View>,
}

struct Maker<'a> {
    group: &'a Group<'a>,
    template: &'a topics::Template,
    /// Other kinds of messages on the same topics.
    rivals: Vec<&'a Group<'a>>,
    router: &'a Arc<Router>,
    options: &'a Options,
}

/// Who reads a topic now.
struct InForce {
    name: String,
    /// When all that may read it agree.
    product: Option<ProductId>,
    convention: bool,
}

impl Maker<'_> {
    fn make(&self) -> Suggestion {
        let mut out = self.blank();
        let in_force = self.in_force();
        let now = check::with(Arc::clone(self.router), &self.group.samples);
        if now.decoded == self.group.samples.len() {
            out.state = State::Ready;
            out.product = in_force.as_ref().and_then(|f| f.product.clone());
            out.in_force = in_force.map(|f| f.name);
            (out.decoded, out.checked, out.preview) = (now.decoded, self.group.samples.len(), now.preview);
            return out;
        }
        out.in_force = in_force.as_ref().filter(|f| !f.convention).map(|f| f.name.clone());
        if let Some(topic) = self.group.topics.iter().find(|t| !topics::is_plain(t)) {
            out.missing.push(format!("the topic '{topic}' holds signs that a template cannot; let the device publish to another topic"));
            return out;
        }
        let readings = self.readings();
        // Mappings that choose by the document (`when`) say nothing about a document that none of them wants.
        let unwanted = self.group.reasons.contains_key("unknown_topic");
        let pinned = in_force.as_ref().filter(|_| !unwanted).and_then(|f| f.product.clone());
        self.choose(&readings, pinned.as_ref(), in_force.as_ref(), &mut out);
        out
    }

    fn blank(&self) -> Suggestion {
        let group = self.group;
        let show = |s: &&&Sample| Example {
            topic: s.topic.clone(),
            payload: crate::decode::reject::cut(&String::from_utf8_lossy(&s.payload), EXAMPLE_BYTES_MAX),
            reason: s.reason.clone(),
            message: s.message.clone(),
        };
        Suggestion {
            id: String::new(),
            tenant: group.tenant.clone(),
            topic: self.template.text.clone(),
            state: State::Incomplete,
            messages: group.n,
            devices: self.template.devices,
            first_at: group.first_at.to_rfc3339(),
            last_at: group.last_at.to_rfc3339(),
            reasons: group.reasons.clone(),
            examples: group.samples.iter().take(EXAMPLES_MAX).map(|s| show(&s)).collect(),
            product: None,
            score: 0.0,
            why: Vec::new(),
            others: Vec::new(),
            in_force: None,
            format: None,
            fields: Vec::new(),
            time: None,
            place: None,
            left_over: Vec::new(),
            missing: Vec::new(),
            mapping: None,
            contract: None,
            decoded: 0,
            checked: 0,
            preview: Vec::new(),
        }
        .named(&self.template.text)
    }

    fn in_force(&self) -> Option<InForce> {
        let topic = self.group.topics.first()?;
        let Route::Known(known) = self.router.route(&self.group.tenant, topic) else { return None };
        let first = known.choices.first()?;
        let product = first.table.name.product.clone();
        let convention = first.plan.name.starts_with(CONVENTION);
        let agreed = known.choices.iter().all(|c| c.table.name.product == product);
        Some(InForce { name: first.plan.name.clone(), product: agreed.then_some(product), convention })
    }

    /// The documents as JSON, and as each format makes them that takes these payloads.
    fn readings(&self) -> Vec<Reading> {
        let plain: Vec<Value> = self.group.samples.iter().filter_map(|s| serde_json::from_slice(&s.payload).ok()).collect();
        let mut out = Vec::new();
        let mut add = |format, documents: Vec<Value>| {
            let objects: Vec<&Value> = documents.iter().filter(|d| d.is_object()).collect();
            if !objects.is_empty() && objects.len() * 2 > self.group.samples.len() {
                out.push(Reading { format, views: leaves::views(&objects) });
            }
        };
        add(None, plain);
        for name in format::names() {
            let Ok(chosen) = format::named(name) else { continue };
            let translate = |s: &&Sample| {
                let mut text = Vec::new();
                let incoming = Incoming { tenant: &s.tenant, topic: &s.topic, payload: &s.payload, received_at: s.received_at };
                match chosen.format.translate(incoming, &mut text) {
                    Ok(Translated::Document) => serde_json::from_slice(&text).ok(),
                    _ => None,
                }
            };
            add(Some(name), self.group.samples.iter().filter_map(translate).collect());
        }
        out
    }

    fn hints(&self) -> Hints<'_> {
        Hints { topic: &self.template.text, zone: &self.options.zone, newest: self.group.last_at }
    }

    fn choose(&self, readings: &[Reading], pinned: Option<&ProductId>, in_force: Option<&InForce>, out: &mut Suggestion) {
        let contracts = self.router.contracts();
        let hints = self.hints();
        let mut all: Vec<(Option<&'static str>, Fit<'_>)> = Vec::new();
        for reading in readings {
            for view in &reading.views {
                match pinned.and_then(|p| contracts.get(p)) {
                    Some(contract) => all.push((reading.format, fit::fit_one(view, contract, contracts, hints))),
                    None => all.extend(fit::fits(view, contracts, hints).into_iter().map(|f| (reading.format, f))),
                }
            }
        }
        // Plain JSON before a format that says the same.
        all.sort_by(|a, b| b.1.score.total_cmp(&a.1.score).then_with(|| a.0.is_some().cmp(&b.0.is_some())));
        let mut seen = Vec::new();
        for (_, fit) in &all {
            if !seen.iter().any(|o: &Other| o.product == fit.contract.product) {
                seen.push(Other { product: fit.contract.product.clone(), score: fit.score });
            }
        }
        let fits = |f: &(Option<&str>, Fit<'_>)| pinned.is_some() || f.1.score >= SCORE_MIN;
        if let Some((format, fit)) = all.first().filter(|f| fits(f)) {
            out.others = seen.into_iter().skip(1).take(3).collect();
            let complete = in_force.is_some_and(|f| f.convention);
            return self.settle(contracts, *format, fit, complete, in_force, out);
        }
        out.others = seen.into_iter().take(3).collect();
        self.own_contract(readings, in_force, out);
    }

    /// No contract fits: one is made from the document with most figures.
    fn own_contract(&self, readings: &[Reading], in_force: Option<&InForce>, out: &mut Suggestion) {
        let hints = self.hints();
        let views = readings.iter().flat_map(|r| r.views.iter().map(move |v| (r.format, v)));
        let most = views.max_by_key(|(format, v)| (fit::measures(v, hints).len(), format.is_none()));
        let contracts = self.router.contracts();
        let taken = |name: &str| contracts.iter().any(|c| c.product.as_str() == name);
        let Some((format, view)) = most else {
            out.missing
                .push("the payload is no JSON object, and no format known here reads it; describe it in a mapping with 'format'".into());
            return;
        };
        let Some((contract, text)) = write::contract(view, hints, &taken) else {
            out.missing.push("the messages hold no number and no flag to measure by".into());
            return;
        };
        out.contract = Some(NewContract { product: contract.product.clone(), text });
        let with_new = contracts.with(contract.clone());
        let fit = fit::fit_one(view, &contract, &with_new, hints);
        self.settle(&with_new, format, &fit, false, in_force, out);
        if out.state == State::Mapping {
            out.state = State::Contract;
        }
        out.score = 0.0;
        out.why.insert(0, format!("no contract of the city fits these messages; '{}' is suggested for them", contract.product));
    }

    /// Writes the mapping, runs it, and notes what it does.
    fn settle(
        &self,
        contracts: &Contracts,
        format: Option<&'static str>,
        fit: &Fit<'_>,
        complete: bool,
        in_force: Option<&InForce>,
        out: &mut Suggestion,
    ) {
        let mut fields = fit.fields.clone();
        if complete {
            add_plain(&mut fields, fit.contract);
        }
        let mut frame = self.frame(format, fit, in_force, out);
        out.product = Some(fit.contract.product.clone());
        (out.score, out.why, out.format) = (fit.score, fit.why.clone(), format);
        (out.time, out.place) = (Some(fit.time.clone()), fit.place.clone());
        out.left_over = fit.left.iter().take(LEFT_MAX).cloned().collect();
        out.missing.extend(fit.missing.iter().cloned());
        let mut text = write::mapping(&frame, fit, &fields);
        let mut verdict = check::check(&text, contracts, &self.group.samples);
        if verdict.is_err() && fields.iter().any(|f| f.unit_in_text.is_some()) {
            let (with_unit, rest): (Vec<_>, Vec<_>) = fields.into_iter().partition(|f| f.unit_in_text.is_some());
            let lost =
                with_unit.iter().map(|f| format!("'{}' is a text with its unit, for example {}; send a number", f.pointer, f.example));
            out.missing.extend(lost);
            fields = rest;
            frame.ignore = true;
            text = write::mapping(&frame, fit, &fields);
            verdict = check::check(&text, contracts, &self.group.samples);
        }
        out.fields = fields;
        out.checked = self.group.samples.len();
        let mut named = frame.topics.iter().map(|(topic, _)| topic.as_str()).collect::<Vec<_>>().join("\n");
        if let Some((pointer, value)) = &frame.when {
            named.push_str(&format!("\n{pointer}={value}"));
        }
        *out = std::mem::replace(out, self.blank()).named(&named);
        match verdict {
            Err(rule) if fit.time.pointer.is_none() => {
                out.missing.push(format!("the messages carry no time of observation ({rule}); let the device send one"));
            }
            Err(rule) => out.missing.push(rule),
            Ok(verdict) => {
                out.mapping = Some(text);
                out.decoded = verdict.decoded;
                out.preview = verdict.preview;
                let told = verdict.refused.iter().take(3).map(|(why, n)| format!("{n} of {} samples are refused: {why}", out.checked));
                let told: Vec<String> = told.collect();
                out.missing.extend(told);
                if verdict.decoded > 0 && fit.missing.is_empty() {
                    out.state = State::Mapping;
                }
            }
        }
    }

    fn frame(&self, format: Option<&'static str>, fit: &Fit<'_>, in_force: Option<&InForce>, out: &mut Suggestion) -> Frame {
        // The topic names the device, unless the payload does it better; elements of a list may be of several devices.
        let named_inside =
            fit.id.as_ref().filter(|(_, n)| fit.view.each.is_some() || *n > self.group.topics.len() || !self.template.device_is_sure);
        let by_payload = named_inside.map(|(pointer, _)| pointer.clone());
        let mut entity = by_payload.clone().unwrap_or_else(|| self.template.entity.clone());
        let mut literal = false;
        let mut when = None;
        if !self.rivals.is_empty() || in_force.is_some() {
            when = self.telling_text(fit).filter(|_| format.is_none() && in_force.is_none());
            literal = when.is_none() && self.group.topics.len() <= LITERAL_TOPICS_MAX;
            if when.is_none() && !literal {
                out.missing
                    .push("other messages share these topics, and nothing in them tells the two apart; check the mapping by hand".into());
            }
        }
        let convention = in_force.is_some_and(|f| f.convention);
        let unnamed = convention && self.template.text.split('/').count() == 3;
        if unnamed {
            entity = "/id".to_owned();
        }
        let topics = if literal {
            let own = |topic: &&str| (*topic).to_owned();
            self.group
                .topics
                .iter()
                .map(|t| (own(t), by_payload.clone().filter(|_| !unnamed).unwrap_or_else(|| self.entity_of(t, &entity))))
                .collect()
        } else {
            vec![(self.template.text.clone(), entity)]
        };
        // The common keys of the convention are read, so they are not left over.
        let common = |p: &str| convention && matches!(p, "/id" | "/quality" | "/lon" | "/lat" | "/observed_at");
        let ignore = fit.left.iter().any(|l| !common(&l.pointer));
        Frame { tenant: self.group.tenant.clone(), topics, format, when, ignore, convention }
    }

    /// The entity of one literal topic: the one that it has by what is in force, so that its history goes on; else the template filled.
    fn entity_of(&self, topic: &str, entity: &str) -> String {
        if entity.starts_with(['/', '^']) {
            return entity.to_owned();
        }
        if let Route::Known(known) = self.router.route(&self.group.tenant, topic)
            && let Some(Ok(known)) = known.choices.first().and_then(|c| c.entity.as_ref())
        {
            return known.id.to_string();
        }
        let filled = TopicTemplate::parse(&self.template.text).ok().and_then(|template| {
            let names: Vec<&str> = template.names().collect();
            let text = TextTemplate::parse(entity, &names).ok()?;
            Some(text.fill(&template.matches(topic)?))
        });
        filled.unwrap_or_else(|| topic.to_owned())
    }

    /// A text that all messages of this kind share and none of the others on the same topics has: `type`, `model`.
    fn telling_text(&self, fit: &Fit<'_>) -> Option<(String, String)> {
        const WORDS: [&str; 8] = ["type", "model", "devicetype", "kind", "profile", "deviceprofilename", "modello", "tipo"];
        let candidates = fit.view.columns.iter().filter(|c| WORDS.contains(&names::compact(c.last()).as_str()) && fit.view.each.is_none());
        candidates.into_iter().find_map(|c| {
            let texts = c.texts()?;
            let first = *texts.first()?;
            let same = texts.len() == self.group.samples.len() && texts.iter().all(|t| *t == first);
            let path: Vec<&str> = c.path.iter().map(String::as_str).collect();
            let elsewhere = self.rivals.iter().flat_map(|g| &g.samples).any(|s| {
                let document: Option<Value> = serde_json::from_slice(&s.payload).ok();
                let there = document.as_ref().and_then(|d| path.iter().try_fold(d, |v, key| v.get(key)));
                there.and_then(Value::as_str) == Some(first)
            });
            (same && !elsewhere).then(|| (c.pointer(), first.to_owned()))
        })
    }
}

/// The convention's own names stay readable where the samples do not use them: other messages of the device do.
fn add_plain(fields: &mut Vec<FieldGuess>, contract: &Contract) {
    for field in &contract.fields {
        let pointer = format!("/{}", field.name);
        if fields.iter().any(|f| f.field == field.name || f.pointer == pointer) {
            continue;
        }
        let (unit, why) = (field.unit.clone(), "as the convention has it".to_owned());
        let plain = FieldGuess {
            field: field.name.clone(),
            pointer,
            scale: 1.0,
            offset: 0.0,
            absent: Vec::new(),
            number_in_text: false,
            unit_in_text: None,
            unit,
            confidence: 1.0,
            why,
            example: Value::Null,
        };
        fields.push(plain);
    }
}

#[cfg(test)]
mod tests;
