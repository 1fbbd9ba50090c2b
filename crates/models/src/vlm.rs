//! A vision-language model of either family: load, logits, loss, gradients, cached generation.

use crate::{
    Error, Grads, Params, Result,
    config::{VisionConfig, VisionKind, VlmConfig},
    decoder::{Decoder, Labelled, Tokens},
    layers::Context,
    params::ParamTable,
    qwen2_5_vl, qwen3_vl,
    tower::{Geometry, Tower, VisionOutput},
};
use processor::{Family, GridThw, PackedInput};
use tensor::{Device, Indices, Segments, Tensor, ops::rotary::RotaryTable};

mod cached;

pub use cached::{KvCache, Prefix};

/// What is kept of a forward pass for the backward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Remat {
    /// Every activation.
    #[default]
    None,
    /// The input of every block; blocks run again in the backward.
    Full,
}

/// How the tensors of a folder are called, and whether the head has a tensor of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Whether the head is the embedding table.
    pub tied: bool,
    /// Qwen2.5-VL only: `visual.*`, `model.layers.*` instead of `model.visual.*`, `model.language_model.layers.*`.
    pub old_names: bool,
}

/// Sum of token losses and how many tokens it covers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LossSum {
    /// Sum over labelled tokens of the negative log-likelihood, in nats.
    pub loss: f64,
    /// Number of labelled tokens.
    pub tokens: u64,
}

/// A vision-language model with its weights.
#[derive(Clone, Debug)]
pub struct Vlm {
    /// The checked config.
    pub config: VlmConfig,
    /// The weights.
    pub params: Params,
    /// What training keeps of the forward pass.
    pub remat: Remat,
    layout: Layout,
    vision: Tower,
    decoder: Decoder,
}

/// A packed batch on the device.
struct Batch {
    tokens: Tokens,
    table: RotaryTable,
    segments: Segments,
    pixels: Option<(Tensor, Geometry)>,
}

/// The parameters of a model of this config, and the layers that hold their ids.
pub(crate) fn describe(config: &VlmConfig, layout: Layout) -> (ParamTable, Tower, Decoder) {
    let mut table = ParamTable::default();
    let (vision_prefix, decoder_prefix) = match (config.family, layout.old_names) {
        (Family::Qwen2_5Vl, true) => ("visual", "model"),
        _ => ("model.visual", "model.language_model"),
    };
    let vision = match &config.vision.kind {
        VisionKind::Qwen3 { position_grid_side, deepstack_visual_indexes, hidden_act } => qwen3_vl::build_vision(
            &mut table,
            &config.vision,
            *position_grid_side,
            deepstack_visual_indexes,
            *hidden_act,
        ),
        VisionKind::Qwen2_5 { window_size, fullatt_block_indexes, .. } => {
            qwen2_5_vl::build_vision(&mut table, vision_prefix, &config.vision, *window_size, fullatt_block_indexes)
        }
    };
    let decoder = qwen3_vl::build_decoder(&mut table, decoder_prefix, &config.text, layout.tied);
    (table, vision, decoder)
}

/// Names, shapes and starts of all parameters of a model of this config, in order.
pub fn param_table(config: &VlmConfig, layout: Layout) -> ParamTable {
    describe(config, layout).0
}

impl Vlm {
    /// A model from values in the order of [`param_table`].
    ///
    /// # Errors
    /// [`Error::Internal`] if they do not fit the table.
    pub fn from_tensors(config: VlmConfig, layout: Layout, tensors: Vec<Tensor>) -> Result<Self> {
        let (table, vision, decoder) = describe(&config, layout);
        Ok(Self { config, params: table.with_tensors(tensors)?, remat: Remat::None, layout, vision, decoder })
    }

    /// The names and tying this model was made with.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The device that holds the model.
    pub fn device(&self) -> Device {
        self.params.device()
    }

    /// Logits `(N, V)` of the given rows of a packed batch.
    ///
    /// # Errors
    /// [`Error::Input`] if the batch does not fit the model.
    pub fn logits(&self, input: &PackedInput, rows: &[u32]) -> Result<Tensor> {
        let batch = self.batch(input)?;
        let vision = self.see(&batch)?;
        let context = Context { table: &batch.table, segments: &batch.segments };
        let hidden = self.decoder.forward(&self.params, &batch.tokens, vision.as_ref(), context, None)?;
        let rows = Indices::new(&self.device(), rows.iter().map(|r| *r as i32).collect());
        self.decoder.logits(&self.params, &hidden, &rows)
    }

    /// Visual tokens and DeepStack features of normalised patches `(P, E)`.
    ///
    /// # Errors
    /// [`Error::Input`] if patches and grids disagree.
    pub fn visual_embeds(&self, pixel_values: &[f32], grids: &[GridThw]) -> Result<VisionOutput> {
        let (pixels, geometry) = self.pixels(pixel_values, grids)?.ok_or_else(|| Error::input("no patches"))?;
        self.vision.forward(&self.params, &geometry, &pixels)
    }

    /// The loss of a packed batch without gradients.
    ///
    /// # Errors
    /// [`Error::Input`] if the batch does not fit the model.
    pub fn loss(&self, input: &PackedInput) -> Result<LossSum> {
        let batch = self.batch(input)?;
        let labelled = self.labelled(input)?;
        if labelled.rows.is_empty() {
            return Ok(LossSum::default());
        }
        let vision = self.see(&batch)?;
        let context = Context { table: &batch.table, segments: &batch.segments };
        let hidden = self.decoder.forward(&self.params, &batch.tokens, vision.as_ref(), context, None)?;
        Ok(LossSum { loss: self.decoder.loss(&self.params, &hidden, &labelled)?, tokens: labelled.rows.len() as u64 })
    }

    /// Adds the gradients of `grad_scale` times the summed token loss of a packed batch.
    ///
    /// # Errors
    /// [`Error::Input`] if the batch does not fit the model.
    pub fn forward_backward(&self, input: &PackedInput, grad_scale: f32, grads: &mut Grads) -> Result<LossSum> {
        let batch = self.batch(input)?;
        let labelled = self.labelled(input)?;
        if labelled.rows.is_empty() {
            return Ok(LossSum::default());
        }
        let (vision, tower_saved) = match batch.pixels {
            None => (None, None),
            Some((pixels, geometry)) => {
                let (output, saved) = self.vision.forward_saving(&self.params, geometry, pixels, self.remat)?;
                (Some(output), Some(saved))
            }
        };
        let context = Context { table: &batch.table, segments: &batch.segments };
        let saved = self.decoder.forward_saving(&self.params, &batch.tokens, vision.as_ref(), context, self.remat)?;
        let (loss, d_vision) = self.decoder.backward(
            &self.params,
            grads,
            &batch.tokens,
            context,
            saved,
            &labelled,
            grad_scale,
            vision.as_ref(),
        )?;
        if let (Some(saved), Some(d_vision)) = (tower_saved, d_vision) {
            self.vision.backward(&self.params, grads, saved, d_vision)?;
        }
        Ok(LossSum { loss, tokens: labelled.rows.len() as u64 })
    }

    fn see(&self, batch: &Batch) -> Result<Option<VisionOutput>> {
        match &batch.pixels {
            None => Ok(None),
            Some((pixels, geometry)) => Ok(Some(self.vision.forward(&self.params, geometry, pixels)?)),
        }
    }

    fn ids(&self, ids: &[u32]) -> Result<Indices> {
        Ok(Indices::new(&self.device(), checked_ids(&self.config, ids)?))
    }

    fn batch(&self, input: &PackedInput) -> Result<Batch> {
        let visual_rows = visual_rows(&self.config, input)?;
        let device = self.device();
        Ok(Batch {
            tokens: Tokens { ids: self.ids(&input.input_ids)?, visual_rows: Indices::new(&device, visual_rows) },
            table: self.decoder.rotary_table(&device, &input.position_ids)?,
            segments: Segments::packed(&device, &input.cu_seqlens)?,
            pixels: self.pixels(&input.pixel_values, &input.grid_thw)?,
        })
    }

    fn pixels(&self, pixel_values: &[f32], grids: &[GridThw]) -> Result<Option<(Tensor, Geometry)>> {
        let vision = &self.config.vision;
        check_grids(vision, grids)?;
        let patches: usize = grids.iter().map(|g| g.patches()).sum();
        if patches * vision.patch_values() != pixel_values.len() {
            return Err(Error::input(format!(
                "{} pixel values for {patches} patches of {}",
                pixel_values.len(),
                vision.patch_values()
            )));
        }
        if patches == 0 {
            return Ok(None);
        }
        let device = self.device();
        let pixels = Tensor::from_vec(&device, pixel_values.to_vec(), &[patches, vision.patch_values()])?;
        Ok(Some((pixels, Geometry::new(&device, &self.vision, vision, grids)?)))
    }

    fn labelled(&self, input: &PackedInput) -> Result<Labelled> {
        let (rows, targets) = labelled_rows(&self.config, input)?;
        let device = self.device();
        Ok(Labelled { rows: Indices::new(&device, rows), targets: Indices::new(&device, targets) })
    }
}

/// Token ids, all inside the vocabulary.
pub(crate) fn checked_ids(config: &VlmConfig, ids: &[u32]) -> Result<Vec<i32>> {
    let vocabulary = config.text.vocab_size;
    match ids.iter().position(|id| *id as usize >= vocabulary) {
        Some(at) => Err(Error::input(format!("token {} at {at} is outside the vocabulary of {vocabulary}", ids[at]))),
        None => Ok(ids.iter().map(|id| *id as i32).collect()),
    }
}

/// Rows of the visual tokens; checks lengths and that there are as many as the grids make.
pub(crate) fn visual_rows(config: &VlmConfig, input: &PackedInput) -> Result<Vec<i32>> {
    let len = input.input_ids.len();
    if len == 0
        || input.position_ids.iter().any(|axis| axis.len() != len)
        || input.cu_seqlens.last() != Some(&(len as u32))
    {
        return Err(Error::input(format!("{len} tokens, with positions and cu_seqlens of another length")));
    }
    let is_visual = |id: &u32| *id == config.video_token_id || *id == config.image_token_id;
    let rows: Vec<i32> =
        input.input_ids.iter().enumerate().filter(|(_, id)| is_visual(id)).map(|(row, _)| row as i32).collect();
    let visual_tokens: usize = input.grid_thw.iter().map(|g| g.patches() / config.vision.merge_unit()).sum();
    if rows.len() != visual_tokens {
        return Err(Error::input(format!("{} visual placeholders for {visual_tokens} visual tokens", rows.len())));
    }
    Ok(rows)
}

/// Refuses grids that do not merge.
pub(crate) fn check_grids(vision: &VisionConfig, grids: &[GridThw]) -> Result<()> {
    let merge = vision.spatial_merge_size as u32;
    match grids.iter().find(|g| g.t == 0 || g.h == 0 || g.w == 0 || g.h % merge != 0 || g.w % merge != 0) {
        None => Ok(()),
        Some(grid) => Err(Error::input(format!("grid {grid:?} is not a positive multiple of the merge size {merge}"))),
    }
}

/// Rows whose next token, in the same sample, is labelled, and those labels.
pub(crate) fn labelled_rows(config: &VlmConfig, input: &PackedInput) -> Result<(Vec<i32>, Vec<i32>)> {
    if input.labels.len() != input.input_ids.len() {
        return Err(Error::input(format!("{} labels for {} tokens", input.labels.len(), input.input_ids.len())));
    }
    let (mut rows, mut targets) = (Vec::new(), Vec::new());
    for bounds in input.cu_seqlens.windows(2) {
        for row in bounds[0] as usize..(bounds[1] as usize).saturating_sub(1) {
            let label = input.labels[row + 1];
            if label >= 0 && label as usize >= config.text.vocab_size {
                return Err(Error::input(format!("label {label} at {} is outside the vocabulary", row + 1)));
            }
            if label >= 0 {
                rows.push(row as i32);
                targets.push(label);
            }
        }
    }
    Ok((rows, targets))
}
