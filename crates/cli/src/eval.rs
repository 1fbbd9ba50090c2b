//! `roadscribe eval`: scores of predictions, and how sure they are.

mod all;
mod bleu;
mod compare;
mod judge;
mod lingoqa;
mod mcq;

use crate::Outcome;
use ::eval::{Answers, Label, Reject};
use clap::Subcommand;
use records::{ContentHash, Score};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Rows told one by one; of more, only the number.
const ROWS_TOLD: usize = 10;

/// Flags of `roadscribe eval`.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Words that captions have in common with their references, as sacrebleu or NLTK count them
    Bleu(bleu::Args),
    /// Accuracy on a frozen multiple-choice benchmark, with intervals and baselines
    Mcq(mcq::Args),
    /// Answers in the LingoQA layout, by Lingo-Judge from a folder or by a labelled stand-in
    Lingoqa(lingoqa::Args),
    /// Every checkpoint and data set under a run's outputs/
    All(all::Args),
    /// Checkpoints against a baseline: paired, clustered by clip, corrected for having looked often
    Compare(compare::Args),
}

/// What a score is labelled with and where it goes; the flags of all metrics.
#[derive(clap::Args, Debug)]
struct OutArgs {
    /// Write the whole score, every item included, to this file
    #[arg(long, value_name = "SCORE.json")]
    out: Option<PathBuf>,
    /// Name of the data set in the score [default: the metric's own]
    #[arg(long, value_name = "NAME")]
    dataset: Option<String>,
    /// Name of the model in the score [default: what the predictions say]
    #[arg(long, value_name = "NAME")]
    model_name: Option<String>,
    /// Name of the checkpoint in the score [default: the model's name]
    #[arg(long, value_name = "NAME")]
    checkpoint: Option<String>,
    /// Share of rows that may be rejected (unreadable, unknown) before the command stops
    #[arg(long, value_name = "SHARE", default_value_t = ::eval::REJECTS_ALLOWED)]
    max_rejects: f64,
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

impl OutArgs {
    fn label(&self, answers: &Answers, dataset: &str) -> Label {
        let unknown = || "unknown".to_owned();
        let model_name = self.model_name.clone().or_else(|| answers.model_name.clone()).unwrap_or_else(unknown);
        let checkpoint = self.checkpoint.clone().unwrap_or_else(|| model_name.clone());
        Label {
            dataset: self.dataset.clone().unwrap_or_else(|| dataset.to_owned()),
            step: step_of(&checkpoint),
            weight_hash: answers.weight_hash.clone(),
            model_name,
            checkpoint,
        }
    }
}

/// The step in the name of a checkpoint: `step_000020`, `ckpt-250`.
fn step_of(checkpoint: &str) -> Option<u64> {
    let digits = checkpoint.strip_prefix("step_").or_else(|| checkpoint.strip_prefix("ckpt-"))?;
    digits.parse().ok()
}

/// Runs the verb.
pub fn run(args: &Args) -> Outcome {
    match &args.what {
        What::Bleu(args) => bleu::run(args),
        What::Mcq(args) => mcq::run(args),
        What::Lingoqa(args) => lingoqa::run(args),
        What::All(args) => all::run(args),
        What::Compare(args) => compare::run(args),
    }
}

/// Tells rows that were not used, on standard error.
fn tell(path: &Path, rows: &[Reject], what: &str) {
    for row in rows.iter().take(ROWS_TOLD) {
        eprintln!("{}:{}: {what}: {}", path.display(), row.line, row.reason);
    }
    if rows.len() > ROWS_TOLD {
        eprintln!("{}: {} more rows {what}", path.display(), rows.len() - ROWS_TOLD);
    }
}

/// Tells everything about a predictions file that was not plain.
fn tell_answers(answers: &Answers) {
    tell(&answers.path, &answers.rejects, "rejected");
    tell(&answers.path, &answers.duplicates, "duplicate");
    let failed = answers.of_id.values().filter(|answer| answer.outcome.is_err());
    let mut failed: Vec<Reject> = failed
        .map(|answer| Reject {
            line: answer.line,
            reason: format!("{}: {}", answer.id, answer.outcome.as_ref().err().map_or("", |reason| reason)),
        })
        .collect();
    failed.sort_by_key(|row| row.line);
    tell(&answers.path, &failed, "failed");
}

/// Writes a score as a whole.
fn write_score(path: &Path, score: &Score) -> Result<(), Box<dyn std::error::Error>> {
    let mut bytes = serde_json::to_vec_pretty(score)?;
    bytes.push(b'\n');
    Ok(records::write_atomic(path, &bytes)?)
}

/// Writes a score if asked to, and prints it: as JSON without its items, or by `text`.
fn finish(args: &OutArgs, score: &Score, text: impl FnOnce(&Score)) -> Outcome {
    if let Some(path) = &args.out {
        write_score(path, score)?;
    }
    if args.json {
        let short = Score { items: Vec::new(), ..score.clone() };
        say!("{}", serde_json::to_string(&short)?);
    } else {
        text(score);
        say!("signature: {}", score.signature);
        for caveat in &score.caveats {
            say!("note: {caveat}");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A value with its interval.
fn with_interval(score: &Score) -> String {
    let value = score.value.map_or("-".to_owned(), |value| format!("{value:.4}"));
    match score.ci95 {
        Some([low, high]) => format!("{value} [{low:.4}, {high:.4}]"),
        None => value,
    }
}

/// Reads a frozen benchmark and the hash of its file.
fn read_items(path: &Path) -> Result<(Vec<records::BenchmarkItem>, ContentHash), Box<dyn std::error::Error>> {
    let items = records::jsonl::read(path)?;
    if let Some(torn) = items.torn {
        return Err(
            format!("{}:{}: the last line is cut; the benchmark is not whole", path.display(), torn.line).into()
        );
    }
    if items.records.is_empty() {
        return Err(format!("{}: no items", path.display()).into());
    }
    Ok((items.records, ContentHash::of_file(path)?))
}
