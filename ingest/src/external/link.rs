//! The two clients of `rumqttc` (MQTT 3.1.1 and 5.0) as one.

use super::{ExternalBroker, MqttVersion};
use crate::IngestError;
use bytes::Bytes;
use rumqttc::{Transport, mqttbytes as b4, v5, v5::mqttbytes as b5};
use tokio::sync::mpsc;

/// Something that arrived, in order.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    Connected,
    Subscribed,
    /// The broker did not grant this subscription (its place in the list of topics).
    Refused(String),
    /// `id` is 0 for QoS 0.
    Message {
        topic: Bytes,
        payload: Bytes,
        id: u16,
    },
}

/// Writes requests into the queue of the event loop. Never waits: the queue has room for an answer to all that may be in flight.
pub(super) enum Link {
    V4(rumqttc::AsyncClient),
    V5(v5::AsyncClient),
}

/// Owns the socket.
pub(super) enum Reader {
    V4(Box<rumqttc::EventLoop>),
    V5(Box<v5::EventLoop>),
}

/// What would make every attempt fail.
pub(super) fn check(config: &ExternalBroker) -> Result<(), IngestError> {
    let wrong =
        |what: &str, rule: &str| Err(IngestError::Config { place: format!("external broker '{}': {what}", config.url), rule: rule.into() });
    let (_, _, secure) = address(config)?;
    if secure && config.tls.is_none() {
        return wrong("tls", "mqtts needs certificates to trust");
    }
    if config.client_id.is_empty() || config.client_id.starts_with(' ') {
        return wrong("client_id", "must name the session, it cannot be empty or start with a space");
    }
    if config.topics.is_empty() {
        return wrong("topics", "name at least one topic filter");
    }
    if !(5..=65_535).contains(&config.keep_alive.as_secs()) {
        return wrong("keep_alive", "must be 5 to 65535 seconds");
    }
    if config.in_flight_max == 0 {
        return wrong("in_flight_max", "must be 1 at least");
    }
    if config.shared_group.as_ref().is_some_and(|g| g.is_empty() || g.contains(['/', '+', '#'])) {
        return wrong("shared_group", "must not be empty and not hold '/', '+' or '#'");
    }
    Ok(())
}

/// Host, port and whether TLS is asked for.
fn address(config: &ExternalBroker) -> Result<(String, u16, bool), IngestError> {
    let wrong = |rule: &str| IngestError::Config { place: format!("external broker '{}': url", config.url), rule: rule.into() };
    let (scheme, rest) = config.url.split_once("://").ok_or_else(|| wrong("write it as mqtt://host:1883 or mqtts://host:8883"))?;
    let (secure, default) = match scheme {
        "mqtt" | "tcp" => (false, 1_883),
        "mqtts" | "ssl" => (true, 8_883),
        _ => return Err(wrong("the scheme must be mqtt or mqtts")),
    };
    let rest = rest.trim_end_matches('/');
    let (host, port) = match rest.rsplit_once(':') {
        // Colons inside brackets belong to an IPv6 address.
        Some((host, port)) if !port.contains(']') => (host, port.parse().map_err(|_| wrong("the port must be a number from 1 to 65535"))?),
        _ => (rest, default),
    };
    if host.is_empty() || host.contains(['@', '/', '?']) {
        return Err(wrong("only a host and a port may follow the scheme; user and password are settings of their own"));
    }
    Ok((host.trim_matches(['[', ']']).to_owned(), port, secure))
}

impl Link {
    pub(super) fn open(config: &ExternalBroker) -> Result<(Self, Reader), IngestError> {
        let (host, port, secure) = address(config)?;
        let transport = match &config.tls {
            Some(tls) if secure => Transport::tls_with_config(rumqttc::TlsConfiguration::Rustls(std::sync::Arc::clone(tls))),
            _ => Transport::tcp(),
        };
        // Arrived and not yet acknowledged: at most `in_flight_max` in the pipeline and as many in the channel before it.
        let queue = 2 * usize::from(config.in_flight_max) + 16;
        Ok(match config.version {
            MqttVersion::V311 => {
                let mut options = rumqttc::MqttOptions::new(&config.client_id, host, port);
                options.set_clean_session(false).set_manual_acks(true).set_keep_alive(config.keep_alive).set_transport(transport);
                options.set_max_packet_size(config.packet_max as usize, 64 << 10);
                if !config.user.is_empty() {
                    options.set_credentials(&config.user, &config.password);
                }
                let (client, events) = rumqttc::AsyncClient::new(options, queue);
                (Self::V4(client), Reader::V4(Box::new(events)))
            }
            MqttVersion::V5 => {
                let mut options = v5::MqttOptions::new(&config.client_id, host, port);
                options.set_clean_start(false).set_manual_acks(true).set_keep_alive(config.keep_alive).set_transport(transport);
                // Forever: how long a follower may be away is the broker's limit, not ours.
                options.set_session_expiry_interval(Some(u32::MAX));
                options.set_receive_maximum(Some(config.in_flight_max)).set_max_packet_size(Some(config.packet_max));
                if !config.user.is_empty() {
                    options.set_credentials(&config.user, &config.password);
                }
                let (client, events) = v5::AsyncClient::new(options, queue);
                (Self::V5(client), Reader::V5(Box::new(events)))
            }
        })
    }

    pub(super) fn subscribe(&self, config: &ExternalBroker) -> Result<(), String> {
        let filters = config.topics.iter().map(|t| match &config.shared_group {
            Some(group) => format!("$share/{group}/{t}"),
            None => t.to_string(),
        });
        match self {
            Self::V4(client) => {
                let filters = filters.map(|path| b4::v4::SubscribeFilter { path, qos: b4::QoS::AtLeastOnce });
                client.try_subscribe_many(filters.collect::<Vec<_>>()).map_err(|e| e.to_string())
            }
            Self::V5(client) => {
                let filters = filters.map(|path| b5::v5::Filter::new(path, b5::QoS::AtLeastOnce));
                client.try_subscribe_many(filters.collect::<Vec<_>>()).map_err(|e| e.to_string())
            }
        }
    }

    /// PUBACK. The clients take a whole PUBLISH and look only at its identifier and QoS.
    pub(super) fn ack(&self, id: u16) -> Result<(), String> {
        match self {
            Self::V4(client) => {
                let mut publish = b4::v4::Publish::from_bytes("", b4::QoS::AtLeastOnce, Bytes::new());
                publish.pkid = id;
                client.try_ack(&publish).map_err(|e| e.to_string())
            }
            Self::V5(client) => {
                let publish = b5::v5::Publish { pkid: id, qos: b5::QoS::AtLeastOnce, ..Default::default() };
                client.try_ack(&publish).map_err(|e| e.to_string())
            }
        }
    }

    pub(super) fn disconnect(&self) -> Result<(), String> {
        match self {
            Self::V4(client) => client.try_disconnect().map_err(|e| e.to_string()),
            Self::V5(client) => client.try_disconnect().map_err(|e| e.to_string()),
        }
    }
}

impl Reader {
    /// Reads and writes until an error, which it returns. Waits while the channel is full: that is the back-pressure.
    pub(super) async fn run(mut self, arrived: mpsc::Sender<Arrival>) -> String {
        loop {
            let event = match &mut self {
                Self::V4(events) => events.poll().await.map(from_v4).map_err(|e| e.to_string()),
                Self::V5(events) => events.poll().await.map(from_v5).map_err(|e| e.to_string()),
            };
            let arrival = match event {
                Ok(Some(arrival)) => arrival,
                Ok(None) => continue,
                Err(error) => return error,
            };
            if arrived.send(arrival).await.is_err() {
                return "nobody takes the messages any more".into();
            }
        }
    }
}

fn from_v4(event: rumqttc::Event) -> Option<Arrival> {
    use b4::v4::{Packet, SubscribeReasonCode};
    match event {
        rumqttc::Event::Incoming(Packet::ConnAck(_)) => Some(Arrival::Connected),
        rumqttc::Event::Incoming(Packet::Publish(p)) => Some(Arrival::Message { topic: p.topic.into(), payload: p.payload, id: p.pkid }),
        rumqttc::Event::Incoming(Packet::SubAck(s)) => {
            Some(granted(s.return_codes.iter().map(|c| matches!(c, SubscribeReasonCode::Success(_)))))
        }
        _ => None,
    }
}

fn from_v5(event: v5::Event) -> Option<Arrival> {
    use b5::v5::{Packet, SubscribeReasonCode};
    match event {
        v5::Event::Incoming(Packet::ConnAck(_)) => Some(Arrival::Connected),
        v5::Event::Incoming(Packet::Publish(p)) => Some(Arrival::Message { topic: text(p.topic), payload: p.payload, id: p.pkid }),
        v5::Event::Incoming(Packet::SubAck(s)) => {
            Some(granted(s.return_codes.iter().map(|c| matches!(c, SubscribeReasonCode::Success(_)))))
        }
        _ => None,
    }
}

fn granted(mut codes: impl Iterator<Item = bool>) -> Arrival {
    codes.position(|granted| !granted).map_or(Arrival::Subscribed, |i| Arrival::Refused(format!("topic {}", i + 1)))
}

/// The client does not check this for MQTT 5.0. What is not text is replaced, so that the message ends in quarantine
/// and not in an endless delivery.
fn text(topic: Bytes) -> Bytes {
    if std::str::from_utf8(&topic).is_ok() { topic } else { String::from_utf8_lossy(&topic).into_owned().into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TopicFilter;

    fn broker(url: &str) -> ExternalBroker {
        ExternalBroker::new(url, "portico", vec![TopicFilter::parse("city/#").unwrap()])
    }

    #[test]
    fn addresses_are_read_or_refused_with_the_rule() {
        let read = |url: &str| address(&broker(url)).ok();
        assert_eq!(read("mqtt://broker"), Some(("broker".into(), 1_883, false)));
        assert_eq!(read("mqtts://broker:99/"), Some(("broker".into(), 99, true)));
        assert_eq!(read("mqtt://[::1]:18"), Some(("::1".into(), 18, false)));
        assert_eq!(read("mqtt://[::1]"), Some(("::1".into(), 1_883, false)));
        for bad in ["broker", "http://broker", "mqtt://", "mqtt://u:p@host", "mqtt://host:port", "mqtt://host:70000"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn settings_that_cannot_work_are_refused_by_name() {
        assert!(check(&broker("mqtt://h")).is_ok());
        type Change = fn(&mut ExternalBroker);
        let cases: [(Change, &str); 6] = [
            (|b| b.url = "mqtts://h".into(), "tls"),
            (|b| b.client_id.clear(), "client_id"),
            (|b| b.topics.clear(), "topics"),
            (|b| b.keep_alive = std::time::Duration::from_secs(1), "keep_alive"),
            (|b| b.in_flight_max = 0, "in_flight_max"),
            (|b| b.shared_group = Some("a/b".into()), "shared_group"),
        ];
        for (change, name) in cases {
            let mut config = broker("mqtt://h");
            change(&mut config);
            assert!(check(&config).unwrap_err().to_string().contains(name), "{name}");
        }
    }
}
