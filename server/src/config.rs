//! Every setting of Portico: declared once, read from TOML and the environment, and printed as the reference.

mod load;
mod setting;

pub use load::load;
pub use setting::reference;

use setting::settings;
use std::{net::SocketAddr, path::PathBuf};

settings! {
    city "The city that this installation serves" {
        name: String = "Bologna".into(), "Name shown in the header of the pages";
        tenant: String = "bologna".into(), "Tenant whose tables are meant when a query names none";
        public: Vec<String> = vec!["bologna.air_quality".into(), "bologna.traffic_count".into(), "bologna.traffic_class_count".into(), "bologna.weather".into(), "bologna.noise".into(), "bologna.parking".into(), "bologna.people_vehicle_count".into(), "bologna.street_light".into(), "bologna.waste_container".into(), "bologna.water_level".into()], "Tables that anybody may read without signing in, as tenant.product";
    }
    data "Where everything is kept" {
        dir: PathBuf = "data".into(), "Directory of the log, the tables and the state";
        store: String = String::new(), "Object store of the tables, s3://bucket/prefix; empty keeps them in the directory";
        contracts: PathBuf = PathBuf::new(), "Directory of further data contracts (ODCS YAML); empty uses the built-in ones only";
        mappings: PathBuf = PathBuf::new(), "Directory of further message mappings (TOML); empty uses the built-in ones only";
    }
    http "The web pages and the HTTP API" {
        bind: SocketAddr = local(8080), "Address and port";
        body_bytes_max: u64 = 32 << 20, "Largest request body, after decompression";
        requests_max: u64 = 512, "Requests served at once; more wait, then get 503";
    }
    mqtt "The embedded MQTT broker" {
        enabled: bool = true, "Whether the embedded broker listens";
        bind: SocketAddr = local(1883), "Address and port";
        packet_bytes_max: u64 = 256 << 10, "Largest MQTT packet";
        connections_max: u64 = 10_000, "Connections at once";
    }
    postgres "The PostgreSQL wire" {
        enabled: bool = true, "Whether the PostgreSQL wire listens";
        bind: SocketAddr = local(5432), "Address and port";
        connections_max: u64 = 200, "Connections at once";
    }
    flight "Arrow Flight SQL" {
        enabled: bool = true, "Whether Arrow Flight SQL listens";
        bind: SocketAddr = local(8815), "Address and port";
        connections_max: u64 = 200, "Connections at once";
    }
    tls "Encryption of all doors; both settings turn it on" {
        certificate: PathBuf = PathBuf::new(), "PEM file with the certificate chain";
        key: PathBuf = PathBuf::new(), "PEM file with the private key";
    }
    sql "Limits of one query" {
        rows_max: u64 = 1_000_000, "Rows returned by one query over HTTP";
        memory_mib: u64 = 1_024, "Memory of all queries together; beyond it they spill, then fail";
        timeout_secs: u64 = 300, "Longest run of one query";
    }
    lake "Upkeep of the tables" {
        flush_secs: u64 = 60, "Seconds between two commits of hot rows to the tables";
        hot_mib_max: u64 = 128, "Hot rows that force a commit earlier";
        compact_secs: u64 = 600, "Seconds between two rounds of compaction; 0 turns it off";
        vacuum_hours: u64 = 168, "Hours that files no version needs are kept for readers of old versions";
        retention: bool = true, "Whether dates older than their contract's retention are refused and removed";
    }
    log "What the process writes about itself" {
        format: String = "text".into(), "text or json";
        level: String = "info".into(), "error, warn, info, debug or trace, or a tracing filter";
    }
}

const fn local(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), port)
}

/// A broker that Portico follows as a client, `[[brokers]]` in the file.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Broker {
    /// `mqtt://host:1883` or `mqtts://host:8883`.
    pub url: String,
    pub client_id: String,
    #[serde(default)]
    pub user: String,
    /// A file with the password, so that the configuration can be shown to others.
    #[serde(default)]
    pub password_file: PathBuf,
    pub topics: Vec<String>,
    /// `$share` group, so that several Porticos divide the messages.
    #[serde(default)]
    pub shared_group: Option<String>,
    pub tenant: String,
    pub source: String,
}

impl Config {
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.data.dir.join("state")
    }

    /// Both TLS settings, or neither.
    #[must_use]
    pub fn tls_files(&self) -> Option<(&PathBuf, &PathBuf)> {
        let empty = |p: &PathBuf| p.as_os_str().is_empty();
        (!empty(&self.tls.certificate) && !empty(&self.tls.key)).then_some((&self.tls.certificate, &self.tls.key))
    }
}

#[cfg(test)]
mod tests;
