use super::*;

const EXAMPLE: &str = include_str!("../../cameras/example.toml");

fn register() -> Register {
    Register::parse([("example.toml", EXAMPLE)], Key::new([7; 32])).unwrap()
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn bologna() -> Tenant {
    Tenant::new("bologna").unwrap()
}

#[test]
fn a_stream_is_found_by_what_its_device_calls_itself() {
    let register = register();
    let found = register.find(&bologna(), &["nobody", "front_cam"], at("2026-03-01T00:00:00Z")).unwrap();
    assert_eq!((found.id.as_str(), found.dpia.as_str()), ("porta-saragozza-1", "DPIA-2026-014"));
    assert_eq!((found.zone("yard"), found.zone("John Smith")), (Some("yard"), None));
    let public = serde_json::to_value(found).unwrap();
    assert_eq!(public["purpose"]["it"], "Conteggio anonimo di pedoni e veicoli per il piano della mobilità");
    assert_eq!((&public["valid_to"], &public["names"]), (&"2031-01-01T00:00:00Z".into(), &serde_json::Value::Null));
}

#[test]
fn a_stream_without_an_entry_or_outside_its_time_is_refused_in_plain_words() {
    let register = register();
    let refuse = |tenant: &str, name: &str, time: &str| {
        let e = register.find(&Tenant::new(tenant).unwrap(), &[name], at(time)).unwrap_err();
        assert_eq!(e.reason.code(), "no_register_entry");
        e.message
    };
    let message = refuse("bologna", "back_door", "2026-03-01T00:00:00Z");
    assert!(
        message.contains("'back_door' is not in the city's register of cameras") && message.contains("nothing of what it sent was kept")
    );
    assert!(refuse("bologna", "front_cam", "2031-01-01T00:00:00Z").contains("until 2031-01-01T00:00:00Z"));
    assert!(refuse("bologna", "front_cam", "2017-12-31T23:59:59Z").contains("from 2018-01-01T00:00:00Z"));
    // An entry of one tenant is no entry of another (API-1).
    refuse("imola", "front_cam", "2026-03-01T00:00:00Z");
}

#[test]
fn every_error_of_a_file_names_the_stream_the_key_and_the_fix() {
    let whole = EXAMPLE.split("[[stream]]").nth(1).unwrap();
    for (from, to, want) in [
        ("dpia = \"DPIA-2026-014\"", "", "stream[0] 'porta-saragozza-1': dpia: is missing"),
        ("dpia = \"DPIA-2026-014\"", "dpia = \" \"", "dpia: must be a text of 1 to"),
        ("legal_basis", "legal_base", "legal_basis: is missing"),
        ("retention_days = 90", "retention_days = 0", "retention_days: must be a whole number from 1"),
        ("recipients = [\"Settore Mobilità\"]", "recipients = []", "recipients: must be a list with at least one text"),
        ("valid_to = \"2031-01-01\"", "valid_to = \"2018-01-01\"", "valid_to: must be after valid_from"),
        ("valid_from = \"2018-01-01\"", "", "valid_from: is missing; write a date"),
        ("[[11.3290, 44.4900], ", "[[11.3290], ", "field_of_view: must be a list of [longitude, latitude]"),
        ("[1280, 720]", "[0, 720]", "image: must be [width, height]"),
        ("0.0, 0.0, 1.0]", "0.0, 0.0, 0.0]", "homography: must be nine finite numbers"),
        ("owner =", "note = 1\nowner =", "note: unknown key"),
        ("id = \"porta-saragozza-1\"", "id = \"Porta Saragozza\"", "id: must be lower-case"),
    ] {
        assert!(whole.contains(from), "{from}");
        let text = format!("[[stream]]{}", whole.replacen(from, to, 1));
        let e = Register::parse([("c.toml", text.as_str())], Key::default()).unwrap_err().to_string();
        assert!(e.contains(want), "{want}: {e}");
    }
    let twice = format!("[[stream]]{whole}[[stream]]{}", whole.replace("saragozza-1", "saragozza-2"));
    let e = Register::parse([("c.toml", twice.as_str())], Key::default()).unwrap_err().to_string();
    assert!(e.contains("'front_door' is a name of another stream too"), "{e}");
}

#[test]
fn an_object_has_another_name_on_another_day_stream_or_key() {
    let register = register();
    let [one, two] = register.streams() else { panic!("two streams") };
    let name = |stream: &Stream, object: &str, time: &str| register.pseudonym(stream, object, at(time)).to_string();
    let base = name(one, "15", "2026-03-01T00:00:00Z");
    assert_eq!(base, name(one, "15", "2026-03-01T23:59:59Z"));
    assert_eq!(base.len(), 16);
    let others =
        [name(one, "15", "2026-03-02T00:00:00Z"), name(one, "16", "2026-03-01T00:00:00Z"), name(two, "15", "2026-03-01T00:00:00Z")];
    assert!(!others.contains(&base));
    let other_key = Register::parse([("example.toml", EXAMPLE)], Key::new([8; 32])).unwrap();
    assert_ne!(other_key.pseudonym(one, "15", at("2026-03-01T00:00:00Z")).to_string(), base);
    assert_eq!(format!("{:?}", Key::new([7; 32])), "Key(secret)");
}

#[test]
fn the_ground_is_the_declared_field_of_view_and_nothing_beyond() {
    let register = register();
    let stream = &register.streams()[0];
    let p = stream.ground(0.5, 0.75).unwrap();
    assert!((p.lon - 11.3295).abs() < 1e-9 && (p.lat - 44.49025).abs() < 1e-9);
    assert_eq!(stream.seen(Position::new(11.34, 44.4905).unwrap()), None);
    // At the horizon and beyond it there is no ground.
    let tilted = Homography::new([1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, -0.25]).unwrap();
    assert!(tilted.apply(0.5, 0.2).is_none() && tilted.apply(0.5, 0.25).is_none() && tilted.apply(0.5, 0.9).is_some());
}

#[test]
fn topics_of_cameras_are_known_by_their_makers_conventions() {
    for topic in ["frigate/events", "a/onvif-ej/x", "axis/B8/event/y", "x/axis.scene.frame_v1/1", "portico/bologna/video_event/a"] {
        assert!(is_protected_topic(topic.as_bytes()), "{topic}");
    }
    for topic in ["portico/bologna/air_quality/a", "scenery/1", "axisymmetric"] {
        assert!(!is_protected_topic(topic.as_bytes()), "{topic}");
    }
}

#[test]
fn a_place_a_bearing_an_angle_and_a_range_are_a_field_of_view() {
    let whole = EXAMPLE.split("[[stream]]").nth(1).unwrap();
    let ring = whole.lines().find(|l| l.starts_with("field_of_view")).unwrap();
    let with = |sector: &str| {
        let text = format!("[[stream]]{}", whole.replace(ring, sector));
        Register::parse([("c.toml", text.as_str())], Key::default()).map(|r| r.streams()[0].clone())
    };
    let stream = with("position = [11.33, 44.49]\nbearing = 90\nangle = 60\nrange_m = 100").unwrap();
    let at = |lon: f64, lat: f64| Position::new(lon, lat).unwrap();
    assert_eq!(stream.field_of_view.len(), 14, "the place and thirteen points of the arc");
    // 100 m are 0.00126 degrees of longitude and 0.0009 of latitude here.
    assert!(stream.seen(at(11.3312, 44.49)).is_some() && stream.seen(at(11.3314, 44.49)).is_none());
    assert!(stream.seen(at(11.3306, 44.4902)).is_some() && stream.seen(at(11.3306, 44.4905)).is_none());
    assert!(stream.seen(at(11.3299, 44.49)).is_none(), "nothing behind it");
    let around = with("position = [11.33, 44.49]\nbearing = 0\nangle = 360\nrange_m = 100").unwrap();
    assert!(around.field_of_view.len() == 72 && around.seen(at(11.3299, 44.4901)).is_some());
    for (sector, want) in [
        ("bearing = 90\nangle = 60\nrange_m = 100", "position: is missing"),
        ("position = [11.33, 44.49]\nbearing = 90", "bearing: comes with 'angle' and 'range_m'"),
        ("position = [11.33, 44.49]\nbearing = 400\nangle = 60\nrange_m = 100", "bearing: must be degrees clockwise from north"),
        ("position = [11.33, 44.49]\nbearing = 90\nangle = 'x'\nrange_m = 100", "angle: must be the opening"),
        ("position = [11.33, 44.49]", "or write position, bearing, angle and range_m"),
    ] {
        let e = with(sector).unwrap_err().to_string();
        assert!(e.contains(want), "{want}: {e}");
    }
}
