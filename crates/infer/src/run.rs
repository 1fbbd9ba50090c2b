//! A run over a list of requests: decode, encode, generate, record; resumes where it stopped.

use crate::{Request, Result, engine};
use models::Vlm;
use processor::{Overlength, Part, PixelBudget, Processor, Purpose, Role, Turn, VideoInput};
use records::{ContentHash, Outcome, Prediction, Sampling, jsonl};
use std::{collections::HashSet, path::Path};
use video::{BackendChoice, FrameRequest, Limits};

/// Everything but the requests that decides what is answered.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Name of the model in the records.
    pub model_name: String,
    /// `caption` or `vqa`.
    pub task: String,
    /// Which frames.
    pub frames: FrameRequest,
    /// Size of the frames.
    pub budget: PixelBudget,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Longest prompt, in tokens; a longer one is a failed record.
    pub prompt_tokens_max: usize,
    /// Decoder.
    pub backend: BackendChoice,
    /// Caps on clips.
    pub limits: Limits,
    /// Ask again where the output says that a clip failed.
    pub retry_failed: bool,
}

/// What the caller is told while a run goes on.
#[derive(Debug)]
pub enum Progress<'a> {
    /// Before the first request: how many there are and how many are already answered.
    Start {
        /// All requests.
        requests: usize,
        /// Those with a record already.
        answered: usize,
    },
    /// A token of the current answer, as text.
    Text(&'a str),
    /// A record was written.
    Record(&'a Prediction),
}

/// What a run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunSummary {
    /// Records written with an answer.
    pub done: usize,
    /// Records written with a reason for failure.
    pub failed: usize,
    /// Requests that had a record already.
    pub skipped: usize,
    /// Whether the caller stopped the run before its end.
    pub stopped: bool,
}

/// The last clip, so that several questions about it decode it once.
struct Seen {
    media: String,
    hash: Option<ContentHash>,
    clip: std::result::Result<VideoInput, String>,
}

struct Run<'a> {
    model: &'a Vlm,
    processor: &'a Processor,
    settings: &'a Settings,
    weight_hash: ContentHash,
    end_ids: Vec<u32>,
    seen: Option<Seen>,
}

/// Answers every request that `out` has no record of and appends the records to `out`, one by one.
///
/// A clip that cannot be read and a prompt that does not fit are records with a reason. `weight_hash` is that of the
/// model's folder. `progress` returns whether to go on.
///
/// # Errors
/// [`Error::Records`] if `out` cannot be read or written, [`Error::NoNumber`] or [`Error::Model`] if the model is broken.
pub fn run(
    model: &Vlm,
    processor: &Processor,
    weight_hash: ContentHash,
    requests: &[Request],
    settings: &Settings,
    out: &Path,
    progress: &mut dyn FnMut(Progress) -> bool,
) -> Result<RunSummary> {
    let answered = answered(out, settings.retry_failed)?;
    let mut end_ids = model.config.text.eos_token_ids.clone();
    end_ids.push(processor.eos_id());
    let mut run = Run { model, processor, settings, weight_hash, end_ids, seen: None };
    let (mut writer, _torn) = jsonl::Writer::append(out)?;
    let mut summary = RunSummary::default();
    let mut pending = Vec::new();
    for request in requests {
        match answered.contains(&run.key(request)) {
            true => summary.skipped += 1,
            false => pending.push(request),
        }
    }
    let mut go_on = progress(Progress::Start { requests: requests.len(), answered: summary.skipped });
    for request in pending {
        if !go_on {
            summary.stopped = true;
            break;
        }
        let record = run.answer(request, progress)?;
        match record.outcome {
            Outcome::Done { .. } => summary.done += 1,
            Outcome::Failed { .. } => summary.failed += 1,
        }
        writer.write(&record)?;
        writer.flush()?;
        go_on = progress(Progress::Record(&record));
    }
    writer.sync()?;
    Ok(summary)
}

/// What makes two requests the same question to the same model: everything in a record but the answer.
type Key = (String, ContentHash);

/// Keys of the records in `out`; with `retry_failed`, failed ones do not count.
fn answered(out: &Path, retry_failed: bool) -> Result<HashSet<Key>> {
    if !out.exists() {
        return Ok(HashSet::new());
    }
    let content = jsonl::read::<Prediction>(out)?;
    let counts = |record: &&Prediction| !(retry_failed && matches!(record.outcome, Outcome::Failed { .. }));
    Ok(content.records.iter().filter(counts).map(|record| (record.id.clone(), record.request_hash.clone())).collect())
}

impl Run<'_> {
    /// Identity of a request under this run's settings; the clip's bytes count, so they are read.
    fn key(&mut self, request: &Request) -> Key {
        (request.id.clone(), self.request_hash(request, media_hash(request).as_ref()))
    }

    fn request_hash(&self, request: &Request, media: Option<&ContentHash>) -> ContentHash {
        let Settings { frames, budget, sampling, prompt_tokens_max, .. } = self.settings;
        let media = media.map_or("unreadable", ContentHash::as_str);
        ContentHash::of_text(&format!(
            "{} {media} {} {frames:?} {budget:?} {sampling:?} {prompt_tokens_max}",
            self.weight_hash,
            prompt_hash(request)
        ))
    }

    fn answer(&mut self, request: &Request, progress: &mut dyn FnMut(Progress) -> bool) -> Result<Prediction> {
        if self.seen.as_ref().is_none_or(|seen| seen.media != request.media) {
            self.seen = Some(self.see(request));
        }
        let (hash, clip) = match &self.seen {
            Some(seen) => (seen.hash.clone(), seen.clip.as_ref()),
            None => (None, Err(&String::new())),
        };
        let frame_indices = clip.map_or_else(|_| Vec::new(), |clip| clip.frame_indices.clone());
        let outcome = match clip {
            Err(reason) => Outcome::Failed { error: reason.clone() },
            Ok(clip) => self.generate(request, clip, progress)?,
        };
        Ok(Prediction {
            id: request.id.clone(),
            media: request.media.clone(),
            request_hash: self.request_hash(request, hash.as_ref()),
            media_hash: hash,
            model_name: self.settings.model_name.clone(),
            weight_hash: self.weight_hash.clone(),
            task: self.settings.task.clone(),
            frame_indices,
            resized_size: clip.map(|clip| [clip.resized_height, clip.resized_width]).ok(),
            pixel_budget: recorded(self.settings.budget),
            prompt_hash: prompt_hash(request),
            sampling: self.settings.sampling,
            outcome,
        })
    }

    fn see(&self, request: &Request) -> Seen {
        let hash = media_hash(request);
        let clip = video::decode(&request.path, &self.settings.frames, self.settings.backend, &self.settings.limits)
            .map_err(|e| e.to_string())
            .and_then(|clip| self.processor.video(&clip, &self.settings.budget).map_err(|e| e.to_string()));
        Seen { media: request.media.clone(), hash, clip }
    }

    fn generate(
        &self,
        request: &Request,
        clip: &VideoInput,
        progress: &mut dyn FnMut(Progress) -> bool,
    ) -> Result<Outcome> {
        let turns = turns(request);
        let media = std::slice::from_ref(clip);
        let encoded = self.processor.sample(
            &turns,
            media,
            Purpose::Generate,
            Overlength::Refuse,
            self.settings.prompt_tokens_max,
        );
        let input = match encoded {
            Ok(encoded) => encoded.input,
            Err(e) => return Ok(Outcome::Failed { error: e.to_string() }),
        };
        let tokenizer = self.processor.tokenizer();
        let mut stream = tokenizer.stream_decoder(true);
        let mut on_token = |id: u32| progress(Progress::Text(&stream.push(id)));
        let generated = engine::generate(self.model, &input, self.settings.sampling, &self.end_ids, &mut on_token)?;
        Ok(Outcome::Done {
            text: tokenizer.decode(&generated.ids, true)?,
            prompt_tokens: input.input_ids.len() as u32,
            generated_tokens: generated.ids.len() as u32,
            finish_reason: generated.finish_reason,
        })
    }
}

fn turns(request: &Request) -> Vec<Turn> {
    let mut turns = Vec::new();
    if !request.system.is_empty() {
        turns.push(Turn::text(Role::System, request.system.clone()));
    }
    turns.push(Turn { role: Role::User, content: vec![Part::Video(0), Part::Text(request.user.clone())] });
    turns
}

fn media_hash(request: &Request) -> Option<ContentHash> {
    ContentHash::of_file(&request.path).ok()
}

/// Hash of the words around the clip.
fn prompt_hash(request: &Request) -> ContentHash {
    ContentHash::of_text(&format!("system:{}\nuser:<video>{}", request.system, request.user))
}

/// The budget as records spell it.
fn recorded(budget: PixelBudget) -> records::PixelBudget {
    match budget {
        PixelBudget::PerFrame { min_pixels, max_pixels, total_pixels } => {
            records::PixelBudget::PerFrame { min_pixels, max_pixels, total_pixels }
        }
        PixelBudget::PerClip { min_pixels, max_pixels } => records::PixelBudget::PerClip { min_pixels, max_pixels },
        PixelBudget::PerImage { min_pixels, max_pixels } => records::PixelBudget::PerImage { min_pixels, max_pixels },
        PixelBudget::Fixed { height, width } => records::PixelBudget::Fixed { height, width },
    }
}
