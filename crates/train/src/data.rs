//! Samples of a run: where they lie, and how one becomes a model input.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use processor::{Encoded, FrameSize, GridThw, Overlength, PixelBudget, Processor, Purpose, TemplateCheck, VideoInput};
use records::{DataRoot, Media, MediaKind, Sample};
use video::{BackendChoice, FrameRequest, FrameSampling, Limits};

use crate::frames::FrameCache;
use crate::{DatasetPlan, Error, Plan, Recipe, Result, SampleRef};

/// Samples kept in memory after their first use, in bytes: small data sets are decoded once a run.
const CACHE_BYTES_MAX: usize = 2 << 30;

/// The decoder.
const BACKEND: BackendChoice = BackendChoice::Auto;

/// All samples of a run; nothing of them is opened yet.
#[derive(Debug)]
pub struct Data {
    sets: Vec<Set>,
}

#[derive(Debug)]
struct Set {
    name: String,
    root: DataRoot,
    samples: Vec<Sample>,
}

impl Data {
    /// Reads the meta files of a plan.
    ///
    /// # Errors
    /// [`Error::Record`] for the first entry that is wrong, or [`Error::NoSamples`] if there is no entry at all.
    pub fn open(plan: &Plan) -> Result<Self> {
        Self::of_sets(&plan.recipe.datasets, &plan.meta_files)
    }

    /// Reads the meta files of a plan's validation; none if it has none.
    ///
    /// # Errors
    /// As [`Data::open`].
    pub fn open_validation(plan: &Plan) -> Result<Option<Self>> {
        plan.validation
            .as_ref()
            .map(|validation| Self::of_sets(&validation.datasets, &validation.meta_files))
            .transpose()
    }

    fn of_sets(datasets: &[DatasetPlan], meta_files: &[PathBuf]) -> Result<Self> {
        let mut sets = Vec::new();
        for (dataset, meta_file) in datasets.iter().zip(meta_files) {
            let samples = records::read_meta(meta_file)?;
            let folder = meta_file.parent().unwrap_or(meta_file);
            sets.push(Set { name: dataset.name.clone(), root: DataRoot::open(folder)?, samples });
        }
        if sets.iter().all(|set| set.samples.is_empty()) {
            return Err(Error::NoSamples { samples: 0, reason: "the meta files have no entries".into() });
        }
        Ok(Self { sets })
    }

    /// Number of samples of every data set.
    pub fn sizes(&self) -> Vec<usize> {
        self.sets.iter().map(|set| set.samples.len()).collect()
    }

    /// Name of a sample in logs: its id, after the name of its folder if there is one.
    pub fn id(&self, sample: SampleRef) -> String {
        let set = &self.sets[sample.dataset];
        let id = &set.samples[sample.sample].id;
        if set.name.is_empty() { id.clone() } else { format!("{}/{id}", set.name) }
    }
}

/// Turns samples into model inputs; shared by all loader threads.
pub struct Encoder<'a> {
    data: &'a Data,
    recipe: &'a Recipe,
    processor: Processor,
    request: FrameRequest,
    budget: PixelBudget,
    cache: Mutex<Cache>,
    frames: Option<FrameCache>,
    /// All that decides the frames of a clip.
    frames_how: String,
}

#[derive(Default)]
struct Cache {
    samples: HashMap<SampleRef, Arc<Encoded>>,
    bytes: usize,
}

impl<'a> Encoder<'a> {
    /// Opens the tokenizer and the processor files of the plan's model.
    ///
    /// # Errors
    /// [`Error::Processor`] if they are missing or not usable.
    pub fn open(plan: &'a Plan, data: &'a Data) -> Result<Self> {
        let processor = Processor::open(&plan.model_dir)?;
        let recipe = &plan.recipe;
        let sampling = match (recipe.nframes, recipe.fps) {
            (Some(nframes), _) => FrameSampling::Count(nframes),
            (None, fps) => FrameSampling::Rate { fps: fps.unwrap_or(2.0), min_frames: 4, max_frames: 768 },
        };
        let request = FrameRequest { sampling, video_start_s: None, video_end_s: None };
        // cosmos-reason2 `llava_sft.py`: vision may fill 90 % of the sequence.
        let factor = u64::from(processor.vision().factor());
        let fitting = (recipe.max_length as f64 * (factor * factor) as f64 * 0.9) as u64;
        let budget = PixelBudget::PerFrame {
            min_pixels: recipe.min_pixels,
            max_pixels: recipe.max_pixels,
            total_pixels: Some(recipe.total_pixels.unwrap_or(fitting)),
        };
        let frames = plan.frame_cache.as_ref().map(FrameCache::open).transpose()?;
        let frames_how = format!("{request:?} {budget:?} {factor} {}", BACKEND.in_this_build());
        Ok(Self { data, recipe, processor, request, budget, cache: Mutex::default(), frames, frames_how })
    }

    /// What to tell people if the folder's chat template is not the layout used here.
    pub fn template_warning(&self) -> Option<String> {
        match self.processor.template_check() {
            TemplateCheck::Different { file, what } => {
                Some(format!("{file}: the chat template differs from the layout used here: {what}"))
            }
            _ => None,
        }
    }

    /// The model input of a sample, or why it has none.
    ///
    /// # Errors
    /// The reason, in words: such a sample is left out and recorded, it does not end the run.
    pub fn encode(&self, sample: SampleRef) -> std::result::Result<Arc<Encoded>, String> {
        if let Some(known) = self.locked().samples.get(&sample) {
            return Ok(Arc::clone(known));
        }
        let encoded = Arc::new(self.encode_anew(sample)?);
        let bytes = encoded.input.pixel_values.len() * 4 + encoded.input.input_ids.len() * 20;
        let mut cache = self.locked();
        if cache.bytes.saturating_add(bytes) <= CACHE_BYTES_MAX && !cache.samples.contains_key(&sample) {
            cache.bytes += bytes;
            cache.samples.insert(sample, Arc::clone(&encoded));
        }
        Ok(encoded)
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Cache> {
        // A thread that panicked while holding the lock left a whole map behind.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn encode_anew(&self, sample: SampleRef) -> std::result::Result<Encoded, String> {
        let set = &self.data.sets[sample.dataset];
        let sample = &set.samples[sample.sample];
        let text = |e: records::Error| e.to_string();
        let turns = sample.conversation(&set.root, &self.recipe.prompt).map_err(text)?;
        let turns: Vec<processor::Turn> = turns.iter().map(|turn| chat_turn(turn, &sample.media)).collect();
        let videos: Vec<VideoInput> =
            sample.media.iter().map(|media| self.video(&set.root, media)).collect::<std::result::Result<_, _>>()?;
        let encoded = self
            .processor
            .sample(&turns, &videos, Purpose::Train, Overlength::CutText, self.recipe.max_length)
            .map_err(|e| e.to_string())?;
        if encoded.labelled == 0 {
            return Err(format!("no answer is left within {} tokens", self.recipe.max_length));
        }
        Ok(encoded)
    }

    fn video(&self, root: &DataRoot, media: &Media) -> std::result::Result<VideoInput, String> {
        if media.kind == MediaKind::Image {
            return Err(format!("{}: images are not available yet", media.path));
        }
        let path = root.resolve(&media.path).map_err(|e| e.to_string())?;
        let text = |e: processor::Error| e.to_string();
        let key = self.frames.as_ref().and_then(|cache| Some((cache, FrameCache::key(&path, &self.frames_how)?)));
        if let Some((cache, key)) = &key
            && let Some((planned, frames)) = cache.get(key, &self.processor)
        {
            return self.processor.patches(planned, &frames).map_err(text);
        }
        let clip = video::decode(&path, &self.request, BACKEND, &Limits::default()).map_err(|e| e.to_string())?;
        if clip.damaged > 0 {
            return Err(format!("{}: {} damaged packets or frames", media.path, clip.damaged));
        }
        let (planned, frames) = self.processor.resized(&clip, &self.budget).map_err(text)?;
        if let Some((cache, key)) = &key {
            cache.put(key, &planned, &frames);
        }
        self.processor.patches(planned, &frames).map_err(text)
    }

    /// Clips found among the decoded frames, and clips that had to be decoded; none without a folder of frames.
    pub fn frame_counts(&self) -> Option<(u64, u64)> {
        self.frames.as_ref().map(FrameCache::counts)
    }

    /// Tokens of a sample, those labelled, and the grids of its clips, without decoding anything.
    ///
    /// # Errors
    /// Why the sample cannot be used, as far as that shows.
    pub fn estimate(&self, sample: SampleRef) -> std::result::Result<(usize, usize, Vec<GridThw>), String> {
        let set = &self.data.sets[sample.dataset];
        let sample = &set.samples[sample.sample];
        let turns = sample.conversation(&set.root, &self.recipe.prompt).map_err(|e| e.to_string())?;
        let turns: Vec<processor::Turn> = turns.iter().map(|turn| chat_turn(turn, &sample.media)).collect();
        let mut videos = Vec::new();
        for media in &sample.media {
            let path = set.root.resolve(&media.path).map_err(|e| e.to_string())?;
            let info = video::probe(&path, &Limits::default()).map_err(|e| e.to_string())?;
            let indices = video::frame_indices(info.frames, info.fps, &self.request).map_err(|e| e.to_string())?;
            let turned = !info.rotation.is_multiple_of(180);
            let (height, width) = if turned { (info.width, info.height) } else { (info.height, info.width) };
            let size = FrameSize { height, width };
            let planned = self.processor.planned(size, &indices, Some(info.fps.to_f64()), &self.budget);
            videos.push(planned.map_err(|e| e.to_string())?);
        }
        let encoded =
            self.processor.sample_tokens(&turns, &videos, Purpose::Train, Overlength::CutText, self.recipe.max_length);
        let encoded = encoded.map_err(|e| e.to_string())?;
        Ok((encoded.input.input_ids.len(), encoded.labelled, encoded.input.grid_thw))
    }
}

fn chat_turn(turn: &records::Turn, media: &[Media]) -> processor::Turn {
    let role = match turn.role {
        records::Role::System => processor::Role::System,
        records::Role::User => processor::Role::User,
        records::Role::Assistant => processor::Role::Assistant,
    };
    let part = |part: &records::Part| match part {
        records::Part::Text(text) => processor::Part::Text(text.clone()),
        records::Part::Media(at) => match media.get(*at).map(|media| media.kind) {
            Some(MediaKind::Image) => processor::Part::Image(*at),
            _ => processor::Part::Video(*at),
        },
    };
    processor::Turn { role, content: turn.content.iter().map(part).collect() }
}
