use super::*;
use crate::lorawan::tests::fixture;
use proptest::prelude::*;

const GATEWAY: Eui = Eui(1);

fn text(name: &str) -> String {
    String::from_utf8(fixture(&format!("basics_station/{name}.json"))).unwrap()
}

fn frame(text: &str) -> Reception {
    match read(GATEWAY, text).unwrap() {
        Said::Frame(reception) => *reception,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_fixtures_become_the_bytes_of_the_air() {
    let up = frame(&text("updf"));
    // MHDR, DevAddr -10, FCtrl, FCnt 400, FOpts, no port, MIC -20: all little endian.
    assert_eq!(hex(&up.phy), "40f6ffffff8090010102ecffffff");
    assert_eq!(
        (up.rssi, up.snr, up.frequency_hz, up.modulation),
        (Some(-120.0), Some(5.5), Some(868_100_000), Modulation::of_data_rate(5))
    );
    assert_eq!(up.time.unwrap().to_rfc3339(), "2023-11-14T22:13:20.123Z");
    assert_eq!(up.answer_at, Some(AnswerAt::Station { xtime: 2, rctx: 1 }));
    let join = frame(&text("jreq"));
    assert_eq!((hex(&join.phy), join.time), ("0001010101010101010202020202020202030309b97c32".into(), None));
    assert_eq!(read(GATEWAY, &text("version")), Ok(Said::Version));
}

#[test]
fn frames_that_cannot_be_are_refused_in_words() {
    let with = |key: &str, value: Value| {
        let mut message: Value = serde_json::from_str(&text("updf")).unwrap();
        message[key] = value;
        read(GATEWAY, &message.to_string())
    };
    for (key, value, rule) in [
        ("FOpts", json!("0"), "FOpts"),
        ("FRMPayload", json!("zz"), "FRMPayload"),
        ("FPort", json!(300), "FPort"),
        ("DevAddr", json!(1_i64 << 40), "DevAddr has more than 32 bits"),
        ("MIC", Value::Null, "updf"),
        ("FRMPayload", json!("00".repeat(300)), "255"),
    ] {
        let said = with(key, value).unwrap_err();
        assert!(said.contains(rule), "{said}");
    }
    assert!(read(GATEWAY, "[]").is_err());
    assert_eq!(read(GATEWAY, r#"{"msgtype":"rmtsh"}"#), Ok(Said::Other));
    assert_eq!(read(GATEWAY, r#"{"msgtype":"dntxed","diid":77,"xtime":1}"#), Ok(Said::Transmitted { diid: 77 }));
    assert_eq!(read(GATEWAY, r#"{"msgtype":"dntxed","diid":-1}"#), Ok(Said::Other));
    // An unsigned address is the same address.
    assert_eq!(frame(&text("updf").replace("-10,", "4294967286,")).phy, frame(&text("updf")).phy);
}

#[test]
fn a_station_is_told_where_to_go_and_its_channels() {
    let (eui, answer) = router_info(r#"{"router":"b827:ebff:fe00:1"}"#, "lns.city:3001", true).unwrap();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!((eui, answer["uri"].as_str()), (Eui(0xb827_ebff_fe00_0001), Some("wss://lns.city:3001/gateway/b827ebfffe000001")));
    assert_eq!(answer["router"], "B8-27-EB-FF-FE-00-00-01");
    assert!(router_info("{}", "h", false).is_err());
    let config: Value = serde_json::from_str(&router_config(14)).unwrap();
    assert_eq!((config["msgtype"].as_str(), config["DRs"].as_array().unwrap().len()), (Some("router_config"), 16));
    let board = &config["sx1301_conf"][0];
    let mut channels: Vec<i64> = (0..8)
        .map(|i| &board[format!("chan_multiSF_{i}")])
        .map(|c| board[format!("radio_{}", c["radio"])]["freq"].as_i64().unwrap() + c["if"].as_i64().unwrap())
        .collect();
    channels.sort_unstable();
    let wanted: Vec<i64> = (0..5).map(|i| 867_100_000 + i * 200_000).chain((0..3).map(|i| 868_100_000 + i * 200_000)).collect();
    assert_eq!(channels, wanted);
}

proptest! {
    #[test]
    fn no_text_panics(text: String, at in 0_usize..400, with in "[ -~]") {
        let _ = (read(GATEWAY, &text), router_info(&text, "h", false));
        for name in ["updf", "jreq", "version"] {
            let mut mutated = super::tests::text(name);
            let at = at % mutated.len();
            mutated.replace_range(at..=at, &with);
            let _ = read(GATEWAY, &mutated);
        }
    }
}
