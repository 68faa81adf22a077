//! `hyperion-vault cluster`: what is done to the files of a node that isn't running.

use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use hyperion_vault_server::adapters::entropy::OsEntropy;
use hyperion_vault_server::config::{state_file, table};
use hyperion_vault_server::recovery::{Recovery, recover_node};

use crate::server::environment;

/// What has to be typed for yes.
const YES: &str = "recover";

/// Repair a cluster
#[derive(Args)]
pub(crate) struct ClusterArgs {
    #[command(subcommand)]
    command: ClusterCommand,
}

#[derive(Subcommand)]
enum ClusterCommand {
    /// Make this node a cluster of one, after the majority of the nodes was lost for good
    Recover(RecoverArgs),
}

/// Make this node a cluster of one, after the majority of the nodes was lost for good.
///
/// Everything in this node's log is kept: of the nodes that are left, recover the one that is furthest. What was
/// acknowledged without it is gone. The others can't come back with what they have: they join again with empty
/// data directories. Stop this node first.
#[derive(Args)]
#[command(after_help = "Example:
  hyperion-vault cluster recover --data-dir /var/lib/hyperion-vault")]
struct RecoverArgs {
    /// The node's data directory, as VAULT_DATA_DIR names it; VAULT_DB_PATH counts here too
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Don't ask; needed where standard input is no terminal
    #[arg(long)]
    yes: bool,
}

pub(crate) fn run(args: &ClusterArgs) -> anyhow::Result<()> {
    let ClusterCommand::Recover(args) = &args.command;
    let db_path =
        environment().find(|(name, _)| name == table::DB_PATH.name).map(|(_, path)| PathBuf::from(path));
    let state_file = state_file(&args.data_dir, db_path.as_deref());
    if !args.yes {
        confirm(&state_file)?;
    }
    let recovery = recover_node(&state_file, &OsEntropy).context("nothing was changed")?;
    report(&recovery)
}

fn confirm(state_file: &Path) -> anyhow::Result<()> {
    if !std::io::stdin().is_terminal() {
        bail!("nothing was changed: say --yes where nobody can be asked");
    }
    let mut out = std::io::stderr().lock();
    writeln!(out, "The node at {} becomes a cluster of one.", state_file.display())?;
    writeln!(
        out,
        "What was acknowledged without this node is lost, and the other members can't come back with"
    )?;
    writeln!(out, "their data. Do this only when a majority of them is lost for good.")?;
    write!(out, "Type {YES} to go on: ")?;
    out.flush()?;
    let mut typed = String::new();
    std::io::stdin().lock().read_line(&mut typed)?;
    if typed.trim() != YES {
        bail!("nothing was changed");
    }
    Ok(())
}

fn report(recovery: &Recovery) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let own = recovery.node_id;
    writeln!(out, "node {own} is a cluster of one; its log is kept up to entry {}", recovery.last_log_index)?;
    let former: Vec<_> = recovery.former_members.iter().filter(|id| **id != own).collect();
    if let [first, rest @ ..] = former.as_slice() {
        let others = rest.iter().fold(first.to_string(), |text, id| format!("{text}, {id}"));
        writeln!(out, "1. start node {own} as before")?;
        writeln!(
            out,
            "2. stop the members of before ({others}) where they still run, and move their data away"
        )?;
        writeln!(out, "3. start them with empty data directories, and add each:")?;
        writeln!(out, "   POST /v1/admin/cluster/nodes {{\"id\": …, \"address\": \"host:port\"}}")?;
        writeln!(out, "   POST /v1/admin/cluster/nodes/{{id}}/promote")?;
    } else {
        writeln!(out, "it was the only member before; start it as before")?;
    }
    out.flush()?;
    Ok(())
}
