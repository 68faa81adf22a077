//! What is logged, and how it looks.

use super::environment::Environment;
use super::error::shown;
use super::table::{LOG, LOG_FORMAT};

/// The log on standard error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Directives of `tracing_subscriber::EnvFilter`.
    pub filter: String,
    pub format: LogFormat,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

impl Log {
    pub(super) fn read(env: &mut Environment) -> Log {
        let filter = env.parse(&LOG, |text| match text.parse::<tracing_subscriber::EnvFilter>() {
            Ok(_) => Ok(text.to_owned()),
            Err(error) => Err(format!("{} is not a log filter: {error}", shown(text))),
        });
        let format = env.choice(&LOG_FORMAT, |text| match text {
            "text" => Some(LogFormat::Text),
            "json" => Some(LogFormat::Json),
            _ => None,
        });
        Log { filter: filter.unwrap_or_default(), format }
    }
}
