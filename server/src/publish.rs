//! A publisher over a real MQTT connection, for the demo and for replays: QoS 1, many in flight, every acknowledgement counted.

use crate::cli::BrokerArgs;
use anyhow::{Context as _, Result};
use rumqttc::{AsyncClient, Event, Incoming, MqttOptions, QoS};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::Notify;

/// Messages that may wait for their acknowledgement.
const IN_FLIGHT_MAX: u16 = 4_096;
const RECONNECT_AFTER: Duration = Duration::from_secs(1);

/// Where to publish, and as whom.
#[derive(Debug, Clone)]
pub struct Target {
    pub host: String,
    pub port: u16,
    pub client_id: String,
    pub user: String,
    pub password: String,
}

impl Target {
    /// What `--broker`, `--user` and `--password-file` say.
    pub fn of(args: &BrokerArgs, client_id: String) -> Result<Self> {
        let BrokerArgs { broker, user, password_file } = args;
        let url = url::Url::parse(broker).with_context(|| format!("--broker {broker}"))?;
        let password = std::fs::read_to_string(password_file).with_context(|| password_file.display().to_string())?;
        Ok(Self {
            host: url.host_str().context("--broker has no host")?.to_owned(),
            port: url.port().unwrap_or(1883),
            client_id,
            user: user.clone(),
            password: password.trim().to_owned(),
        })
    }
}

/// One connection.
#[derive(Debug)]
pub struct Publisher {
    client: AsyncClient,
    state: Arc<State>,
    sent: u64,
}

#[derive(Debug, Default)]
struct State {
    acked: AtomicU64,
    closed: AtomicBool,
    progress: Notify,
}

impl Publisher {
    /// Starts to connect; the connection is made again whenever it breaks, and unacknowledged messages are sent again.
    #[must_use]
    pub fn connect(target: &Target) -> Self {
        let mut options = MqttOptions::new(&target.client_id, &target.host, target.port);
        options
            .set_credentials(&target.user, &target.password)
            .set_inflight(IN_FLIGHT_MAX)
            .set_keep_alive(Duration::from_secs(30))
            .set_clean_session(false);
        let (client, mut events) = AsyncClient::new(options, usize::from(IN_FLIGHT_MAX));
        let state = Arc::<State>::default();
        let seen = Arc::clone(&state);
        tokio::spawn(async move {
            loop {
                match events.poll().await {
                    Ok(Event::Incoming(Incoming::PubAck(_))) => {
                        seen.acked.fetch_add(1, Ordering::Release);
                        seen.progress.notify_waiters();
                    }
                    Ok(_) => {}
                    Err(_) if seen.closed.load(Ordering::Relaxed) => return,
                    Err(error) => {
                        tracing::warn!(%error, "publisher lost its broker, connecting again");
                        tokio::time::sleep(RECONNECT_AFTER).await;
                    }
                }
            }
        });
        Self { client, state, sent: 0 }
    }

    /// Queues a message; waits while too many are unacknowledged.
    pub async fn publish(&mut self, topic: &str, payload: Vec<u8>) -> Result<()> {
        self.client.publish(topic, QoS::AtLeastOnce, false, payload).await.context("the publisher is closed")?;
        self.sent += 1;
        Ok(())
    }

    /// Messages acknowledged so far: they are durable.
    #[must_use]
    pub fn acked(&self) -> u64 {
        self.state.acked.load(Ordering::Acquire)
    }

    /// Waits until every message is acknowledged, and ends the connection.
    pub async fn finish(self) -> Result<u64> {
        loop {
            let progress = self.state.progress.notified();
            if self.acked() >= self.sent {
                break;
            }
            progress.await;
        }
        self.state.closed.store(true, Ordering::Relaxed);
        self.client.disconnect().await.ok();
        Ok(self.sent)
    }
}
