//! What each block keeps of its forward pass, and how much is kept when memory is bounded.

/// What a block keeps for its backward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Remat {
    /// Everything.
    #[default]
    None,
    /// The residual stream and the results of products and attention; norms, rotation and activations run again.
    Selective,
    /// Its input; the whole block runs again.
    Full,
}

/// How the blocks' remat is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RematChoice {
    /// The same for all.
    Every(Remat),
    /// As little as fits in so many bytes of activations and workspace; the blocks may differ.
    Fit(u64),
}

/// The remat of every block of both towers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Levels {
    pub text: Vec<Remat>,
    pub vision: Vec<Remat>,
}

impl Levels {
    pub fn every(remat: Remat, text: usize, vision: usize) -> Self {
        Self { text: vec![remat; text], vision: vec![remat; vision] }
    }

    /// The first `count` of all steps from everything recomputed to nothing recomputed, by time saved a byte: decoder blocks to
    /// selective, vision blocks to selective, then vision blocks and decoder blocks to none.
    pub fn step(count: usize, text: usize, vision: usize) -> Self {
        let mut levels = Self::every(Remat::Full, text, vision);
        let mut left = count;
        let mut raise = |blocks: &mut [Remat], to: Remat| {
            let own = left.min(blocks.len());
            blocks[..own].fill(to);
            left -= own;
        };
        raise(&mut levels.text, Remat::Selective);
        raise(&mut levels.vision, Remat::Selective);
        raise(&mut levels.vision, Remat::None);
        raise(&mut levels.text, Remat::None);
        levels
    }

    /// Number of steps.
    pub fn steps(text: usize, vision: usize) -> usize {
        2 * (text + vision)
    }

    /// `none/selective/full` of the decoder and of the vision tower, counted.
    pub fn words(&self) -> String {
        let count = |blocks: &[Remat], level: Remat| blocks.iter().filter(|own| **own == level).count();
        let side = |blocks: &[Remat]| {
            [Remat::None, Remat::Selective, Remat::Full].map(|level| count(blocks, level).to_string()).join("/")
        };
        format!("blocks none/selective/full: decoder {}, vision {}", side(&self.text), side(&self.vision))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_go_from_full_to_none() {
        let words = |count| Levels::step(count, 4, 3).words();
        assert_eq!(words(0), "blocks none/selective/full: decoder 0/0/4, vision 0/0/3");
        assert_eq!(words(5), "blocks none/selective/full: decoder 0/4/0, vision 0/1/2");
        assert_eq!(words(8), "blocks none/selective/full: decoder 0/4/0, vision 1/2/0");
        assert_eq!(Levels::step(Levels::steps(4, 3), 4, 3), Levels::every(Remat::None, 4, 3));
    }
}
