//! `hyperion-vault server`: runs a vault until it is told to stop.

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;
use hyperion_vault_server::adapters::entropy::OsEntropy;
use hyperion_vault_server::app::App;
use hyperion_vault_server::config::{LogFormat, SecretText, Settings, Warning, read_secret_file};
use hyperion_vault_server::dev::DevVault;
use hyperion_vault_server::hardening::harden_process;
use tokio::signal::unix::{SignalKind, signal};

/// Exit status when the storage failed and the process had to go (`EX_SOFTWARE` of sysexits.h).
const EXIT_FAULT: i32 = 70;
/// What a development vault logs: it prints what to paste and nothing more.
const DEV_LOG: &str = "error";

/// Run a vault. Without --dev it is configured by the environment alone; see docs/settings.md.
#[derive(Args)]
#[command(after_help = "Examples:
  hyperion-vault server --dev
  VAULT_KMS_MODE=local VAULT_LOCAL_MASTER_KEY_FILE=key VAULT_DATA_DIR=data hyperion-vault server")]
pub(crate) struct ServerArgs {
    /// Start on an embedded default: own data directory and key, loopback only, an admin token
    #[arg(long)]
    dev: bool,
    /// Where a development vault keeps its data
    #[arg(long, value_name = "DIR", default_value = "vault-dev", requires = "dev")]
    data_dir: PathBuf,
    /// The port of a development vault
    #[arg(long, default_value_t = 8200, requires = "dev")]
    port: u16,
}

/// Runs until SIGTERM or SIGINT.
pub(crate) fn run(args: &ServerArgs) -> anyhow::Result<()> {
    // Before anything secret is in memory.
    harden_process()?;
    std::panic::set_hook(Box::new(report_panic));
    let dev = if args.dev { Some(prepare_dev(args)?) } else { None };
    let (settings, warnings) = read_settings(dev.as_ref())?;
    start_log(&settings)?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(settings, dev.as_ref().map(|dev| &dev.token)))
}

fn prepare_dev(args: &ServerArgs) -> anyhow::Result<DevVault> {
    let log = environment().find(|(name, _)| name == "VAULT_LOG").map(|(_, value)| value);
    let log = log.and_then(|value| value.into_string().ok());
    DevVault::prepare(&args.data_dir, args.port, log.as_deref().unwrap_or(DEV_LOG), &OsEntropy)
        .with_context(|| format!("data directory {}", args.data_dir.display()))
}

pub(crate) fn read_settings(dev: Option<&DevVault>) -> anyhow::Result<(Settings, Vec<Warning>)> {
    let read = match dev {
        Some(dev) => Settings::from_env(dev.vars.iter().cloned(), read_secret_file),
        None => Settings::from_env(environment(), read_secret_file),
    };
    read.map_err(|errors| {
        let lines: Vec<_> = errors.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("the settings are not valid:\n  {}", lines.join("\n  "))
    })
}

#[expect(clippy::disallowed_methods, reason = "the one place from which the environment is handed on")]
pub(crate) fn environment() -> impl Iterator<Item = (OsString, OsString)> {
    std::env::vars_os()
}

fn start_log(settings: &Settings) -> anyhow::Result<()> {
    let filter: tracing_subscriber::EnvFilter = settings.log.filter.parse()?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // It would be reported on the very stream that failed, by a panic.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal());
    let started = match settings.log.format {
        LogFormat::Text => log.try_init(),
        LogFormat::Json => log.json().try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("log: {error}"))
}

async fn serve(settings: Settings, dev_token: Option<&SecretText>) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let scheme = if settings.tls.is_some() { "https" } else { "http" };
    let starting = App::start(settings, Arc::new(|fault| end_process(fault)));
    let app = tokio::select! {
        started = starting => started?,
        _ = terminate.recv() => bail!("told to stop while starting"),
        _ = interrupt.recv() => bail!("told to stop while starting"),
    };
    tracing::info!(address = %app.address(), scheme, "serving");
    if let Some(token) = dev_token {
        print_dev(&format!("{scheme}://{}", app.address()), token)?;
    }
    tokio::select! {
        _ = terminate.recv() => tracing::info!("SIGTERM: stopping"),
        _ = interrupt.recv() => tracing::info!("SIGINT: stopping"),
    }
    app.stop().await?;
    tracing::info!("stopped");
    Ok(())
}

/// What the storage couldn't do it must not be asked again: the process goes, and the log is replayed by
/// the next.
#[expect(clippy::disallowed_methods, reason = "a failed sync must end the process, and at once")]
fn end_process(fault: &dyn std::fmt::Display) {
    complain(&format!("the storage failed, so this process ends: {fault}"));
    std::process::exit(EXIT_FAULT);
}

fn print_dev(url: &str, token: &SecretText) -> anyhow::Result<()> {
    let mut random = [0; 3];
    hyperion_vault_server::ports::Entropy::fill(&OsEntropy, &mut random);
    let name = format!("demo/hello-{}", hex::encode(random));
    let token = token.expose();
    let body = format!(r#"{{"name":"{name}","kind":"manual","value":"world"}}"#);
    let mut out = std::io::stdout().lock();
    writeln!(out, "address  {url}")?;
    writeln!(out, "token    {token}")?;
    writeln!(
        out,
        "curl -sS {url}/v1/secrets -H 'Authorization: Bearer {token}' -H 'Content-Type: application/json' -d '{body}'"
    )?;
    writeln!(out, "curl -sS {url}/v1/secrets/{name}")?;
    out.flush()?;
    Ok(())
}

/// Says where, and not what: the message of a panic could hold a value.
fn report_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    complain(&format!("a defect of this program: panic at {place}"));
}

/// Says something on standard error; a closed one is nobody to complain to.
pub(crate) fn complain(what: &str) {
    let _ = writeln!(std::io::stderr(), "hyperion-vault: {what}");
}
