//! `roadscribe eval bleu`.

use super::{OutArgs, finish, tell, tell_answers, with_interval};
use crate::Outcome;
use ::eval::{
    Answers,
    bleu::{Nltk, Settings, Smoothing, Tokenize},
    captions::{self, Definition, References},
};
use clap::ValueEnum;
use serde_json::json;
use std::path::PathBuf;

/// Flags of `roadscribe eval bleu`.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// JSONL rows with clip (or id) and text
    #[arg(long, value_name = "FILE.jsonl")]
    predictions: PathBuf,
    /// JSONL rows with clip and text; several rows of a clip are several references
    #[arg(long, value_name = "FILE.jsonl")]
    references: PathBuf,
    #[command(flatten)]
    definition: DefinitionArgs,
    #[command(flatten)]
    out: OutArgs,
}

/// Which BLEU; the defaults are sacrebleu's.
#[derive(clap::Args, Debug)]
pub(super) struct DefinitionArgs {
    /// What a word is
    #[arg(long, value_parser = ["13a", "intl", "zh", "char", "none"], default_value = "13a")]
    tokenize: String,
    /// Make everything lower-case first
    #[arg(long)]
    lowercase: bool,
    /// What an n-gram order without a match gets
    #[arg(long, value_enum, default_value_t = SmoothName::Exp)]
    smooth: SmoothName,
    /// Value of floor (default 0.1) or add-k (default 1)
    #[arg(long, value_name = "X")]
    smooth_value: Option<f64>,
    /// Longest n-gram
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=16))]
    order: u64,
    /// NLTK's definition instead, with this smoothing
    #[arg(long, value_name = "METHOD", value_parser = Nltk::ALL.map(|(name, _)| name),
        conflicts_with_all = ["tokenize", "lowercase", "smooth", "smooth_value", "order"])]
    nltk: Option<String>,
}

/// Smoothing by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SmoothName {
    /// 1/2, 1/4, ... matches
    Exp,
    /// A fixed number of matches
    Floor,
    /// That much added from bigrams on
    AddK,
    /// Nothing
    None,
}

impl DefinitionArgs {
    pub(super) fn definition(&self) -> Result<Definition, String> {
        if let Some(method) = self.nltk.as_deref().and_then(Nltk::of_name) {
            return Ok(Definition::Nltk(method));
        }
        if self.smooth_value.is_some_and(|value| !(value > 0.0 && value.is_finite())) {
            return Err("--smooth-value must be above 0".into());
        }
        let smoothing = match (self.smooth, self.smooth_value) {
            (SmoothName::Floor, value) => Smoothing::Floor(value.unwrap_or(0.1)),
            (SmoothName::AddK, value) => Smoothing::AddK(value.unwrap_or(1.0)),
            (_, Some(_)) => return Err("--smooth-value belongs to --smooth floor and add-k".into()),
            (SmoothName::Exp, None) => Smoothing::Exp,
            (SmoothName::None, None) => Smoothing::None,
        };
        let tokenize = Tokenize::of_name(&self.tokenize).ok_or_else(|| format!("no tokeniser {}", self.tokenize))?;
        Ok(Definition::Sacrebleu(Settings {
            tokenize,
            lowercase: self.lowercase,
            smoothing,
            max_order: self.order as usize,
        }))
    }
}

/// Runs the verb.
pub(super) fn run(args: &Args) -> Outcome {
    let definition = args.definition.definition()?;
    let references = References::read(&args.references)?;
    tell(&args.references, &references.rejects, "rejected");
    let answers = Answers::read(&args.predictions, &["clip", "id"])?;
    let label = args.out.label(&answers, "AV_CAPTION");
    let (score, answers) = captions::score(definition, &references, answers, &label);
    tell_answers(&answers);
    answers.check_rejects(args.out.max_rejects)?;
    let missing = references.clips.iter().filter(|(clip, _)| !answers.of_id.contains_key(clip));
    let missing: Vec<&str> = missing.map(|(clip, _)| clip.as_str()).collect();
    if let Some(first) = missing.first() {
        eprintln!("{}: {} clips have no prediction, the first is {first:?}", args.predictions.display(), missing.len());
    }
    if args.out.json {
        if let Some(path) = &args.out.out {
            super::write_score(path, &score)?;
        }
        say!(
            "{}",
            json!({
                "corpus": score.details["corpus"],
                "sentence_mean": score.value,
                "signature": score.details["corpus_signature"],
                "sentence_signature": score.details["sentence_signature"],
                "sentence_mean_ci95": score.ci95,
                "clips": score.items_expected,
                "missing": missing.len(),
                "failed": score.details["failed"],
                "rejected_rows": score.details["rejected_rows"],
                "duplicate_rows": score.details["duplicate_rows"],
            })
        );
        return Ok(std::process::ExitCode::SUCCESS);
    }
    finish(&args.out, &score, |score| {
        let corpus = score.details["corpus"].as_f64().unwrap_or(0.0);
        say!("BLEU of {} clips, 0 to 1", score.items_expected);
        say!("mean over clips {}", with_interval(score));
        say!("corpus          {corpus:.4} ({})", score.details["corpus_signature"].as_str().unwrap_or_default());
    })
}
