//! Reading the settings: file, then environment; a misspelt key is an error that suggests the right one.

use super::{Config, declared};
use std::path::Path;

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the settings file {path}: {source}")]
    Read { path: String, source: std::io::Error },
    #[error("{path} is not TOML: {message}")]
    Syntax { path: String, message: String },
    #[error("unknown setting '{key}' in {origin}{hint}")]
    Unknown { key: String, origin: String, hint: String },
    #[error("setting '{key}' has a wrong value: {message}")]
    Value { key: String, message: String },
}

/// Reads `file` if there is one, then the variables of `env`.
///
/// # Errors
/// A file that cannot be read, text that is not TOML, an unknown key, a value of the wrong kind.
pub fn load(file: Option<&Path>, env: impl Iterator<Item = (String, String)>) -> Result<Config, ConfigError> {
    let mut table = toml::Table::new();
    if let Some(path) = file {
        let origin = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: origin.clone(), source })?;
        table = text.parse().map_err(|e: toml::de::Error| ConfigError::Syntax { path: origin.clone(), message: e.to_string() })?;
        refuse_unknown(&table, &origin)?;
    }
    overlay(&mut table, env)?;
    let config: Config = table
        .try_into()
        .map_err(|e: toml::de::Error| ConfigError::Value { key: field_of(e.message()), message: e.message().to_owned() })?;
    check(&config)?;
    Ok(config)
}

fn check(config: &Config) -> Result<(), ConfigError> {
    let wrong = |key: &str, message: &str| Err(ConfigError::Value { key: key.into(), message: message.into() });
    let one_of_two = config.tls.certificate.as_os_str().is_empty() != config.tls.key.as_os_str().is_empty();
    if one_of_two {
        return wrong("tls", "set both 'certificate' and 'key', or neither");
    }
    if !matches!(config.log.format.as_str(), "text" | "json") {
        return wrong("log.format", "must be 'text' or 'json'");
    }
    for table in &config.city.public {
        schemas::TableRef::parse(table).or_else(|e| wrong("city.public", &e.to_string()).map(|()| unreachable!("wrong() is an error")))?;
    }
    schemas::Tenant::new(&config.city.tenant).map_err(|e| ConfigError::Value { key: "city.tenant".into(), message: e.to_string() })?;
    Ok(())
}

fn field_of(message: &str) -> String {
    message.split('`').nth(1).unwrap_or("?").to_owned()
}

fn refuse_unknown(table: &toml::Table, origin: &str) -> Result<(), ConfigError> {
    let declared = declared();
    let sections: Vec<&str> = declared.iter().map(|d| d.0).chain(["brokers", "webhooks"]).collect();
    for (section, value) in table {
        let Some((_, _, settings)) = declared.iter().find(|d| d.0 == section) else {
            if section == "brokers" || section == "webhooks" {
                continue;
            }
            return Err(unknown(section, origin, &sections));
        };
        let keys: Vec<String> = settings.iter().map(|s| format!("{section}.{}", s.key)).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        for key in value.as_table().into_iter().flat_map(toml::Table::keys) {
            let full = format!("{section}.{key}");
            if !keys.contains(&full.as_str()) {
                return Err(unknown(&full, origin, &keys));
            }
        }
    }
    Ok(())
}

fn unknown(key: &str, origin: &str, known: &[&str]) -> ConfigError {
    let near = known.iter().map(|k| (strsim::jaro_winkler(key, k), k)).max_by(|a, b| a.0.total_cmp(&b.0));
    let hint = near.filter(|n| n.0 > 0.75).map_or_else(String::new, |n| format!("; did you mean '{}'?", n.1));
    ConfigError::Unknown { key: key.to_owned(), origin: origin.to_owned(), hint }
}

/// Variables outside the settings that Portico or its build reads.
const OTHER_ENV: [&str; 4] = ["PORTICO_CONFIG", "PORTICO_UI", "PORTICO_SHARED", "PORTICO_URL"];

fn overlay(table: &mut toml::Table, env: impl Iterator<Item = (String, String)>) -> Result<(), ConfigError> {
    let declared = declared();
    let settings: Vec<_> = declared.iter().flat_map(|d| d.2.iter()).collect();
    for (name, text) in env.filter(|(n, _)| n.starts_with("PORTICO_") && !OTHER_ENV.contains(&n.as_str())) {
        let Some(setting) = settings.iter().find(|s| s.env() == name) else {
            let names: Vec<String> = settings.iter().map(|s| s.env()).collect();
            return Err(unknown(&name, "the environment", &names.iter().map(String::as_str).collect::<Vec<_>>()));
        };
        let wrong = |message: &str| ConfigError::Value { key: name.clone(), message: format!("'{text}' {message}") };
        let value = match setting.kind {
            "u64" => toml::Value::Integer(text.parse().map_err(|_| wrong("is not a whole number"))?),
            "bool" => toml::Value::Boolean(text.parse().map_err(|_| wrong("is not true or false"))?),
            "Vec<String>" => text.split(',').map(str::trim).filter(|t| !t.is_empty()).map(toml::Value::from).collect::<Vec<_>>().into(),
            _ => toml::Value::String(text.clone()),
        };
        let section = table.entry(setting.section).or_insert_with(|| toml::Table::new().into());
        section.as_table_mut().ok_or_else(|| wrong("cannot replace a section"))?.insert(setting.key.to_owned(), value);
    }
    Ok(())
}
