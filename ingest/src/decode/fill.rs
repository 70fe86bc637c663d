//! Walks a message along a plan and fills the slots of a row.

use super::{
    block::{Entity, Slot},
    cache::Entities,
    json::{Reader, Token},
    reject::{Reason, Reject, cut, nearest},
};
use crate::{
    mapping::{
        Scalar,
        plan::{Child, Constant, Node, Plan, Target, What},
        route::{Choice, Router},
    },
    validate,
};
use schemas::{FieldType, Quality, Timestamp};

/// What a row has beside its fields, as far as it was read.
#[derive(Debug, Clone, Default)]
pub(super) struct Draft {
    /// Keys of the plan that were seen, one bit each.
    pub(super) seen: u128,
    pub(super) entity: Option<Entity>,
    /// Of the tag that named the entity, in the list of entity tags; for lines only.
    pub(super) entity_rank: u8,
    pub(super) observed_at: Option<Timestamp>,
    pub(super) lon: Option<f64>,
    pub(super) lat: Option<f64>,
    pub(super) quality: Option<Quality>,
    pub(super) simulated: bool,
    /// Bytes of the list of observations.
    pub(super) each: Option<(usize, usize)>,
}

/// Fills one row.
#[derive(Debug)]
pub(super) struct Filler<'a> {
    pub(super) choice: &'a Choice,
    pub(super) router: &'a Router,
    pub(super) entities: &'a mut Entities,
    pub(super) slots: &'a mut [Slot],
    pub(super) texts: &'a mut String,
    pub(super) draft: Draft,
}

impl Filler<'_> {
    /// A whole text that must be one object.
    pub(super) fn whole(&mut self, node: &Node, reader: &mut Reader<'_>) -> Result<(), Reject> {
        let token = reader.value()?;
        if token != Token::Object {
            reader.skip(&token)?;
            reader.end()?;
            return Err(Reject::new(
                Reason::NotAnObject,
                format!("the message is {}; send one JSON object, {{\"field\": value, …}}", token.kind()),
            ));
        }
        self.object(node, reader)?;
        Ok(reader.end()?)
    }

    fn object(&mut self, node: &Node, reader: &mut Reader<'_>) -> Result<(), Reject> {
        let (mut first, mut hint) = (true, 0);
        while let Some(key) = reader.key(&mut first)? {
            match node.find(&key, &mut hint) {
                Some(child) => self.child(child, reader)?,
                None if node.strict => return Err(unknown(node, &key, &self.choice.plan)),
                None => {
                    let token = reader.value()?;
                    reader.skip(&token)?;
                }
            }
        }
        Ok(())
    }

    fn once(&mut self, child: &Child) -> Result<(), Reject> {
        let bit = 1u128 << child.id;
        if self.draft.seen & bit != 0 {
            let message = format!("'{}' stands twice; which one is meant is unclear", child.key);
            return Err(Reject::field(Reason::DuplicateKey, &child.key, message));
        }
        self.draft.seen |= bit;
        Ok(())
    }

    /// A key with a scalar, from a source that has no nesting.
    pub(super) fn pair(&mut self, child: &Child, token: &Token<'_>) -> Result<(), Reject> {
        self.once(child)?;
        let What::Leaf(targets) = &child.what else {
            let message = format!("'{}' must be an object, not {}", child.key, token.kind());
            return Err(Reject::field(Reason::WrongType, &child.key, message));
        };
        for target in targets {
            self.leaf(*target, &child.key, token)?;
        }
        Ok(())
    }

    fn child(&mut self, child: &Child, reader: &mut Reader<'_>) -> Result<(), Reject> {
        self.once(child)?;
        let start = reader.offset();
        let token = reader.value()?;
        match (&child.what, &token) {
            (What::Node(node), Token::Object) => self.object(node, reader),
            (What::Node(node), Token::Array) => self.array(node, reader),
            (_, Token::Null) => Ok(()),
            (What::Node(_), _) => {
                Err(Reject::field(Reason::WrongType, &child.key, format!("'{}' must be an object, not {}", child.key, token.kind())))
            }
            (What::Leaf(targets), _) if targets.contains(&Target::Each) => {
                if token != Token::Array {
                    return Err(Reject::field(
                        Reason::WrongType,
                        &child.key,
                        format!("'{}' must be a list, not {}", child.key, token.kind()),
                    ));
                }
                reader.skip(&token)?;
                self.draft.each = Some((start, reader.offset_after()));
                Ok(())
            }
            (What::Leaf(targets), _) => {
                for target in targets {
                    self.leaf(*target, &child.key, &token)?;
                }
                Ok(())
            }
        }
    }

    /// The children of a list are named by their index.
    fn array(&mut self, node: &Node, reader: &mut Reader<'_>) -> Result<(), Reject> {
        let (mut first, mut index) = (true, 0usize);
        while reader.element(&mut first)? {
            match node.children.iter().find(|c| c.key.parse() == Ok(index)) {
                Some(child) => self.child(child, reader)?,
                None => {
                    let token = reader.value()?;
                    reader.skip(&token)?;
                }
            }
            index += 1;
        }
        Ok(())
    }

    pub(super) fn leaf(&mut self, target: Target, key: &str, token: &Token<'_>) -> Result<(), Reject> {
        match target {
            Target::Field(index) => self.slots[index as usize] = self.field(index as usize, token)?,
            Target::ObservedAt => {
                let at = self.choice.plan.time.read(token);
                self.draft.observed_at =
                    Some(at.map_err(|fix| Reject::field(Reason::BadTime, key, format!("'{key}' is not a time; {fix}")))?);
            }
            Target::Lon => self.draft.lon = Some(coordinate(&self.choice.plan, key, token)?),
            Target::Lat => self.draft.lat = Some(coordinate(&self.choice.plan, key, token)?),
            Target::Entity => {
                let entity = match token {
                    Token::Text(text) => self.entities.get(self.router, &self.choice.table, text)?,
                    Token::Number(text) => self.entities.get(self.router, &self.choice.table, text)?,
                    _ => return Err(Reject::field(Reason::BadEntity, key, format!("'{key}' must be a text, not {}", token.kind()))),
                };
                self.draft.entity = Some(entity);
            }
            Target::Quality => self.draft.quality = Some(quality(&self.choice.plan, key, token)?),
            Target::Simulated => match token {
                Token::Bool(simulated) => self.draft.simulated = *simulated,
                _ => return Err(Reject::field(Reason::WrongType, key, format!("'{key}' must be true or false, not {}", token.kind()))),
            },
            Target::Each | Target::Select(_) => {}
        }
        Ok(())
    }

    fn field(&mut self, index: usize, token: &Token<'_>) -> Result<Slot, Reject> {
        let (field, plan) = (&self.choice.plan.contract.fields[index], &self.choice.plan.fields[index]);
        if !plan.absent.is_empty() && plan.absent.iter().any(|a| is_scalar(a, token)) {
            return Ok(Slot::Null);
        }
        let numeric = matches!(field.kind, FieldType::Float | FieldType::Int);
        match token {
            Token::Text(text) if numeric && plan.unit_in_text.is_some() => with_unit(field, plan, text),
            Token::Number(text) if plan.is_plain() => validate::number_text(field, text),
            Token::Number(text) if numeric => scaled(field, plan, text),
            Token::Text(text) if numeric && plan.number_in_text => match text.trim().parse::<f64>() {
                Ok(v) if !v.is_finite() => {
                    Err(Reject::field(Reason::NotFinite, &field.name, format!("'{}' is {text}; leave it out", field.name)))
                }
                Ok(_) => scaled(field, plan, text.trim()),
                Err(_) => Err(validate::wrong_type(field, &format!("'{}'", cut(text, 40)))),
            },
            Token::Text(text) => {
                validate::text(field, text)?;
                let start = self.texts.len();
                self.texts.push_str(text);
                let (Ok(start), Ok(len)) = (u32::try_from(start), u32::try_from(text.len())) else {
                    return Err(Reject::field(Reason::TooLarge, &field.name, "more than 4 GiB of text in one group"));
                };
                Ok(Slot::Text { start, len })
            }
            Token::Bool(v) => validate::boolean(field, *v),
            other => Err(validate::wrong_type(field, other.kind())),
        }
    }
}

fn scaled(field: &schemas::Field, plan: &crate::mapping::plan::FieldPlan, text: &str) -> Result<Slot, Reject> {
    if plan.is_plain() {
        return validate::number_text(field, text);
    }
    let v = text.parse::<f64>().map_err(|_| validate::wrong_type(field, text))? * plan.scale + plan.offset;
    // A scaled count is whole again only after rounding: 0.1 * 30 is 3.0000000000000004.
    validate::number(field, if field.kind == FieldType::Int { v.round() } else { v })
}

/// A number with the unit that the mapping names, `"45%"` or `"21.5 °C"`.
fn with_unit(field: &schemas::Field, plan: &crate::mapping::plan::FieldPlan, text: &str) -> Result<Slot, Reject> {
    let unit = plan.unit_in_text.as_deref().unwrap_or_default();
    let number = text.trim().strip_suffix(unit).map(str::trim_end).filter(|n| n.parse::<f64>().is_ok_and(f64::is_finite));
    let wrong = || {
        let message = format!("'{}' is '{}'; the mapping wants a number followed by '{unit}'", field.name, cut(text, 40));
        Reject::field(Reason::WrongType, &field.name, message)
    };
    scaled(field, plan, number.ok_or_else(wrong)?)
}

#[cold]
pub(super) fn unknown(node: &Node, key: &str, plan: &Plan) -> Reject {
    let hint = match nearest(key, node.children.iter().map(|c| &*c.key)) {
        Some(near) => format!("did you mean '{near}'?"),
        None => format!("remove it, or add it to the contract of {}", plan.contract.product),
    };
    Reject::field(Reason::UnknownField, key, format!("'{}' is not a field of {}; {hint}", cut(key, 60), plan.contract.product))
}

fn coordinate(plan: &Plan, key: &str, token: &Token<'_>) -> Result<f64, Reject> {
    let number = match token {
        Token::Number(text) => text.parse::<f64>().ok(),
        Token::Text(text) if plan.place_in_text => text.trim().parse::<f64>().ok(),
        _ => None,
    };
    number.ok_or_else(|| Reject::field(Reason::BadPosition, key, format!("'{key}' must be a number of degrees, not {}", token.kind())))
}

fn quality(plan: &Plan, key: &str, token: &Token<'_>) -> Result<Quality, Reject> {
    let text = match token {
        Token::Text(text) => text.as_ref(),
        Token::Number(text) => text,
        Token::Bool(true) => "true",
        Token::Bool(false) => "false",
        _ => return Err(Reject::field(Reason::WrongType, key, format!("'{key}' must be a quality flag, not {}", token.kind()))),
    };
    let found = if plan.quality.table.is_empty() {
        Quality::from_name(text)
    } else {
        plan.quality.table.iter().find(|(flag, _)| flag == text).map(|(_, q)| *q)
    };
    found.ok_or_else(|| {
        let known: Vec<&str> = plan.quality.table.iter().map(|(flag, _)| flag.as_str()).collect();
        let known = if known.is_empty() { "valid, unchecked, suspect, invalid".to_owned() } else { known.join(", ") };
        Reject::field(Reason::OutOfRange, key, format!("'{key}' is '{}'; known flags are {known}", cut(text, 40)))
    })
}

fn is_scalar(scalar: &Scalar, token: &Token<'_>) -> bool {
    match (scalar, token) {
        (Scalar::Number(n), Token::Number(text)) => text.parse::<f64>() == Ok(*n),
        (Scalar::Text(want), Token::Text(have)) => want == have,
        (Scalar::Bool(want), Token::Bool(have)) => want == have,
        _ => false,
    }
}

/// Fills the constants of a plan.
pub(super) fn constants(plan: &Plan, slots: &mut [Slot], texts: &mut String) {
    for (index, constant) in &plan.constants {
        slots[*index] = match constant {
            Constant::Slot(slot) => *slot,
            Constant::Text(text) => {
                let start = texts.len();
                texts.push_str(text);
                // A constant is at most 1,024 characters, and `field` keeps the texts of a group under 4 GiB.
                Slot::Text { start: start as u32, len: text.len() as u32 }
            }
        };
    }
}

/// The texts that choose between mappings, by select index.
pub(super) fn selects(node: &Node, n: usize, payload: &[u8], depth_max: usize) -> Result<Vec<Option<String>>, Reject> {
    let mut out = vec![None; n];
    let mut reader = Reader::new(payload, depth_max)?;
    let token = reader.value()?;
    if token == Token::Object {
        select(node, &mut reader, &mut out)?;
    } else {
        reader.skip(&token)?;
    }
    reader.end()?;
    Ok(out)
}

fn select(node: &Node, reader: &mut Reader<'_>, out: &mut [Option<String>]) -> Result<(), Reject> {
    let (mut first, mut hint) = (true, 0);
    while let Some(key) = reader.key(&mut first)? {
        let token = reader.value()?;
        match (node.find(&key, &mut hint).map(|c| &c.what), &token) {
            (Some(What::Node(inner)), Token::Object) => select(inner, reader, out)?,
            (Some(What::Leaf(targets)), Token::Text(_) | Token::Number(_)) => {
                let text = match &token {
                    Token::Text(text) => text.as_ref(),
                    Token::Number(text) => text,
                    _ => continue,
                };
                for target in targets {
                    if let Target::Select(i) = target {
                        out[usize::from(*i)] = Some(text.to_owned());
                    }
                }
            }
            _ => reader.skip(&token)?,
        }
    }
    Ok(())
}
