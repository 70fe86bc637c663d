use super::*;
use crate::testing;
use route::{Route, Router};
use schemas::Tenant;

const EXAMPLE: &str = include_str!("../../mappings/example.toml");

fn error(toml: &str) -> String {
    match Mappings::parse([("m.toml", toml)]).and_then(|m| Router::new(testing::contracts(), m)) {
        Ok(_) => String::new(),
        Err(e) => e.to_string(),
    }
}

#[test]
fn the_example_compiles_and_routes() {
    let router = Router::new(testing::contracts(), Mappings::parse([("example.toml", EXAMPLE)]).unwrap()).unwrap();
    let route = |topic: &str| router.route(&Tenant::new("bologna").unwrap(), topic);
    assert!(matches!(route("tele/x/STATE"), Route::Dropped));
    assert!(matches!(route("masts/hill/7/extra"), Route::Refused(_)));
    let Route::Known(known) = route("masts/hill/7") else { panic!("not routed") };
    let entity = known.choices[0].entity.clone().unwrap().unwrap();
    assert_eq!(&*entity.id, "urn:ngsi-ld:WeatherObserved:bologna:hill-7");
    let Route::Known(known) = route("hubs/1") else { panic!("not routed") };
    assert!(known.selector.is_some() && known.choices[0].plan.outer.is_some());
}

#[test]
fn every_error_names_its_place_and_the_fix() {
    let cases = [
        ("quality", "qualitty = \"/q\"", "m.toml: mapping[0] 'masts': qualitty: unknown key; did you mean 'quality'?"),
        ("field", "fields.temprature = \"/t\"", "has no field 'temprature'; did you mean 'temperature'?"),
        ("pointer", "fields.humidity = \"t\"", "'t' is not a JSON pointer"),
        ("capture", "tenant = \"{city}\"", "'{city}' is not in the topic"),
        ("root", "fields.humidity = \"^/t\"", "needs 'each'"),
        ("both", "fields.humidity = { pointer = \"/t\", value = 1 }", "give either 'pointer' or 'value'"),
        ("constant", "fields.humidity = { value = 400 }", "'humidity' is 400; the contract wants between 0 and 100"),
        ("lon", "lon = \"/x\"", "lon and lat come together"),
        ("zone", "observed_at = { pointer = \"/t\", format = \"local\" }", "needs 'zone'"),
        ("or", "observed_at = { pointer = \"/t\", or = \"now\" }", "must be 'receipt'"),
        ("format", "format = \"sparkplug\"", "did you mean 'sparkplug_b'?"),
        ("unknown", "unknown_fields = \"keep\"", "'quarantine', 'ignore' or 'drop'"),
        ("scale", "fields.humidity = { pointer = \"/t\", scale = nan }", "must be a finite number"),
    ];
    for (what, line, want) in cases {
        let time = if line.starts_with("observed_at") { "" } else { "observed_at = \"/t0\"\n" };
        let toml = format!(
            "[[mapping]]\nname = \"masts\"\ntopic = \"masts/{{mast}}\"\nproduct = \"weather\"\nentity = \"{{mast}}\"\n{time}{line}\nfields.pressure = \"/p\"\n"
        );
        let have = error(&toml);
        assert!(have.contains(want), "{what}: {have}");
    }
    assert!(error("[[maping]]\n").contains("did you mean 'mapping'?"));
    assert!(error("[[mapping]]\nname = \"a\"\ntopic = \"a/#/b\"\n").contains("level '#'"));
    assert!(error("not toml").starts_with("m.toml: "));
}

#[test]
fn a_sender_reaches_its_own_tenant_only() {
    let router = Router::new(testing::contracts(), Mappings::builtin()).unwrap();
    let Route::Refused(reject) = router.route(&Tenant::new("imola").unwrap(), "portico/bologna/noise/x") else { panic!("API-1") };
    assert!(reject.message.contains("'bologna'") && reject.message.contains("'imola'"), "{}", reject.message);
}

#[test]
fn templates_match_whole_levels() {
    let template = template::TopicTemplate::parse("a/{x}/+/#").unwrap();
    assert_eq!(template.matches("a/1/2"), Some(vec![("x", "1")]));
    assert_eq!(template.matches("a/1/2/3/4"), Some(vec![("x", "1")]));
    assert_eq!(template.matches("a/1"), None);
    assert_eq!(template.matches("b/1/2"), None);
    for bad in ["", "$SYS/x", "a/b+", "a/{x}/{x}", "a/#/b", "a/{x"] {
        assert!(template::TopicTemplate::parse(bad).is_err(), "{bad}");
    }
}
