//! A generator whose every run is the same run.

/// Marsaglia's xorshift64*.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn of(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// From `least` to `most`, both included.
    pub(crate) fn between(&mut self, least: u64, most: u64) -> u64 {
        least + (self.next() >> 11) % (most - least + 1)
    }

    pub(crate) fn one_of<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        let last = u64::try_from(choices.len()).unwrap() - 1;
        choices[usize::try_from(self.between(0, last)).unwrap()]
    }

    /// So many digits, of which the first is no nought.
    pub(crate) fn digits(&mut self, count: usize) -> String {
        let digit = |place, this: &mut Self| this.between(u64::from(place == 0), 9).to_string();
        (0..count).map(|place| digit(place, self)).collect()
    }

    /// So many letters of an alphabet.
    pub(crate) fn letters(&mut self, alphabet: &str, count: usize) -> String {
        let letters: Vec<char> = alphabet.chars().collect();
        let last = u64::try_from(letters.len()).unwrap() - 1;
        (0..count)
            .map(|_| letters[usize::try_from(self.between(0, last)).unwrap()])
            .collect()
    }
}
