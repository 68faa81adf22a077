//! Where the node's own files lie.

use std::path::{Path, PathBuf};

use super::environment::Environment;
use super::table::{DATA_DIR, DB_PATH};

/// The files of one node. The paths are not checked: opening them is what tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storage {
    /// The replicated state; the log and the snapshots lie beside it, named after it.
    pub state_file: PathBuf,
}

impl Storage {
    pub(super) fn read(env: &mut Environment) -> Storage {
        let data_dir = env.path(&DATA_DIR).unwrap_or_default();
        let state = env.path(&DB_PATH).unwrap_or_default();
        if state.file_name().is_none() && env.is_given(&DB_PATH) && !state.as_os_str().is_empty() {
            env.refuse(&DB_PATH, "does not end in the name of a file");
        }
        Storage { state_file: state_file(&data_dir, Some(&state)) }
    }

    /// The directory that holds the state file; never empty.
    #[must_use]
    pub fn dir(&self) -> &Path {
        match self.state_file.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        }
    }
}

/// The file of the replicated state of a node with this data directory.
#[must_use]
pub fn state_file(data_dir: &Path, db_path: Option<&Path>) -> PathBuf {
    let default = DB_PATH.default.value().unwrap_or_default();
    // Joining an absolute path takes it as it is.
    data_dir.join(db_path.unwrap_or(Path::new(default)))
}
