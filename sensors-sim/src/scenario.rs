//! A scenario: which sensors stand where, how often they report, how they fail, and the shapes of their values.

use crate::{
    fault::FaultSpec,
    models::Model,
    places::{self, Place},
    profile::Profiles,
};
use schemas::{Classified, EntityId, Kind, Tenant, time::Zone};
use serde::Deserialize;
use std::sync::Arc;

/// Why a text is not a scenario.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScenarioError {
    #[error("no scenario is called '{0}'; there is: bologna")]
    Unknown(String),
    #[error("scenario: {0}")]
    Invalid(String),
}

impl Classified for ScenarioError {
    fn kind(&self) -> Kind {
        match self {
            Self::Unknown(_) => Kind::NotFound,
            Self::Invalid(_) => Kind::Invalid,
        }
    }
}

/// A parsed scenario. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Scenario(pub(crate) Arc<City>);

#[derive(Debug)]
pub(crate) struct City {
    pub(crate) tenant: Tenant,
    pub(crate) zone: Zone,
    pub(crate) groups: Vec<Group>,
    pub(crate) faults: Vec<FaultSpec>,
    pub(crate) profiles: Profiles,
    attribution: Vec<String>,
}

/// Sensors of one product.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) model: Model,
    pub(crate) cadence_secs: u32,
    pub(crate) backfill_secs: u32,
    pub(crate) period_secs: u32,
    pub(crate) places: Vec<Place>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(rename = "name")]
    _name: String,
    tenant: Tenant,
    zone: String,
    #[serde(default)]
    attribution: Vec<String>,
    groups: Vec<GroupFile>,
    #[serde(default)]
    faults: Vec<FaultSpec>,
    profiles: Profiles,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupFile {
    product: Model,
    cadence_secs: u32,
    backfill_secs: u32,
    period_secs: u32,
    #[serde(default)]
    places: Vec<Place>,
    places_from: Option<PlacesFrom>,
    #[serde(default)]
    scatter: usize,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum PlacesFrom {
    Loops,
}

/// More sensors than this in one scenario are refused.
const PLACES_MAX: usize = 1_000_000;

impl Scenario {
    /// A scenario that is compiled in: `bologna`.
    pub fn builtin(name: &str) -> Result<Self, ScenarioError> {
        match name {
            "bologna" => Self::parse(include_str!("../scenarios/bologna.toml"), include_str!("../scenarios/bologna/loops.csv")),
            other => Err(ScenarioError::Unknown(other.to_owned())),
        }
    }

    /// From the TOML text and the register of loops (`code;street;direction;lon;lat;weekday_vehicles`).
    pub fn parse(toml: &str, loops_csv: &str) -> Result<Self, ScenarioError> {
        let file: File = toml::from_str(toml).map_err(|e| ScenarioError::Invalid(e.to_string()))?;
        let loops = places::loops(loops_csv).map_err(ScenarioError::Invalid)?;
        file.profiles.check().map_err(ScenarioError::Invalid)?;
        let zone = Zone::named(&file.zone).map_err(|e| ScenarioError::Invalid(format!("zone: {e}")))?;
        let groups = file.groups.into_iter().map(|g| group(g, &loops)).collect::<Result<Vec<_>, _>>()?;
        for fault in &file.faults {
            fault.check().map_err(ScenarioError::Invalid)?;
        }
        Ok(Self(Arc::new(City {
            tenant: file.tenant,
            zone,
            groups,
            faults: file.faults,
            profiles: file.profiles,
            attribution: file.attribution,
        })))
    }

    /// Sensors of all products.
    #[must_use]
    pub fn entities(&self) -> usize {
        self.0.groups.iter().map(|g| g.places.len()).sum()
    }

    /// Names of the products it publishes.
    pub fn products(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.0.groups.iter().map(|g| g.model.product())
    }

    #[must_use]
    pub fn tenant(&self) -> &Tenant {
        &self.0.tenant
    }

    /// Whom to name for the places and figures it rests on.
    #[must_use]
    pub fn attribution(&self) -> &[String] {
        &self.0.attribution
    }

    /// The same city where nothing fails.
    #[must_use]
    pub fn without_faults(&self) -> Self {
        self.with(Vec::new(), |_| true)
    }

    /// Only the sensors of these products.
    #[must_use]
    pub fn only(&self, products: &[&str]) -> Self {
        self.with(self.0.faults.clone(), |g| products.contains(&g.model.product()))
    }

    fn with(&self, faults: Vec<FaultSpec>, keep: impl Fn(&Group) -> bool) -> Self {
        let c = &self.0;
        Self(Arc::new(City {
            tenant: c.tenant.clone(),
            zone: c.zone.clone(),
            groups: c.groups.iter().filter(|g| keep(g)).cloned().collect(),
            faults,
            profiles: c.profiles.clone(),
            attribution: c.attribution.clone(),
        }))
    }
}

fn group(g: GroupFile, loops: &[Place]) -> Result<Group, ScenarioError> {
    let name = g.product.product();
    let fail = |rule: &str| Err(ScenarioError::Invalid(format!("group '{name}': {rule}")));
    if g.cadence_secs == 0 || g.backfill_secs == 0 || g.backfill_secs % g.cadence_secs != 0 {
        return fail("cadence_secs must be above 0 and divide backfill_secs");
    }
    if g.scatter > PLACES_MAX {
        return fail("scatter must be at most 1,000,000");
    }
    let mut places = g.places;
    if let Some(PlacesFrom::Loops) = g.places_from {
        places.extend_from_slice(loops);
    }
    places.extend(places::scatter(name, g.scatter, loops));
    if places.is_empty() {
        return fail("has no place; give places, places_from or scatter");
    }
    if let Some(bad) = places.iter().find(|p| EntityId::local_part(&p.id).is_empty() || schemas::Position::new(p.lon, p.lat).is_none()) {
        return fail(&format!("place '{}' needs an id with a letter or digit and a position on the globe", bad.id));
    }
    Ok(Group { model: g.product, cadence_secs: g.cadence_secs, backfill_secs: g.backfill_secs, period_secs: g.period_secs, places })
}
