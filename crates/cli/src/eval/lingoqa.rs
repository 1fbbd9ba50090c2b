//! `roadscribe eval lingoqa`.

use super::{OutArgs, finish, judge, tell, tell_answers, with_interval};
use crate::Outcome;
use ::eval::lingoqa::{self, LICENCE_NOTICE, LingoInput, References, read_predictions};
use indicatif::ProgressBar;
use std::path::PathBuf;

/// Flags of `roadscribe eval lingoqa`.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// predictions.csv (question_id,segment_id,answer), or JSONL rows with id and text
    #[arg(long, value_name = "FILE")]
    predictions: PathBuf,
    /// val.parquet as published, or JSONL of the same fields
    #[arg(long, value_name = "FILE")]
    references: PathBuf,
    /// Folder of Lingo-Judge: config.json, tokenizer.json, pytorch_model.bin or model.safetensors. Without it a
    /// stand-in counts words in common; its score is labelled and comparable with nothing
    #[arg(long, value_name = "DIR")]
    judge: Option<PathBuf>,
    /// Score the questions that are answered, labelled "subset n=..."
    #[arg(long)]
    subset: bool,
    #[command(flatten)]
    out: OutArgs,
}

/// Runs the verb.
pub(super) fn run(args: &Args) -> Outcome {
    let references = References::read(&args.references)?;
    tell(&args.references, &references.rejects, "rejected");
    let (answers, doubtful_lines) = read_predictions(&args.predictions)?;
    tell_answers(&answers);
    let label = args.out.label(&answers, "LINGOQA");
    eprintln!("{LICENCE_NOTICE}");
    let mut judge = judge::open(args.judge.as_deref())?;
    let input = LingoInput { references: &references, answers, doubtful_lines, subset: args.subset };
    let bar = ProgressBar::new(0);
    let (score, answers) = lingoqa::score(input, judge.as_mut(), &label, &mut |done, of| {
        bar.set_length(of as u64);
        bar.set_position(done as u64);
    })?;
    bar.finish_and_clear();
    if args.subset {
        tell(&answers.path, &answers.rejects, "rejected");
        answers.check_rejects(args.out.max_rejects)?;
    }
    finish(&args.out, &score, |score| {
        say!("LingoQA {}  n={}", with_interval(score), score.items_scored);
        for group in &score.groups {
            let value = group.value.map_or("-".to_owned(), |value| format!("{value:.4}"));
            say!("  {:<18} {value}  n={}", group.name, group.items_scored);
        }
        let rate = score.details["truncation_rate"].as_f64().unwrap_or(0.0);
        say!("pairs cut at the judge's length: {:.1}%", 100.0 * rate);
    })
}
