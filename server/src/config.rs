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
        public: Vec<String> = vec!["bologna.air_quality".into(), "bologna.traffic_count".into(), "bologna.traffic_class_count".into(), "bologna.weather".into(), "bologna.noise".into(), "bologna.parking".into(), "bologna.people_vehicle_count".into(), "bologna.street_light".into(), "bologna.waste_container".into(), "bologna.water_level".into(), "bologna.sensor_register".into(), "bologna.camera_register".into()], "Tables that anybody may read without signing in, as tenant.product";
    }
    data "Where everything is kept" {
        dir: PathBuf = "data".into(), "Directory of the log, the tables and the state";
        store: String = String::new(), "Object store of the tables, s3://bucket/prefix; empty keeps them in the directory";
        contracts: PathBuf = PathBuf::new(), "Directory of further data contracts (ODCS YAML); empty uses the built-in ones only";
        mappings: PathBuf = PathBuf::new(), "Directory of further message mappings (TOML); empty uses the built-in ones only";
        cameras: PathBuf = PathBuf::new(), "Directory of the register of cameras (TOML); cameras that are not in it are refused";
        codecs: PathBuf = PathBuf::new(), "Directory of payload codecs (a directory each, with codec.js and examples.jsonl); empty uses cayenne_lpp only";
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
    lorawan "LoRaWAN gateways, for cities without a network server (EU868, class A)" {
        enabled: bool = true, "Whether packet forwarders are listened to (Semtech UDP, GWMP)";
        bind: SocketAddr = local(1700), "Address and UDP port; the protocol proves nothing about the sender, so beyond this machine the gateways must be named";
        station_enabled: bool = false, "Whether LoRa Basics Stations are listened to (WebSocket, with TLS when it is set)";
        station_bind: SocketAddr = local(3001), "Address and port of the stations";
        gateways: Vec<String> = Vec::new(), "EUIs of the gateways that are read; empty: any, on loopback only; *: any";
        devices: PathBuf = PathBuf::new(), "TOML or CSV file with the devices and their keys (OTAA and ABP); read at the start";
        net_id: String = "000000".into(), "NetID of the network, 6 hexadecimal digits; 000000 and 000001 are private";
        window_ms: u64 = 200, "How long copies of one frame from other gateways are waited for";
        frames_per_second_max: u64 = 50, "Packets and frames of one gateway; more is not acknowledged and not read";
        quarantined_per_minute_max: u64 = 30, "Frames of one gateway that no key fits and that are kept; more is only counted";
        tenant: String = String::new(), "Tenant of the devices; empty: city.tenant";
        source: String = "lorawan".into(), "Source under which their messages are counted";
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

/// A sender of signed JSON, `[[webhooks]]` in the file.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// Last level of its address.
    pub name: String,
    /// A file with the secret that signs, so that the configuration can be shown to others.
    pub secret_file: PathBuf,
    /// The user (a gateway) for whom its messages count.
    pub user: String,
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
