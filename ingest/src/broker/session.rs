//! What outlives a connection: subscriptions, QoS 2 identifiers, and who holds a client identifier now.

use super::{stats::Counters, subscriptions::Options};
use crate::TopicFilter;
use hashbrown::HashMap;
use parking_lot::Mutex;
use schemas::SourceId;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Client identifiers belong to their source: nobody takes over the session of another user by guessing its name.
pub(crate) type Key = (SourceId, String);

/// State of a session (MQTT 5.0, 4.1). In memory only: after a restart the broker says that there is no session,
/// and messages sent again are recognised by their content (ING-3).
#[derive(Debug, Default)]
pub(crate) struct Session {
    pub(crate) subscriptions: Vec<(TopicFilter, Options)>,
    /// QoS 2 identifiers between PUBLISH and PUBREL; `true` when the message is durable.
    pub(crate) received: HashMap<u16, bool>,
}

#[derive(Debug, Default)]
struct Entry {
    session: Session,
    owner: Option<Owner>,
    /// When an entry without owner is forgotten.
    expires: Option<Instant>,
}

#[derive(Debug)]
struct Owner {
    cancel: CancellationToken,
    released: CancellationToken,
}

/// All sessions, with and without a connection.
#[derive(Debug)]
pub(crate) struct Sessions {
    entries: Mutex<HashMap<Key, Entry>>,
    /// Sessions kept without a connection.
    kept_max: usize,
    counters: Arc<Counters>,
}

/// The right to a client identifier; gives it back when dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    sessions: Arc<Sessions>,
    key: Key,
    released: CancellationToken,
    kept: bool,
}

impl Sessions {
    pub(crate) fn new(kept_max: usize, counters: Arc<Counters>) -> Self {
        Self { entries: Mutex::default(), kept_max, counters }
    }

    /// Takes the client identifier. A connection that holds it is told to end through its `cancel` and waited for,
    /// so that the QoS 2 state handed over is final. The flag says whether state of an earlier connection was found.
    pub(crate) async fn acquire(self: &Arc<Self>, key: Key, clean: bool, cancel: CancellationToken) -> (Lease, Session, bool) {
        loop {
            let busy = match self.try_take(&key, &cancel) {
                Ok((released, session)) => {
                    let lease = Lease { sessions: Arc::clone(self), key, released, kept: false };
                    let found = session.filter(|_| !clean);
                    let present = found.is_some();
                    return (lease, found.unwrap_or_default(), present);
                }
                Err(busy) => busy,
            };
            busy.cancelled().await;
        }
    }

    fn try_take(&self, key: &Key, cancel: &CancellationToken) -> Result<(CancellationToken, Option<Session>), CancellationToken> {
        let mut entries = self.entries.lock();
        let mut found = None;
        if let Some(entry) = entries.get_mut(key) {
            if let Some(owner) = &entry.owner {
                if !owner.cancel.is_cancelled() {
                    self.counters.takeovers.one();
                }
                owner.cancel.cancel();
                return Err(owner.released.clone());
            }
            if entry.expires.is_some_and(|at| at > Instant::now()) {
                found = Some(std::mem::take(&mut entry.session));
            }
        }
        let released = CancellationToken::new();
        let owner = Owner { cancel: cancel.clone(), released: released.clone() };
        entries.insert(key.clone(), Entry { session: Session::default(), owner: Some(owner), expires: None });
        Ok((released, found))
    }
}

/// Forgets the session that expires first when there are too many without a connection.
fn make_room(entries: &mut HashMap<Key, Entry>, kept_max: usize) {
    let now = Instant::now();
    entries.retain(|_, e| e.owner.is_some() || e.expires.is_some_and(|at| at > now));
    let kept = entries.values().filter(|e| e.owner.is_none()).count();
    if kept > kept_max
        && let Some(first) = entries.iter().filter(|(_, e)| e.owner.is_none()).min_by_key(|(_, e)| e.expires).map(|(k, _)| k.clone())
    {
        entries.remove(&first);
    }
}

impl Lease {
    /// Gives the client identifier back and keeps the session for `keep`, when that is not zero.
    pub(crate) fn release(mut self, session: Session, keep: Duration) {
        if keep.is_zero() {
            return;
        }
        let mut entries = self.sessions.entries.lock();
        let expires = Some(Instant::now() + keep);
        entries.insert(self.key.clone(), Entry { session, owner: None, expires });
        if entries.len() > self.sessions.kept_max {
            make_room(&mut entries, self.sessions.kept_max);
        }
        drop(entries);
        self.kept = true;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // A kept entry may already belong to the next connection.
        if !self.kept {
            self.sessions.entries.lock().remove(&self.key);
        }
        self.released.cancel();
    }
}

#[cfg(test)]
mod tests;
