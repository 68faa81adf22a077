//! The shield around the process, read back from inside a child that put it up.

use std::process::Command;

use hyperion_vault_server::hardening::harden_process;
use rustix::process::{DumpableBehavior, dumpable_behavior};

const CHILD: &str = "hardening::child_that_hardens_itself";

/// Not a test of its own: what follows in the child's process, whose limits nobody else shares.
#[test]
#[ignore = "run by the test below in a process of its own"]
fn child_that_hardens_itself() {
    harden_process().unwrap();
    assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    let values: Vec<_> = core.split_whitespace().skip(4).take(2).collect();
    assert_eq!(values, ["0", "0"], "soft and hard limit in {core:?}");
}

#[test]
fn a_hardened_process_leaves_no_core_and_can_not_be_traced() {
    let own = std::env::current_exe().unwrap();
    let child = Command::new(own).args(["--exact", CHILD, "--ignored"]).output().unwrap();
    let printed = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && printed.contains("1 passed"), "{printed}");
}
