//! A model folder's processor: tokenizer, vision configuration and chat layout together.

use std::path::Path;

use video::{ResizeKernel, Resizer, RgbFrame, SampledClip};

use crate::config::FolderConfig;
use crate::patchify::{Normalizer, grid_of, group_values, patchify_group, values_of};
use crate::template::{TemplateCheck, check_template};
use crate::{
    Error, Family, FrameSize, GridThw, PixelBudget, SecondsPerGrid, Tokenizer, VisionConfig, VisionTokenIds,
    smart_resize,
};

/// A video or an image as the model sees it, and where it came from. Legend: `P` patches, `E` values of a patch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VideoInput {
    /// Normalised patches `(P, E)`; empty while only planning.
    pub pixel_values: Vec<f32>,
    /// Size in patches; an image has `t = 1`.
    pub grid_thw: GridThw,
    /// Presentation-order index of every frame in its source.
    pub frame_indices: Vec<u64>,
    /// Frames per second of the source; absent if unknown (Qwen3-VL then assumes 24).
    pub source_fps: Option<f64>,
    /// Frames per second of the chosen frames: `nframes / frames in the range * source_fps`.
    pub sample_fps: f64,
    /// Rows of a resized frame, in pixels.
    pub resized_height: u32,
    /// Pixels in a row of a resized frame.
    pub resized_width: u32,
}

/// The rate that the reference gives frames whose source is unknown.
const SAMPLE_FPS_UNKNOWN: f64 = 2.0;

/// Turns clips and conversations into model input for one model folder.
#[derive(Debug)]
pub struct Processor {
    pub(crate) family: Family,
    pub(crate) vision: VisionConfig,
    pub(crate) tokenizer: Tokenizer,
    pub(crate) vision_ids: VisionTokenIds,
    pub(crate) im_start: u32,
    pub(crate) im_end: u32,
    pub(crate) seconds_per_grid: SecondsPerGrid,
    template: TemplateCheck,
    folder_budget: Option<PixelBudget>,
}

impl Processor {
    /// Opens a model folder: config.json and tokenizer.json, and where present preprocessor_config.json,
    /// video_preprocessor_config.json and the chat template (chat_template.jinja, chat_template.json or tokenizer_config.json).
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::BadFile`] if a file is missing or wrong, or the tokenizer does not belong to the model.
    pub fn open(model_dir: &Path) -> Result<Self, Error> {
        let folder = FolderConfig::open(model_dir)?;
        let tokenizer = Tokenizer::open(&model_dir.join("tokenizer.json"))?;
        let bad = |what: String| Error::BadFile { path: model_dir.join("config.json"), what };
        for (key, token, id) in &folder.token_ids {
            let own = tokenizer.special_id(token);
            if own != Some(*id) {
                let own = own.map_or("does not know it".to_owned(), |own| format!("numbers it {own}"));
                return Err(bad(format!(
                    "`{key}` is {id} ({token}), but tokenizer.json {own}: they do not belong together"
                )));
            }
        }
        if let Some(rows) = folder.vocab_size
            && rows <= u64::from(tokenizer.id_max())
        {
            return Err(bad(format!(
                "`vocab_size` is {rows}, but tokenizer.json numbers tokens up to {}",
                tokenizer.id_max()
            )));
        }
        let mut processor = Self::new(folder.family, folder.vision, tokenizer)?;
        processor.template = match &folder.chat_template {
            Some((file, text)) => check_template(folder.family, file, text),
            None => TemplateCheck::Absent,
        };
        // Qwen3-VL counts the pixels of the clip there, Qwen2.5-VL those of a frame.
        processor.folder_budget = folder.video_pixels.map(|(min_pixels, max_pixels)| match folder.family {
            Family::Qwen3Vl => PixelBudget::PerClip { min_pixels, max_pixels },
            Family::Qwen2_5Vl => PixelBudget::PerImage { min_pixels, max_pixels },
        });
        Ok(processor)
    }

    /// A processor from parts, without a folder.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if the tokenizer lacks a token of the chat layout.
    pub fn new(family: Family, vision: VisionConfig, tokenizer: Tokenizer) -> Result<Self, Error> {
        let id = |token: &str| {
            tokenizer
                .special_id(token)
                .ok_or_else(|| Error::Tokenizer(format!("it has no {token}, which the chat layout needs")))
        };
        let vision_ids = VisionTokenIds {
            vision_start: id("<|vision_start|>")?,
            vision_end: id("<|vision_end|>")?,
            image: id("<|image_pad|>")?,
            video: id("<|video_pad|>")?,
        };
        let (im_start, im_end) = (id("<|im_start|>")?, id("<|im_end|>")?);
        Ok(Self {
            family,
            vision,
            tokenizer,
            vision_ids,
            im_start,
            im_end,
            seconds_per_grid: SecondsPerGrid::default(),
            template: TemplateCheck::Absent,
            folder_budget: None,
        })
    }

    /// The family.
    pub fn family(&self) -> Family {
        self.family
    }

    /// The vision configuration.
    pub fn vision(&self) -> &VisionConfig {
        &self.vision
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Ids of the vision tokens.
    pub fn vision_token_ids(&self) -> VisionTokenIds {
        self.vision_ids
    }

    /// The id that ends an answer, `<|im_end|>`.
    pub fn eos_id(&self) -> u32 {
        self.im_end
    }

    /// Whether the folder's chat template says the same as the layout built in here. A difference is worth a warning.
    pub fn template_check(&self) -> &TemplateCheck {
        &self.template
    }

    /// The pixel bounds of the folder's own video_preprocessor_config.json, counted as transformers does.
    pub fn folder_budget(&self) -> Option<PixelBudget> {
        self.folder_budget
    }

    /// Chooses how Qwen2.5-VL's clock is rounded; as transformers 4.57.6 by default.
    pub fn set_seconds_per_grid(&mut self, rounding: SecondsPerGrid) {
        self.seconds_per_grid = rounding;
    }

    /// Resizes the frames of a clip and cuts them into patches.
    ///
    /// # Errors
    /// [`Error::Resize`] if the budget cannot be met, [`Error::Frames`] if the clip has no frame or frames of different sizes.
    pub fn video(&self, clip: &SampledClip, budget: &PixelBudget) -> Result<VideoInput, Error> {
        let mut input = self.plan(&clip.frames, &clip.frame_indices, Some(clip.fps.to_f64()), budget)?;
        self.fill(&mut input, &clip.frames)?;
        Ok(input)
    }

    /// The first half of [`Self::video`]: the resized frames, and what they become without its pixels.
    ///
    /// # Errors
    /// As [`Self::video`].
    pub fn resized(&self, clip: &SampledClip, budget: &PixelBudget) -> Result<(VideoInput, Vec<RgbFrame>), Error> {
        let planned = self.plan(&clip.frames, &clip.frame_indices, Some(clip.fps.to_f64()), budget)?;
        let resize =
            |frame| video::resize(frame, planned.resized_width, planned.resized_height, ResizeKernel::TorchF32);
        let frames = clip.frames.iter().map(resize).collect::<Result<Vec<RgbFrame>, _>>()?;
        Ok((planned, frames))
    }

    /// The second half of [`Self::video`]: cuts resized frames into patches.
    ///
    /// # Errors
    /// [`Error::Frames`] if the frames are not those that were planned.
    pub fn patches(&self, mut planned: VideoInput, resized: &[RgbFrame]) -> Result<VideoInput, Error> {
        let (patches, grid) = crate::patchify::patchify(resized, &self.vision)?;
        if grid != planned.grid_thw {
            return Err(Error::Frames(format!("{grid:?} where {:?} was planned", planned.grid_thw)));
        }
        planned.pixel_values = patches;
        Ok(planned)
    }

    /// The grid of a clip of `nframes` frames of this size.
    ///
    /// # Errors
    /// [`Error::Frames`] if a side is not a multiple of [`VisionConfig::factor`].
    pub fn grid_of(&self, nframes: usize, height: u32, width: u32) -> Result<GridThw, Error> {
        grid_of(nframes, height, width, &self.vision)
    }

    /// Resizes one picture and cuts it into patches; the frame fills a temporal patch.
    ///
    /// # Errors
    /// As [`Self::video`].
    pub fn image(&self, image: &RgbFrame, budget: &PixelBudget) -> Result<VideoInput, Error> {
        let frames = std::slice::from_ref(image);
        let mut input = self.plan(frames, &[0], None, budget)?;
        self.fill(&mut input, frames)?;
        Ok(input)
    }

    /// What a clip of `nframes` frames of this size becomes, without its pixels: for counting tokens before decoding.
    ///
    /// # Errors
    /// [`Error::Resize`] if the budget cannot be met.
    pub fn planned(
        &self,
        source: FrameSize,
        frame_indices: &[u64],
        source_fps: Option<f64>,
        budget: &PixelBudget,
    ) -> Result<VideoInput, Error> {
        // The indices span the chosen range from its first to its last frame.
        let ends = (frame_indices.first().copied().unwrap_or(0), frame_indices.last().copied().unwrap_or(0));
        let range = ends.1.saturating_sub(ends.0).saturating_add(1);
        let size = smart_resize(source, frame_indices.len(), self.vision.factor(), *budget)?;
        let grid_thw = grid_of(frame_indices.len(), size.height, size.width, &self.vision)?;
        Ok(VideoInput {
            pixel_values: Vec::new(),
            grid_thw,
            frame_indices: frame_indices.to_vec(),
            source_fps,
            sample_fps: source_fps.map_or(SAMPLE_FPS_UNKNOWN, |fps| frame_indices.len() as f64 / range as f64 * fps),
            resized_height: size.height,
            resized_width: size.width,
        })
    }

    /// Vision tokens of a grid: a token is a square of `merge_size` patches a side.
    pub fn token_count(&self, grid: GridThw) -> usize {
        grid.patches() / self.vision.patches_per_token()
    }

    fn plan(
        &self,
        frames: &[RgbFrame],
        frame_indices: &[u64],
        source_fps: Option<f64>,
        budget: &PixelBudget,
    ) -> Result<VideoInput, Error> {
        let first = frames.first().ok_or_else(|| Error::Frames("there is none".into()))?;
        if frames.len() != frame_indices.len() {
            return Err(Error::Frames(format!("{} frames but {} indices", frames.len(), frame_indices.len())));
        }
        self.planned(FrameSize { height: first.height, width: first.width }, frame_indices, source_fps, budget)
    }

    fn fill(&self, input: &mut VideoInput, frames: &[RgbFrame]) -> Result<(), Error> {
        let normalizer = Normalizer::new(self.vision.image_mean, self.vision.image_std);
        let mut patches = vec![0.0; values_of(input.grid_thw, &self.vision)?];
        let mut resizer = Resizer::new(input.resized_width, input.resized_height, ResizeKernel::TorchF32);
        let temporal = self.vision.temporal_patch_size as usize;
        let mut resized = vec![RgbFrame { width: 0, height: 0, data: Vec::new() }; temporal.min(frames.len())];
        // One temporal patch at a time, so that resized frames are cut up while they are still in the cache.
        let groups = frames.chunks(temporal);
        for (group, out) in groups.zip(patches.chunks_exact_mut(group_values(input.grid_thw, &self.vision))) {
            for (frame, resized) in group.iter().zip(&mut resized) {
                resizer.resize(frame, resized)?;
            }
            patchify_group(&resized[..group.len()], input.grid_thw, &self.vision, &normalizer, out)?;
        }
        input.pixel_values = patches;
        Ok(())
    }
}
