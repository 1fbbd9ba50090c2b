//! `roadscribe infer`: captions and answers, one JSONL record a request.

use crate::{Outcome, clip_args::ClipArgs};
use ::infer::{Progress, Request, Settings, read_requests, requests_of_clips};
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use models::Vlm;
use processor::{Processor, TemplateCheck};
use records::{ContentHash, Outcome as Answer, Prompt, Sampling};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::atomic::Ordering,
};
use tensor::Device;
use video::Limits;

/// What users of cosmos-reason2 ask for a caption.
const CAPTION_PROMPT: &str = "Caption the video in detail.";

/// Flags of `roadscribe infer`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Clips to caption; or give --dataset
    #[arg(value_name = "CLIP", conflicts_with = "dataset", required_unless_present = "dataset")]
    clips: Vec<PathBuf>,
    /// Model folder: config.json, safetensors, tokenizer.json
    #[arg(long, value_name = "DIR")]
    checkpoint: PathBuf,
    /// Name of the model in the records [default: the folder's name]
    #[arg(long, value_name = "NAME")]
    model_name: Option<String>,
    /// FILE.jsonl with lines {"video": path, "id"?, "prompt"?, "system"?}, a meta.json, or a folder with one; paths in it are relative to it
    #[arg(long, value_name = "FILE.jsonl|DIR")]
    dataset: Option<PathBuf>,
    /// Kind of the answers in the records
    #[arg(long, value_enum, default_value_t = Task::Caption)]
    task: Task,
    /// Where the records go; rows that are there already are not asked again
    #[arg(long, value_name = "FILE.jsonl")]
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
        })
    }
}

/// Runs the verb.
pub fn run(args: &Args) -> Outcome {
    let settings = settings(args)?;
    let requests = requests(args)?;
    let stop = crate::stop_on_signal()?;
    let device = Device::Cpu;
    let folder = weights::HfFolder::open(&args.checkpoint)?;
    let model = Vlm::from_folder(&folder, &device)?;
    let processor = Processor::open(&args.checkpoint)?;
    if let TemplateCheck::Different { file, what } = processor.template_check() {
        eprintln!("warning: {file}: the chat template differs from the layout used here: {what}");
    }
    let weight_hash =
        ContentHash::from_hex(&folder.content_hash()?).ok_or("the hash of the weights has an unknown form")?;
    if let Some(parent) = args.out.parent().filter(|p| !p.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent).map_err(|e| format!("{}: {e}", parent.display()))?;
    }
    let mut view = View::new(requests.len());
    let summary = ::infer::run(&model, &processor, weight_hash, &requests, &settings, &args.out, &mut |progress| {
        view.show(progress);
        !stop.load(Ordering::Relaxed)
    })?;
    view.bar.finish_and_clear();
    say!(
        "{}: {} answered, {} failed, {} were there already",
        args.out.display(),
        summary.done,
        summary.failed,
        summary.skipped
    );
    if summary.stopped {
        say!("stopped on request; the same command goes on from here");
    }
    Ok(if summary.failed > 0 || summary.stopped { ExitCode::from(2) } else { ExitCode::SUCCESS })
}

fn settings(args: &Args) -> Result<Settings, Box<dyn std::error::Error>> {
    let folder_name =
        || args.checkpoint.file_name().map_or_else(|| "model".to_owned(), |name| name.to_string_lossy().into_owned());
    Ok(Settings {
        model_name: args.model_name.clone().unwrap_or_else(folder_name),
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
    })
}

fn requests(args: &Args) -> Result<Vec<Request>, Box<dyn std::error::Error>> {
    let prompt = Prompt { system: args.system.clone(), user: args.prompt.clone() };
    match &args.dataset {
        None => Ok(requests_of_clips(&args.clips, &prompt)),
        Some(list) if list.exists() => Ok(read_requests(list, &prompt)?),
        Some(list) => Err(format!(
            "--dataset {}: there is no such file or folder, and named data sets are not in this version",
            list.display()
        )
        .into()),
    }
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
