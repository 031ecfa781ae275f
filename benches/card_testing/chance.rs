//! Chance that can be repeated: `SplitMix64` (Steele, Lea, Flood, 2014), seeded.

pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub(crate) const fn below(&mut self, end: u32) -> u32 {
        (self.next() % end as u64) as u32
    }

    /// Whether something of that likelihood happens, in a thousand.
    pub(crate) const fn is(&mut self, per_mille: u32) -> bool {
        self.below(1_000) < per_mille
    }
}
