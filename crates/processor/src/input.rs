//! The model's input, for one sample and for a packed list of samples.

/// Size of a video in patches: temporal, height, width.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GridThw {
    /// Temporal patches (pairs of frames).
    pub t: u32,
    /// Patch rows.
    pub h: u32,
    /// Patch columns.
    pub w: u32,
}

impl GridThw {
    /// Number of patches.
    pub fn patches(self) -> usize {
        (self.t as usize).saturating_mul(self.h as usize).saturating_mul(self.w as usize)
    }
}

/// One sample, ready for a model. Legend: `T` tokens, `P` patches, `E` values of a patch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VlmInput {
    /// Token ids `(T,)`, vision placeholders expanded.
    pub input_ids: Vec<u32>,
    /// Label of every token `(T,)`, not shifted (as in HF): its own id where it is trained, -100 elsewhere.
    pub labels: Vec<i32>,
    /// M-RoPE positions: t, h, w, each `(T,)`.
    pub position_ids: [Vec<i32>; 3],
    /// Normalised patches `(P, E)`, in the order of the vision tower.
    pub pixel_values: Vec<f32>,
    /// Grid of every video, in order of appearance.
    pub grid_thw: Vec<GridThw>,
    /// What is added to a token's index to get its position while decoding (`rope_deltas` in HF).
    pub rope_delta: i32,
}

/// Samples laid end to end, no padding.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PackedInput {
    /// Token ids of all samples.
    pub input_ids: Vec<u32>,
    /// Labels of all samples, not shifted; shifting stays inside a sample.
    pub labels: Vec<i32>,
    /// Positions of all samples; every sample starts anew.
    pub position_ids: [Vec<i32>; 3],
    /// Patches of all samples.
    pub pixel_values: Vec<f32>,
    /// Grids of all samples.
    pub grid_thw: Vec<GridThw>,
    /// Token boundaries, `[0, end_0, end_1, ...]`.
    pub cu_seqlens: Vec<u32>,
}

/// Lays samples end to end.
pub fn pack(samples: &[&VlmInput]) -> PackedInput {
    let mut packed = PackedInput { cu_seqlens: vec![0], ..PackedInput::default() };
    for sample in samples {
        packed.input_ids.extend_from_slice(&sample.input_ids);
        packed.labels.extend_from_slice(&sample.labels);
        for (all, own) in packed.position_ids.iter_mut().zip(&sample.position_ids) {
            all.extend_from_slice(own);
        }
        packed.pixel_values.extend_from_slice(&sample.pixel_values);
        packed.grid_thw.extend_from_slice(&sample.grid_thw);
        packed.cu_seqlens.push(packed.input_ids.len() as u32);
    }
    packed
}
