//! `hyperion-vault`: the words on the terminal.

mod cluster;
mod server;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A self-contained, replicated secrets vault in one binary.
#[derive(Parser)]
#[command(version, about, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a vault
    Server(server::ServerArgs),
    /// Repair a cluster
    Cluster(cluster::ClusterArgs),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Server(args) => server::run(&args),
        Command::Cluster(args) => cluster::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            server::complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}
