//! `hyperion-vault kms`: what a vault has of its key management.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};
use hyperion_vault_server::app::{CheckStep, check_keys};
use hyperion_vault_server::hardening::harden_process;

use crate::server::read_settings;

/// Key management
#[derive(Args)]
pub(crate) struct KmsArgs {
    #[command(subcommand)]
    command: KmsCommand,
}

#[derive(Subcommand)]
enum KmsCommand {
    /// Try everything that a vault with these settings asks of its key management
    Check(CheckArgs),
}

/// Try everything that a vault with these settings asks of its key management.
///
/// Takes the settings that `server` takes, from the environment. Makes a data key, unwraps it, makes sure that it isn't
/// unwrapped for another place, and tries what re-wrapping needs. Changes and stores nothing. Exits with 0 when a vault
/// can work; what only re-wrapping lacks is a remark.
#[derive(Args)]
#[command(after_help = "Example:
  VAULT_KMS_KEY_ID=alias/hyperion-vault hyperion-vault kms check")]
struct CheckArgs {}

pub(crate) fn run(args: &KmsArgs) -> anyhow::Result<ExitCode> {
    let KmsCommand::Check(CheckArgs {}) = &args.command;
    // Before anything secret is in memory.
    harden_process()?;
    let (settings, _) = read_settings(None)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let steps = runtime.block_on(check_keys(settings.keys));
    report(&steps).context("standard output")?;
    let (lacks, _) = failed(&steps);
    Ok(if lacks { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn report(steps: &[CheckStep]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for step in steps {
        let mark = match (&step.result, step.required) {
            (Ok(_), _) => "ok",
            (Err(_), true) => "FAILED",
            (Err(_), false) => "missing",
        };
        writeln!(
            out,
            "{mark:<8} {:<28} {:>6.0} ms  {}",
            step.name,
            step.took.as_secs_f64() * 1e3,
            step.permission
        )?;
        match &step.result {
            Ok(found) => writeln!(out, "         {found}")?,
            Err(error) => writeln!(out, "         {error}")?,
        }
    }
    let (lacks, optional) = failed(steps);
    match (lacks, optional) {
        (true, _) => writeln!(out, "A vault with these settings can't work."),
        (false, true) => writeln!(out, "A vault with these settings can work, but not re-wrap."),
        (false, false) => writeln!(out, "A vault with these settings can work, and re-wrap."),
    }
}

/// Whether anything failed that a vault can't do without, and anything else.
fn failed(steps: &[CheckStep]) -> (bool, bool) {
    let any = |required| steps.iter().any(|step| step.required == required && step.result.is_err());
    (any(true), any(false))
}
