//! The middle of the doors: receptions in, verified uplinks out to the pipeline, answers out to the gateways.
//!
//! One task closes the windows of [`super::gather`]. It judges what is due, writes the events of sessions, then sends answers and
//! hands the messages over. A join accept therefore waits for the window and one write, never for the log. The answer to a confirmed
//! frame waits until the frame is durable (ING-1): it goes behind its message in the queue to the log.

use super::{
    LorawanConfig, document,
    downlink::{DownlinkState, InFlight, Transmissions},
    gateway::{Admission, Gateways, Route},
    gather::{Gather, Heard, Taken},
    gwmp::{Txpk, pull_resp},
    network::{Answer, Distrust, Judged, Network, Verdict},
    radio::{AnswerAt, Modulation, Position, RX2_DR, RX2_HZ, Reception},
    state::{Event, SessionStore},
    station,
    stats::Counters,
    text::Eui,
};
use crate::{Door, Group, Publisher, Rejected};
use bytes::Bytes;
use parking_lot::Mutex;
use schemas::{Classified as _, Clock, RetryHint, Timestamp};
use std::{sync::Arc, time::Duration};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

/// Batches between the windows and the log; then windows stay open longer, and frames are lost when too many wait.
const BATCHES_MAX: usize = 16;
/// Messages handed to the log at once.
const GROUP_MESSAGES: usize = 4_096;
/// How long a stop waits for messages that are not durable yet.
const DRAIN: Duration = Duration::from_secs(5);
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// Longest time between two looks at transmissions that nobody answered.
const TICK: Duration = Duration::from_secs(1);
/// Events written before the file is made short, beside four for each device.
const EVENTS_MIN: usize = 20_000;

pub(super) struct Hub {
    pub(super) config: LorawanConfig,
    pub(super) publisher: Arc<Publisher>,
    pub(super) door: Arc<dyn Door>,
    pub(super) store: Arc<dyn SessionStore>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) counters: Counters,
    pub(super) air: Mutex<Air>,
    pub(super) network: Mutex<Network>,
    pub(super) transmissions: Mutex<Transmissions>,
    pub(super) wake: Notify,
}

/// What the sockets fill.
#[derive(Debug)]
pub(super) struct Air {
    pub(super) gather: Gather,
    pub(super) gateways: Gateways,
    /// Packets that were none, for the quarantine. Bounded by the rate of each gateway.
    pub(super) rejects: Vec<Rejected>,
}

/// Messages and the answers that must wait for them.
struct Batch {
    group: Group,
    answers: Vec<(Heard, Answer)>,
}

impl Hub {
    /// Counts a packet and asks whether it is read.
    pub(super) fn admit(&self, gateway: Eui, now: Timestamp) -> bool {
        let mut air = self.air.lock();
        let admission = air.gateways.admit(gateway, 1, now);
        self.counters.gateways.set(air.gateways.len());
        drop(air);
        match admission {
            Admission::Admitted => return true,
            Admission::Refused => self.counters.refused_gateways.one(),
            Admission::OverLimit => self.counters.over_limit.one(),
        }
        false
    }

    pub(super) fn count_packet(&self, bytes: usize) {
        self.counters.packets.one();
        self.counters.bytes.add(bytes);
    }

    pub(super) fn set_route(&self, gateway: Eui, route: Route, now: Timestamp) {
        self.air.lock().gateways.set_route(gateway, route, now);
    }

    /// Takes receptions of an admitted gateway. The packet they came in has paid for the first of them.
    pub(super) fn hear(&self, gateway: Eui, receptions: Vec<Reception>, position: Option<Position>, now: Timestamp) {
        let mut air = self.air.lock();
        if let Some(position) = position {
            air.gateways.set_position(gateway, position);
        }
        let position = air.gateways.position(gateway);
        for (i, mut reception) in receptions.into_iter().enumerate() {
            if i > 0 && air.gateways.admit(gateway, 1, now) != Admission::Admitted {
                self.counters.over_limit.one();
                continue;
            }
            self.counters.receptions.one();
            reception.position = position;
            match air.gather.add(reception, now) {
                Taken::First => self.wake.notify_one(),
                Taken::Copy => self.counters.copies.one(),
                Taken::Full => self.counters.overflow.one(),
            }
        }
    }

    /// Input of an admitted gateway that is no frame.
    pub(super) fn malformed(&self, gateway: Eui, rule: String, payload: &[u8], now: Timestamp) {
        self.counters.malformed.one();
        let mut air = self.air.lock();
        if !air.gateways.may_quarantine(gateway, now) {
            self.counters.quarantine_skipped.one();
            return;
        }
        air.rejects.push(Rejected {
            product: None,
            topic: format!("lorawan/gateway/{gateway}"),
            reason: "malformed",
            field: None,
            message: rule,
            payload: Bytes::copy_from_slice(payload),
        });
        self.wake.notify_one();
    }

    /// Closes windows until `stop`, then all of them, and returns when their messages are durable or lost.
    pub(super) async fn run(self: Arc<Self>, stop: CancellationToken) {
        let (batches, queue) = mpsc::channel(BATCHES_MAX);
        let hub = Arc::clone(&self);
        let stopping = stop.clone();
        let submitting = tokio::spawn(async move { hub.submit_all(queue, stopping).await });
        let mut n_events = 0;
        loop {
            let stopped = stop.run_until_cancelled(self.pause()).await.is_none();
            let due = {
                let mut air = self.air.lock();
                if stopped { air.gather.drain() } else { air.gather.due(self.clock.now()) }
            };
            if !self.round(due, &batches, &mut n_events, &stop).await || stopped {
                break;
            }
        }
        drop(batches);
        if tokio::time::timeout(DRAIN, submitting).await.is_err() {
            tracing::error!("LoRaWAN frames were not durable in time for the stop; they are lost");
        }
    }

    async fn pause(&self) {
        let next = {
            let air = self.air.lock();
            if air.rejects.is_empty() { air.gather.next_due() } else { Some(Timestamp::MIN) }
        };
        let wait = next.map_or(TICK, |at| Duration::from_micros(u64::try_from(at.0.saturating_sub(self.clock.now().0)).unwrap_or(0)));
        tokio::select! {
            () = tokio::time::sleep(wait.min(TICK)) => {}
            () = self.wake.notified(), if next.is_none() => {}
        }
    }

    /// One look at everything that is due; `false` when the log is gone.
    async fn round(&self, due: Vec<Heard>, batches: &mpsc::Sender<Batch>, n_events: &mut usize, stop: &CancellationToken) -> bool {
        let now = self.clock.now();
        self.expire(now);
        let judged = self.judge(due, now);
        let events: Vec<Event> = judged.iter().flat_map(|(_, j)| j.events.iter().cloned()).collect();
        let n_messages = judged.iter().filter(|(_, j)| matches!(j.verdict, Verdict::Uplink(_))).count();
        if !self.save(&events, n_events, stop).await {
            self.counters.lost.add(n_messages);
            return false;
        }
        let mut batch = Batch {
            group: Group {
                publisher: Arc::clone(&self.publisher),
                messages: Vec::new(),
                rejects: std::mem::take(&mut self.air.lock().rejects),
                received_at: now,
            },
            answers: Vec::new(),
        };
        for (heard, judged) in judged {
            match judged.verdict {
                Verdict::Uplink(message) => batch.group.messages.push(message),
                Verdict::Distrusted { why, field, message } => {
                    batch.group.rejects.extend(self.distrusted(&heard, why, field, message, now))
                }
                Verdict::MacOnly => self.counters.mac_only.one(),
                Verdict::Joined => self.counters.joins.one(),
                Verdict::Repeated => self.counters.repeats.one(),
                Verdict::NoRoute => self.counters.no_route.one(),
            }
            match judged.answer {
                Some(answer) if answer.acknowledges => batch.answers.push((heard, answer)),
                Some(answer) => self.transmit(&heard, answer, now).await,
                None => {}
            }
        }
        if batch.group.messages.is_empty() && batch.group.rejects.is_empty() && batch.answers.is_empty() {
            return true;
        }
        let n_messages = batch.group.messages.len() + batch.group.rejects.len();
        let overtime = async {
            stop.cancelled().await;
            tokio::time::sleep(DRAIN).await;
        };
        // The log may stand still: a stop does not wait for ever.
        let sent = tokio::select! {
            sent = batches.send(batch) => sent.is_ok(),
            () = overtime => false,
        };
        if !sent {
            self.counters.lost.add(n_messages);
        }
        sent
    }

    fn judge(&self, due: Vec<Heard>, now: Timestamp) -> Vec<(Heard, Judged)> {
        let routes: Vec<Option<usize>> = {
            let air = self.air.lock();
            let routed = |r: &Reception| r.answer_at.is_some() && air.gateways.route(r.gateway, now).is_some();
            due.iter().map(|heard| heard.receptions.iter().position(routed)).collect()
        };
        let mut network = self.network.lock();
        let judged = due.into_iter().zip(routes).map(|(heard, via)| {
            let judged = network.judge(&heard, via, now);
            (heard, judged)
        });
        let judged = judged.collect();
        self.counters.downlinks_queued.set(network.downlinks.n_queued());
        judged
    }

    fn distrusted(&self, heard: &Heard, why: Distrust, field: Option<&'static str>, message: String, now: Timestamp) -> Option<Rejected> {
        let counter = match why {
            Distrust::NotLorawan => &self.counters.not_lorawan,
            Distrust::UnknownDevice => &self.counters.unknown_device,
            Distrust::BadMic => &self.counters.bad_mic,
            Distrust::Replayed => &self.counters.replayed,
        };
        counter.one();
        let gateway = heard.best()?;
        if !self.air.lock().gateways.may_quarantine(gateway, now) {
            self.counters.quarantine_skipped.one();
            return None;
        }
        Some(Rejected {
            product: None,
            topic: format!("lorawan/gateway/{gateway}"),
            reason: why.code(),
            field: field.map(str::to_owned),
            message: format!("{message} (heard by {})", document::heard_by(heard)),
            payload: heard.phy.clone(),
        })
    }

    /// Writes events, trying again until it works; `false` when the program stops first.
    async fn save(&self, events: &[Event], n_events: &mut usize, stop: &CancellationToken) -> bool {
        if events.is_empty() {
            return true;
        }
        let mut pause = PAUSE.0;
        loop {
            *n_events += events.len();
            let (n_devices, snapshot) = {
                let network = self.network.lock();
                let long = *n_events > EVENTS_MIN + 4 * network.states.len();
                (network.states.len(), long.then(|| network.states.snapshot()))
            };
            let (store, events) = (Arc::clone(&self.store), events.to_vec());
            let shortened = snapshot.is_some();
            // A snapshot holds these events already.
            let written = tokio::task::spawn_blocking(move || match snapshot {
                Some(all) => store.replace(&all),
                None => store.append(&events),
            });
            match written.await {
                Ok(Ok(())) => {
                    if shortened {
                        *n_events = 0;
                        tracing::debug!(n_devices, "the state of LoRaWAN sessions was written anew");
                    }
                    return true;
                }
                Ok(Err(error)) => tracing::error!(%error, "the state of LoRaWAN sessions could not be written; frames wait"),
                Err(error) => tracing::error!(%error, "the writer of LoRaWAN sessions failed; frames wait"),
            }
            self.counters.store_failures.one();
            if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return false;
            }
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    /// Hands batches to the log in order, each until it is durable.
    async fn submit_all(&self, mut queue: mpsc::Receiver<Batch>, stop: CancellationToken) {
        while let Some(mut batch) = queue.recv().await {
            while batch.group.messages.len() < GROUP_MESSAGES {
                let Ok(more) = queue.try_recv() else { break };
                batch.group.messages.extend(more.group.messages);
                batch.group.rejects.extend(more.group.rejects);
                batch.answers.extend(more.answers);
            }
            let (n_messages, n_rejects) = (batch.group.messages.len(), batch.group.rejects.len());
            if (n_messages + n_rejects > 0) && !self.submit(&batch.group, &stop).await {
                self.counters.lost.add(n_messages + n_rejects);
                continue;
            }
            self.counters.uplinks.add(n_messages);
            self.counters.quarantined.add(n_rejects);
            for (heard, answer) in batch.answers {
                self.transmit(&heard, answer, self.clock.now()).await;
            }
        }
    }

    async fn submit(&self, group: &Group, stop: &CancellationToken) -> bool {
        let mut pause = PAUSE.0;
        loop {
            let outcome = match self.door.submit(group.clone()).await {
                Ok(durable) => durable.await,
                Err(e) => Err(e),
            };
            let Err(error) = outcome else { return true };
            tracing::error!(%error, n_messages = group.messages.len(), "LoRaWAN frames are not in the log");
            if error.retry_hint() == RetryHint::Never || stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return false;
            }
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    /// Hands an answer to its gateway.
    async fn transmit(&self, heard: &Heard, answer: Answer, now: Timestamp) {
        let reception = heard.receptions.get(answer.via);
        let route = reception.and_then(|r| self.air.lock().gateways.route(r.gateway, now));
        let (Some(reception), Some(route)) = (reception, route) else {
            self.counters.no_route.one();
            return self.fail(answer.id, "the gateway that heard the device went away");
        };
        match (route, reception.answer_at) {
            (route @ Route::Udp { .. }, Some(AnswerAt::Tmst(tmst))) => {
                let power = self.config.tx_power_dbm;
                let at = |secs: u8| tmst.wrapping_add(u32::from(secs) * 1_000_000);
                let radio = reception.frequency_hz.zip(reception.modulation);
                let first = radio.map(|(hz, m)| Txpk::new(&answer.phy, at(answer.delay_secs), hz, m, power));
                let second = Modulation::of_data_rate(RX2_DR).filter(|_| answer.fits_second);
                let second = second.map(|m| Txpk::new(&answer.phy, at(answer.delay_secs + 1), RX2_HZ, m, power));
                let (Some(now_one), later) = (if first.is_some() { (first, second) } else { (second, None) }) else {
                    return self.fail(answer.id, "the gateway did not say on which frequency it heard the device");
                };
                self.pull_resp(reception.gateway, &route, &now_one, InFlight { id: answer.id, sent_at: now, second: later }).await;
            }
            (Route::Station { to, .. }, Some(AnswerAt::Station { xtime, rctx })) => {
                let flight = InFlight { id: answer.id, sent_at: now, second: None };
                let Some(diid) = self.transmissions.lock().open(reception.gateway, flight) else {
                    return self.fail(answer.id, "too many transmissions wait for their gateways");
                };
                let message = station::dnmsg(&answer, reception, diid, xtime, rctx);
                self.sent(reception.gateway, answer.id);
                if to.try_send(message).is_err() && self.transmissions.lock().close(reception.gateway, diid).is_some() {
                    self.fail(answer.id, "the gateway does not read its messages");
                }
            }
            _ => self.fail(answer.id, "the gateway came back over another protocol"),
        }
    }

    async fn pull_resp(&self, gateway: Eui, route: &Route, txpk: &Txpk, flight: InFlight) {
        let Route::Udp { socket, to, version } = route else { return };
        let id = flight.id;
        let token = if *version == 1 { Some(0) } else { self.transmissions.lock().open(gateway, flight) };
        let Some(token) = token else { return self.fail(id, "too many transmissions wait for their gateways") };
        self.sent(gateway, id);
        if let Err(e) = socket.send_to(&pull_resp(*version, token, txpk), *to).await {
            self.transmissions.lock().close(gateway, token);
            self.fail(id, &format!("the gateway is not reachable: {e}"));
        }
    }

    /// A gateway's word about a transmission. A first window that it refuses leaves the second.
    pub(super) async fn answered(&self, gateway: Eui, token: u16, outcome: Result<(), String>, now: Timestamp) {
        let Some(flight) = self.transmissions.lock().close(gateway, token) else { return };
        match outcome {
            Ok(()) => {
                self.counters.downlinks_acknowledged.one();
                if let Some(id) = flight.id {
                    self.network.lock().downlinks.set(id, DownlinkState::Acknowledged { gateway });
                }
            }
            Err(reason) => {
                let route = self.air.lock().gateways.route(gateway, now);
                match (flight.second, route) {
                    (Some(second), Some(route @ Route::Udp { .. })) => {
                        let again = InFlight { id: flight.id, sent_at: now, second: None };
                        self.pull_resp(gateway, &route, &second, again).await;
                    }
                    _ => self.fail(flight.id, &format!("the gateway refused it: {reason}")),
                }
            }
        }
    }

    fn sent(&self, gateway: Eui, id: Option<super::DownlinkId>) {
        self.counters.downlinks_sent.one();
        if let Some(id) = id {
            self.network.lock().downlinks.set(id, DownlinkState::Sent { gateway });
        }
    }

    fn fail(&self, id: Option<super::DownlinkId>, reason: &str) {
        self.counters.downlinks_failed.one();
        tracing::debug!(reason, "a downlink was not sent");
        if let Some(id) = id {
            self.network.lock().downlinks.set(id, DownlinkState::Failed { reason: reason.to_owned() });
        }
    }

    fn expire(&self, now: Timestamp) {
        let expired = self.transmissions.lock().expired(now);
        expired.into_iter().for_each(|flight| self.fail(flight.id, "the gateway did not answer"));
    }
}
