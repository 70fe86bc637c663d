use super::*;

fn from(toml: &str, env: &[(&str, &str)]) -> Result<Config, String> {
    let dir = std::env::temp_dir().join(format!("portico-config-{}-{:?}", std::process::id(), std::thread::current().id()));
    std::fs::create_dir_all(&dir).unwrap();
    let file = dir.join("portico.toml");
    std::fs::write(&file, toml).unwrap();
    load(Some(&file), env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))).map_err(|e| e.to_string())
}

#[test]
fn environment_wins_over_file_wins_over_default() {
    let config = from("[mqtt]\nbind = '0.0.0.0:1884'\n[http]\nbind = '0.0.0.0:81'", &[("PORTICO_HTTP_BIND", "127.0.0.1:9")]).unwrap();
    assert_eq!(config.mqtt.bind.port(), 1884);
    assert_eq!(config.http.bind.port(), 9);
    assert_eq!(config.postgres.bind.port(), 5432);
}

#[test]
fn misspelt_keys_are_errors_that_suggest() {
    let e = from("[mqtt]\nbindd = 'x'", &[]).unwrap_err();
    assert!(e.contains("mqtt.bindd") && e.contains("did you mean 'mqtt.bind'?"), "{e}");
    let e = from("[mqqt]\nbind = 'x'", &[]).unwrap_err();
    assert!(e.contains("did you mean 'mqtt'?"), "{e}");
    let e = from("", &[("PORTICO_MQTT_BNID", "x")]).unwrap_err();
    assert!(e.contains("did you mean 'PORTICO_MQTT_BIND'?"), "{e}");
}

#[test]
fn wrong_values_name_the_key() {
    assert!(from("", &[("PORTICO_SQL_ROWS_MAX", "many")]).unwrap_err().contains("'many' is not a whole number"));
    assert!(from("[tls]\ncertificate = 'a.pem'", &[]).unwrap_err().contains("both"));
    assert!(from("[log]\nformat = 'xml'", &[]).unwrap_err().contains("log.format"));
}

#[test]
fn every_setting_is_in_the_reference() {
    let text = reference();
    for (_, _, settings) in declared() {
        for s in settings {
            assert!(text.contains(&s.env()), "{}", s.env());
        }
    }
}

/// `docs/CONFIGURATION.md` is what the declaration says; `BLESS=1` writes it.
#[test]
fn settings_reference_is_current() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/CONFIGURATION.md");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&file, reference()).unwrap();
    }
    assert!(std::fs::read_to_string(&file).unwrap_or_default() == reference(), "docs/CONFIGURATION.md is stale: run cargo xtask gen");
}
