//! `hyperion-vault kms check`, as somebody who sets up a vault has it.

use std::process::{Command, Output};

use super::settings_of;
use crate::emulator::Emulator;

fn check(settings: &[(&str, String)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hyperion-vault"))
        .args(["kms", "check"])
        .env_clear()
        .envs(settings.iter().map(|(name, value)| (name, value)))
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn a_key_that_all_is_permitted_with_is_found_well() {
    let emulator = Emulator::start();
    let key = emulator.create_key();
    let output = check(&settings_of(&emulator, &key));
    let said = said(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains(&key) && said.contains("can work, and re-wrap"), "{said}");
    assert!(!said.contains("FAILED") && !said.contains("missing"), "{said}");
}

#[test]
fn every_permission_that_is_missing_is_named() {
    let emulator = Emulator::start();
    let settings = settings_of(&emulator, &emulator.create_key());
    let all = [
        "kms:GenerateDataKey",
        "kms:Decrypt",
        "kms:ListKeyRotations",
        "kms:ReEncryptFrom",
        "kms:ReEncryptTo",
    ];
    for (index, lacking) in all.iter().enumerate() {
        let rest: Vec<_> = all.iter().copied().filter(|action| action != lacking).collect();
        emulator.allow_only(&rest);
        let output = check(&settings);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(if index < 2 { 1 } else { 0 }), "{lacking}: {said}");
        let mark = if index < 2 { "FAILED" } else { "missing" };
        let line =
            said.lines().find(|line| line.starts_with(mark)).unwrap_or_else(|| panic!("{lacking}: {said}"));
        assert!(line.contains(lacking), "{lacking}: {said}");
    }
}

#[test]
fn a_service_that_is_away_and_a_key_that_is_not_there_are_told_apart() {
    let emulator = Emulator::start();
    let key = emulator.create_key();
    let gone = check(&settings_of(&emulator, "alias/no-such"));
    assert!(said(&gone).contains("NotFoundException"), "{}", said(&gone));
    emulator.close_port();
    let away = check(&settings_of(&emulator, &key));
    assert!(said(&away).contains("unreachable"), "{}", said(&away));
    assert_eq!((gone.status.code(), away.status.code()), (Some(1), Some(1)));
}

#[test]
fn without_settings_it_says_which_are_needed() {
    let output = check(&[]);
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.contains("VAULT_KMS_KEY_ID"), "{errors}");
}
