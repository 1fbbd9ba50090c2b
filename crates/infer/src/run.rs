//! A run over a list of requests: what is answered already, what is not, clips dealt to threads, records written.

use crate::answer::{Answerer, Subject};
use crate::output::{Output, superseded_path};
use crate::{Request, Result, request};
use models::Vlm;
use processor::{PixelBudget, Processor};
use records::{ContentHash, InUse, Outcome, Prediction, Sampling};
use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use tensor::Device;
use video::{BackendChoice, FrameRequest, Limits};

/// Changes when the same model, clip, prompt and settings would give other answers than before.
const ENGINE: &str = "engine 2";
/// Parameters up to which one core a clip is faster than all cores for one clip.
const SMALL_PARAMETERS: usize = 64_000_000;
/// Files of a model folder, beside the weights, that decide what it answers.
const DECIDING_FILES: [&str; 9] = [
    "chat_template.jinja",
    "chat_template.json",
    "config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "video_preprocessor_config.json",
];

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
    /// Clips that are worked on at once, each on one core; 0 leaves it to the size of the model. No answer depends on it.
    pub workers: usize,
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
    /// A token of the current answer, as text; not told where several clips are worked on at once.
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
    /// Records of other weights, media, prompts or settings that were moved to the file of superseded ones.
    pub superseded: usize,
    /// Whether the caller stopped the run before its end.
    pub stopped: bool,
}

/// Answers with a model folder every request that `out` has no record of. In the end `out` holds exactly one record a
/// request, in their order.
///
/// A record counts as an answer if its `request_hash` is that of the request now: of weights, files of the model folder,
/// the clip's bytes, prompt, frames, pixels, sampling, limit of the prompt, and decoder. Records that do not count are
/// moved to `<out>.superseded.jsonl`. Records are appended as they are made, so that a killed run goes on where it
/// stopped. A clip that cannot be read and a prompt that does not fit are records with a reason. The model is not loaded if
/// nothing is to be answered. `progress` returns whether to go on. While it runs, the folder is marked as being read.
///
/// # Errors
/// [`crate::Error::Records`] if `out` cannot be read or written, [`crate::Error::NoNumber`] or [`crate::Error::Model`] if
/// the model is broken.
pub fn run(
    model_dir: &Path,
    requests: &[Request],
    settings: &Settings,
    out: &Path,
    progress: &mut dyn FnMut(Progress) -> bool,
) -> Result<RunSummary> {
    let _in_use = InUse::reading(model_dir);
    let folder = weights::HfFolder::open(model_dir).map_err(models::Error::from)?;
    let weight_hash = folder.content_hash().map_err(models::Error::from)?;
    let weight_hash = ContentHash::from_hex(&weight_hash).ok_or(crate::Error::WeightHash { hash: weight_hash })?;
    let identity = identity(model_dir, &weight_hash, settings)?;
    let media = media_hashes(requests);
    let hash_of = |request: &Request| {
        request_hash(&identity, &settings.sampling, request, media.get(&request.path).and_then(Option::as_ref))
    };
    let hashes: Vec<ContentHash> = requests.iter().map(hash_of).collect();
    let mut output = Output::open(out, requests, &hashes, settings)?;
    let pending: Vec<usize> = (0..requests.len()).filter(|at| !output.has(*at)).collect();
    let mut summary =
        RunSummary { skipped: requests.len() - pending.len(), superseded: output.superseded, ..RunSummary::default() };
    let go_on = progress(Progress::Start { requests: requests.len(), answered: summary.skipped });
    if go_on && !pending.is_empty() {
        let model = Vlm::from_folder(&folder, &Device::Cpu)?;
        let processor = Processor::open(model_dir)?;
        let subject = Subject::new(&model, &processor, settings, weight_hash);
        let clips = by_clip(requests, &pending);
        let work = Work { subject: &subject, requests, hashes: &hashes, media: &media };
        answer_all(&work, clips, &mut output, &mut summary, progress)?;
    }
    summary.stopped = !go_on || summary.stopped;
    output.finish()?;
    Ok(summary)
}

/// What the threads of a run share.
struct Work<'a> {
    subject: &'a Subject<'a>,
    requests: &'a [Request],
    hashes: &'a [ContentHash],
    media: &'a HashMap<std::path::PathBuf, Option<ContentHash>>,
}

/// What a thread tells.
enum Told {
    Text(String),
    Record(usize, Box<Prediction>),
    Broken(crate::Error),
}

fn answer_all(
    work: &Work<'_>,
    clips: Vec<Vec<usize>>,
    output: &mut Output,
    summary: &mut RunSummary,
    progress: &mut dyn FnMut(Progress) -> bool,
) -> Result<()> {
    let workers = workers(work.subject, clips.len());
    let queue = Mutex::new(clips.into_iter());
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (sender, receiver) = channel();
        for _ in 0..workers {
            let (sender, queue, stop) = (sender.clone(), &queue, &stop);
            scope.spawn(move || match workers {
                1 => answer_clips(work, queue, stop, true, &sender),
                // The ops of a thread stay on it: as many clips as cores, and no waiting for each other.
                _ => match rayon::ThreadPoolBuilder::new().num_threads(1).build() {
                    Ok(pool) => pool.install(|| answer_clips(work, queue, stop, false, &sender)),
                    Err(_) => answer_clips(work, queue, stop, false, &sender),
                },
            });
        }
        drop(sender);
        let listened = listen(&receiver, output, summary, progress, &stop);
        stop.store(true, Ordering::Relaxed);
        listened
    })
}

/// Writes records as they come.
fn listen(
    receiver: &Receiver<Told>,
    output: &mut Output,
    summary: &mut RunSummary,
    progress: &mut dyn FnMut(Progress) -> bool,
    stop: &AtomicBool,
) -> Result<()> {
    for told in receiver {
        let go_on = match told {
            Told::Broken(error) => return Err(error),
            Told::Text(piece) => progress(Progress::Text(&piece)),
            Told::Record(at, record) => {
                match record.outcome {
                    Outcome::Done { .. } => summary.done += 1,
                    Outcome::Failed { .. } => summary.failed += 1,
                }
                output.append(at, &record)?;
                progress(Progress::Record(&record))
            }
        };
        if !go_on {
            summary.stopped = true;
            stop.store(true, Ordering::Relaxed);
        }
    }
    Ok(())
}

fn answer_clips(
    work: &Work<'_>,
    queue: &Mutex<std::vec::IntoIter<Vec<usize>>>,
    stop: &AtomicBool,
    tell_text: bool,
    sender: &Sender<Told>,
) {
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
        let Some(clip) = next.filter(|_| !stop.load(Ordering::Relaxed)) else { return };
        let Some(first) = clip.first().and_then(|at| work.requests.get(*at)) else { continue };
        let media = work.media.get(&first.path).cloned().flatten();
        let mut answerer = Answerer::new(work.subject, &first.path, media);
        for at in clip {
            let mut on_text = |piece: &str| {
                if tell_text {
                    // A listener that has gone away has set `stop`.
                    let _ = sender.send(Told::Text(piece.to_owned()));
                }
                !stop.load(Ordering::Relaxed)
            };
            let told = match answerer.answer(&work.requests[at], work.hashes[at].clone(), &mut on_text) {
                Ok(None) => return,
                Ok(Some(record)) => Told::Record(at, Box::new(record)),
                Err(error) => Told::Broken(error),
            };
            if sender.send(told).is_err() || stop.load(Ordering::Relaxed) {
                return;
            }
        }
    }
}

fn workers(subject: &Subject<'_>, clips: usize) -> usize {
    let cores = rayon::current_num_threads();
    let wanted = match subject.settings.workers {
        0 if subject.parameters() <= SMALL_PARAMETERS => cores,
        0 => 1,
        asked => asked,
    };
    wanted.clamp(1, clips.max(1))
}

/// Requests of a clip lie together: it is decoded, and its part of the prompt computed, once.
fn by_clip(requests: &[Request], pending: &[usize]) -> Vec<Vec<usize>> {
    let mut clips: Vec<Vec<usize>> = Vec::new();
    let mut place: HashMap<&Path, usize> = HashMap::new();
    for &at in pending {
        let slot = *place.entry(&requests[at].path).or_insert(clips.len());
        match clips.get_mut(slot) {
            Some(clip) => clip.push(at),
            None => clips.push(vec![at]),
        }
    }
    clips
}

/// Hash of every clip's bytes; none for one that cannot be read.
fn media_hashes(requests: &[Request]) -> HashMap<std::path::PathBuf, Option<ContentHash>> {
    let mut hashes = HashMap::new();
    for request in requests {
        if !hashes.contains_key(&request.path) {
            hashes.insert(request.path.clone(), ContentHash::of_file(&request.path).ok());
        }
    }
    hashes
}

/// Everything that decides an answer beside clip and prompt.
fn identity(model_dir: &Path, weight_hash: &ContentHash, settings: &Settings) -> Result<String> {
    let mut files = Vec::new();
    for name in DECIDING_FILES {
        let path = model_dir.join(name);
        if path.is_file() {
            files.push((name, ContentHash::of_file(&path)?));
        }
    }
    let files = ContentHash::of_parts(files.iter().map(|(name, hash)| (*name, hash)));
    let Settings { frames, budget, sampling, prompt_tokens_max, backend, .. } = settings;
    let decoder = backend.in_this_build();
    Ok(format!("{ENGINE} {weight_hash} {files} {frames:?} {budget:?} {sampling:?} {prompt_tokens_max} {decoder}"))
}

fn request_hash(identity: &str, sampling: &Sampling, request: &Request, media: Option<&ContentHash>) -> ContentHash {
    let media = media.map_or("unreadable", ContentHash::as_str);
    // Without guidance, choices are but what the prompt says of them.
    let options = if sampling.guided.is_free() { String::new() } else { format!(" {:?}", request.options) };
    ContentHash::of_text(&format!("{identity} {media} {}{options}", request::prompt_hash(request)))
}

/// Path of the records that were replaced in `out`.
pub fn superseded(out: &Path) -> std::path::PathBuf {
    superseded_path(out)
}
