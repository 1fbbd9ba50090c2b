//! `roadscribe demo`: the whole recipe on a synthetic driving world, on a CPU, with one page at the end.
//!
//! The demo makes the data that a fleet would bring (clips, labels, the answers to the benchmark) and then runs the verbs
//! that a user of real data types; each command is printed before it runs, and works by hand as well.

mod base;
mod general;
mod sources;
mod test_set;

use crate::{Cli, Outcome, dispatch};
use benchmark::PromptForm;
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::atomic::{AtomicUsize, Ordering},
    time::Instant,
};
use world::{ClipForm, Scene};

/// Form of the world's clips.
const CLIP: ClipForm = ClipForm { width: 320, height: 192, frames: 40, fps: 4 };
/// How the benchmark puts its questions.
const PROMPT: PromptForm = PromptForm::Words;
/// Name of the base model in records and figures.
const BASE_NAME: &str = "Roadscribe-Demo";
/// What the demo's fine-tuning and inference show a model of a clip.
const NFRAMES: &str = "8";
const MIN_PIXELS: &str = "3136";
const MAX_PIXELS: &str = "15360";

/// Flags of `roadscribe demo`.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Run it again after Ctrl-C: what is finished is not done again. All files are the formats that the other verbs read and write.")]
pub struct Args {
    /// Folder of the run
    #[arg(long, value_name = "DIR", default_value = "runs/demo")]
    out: PathBuf,
    /// Seed of the world: the same seed gives the same clips, predictions and scores
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Fewer clips and steps: shows the way in a minute or two, the numbers mean nothing
    #[arg(long)]
    quick: bool,
    /// Only write N clips of the general part of the world with conversations, to pre-train a base model on
    #[arg(long, value_name = "N", conflicts_with = "quick")]
    general: Option<u64>,
}

/// How much of everything.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    eval: u64,
    human: usize,
    cv: usize,
    reasoning: usize,
    steps: u64,
    save_every: u64,
}

/// A run of the demo.
struct Demo {
    out: PathBuf,
    seed: u64,
    sizes: Sizes,
    started: Instant,
}

/// Runs the verb.
pub fn run(args: &Args) -> Outcome {
    if let Some(clips) = args.general {
        general::write(&args.out, clips, args.seed)?;
        return Ok(ExitCode::SUCCESS);
    }
    let sizes = match args.quick {
        false => Sizes { eval: 56, human: 220, cv: 120, reasoning: 90, steps: 300, save_every: 75 },
        true => Sizes { eval: 6, human: 12, cv: 12, reasoning: 12, steps: 4, save_every: 2 },
    };
    let demo = Demo { out: args.out.clone(), seed: args.seed, sizes, started: Instant::now() };
    demo.claim_folder()?;
    match demo.all_stages() {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(Stopped::ByUser) => {
            say!("\nstopped; the same command goes on from here");
            Ok(ExitCode::from(2))
        }
        Err(Stopped::By(error)) => Err(error),
    }
}

/// Why a demo ended before its end.
enum Stopped {
    /// A verb said so after Ctrl-C.
    ByUser,
    By(Box<dyn Error>),
}

impl<E: Into<Box<dyn Error>>> From<E> for Stopped {
    fn from(error: E) -> Self {
        Self::By(error.into())
    }
}

impl Demo {
    /// Refuses a folder that another seed or size made.
    fn claim_folder(&self) -> Result<(), Box<dyn Error>> {
        fs::create_dir_all(&self.out).map_err(|e| format!("{}: {e}", self.out.display()))?;
        let path = self.out.join("demo.json");
        let settings = json!({"version": env!("CARGO_PKG_VERSION"), "base": base::hash(), "seed": self.seed, "sizes": format!("{:?}", self.sizes)});
        let text = format!("{settings:#}\n");
        match fs::read_to_string(&path) {
            Ok(found) if found == text => Ok(()),
            Ok(_) => Err(format!(
                "{}: this folder is of a demo with other settings, or of another version; give --out another folder, or remove this one",
                self.out.display()
            )
            .into()),
            Err(_) => Ok(records::write_atomic(&path, text.as_bytes())?),
        }
    }

    fn all_stages(&self) -> Result<(), Stopped> {
        let at = |name: &str| self.out.join(name).display().to_string();
        let (run, base, set, outputs) = (self.out.display().to_string(), at("base"), at("benchmark"), at("outputs"));
        self.title("The world: clips that a fleet would bring, and a small base model");
        self.once("base model", || base::unpack(&self.out.join("base")))?;
        self.once("evaluation clips", || test_set::write(self))?;
        self.once("three annotated sources", || sources::write(self))?;

        self.title("1. Benchmark definition");
        self.verb(&["benchmark", "draw", &set, "--clips", &format!("{set}/videos"), "--prompt", PROMPT.name()])?;
        self.verb(&["benchmark", "answer", &set, "--answers", &format!("{set}/answers.jsonl"), "--source", "world"])?;
        self.verb(&["benchmark", "freeze", &set, "--name", "AV_VQA"])?;

        self.title("2. Zero-shot evaluation");
        self.answers(&base)?;
        self.verb(&["eval", "all", "--run", &run, "--subset"])?;

        self.title("3. Data curation");
        self.verb(&["curate", "--config", &at("curate.toml"), "--out", &at("curated")])?;

        self.title("4. Post-training (SFT)");
        self.verb(&["train", "--config", &at("sft.toml"), "--dry-run"])?;
        // Its figures are those of the f32 reference, whatever the machine has.
        self.verb(&["train", "--config", &at("sft.toml"), "--device", "cpu"])?;

        self.title("5. Re-evaluation: inference on every checkpoint, scores");
        self.answers(&at("train"))?;
        // The world asks fewer open questions than LingoQA's 500.
        self.verb(&["eval", "all", "--run", &run, "--subset"])?;

        self.title("6. Figures, the choice of the checkpoint, and one page");
        for (dataset, metric) in [("AV_CAPTION", "bleu"), ("AV_VQA", "vqa_accuracy"), ("LINGOQA", "lingoqa")] {
            let flags =
                ["--dataset", dataset, "--base-model", BASE_NAME, "--metric", metric, "--outputs-dir", &outputs];
            self.verb(&[&["plot"][..], &flags].concat())?;
        }
        self.verb(&["report", &run])?;
        say!(
            "\nthe whole recipe took {:.0} s; the page: {}",
            self.started.elapsed().as_secs_f64(),
            self.out.join("report/index.html").display()
        );
        Ok(())
    }

    /// Predictions of a model, or of every checkpoint of a run, on the three data sets.
    fn answers(&self, checkpoint: &str) -> Result<(), Stopped> {
        let outputs = self.out.join("outputs").display().to_string();
        let asks: [(&str, &str, &str, &[&str]); 3] = [
            ("AV_VQA", "vqa", "24", &["--guided-choice"]),
            ("AV_CAPTION", "caption", "120", &[]),
            ("LINGOQA", "vqa", "32", &[]),
        ];
        for (dataset, task, tokens, more) in asks {
            let what = ["infer", "--model-name", BASE_NAME, "--checkpoint", checkpoint, "--dataset", dataset];
            let how = ["--task", task, "--max-new-tokens", tokens, "--nframes", NFRAMES, "--min-pixels", MIN_PIXELS];
            self.verb(&[&what[..], &how, &["--max-pixels", MAX_PIXELS, "--out", &outputs], more].concat())?;
        }
        Ok(())
    }

    fn title(&self, text: &str) {
        say!("\n== {text}   [{:.0} s]", self.started.elapsed().as_secs_f64());
    }

    /// Does what has no verb of its own, unless an earlier run finished it.
    fn once(&self, what: &str, job: impl FnOnce() -> Result<(), Box<dyn Error>>) -> Result<(), Stopped> {
        let mark = self.out.join(format!(".done/{}", what.replace(' ', "_")));
        if !mark.exists() {
            say!("making: {what}");
            job()?;
            fs::create_dir_all(self.out.join(".done"))?;
            records::write_atomic(&mark, b"")?;
        }
        Ok(())
    }

    /// Prints a command and runs it, as if it had been typed.
    fn verb(&self, words: &[&str]) -> Result<(), Stopped> {
        say!("\n$ roadscribe {}", words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "));
        let line = std::iter::once("roadscribe").chain(words.iter().copied());
        let code = dispatch(Cli::try_parse_from(line)?.command)?;
        if code == ExitCode::SUCCESS {
            return Ok(());
        }
        if crate::stop_on_signal()?.load(Ordering::Relaxed) {
            return Err(Stopped::ByUser);
        }
        Err(Stopped::By(format!("`roadscribe {}` did not succeed", words[0]).into()))
    }
}

/// A bar with an honest rest time.
fn bar(length: u64, unit: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}, {eta} left");
    ProgressBar::new(length).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())).with_message(unit)
}

/// A word as a shell wants it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:".contains(c);
    if word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

/// Renders scenes on all cores; a clip that is there already is kept.
fn render_all(
    scenes: &[Scene],
    path_of: &(dyn Fn(usize) -> PathBuf + Sync),
    form: ClipForm,
    bar: &ProgressBar,
) -> Result<(), Box<dyn Error>> {
    let next = AtomicUsize::new(0);
    let work = || -> Result<(), video::Error> {
        while let Some((number, scene)) =
            Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|n| Some((n, scenes.get(n)?)))
        {
            let path = path_of(number);
            if !path.exists() {
                render_one(scene, form, &path)?;
            }
            bar.inc(1);
        }
        Ok(())
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        all.into_iter().try_for_each(|one| one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })?;
    bar.finish_and_clear();
    Ok(())
}

/// Renders under another name first, so that a clip under its own name is whole.
fn render_one(scene: &Scene, form: ClipForm, path: &Path) -> Result<(), video::Error> {
    let partial = path.with_extension("partial.mp4");
    world::write_clip(scene, form.width, form.height, form.frames, form.fps, &partial)?;
    fs::rename(&partial, path).map_err(|e| video::Error::Io { path: path.to_path_buf(), source: e })
}
