//! Commands to signals as they come from Portico, on `command/{tenant}/traffic_signal/{signal}`: a topic to which nobody else may publish.

use crate::publish::Target;
use ingest::sumo::control::{Order, Want};
use rumqttc::{AsyncClient, Event, Incoming, MqttOptions, QoS};
use schemas::{Tenant, Timestamp};
use std::time::Duration;
use tokio::{sync::mpsc, task::JoinHandle};

const WAITING_MAX: usize = 1_000;
const RECONNECT_AFTER: Duration = Duration::from_secs(1);

/// A command, and the signal it is for (the last level of its topic).
pub(super) type Commanded = (String, Order);

/// Commands as they come.
#[derive(Debug)]
pub(super) struct Commands {
    pub(super) waiting: mpsc::Receiver<Commanded>,
    task: JoinHandle<()>,
}

impl Drop for Commands {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Debug, serde::Deserialize)]
struct Wire {
    command: String,
    phase: Option<usize>,
    program: Option<String>,
    hold_secs: f64,
    expires_at: String,
}

pub(super) fn listen(target: &Target, tenant: &Tenant, user: &str) -> Commands {
    let mut options = MqttOptions::new(format!("portico-sumo-{user}-commands"), &target.host, target.port);
    options.set_credentials(&target.user, &target.password).set_keep_alive(Duration::from_secs(30));
    let (client, mut events) = AsyncClient::new(options, 10);
    let (tell, waiting) = mpsc::channel(WAITING_MAX);
    let filter = format!("command/{tenant}/traffic_signal/+");
    let task = tokio::spawn(async move {
        loop {
            match events.poll().await {
                Ok(Event::Incoming(Incoming::ConnAck(_))) => {
                    client.subscribe(&filter, QoS::AtMostOnce).await.ok();
                }
                Ok(Event::Incoming(Incoming::SubAck(ack))) => {
                    if ack.return_codes.contains(&rumqttc::SubscribeReasonCode::Failure) {
                        tracing::warn!(filter, "no commands to signals: the user may not subscribe to them (portico user add --subscribe)");
                    }
                }
                Ok(Event::Incoming(Incoming::Publish(message))) => match read(&message.topic, &message.payload) {
                    Some(commanded) => {
                        if tell.try_send(commanded).is_err() {
                            tracing::warn!("a command to a signal was lost: too many wait");
                        }
                    }
                    None => tracing::warn!(topic = message.topic, "a command to a signal cannot be read"),
                },
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "commands to signals: no broker, connecting again");
                    tokio::time::sleep(RECONNECT_AFTER).await;
                }
            }
        }
    });
    Commands { waiting, task }
}

fn read(topic: &str, payload: &[u8]) -> Option<Commanded> {
    let wire: Wire = serde_json::from_slice(payload).ok()?;
    let want = match (wire.phase, wire.program) {
        (Some(phase), None) => Want::Phase(phase),
        (None, Some(program)) => Want::Program(program),
        _ => return None,
    };
    let expires_at = Timestamp::parse(&wire.expires_at).ok()?;
    let signal = topic.rsplit('/').next()?.to_owned();
    Some((signal, Order { id: wire.command, want, hold_secs: wire.hold_secs, expires_at }))
}
