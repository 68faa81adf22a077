//! What the environment may say of key management.

use super::*;

const OTHER_KEY: &str = "BAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQ=";
const ARN: &str = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const AWS: [(&str, &str); 2] = [("VAULT_KMS_MODE", "aws"), ("VAULT_KMS_KEY_ID", ARN)];

fn aws_key_id(settings: Settings) -> String {
    let KmsMode::Aws { key_id } = settings.keys.mode else { panic!("aws was asked for") };
    key_id
}

/// Whether there is a master key, and the number of those before it.
fn local_keys(vars: &[(&str, &str)]) -> (bool, usize) {
    let KmsMode::Local { master_key, previous } = settings(vars).keys.mode else {
        panic!("local was asked for")
    };
    (master_key.is_some(), previous.len())
}

#[test]
fn aws_is_the_mode_whether_asked_for_or_not_and_names_its_key() {
    let asked = settings(&AWS);
    assert!(asked.keys.is_lasting());
    assert_eq!(aws_key_id(asked), ARN);
    let unasked = [("VAULT_KMS_KEY_ID".into(), "alias/vault".into())];
    let (unasked, _) = Settings::from_env(unasked.into_iter(), NO_FILES).unwrap_or_else(|e| panic!("{e:?}"));
    assert_eq!(aws_key_id(unasked), "alias/vault");
}

#[test]
fn aws_without_a_key_is_refused_with_the_way_out_whether_asked_for_or_not() {
    let way_out = "VAULT_KMS_KEY_ID: not set, but VAULT_KMS_MODE=aws, the default, needs the id, ARN or alias of the \
                   AWS KMS key that wraps the data keys; for development, VAULT_KMS_MODE=local needs none";
    assert_eq!(refusals(&[("VAULT_KMS_MODE", "aws")]), [way_out]);
    let unset = Settings::from_env(std::iter::empty(), NO_FILES).err().unwrap();
    assert_eq!(unset.iter().map(ToString::to_string).collect::<Vec<_>>(), [way_out]);
}

#[test]
fn a_key_id_is_one_that_aws_could_know_whatever_the_mode() {
    for mode in ["aws", "local"] {
        let refusals = |key_id: &str| refusals(&[("VAULT_KMS_MODE", mode), ("VAULT_KMS_KEY_ID", key_id)]);
        let reason = "VAULT_KMS_KEY_ID: may hold only visible ASCII characters, no blanks";
        for key_id in [" ", "alias/my vault", "alias/vault\n", "alias/schlüssel"] {
            assert_eq!(refusals(key_id), [reason], "{key_id:?}");
        }
        assert_eq!(refusals(&"k".repeat(2_049)), ["VAULT_KMS_KEY_ID: is longer than 2048 bytes"]);
    }
    assert_eq!(aws_key_id(settings(&[AWS[0], ("VAULT_KMS_KEY_ID", &"k".repeat(2_048))])).len(), 2_048);
}

#[test]
fn a_mode_that_is_none_is_the_only_thing_wrong() {
    assert_eq!(refusals(&[("VAULT_KMS_MODE", "gcp")]), ["VAULT_KMS_MODE: \"gcp\" is not one of: aws, local"]);
}

#[test]
fn settings_of_the_other_mode_are_warned_of_and_do_nothing() {
    let unused = |name, mode| Warning::OfAnotherKmsMode { name, mode };
    let local = ("VAULT_LOCAL_MASTER_KEY", MASTER_KEY);
    let previous = ("VAULT_LOCAL_PREVIOUS_KEYS", OTHER_KEY);
    let (settings, warnings) = read(&[AWS[0], AWS[1], local, previous]);
    assert_eq!(aws_key_id(settings), ARN);
    assert!(warnings.contains(&unused("VAULT_LOCAL_MASTER_KEY", "aws")));
    assert!(warnings.contains(&unused("VAULT_LOCAL_PREVIOUS_KEYS", "aws")));
    assert!(!warnings.contains(&Warning::EphemeralMasterKey));

    let (_, warnings) = read(&[local, AWS[1]]);
    let warning = unused("VAULT_KMS_KEY_ID", "local");
    assert!(warnings.contains(&warning));
    assert_eq!(warning.to_string(), "VAULT_KMS_KEY_ID: without effect, since VAULT_KMS_MODE is local");
}

#[test]
fn a_missing_master_key_is_warned_of_loudly() {
    let (settings, warnings) = read(&[]);
    assert!(warnings.contains(&Warning::EphemeralMasterKey) && !settings.keys.is_lasting());
    let (settings, warnings) = read(&[("VAULT_LOCAL_MASTER_KEY", MASTER_KEY)]);
    assert!(!warnings.contains(&Warning::EphemeralMasterKey) && settings.keys.is_lasting());
    assert_eq!(local_keys(&[("VAULT_LOCAL_MASTER_KEY", MASTER_KEY)]), (true, 0));
}

#[test]
fn previous_keys_are_a_list_of_master_keys_among_which_the_current_one_does_no_harm() {
    let current = ("VAULT_LOCAL_MASTER_KEY", MASTER_KEY);
    for (list, keys) in [
        (OTHER_KEY.to_owned(), 1),
        (format!(" {OTHER_KEY} ,{MASTER_KEY}"), 2),
        (format!("{OTHER_KEY},\n{OTHER_KEY},"), 2),
        (",".to_owned(), 0),
        (vec![OTHER_KEY; LOCAL_PREVIOUS_KEYS_MAX].join(","), LOCAL_PREVIOUS_KEYS_MAX),
    ] {
        assert_eq!(local_keys(&[current, ("VAULT_LOCAL_PREVIOUS_KEYS", &list)]), (true, keys), "{list}");
    }
}

#[test]
fn a_previous_key_that_is_none_is_told_by_its_place() {
    let refusals =
        |list: &str| refusals(&[("VAULT_LOCAL_MASTER_KEY", MASTER_KEY), ("VAULT_LOCAL_PREVIOUS_KEYS", list)]);
    assert_eq!(
        refusals(&format!("no!,{OTHER_KEY},c2hvcnQ=")),
        [
            "VAULT_LOCAL_PREVIOUS_KEYS: key 1 of the list is not base64",
            "VAULT_LOCAL_PREVIOUS_KEYS: key 3 of the list must be the base64 of 32 bytes, but is that of 5",
        ]
    );
    let many = vec![OTHER_KEY; LOCAL_PREVIOUS_KEYS_MAX + 1].join(",");
    assert_eq!(refusals(&many), ["VAULT_LOCAL_PREVIOUS_KEYS: names more than 16 keys"]);
}

#[test]
fn previous_keys_may_come_from_a_file() {
    let vars =
        env(&[("VAULT_LOCAL_MASTER_KEY", MASTER_KEY), ("VAULT_LOCAL_PREVIOUS_KEYS_FILE", "/run/previous")]);
    let file = |path: &Path| {
        assert_eq!(path, Path::new("/run/previous"));
        Ok(Zeroizing::new(format!("{OTHER_KEY}\n").into_bytes()))
    };
    let (settings, _) =
        Settings::from_env(vars.into_iter(), file).unwrap_or_else(|errors| panic!("{errors:?}"));
    let KmsMode::Local { previous, .. } = settings.keys.mode else { panic!("local was asked for") };
    assert_eq!(previous.len(), 1);
}

#[test]
fn previous_keys_without_a_current_one_are_refused() {
    assert_eq!(
        refusals(&[("VAULT_LOCAL_PREVIOUS_KEYS", OTHER_KEY)]),
        ["VAULT_LOCAL_MASTER_KEY: not set, though VAULT_LOCAL_PREVIOUS_KEYS is"]
    );
}

#[test]
fn patience_and_memory_are_as_long_as_they_are_set() {
    let keys = settings(&[
        ("VAULT_KMS_MAX_RETRIES", "0"),
        ("VAULT_DEK_CACHE_TTL_SECS", "60"),
        ("VAULT_DEK_CACHE_OUTAGE_TTL_SECS", "3600"),
    ])
    .keys;
    assert_eq!(keys.retries_max, 0);
    assert_eq!((keys.data_key_cache_ttl.get(), keys.data_key_cache_outage_ttl.get()), (60, 3_600));
}

#[test]
fn an_outage_that_nothing_is_kept_for_is_warned_of() {
    let (off, long) = (("VAULT_DEK_CACHE_TTL_SECS", "0"), ("VAULT_DEK_CACHE_OUTAGE_TTL_SECS", "60"));
    assert!(warnings(&[off, long]).contains(&Warning::OutageWithoutCache));
    assert!(!warnings(&[long]).contains(&Warning::OutageWithoutCache));
    assert!(!warnings(&[off]).contains(&Warning::OutageWithoutCache));
}

#[test]
fn rewrapping_is_switched_and_paced() {
    let rewrap = settings(&[
        ("VAULT_KMS_REWRAP_ENABLED", "true"),
        ("VAULT_KMS_REWRAP_POLL_SECS", "60"),
        ("VAULT_KMS_REWRAP_MAX_PER_SEC", "0"),
    ])
    .workers
    .rewrap;
    assert_eq!((rewrap.enabled, rewrap.poll.get(), rewrap.versions_per_sec_max), (true, 60, None));
}
