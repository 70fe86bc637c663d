mod flow;
pub(crate) mod harness;
mod limits;
mod pubsub;
mod real_peers;
mod sessions;
