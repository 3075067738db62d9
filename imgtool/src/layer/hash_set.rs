//! A set of hashes in little more than the eight bytes of each: the standard library's takes up to 30 while
//! it grows.

/// Hashes of 64 bits, evenly spread.
#[derive(Debug, Default)]
pub(super) struct HashSet {
    /// Sorted, each those with the same first bits: so short that one more is put between others soon.
    /// Growing one by one, they never need twice their memory. Empty as long as the set is.
    parts: Vec<Vec<u64>>,
    /// For how many hashes there is room in all parts.
    capacity: usize,
}

const PART_BITS: u32 = 12;

impl HashSet {
    /// Adds a hash; false if it is there.
    pub(super) fn insert(&mut self, hash: u64) -> bool {
        if self.parts.is_empty() {
            self.parts.resize_with(1 << PART_BITS, Vec::new);
        }
        let part = &mut self.parts[part_of(hash)];
        let Err(place) = part.binary_search(&hash) else {
            return false;
        };
        if part.len() == part.capacity() {
            let before = part.capacity();
            part.reserve_exact(part.len() / 8 + 4);
            self.capacity += part.capacity() - before;
        }
        part.insert(place, hash);
        true
    }

    pub(super) fn contains(&self, hash: u64) -> bool {
        let part = self.parts.get(part_of(hash));
        part.is_some_and(|part| part.binary_search(&hash).is_ok())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Roughly the bytes that it takes.
    pub(super) fn memory(&self) -> usize {
        self.parts.len() * size_of::<Vec<u64>>() + self.capacity * size_of::<u64>()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.parts.iter().map(Vec::len).sum()
    }
}

fn part_of(hash: u64) -> usize {
    (hash >> (u64::BITS - PART_BITS)) as usize
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn it_is_a_set() {
        let (mut set, mut expected) = (HashSet::default(), BTreeSet::new());
        assert!(set.is_empty() && !set.contains(0));
        for number in 0..20_000_u64 {
            // Some come twice, some not at all.
            let hash = (number * 3 / 4).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            assert_eq!(set.insert(hash), expected.insert(hash));
        }
        for hash in [0, u64::MAX] {
            assert_eq!(set.insert(hash), expected.insert(hash));
        }
        assert_eq!(set.len(), expected.len());
        assert!(expected.iter().all(|hash| set.contains(*hash)));
        assert!(
            expected
                .iter()
                .all(|hash| !set.contains(hash ^ 1) || expected.contains(&(hash ^ 1)))
        );
        assert!(!set.is_empty());
    }
}
