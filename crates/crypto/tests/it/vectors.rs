//! Reads `tests/vectors/*.txt`: lines of `name = value`, and comments behind `#`.

use hyperion_vault_core::name::SecretName;
use hyperion_vault_core::secret::VersionNumber;

pub(crate) struct Vectors(&'static str);

impl Vectors {
    pub(crate) fn new(file: &'static str) -> Vectors {
        Vectors(file)
    }

    pub(crate) fn text(&self, name: &str) -> &'static str {
        let value = self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "));
        value.unwrap_or_else(|| panic!("no {name} in the vectors"))
    }

    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        hex::decode(self.text(name)).unwrap()
    }

    pub(crate) fn array<const N: usize>(&self, name: &str) -> [u8; N] {
        self.bytes(name).try_into().unwrap()
    }

    pub(crate) fn name(&self) -> SecretName {
        SecretName::parse(self.text("name")).unwrap()
    }

    pub(crate) fn version(&self) -> VersionNumber {
        VersionNumber::new(self.text("version").parse().unwrap())
    }
}
