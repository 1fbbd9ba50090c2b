//! A packed micro-batch on the GPU: row lists, positions and boundaries, everything but the pixels.
//!
//! Shape legend: `T` packed tokens, `P` patches, `M` visual tokens, `N` labelled rows.

use processor::{GridThw, PackedInput};
use tensor::cuda::ops::rows::{Accumulation, RowList};
use tensor::cuda::{Attention, AttentionConfig, Buffer, Gpu, PackedAttention, Stream};

use super::layers::Layers;
use crate::config::VlmConfig;
use crate::{Result, grid, vlm};

/// Tokens to a multiple of which the longest sequence is rounded for the plans of attention, unless lengths repeat.
const LENGTH_STEP: u32 = 128;

/// What the passes read beside weights and pixels.
pub(super) struct DeviceBatch {
    pub tokens: usize,
    /// Rows of the embedding, or of the visual features.
    pub embedded: RowList,
    /// Where each row's gradient goes in the embedding.
    pub embedding_rows: Accumulation,
    /// `(3, T)`
    pub positions: Buffer<i32>,
    pub attention: PackedAttention,
    /// Rows that predict a labelled token, and what they should predict.
    pub labelled: RowList,
    pub targets: Buffer<i32>,
    pub vision: Option<Geometry>,
}

/// What depends on the grids.
pub(super) struct Geometry {
    pub patches: usize,
    /// Token rows of the visual tokens, `(M,)`.
    pub rows: RowList,
    /// `(3, P)`: row, column, 0.
    pub positions: Buffer<i32>,
    /// `(4, P)`
    pub corners: Buffer<i32>,
    /// `(4, P)`
    pub weights: Buffer<f32>,
    /// Where each patch's gradient goes in the position table.
    pub position_rows: Accumulation,
    pub attention: PackedAttention,
}

/// How sequences are handed to attention.
#[derive(Clone, Copy)]
pub(super) struct Sequences<'a> {
    pub attention: &'a Attention,
    pub deterministic: bool,
    /// Whether lengths repeat from batch to batch, so that plans for exactly them pay.
    pub exact: bool,
}

impl Sequences<'_> {
    fn prepare(
        &self,
        stream: &Stream,
        boundaries: &[u32],
        config: AttentionConfig,
        step: u32,
    ) -> Result<PackedAttention> {
        let config = AttentionConfig { deterministic: self.deterministic, ..config };
        let step = if self.exact { 1 } else { step };
        Ok(self.attention.prepare_in_steps(stream, boundaries, config, step)?)
    }
}

impl DeviceBatch {
    /// Checks a packed batch against the model and uploads what the passes read; waits for the copies.
    ///
    /// # Errors
    /// [`Error::Input`] if the batch does not fit the model, [`Error::Gpu`].
    pub fn new(
        gpu: &Gpu,
        stream: &Stream,
        config: &VlmConfig,
        layers: &Layers,
        sequences: Sequences<'_>,
        input: &PackedInput,
    ) -> Result<Self> {
        let visual = vlm::visual_rows(config, input)?;
        vlm::check_grids(&config.vision, &input.grid_thw)?;
        let (labelled, targets) = vlm::labelled_rows(config, input)?;
        let (tokens, table_rows) = (input.input_ids.len(), config.text.vocab_size.next_multiple_of(8));
        let ids = vlm::checked_ids(config, &input.input_ids)?;
        let (mut embedded, mut targets_of_rows) = (ids.clone(), ids);
        for (feature, &row) in visual.iter().enumerate() {
            embedded[row as usize] = -1 - feature as i32;
            targets_of_rows[row as usize] = -1;
        }
        Ok(Self {
            tokens,
            embedded: RowList::of_two(gpu, stream, &embedded, [table_rows, visual.len()])?,
            embedding_rows: Accumulation::new(gpu, stream, &targets_of_rows, None, tokens, table_rows)?,
            positions: gpu.upload(stream, &input.position_ids.concat(), "positions")?,
            attention: sequences.prepare(stream, &input.cu_seqlens, text_attention(config), LENGTH_STEP)?,
            labelled: RowList::new(gpu, stream, &labelled, tokens)?,
            targets: gpu.upload(stream, &targets, "targets")?,
            vision: match input.grid_thw.is_empty() {
                true => None,
                false => {
                    Some(Geometry::new(gpu, stream, config, layers, sequences, (&input.grid_thw, &visual, tokens))?)
                }
            },
        })
    }

    /// Rows that carry a loss, `N`.
    pub fn labelled(&self) -> usize {
        self.targets.len()
    }
}

impl Geometry {
    fn new(
        gpu: &Gpu,
        stream: &Stream,
        config: &VlmConfig,
        layers: &Layers,
        sequences: Sequences<'_>,
        (grids, visual, tokens): (&[GridThw], &[i32], usize),
    ) -> Result<Self> {
        let merge = config.vision.spatial_merge_size;
        let at = grid::patch_positions(grids, merge);
        let axis = |i: usize| at.iter().map(move |p| p[i] as i32);
        let positions: Vec<i32> = axis(0).chain(axis(1)).chain(std::iter::repeat_n(0, at.len())).collect();
        let (corners, weights) = grid::position_corners(grids, layers.position_rows.isqrt(), merge);
        let corners = corners.concat();
        let rows = layers.position_rows;
        Ok(Self {
            patches: at.len(),
            rows: RowList::new(gpu, stream, visual, tokens)?,
            positions: gpu.upload(stream, &positions, "patch positions")?,
            position_rows: Accumulation::new(gpu, stream, &corners, Some(&weights), at.len(), rows)?,
            corners: gpu.upload(stream, &corners, "corners")?,
            weights: gpu.upload(stream, &weights, "corner weights")?,
            attention: sequences.prepare(stream, &grid::frame_boundaries(grids), vision_attention(config), 1)?,
        })
    }
}

/// Queries and keys after their rotation lie on their own, values in the projection.
fn text_attention(config: &VlmConfig) -> AttentionConfig {
    let text = &config.text;
    let (heads, kv_heads, head_dim) = (text.num_attention_heads, text.num_key_value_heads, text.head_dim);
    let (wq, wk) = (heads * head_dim, kv_heads * head_dim);
    let strides = [wq, wk, wq + 2 * wk];
    let scale = 1.0 / (head_dim as f32).sqrt();
    AttentionConfig {
        heads,
        kv_heads,
        head_dim,
        causal: true,
        scale,
        deterministic: false,
        strides,
        gradient_strides: strides,
    }
}

/// Queries, keys and values are rotated in the projection.
fn vision_attention(config: &VlmConfig) -> AttentionConfig {
    let vision = &config.vision;
    let (heads, head_dim, strides) = (vision.num_heads, vision.head_dim(), [3 * vision.hidden_size; 3]);
    AttentionConfig {
        heads,
        kv_heads: heads,
        head_dim,
        causal: false,
        scale: 1.0 / (head_dim as f32).sqrt(),
        deterministic: false,
        strides,
        gradient_strides: strides,
    }
}
