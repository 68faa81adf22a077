//! `hyperion-vault server --dev` as somebody at a terminal has it: what it prints, and its files.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use tokio::time::Instant;

/// How long a start may take on a busy machine.
const START_WITHIN: Duration = Duration::from_secs(30);
/// What it prints, in this order, and what stands before it; a whole line of the others can be pasted.
const PRINTED: [(&str, &str); 4] =
    [("address", "address  "), ("token", "token    "), ("create", ""), ("read", "")];

pub(crate) struct DevVault {
    child: Child,
    out: PathBuf,
    err: PathBuf,
    printed: BTreeMap<&'static str, String>,
}

impl DevVault {
    /// Starts one on `<home>/vault-dev` and a free port, and waits until it has printed what there is to paste.
    pub(crate) fn start(home: &Path) -> DevVault {
        let (out, err) = (home.join("stdout"), home.join("stderr"));
        let child = Command::new(env!("CARGO_BIN_EXE_hyperion-vault"))
            .args(["server", "--dev", "--port", "0"])
            .current_dir(home)
            .env_remove("VAULT_LOG")
            .stdin(Stdio::null())
            .stdout(File::create(&out).unwrap())
            .stderr(File::create(&err).unwrap())
            .spawn()
            .unwrap();
        let mut vault = DevVault { child, out, err, printed: BTreeMap::new() };
        vault.wait_for_lines();
        vault
    }

    fn wait_for_lines(&mut self) {
        let begun = Instant::now();
        let mut lines = Vec::new();
        while lines.len() < PRINTED.len() {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the vault ended with {status}: {}", self.errors());
            }
            assert!(begun.elapsed() < START_WITHIN, "the vault doesn't start: {}", self.errors());
            #[expect(clippy::disallowed_methods, reason = "a test that waits for a process")]
            std::thread::sleep(Duration::from_millis(20));
            let printed = std::fs::read_to_string(&self.out).unwrap();
            lines = printed
                .split_inclusive('\n')
                .filter(|line| line.ends_with('\n'))
                .map(str::to_owned)
                .collect();
        }
        for ((what, label), line) in PRINTED.into_iter().zip(&lines) {
            let rest = line.strip_prefix(label).unwrap_or_else(|| panic!("{what}: {line}"));
            self.printed.insert(what, rest.trim().to_owned());
        }
    }

    /// What it printed: `address`, `token`, or the line to `create` or to `read`.
    pub(crate) fn printed(&self, what: &str) -> &str {
        &self.printed[what]
    }

    /// All of standard output so far.
    pub(crate) fn output(&self) -> String {
        std::fs::read_to_string(&self.out).unwrap()
    }

    /// All of standard error so far.
    pub(crate) fn errors(&self) -> String {
        std::fs::read_to_string(&self.err).unwrap()
    }

    /// Ctrl-C.
    pub(crate) fn interrupt(&mut self) -> ExitStatus {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        self.child.wait().unwrap()
    }
}

impl Drop for DevVault {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
