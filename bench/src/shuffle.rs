//! The order of a round's contestants, which is shuffled anew each time: whoever comes after another may gain or
//! lose by it.

/// Fisher and Yates, with Marsaglia's xorshift: chance enough for an order of rounds.
#[derive(Debug)]
pub struct Shuffle(u64);

impl Shuffle {
    /// A new one; its orders follow from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Puts `order` in another order.
    pub fn shuffle(&mut self, order: &mut [usize]) {
        for last in (1..order.len()).rev() {
            let chosen = self.next() % (last as u64 + 1);
            order.swap(last, usize::try_from(chosen).unwrap_or(0));
        }
    }

    fn next(&mut self) -> u64 {
        let mut state = self.0 | 1;
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        self.0 = state;
        state
    }
}
