//! Limits and policies of the pipeline. Every one has a default that suits one machine.

use serde::Deserialize;

/// Settings of the pipeline. Unknown keys are refused.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IngestConfig {
    /// A longer payload is quarantined as `too_large`.
    pub payload_bytes_max: usize,
    /// Nested objects and lists in one message; more is `too_deep`.
    pub depth_max: usize,
    /// Observations in one message (mappings with `each`); more is `too_large`.
    pub observations_per_message_max: usize,
    /// Observed before this (RFC 3339) is `too_old`.
    pub oldest_accepted: String,
    /// Whether dates older than their contract keeps are `too_old` as well. Whoever removes such dates from the tables must
    /// refuse them here, or a row delivered again would come back (ING-3).
    pub retention: bool,
    /// Messages, and bytes of payload, between the doors and the frames; then senders wait.
    pub queue_messages_max: u32,
    pub queue_bytes_max: u32,
    /// Messages in one frame.
    pub frame_messages_max: usize,
    /// Frames handed to the log and not yet durable; then the pipeline waits.
    pub frames_in_flight_max: usize,
    /// Topics whose mapping is remembered, per decoding thread.
    pub topics_cached_max: usize,
    /// Series (entity, key fields, set of fields) whose newest rows are remembered to tell duplicates without the lake.
    pub series_max: usize,
    /// Memory for the days that late rows are compared with. One day alone may exceed it.
    pub day_sets_bytes_max: usize,
    /// Bytes of payload kept with a quarantined message.
    pub quarantine_payload_bytes_max: usize,
    /// Bytes of one HTTP body after decompression.
    pub http_body_bytes_max: usize,
    /// Of the embedded broker.
    #[serde(skip)]
    pub broker: crate::broker::BrokerConfig,
}

impl Default for IngestConfig {
    fn default() -> Self {
        Self {
            payload_bytes_max: 256 * 1024,
            depth_max: 16,
            observations_per_message_max: 10_000,
            oldest_accepted: "1970-01-01T00:00:00Z".into(),
            retention: true,
            queue_messages_max: 200_000,
            queue_bytes_max: 128 * 1024 * 1024,
            frame_messages_max: 65_536,
            frames_in_flight_max: 2,
            topics_cached_max: 100_000,
            series_max: 1_000_000,
            day_sets_bytes_max: 256 * 1024 * 1024,
            quarantine_payload_bytes_max: 16 * 1024,
            http_body_bytes_max: 64 * 1024 * 1024,
            broker: crate::broker::BrokerConfig::default(),
        }
    }
}
