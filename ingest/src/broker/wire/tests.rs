use super::*;
use proptest::prelude::*;

#[derive(Debug, Clone, PartialEq)]
struct Message {
    topic: Vec<u8>,
    payload: Vec<u8>,
    qos: u8,
    id: u16,
    properties: Vec<u8>,
}

fn any_message() -> impl Strategy<Value = Message> {
    let property = prop_oneof![
        Just(vec![0x01, 1]),
        any::<[u8; 4]>().prop_map(|b| [&[0x02][..], &b].concat()),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(|v| [&[0x09, 0, v.len() as u8][..], &v].concat()),
    ];
    (
        prop::collection::vec(any::<u8>(), 0..40),
        prop::collection::vec(any::<u8>(), 0..400),
        0..3_u8,
        1..u16::MAX,
        prop::option::of(property),
    )
        .prop_map(|(topic, payload, qos, id, property)| Message {
            topic,
            payload,
            qos,
            id: if qos == 0 { 0 } else { id },
            properties: property.unwrap_or_default(),
        })
}

fn encode(m: &Message, version: Version) -> Vec<u8> {
    let mut body = [&(m.topic.len() as u16).to_be_bytes()[..], &m.topic].concat();
    if m.qos > 0 {
        body.extend(m.id.to_be_bytes());
    }
    if version == Version::V5 {
        put_varint(&mut body, m.properties.len());
        body.extend(&m.properties);
    }
    body.extend(&m.payload);
    let mut out = vec![0x30 | (m.qos << 1)];
    put_varint(&mut out, body.len());
    out.extend(body);
    out
}

/// Feeds the stream in the given pieces and reads every message as the connection does.
fn read_all(stream: &[u8], cuts: &[usize], version: Version) -> Vec<Message> {
    let mut out = Vec::new();
    let (mut buffer, mut fed) = (Vec::new(), 0);
    for cut in cuts.iter().map(|c| c % (stream.len() + 1)).chain([stream.len()]) {
        if cut <= fed {
            continue;
        }
        buffer.extend_from_slice(&stream[fed..cut]);
        fed = cut;
        let whole = whole_packets(&buffer, usize::MAX);
        let mut at = 0;
        while at < whole {
            let h = head(&buffer[at..], usize::MAX).unwrap().unwrap();
            let packet = &buffer[at..at + h.end];
            let p = publish(packet, h, version).unwrap();
            let part = |r: Range<usize>| packet[r].to_vec();
            out.push(Message { topic: part(p.topic), payload: part(p.payload), qos: p.qos, id: p.id, properties: part(p.properties) });
            at += h.end;
        }
        buffer.drain(..whole);
    }
    assert!(buffer.is_empty());
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_stream_gives_the_same_messages_however_it_is_cut(
        messages in prop::collection::vec(any_message(), 1..12),
        cuts in prop::collection::vec(any::<usize>(), 0..12),
        five in any::<bool>(),
    ) {
        let version = if five { Version::V5 } else { Version::V4 };
        let expected: Vec<_> = messages.into_iter().map(|m| if five { m } else { Message { properties: vec![], ..m } }).collect();
        let stream: Vec<u8> = expected.iter().flat_map(|m| encode(m, version)).collect();
        let mut cuts = cuts;
        cuts.sort_by_key(|c| c % (stream.len() + 1));
        prop_assert_eq!(read_all(&stream, &cuts, version), expected);
    }

    #[test]
    fn random_bytes_are_refused_or_read_and_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), first in any::<u8>(), five in any::<bool>()) {
        let version = if five { Version::V5 } else { Version::V4 };
        let mut out = vec![first];
        put_varint(&mut out, bytes.len());
        out.extend(&bytes);
        for buf in [&out[..], &bytes[..]] {
            let whole = whole_packets(buf, 1_000);
            prop_assert!(whole <= buf.len());
            if let Ok(Some(h)) = head(buf, 1_000) && h.end <= buf.len() {
                let packet = &buf[..h.end];
                if let Ok(p) = publish(packet, h, version) {
                    prop_assert!(p.topic.end <= p.payload.start && p.payload.end == h.end);
                    let _ = message_expiry(&packet[p.properties]);
                }
                let _ = ack_id(packet, h);
                use super::super::control;
                let _ = control::connect(packet, h);
                let _ = control::subscribe(packet, version);
                let _ = control::unsubscribe(packet, version);
                let _ = control::disconnect(packet, h, version);
            }
        }
    }

    #[test]
    fn what_we_encode_for_subscribers_is_what_we_read(m in any_message(), five in any::<bool>()) {
        let version = if five { Version::V5 } else { Version::V4 };
        let packet = encode_publish(version, &m.topic, &m.properties, &m.payload, true);
        let h = head(&packet, usize::MAX).unwrap().unwrap();
        prop_assert_eq!(h.end, packet.len());
        let p = publish(&packet, h, version).unwrap();
        prop_assert!(p.retain && p.qos == 0);
        prop_assert_eq!(&packet[p.topic], &m.topic[..]);
        prop_assert_eq!(&packet[p.payload], &m.payload[..]);
    }
}

#[test]
fn lengths_of_one_to_four_bytes() {
    for (len, bytes) in [(0, 2), (127, 2), (128, 3), (16_383, 3), (16_384, 4), (2_097_151, 4), (2_097_152, 5), (268_435_455, 5)] {
        let mut buf = vec![0x30];
        put_varint(&mut buf, len);
        assert_eq!(buf.len(), bytes);
        assert_eq!(varint_len(len), bytes - 1);
        assert_eq!(head(&buf, usize::MAX).unwrap().unwrap(), Head { first: 0x30, body: bytes, end: bytes + len });
        assert_eq!(head(&buf[..bytes - 1], usize::MAX), Ok(None));
    }
    assert!(matches!(head(&[0x30, 0x80, 0x80, 0x80, 0x80], usize::MAX), Err(Fault::Malformed(_))));
}

#[test]
fn expiry_is_found_among_other_properties() {
    let properties = [0x01, 1, 0x26, 0, 1, b'a', 0, 2, b'b', b'c', 0x02, 0, 0, 1, 0, 0x03, 0, 0];
    assert_eq!(message_expiry(&properties), Some((256, 11)));
    assert_eq!(message_expiry(&properties[..10]), None);
}
