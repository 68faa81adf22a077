//! The variables that concern the vault, and typed reading of them.
//!
//! Readers never fail: a value that doesn't parse is noted and something harmless returned in its place, so
//! that one start reports all errors. [`Environment::finish`] then refuses the whole.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use hyperion_vault_api::text::SecretText;
use zeroize::Zeroizing;

use super::error::{SettingError, Warning, shown};
use super::table::{Setting, TABLE, Values};

/// Largest file that a secret is read from, in bytes.
pub const SECRET_FILE_BYTES_MAX: usize = 65_536;

/// What the names of our settings begin with, but for those that deployments already know otherwise.
const PREFIX: &str = "VAULT_";
const FILE_SUFFIX: &str = "_FILE";

/// By which a test makes a debug build stand for an earlier one. No setting: a release build doesn't know it.
pub(super) const PRETEND_FEATURE_LEVEL: &str = "HYPERION_VAULT_PRETEND_FEATURE_LEVEL";
/// By which a test has a debug build stop in the middle of a rotation, to be killed there.
pub(super) const PAUSE_ROTATION_AT: &str = "HYPERION_VAULT_PAUSE_ROTATION_AT";

fn for_tests(name: &str) -> Option<&'static str> {
    let names = [PRETEND_FEATURE_LEVEL, PAUSE_ROTATION_AT];
    names.into_iter().find(|known| cfg!(debug_assertions) && *known == name)
}

/// Reads a secret's file: the `read_file` of [`super::Settings::from_env`] for real use.
///
/// # Errors
/// What the operating system says, or `FileTooLarge` past [`SECRET_FILE_BYTES_MAX`].
pub fn read_secret_file(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    // Sized ahead, so that growing leaves no copy behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(SECRET_FILE_BYTES_MAX + 1));
    let limit = u64::try_from(SECRET_FILE_BYTES_MAX + 1).unwrap_or(u64::MAX);
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    if bytes.len() > SECRET_FILE_BYTES_MAX {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("larger than {SECRET_FILE_BYTES_MAX} bytes"),
        ));
    }
    Ok(bytes)
}

/// The values given for known settings, and what was found wrong or doubtful so far.
#[derive(Default)]
pub(super) struct Environment {
    /// `None`: given as a file that couldn't be read, which has been noted.
    given: BTreeMap<&'static str, Option<Zeroizing<Vec<u8>>>>,
    /// Given for tests of debug builds.
    for_tests: BTreeMap<&'static str, OsString>,
    errors: Vec<SettingError>,
    warnings: Vec<Warning>,
}

impl Environment {
    pub(super) fn collect(
        vars: impl Iterator<Item = (OsString, OsString)>,
        mut read_file: impl FnMut(&Path) -> io::Result<Zeroizing<Vec<u8>>>,
    ) -> Environment {
        let mut env = Environment::default();
        let mut files = Vec::new();
        for (name, value) in vars {
            let Some(name) = name.to_str() else { continue };
            if let Some(setting) = TABLE.iter().find(|setting| setting.name == name) {
                // As getenv(3) does: the first of two of the same name counts.
                let value = Zeroizing::new(value.into_encoded_bytes());
                env.given.entry(setting.name).or_insert(Some(value));
            } else if let Some(name) = for_tests(name) {
                env.for_tests.insert(name, value);
            } else if let Some(setting) = secret_by_file_name(name) {
                files.push((setting, PathBuf::from(value)));
            } else if name.starts_with(PREFIX) {
                env.warn(Warning::UnknownSetting { name: name.to_owned(), nearest: nearest(name) });
            }
        }
        for (setting, path) in files {
            env.take_file(setting, &path, &mut read_file);
        }
        env
    }

    /// What a test gave a debug build under this name, as `parse` reads it.
    pub(super) fn for_tests<T>(
        &mut self,
        name: &'static str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let given = self.for_tests.remove(name)?;
        let parsed = given.to_str().and_then(parse);
        if parsed.is_none() {
            self.errors.push(SettingError { name: name.to_owned(), reason: format!("is not {expected}") });
        }
        parsed
    }

    fn take_file(
        &mut self,
        setting: &'static Setting,
        path: &Path,
        read_file: &mut impl FnMut(&Path) -> io::Result<Zeroizing<Vec<u8>>>,
    ) {
        let name = format!("{}{FILE_SUFFIX}", setting.name);
        if self.given.contains_key(setting.name) {
            let reason = format!("set together with {}; set only one of them", setting.name);
            return self.errors.push(SettingError { name, reason });
        }
        let content = read_file(path).map(|mut bytes| {
            trim_newline(&mut bytes);
            bytes
        });
        if let Err(error) = &content {
            let reason = format!("can't read {}: {error}", shown(&path.to_string_lossy()));
            self.errors.push(SettingError { name, reason });
        }
        self.given.insert(setting.name, content.ok());
    }

    pub(super) fn is_given(&self, setting: &Setting) -> bool {
        self.given.contains_key(setting.name)
    }

    fn bytes(&self, setting: &Setting) -> Option<&[u8]> {
        self.given.get(setting.name)?.as_ref().map(|bytes| bytes.as_slice())
    }

    pub(super) fn warn(&mut self, warning: Warning) {
        self.warnings.push(warning);
    }

    pub(super) fn refuse(&mut self, setting: &Setting, reason: impl Into<String>) {
        self.errors.push(SettingError { name: setting.name.to_owned(), reason: reason.into() });
    }

    /// The value given, or else the default; `None` when there is neither, or an error was noted. An empty
    /// value is refused unless the setting's kind gives it a meaning: to be left unset, a setting is unset.
    fn text(&mut self, setting: &Setting) -> Option<String> {
        if !self.is_given(setting) {
            return setting.default.value().map(str::to_owned);
        }
        let text = std::str::from_utf8(self.bytes(setting)?).map(str::to_owned);
        match text {
            Ok(text) if text.is_empty() && !setting.values.may_be_empty() => {
                self.refuse(setting, "is empty; give it a value or unset it");
                None
            }
            Ok(text) => Some(text),
            Err(_) => {
                self.refuse(setting, "is not valid UTF-8");
                None
            }
        }
    }

    /// The value through `parse`, whose error says what is wrong with it in words that may be shown.
    pub(super) fn parse<T, E: ToString>(
        &mut self,
        setting: &Setting,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.text(setting)?;
        match parse(&text) {
            Ok(value) => Some(value),
            Err(error) => {
                self.refuse(setting, error.to_string());
                None
            }
        }
    }

    /// A number within the bounds of the table, or its lower bound after an error.
    pub(super) fn number(&mut self, setting: &Setting) -> u64 {
        let (min, max) = setting.values.bounds();
        let number = self.parse(setting, |text| {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            let number = text.parse().ok().filter(|number| digits && (min..=max).contains(number));
            number.ok_or_else(|| format!("{} is not a whole number from {min} to {max}", shown(text)))
        });
        number.unwrap_or(min)
    }

    /// One of the words of the table, turned into a value by `of`; the default after an error.
    pub(super) fn choice<T: Default>(&mut self, setting: &Setting, of: impl FnOnce(&str) -> Option<T>) -> T {
        let words = setting.values.words();
        self.parse(setting, |text| of(text).ok_or_else(|| not_one_of(text, words))).unwrap_or_default()
    }

    pub(super) fn flag(&mut self, setting: &Setting) -> bool {
        self.choice(setting, |text| match text {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        })
    }

    /// A path, any bytes but none at all.
    pub(super) fn path(&mut self, setting: &Setting) -> Option<PathBuf> {
        if !self.is_given(setting) {
            return setting.default.value().map(PathBuf::from);
        }
        let bytes = self.bytes(setting)?;
        if bytes.is_empty() {
            self.refuse(setting, "is empty; give it a value or unset it");
            return None;
        }
        Some(PathBuf::from(OsStr::from_bytes(bytes)))
    }

    /// A secret, taken out of the environment; its value shows in no error.
    pub(super) fn secret(&mut self, setting: &Setting) -> Option<SecretText> {
        match std::str::from_utf8(self.bytes(setting)?) {
            Ok("") => self.refuse(setting, "is empty; give it a value or unset it"),
            Ok(text) => return Some(SecretText::new(Zeroizing::new(text.to_owned()))),
            Err(_) => self.refuse(setting, "is not valid UTF-8"),
        }
        None
    }

    /// The warnings, if nothing was wrong.
    pub(super) fn finish(mut self) -> Result<Vec<Warning>, Vec<SettingError>> {
        if self.errors.is_empty() {
            return Ok(self.warnings);
        }
        // `NAME_FILE` stands with `NAME`.
        self.errors.sort_by_key(|error| {
            let name = error.name.strip_suffix(FILE_SUFFIX).unwrap_or(&error.name);
            TABLE.iter().position(|setting| setting.name == name)
        });
        Err(self.errors)
    }
}

pub(super) fn not_one_of(text: &str, words: &[&str]) -> String {
    format!("{} is not one of: {}", shown(text), words.join(", "))
}

fn secret_by_file_name(name: &str) -> Option<&'static Setting> {
    let name = name.strip_suffix(FILE_SUFFIX)?;
    TABLE.iter().copied().find(|setting| setting.name == name && matches!(setting.values, Values::Secret))
}

/// The known name with the fewest edits between it and `name`.
fn nearest(name: &str) -> &'static str {
    let names = TABLE.iter().map(|setting| setting.name);
    names.min_by_key(|known| strsim::damerau_levenshtein(known, name)).unwrap_or_default()
}

/// Drops the newline, LF or CR LF, that an editor puts behind the last line.
fn trim_newline(bytes: &mut Vec<u8>) {
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
}
