use super::*;
use proptest::prelude::*;
use schemas::Timestamp;
use serde_json::json;

fn send(homie: &Homie, tenant: &str, topic: &str, payload: &[u8]) -> Result<Option<Value>, Reject> {
    let tenant = Tenant::new(tenant).unwrap();
    let mut out = Vec::new();
    Ok(match homie.translate(Incoming { tenant: &tenant, topic, payload, received_at: Timestamp(0) }, &mut out)? {
        Translated::Document => Some(serde_json::from_slice(&out).unwrap()),
        _ => None,
    })
}

const DESCRIPTION: &[u8] = br#"{"homie":"5.0","version":7,"name":"Car","nodes":{"engine":{"name":"Engine","properties":{
    "temperature":{"datatype":"float","unit":"\u00b0C"},"on":{"datatype":"boolean"},"rpm":{"datatype":"integer"},"name":{"datatype":"string"}}}}}"#;

#[test]
fn a_description_gives_types_and_units_and_belongs_to_its_tenant() {
    let homie = Homie::default();
    let value = |tenant: &str, property: &str, text: &[u8]| send(&homie, tenant, &format!("homie/5/super-car/engine/{property}"), text);
    // Before the description.
    assert_eq!(
        value("bologna", "temperature", b"21.5").unwrap().unwrap(),
        json!({"device": "super-car", "node": "engine", "property": "temperature", "value": 21.5})
    );
    assert_eq!(send(&homie, "bologna", "homie/5/super-car/$state", b"ready").unwrap(), None);
    assert_eq!(send(&homie, "bologna", "homie/5/super-car/$description", DESCRIPTION).unwrap(), None);
    let have = value("bologna", "temperature", b"21").unwrap().unwrap();
    assert_eq!((&have["value"], &have["unit"], &have["state"]), (&json!(21.0), &json!("°C"), &json!("ready")));
    assert_eq!(value("bologna", "on", b"true").unwrap().unwrap()["value"], json!(true));
    assert_eq!(value("bologna", "name", b"12").unwrap().unwrap()["value"], json!("12"));
    assert_eq!(value("bologna", "name", &[0]).unwrap().unwrap()["value"], json!(""));
    for (property, text) in [("rpm", b"1.5".as_slice()), ("on", b"TRUE"), ("temperature", b"NaN"), ("temperature", &[0xff])] {
        assert_eq!(value("bologna", property, text).unwrap_err().field.as_deref(), Some(property));
    }
    assert_eq!(value("imola", "name", b"12").unwrap().unwrap()["value"], json!(12), "another tenant's description");
    // Taken away again.
    assert_eq!(send(&homie, "bologna", "homie/5/super-car/$state", b"").unwrap(), None);
    assert_eq!(value("bologna", "name", b"12").unwrap().unwrap()["value"], json!(12));
}

#[test]
fn what_is_no_value_is_nothing_and_what_is_kept_is_bounded() {
    let homie = Homie::default();
    for topic in ["homie/5/c/e/t/set", "homie/5/c/e/t/$target", "homie/5/$broadcast/x/y", "homie/5/c/$log/warn", "homie/5/c"] {
        assert_eq!(send(&homie, "bologna", topic, b"1").unwrap(), None, "{topic}");
    }
    assert_eq!(send(&homie, "bologna", "homie/5/c/e/t", b"").unwrap(), None, "deleted");
    assert_eq!(send(&homie, "bologna", "homie/4/c/e/t", b"1").unwrap_err().reason, Reason::NotFormat);
    assert_eq!(send(&homie, "bologna", "homie/5/c/$state", b"asleep").unwrap_err().field.as_deref(), Some("$state"));
    let wide: Map<String, Value> = (0..=PROPERTIES_MAX).map(|i| (format!("p{i}"), json!({"datatype": "float"}))).collect();
    let wide = json!({"nodes": {"n": {"properties": wide}}}).to_string();
    assert_eq!(send(&homie, "bologna", "homie/5/c/$description", wide.as_bytes()).unwrap_err().reason, Reason::TooLarge);
    let full: Map<String, Value> = (0..PROPERTIES_MAX).map(|i| (format!("p{i}"), json!({"datatype": "float"}))).collect();
    let full = json!({"nodes": {"n": {"properties": full}}}).to_string();
    let mut refused = 0;
    for i in 0..=PROPERTIES_TOTAL_MAX / PROPERTIES_MAX {
        refused += u32::from(send(&homie, "bologna", &format!("homie/5/d{i}/$description"), full.as_bytes()).is_err());
    }
    assert_eq!(refused, 1);
    assert_eq!(send(&homie, "bologna", "homie/5/d0/$description", full.as_bytes()), Ok(None), "a known device may be described again");
}

proptest! {
    #[test]
    fn no_bytes_panic(topic in "(homie/)?5?/?[a-c$/]{0,12}", payload in proptest::collection::vec(any::<u8>(), 0..40), at in any::<prop::sample::Index>(), b in any::<u8>()) {
        let homie = Homie::default();
        let _ = send(&homie, "bologna", &topic, &payload);
        let mut description = DESCRIPTION.to_vec();
        let at = at.index(description.len());
        description[at] = b;
        let _ = send(&homie, "bologna", "homie/5/d/$description", &description);
    }
}
