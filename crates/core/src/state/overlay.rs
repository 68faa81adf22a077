//! Changes laid over rows that stay as they are, so that what a command would do can be known before it is
//! proposed.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::rows::{RawRow, Rows, RowsMut, StorageFault};

/// Rows as they would be: the changes of one preview over a view of the state.
pub struct Overlay<'a> {
    base: &'a dyn Rows,
    /// Absent value: removed.
    changes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl<'a> Overlay<'a> {
    #[must_use]
    pub fn over(base: &'a dyn Rows) -> Overlay<'a> {
        Overlay { base, changes: BTreeMap::new() }
    }

    fn removals(&self) -> usize {
        self.changes.values().filter(|value| value.is_none()).count()
    }
}

impl Rows for Overlay<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageFault> {
        match self.changes.get(key) {
            Some(change) => Ok(change.clone()),
            None => self.base.get(key),
        }
    }

    fn scan(&self, from: &[u8], to: Option<&[u8]>, limit: usize) -> Result<Vec<RawRow>, StorageFault> {
        let below = limit.saturating_add(self.removals());
        let mut merged: BTreeMap<Vec<u8>, Option<Vec<u8>>> =
            self.base.scan(from, to, below)?.into_iter().map(|(key, value)| (key, Some(value))).collect();
        if to.is_none_or(|to| from < to) {
            let end = to.map_or(Bound::Unbounded, Bound::Excluded);
            let changed = self.changes.range::<[u8], _>((Bound::Included(from), end));
            merged.extend(changed.map(|(key, value)| (key.clone(), value.clone())));
        }
        Ok(merged.into_iter().filter_map(|(key, value)| Some((key, value?))).take(limit).collect())
    }
}

impl RowsMut for Overlay<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), StorageFault> {
        self.changes.insert(key.to_vec(), Some(value.to_vec()));
        Ok(())
    }

    fn remove(&mut self, key: &[u8]) -> Result<(), StorageFault> {
        self.changes.insert(key.to_vec(), None);
        Ok(())
    }
}

/// Rows over which nothing lies: a plain map, for tests and as the model that storage is held against.
impl Rows for BTreeMap<Vec<u8>, Vec<u8>> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageFault> {
        Ok(BTreeMap::get(self, key).cloned())
    }

    fn scan(&self, from: &[u8], to: Option<&[u8]>, limit: usize) -> Result<Vec<RawRow>, StorageFault> {
        let before_end = |key: &[u8]| to.is_none_or(|to| key < to);
        let rows = self.range::<[u8], _>((Bound::Included(from), Bound::Unbounded));
        Ok(rows
            .take_while(|(key, _)| before_end(key))
            .take(limit)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect())
    }
}

impl RowsMut for BTreeMap<Vec<u8>, Vec<u8>> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), StorageFault> {
        self.insert(key.to_vec(), value.to_vec());
        Ok(())
    }

    fn remove(&mut self, key: &[u8]) -> Result<(), StorageFault> {
        BTreeMap::remove(self, key);
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_overlay_reads_as_if_the_changes_had_been_made() {
        let mut base: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        for key in ["a", "b", "c", "d"] {
            base.put(key.as_bytes(), b"old").unwrap();
        }
        let mut made = base.clone();
        let mut overlay = Overlay::over(&base);
        for rows in [&mut made as &mut dyn RowsMut, &mut overlay] {
            rows.remove(b"b").unwrap();
            rows.put(b"c", b"new").unwrap();
            rows.put(b"bb", b"new").unwrap();
        }
        for limit in 0..6 {
            for (from, to) in [("", None), ("b", Some("d")), ("c", None), ("d", Some("a"))] {
                let to = to.map(str::as_bytes);
                assert_eq!(
                    overlay.scan(from.as_bytes(), to, limit),
                    made.scan(from.as_bytes(), to, limit),
                    "{from} {to:?} {limit}"
                );
            }
        }
        assert_eq!(Rows::get(&overlay, b"b"), Ok(None));
        assert_eq!(base.len(), 4, "the base stays as it was");
    }
}
