//! Lists of CPUs and of memory nodes: `0-3,7` (cpuset(7), "List format").

use std::fmt;

/// More CPUs or nodes than any kernel has; a bound on what a caller can make us hold in memory.
const HIGHEST: u32 = 64 << 10;

/// A set of numbers, as the bit mask that sched_setaffinity(2) and set_mempolicy(2) take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NumberList {
    words: Vec<u64>,
}

impl NumberList {
    /// Reads the list format; blanks around numbers and empty parts are passed over.
    ///
    /// # Errors
    /// The part that can't be read, or is too high.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut list = NumberList::default();
        for part in text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return Err(format!("invalid range: {part}"));
            }
            (first..=last).for_each(|number| list.insert(number));
        }
        Ok(list)
    }

    fn insert(&mut self, number: u32) {
        let word = number as usize / 64;
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= 1 << (number % 64);
    }

    /// How many numbers it has.
    pub fn count(&self) -> u32 {
        self.words.iter().map(|word| word.count_ones()).sum()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// The mask: bit n of word m stands for 64m + n.
    pub fn words(&self) -> &[u64] {
        &self.words
    }
}

/// In the list format, one by one.
impl fmt::Display for NumberList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (index, word) in self.words.iter().enumerate() {
            for bit in (0..64).filter(|bit| word & (1 << bit) != 0) {
                write!(f, "{separator}{}", index * 64 + bit)?;
                separator = ",";
            }
        }
        Ok(())
    }
}

fn number(text: &str) -> Result<u32, String> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(number) if digits && number <= HIGHEST => Ok(number),
        Ok(_) if digits => Err(format!("values larger than {HIGHEST} are not supported")),
        _ => Err(format!("{text:?} is no number in range")),
    }
}

#[cfg(test)]
mod tests {
    use super::NumberList;

    #[test]
    fn lists_and_ranges_become_bits() {
        let words = |text| NumberList::parse(text).unwrap().words().to_vec();
        assert_eq!(words("0-3,7"), [0b1000_1111]);
        assert_eq!(words(" 1 ,, 64"), [2, 1]);
        assert_eq!(words("1024-1025").len(), 17, "more than a cpu_set_t holds");
        assert!(words("").is_empty());
        assert_eq!(NumberList::parse("0-7").unwrap().count(), 8);
        assert_eq!(NumberList::parse("0-1,65").unwrap().to_string(), "0,1,65");
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "a",
            "-1",
            "1-",
            "3-1",
            "+1",
            "1-2-3",
            "0-9876543210",
            "65537",
            "0 1",
        ] {
            assert!(NumberList::parse(text).is_err(), "{text:?}");
        }
    }
}
