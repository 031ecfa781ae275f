//! Chance that can be repeated: everything that a run decides by lot comes from its seed.

/// `SplitMix64`.
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) const fn from(seed: u64) -> Self {
        Self(seed)
    }

    /// Chance of its own for one of many, so that what one draws does not move the others.
    pub(crate) fn fork(&mut self) -> Self {
        Self(self.draw())
    }

    pub(crate) fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.draw() % (most - least + 1)
    }

    /// An amount of money.
    pub(crate) fn amount(&mut self, least: i64, most: i64) -> i64 {
        let (least, most) = (u64::try_from(least).unwrap(), u64::try_from(most).unwrap());
        i64::try_from(self.between(least, most)).unwrap()
    }

    pub(crate) fn percent(&mut self, share: u64) -> bool {
        self.draw() % 100 < share
    }

    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.place(of.len())]
    }

    /// A place in something of that length.
    pub(crate) fn place(&mut self, length: usize) -> usize {
        usize::try_from(self.draw() % u64::try_from(length).unwrap()).unwrap()
    }
}
