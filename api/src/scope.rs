//! Which tables and fields a read of the twin covers, for this caller and these parameters (API-1).

use crate::{
    access::{Principal, Role, covers},
    error::{ApiError, nearest},
    ingest::unknown_product,
    params::{Params, clip},
    router::App,
};
use schemas::{Classification, Contract, Field, ProductId, TableRef, Tenant};
use std::{collections::BTreeSet, sync::Arc};

/// What a request asks about: `tenant=` and `product=`, each absent for all.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    tenant: Option<Tenant>,
    products: Option<Vec<ProductId>>,
}

/// A table that the caller may see, and how much of it.
#[derive(Debug, Clone)]
pub(crate) struct Visible {
    pub(crate) table: TableRef,
    pub(crate) contract: Arc<Contract>,
    clearance: Classification,
}

/// One product of a read, and the tenants whose tables of it the caller may see.
#[derive(Debug, Clone)]
pub(crate) struct InProduct {
    pub(crate) contract: Arc<Contract>,
    pub(crate) tenants: twin::Tenants,
}

/// What a caller's read covers.
#[derive(Debug, Clone)]
pub(crate) struct Scope {
    asked: Asked,
    principal: Principal,
    public: Arc<BTreeSet<TableRef>>,
    /// Sorted by product; those without any tenant are left out.
    pub(crate) products: Vec<InProduct>,
}

impl Asked {
    fn from(params: &Params<'_>) -> Result<Self, ApiError> {
        Ok(Self { tenant: params.tenant()?, products: params.products()? })
    }

    fn wants(&self, product: &ProductId) -> bool {
        self.products.as_ref().is_none_or(|p| p.contains(product))
    }

    fn wants_tenant(&self, tenant: &Tenant) -> bool {
        self.tenant.as_ref().is_none_or(|t| t == tenant)
    }
}

impl Visible {
    /// Whether the caller may read a field of the contract; a name that is no field is not shown either.
    pub(crate) fn shows(&self, field: &str) -> bool {
        self.contract.field(field).is_some_and(|(_, f)| covers(self.clearance, f.classification))
    }

    pub(crate) fn fields(&self) -> impl Iterator<Item = &Field> {
        self.contract.fields.iter().filter(|f| covers(self.clearance, f.classification))
    }
}

impl Scope {
    /// From `tenant=` and `product=`. Errors: `NotFound` for a product without a contract; `Unauthenticated`,
    /// when nobody in particular names a product that is not public.
    pub(crate) fn from(params: &Params<'_>, app: &App, principal: &Principal) -> Result<Self, ApiError> {
        let asked = Asked::from(params)?;
        let contracts = app.city.contracts();
        if let Some(unknown) = asked.products.iter().flatten().find(|p| contracts.get(p).is_none()) {
            return Err(unknown_product(unknown.as_str(), contracts));
        }
        let mut scope = Self { asked, principal: principal.clone(), public: app.city.public_products(), products: Vec::new() };
        let wanted = contracts.iter().filter(|c| scope.asked.wants(&c.product));
        scope.products = wanted
            .map(|c| InProduct { contract: Arc::clone(c), tenants: scope.tenants(&c.product, Classification::Open) })
            .filter(|p| p.tenants != twin::Tenants::Only(Vec::new()))
            .collect();
        let hidden = scope.asked.products.iter().flatten().find(|p| !scope.products.iter().any(|q| q.contract.product == **p));
        if let (Some(product), Role::Public) = (hidden, principal.role) {
            return Err(ApiError::unauthenticated(&format!("product '{product}' is not public"), "sign in as viewer, analyst or admin"));
        }
        Ok(scope)
    }

    /// Tenants whose table of a product the caller may read at least up to `class`.
    fn tenants(&self, product: &ProductId, class: Classification) -> twin::Tenants {
        let staff = matches!(self.principal.role, Role::Admin | Role::Analyst | Role::Viewer);
        let all = staff && self.principal.tenants == crate::access::Tenants::All;
        if let (true, None) = (all, &self.asked.tenant) {
            return twin::Tenants::All;
        }
        let own: Vec<&Tenant> = match (&self.principal.tenants, &self.asked.tenant) {
            (crate::access::Tenants::Some(list), _) if staff => list.iter().collect(),
            (crate::access::Tenants::All, Some(asked)) if staff => vec![asked],
            _ => Vec::new(),
        };
        let open = self.public.iter().filter(|t| t.product == *product && class == Classification::Open).map(|t| &t.tenant);
        let either: BTreeSet<&Tenant> = own.into_iter().chain(open).filter(|t| self.asked.wants_tenant(t)).collect();
        twin::Tenants::Only(either.into_iter().cloned().collect())
    }

    /// One table as the caller sees it; `None` when it was not asked for, is hidden or has no contract.
    pub(crate) fn visible(&self, table: &TableRef, contracts: &schemas::Contracts) -> Option<Visible> {
        if !(self.asked.wants(&table.product) && self.asked.wants_tenant(&table.tenant)) {
            return None;
        }
        let clearance = self.principal.clearance(table, &self.public)?;
        Some(Visible { table: table.clone(), contract: Arc::clone(contracts.get(&table.product)?), clearance })
    }

    /// The one product that a request about a field must name, with the field (the headline by default) and the tenants
    /// where the caller may read it; `None` when the caller sees no table of the product.
    pub(crate) fn field(&self, name: Option<&str>) -> Result<Option<(&Contract, &Field, twin::Tenants)>, ApiError> {
        match self.asked.products.as_deref() {
            None => return Err(ApiError::query("product", "is missing; this address needs one product")),
            Some([_]) => {}
            Some(list) => return Err(ApiError::query("product", format!("names {} products; this address takes one", list.len()))),
        }
        let Some(product) = self.products.first() else { return Ok(None) };
        let contract = &product.contract;
        let name = name.unwrap_or(&contract.headline);
        let readable = |f: &&Field| {
            self.tenants(&contract.product, f.classification) != twin::Tenants::Only(Vec::new())
                && f.classification != Classification::Personal
                && !f.key
        };
        let Some(field) = contract.fields.iter().filter(readable).find(|f| f.name == name) else {
            return Err(unknown_field(name, contract.product.as_str(), contract.fields.iter().filter(readable)));
        };
        Ok(Some((contract, field, self.tenants(&contract.product, field.classification))))
    }
}

/// `Invalid`, with the nearest of the fields that the caller may read.
pub(crate) fn unknown_field<'a>(name: &str, product: &str, readable: impl Iterator<Item = &'a Field>) -> ApiError {
    let names: Vec<&str> = readable.map(|f| f.name.as_str()).collect();
    let error = ApiError::query("field", format!("'{}' is not a field of product '{product}'", clip(name)));
    match nearest(name, names.iter().copied()) {
        Some(known) => error.with_hint(format!("did you mean '{known}'?")),
        None => error.with_hint(format!("it has: {}", names.join(", "))),
    }
}
