//! What is remembered of edge nodes between messages.

use super::{
    Named,
    payload::{Metric, Payload, Scalar},
};
use crate::decode::reject::{Reason, Reject, cut};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// Edge nodes of one tenant.
const NODES_MAX: usize = 10_000;
/// Devices of one edge node.
const DEVICES_MAX: usize = 2_000;
/// Metrics of all births of one tenant.
const METRICS_TOTAL_MAX: usize = 500_000;
/// Bytes of the names in all births of one tenant.
const NAMES_BYTES_MAX: usize = 32 << 20;

/// Who a message is about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) group: &'a str,
    pub(super) edge: &'a str,
    pub(super) device: Option<&'a str>,
}

impl Scope<'_> {
    fn key(self) -> String {
        format!("{}/{}", self.group, self.edge)
    }

    #[cold]
    fn no_birth(self, what: &str) -> Reject {
        let Self { group, edge, device } = self;
        let who = device.map_or_else(|| format!("edge node '{group}/{edge}'"), |d| format!("device '{group}/{edge}/{d}'"));
        let fix = format!("ask for a rebirth: publish 'Node Control/Rebirth' = true to spBv1.0/{group}/NCMD/{edge}");
        Reject::new(Reason::NoBirth, format!("{what} of {} was seen; {}", cut(&who, 160), cut(&fix, 300)))
    }
}

/// Edge nodes of one tenant.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    by_key: HashMap<String, Node>,
    n_metrics: usize,
    names_bytes: usize,
}

/// Device (none for the node itself), name and data type.
type Aliased = (Option<Arc<str>>, Arc<str>, u32);

#[derive(Debug, Default)]
struct Node {
    alive: bool,
    bd_seq: Option<u64>,
    /// Of the newest message.
    seq: u8,
    /// By alias, which is unique in an edge node and its devices.
    aliases: HashMap<u64, Aliased>,
    /// Data types by device and name.
    names: HashMap<(Option<Arc<str>>, Arc<str>), u32>,
    devices: HashSet<Arc<str>>,
    names_bytes: usize,
}

impl Node {
    /// The messages that are missing before this one. The newest message again is a redelivery.
    fn advance(&mut self, seq: Option<u64>) -> u8 {
        let Some(seq) = seq.and_then(|s| u8::try_from(s).ok()) else { return 0 };
        if seq == self.seq {
            return 0;
        }
        let gap = seq.wrapping_sub(self.seq.wrapping_add(1));
        self.seq = seq;
        gap
    }

    fn forget_device(&mut self, device: &str) {
        self.devices.remove(device);
        self.aliases.retain(|_, (owner, ..)| owner.as_deref() != Some(device));
        let gone = |owner: &Option<Arc<str>>| owner.as_deref() == Some(device);
        let bytes: usize = self.names.keys().filter(|(owner, _)| gone(owner)).map(|(_, name)| name.len()).sum();
        self.names_bytes -= bytes;
        self.names.retain(|(owner, _), _| !gone(owner));
    }

    /// Remembers the metrics of a birth, and gives them back under their names.
    fn learn(&mut self, device: Option<&Arc<str>>, metrics: Vec<Metric>) -> Result<Vec<Named>, Reject> {
        let mut out = Vec::with_capacity(metrics.len());
        for metric in metrics {
            let Some(name) = metric.name.as_deref().filter(|n| !n.is_empty()) else {
                return Err(Reject::new(
                    Reason::NotFormat,
                    "not Sparkplug B: a metric of a birth has no name (tck-id-payloads-name-requirement)",
                ));
            };
            let name: Arc<str> = name.into();
            let datatype = metric.datatype.unwrap_or(0);
            if self.names.insert((device.cloned(), Arc::clone(&name)), datatype).is_none() {
                self.names_bytes += name.len();
            }
            if let Some(alias) = metric.alias {
                self.aliases.insert(alias, (device.cloned(), Arc::clone(&name), datatype));
            }
            out.push(Named { name, datatype, metric });
        }
        Ok(out)
    }

    fn resolve(&self, scope: Scope<'_>, device: Option<&Arc<str>>, metric: Metric) -> Result<Named, Reject> {
        let (name, known) = match (metric.name.as_deref().filter(|n| !n.is_empty()), metric.alias) {
            (Some(name), _) => {
                let name: Arc<str> = name.into();
                let datatype = self.names.get(&(device.cloned(), Arc::clone(&name))).copied();
                (name, datatype)
            }
            (None, Some(alias)) => match self.aliases.get(&alias) {
                Some((owner, name, datatype)) if owner.as_ref() == device => (Arc::clone(name), Some(*datatype)),
                _ => return Err(scope.no_birth(&format!("no metric with alias {alias} in the birth"))),
            },
            (None, None) => return Err(Reject::new(Reason::NotFormat, "not Sparkplug B: a metric has neither name nor alias")),
        };
        match metric.datatype.or(known) {
            Some(datatype) => Ok(Named { name, datatype, metric }),
            None => Err(scope.no_birth(&format!("no metric '{}' in the birth", cut(&name, 60)))),
        }
    }
}

fn bd_seq(payload: &Payload) -> Option<u64> {
    payload.metrics.iter().find(|m| m.name.as_deref() == Some("bdSeq")).and_then(|m| match m.value {
        Some(Scalar::Long(v)) => Some(v),
        Some(Scalar::Int(v)) => Some(v.into()),
        _ => None,
    })
}

impl Nodes {
    fn full(what: &str, max: usize) -> Reject {
        Reject::new(Reason::TooLarge, format!("more than {max} {what} of Sparkplug in this tenant; the birth was left out"))
    }

    /// Adds what `node` weighs, or says that there is no room for it.
    fn keep(&mut self, key: String, node: Node) -> Result<(), Reject> {
        let n_metrics = self.n_metrics + node.names.len() + node.aliases.len();
        if n_metrics > METRICS_TOTAL_MAX {
            return Err(Self::full("metrics", METRICS_TOTAL_MAX));
        }
        if self.names_bytes + node.names_bytes > NAMES_BYTES_MAX {
            return Err(Self::full("bytes in the names of metrics", NAMES_BYTES_MAX));
        }
        self.n_metrics = n_metrics;
        self.names_bytes += node.names_bytes;
        self.by_key.insert(key, node);
        Ok(())
    }

    fn take(&mut self, key: &str) -> Option<Node> {
        let node = self.by_key.remove(key)?;
        self.n_metrics -= node.names.len() + node.aliases.len();
        self.names_bytes -= node.names_bytes;
        Some(node)
    }

    pub(super) fn birth(&mut self, scope: Scope<'_>, payload: Payload) -> Result<Vec<Named>, Reject> {
        let key = scope.key();
        self.take(&key);
        if self.by_key.len() >= NODES_MAX {
            let dead: Vec<String> = self.by_key.iter().filter(|(_, n)| !n.alive).map(|(k, _)| k.clone()).collect();
            dead.iter().for_each(|k| drop(self.take(k)));
            if self.by_key.len() >= NODES_MAX {
                return Err(Self::full("edge nodes", NODES_MAX));
            }
        }
        let seq = payload.seq.and_then(|s| u8::try_from(s).ok()).unwrap_or(0);
        let mut node = Node { alive: true, bd_seq: bd_seq(&payload), seq, ..Node::default() };
        let metrics = node.learn(None, payload.metrics)?;
        self.keep(key, node)?;
        Ok(metrics)
    }

    pub(super) fn device_birth(&mut self, scope: Scope<'_>, payload: Payload) -> Result<(u8, Vec<Named>), Reject> {
        let key = scope.key();
        let device: Arc<str> = scope.device.unwrap_or_default().into();
        let mut node = self.take(&key).filter(|n| n.alive).ok_or_else(|| Scope { device: None, ..scope }.no_birth("no birth"))?;
        let gap = node.advance(payload.seq);
        node.forget_device(&device);
        if node.devices.len() >= DEVICES_MAX {
            let full = Self::full("devices of one edge node", DEVICES_MAX);
            self.keep(key, node)?;
            return Err(full);
        }
        let learnt = node.learn(Some(&device), payload.metrics);
        match &learnt {
            Ok(_) => drop(node.devices.insert(device)),
            Err(_) => node.forget_device(&device),
        }
        self.keep(key, node)?;
        Ok((gap, learnt?))
    }

    pub(super) fn data(&mut self, scope: Scope<'_>, payload: Payload) -> Result<(u8, Vec<Named>), Reject> {
        let node = self.by_key.get_mut(&scope.key()).filter(|n| n.alive);
        let node = node.ok_or_else(|| Scope { device: None, ..scope }.no_birth("no birth"))?;
        let gap = node.advance(payload.seq);
        let device = match scope.device {
            None => None,
            Some(device) => Some(node.devices.get(device).cloned().ok_or_else(|| scope.no_birth("no birth"))?),
        };
        let metrics = payload.metrics.into_iter().map(|m| node.resolve(scope, device.as_ref(), m)).collect::<Result<_, _>>()?;
        Ok((gap, metrics))
    }

    /// The will of a session that another birth has replaced since says nothing.
    pub(super) fn death(&mut self, scope: Scope<'_>, payload: &Payload) {
        let key = scope.key();
        let ended = self.by_key.get(&key).is_some_and(|n| n.bd_seq.is_none() || n.bd_seq == bd_seq(payload));
        if ended && let Some(mut node) = self.take(&key) {
            // Its aliases end with it.
            node = Node { bd_seq: node.bd_seq, seq: node.seq, ..Node::default() };
            self.by_key.insert(key, node);
        }
    }

    pub(super) fn device_death(&mut self, scope: Scope<'_>, payload: &Payload) {
        let key = scope.key();
        if let Some(mut node) = self.take(&key) {
            node.advance(payload.seq);
            node.forget_device(scope.device.unwrap_or_default());
            // Less than before, so there is room.
            drop(self.keep(key, node));
        }
    }
}
