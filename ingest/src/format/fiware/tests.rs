use super::*;
use proptest::prelude::*;
use schemas::{Tenant, Timestamp};
use serde_json::{Value, json};

fn translate(format: &dyn Format, topic: &str, payload: &[u8]) -> Result<Option<Value>, Reject> {
    let tenant = Tenant::new("bologna").unwrap();
    let mut out = Vec::new();
    let incoming = Incoming { tenant: &tenant, topic, payload, received_at: Timestamp(0) };
    Ok(match format.translate(incoming, &mut out)? {
        Translated::Document => Some(serde_json::from_slice(&out).unwrap()),
        _ => None,
    })
}

#[test]
fn groups_times_and_points_are_read() {
    let ul = |text: &str| translate(&UltraLight, "/ul/key/dev/attrs", text.as_bytes());
    assert_eq!(
        ul("2016-06-13T00:35:30Z|lle|100#gps|1.2/3.4#t|10|k|abc").unwrap().unwrap(),
        json!({"measures": [
            {"time": "2016-06-13T00:35:30Z", "values": {"lle": "100"}},
            {"values": {"gps": "1.2/3.4"}, "points": {"gps": [1.2, 3.4]}},
            {"values": {"t": "10", "k": "abc"}}
        ]})
    );
    assert_eq!(translate(&UltraLight, "/ul/key/dev/attrs/t", b"15").unwrap().unwrap(), json!({"measures": [{"values": {"t": "15"}}]}));
    for (text, word) in
        [("t|1|k", "odd number"), ("2016-06-13T00:35:30Z", "no value"), ("t|1|t|2", "stands twice"), ("|1", "a key is empty")]
    {
        let message = ul(text).unwrap_err().message;
        assert!(message.contains(word), "{text}: {message}");
    }
    assert_eq!(ul("#").unwrap(), None);
    assert_eq!(translate(&UltraLight, "/ul/key/dev/cmd", b"dev@ping|x").unwrap(), None);
}

#[test]
fn json_measures_keep_their_numbers_and_times() {
    let read = |text: &str| translate(&Json, "/json/key/dev/attrs", text.as_bytes());
    let want = json!({"measures": [{"time": "2016-06-13T00:35:30Z", "values": {"h": "45%", "t": 23.25}}]});
    assert_eq!(read(r#"{"h":"45%","t":23.25,"TimeInstant":"2016-06-13T00:35:30Z"}"#).unwrap().unwrap(), want);
    assert_eq!(read(r#"[{"t":1},{"t":2}]"#).unwrap().unwrap()["measures"].as_array().unwrap().len(), 2);
    assert_eq!(translate(&Json, "/json/key/dev/attrs/t", b"1.5").unwrap().unwrap(), json!({"measures": [{"values": {"t": 1.5}}]}));
    assert_eq!(read("[1]").unwrap_err().reason, Reason::NotJson);
    let wide = serde_json::to_string(&(0..300).map(|i| (format!("a{i}"), i)).collect::<BTreeMap<_, _>>()).unwrap();
    assert_eq!(read(&wide).unwrap_err().reason, Reason::TooLarge);
}

proptest! {
    #[test]
    fn no_bytes_panic(payload in prop_oneof![proptest::collection::vec(any::<u8>(), 0..60), "[t|#/0-9T.\\[\\]{}\":,]{0,40}".prop_map(String::into_bytes)]) {
        for topic in ["/ul/k/d/attrs", "/ul/k/d/attrs/t", "x", ""] {
            let _ = translate(&UltraLight, topic, &payload);
            let _ = translate(&Json, topic, &payload);
        }
    }
}
