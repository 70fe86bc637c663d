//! `portico`: the core of a city's digital twin and its data platform.

mod access;
mod audit;
mod cli;
mod cmd;
mod config;
mod deletions;
mod listen;
mod metrics;
mod node;
mod out;
mod publish;
mod sumo;
mod telemetry;
mod tls;
mod wire;

use anyhow::Result;
use clap::Parser as _;
use cli::{Cli, Command, TwinCommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln_error(&error);
            std::process::ExitCode::FAILURE
        }
    }
}

fn eprintln_error(error: &anyhow::Error) {
    use std::io::Write as _;
    writeln!(std::io::stderr().lock(), "portico: {error:#}").ok();
}

fn run(cli: Cli) -> Result<()> {
    if matches!(cli.command, Command::Config) {
        out::say(&config::reference());
        return Ok(());
    }
    let config = config::load(cli.config.as_deref(), std::env::vars())?;
    telemetry::start(&config)?;
    tls::install_provider();
    // Deep plans recurse; a debug build needs more stack for them than the default of a thread.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(8 << 20).build()?;
    runtime.block_on(dispatch(&config, cli.command))
}

async fn dispatch(config: &config::Config, command: Command) -> Result<()> {
    match command {
        Command::Demo(args) => cmd::demo::run(config, args).await,
        Command::Serve => cmd::serve::run(config).await,
        Command::Import(args) => cmd::import::run(config, args).await,
        Command::Replay(args) => cmd::replay::run(config, args).await,
        Command::Sumo(args) => cmd::sumo::run(config, *args).await,
        Command::Signals(command) => cmd::sumo::signals(config, command).await,
        Command::Quarantine(command) => cmd::quarantine::run(config, command).await,
        Command::Sql(args) => cmd::sql::run(config, args).await,
        Command::Doctor => cmd::doctor::run(config).await,
        Command::Deletions => cmd::deletions::run(config).await,
        Command::Codec(command) => cmd::codec::run(command),
        Command::Twin(TwinCommand::Verify) => cmd::twin::verify(config).await,
        Command::User(command) => cmd::user::run(config, command),
        Command::Backup { destination } => cmd::backup::backup(config, &destination).await,
        Command::Restore { source } => cmd::backup::restore(config, &source).await,
        Command::Config => Ok(()),
    }
}
