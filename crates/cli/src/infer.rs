//! `roadscribe infer`: captions and answers, one JSONL record a request.

use crate::{Outcome, clip_args::ClipArgs};
use ::infer::{Checkpoint, Progress, Request, RunSummary, Settings, read_requests, requests_of_clips};
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use processor::{Processor, TemplateCheck};
use records::{Guided, Outcome as Answer, Prompt, Sampling};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering},
};
use video::Limits;

/// What users of cosmos-reason2 ask for a caption.
const CAPTION_PROMPT: &str = "Caption the video in detail.";
/// Data sets that have a name, and their files in the folder of the benchmark.
const NAMED: [(&str, &str); 3] =
    [("AV_VQA", "items.jsonl"), ("AV_CAPTION", "captions.jsonl"), ("LINGOQA", "lingoqa.jsonl")];

/// Flags of `roadscribe infer`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Clips to caption; or give --dataset
    #[arg(value_name = "CLIP", conflicts_with = "dataset", required_unless_present = "dataset")]
    clips: Vec<PathBuf>,
    /// Model folder (config.json, safetensors, tokenizer.json), or a training run: then all of its checkpoints in turn
    #[arg(long, value_name = "DIR")]
    checkpoint: PathBuf,
    /// Name of the model in the records, and of the outputs of a model that is no checkpoint [default: the folder's name]
    #[arg(long, value_name = "NAME")]
    model_name: Option<String>,
    /// FILE.jsonl with lines {"video": path, "id"?, "prompt"?, "system"?} (a frozen benchmark is one), a meta.json, a folder
    /// with one, or the name of a list in the folder of the benchmark: AV_VQA, AV_CAPTION, LINGOQA; paths in a list are
    /// relative to it
    #[arg(long, value_name = "NAME|FILE.jsonl|DIR")]
    dataset: Option<PathBuf>,
    /// Name of the data set in the outputs [default: the name given, or that of the file]
    #[arg(long, value_name = "NAME")]
    dataset_name: Option<String>,
    /// Where named data sets are [default: the folder `benchmark` beside the outputs]
    #[arg(long, value_name = "DIR")]
    benchmark: Option<PathBuf>,
    /// Kind of the answers in the records
    #[arg(long, value_enum, default_value_t = Task::Caption)]
    task: Task,
    /// Where the records go: a file, or a folder of outputs for DIR/<checkpoint>/<data set>/predictions.jsonl; what is
    /// answered there already is not asked again
    #[arg(long, value_name = "FILE.jsonl|DIR")]
    out: PathBuf,
    /// What to ask where the list does not say
    #[arg(long, value_name = "TEXT", default_value = CAPTION_PROMPT)]
    prompt: String,
    /// System message where the list does not say; Qwen3-VL models take none by default
    #[arg(long, value_name = "TEXT", default_value = "")]
    system: String,
    #[command(flatten)]
    clip: ClipArgs,
    #[command(flatten)]
    sampling: SamplingArgs,
    /// Longest prompt, in tokens
    #[arg(long, value_name = "N", default_value_t = 32_768)]
    max_prompt_tokens: usize,
    /// Ask again where the output says that a clip failed
    #[arg(long)]
    retry_failed: bool,
    /// Clips worked on at once, each on one core; 0 is as many as there are cores for a small model, else one on all cores
    #[arg(long, value_name = "N", default_value_t = 0)]
    workers: usize,
}

/// Kinds of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Task {
    /// Descriptions
    Caption,
    /// Answers to questions
    Vqa,
}

#[derive(clap::Args, Debug)]
struct SamplingArgs {
    /// Most tokens to generate
    #[arg(long, value_name = "N", default_value_t = 512)]
    max_new_tokens: u32,
    /// 0 is greedy
    #[arg(long, value_name = "T", default_value_t = 0.0)]
    temperature: f64,
    /// Smallest probability mass to draw from
    #[arg(long, value_name = "P", default_value_t = 1.0)]
    top_p: f64,
    /// Number of best tokens to draw from; 0 is all
    #[arg(long, value_name = "K", default_value_t = 0)]
    top_k: u32,
    /// Divides the logits of tokens seen; 1 is off
    #[arg(long, value_name = "R", default_value_t = 1.0)]
    repetition_penalty: f64,
    /// Subtracted from the logits of tokens generated; 0 is off
    #[arg(long, value_name = "R", default_value_t = 0.0)]
    presence_penalty: f64,
    /// Seed of the draws
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Let an answer only be the words of one of the request's `options`; requests without options are answered freely
    #[arg(long)]
    guided_choice: bool,
}

impl SamplingArgs {
    fn checked(&self) -> Result<Sampling, String> {
        let check = |flag: &str, value: f64, low: f64, high: f64| match value >= low && value <= high {
            true => Ok(value),
            false => Err(format!("--{flag} {value} is outside {low}..={high}")),
        };
        Ok(Sampling {
            temperature: check("temperature", self.temperature, 0.0, 100.0)?,
            top_p: check("top-p", self.top_p, 1e-6, 1.0)?,
            top_k: self.top_k,
            repetition_penalty: check("repetition-penalty", self.repetition_penalty, 0.01, 100.0)?,
            presence_penalty: check("presence-penalty", self.presence_penalty, -100.0, 100.0)?,
            max_new_tokens: self.max_new_tokens,
            seed: self.seed,
            guided: if self.guided_choice { Guided::Choice } else { Guided::Free },
        })
    }
}

/// Runs the verb.
pub fn run(args: &Args) -> Outcome {
    let requests = requests(args)?;
    let settings = settings(args)?;
    let checkpoints = ::infer::checkpoints(&args.checkpoint, args.model_name.as_deref())?;
    let to_file = args.out.extension().is_some_and(|extension| extension == "jsonl");
    if to_file && checkpoints.len() > 1 {
        let message = "holds several checkpoints, whose answers do not fit into one file; give --out a folder";
        return Err(format!("--checkpoint {}: {message}", args.checkpoint.display()).into());
    }
    let stop = crate::stop_on_signal()?;
    let (mut failed, mut stopped) = (0, false);
    for checkpoint in &checkpoints {
        let out = match to_file {
            true => args.out.clone(),
            false => args.out.join(&checkpoint.name).join(dataset_name(args)).join("predictions.jsonl"),
        };
        let model_name = args.model_name.clone().unwrap_or_else(|| checkpoint.name.clone());
        let summary = answer(checkpoint, &requests, &Settings { model_name, ..settings.clone() }, &out, &stop)?;
        failed += summary.failed;
        stopped = summary.stopped;
        if stopped {
            say!("stopped on request; the same command goes on from here");
            break;
        }
    }
    Ok(if failed > 0 || stopped { ExitCode::from(2) } else { ExitCode::SUCCESS })
}

/// Answers all requests with one model, and says what came of it.
pub fn answer(
    checkpoint: &Checkpoint,
    requests: &[Request],
    settings: &Settings,
    out: &Path,
    stop: &AtomicBool,
) -> Result<RunSummary, Box<dyn std::error::Error>> {
    if let TemplateCheck::Different { file, what } = Processor::open(&checkpoint.dir)?.template_check() {
        eprintln!("warning: {file}: the chat template differs from the layout used here: {what}");
    }
    if let Some(parent) = out.parent().filter(|p| !p.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent).map_err(|e| format!("{}: {e}", parent.display()))?;
    }
    let mut view = View::new(requests.len());
    let summary = ::infer::run(&checkpoint.dir, requests, settings, out, &mut |progress| {
        view.show(progress);
        !stop.load(Ordering::Relaxed)
    })?;
    view.bar.finish_and_clear();
    say!(
        "{}: {} answered, {} failed, {} were there already",
        out.display(),
        summary.done,
        summary.failed,
        summary.skipped
    );
    if summary.superseded > 0 {
        say!(
            "{} records of other weights, clips, prompts or settings are now in {}",
            summary.superseded,
            ::infer::superseded(out).display()
        );
    }
    Ok(summary)
}

fn settings(args: &Args) -> Result<Settings, Box<dyn std::error::Error>> {
    Ok(Settings {
        model_name: String::new(),
        task: match args.task {
            Task::Caption => "caption".to_owned(),
            Task::Vqa => "vqa".to_owned(),
        },
        frames: args.clip.request(),
        budget: args.clip.budget(),
        sampling: args.sampling.checked()?,
        prompt_tokens_max: args.max_prompt_tokens,
        backend: args.clip.backend.into(),
        limits: Limits::default(),
        retry_failed: args.retry_failed,
        workers: args.workers,
    })
}

fn requests(args: &Args) -> Result<Vec<Request>, Box<dyn std::error::Error>> {
    let prompt = Prompt { system: args.system.clone(), user: args.prompt.clone() };
    let Some(list) = &args.dataset else { return Ok(requests_of_clips(&args.clips, &prompt)) };
    if list.exists() {
        return Ok(read_requests(list, &prompt)?);
    }
    let beside_outputs = || args.out.parent().unwrap_or(Path::new(".")).join("benchmark");
    let benchmark = args.benchmark.clone().unwrap_or_else(beside_outputs);
    match NAMED.iter().find(|(name, _)| Path::new(name) == list) {
        Some((_, file)) if benchmark.join(file).is_file() => Ok(read_requests(&benchmark.join(file), &prompt)?),
        Some((_, file)) => {
            let path = benchmark.join(file);
            Err(format!("--dataset {}: there is no {}; say where with --benchmark", list.display(), path.display())
                .into())
        }
        None => {
            let names = NAMED.map(|(name, _)| name).join(", ");
            Err(format!(
                "--dataset {}: there is no such file or folder, and no list of that name ({names})",
                list.display()
            )
            .into())
        }
    }
}

/// Name of the data set in the outputs: as given, that of the list, or `CLIPS`.
fn dataset_name(args: &Args) -> String {
    let of_path = |path: &PathBuf| {
        let path = if path.ends_with("meta.json") { path.parent()? } else { path };
        Some(path.file_stem()?.to_string_lossy().into_owned())
    };
    let name = args.dataset_name.clone().or_else(|| args.dataset.as_ref().and_then(of_path));
    name.unwrap_or_else(|| "CLIPS".to_owned())
}

/// A progress bar on a terminal, plain lines elsewhere.
struct View {
    bar: ProgressBar,
    text: String,
}

impl View {
    fn new(requests: usize) -> Self {
        let bar = ProgressBar::new(requests as u64);
        if let Ok(style) = ProgressStyle::with_template("{bar:24} {pos}/{len} {eta} {wide_msg}") {
            bar.set_style(style);
        }
        Self { bar, text: String::new() }
    }

    fn show(&mut self, progress: Progress) {
        match progress {
            Progress::Start { answered, .. } => {
                self.bar.inc(answered as u64);
                self.bar.reset_eta();
            }
            Progress::Text(piece) => {
                self.text.push_str(&piece.replace('\n', " "));
                self.bar.set_message(self.text.clone());
            }
            Progress::Record(record) => {
                self.text.clear();
                self.bar.inc(1);
                let line = match &record.outcome {
                    Answer::Done { text, .. } => format!("{}: {text}", name(&record.media)),
                    Answer::Failed { error } => format!("{}: FAILED: {error}", name(&record.media)),
                };
                if self.bar.is_hidden() { say!("{line}") } else { self.bar.println(line) }
            }
        }
    }
}

fn name(media: &str) -> &str {
    Path::new(media).file_name().and_then(|n| n.to_str()).unwrap_or(media)
}
