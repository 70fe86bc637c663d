use super::*;
use crate::format::tests::City;
use proptest::prelude::*;
use schemas::Counts;

fn parts(text: &str) -> Result<String, Reject> {
    let mut line = Line::new(text);
    let mut out = line.measurement()?.into_owned();
    while let Some((key, value)) = line.tag()? {
        out += &format!(" [{key}|{value}]");
    }
    let mut first = true;
    while let Some((key, value)) = line.field(&mut first)? {
        out += &format!(" {key}={value:?}");
    }
    Ok(out + &format!(" @{:?}", line.time()?.map(|t| t.1)))
}

#[test]
fn lines_of_the_reference_are_read() {
    for (text, want) in [
        ("m f=1", r#"m f=Number("1") @None"#),
        ("m,t=a f=1i,g=2u,h=-3i 5", r#"m [t|a] f=Number("1") g=Number("2") h=Number("-3") @Some(5)"#),
        ("m,t=a f=1e-5,g=.5,h=1.,i=+1E+2 -1", r#"m [t|a] f=Number("1e-5") g=Number(".5") h=Number("1.") i=Number("+1E+2") @Some(-1)"#),
        ("m f=t,g=FALSE,h=True", "m f=Bool(true) g=Bool(false) h=Bool(true) @None"),
        (r#"a\ b\,c,k\=1=v\ \,\= f\ 1="x \"y\" \\ z, =" 7"#, r#"a b,c [k=1|v ,=] f 1=Text("x \"y\" \\ z, =") @Some(7)"#),
        (r"m\x,t=C:\dir f=1", r#"m\x [t|C:\dir] f=Number("1") @None"#),
        (r#"m,t="a" f=1"#, r#"m [t|"a"] f=Number("1") @None"#),
        ("  m   f=1   9  \r", r#"m f=Number("1") @Some(9)"#),
        ("città,via=È f=\"à\nb\"", "città [via|È] f=Text(\"à\\nb\") @None"),
    ] {
        assert_eq!(parts(text).unwrap(), want, "{text}");
    }
}

#[test]
fn what_is_wrong_is_named() {
    for (text, field, word) in [
        (",t=a f=1", "measurement", "measurement is missing"),
        ("m", "fields", "a field is missing"),
        ("m,t f=1", "t", "has no '=value'"),
        ("m,t= f=1", "t", "leave the tag out"),
        ("m,=a f=1", "tags", "no key"),
        ("m f", "f", "has no '=value'"),
        ("m f=", "f", "has no value"),
        ("m f=1,", "fields", "a field is missing"),
        ("m f=abc", "f", "is no value"),
        ("m f=1.2.3", "f", "is no value"),
        ("m f=nan", "f", "is no value"),
        ("m f=-1u", "f", "is no value"),
        ("m f=--1i", "f", "is no value"),
        ("m f=i", "f", "is no value"),
        ("m f=\"a", "f", "no closing"),
        ("m f=\"a\"b", "f", "after the text"),
        ("m f=1 abc", "time", "not a whole number"),
        ("m f=1 1.5", "time", "not a whole number"),
        ("m f=1 99999999999999999999", "time", "not a whole number"),
    ] {
        let reject = parts(text).unwrap_err();
        assert_eq!((reject.reason, reject.field.as_deref()), (Reason::NotFormat, Some(field)), "{text}");
        assert!(reject.message.contains(word), "{text}: {}", reject.message);
    }
}

#[test]
fn lines_are_split_where_no_text_is_open() {
    let split = |text: &str| Lines::new(text.as_bytes()).map(|(n, r)| format!("{n}:{}", &text[r])).collect::<Vec<_>>();
    assert_eq!(split("a f=1\n\n# x\r\n  b f=2\r\nc f=3"), ["1:a f=1", "4:b f=2\r", "5:c f=3"]);
    assert_eq!(split("a f=\"x\ny\",g=1 5\nb f=2"), ["1:a f=\"x\ny\",g=1 5", "3:b f=2"]);
    // A quote in a tag opens nothing, and one that is never closed takes its own line only.
    assert_eq!(split("a,t=\"x f=1\nb f=2"), ["1:a,t=\"x f=1", "2:b f=2"]);
    assert_eq!(split("a f=\"x\nb f=2\nc f=3"), ["1:a f=\"x", "2:b f=2", "3:c f=3"]);
}

const LINES: &str = "weather_station,host=h1,lat=44.49,lon=11.34,station=S\\ 1 rh=60i,temp_f=68,uptime=3i 1772359200000000000\n\
    weather_station,station=S2 temp_f=500 1772359200000000000\n\
    weather,sensor=w7,host=h1 temperature=21.5,humidity=40i 1772359200000001999\n\
    weather,host=h1,id=w8,sensor=w9 temperature=21.5\n\
    weather,id=w8 temprature=21.5 1772359200000000000\n\
    traffic_class_count,id=t,direction=1,vehicle_class=2,period=PT1H transits=30i 1772359200000000000\n\
    wether,id=a temperature=1 1772359200000000000";

#[tokio::test]
async fn mappings_and_contracts_read_lines_and_again_changes_nothing() {
    let city = City::new(include_str!("../../../mappings/influx.toml"));
    let topic = |line: &str| format!("influx/telegraf/{}", line.split([',', ' ']).next().unwrap());
    let lines: Vec<(String, &str)> = LINES.lines().map(|l| (topic(l.trim()), l.trim())).collect();
    let messages: Vec<(&str, &[u8])> = lines.iter().map(|(t, l)| (t.as_str(), l.as_bytes())).collect();
    let outcome = city.send(&messages).await;
    let want = Counts { received: 7, stored: 4, quarantined: 3, ..Counts::default() };
    assert_eq!(outcome.counts, want, "{:?}", outcome.rejects);
    let rejects: Vec<_> = outcome.rejects.iter().map(|r| (r.message, r.reason, r.field.as_deref())).collect();
    assert_eq!(
        rejects,
        [(1, "out_of_range", Some("temperature")), (4, "unknown_field", Some("temprature")), (6, "unknown_topic", Some("measurement"))]
    );
    assert!(outcome.rejects[2].text.contains("did you mean 'weather'?"), "{}", outcome.rejects[2].text);
    let rows = city.sink.rows();
    let has = |words: &[&str]| rows.iter().any(|r| words.iter().all(|w| r.contains(w)));
    // 68 °F, and a place in tags.
    assert!(has(&[":s-1\"", "60.0", "2026-03-01T10:00:00", "44.49"]) && (has(&["20.0"]) || has(&["20.000000000"])), "{rows:?}");
    assert!(has(&[":w7\"", "10:00:00.000001"]), "microseconds, and the tag of the setting: {rows:?}");
    assert!(has(&[":w8\""]) && !has(&[":w9\""]), "'id' comes before the tags of the setting: {rows:?}");
    assert!(has(&["traffic_class_count", "PT1H", "30"]), "keys may be tags: {rows:?}");
    for _ in 0..3 {
        let again: Vec<_> = messages.iter().rev().copied().collect();
        city.send(&again).await;
    }
    assert_eq!(city.sink.rows(), rows);
}

#[tokio::test]
async fn one_payload_may_hold_several_lines() {
    let toml = "[[mapping]]\nname = \"t\"\ntopic = \"telegraf/#\"\nformat = \"line_protocol\"\nproduct = \"weather\"\nentity = \"/tags/host\"\nobserved_at = \"/time\"\n\
        when = { \"/measurement\" = \"air\" }\nfields.temperature = \"/fields/t\"\n[[mapping]]\nname = \"n\"\ntopic = \"telegraf/#\"\nformat = \"line_protocol\"\n\
        product = \"noise\"\nentity = \"/tags/host\"\nobserved_at = { pointer = \"/fields/at\", format = \"epoch_s\" }\nfields.laeq = \"/fields/l\"\n";
    let city = City::new(toml);
    let payload = b"air,host=a t=1 1772359200000000000\n# note\nsound,host=a l=50,at=1772359200i\nsound,host=a l=51\nair,host=b t=x\n";
    let outcome = city.send(&[("telegraf/x", payload), ("telegraf/x", b"\n"), ("telegraf/x", b"\xff")]).await;
    let want = Counts { received: 6, stored: 2, quarantined: 3, dropped: 1, ..Counts::default() };
    assert_eq!(outcome.counts, want, "{:?}", outcome.rejects);
    assert!(outcome.rejects.iter().any(|r| r.text.starts_with("line 4: ")), "{:?}", outcome.rejects);
}

#[test]
fn neither_a_comment_nor_a_backslash_takes_the_next_line_along() {
    let lines = |text: &'static str| Lines::new(text.as_bytes()).map(|(n, range)| (n, &text[range])).collect::<Vec<_>>();
    assert_eq!(lines("#\"\\\na v=1"), [(2, "a v=1")]);
    assert_eq!(lines("# t=\"\na v=1\nb v=\"1\""), [(2, "a v=1"), (3, "b v=\"1\"")]);
    assert_eq!(lines("\"a\\\nb v=1"), [(1, "\"a\\"), (2, "b v=1")]);
}

proptest! {
    #[test]
    fn no_bytes_panic_and_no_line_vanishes(text in prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..80),
        "[mft,=\" \\\\\n#0-9.eiu]{0,60}".prop_map(String::into_bytes),
        (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(at, b)| {
            let mut text = LINES.as_bytes().to_vec();
            let at = at.index(text.len());
            text[at] = b;
            text
        }),
    ]) {
        let mut covered = 0;
        for (_, range) in Lines::new(&text) {
            prop_assert!(range.start >= covered && range.end <= text.len());
            prop_assert!(text[covered..range.start].split(|b| *b == b'\n').all(|l| l.trim_ascii().is_empty() || l.trim_ascii_start().starts_with(b"#")));
            covered = range.end;
            if let Ok(line) = std::str::from_utf8(&text[range]) {
                let _ = parts(line);
            }
        }
    }

    #[test]
    fn what_is_escaped_comes_back(names in proptest::collection::vec("[^\n\\\\]{1,8}", 4), text in "[^\n]{0,12}", value in any::<f64>(), time in any::<i64>()) {
        prop_assume!(value.is_finite() && !names[0].starts_with([' ', '\t', '\0', '#']));
        prop_assume!(names.iter().all(|n| !n.ends_with('\r')));
        let escape = |t: &str| t.replace(',', "\\,").replace('=', "\\=").replace(' ', "\\ ");
        let measurement = names[0].replace(',', "\\,").replace(' ', "\\ ");
        let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
        let line = format!("{measurement},{}={} {}={value:e},t=\"{quoted}\" {time}", escape(&names[1]), escape(&names[2]), escape(&names[3]));
        let mut reader = Line::new(&line);
        prop_assert_eq!(&*reader.measurement().unwrap(), names[0].as_str());
        let (key, tag) = reader.tag().unwrap().unwrap();
        prop_assert_eq!((&*key, &*tag), (names[1].as_str(), names[2].as_str()));
        prop_assert!(reader.tag().unwrap().is_none());
        let mut first = true;
        let (key, number) = reader.field(&mut first).unwrap().unwrap();
        let Token::Number(number) = number else { panic!("{number:?}") };
        prop_assert_eq!((&*key, number.parse()), (names[3].as_str(), Ok(value)));
        let (_, have) = reader.field(&mut first).unwrap().unwrap();
        prop_assert_eq!(have, Token::Text(text.into()));
        prop_assert!(reader.field(&mut first).unwrap().is_none());
        prop_assert_eq!(reader.time().unwrap().unwrap().1, time);
    }
}
