//! `hyperion-vault`: the words on the terminal.

mod cluster;
mod kms;
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
    /// Key management
    Kms(kms::KmsArgs),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Server(args) => server::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Cluster(args) => cluster::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Kms(args) => kms::run(&args),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            server::complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}
