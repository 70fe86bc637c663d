//! The command line.

use crate::access::Role;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Portico: the core of a city's digital twin and its data platform.
#[derive(Debug, Parser)]
#[command(name = "portico", version, about, propagate_version = true)]
pub struct Cli {
    /// Settings file; every setting also has an environment name (see `portico config`).
    #[arg(long, env = "PORTICO_CONFIG", global = true)]
    pub config: Option<PathBuf>,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Starts everything embedded and feeds it with a simulated Bologna.
    Demo(DemoArgs),
    /// Runs Portico as the settings say.
    Serve,
    /// Brings files into the tables through the same contracts, quarantine and ledger as live messages.
    Import(ImportArgs),
    /// Publishes stored rows of a table again, through MQTT, at a chosen speed.
    Replay(ReplayArgs),
    /// Runs a SUMO scenario beside Portico: its loops and signals publish as the city's own, marked as simulated.
    Sumo(Box<SumoArgs>),
    /// Plans of traffic signals.
    #[command(subcommand)]
    Signals(SignalsCommand),
    /// Messages that no row could be made of: what would read them, and putting them through again.
    #[command(subcommand)]
    Quarantine(QuarantineCommand),
    /// Runs one SQL query over the data directory, or over a running Portico.
    Sql(SqlArgs),
    /// Checks the settings, the ports, the disk and the tables.
    Doctor,
    /// What retention removed, by its attestations, whose chain is checked first.
    Deletions,
    /// Payload codecs of devices.
    #[command(subcommand)]
    Codec(CodecCommand),
    /// The twin.
    #[command(subcommand)]
    Twin(TwinCommand),
    /// People, programs and gateways that may come in.
    #[command(subcommand)]
    User(UserCommand),
    /// Copies log, tables and state into a directory.
    Backup { destination: PathBuf },
    /// Puts a backup into an empty data directory and checks it.
    Restore { source: PathBuf },
    /// Prints the reference of all settings.
    Config,
}

#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Seed of the simulation: the same seed gives the same city.
    #[arg(long, default_value_t = 20_240_303)]
    pub seed: u64,
    /// Hours of past that are made before the start, so that the time handle has somewhere to go.
    #[arg(long, default_value_t = 24)]
    pub backfill_hours: u32,
    /// Deletes the demo's data directory first.
    #[arg(long)]
    pub fresh: bool,
}

#[derive(Debug, Args)]
pub struct ImportArgs {
    /// CSV files, DATEX II, or the output of SUMO's detectors, plain or gzip.
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// Name of a built-in mapping, or a TOML file; guessed from the header when absent.
    #[arg(long)]
    pub mapping: Option<String>,
    /// Tenant of the tables; the city's tenant when absent.
    #[arg(long)]
    pub tenant: Option<String>,
    #[command(flatten)]
    pub simulated: SimulatedAt,
}

/// When and where a simulation takes place.
#[derive(Debug, Clone, Args)]
pub struct SimulatedAt {
    /// Simulations only: local time of their second 0, as 2024-03-05T08:00, or RFC 3339; yesterday at 8 when absent.
    #[arg(long)]
    pub start: Option<String>,
    /// Simulations only: time zone of --start.
    #[arg(long, default_value = "Europe/Rome")]
    pub zone: String,
    /// Simulations only: CSV file from detectors (sumo_e1_id) to the city's loops (codice_spira).
    #[arg(long)]
    pub crosswalk: Option<PathBuf>,
}

/// A broker, and as whom.
#[derive(Debug, Args)]
pub struct BrokerArgs {
    /// Broker to publish to.
    #[arg(long, default_value = "mqtt://127.0.0.1:1883")]
    pub broker: String,
    #[arg(long)]
    pub user: String,
    /// File with the password of the MQTT user.
    #[arg(long)]
    pub password_file: PathBuf,
}

#[derive(Debug, Args)]
pub struct SumoArgs {
    /// Directory of the scenario, or its .sumocfg.
    #[arg(long)]
    pub scenario: PathBuf,
    #[command(flatten)]
    pub at: SimulatedAt,
    /// How many times faster than life; 0 is as fast as SUMO can.
    #[arg(long, default_value_t = 10.0)]
    pub speed: f64,
    /// Simulated seconds.
    #[arg(long, default_value_t = 3_600.0)]
    pub duration: f64,
    /// Seconds of an interval of the detectors; the scenario's own when absent.
    #[arg(long)]
    pub interval: Option<f64>,
    /// Seed of the simulation: the same seed gives the same traffic.
    #[arg(long, default_value_t = 23_423)]
    pub seed: u32,
    /// The program; below SUMO_HOME or on the PATH when absent.
    #[arg(long)]
    pub sumo: Option<PathBuf>,
    /// TraCI of a SUMO that runs already, as host:port, instead of starting one.
    #[arg(long, requires = "detectors")]
    pub connect: Option<String>,
    /// Address at which the detectors' output is listened for; a SUMO that runs already writes to it (file="host:port").
    #[arg(long)]
    pub detectors: Option<String>,
    /// Empty directory for what SUMO writes; removed at the end when absent.
    #[arg(long)]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    pub at_broker: BrokerArgs,
    /// The city's tenant when absent.
    #[arg(long)]
    pub tenant: Option<String>,
}

#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// Table, as tenant.product.
    pub table: String,
    /// First instant, RFC 3339.
    #[arg(long)]
    pub from: String,
    /// End, exclusive, RFC 3339.
    #[arg(long)]
    pub to: String,
    /// How many times faster than life; 0 is as fast as the broker takes it.
    #[arg(long, default_value_t = 60.0)]
    pub speed: f64,
    #[command(flatten)]
    pub at_broker: BrokerArgs,
    /// Tenant to publish under; another tenant keeps the replay apart from the record.
    #[arg(long)]
    pub tenant: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum SignalsCommand {
    /// Simulates today's programs and a plan in the same traffic and shows delay, queue, stops and CO2 of both, for each signal and in total.
    Simulate(SimulateArgs),
}

#[derive(Debug, Args)]
pub struct SimulateArgs {
    /// TOML file with the plan.
    #[arg(long)]
    pub plan: PathBuf,
    /// Directory of the SUMO scenario, or its .sumocfg.
    #[arg(long)]
    pub scenario: PathBuf,
    /// Simulated seconds.
    #[arg(long, default_value_t = 3_600.0)]
    pub duration: f64,
    #[arg(long, default_value_t = 23_423)]
    pub seed: u32,
    /// The program; below SUMO_HOME or on the PATH when absent.
    #[arg(long)]
    pub sumo: Option<PathBuf>,
    /// Broker through which the effect is stored as rows; it is only shown when absent.
    #[arg(long)]
    pub broker: Option<String>,
    #[arg(long)]
    pub user: Option<String>,
    #[arg(long)]
    pub password_file: Option<PathBuf>,
    /// The city's tenant when absent.
    #[arg(long)]
    pub tenant: Option<String>,
}

#[derive(Debug, Args)]
pub struct SqlArgs {
    /// The query.
    pub sql: String,
    /// table, csv or json.
    #[arg(long, default_value = "table")]
    pub format: String,
}

#[derive(Debug, Subcommand)]
pub enum QuarantineCommand {
    /// Lists what waits, by tenant, reason and topic.
    List {
        /// Hours back from now.
        #[arg(long, default_value_t = 72)]
        hours: u32,
    },
    /// Suggests a mapping for each kind of device; with --id the whole text of one.
    Suggest {
        #[arg(long, default_value_t = 72)]
        hours: u32,
        #[arg(long)]
        id: Option<String>,
    },
    /// Writes the suggestion with this id into data.mappings (and its contract into data.contracts).
    Accept {
        id: String,
        #[arg(long, default_value_t = 72)]
        hours: u32,
    },
    /// Puts what the mappings read by now through the pipeline again; may be repeated.
    Replay {
        /// The city's tenant when absent.
        #[arg(long)]
        tenant: Option<String>,
        /// Template of topics, as in a mapping; all when absent.
        #[arg(long)]
        topic: Option<String>,
        #[arg(long, default_value_t = 72)]
        hours: u32,
    },
}

#[derive(Debug, Subcommand)]
pub enum CodecCommand {
    /// Runs the recorded frames of the codecs in a directory.
    Test { dir: PathBuf },
    /// Decodes one frame and prints the values as JSON.
    Decode(CodecDecodeArgs),
}

#[derive(Debug, Args)]
pub struct CodecDecodeArgs {
    /// Name of the codec, or name@version.
    pub codec: String,
    /// Payload in hex.
    pub bytes: String,
    /// Directory of codecs; the built-in ones alone when absent.
    #[arg(long)]
    pub dir: Option<PathBuf>,
    #[arg(long, default_value_t = 1)]
    pub port: u8,
    /// JSON object that the codec gets as its variables, such as the tags of the device.
    #[arg(long)]
    pub variables: Option<String>,
    /// When the frame was received, RFC 3339; now when absent.
    #[arg(long)]
    pub received_at: Option<String>,
    /// The frame went to the device.
    #[arg(long)]
    pub downlink: bool,
}

#[derive(Debug, Subcommand)]
pub enum TwinCommand {
    /// Rebuilds the twin from the tables and compares it with the saved one (TW-1).
    Verify,
}

#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Adds a user; prints a random password once unless a file holds one.
    Add(UserAddArgs),
    /// Lists users and tokens.
    List,
    /// Removes a user and its tokens.
    Remove { name: String },
    /// Gives a user a new random password and prints it once.
    Reset { name: String },
    /// Issues a token and prints it once.
    Token {
        name: String,
        /// Days until it expires.
        #[arg(long, default_value_t = 365)]
        days: u32,
    },
    /// Revokes a token by its id.
    Revoke { id: String },
}

#[derive(Debug, Args)]
pub struct UserAddArgs {
    pub name: String,
    #[arg(long, value_enum)]
    pub role: Role,
    /// Tenants it may see, or publish for.
    #[arg(long, value_delimiter = ',')]
    pub tenants: Vec<String>,
    /// MQTT topic filters it may publish to; `portico/<tenant>/#` of its tenants when absent and the role is gateway.
    #[arg(long, value_delimiter = ',')]
    pub publish: Vec<String>,
    /// MQTT topic filters it may subscribe to.
    #[arg(long, value_delimiter = ',')]
    pub subscribe: Vec<String>,
    /// Marks everything it sends as simulated.
    #[arg(long)]
    pub simulated: bool,
    /// File with the password.
    #[arg(long)]
    pub password_file: Option<PathBuf>,
}
