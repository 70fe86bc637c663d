//! SUMO beside Portico: the simulator as a child process (or one that runs already), its detectors' output over a socket, its signals over
//! TraCI, and both as messages of the city's own loops and signals over MQTT.

mod bridge;
mod child;
mod commands;
mod feed;
pub mod import;
pub mod signals;

use crate::{
    cli::{BrokerArgs, SimulatedAt, SumoArgs},
    out::say,
    publish::{Publisher, Target},
};
use anyhow::{Context as _, Result, ensure};
use child::RunDir;
use ingest::sumo::{
    messages::{Crosswalk, Loops, Setting},
    scenario::Scenario,
    traci::Client,
};
use schemas::{Clock, Tenant, Timestamp, time::DAY_US, time::Zone};
use std::{fs::File, sync::Arc, time::Duration};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Longest wait for one answer of the simulator.
const ANSWER_MAX: Duration = Duration::from_secs(120);

/// Longest wait for its end.
const END_MAX: Duration = Duration::from_secs(60);

/// Local hour at which a simulation takes place when none is said: the acosta scenario is a morning's peak hour.
const HOUR_DEFAULT: i8 = 8;

impl SimulatedAt {
    /// The instant of simulated second 0, and the loops.
    pub fn setting(&self, tenant: Tenant, clock: &dyn Clock) -> Result<Setting> {
        let start = self.instant(clock.now())?;
        let crosswalk = match &self.crosswalk {
            Some(path) => Crosswalk::parse(File::open(path).with_context(|| path.display().to_string())?)?,
            None => Crosswalk::default(),
        };
        Ok(Setting { tenant, start, crosswalk })
    }

    fn instant(&self, now: Timestamp) -> Result<Timestamp> {
        let zone = Zone::named(&self.zone).context("--zone")?;
        let Some(text) = &self.start else {
            let yesterday = zone.civil(Timestamp(now.0 - DAY_US)).date();
            return Ok(zone.instant(yesterday.at(HOUR_DEFAULT, 0, 0, 0))?);
        };
        if let Ok(at) = Timestamp::parse(text) {
            return Ok(at);
        }
        let local: jiff::civil::DateTime =
            text.parse().with_context(|| format!("--start '{text}' is not a local time; write it as 2024-03-05T08:00"))?;
        let at = zone.instant(local)?;
        ensure!(zone.civil(at) == local, "--start {text} does not exist in {}: the clock goes over it", self.zone);
        Ok(at)
    }
}

/// `portico sumo`.
pub async fn run(tenant: Tenant, args: SumoArgs, clock: Arc<dyn Clock>) -> Result<()> {
    ensure!(args.speed >= 0.0 && args.speed.is_finite(), "--speed must be 0 or more");
    ensure!((1.0..=604_800.0).contains(&args.duration), "--duration must be 1 to 604800 simulated seconds");
    let scenario = Scenario::load(&args.scenario)?;
    let setting = args.at.setting(tenant, &*clock)?;
    let known = scenario.detectors.iter().filter(|d| setting.crosswalk.site(&d.id).place.is_some()).count();
    say(&format!(
        "{}: {} detectors ({known} of loops that the crosswalk places), {} signals; second 0 is {}",
        args.scenario.display(),
        scenario.detectors.len(),
        scenario.signals.len(),
        setting.start
    ));
    let listen = args.detectors.as_deref().unwrap_or("127.0.0.1:0");
    let listener = TcpListener::bind(listen).await.with_context(|| format!("--detectors {listen}"))?;
    let run_dir = RunDir::make(args.output.as_deref(), "sumo")?;
    let mut child = None;
    let client = match &args.connect {
        Some(place) => {
            let place = tokio::net::lookup_host(place).await?.next().with_context(|| format!("--connect {place}: no such host"))?;
            Client::connect(place, ANSWER_MAX).await?
        }
        None => {
            let (process, client) = child::start(&args, &scenario, &run_dir, listener.local_addr()?).await?;
            child = Some(process);
            client
        }
    };
    let target = target(&args.at_broker)?;
    let publisher =
        |role: &str| Publisher::connect(&Target { client_id: format!("portico-sumo-{}-{role}", target.user), ..target.clone() });
    let copy = args.output.as_ref().map(|_| run_dir.path().join("detectors.xml"));
    let ended = CancellationToken::new();
    let feed = tokio::spawn(feed::run(listener, Loops::of(setting.clone(), &scenario), publisher("loops"), copy, ended.clone()));
    let commands = commands::listen(&target, &setting.tenant, &target.user);
    let mut bridge = bridge::Bridge::new(scenario, setting, client, publisher("signals"), commands, clock);
    let ran = bridge.run(args.speed, args.duration).await;
    let signals = bridge.close().await;
    if let Some(mut process) = child {
        // One that does not end by itself is killed when it is dropped.
        tokio::time::timeout(END_MAX, process.wait()).await.context("SUMO did not end")??;
    }
    ended.cancel();
    if let Err(error) = ran {
        let complaints = child::complaints(&run_dir);
        return Err(if complaints.is_empty() { error } else { error.context(format!("SUMO says: {complaints}")) });
    }
    let (loops, signals) = (feed.await??, signals?);
    say(&format!(
        "{} intervals of detectors as {} messages, {signals} messages of signals, all acknowledged",
        loops.intervals, loops.messages
    ));
    if loops.flaws > 0 {
        say(&format!("{} intervals could not be used; see the log", loops.flaws));
    }
    Ok(())
}

fn target(args: &BrokerArgs) -> Result<Target> {
    ensure!(url::Url::parse(&args.broker).map_or(true, |url| url.scheme() == "mqtt"), "--broker must begin with mqtt://");
    // Each part of a simulation has a connection, and names it.
    Target::of(args, String::new())
}
