//! The loop of a simulation: one step, what the signals show after it, what was commanded, and the pace.

use super::commands::Commands;
use crate::publish::Publisher;
use anyhow::{Context as _, Result};
use ingest::{
    RawMessage,
    sumo::{
        control::{Action, Controller, Now, Order, Want},
        messages::{Setting, Shown},
        scenario::{Scenario, Signal},
        traci::{Client, Domain, Observed, Value, var},
    },
};
use schemas::{Clock, EntityId};
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};
use tokio::{net::TcpStream, time::Instant};

/// Commands that wait for one signal.
const QUEUE_MAX: usize = 4;

/// What is known of one signal.
#[derive(Debug, Default)]
struct State {
    shown: Shown,
    /// Simulated second of the last change.
    since_secs: f64,
    waiting: VecDeque<Order>,
    controller: Option<Controller>,
}

/// A running simulation.
#[derive(Debug)]
pub(super) struct Bridge {
    scenario: Scenario,
    setting: Setting,
    client: Client<TcpStream>,
    publisher: Publisher,
    commands: Commands,
    clock: Arc<dyn Clock>,
    signals: HashMap<String, State>,
    secs: f64,
}

impl Bridge {
    pub(super) fn new(
        scenario: Scenario,
        setting: Setting,
        client: Client<TcpStream>,
        publisher: Publisher,
        commands: Commands,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { scenario, setting, client, publisher, commands, clock, signals: HashMap::new(), secs: 0.0 }
    }

    /// So many simulated seconds, `speed` times as fast as life; 0 is as fast as SUMO can.
    pub(super) async fn run(&mut self, speed: f64, duration: f64) -> Result<()> {
        let version = self.client.version().await?;
        tracing::info!(version = version.text, api = version.api, "connected to SUMO");
        self.client.set_order(1).await?;
        self.secs = self.number(var::TIME).await?;
        let step_secs = self.number(var::DELTA_T).await?;
        anyhow::ensure!(step_secs > 0.0, "SUMO says that a step lasts {step_secs} s");
        for signal in self.scenario.signals.clone() {
            let wanted = [var::TL_CURRENT_PHASE, var::TL_CURRENT_PROGRAM, var::TL_STATE];
            self.client.subscribe(Domain::TrafficLight, &signal.id, &wanted).await?;
            self.signals.insert(signal.id.clone(), State { since_secs: self.secs, ..State::default() });
            for program in &signal.programs {
                for message in self.setting.plan(&signal, program, self.secs) {
                    self.send(message).await?;
                }
            }
        }
        let (begin_secs, begin) = (self.secs, Instant::now());
        let n_steps = (duration / step_secs).round() as u64;
        for n in 1..=n_steps {
            let observed = self.client.step().await?;
            self.secs = begin_secs + n as f64 * step_secs;
            for one in &observed {
                self.observe(one).await?;
            }
            while let Ok((signal, order)) = self.commands.waiting.try_recv() {
                self.commanded(&signal, order).await?;
            }
            self.control().await?;
            if speed > 0.0 {
                tokio::time::sleep_until(begin + Duration::from_secs_f64((self.secs - begin_secs) / speed)).await;
            }
        }
        Ok(())
    }

    /// Ends the simulation; the number of messages, all acknowledged.
    pub(super) async fn close(self) -> Result<u64> {
        self.client.close().await;
        self.publisher.finish().await
    }

    async fn number(&mut self, variable: u8) -> Result<f64> {
        let value = self.client.get(Domain::Simulation, variable, "").await?;
        value.as_double().context("SUMO gave no number")
    }

    async fn send(&mut self, message: RawMessage) -> Result<()> {
        self.publisher.publish(std::str::from_utf8(&message.topic)?, message.payload.to_vec()).await
    }

    fn signal(&self, id: &str) -> Option<Signal> {
        self.scenario.signal(id).cloned()
    }

    async fn observe(&mut self, one: &Observed) -> Result<()> {
        if one.domain != Domain::TrafficLight {
            return Ok(());
        }
        let (Some(signal), Some(state)) = (self.signal(&one.object), self.signals.get_mut(&one.object)) else { return Ok(()) };
        let text = |variable| one.get(variable).and_then(Value::as_text).unwrap_or_default().to_owned();
        let phase = one.get(var::TL_CURRENT_PHASE).and_then(Value::as_int).unwrap_or_default();
        let shown = Shown { program: text(var::TL_CURRENT_PROGRAM), phase, state: text(var::TL_STATE) };
        if shown == state.shown {
            return Ok(());
        }
        (state.shown, state.since_secs) = (shown, self.secs);
        let command = state.controller.as_ref().map(|c| c.order().id.clone());
        let message = self.setting.signal(&signal, &state.shown, self.secs, command.as_deref());
        self.send(message).await
    }

    async fn commanded(&mut self, local: &str, order: Order) -> Result<()> {
        let found = self.scenario.signals.iter().find(|s| EntityId::local_part(&s.id) == local).map(|s| s.id.clone());
        let Some(state) = found.as_ref().and_then(|id| self.signals.get_mut(id)) else {
            return self.report(local, &order, "refused", "this simulation has no such signal").await;
        };
        if state.waiting.len() >= QUEUE_MAX {
            return self.report(local, &order, "refused", "too many commands wait for this signal").await;
        }
        state.waiting.push_back(order.clone());
        self.report(local, &order, "sent", "received by the controller of the signal").await
    }

    /// One step of every signal that follows a command or has one waiting.
    async fn control(&mut self) -> Result<()> {
        let busy: Vec<String> =
            self.signals.iter().filter(|(_, s)| s.controller.is_some() || !s.waiting.is_empty()).map(|(id, _)| id.clone()).collect();
        for id in busy {
            let (Some(signal), Some(mut state)) = (self.signal(&id), self.signals.remove(&id)) else { continue };
            let done = self.control_one(&signal, &mut state).await;
            self.signals.insert(id, state);
            done?;
        }
        Ok(())
    }

    async fn control_one(&mut self, signal: &Signal, state: &mut State) -> Result<()> {
        let shown = state.shown.clone();
        let now = Now {
            program: &shown.program,
            phase: usize::try_from(shown.phase).unwrap_or(usize::MAX),
            spent_secs: self.secs - state.since_secs,
            secs: self.secs,
            wall: self.clock.now(),
        };
        let local = EntityId::local_part(&signal.id);
        if state.controller.is_none() {
            let Some(order) = state.waiting.pop_front() else { return Ok(()) };
            match Controller::new(order.clone(), signal, now) {
                Ok(controller) => state.controller = Some(controller),
                Err(why) => return self.report(&local, &order, "refused", &why).await,
            }
        }
        let Some(controller) = &mut state.controller else { return Ok(()) };
        let action = controller.step(signal, now);
        let order = controller.order().clone();
        if matches!(action, Action::Return(_) | Action::Released | Action::Expired | Action::Refused(_)) {
            state.controller = None;
        }
        self.act(&signal.id, &local, &order, action).await
    }

    async fn act(&mut self, id: &str, local: &str, order: &Order, action: Action) -> Result<()> {
        let light = Domain::TrafficLight;
        match action {
            Action::Wait => Ok(()),
            Action::Jump(phase) => Ok(self.client.set(light, var::TL_PHASE_INDEX, id, &index(phase)).await?),
            Action::Hold(secs) => {
                if matches!(order.want, Want::Phase(_)) {
                    self.client.set(light, var::TL_PHASE_DURATION, id, &Value::Double(secs)).await?;
                }
                self.report(local, order, "applied", &format!("held for {secs} s")).await
            }
            Action::Switch(program) => {
                self.switch(id, &program).await?;
                self.report(local, order, "applied", &format!("program {program} is in use")).await
            }
            Action::Return(program) => {
                self.switch(id, &program).await?;
                self.report(local, order, "released", &format!("back in program {program}")).await
            }
            Action::Released => self.report(local, order, "released", "the program goes on").await,
            Action::Expired => self.report(local, order, "expired", "it could not be applied in time").await,
            Action::Refused(why) => self.report(local, order, "refused", &why).await,
        }
    }

    async fn switch(&mut self, id: &str, program: &str) -> Result<()> {
        self.client.set(Domain::TrafficLight, var::TL_PROGRAM, id, &Value::Text(program.to_owned())).await?;
        Ok(self.client.set(Domain::TrafficLight, var::TL_PHASE_INDEX, id, &index(0)).await?)
    }

    /// What became of a command, as a row.
    async fn report(&mut self, local: &str, order: &Order, status: &str, message: &str) -> Result<()> {
        let mut fields = serde_json::json!({
            "observed_at": self.clock.now().to_rfc3339(), "simulated": true, "command": order.id, "status": status,
            "message": message.chars().take(500).collect::<String>(), "hold_secs": order.hold_secs,
        });
        match &order.want {
            Want::Phase(phase) => fields["phase"] = (*phase).into(),
            Want::Program(program) => fields["program"] = program.as_str().into(),
        }
        tracing::info!(signal = local, command = order.id, status, message, "command to a signal");
        let topic = format!("portico/{}/signal_command/{local}", self.setting.tenant);
        self.publisher.publish(&topic, fields.to_string().into_bytes()).await
    }
}

fn index(phase: usize) -> Value {
    Value::Int(i32::try_from(phase).unwrap_or(i32::MAX))
}
