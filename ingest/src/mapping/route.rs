//! From a topic to the plans that may read its messages. Decoders remember its answers, until [`Router::replace`] puts other
//! mappings in force: tables keep their numbers and identities their seeds, so nothing that was told apart before is forgotten.

use super::{
    EntityRule, Mapping, Mappings,
    plan::{Node, Plan, Target, TreeBuilder},
    template::{Captures, TenantRule, TextTemplate, TopicTemplate},
};
use crate::{
    IngestError,
    camera::{self, Register},
    codec::{Codec, Codecs},
    decode::{
        block::Entity,
        reject::{Reason, Reject, cut, nearest},
    },
    format::{self, Chosen},
    identity::Identities,
};
use parking_lot::{Mutex, RwLock};
use schemas::{Contract, Contracts, EntityId, ProductId, TableRef, Tenant, row};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// First level of the built-in convention.
pub const CONVENTION: &str = "portico";
/// First level of the topics of line protocol.
pub const LINES: &str = "influx";

/// A table that rows go to.
#[derive(Debug)]
pub struct Table {
    /// Small number, dense from 0 in one pipeline.
    pub id: usize,
    pub name: TableRef,
    pub contract: Arc<Contract>,
    pub schema: arrow_schema::SchemaRef,
}

/// What becomes of the messages of one topic.
#[derive(Debug)]
pub enum Route {
    /// Dropped by policy.
    Dropped,
    Refused(Reject),
    Known(Known),
}

#[derive(Debug)]
pub struct Known {
    /// Makes the document that the plans read.
    pub format: Option<Chosen>,
    /// Reads the texts that choose between the choices; absent when the first always holds.
    pub selector: Option<Node>,
    pub n_selects: usize,
    pub choices: Vec<Choice>,
}

#[derive(Debug)]
pub struct Choice {
    /// Select index and the text it must have.
    pub when: Vec<(usize, String)>,
    /// Decodes the payload of the document.
    pub codec: Option<Arc<Codec>>,
    pub plan: Arc<Plan>,
    pub table: Arc<Table>,
    /// From the topic; absent when the payload must name it.
    pub entity: Option<Result<Entity, Reject>>,
    /// Of products of cameras, whose streams may be kept for less long than the contract allows.
    pub cameras: Option<Arc<Register>>,
}

#[derive(Debug)]
struct Compiled {
    topic: TopicTemplate,
    tenant: TenantRule,
    entity: Option<TextTemplate>,
    mapping: Mapping,
    codec: Option<Arc<Codec>>,
    plan: Arc<Plan>,
    cameras: Option<Arc<Register>>,
}

/// The mappings in force, compiled.
#[derive(Debug)]
struct InForce {
    compiled: Vec<Compiled>,
    dropped: Vec<TopicTemplate>,
    dropped_otherwise: Vec<TopicTemplate>,
}

impl InForce {
    /// The error names the first mapping that does not fit its contract.
    fn compile(contracts: &Contracts, mappings: Mappings, before: Option<&Self>) -> Result<Self, IngestError> {
        let mut compiled = Vec::new();
        for mut mapping in mappings.list {
            let Some(contract) = contracts.get(&mapping.product) else {
                let rule = unknown_product(contracts, mapping.product.as_str()).to_string();
                return Err(IngestError::Config { place: mapping.name, rule });
            };
            if camera::PROTECTED.contains(&mapping.product.as_str()) && mapping.format.as_ref().is_none_or(|f| f.format.keeps_payload()) {
                let rule = format!("'{}' is filled by formats of cameras only, which ask the register; add 'format'", mapping.product);
                return Err(IngestError::Config { place: mapping.name, rule });
            }
            // What a format keeps between messages (births, aliases) outlives a change of other mappings.
            let same = |c: &&Compiled| c.mapping.name == mapping.name && c.topic == mapping.topic;
            let old = before.and_then(|b| b.compiled.iter().find(same)).and_then(|c| c.mapping.format.clone());
            if let (Some(new), Some(old)) = (&mut mapping.format, old)
                && new.name == old.name
            {
                *new = old;
            }
            compiled.push(Compiled {
                topic: mapping.topic.clone(),
                tenant: mapping.tenant.clone(),
                entity: match &mapping.entity {
                    EntityRule::Topic(template) => Some(template.clone()),
                    EntityRule::Payload(_) => None,
                },
                codec: mapping.codec.as_deref().map(|name| codec(&mapping.name, name, &mappings.codecs)).transpose()?,
                plan: Arc::new(Plan::compile(&mapping, contract)?),
                cameras: camera::PROTECTED.contains(&mapping.product.as_str()).then(|| Arc::clone(&mappings.cameras)),
                mapping,
            });
        }
        Ok(Self { compiled, dropped: mappings.dropped, dropped_otherwise: mappings.dropped_otherwise })
    }
}

/// All routes.
#[derive(Debug)]
pub struct Router {
    contracts: Contracts,
    in_force: RwLock<Arc<InForce>>,
    /// Counts changes of what is in force; answers remembered under an older count are void.
    generation: AtomicU64,
    convention: BTreeMap<ProductId, Arc<Plan>>,
    lines: BTreeMap<ProductId, Arc<Plan>>,
    tables: Mutex<HashMap<TableRef, Arc<Table>>>,
    pub identities: Identities,
}

impl Router {
    /// Compiles every mapping; the error names the first that does not fit its contract.
    pub fn new(contracts: Contracts, mappings: Mappings) -> Result<Self, IngestError> {
        let entity_tags = mappings.entity_tags.clone();
        let in_force = RwLock::new(Arc::new(InForce::compile(&contracts, mappings, None)?));
        let convention =
            contracts.iter().map(|c| Ok((c.product.clone(), Arc::new(Plan::convention(c)?)))).collect::<Result<_, IngestError>>()?;
        let tags = &entity_tags;
        let lines = contracts.iter().map(|c| Ok((c.product.clone(), Arc::new(Plan::convention_of_lines(c, tags)?))));
        let lines = lines.collect::<Result<_, IngestError>>()?;
        let (tables, identities, generation) = (Mutex::default(), Identities::default(), AtomicU64::new(0));
        Ok(Self { contracts, in_force, generation, convention, lines, tables, identities })
    }

    /// Puts other mappings in force, all or none. A message that is being decoded is read by the old ones or the new ones.
    ///
    /// # Errors
    /// When a mapping does not fit its contract; then nothing changes.
    pub fn replace(&self, mappings: Mappings) -> Result<(), IngestError> {
        let before = Arc::clone(&self.in_force.read());
        let next = Arc::new(InForce::compile(&self.contracts, mappings, Some(&before))?);
        *self.in_force.write() = next;
        self.generation.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// Changes with every [`Self::replace`].
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    #[must_use]
    pub fn contracts(&self) -> &Contracts {
        &self.contracts
    }

    fn table(&self, tenant: &Tenant, contract: &Arc<Contract>) -> Arc<Table> {
        let name = TableRef::new(tenant.clone(), contract.product.clone());
        let mut tables = self.tables.lock();
        let id = tables.len();
        let new = || Arc::new(Table { id, name: name.clone(), contract: Arc::clone(contract), schema: row::pending_schema(contract) });
        Arc::clone(tables.entry(name.clone()).or_insert_with(new))
    }

    /// An identifier as a sender writes it: a URN, or a local name that is composed into one.
    pub fn entity(&self, table: &Table, text: &str) -> Result<Entity, Reject> {
        let id = if text.starts_with("urn:") {
            EntityId::new(text)
        } else {
            EntityId::compose(&table.contract.entity_type, &table.name.tenant, text)
        };
        match id {
            Ok(id) => Ok(Entity { id: Arc::from(id.as_str()), hash: self.identities.entity(id.as_str()) }),
            Err(e) => Err(Reject::field(Reason::BadEntity, "id", format!("{e}"))),
        }
    }

    /// What becomes of a topic of a sender of `sender`.
    #[must_use]
    pub fn route(&self, sender: &Tenant, topic: &str) -> Route {
        let in_force = Arc::clone(&self.in_force.read());
        if in_force.dropped.iter().any(|t| t.matches(topic).is_some()) {
            return Route::Dropped;
        }
        let mut matching: Vec<_> = in_force.compiled.iter().filter_map(|c| c.topic.matches(topic).map(|captures| (c, captures))).collect();
        // A mapping for one tenant does not stand in the way of the others on the same topics.
        let own = |c: &Compiled| !matches!(&c.tenant, TenantRule::Fixed(tenant) if tenant != sender);
        if matching.iter().any(|(c, _)| own(c)) {
            matching.retain(|(c, _)| own(c));
        }
        if matching.is_empty() && in_force.dropped_otherwise.iter().any(|t| t.matches(topic).is_some()) {
            return Route::Dropped;
        }
        if matching.is_empty() {
            return self.by_convention(sender, topic).unwrap_or_else(Route::Refused);
        }
        match self.by_mappings(sender, &matching) {
            Ok(known) => Route::Known(known),
            Err(reject) => Route::Refused(reject),
        }
    }

    fn by_mappings(&self, sender: &Tenant, matching: &[(&Compiled, Captures<'_>)]) -> Result<Known, Reject> {
        let mut selector = TreeBuilder::default();
        let mut n_selects = 0;
        let mut choices = Vec::new();
        for (compiled, captures) in matching {
            let tenant = match &compiled.tenant {
                TenantRule::Sender => sender.as_str(),
                TenantRule::Fixed(tenant) => tenant.as_str(),
                TenantRule::Captured(name) => captures.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v),
            };
            own(sender, tenant)?;
            let table = self.table(sender, &compiled.plan.contract);
            let mut when = Vec::new();
            for (pointer, text) in &compiled.mapping.when {
                let added = selector.add(pointer, Target::Select(n_selects as u8), false);
                added.map_err(|e| Reject::new(Reason::UnknownTopic, format!("{}: when: {e}", compiled.mapping.name)))?;
                when.push((n_selects, text.clone()));
                n_selects += 1;
            }
            let entity = compiled.entity.as_ref().map(|template| self.entity(&table, &template.fill(captures)));
            let last = when.is_empty();
            let (codec, plan, cameras) = (compiled.codec.clone(), Arc::clone(&compiled.plan), compiled.cameras.clone());
            choices.push(Choice { when, codec, plan, table, entity, cameras });
            if last {
                break;
            }
        }
        let selector = (n_selects > 0).then(|| selector.finish());
        Ok(Known { format: one_format(matching)?, selector, n_selects, choices })
    }

    /// `influx/{db}/{measurement}`, where the doors for line protocol put lines. The database is a label and no tenant.
    fn by_convention_of_lines(&self, sender: &Tenant, measurement: &str) -> Result<Route, Reject> {
        let Some(plan) = self.lines.get(measurement) else {
            let near = nearest(measurement, self.lines.keys().map(ProductId::as_str));
            let hint = near.map_or_else(|| "add a mapping for its topic".to_owned(), |near| format!("did you mean '{near}'?"));
            let message = format!("no mapping reads the measurement '{}', and it is no product; {hint}", cut(measurement, 80));
            return Err(Reject::field(Reason::UnknownTopic, "measurement", message));
        };
        let format = Some(format::named(format::LINE_PROTOCOL).map_err(|e| Reject::new(Reason::UnknownTopic, e))?);
        let table = self.table(sender, &plan.contract);
        let choice = Choice { when: Vec::new(), codec: None, plan: Arc::clone(plan), table, entity: None, cameras: None };
        Ok(Route::Known(Known { format, selector: None, n_selects: 0, choices: vec![choice] }))
    }

    /// `portico/{tenant}/{product}/{local}`; without `{local}` the payload must have `id`.
    fn by_convention(&self, sender: &Tenant, topic: &str) -> Result<Route, Reject> {
        let parts: Vec<&str> = topic.split('/').collect();
        if let [LINES, _, measurement] = parts.as_slice() {
            return self.by_convention_of_lines(sender, measurement);
        }
        let (tenant, product, local) = match parts.as_slice() {
            [CONVENTION, tenant, product] => (*tenant, *product, None),
            [CONVENTION, tenant, product, local] => (*tenant, *product, Some(*local)),
            _ => {
                let message = format!(
                    "no mapping matches the topic '{}'; publish to {CONVENTION}/{sender}/<product>/<sensor>, or add a mapping for it",
                    cut(topic, 120)
                );
                return Err(Reject::new(Reason::UnknownTopic, message));
            }
        };
        own(sender, tenant)?;
        let Some(plan) = self.convention.get(product) else {
            return Err(Reject::new(Reason::NoContract, unknown_product(&self.contracts, product).to_string()));
        };
        if camera::PROTECTED.contains(&product) {
            return Err(camera::unregistered(local.unwrap_or(product)));
        }
        let table = self.table(sender, &plan.contract);
        let entity = local.map(|local| self.entity(&table, local));
        let choice = Choice { when: Vec::new(), codec: None, plan: Arc::clone(plan), table, entity, cameras: None };
        Ok(Route::Known(Known { format: None, selector: None, n_selects: 0, choices: vec![choice] }))
    }
}

/// The codec of a mapping: it exists, and its recorded frames give what was recorded.
fn codec(mapping: &str, name: &str, codecs: &Codecs) -> Result<Arc<Codec>, IngestError> {
    let fail = |rule: String| IngestError::Config { place: format!("{mapping}: codec"), rule };
    let codec = codecs.get(name).map_err(fail)?;
    let report = codec.test();
    if let Some((description, difference)) = report.failed.first() {
        let (n, all) = (report.failed.len(), report.failed.len() + report.passed);
        return Err(fail(format!("{n} of {all} recorded frames of {} fail; the first, '{description}': {difference}", codec.place)));
    }
    Ok(codec)
}

/// The format that all of them choose.
fn one_format(matching: &[(&Compiled, Captures<'_>)]) -> Result<Option<Chosen>, Reject> {
    let format = |c: &Compiled| c.mapping.format.clone();
    let name = |c: &Compiled| c.mapping.format.as_ref().map(|f| f.name);
    let Some(((first, _), rest)) = matching.split_first() else { return Ok(None) };
    match rest.iter().find(|(c, _)| name(c) != name(first)) {
        None => Ok(format(first)),
        Some((other, _)) => {
            let message =
                format!("{} and {} read this topic in different formats; give both the same", first.mapping.name, other.mapping.name);
            Err(Reject::new(Reason::UnknownTopic, message))
        }
    }
}

/// API-1: a sender writes into the tables of its own tenant only.
fn own(sender: &Tenant, tenant: &str) -> Result<(), Reject> {
    if sender.as_str() == tenant {
        return Ok(());
    }
    let message =
        format!("the topic belongs to tenant '{}', the sender to '{sender}'; a sender writes for its own tenant only", cut(tenant, 60));
    Err(Reject::new(Reason::UnknownTopic, message))
}

/// With the nearest product that exists.
#[must_use]
pub fn unknown_product(contracts: &Contracts, product: &str) -> IngestError {
    let near = nearest(product, contracts.iter().map(|c| c.product.as_str())).map(str::to_owned);
    IngestError::UnknownProduct(cut(product, 80), near)
}
