//! Fills the slots of a row from one line of line protocol: pairs of key and scalar, no document between.

use super::{
    fill::{Filler, unknown},
    json::Token,
    reject::Reject,
};
use crate::{
    format::line_protocol::Line,
    mapping::plan::{Child, Node, Target, What},
};
use schemas::Timestamp;

/// Nanoseconds in the unit of rows; two instants within one microsecond are the same.
const fn micros(nanos: i64) -> Timestamp {
    Timestamp(nanos.div_euclid(1_000))
}

fn below<'n>(root: &'n Node, key: &str) -> Option<&'n Node> {
    match root.find(key, &mut 0).map(|c| &c.what) {
        Some(What::Node(node)) => Some(node),
        _ => None,
    }
}

impl Filler<'_> {
    /// Reads a line along the tree of a mapping (`measurement`, `tags`, `fields`, `time`), or of the flat convention.
    pub(super) fn line(&mut self, root: &Node, line: &mut Line<'_>, received_at: Timestamp) -> Result<(), Reject> {
        let flat = self.choice.plan.flat;
        let (tags, fields) = if flat { (Some(root), Some(root)) } else { (below(root, "tags"), below(root, "fields")) };
        let measurement = line.measurement()?;
        if !flat && let Some(child) = root.find("measurement", &mut 0) {
            self.pair(child, &Token::Text(measurement))?;
        }
        let mut hint = 0;
        while let Some((key, value)) = line.tag()? {
            let Some(node) = tags else { continue };
            match node.find(&key, &mut hint) {
                Some(child) if flat && self.has_better_entity(child) => {}
                Some(child) => self.pair(child, &Token::Text(value))?,
                None if node.strict && !flat => return Err(unknown(node, &key, &self.choice.plan)),
                None => {}
            }
        }
        // A hint is good for one node only.
        hint = if flat { hint } else { 0 };
        let mut first = true;
        while let Some((key, value)) = line.field(&mut first)? {
            let Some(node) = fields else { continue };
            match node.find(&key, &mut hint) {
                Some(child) => self.pair(child, &value)?,
                None if node.strict => return Err(unknown(node, &key, &self.choice.plan)),
                None => {}
            }
        }
        self.time(root, line, received_at)
    }

    /// A line without a time was observed when it was received.
    fn time(&mut self, root: &Node, line: &mut Line<'_>, received_at: Timestamp) -> Result<(), Reject> {
        let time = line.time()?;
        let at = time.map_or(received_at, |(_, nanos)| micros(nanos));
        if self.choice.plan.flat {
            self.draft.observed_at.get_or_insert(at);
        }
        let Some(Child { key, what: What::Leaf(targets), .. }) = root.find("time", &mut 0).filter(|_| !self.choice.plan.flat) else {
            return Ok(());
        };
        for target in targets {
            match (target, time) {
                (Target::ObservedAt, _) => self.draft.observed_at = Some(at),
                (other, Some((text, _))) => self.leaf(*other, key, &Token::Number(text))?,
                (_, None) => {}
            }
        }
        Ok(())
    }

    /// Whether a tag that comes earlier in the list of entity tags has named the entity already.
    fn has_better_entity(&mut self, child: &Child) -> bool {
        let names = matches!(&child.what, What::Leaf(targets) if targets.contains(&Target::Entity));
        if !names || self.draft.entity.is_none() {
            self.draft.entity_rank = if names { child.id } else { self.draft.entity_rank };
            return false;
        }
        let better = self.draft.entity_rank < child.id;
        self.draft.entity_rank = self.draft.entity_rank.min(child.id);
        better
    }
}

/// The texts that choose between mappings, by select index.
pub(super) fn selects(root: &Node, n: usize, mut line: Line<'_>) -> Result<Vec<Option<String>>, Reject> {
    let mut out = vec![None; n];
    let mut note = |child: Option<&Child>, text: &str| {
        if let Some(Child { what: What::Leaf(targets), .. }) = child {
            for target in targets {
                if let Target::Select(i) = target {
                    out[usize::from(*i)] = Some(text.to_owned());
                }
            }
        }
    };
    let (tags, fields) = (below(root, "tags"), below(root, "fields"));
    let measurement = line.measurement()?;
    note(root.find("measurement", &mut 0), &measurement);
    while let Some((key, value)) = line.tag()? {
        note(tags.and_then(|t| t.find(&key, &mut 0)), &value);
    }
    let mut first = true;
    while let Some((key, value)) = line.field(&mut first)? {
        match &value {
            Token::Text(text) => note(fields.and_then(|f| f.find(&key, &mut 0)), text),
            Token::Number(text) => note(fields.and_then(|f| f.find(&key, &mut 0)), text),
            _ => {}
        }
    }
    Ok(out)
}
