//! What tests need beyond Rust, each with the exact command that provides it.

use std::path::Path;

use crate::say::say;
use crate::step::Step;

/// Something outside the workspace that some tests can't run without.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Need {
    /// What it is.
    pub(crate) what: &'static str,
    /// Which tests need it.
    pub(crate) used_by: &'static str,
    /// What becomes of them without it.
    pub(crate) without: Without,
    /// Succeeds where it is there.
    pub(crate) check: Step,
    /// Provides it, where a command can.
    pub(crate) provide: Option<Step>,
    /// What is left to a person to do.
    pub(crate) advice: &'static str,
}

/// What becomes of tests whose need isn't met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Without {
    /// They say that they were skipped: not every machine can meet the need.
    Skipped,
    /// They fail: every machine with a network can.
    Failing,
}

impl Without {
    fn as_str(self) -> &'static str {
        match self {
            Without::Skipped => "will be skipped",
            Without::Failing => "will fail",
        }
    }
}

/// What the KMS emulator needs from PyPI, as `pip` reads it.
const EMULATOR_REQUIREMENTS: &str = "crates/kms/tests/emulator/requirements.txt";
/// Where it is installed, in an environment of its own that holds a copy of the requirements it was made from.
const EMULATOR_ENVIRONMENT: &str = "target/tools/kms-emulator";
/// `$0` are the requirements, `$1` the environment. Its Python may be gone with that of the system.
const IS_EMULATOR_INSTALLED: &str = r#"cmp -s "$0" "$1/requirements.txt" && "$1/bin/python" -c pass"#;
/// The copy comes last: what is half made is made anew. Nothing is built or resolved: all versions are named.
const INSTALL_EMULATOR: &str = r#"python3 -m venv --clear "$1" &&
"$1/bin/pip" install --quiet --disable-pip-version-check --no-deps --only-binary :all: --requirement "$0" &&
"$1/bin/pip" check && cp "$0" "$1/requirements.txt""#;

/// A key management service for the tests, with the interface of AWS KMS.
pub(crate) const KMS_EMULATOR: Need = Need {
    what: "the KMS emulator",
    used_by: "the tests of AWS KMS",
    without: Without::Failing,
    check: Step {
        program: "sh",
        args: &["-c", IS_EMULATOR_INSTALLED, EMULATOR_REQUIREMENTS, EMULATOR_ENVIRONMENT],
    },
    provide: Some(Step {
        program: "sh",
        args: &["-c", INSTALL_EMULATOR, EMULATOR_REQUIREMENTS, EMULATOR_ENVIRONMENT],
    }),
    advice: "it takes python3 with venv, and PyPI",
};

/// Installs a package of Debian's. Its lists come first: a new machine has none.
macro_rules! apt_get {
    ($package:literal) => {
        concat!("apt-get update && apt-get install --yes --no-install-recommends ", $package)
    };
}

/// All of them.
pub(crate) const NEEDS: &[Need] = &[
    Need {
        what: "the right to mount a small tmpfs",
        used_by: "the tests of a full disk",
        without: Without::Skipped,
        // In a mount namespace of its own, of which nothing is left behind.
        check: Step {
            program: "unshare",
            args: &["--mount", "mount", "-t", "tmpfs", "-o", "size=64k", "xtask", "/mnt"],
        },
        provide: None,
        advice: "run `cargo xtask test` as root",
    },
    Need {
        what: "the right to make network namespaces",
        used_by: "the tests that cut a cluster's network",
        without: Without::Skipped,
        check: Step { program: "unshare", args: &["--net", "true"] },
        provide: None,
        advice: "run `cargo xtask test` as root",
    },
    package("the tests that cut a cluster's network", "ip", &["-V"], &["-c", apt_get!("iproute2")]),
    package("the tests that cut a cluster's network", "nft", &["-v"], &["-c", apt_get!("nftables")]),
    package("the tests of a clock that is off", "faketime", &["-v"], &["-c", apt_get!("faketime")]),
    Need {
        what: "PostgreSQL 15",
        used_by: "the tests of rotation targets",
        without: Without::Failing,
        check: Step { program: "/usr/lib/postgresql/15/bin/postgres", args: &["--version"] },
        provide: Some(Step { program: "sh", args: &["-c", apt_get!("postgresql-15")] }),
        advice: "install Debian's postgresql-15",
    },
    tool("curl"),
    tool("openssl"),
    tool("python3"),
    Need {
        what: "python3's venv",
        used_by: "the KMS emulator, and so the tests of AWS KMS",
        without: Without::Failing,
        check: Step { program: "python3", args: &["-c", "import ensurepip, venv"] },
        provide: Some(Step { program: "sh", args: &["-c", apt_get!("python3-venv")] }),
        advice: "install it with the system's packages",
    },
    KMS_EMULATOR,
];

/// A program that Debian has a package for; `install` is what `sh` installs it with.
const fn package(
    used_by: &'static str,
    program: &'static str,
    version: &'static [&'static str],
    install: &'static [&'static str],
) -> Need {
    Need {
        what: program,
        used_by,
        without: Without::Skipped,
        check: Step { program, args: version },
        provide: Some(Step { program: "sh", args: install }),
        advice: "install it with the system's packages",
    }
}

/// A program that commands in the documents use.
const fn tool(program: &'static str) -> Need {
    Need {
        what: program,
        used_by: "tests that run the documents' commands",
        without: Without::Skipped,
        check: Step { program, args: &["--help"] },
        provide: None,
        advice: "install it with the system's packages",
    }
}

/// Provides what is missing, and says loudly what stays so. A test whose need isn't met says itself that it
/// was skipped, or fails; nothing fails for it here.
///
/// # Errors
/// When a command that is to provide something can't be started.
pub(crate) fn meet(needs: &[Need], root: &Path) -> anyhow::Result<()> {
    for need in needs {
        if is_met(need, root)? {
            say(&format!("there: {}", need.what));
        } else {
            let Need { what, used_by, without, advice, .. } = need;
            say(&format!("MISSING: {what}: {used_by} {}; {advice}", without.as_str()));
        }
    }
    Ok(())
}

fn is_met(need: &Need, root: &Path) -> anyhow::Result<bool> {
    if need.check.succeeds(root) {
        return Ok(true);
    }
    let Some(provide) = need.provide else { return Ok(false) };
    Ok(provide.run(root)? && need.check.succeeds(root))
}

#[cfg(test)]
mod tests {
    use super::*;

    const YES: Step = Step { program: "true", args: &[] };
    const NO: Step = Step { program: "false", args: &[] };

    fn need(check: Step, provide: Option<Step>) -> Need {
        Need {
            what: "a thing",
            used_by: "a test",
            without: Without::Skipped,
            check,
            provide,
            advice: "get it",
        }
    }

    #[test]
    fn what_is_there_is_not_provided_again() {
        let absent = Step { program: "/no/such/program", args: &[] };
        assert!(is_met(&need(YES, Some(absent)), Path::new("/")).unwrap());
    }

    #[test]
    fn what_was_provided_is_checked_again() {
        assert!(!is_met(&need(NO, Some(YES)), Path::new("/")).unwrap());
        assert!(!is_met(&need(NO, Some(NO)), Path::new("/")).unwrap());
        assert!(!is_met(&need(NO, None), Path::new("/")).unwrap());
    }

    #[test]
    fn what_can_be_provided_is() {
        let dir = std::env::temp_dir().join(format!("xtask-need-{}", std::process::id()));
        let path: &'static str = String::leak(dir.to_string_lossy().into_owned());
        let check = Step { program: "test", args: Box::leak(Box::new(["-d", path])) };
        let provide = Step { program: "mkdir", args: Box::leak(Box::new([path])) };
        let met = is_met(&need(check, Some(provide)), Path::new("/"));
        std::fs::remove_dir(dir).unwrap();
        assert!(met.unwrap());
    }
}
