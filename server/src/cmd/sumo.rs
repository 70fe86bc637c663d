//! `portico sumo`: a traffic simulation beside Portico.

use crate::{
    cli::{SignalsCommand, SumoArgs},
    config::Config,
    sumo,
};
use anyhow::Result;
use schemas::{SystemClock, Tenant};
use std::sync::Arc;

pub async fn run(config: &Config, args: SumoArgs) -> Result<()> {
    let tenant = Tenant::new(args.tenant.as_deref().unwrap_or(&config.city.tenant))?;
    sumo::run(tenant, args, Arc::new(SystemClock)).await
}

pub async fn signals(config: &Config, command: SignalsCommand) -> Result<()> {
    let SignalsCommand::Simulate(args) = command;
    let tenant = Tenant::new(args.tenant.as_deref().unwrap_or(&config.city.tenant))?;
    sumo::signals::simulate(tenant, args, Arc::new(SystemClock)).await
}
