//! `roadscribe curate`: annotations of three sources into a training set.

use crate::Outcome;
use ::curate::{Card, Config, Hooks, Progress};
use indicatif::{ProgressBar, ProgressStyle};
use processor::Tokenizer;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::atomic::Ordering,
};

/// Flags of `roadscribe curate`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Sources, filters, evaluation set, split: see docs/curate.md
    #[arg(long, value_name = "curate.toml")]
    config: PathBuf,
    /// Folder of the set: the `dataset_root` of training. An earlier set there is replaced when the new one is complete
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Runs the verb.
pub fn run(args: &Args) -> Outcome {
    let config = Config::read(&args.config)?;
    let stop = crate::stop_on_signal()?;
    let tokenizer = config.model.as_deref().map(tokenizer_of).transpose()?;
    let count = |text: &str| tokenizer.as_ref().and_then(|t| t.encode_text(text).ok()).map_or(0, |ids| ids.len());
    let mut view = View::new();
    let card = ::curate::run(
        &config,
        &args.out,
        &mut Hooks {
            progress: &mut |progress| {
                view.show(progress);
                !stop.load(Ordering::Relaxed)
            },
            count_tokens: tokenizer.as_ref().map(|_| &count as &(dyn Fn(&str) -> usize + Sync)),
        },
    );
    view.bar.finish_and_clear();
    tell(&card?, &args.out);
    Ok(ExitCode::SUCCESS)
}

fn tokenizer_of(model: &Path) -> Result<Tokenizer, Box<dyn std::error::Error>> {
    let path = if model.is_dir() { model.join("tokenizer.json") } else { model.to_path_buf() };
    Ok(Tokenizer::open(&path).map_err(|e| format!("model = {:?}: {e}", model.display().to_string()))?)
}

fn tell(card: &Card, out: &Path) {
    for source in &card.sources {
        let why: Vec<String> = source.rejects.iter().map(|(code, count)| format!("{code} {count}")).collect();
        let why = if why.is_empty() { String::new() } else { format!(" ({})", why.join(", ")) };
        say!(
            "{}: {} read, {} kept, {} rejected{why}; {} samples for training, {} for validation",
            source.name,
            source.read,
            source.kept,
            source.rejected,
            source.train.samples,
            source.validation.samples
        );
    }
    for source in &card.blend.sources {
        say!(
            "one virtual epoch of {} draws sees each sample of {} {:.2} times",
            card.blend.virtual_epoch,
            source.name,
            source.effective_epochs
        );
    }
    for note in &card.notes {
        say!("note: {note}");
    }
    say!("{}: the set; card.md describes it, rejects.jsonl says what was left out", out.display());
}

/// A progress bar on a terminal, a line a stage elsewhere.
struct View {
    bar: ProgressBar,
    stage: String,
}

impl View {
    fn new() -> Self {
        let bar = ProgressBar::new(0);
        if let Ok(style) = ProgressStyle::with_template("{msg:20} {bar:24} {pos}/{len} {eta}") {
            bar.set_style(style);
        }
        Self { bar, stage: String::new() }
    }

    fn show(&mut self, progress: Progress<'_>) {
        if self.stage != progress.stage {
            self.stage = progress.stage.to_owned();
            self.bar.reset();
            self.bar.set_message(self.stage.clone());
            if self.bar.is_hidden() {
                say!("{}: {}", progress.stage, progress.total);
            }
        }
        self.bar.set_length(progress.total as u64);
        self.bar.set_position(progress.done as u64);
    }
}
