//! `roadscribe eval mcq`.

use super::{OutArgs, finish, read_items, tell_answers};
use crate::Outcome;
use ::eval::{
    Answers,
    mcq::{self, McqInput},
};
use std::path::PathBuf;

/// Flags of `roadscribe eval mcq`.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// JSONL rows with id and text, such as `roadscribe infer` writes
    #[arg(long, value_name = "FILE.jsonl")]
    predictions: PathBuf,
    /// The frozen benchmark
    #[arg(long, value_name = "items.jsonl")]
    items: PathBuf,
    /// Predictions of the same model without the video
    #[arg(long, value_name = "FILE.jsonl")]
    blind: Option<PathBuf>,
    #[command(flatten)]
    out: OutArgs,
}

/// Runs the verb.
pub(super) fn run(args: &Args) -> Outcome {
    let (items, references_hash) = read_items(&args.items)?;
    let answers = Answers::read(&args.predictions, &["id"])?;
    let blind = args.blind.as_deref().map(|path| Answers::read(path, &["id"])).transpose()?;
    let label = args.out.label(&answers, "AV_VQA");
    let (score, answers) = mcq::score(McqInput { items: &items, references_hash, answers, blind }, &label);
    tell_answers(&answers);
    answers.check_rejects(args.out.max_rejects)?;
    finish(&args.out, &score, |score| say!("{}", mcq::table(score).trim_end()))
}
