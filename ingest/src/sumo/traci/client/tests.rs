use super::*;
use proptest::prelude::*;
use tokio::io::duplex;

/// A status that says yes, and what follows.
fn answer(id: u8, rest: &[u8]) -> Vec<u8> {
    let mut body = vec![0; 4];
    value::put_command(&mut body, id, &[0, 0, 0, 0, 0]);
    body.extend_from_slice(rest);
    let length = u32::try_from(body.len()).unwrap();
    body[..4].copy_from_slice(&length.to_be_bytes());
    body
}

/// What a client does when the simulator answers with these bytes, whatever it is asked.
async fn asked<T>(bytes: Vec<u8>, ask: impl AsyncFnOnce(&mut Client<tokio::io::DuplexStream>) -> T) -> T {
    let (near, mut far) = duplex(1 << 16);
    let serve = tokio::spawn(async move {
        let mut request = [0; 4];
        far.read_exact(&mut request).await.ok();
        far.write_all(&bytes).await.ok();
    });
    let out = ask(&mut Client::over(near, Duration::from_secs(5))).await;
    serve.abort();
    out
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<u8>().prop_map(Value::UByte),
        any::<i8>().prop_map(Value::Byte),
        any::<i32>().prop_map(Value::Int),
        (-1e9..1e9).prop_map(Value::Double),
        ".{0,20}".prop_map(Value::Text),
        proptest::collection::vec(".{0,8}", 0..4).prop_map(Value::Texts),
        proptest::collection::vec(-1e9..1e9, 0..4).prop_map(Value::Doubles),
        proptest::collection::vec(-1e9..1e9, 2..4).prop_map(Value::Position),
        any::<[u8; 4]>().prop_map(Value::Color),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| proptest::collection::vec(inner, 0..6).prop_map(Value::Compound))
}

proptest! {
    #[test]
    fn a_value_is_read_as_it_was_written(value in values()) {
        let mut bytes = Vec::new();
        value.put(&mut bytes);
        let mut reader = Reader::new(&bytes);
        prop_assert_eq!(reader.value().unwrap(), value);
        prop_assert!(reader.is_empty());
    }

    #[test]
    fn any_bytes_are_a_value_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = Reader::new(&bytes).value();
        let _ = observed(&mut Reader::new(&bytes));
        let mut reader = Reader::new(&bytes);
        while !reader.is_empty() && reader.command().is_ok() {}
    }

    #[test]
    fn bytes_with_a_flaw_are_a_value_or_an_error(value in values(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = Vec::new();
        value.put(&mut bytes);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = Reader::new(&bytes).value();
    }
}

#[test]
fn a_count_that_lies_makes_no_memory() {
    for kind in [0x06, 0x0c, 0x0e, 0x0f, 0x10] {
        let mut bytes = vec![kind];
        bytes.extend(if kind == 0x06 { vec![0, 0x7f, 0xff, 0xff, 0xff] } else { vec![0x7f, 0xff, 0xff, 0xff] });
        assert!(Reader::new(&bytes).value().is_err(), "{kind:#x}");
    }
}

#[test]
fn compounds_in_compounds_end_at_a_depth() {
    let bytes = [0x0f, 0, 0, 0, 1].repeat(10_000);
    assert_eq!(Reader::new(&bytes).value(), Err(Malformed("compounds are nested too deep")));
}

#[tokio::test]
async fn a_refusal_comes_with_its_reason() {
    let mut body = vec![0, 0, 0, 4 + 2 + 1 + 4 + 7];
    value::put_command(&mut body, Domain::TrafficLight.get(), &[0xff, 0, 0, 0, 7, b'u', b'n', b'k', b'n', b'o', b'w', b'n']);
    let out = asked(body, async |c| c.get(Domain::TrafficLight, super::super::var::TL_STATE, "x").await).await;
    assert!(out.unwrap_err().to_string().contains("unknown"));
}

#[tokio::test]
async fn a_step_gives_what_was_subscribed_to() {
    let mut one = Vec::new();
    one.extend([0, 0, 0, 3]);
    one.extend(b"209");
    one.extend([2, 0x28, 0]);
    Value::Int(3).put(&mut one);
    // A variable that SUMO could not read comes as an error text.
    one.extend([0x29, 0xff]);
    Value::Text("no".into()).put(&mut one);
    let mut rest = vec![0, 0, 0, 1];
    value::put_command(&mut rest, 0xe2, &one);
    let out = asked(answer(STEP, &rest), async |c| c.step().await).await.unwrap();
    let want = Observed { domain: Domain::TrafficLight, object: "209".into(), values: vec![(0x28, Value::Int(3))] };
    assert_eq!(out, [want]);
}

#[tokio::test]
async fn what_is_not_traci_is_an_error() {
    for bytes in [b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), vec![0, 0, 0, 1], vec![0, 0, 0, 9, 1], answer(0x55, &[])] {
        assert!(asked(bytes.clone(), async |c| c.version().await).await.is_err(), "{bytes:?}");
    }
}
