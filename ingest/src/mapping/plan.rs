//! A mapping compiled against its contract: a tree of keys whose leaves say which slot of the row they fill.

use super::{EntityRule, FieldRule, FieldSource, Mapping, QualityRule, Scalar, UnknownFields, pointer::Pointer};
use crate::{
    IngestError,
    decode::{block::Slot, reject::nearest, time::TimeFormat},
    validate,
};
use schemas::{Contract, Field, Quality};
use std::sync::Arc;

/// Keys that a plan may name; each has a bit in the set of those already seen.
pub const KEYS_MAX: usize = 128;

/// What a leaf fills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    Entity,
    ObservedAt,
    Lon,
    Lat,
    Quality,
    Simulated,
    /// Index in the contract's fields.
    Field(u16),
    /// The list of observations.
    Each,
    /// Index of a text that chooses between mappings.
    Select(u8),
}

/// An object (or a list, whose keys are its indices) on the way to a leaf.
#[derive(Debug, Clone, Default)]
pub struct Node {
    pub children: Vec<Child>,
    /// Whether a key that is not a child is refused.
    pub strict: bool,
}

#[derive(Debug, Clone)]
pub struct Child {
    pub key: Box<str>,
    /// Bit in the set of keys seen, unique in the tree.
    pub id: u8,
    pub what: What,
}

#[derive(Debug, Clone)]
pub enum What {
    Node(Node),
    Leaf(Vec<Target>),
}

impl Node {
    /// `hint` is where the last key was found: senders write keys in the same order every time.
    #[must_use]
    pub fn find(&self, key: &str, hint: &mut usize) -> Option<&Child> {
        let start = *hint;
        let n = self.children.len();
        for step in 0..n {
            let i = if start + step < n { start + step } else { start + step - n };
            let child = &self.children[i];
            if *child.key == *key {
                *hint = if i + 1 < n { i + 1 } else { 0 };
                return Some(child);
            }
        }
        None
    }
}

/// Builds one tree; ids are given in the order of insertion.
#[derive(Debug, Default)]
pub struct TreeBuilder {
    root: Node,
    next_id: usize,
}

impl TreeBuilder {
    /// Adds a leaf. `strict` marks the object that holds it.
    pub fn add(&mut self, pointer: &Pointer, target: Target, strict: bool) -> Result<(), String> {
        let Some((last, parents)) = pointer.path.split_last() else { return Err("an empty pointer".into()) };
        let mut node = &mut self.root;
        for token in parents {
            let at = position(node, token, &mut self.next_id, || What::Node(Node::default()));
            node = match &mut node.children[at].what {
                What::Node(inner) => inner,
                What::Leaf(_) => return Err(format!("'{pointer}' goes through a value that another pointer reads")),
            };
        }
        node.strict |= strict;
        let at = position(node, last, &mut self.next_id, || What::Leaf(Vec::new()));
        match &mut node.children[at].what {
            What::Leaf(targets) => targets.push(target),
            What::Node(_) => return Err(format!("'{pointer}' is an object that other pointers go through")),
        }
        if self.next_id > KEYS_MAX { Err(format!("more than {KEYS_MAX} keys")) } else { Ok(()) }
    }

    #[must_use]
    pub fn finish(self) -> Node {
        self.root
    }
}

fn position(node: &mut Node, key: &str, next_id: &mut usize, what: impl FnOnce() -> What) -> usize {
    if let Some(at) = node.children.iter().position(|c| *c.key == *key) {
        return at;
    }
    // Over KEYS_MAX the id wraps; `add` refuses the plan right after.
    node.children.push(Child { key: key.into(), id: (*next_id % KEYS_MAX) as u8, what: what() });
    *next_id += 1;
    node.children.len() - 1
}

/// How one field of the contract is converted.
#[derive(Debug, Clone)]
pub struct FieldPlan {
    pub scale: f64,
    pub offset: f64,
    pub absent: Vec<Scalar>,
    pub number_in_text: bool,
    pub unit_in_text: Option<String>,
}

impl FieldPlan {
    const PLAIN: Self = Self { scale: 1.0, offset: 0.0, absent: Vec::new(), number_in_text: false, unit_in_text: None };

    /// Whether the value is stored as it comes.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.scale == 1.0 && self.offset == 0.0
    }
}

/// A compiled mapping.
#[derive(Debug)]
pub struct Plan {
    pub name: String,
    pub contract: Arc<Contract>,
    /// Of the message, or of each observation when there are several.
    pub root: Node,
    /// Of the message around the observations.
    pub outer: Option<Node>,
    /// One per field of the contract.
    pub fields: Vec<FieldPlan>,
    pub constants: Vec<(usize, Constant)>,
    pub time: TimeFormat,
    pub quality: QualityRule,
    /// Whether `lon` and `lat` may be texts, as the tags of device registers are.
    pub place_in_text: bool,
    /// Tags and fields of a line (line protocol) stand side by side under the contract's names, instead of below `tags` and `fields`.
    pub flat: bool,
    /// An observation without any value is dropped by policy instead of quarantined.
    pub drops_empty: bool,
}

/// A value that every row of a plan has.
#[derive(Debug, Clone, PartialEq)]
pub enum Constant {
    Slot(Slot),
    Text(String),
}

impl Plan {
    /// Fails when a field is not in the contract, with the nearest one that is.
    pub fn compile(mapping: &Mapping, contract: &Arc<Contract>) -> Result<Self, IngestError> {
        let fail = |rule: String| IngestError::Config { place: mapping.name.clone(), rule };
        let (mut inner, mut outer) = (TreeBuilder::default(), TreeBuilder::default());
        let mut add = |pointer: &Pointer, target: Target, strict: bool| {
            let tree = if mapping.each.is_some() && pointer.from_root { &mut outer } else { &mut inner };
            tree.add(pointer, target, strict).map_err(fail)
        };
        let strict = mapping.unknown_fields == UnknownFields::Quarantine;
        let mut fields = vec![FieldPlan::PLAIN; contract.fields.len()];
        let mut constants = Vec::new();
        for (name, rule) in &mapping.fields {
            let (index, field) = field_of(contract, name).map_err(fail)?;
            match &rule.source {
                FieldSource::Pointer(pointer) => add(pointer, Target::Field(index as u16), strict)?,
                FieldSource::Constant(value) => constants.push((index, constant(field, value).map_err(fail)?)),
            }
            fields[index] = plan_of(rule);
        }
        if let EntityRule::Payload(pointer) = &mapping.entity {
            add(pointer, Target::Entity, false)?;
        }
        if !matches!(mapping.time_format, TimeFormat::Receipt) {
            add(&mapping.observed_at, Target::ObservedAt, false)?;
        }
        let places = [
            (&mapping.lon, Target::Lon),
            (&mapping.lat, Target::Lat),
            (&mapping.quality.pointer, Target::Quality),
            (&mapping.simulated, Target::Simulated),
        ];
        for (pointer, target) in places {
            if let Some(pointer) = pointer {
                add(pointer, target, false)?;
            }
        }
        if let Some(each) = &mapping.each {
            outer.add(each, Target::Each, false).map_err(fail)?;
        }
        Ok(Self {
            name: mapping.name.clone(),
            contract: Arc::clone(contract),
            root: inner.finish(),
            outer: mapping.each.is_some().then(|| outer.finish()),
            fields,
            constants,
            time: mapping.time_format.clone(),
            quality: mapping.quality.clone(),
            place_in_text: true,
            flat: false,
            drops_empty: mapping.unknown_fields == UnknownFields::Drop,
        })
    }

    /// The built-in convention: a flat object with the contract's names, `id`, `observed_at`, `lon`, `lat` and `quality`.
    pub fn convention(contract: &Arc<Contract>) -> Result<Self, IngestError> {
        let name = format!("portico/+/{}/+", contract.product);
        let fail = |rule: String| IngestError::Config { place: name.clone(), rule };
        let mut tree = TreeBuilder::default();
        let common = [
            ("observed_at", Target::ObservedAt),
            ("id", Target::Entity),
            ("lon", Target::Lon),
            ("lat", Target::Lat),
            ("quality", Target::Quality),
            ("simulated", Target::Simulated),
        ];
        for (key, target) in common {
            tree.add(&Pointer::key(key), target, true).map_err(fail)?;
        }
        for (index, field) in contract.fields.iter().enumerate() {
            tree.add(&Pointer::key(&field.name), Target::Field(index as u16), true).map_err(fail)?;
        }
        Ok(Self {
            contract: Arc::clone(contract),
            root: tree.finish(),
            outer: None,
            fields: vec![FieldPlan::PLAIN; contract.fields.len()],
            constants: Vec::new(),
            time: TimeFormat::Auto,
            quality: QualityRule { pointer: None, table: Vec::new(), default: Quality::Unchecked },
            place_in_text: false,
            flat: false,
            drops_empty: false,
            name,
        })
    }

    /// The convention for lines: measurement = product, tags and fields = the contract's names. The first of `entity_tags` that
    /// a line has names its entity. Tags are texts always, so a number may be one; tags that the contract does not know are the
    /// agent's own (Telegraf's `host`) and are left out.
    pub fn convention_of_lines(contract: &Arc<Contract>, entity_tags: &[String]) -> Result<Self, IngestError> {
        let mut plan = Self::convention(contract)?;
        plan.name = format!("influx/+/{}", contract.product);
        let mut next_id = plan.root.children.len();
        for tag in entity_tags {
            if plan.root.children.iter().all(|c| *c.key != **tag) {
                plan.root.children.push(Child {
                    key: tag.as_str().into(),
                    id: (next_id % KEYS_MAX) as u8,
                    what: What::Leaf(vec![Target::Entity]),
                });
                next_id += 1;
            }
        }
        if next_id > KEYS_MAX {
            return Err(IngestError::Config { place: plan.name, rule: format!("more than {KEYS_MAX} keys; name fewer entity tags") });
        }
        (plan.flat, plan.place_in_text) = (true, true);
        plan.fields = vec![FieldPlan { number_in_text: true, ..FieldPlan::PLAIN }; contract.fields.len()];
        Ok(plan)
    }
}

fn plan_of(rule: &FieldRule) -> FieldPlan {
    FieldPlan {
        scale: rule.scale,
        offset: rule.offset,
        absent: rule.absent.clone(),
        number_in_text: rule.number_in_text,
        unit_in_text: rule.unit_in_text.clone(),
    }
}

fn field_of<'c>(contract: &'c Contract, name: &str) -> Result<(usize, &'c Field), String> {
    contract.field(name).ok_or_else(|| match nearest(name, contract.fields.iter().map(|f| f.name.as_str())) {
        Some(near) => format!("contract {} has no field '{name}'; did you mean '{near}'?", contract.product),
        None => format!("contract {} has no field '{name}'", contract.product),
    })
}

fn constant(field: &Field, value: &Scalar) -> Result<Constant, String> {
    let checked = match value {
        Scalar::Number(n) => validate::number(field, *n).map(Constant::Slot),
        Scalar::Bool(b) => validate::boolean(field, *b).map(Constant::Slot),
        Scalar::Text(text) => validate::text(field, text).map(|()| Constant::Text(text.clone())),
    };
    checked.map_err(|reject| reject.message)
}
