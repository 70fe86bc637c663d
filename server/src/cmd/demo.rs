//! `portico demo`: everything embedded, fed by a simulated Bologna over real MQTT connections.

use super::serve::wait_for_signal;
use crate::{
    access::{Role, User, Users, random_secret},
    cli::DemoArgs,
    config::Config,
    listen::WhenTaken,
    node::Node,
    out::say,
    publish::{Publisher, Target},
};
use anyhow::{Context as _, Result};
use schemas::{Clock, SystemClock, Timestamp, time::HOUR_US};
use sensors_sim::{Message, Scenario, Sim};
use std::{
    hash::{BuildHasher as _, RandomState},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

/// Gateways of the simulated city: each a connection of its own.
const GATEWAYS: usize = 8;
const SIMULATOR: &str = "sensors-sim";

pub async fn run(config: &Config, args: DemoArgs) -> Result<()> {
    let mut config = config.clone();
    if config.data.dir == Config::default().data.dir {
        config.data.dir = PathBuf::from("portico-demo");
    }
    if args.fresh {
        match std::fs::remove_dir_all(&config.data.dir) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e).with_context(|| config.data.dir.display().to_string()),
            _ => {}
        }
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let (admin, simulator) = (random_secret(), random_secret());
    enrol(&config, &clock, &admin, &simulator)?;
    let node = Node::start(&config, Arc::clone(&clock), WhenTaken::TakeFree).await?;
    let mqtt = node.addresses.mqtt.context("the demo needs the embedded broker: set mqtt.enabled to true")?;
    greet(&node, &admin);
    let target =
        Target { host: mqtt.ip().to_string(), port: mqtt.port(), client_id: String::new(), user: SIMULATOR.into(), password: simulator };
    let scenario = Scenario::builtin("bologna")?;
    let now = clock.now();
    let live = tokio::spawn(live(args.seed, scenario.clone(), now, target.clone(), Arc::clone(&clock)));
    let from = Timestamp(now.0 - i64::from(args.backfill_hours) * HOUR_US);
    let past = tokio::spawn(past(args.seed, scenario, from, now, target));
    wait_for_signal().await?;
    live.abort();
    past.abort();
    say("stopping: what was received is made durable");
    node.stop().await
}

/// The admin and the simulator get new random passwords at every start of the demo.
fn enrol(config: &Config, clock: &Arc<dyn Clock>, admin: &str, simulator: &str) -> Result<()> {
    let users = Users::open(&config.state_dir(), Arc::clone(clock))?;
    let base = |name: &str, role, password: &str| User {
        name: name.into(),
        role,
        password: password.into(),
        tenants: Vec::new(),
        publish: Vec::new(),
        subscribe: Vec::new(),
        simulated: false,
        disabled: false,
    };
    let tenant = config.city.tenant.clone();
    users.change(|file| {
        for name in ["admin", SIMULATOR] {
            file.remove(name).ok();
        }
        file.add(base("admin", Role::Admin, admin))?;
        file.add(User {
            tenants: vec![tenant.clone()],
            publish: vec![format!("portico/{tenant}/#")],
            simulated: true,
            ..base(SIMULATOR, Role::Gateway, simulator)
        })
    })?;
    Ok(())
}

fn greet(node: &Node, admin: &str) {
    let at = &node.addresses;
    let port = |a: Option<std::net::SocketAddr>| a.map(|a| a.to_string()).unwrap_or_default();
    say(&format!(
        "\nPortico runs, with a simulated Bologna.\n\n  map         http://{}/\n  SQL         http://{}/api/sql, or psql \"host={} port={} user=admin dbname=portico\"\n  Arrow       grpc://{}\n  MQTT        {}\n  LoRaWAN     {} (UDP)\n  user        admin\n  password    {admin}\n\nEverything it shows is simulated. Ctrl-C stops it.\n",
        at.http,
        at.http,
        at.postgres.map(|a| a.ip().to_string()).unwrap_or_default(),
        at.postgres.map(|a| a.port().to_string()).unwrap_or_default(),
        port(at.flight),
        port(at.mqtt),
        port(at.lorawan),
    ));
}

fn gateways(target: &Target, role: &str) -> Vec<Publisher> {
    (0..GATEWAYS).map(|i| Publisher::connect(&Target { client_id: format!("{SIMULATOR}-{role}-{i}"), ..target.clone() })).collect()
}

/// A sensor always speaks through the same gateway, so that its messages stay in order.
fn gateway_of(topic: &str, hasher: &RandomState) -> usize {
    usize::try_from(hasher.hash_one(topic) % GATEWAYS as u64).unwrap_or(0)
}

async fn live(seed: u64, scenario: Scenario, start: Timestamp, target: Target, clock: Arc<dyn Clock>) {
    let (mut gateways, hasher) = (gateways(&target, "live"), RandomState::new());
    for (at, Message { topic, payload, .. }) in Sim::live(seed, &scenario, start) {
        let wait = u64::try_from(at.0 - clock.now().0).unwrap_or(0);
        if wait > 0 {
            tokio::time::sleep(Duration::from_micros(wait)).await;
        }
        if gateways[gateway_of(&topic, &hasher)].publish(&topic, payload).await.is_err() {
            return;
        }
    }
}

/// Hours before the start, as fast as they are acknowledged.
async fn past(seed: u64, scenario: Scenario, from: Timestamp, to: Timestamp, target: Target) {
    let (mut gateways, hasher) = (gateways(&target, "past"), RandomState::new());
    for (_, Message { topic, payload, .. }) in Sim::backfill(seed, &scenario, from, to) {
        if gateways[gateway_of(&topic, &hasher)].publish(&topic, payload).await.is_err() {
            return;
        }
    }
    let mut sent = 0;
    for gateway in gateways {
        sent += gateway.finish().await.unwrap_or(0);
    }
    tracing::info!(messages = sent, hours = (to.0 - from.0) / HOUR_US, "the simulated past is in the tables");
}
