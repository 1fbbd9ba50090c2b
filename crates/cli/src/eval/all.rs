//! `roadscribe eval all`: every predictions file of a run.

use super::{bleu::DefinitionArgs, judge, read_items, step_of, tell, tell_answers, with_interval, write_score};
use crate::Outcome;
use ::eval::{
    Answers, Label, captions,
    lingoqa::{self, Judge, LICENCE_NOTICE, LingoInput, read_predictions},
    mcq::{self, McqInput},
};
use records::Score;
use std::{
    error::Error,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Data set with captions; its answers without video are in `AV_VQA_BLIND`.
const CAPTIONS: &str = "AV_CAPTION";
const QUESTIONS: &str = "AV_VQA";
const BLIND: &str = "AV_VQA_BLIND";
const LINGOQA: &str = "LINGOQA";

/// Flags of `roadscribe eval all`.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The run: outputs/<checkpoint>/<DATASET>/predictions.jsonl and benchmark/
    #[arg(long, value_name = "DIR")]
    run: PathBuf,
    /// Folder of Lingo-Judge; without it the labelled stand-in
    #[arg(long, value_name = "DIR")]
    judge: Option<PathBuf>,
    /// Score the LingoQA questions that are answered, labelled "subset n=..."
    #[arg(long)]
    subset: bool,
    /// Share of rows that may be rejected before the command stops
    #[arg(long, value_name = "SHARE", default_value_t = ::eval::REJECTS_ALLOWED)]
    max_rejects: f64,
    #[command(flatten)]
    bleu: DefinitionArgs,
}

/// Runs the verb.
pub(super) fn run(args: &Args) -> Outcome {
    let outputs = args.run.join("outputs");
    let mut judge: Option<Box<dyn Judge>> = None;
    let mut scored = 0;
    for checkpoint in folders(&outputs)? {
        for dataset in [CAPTIONS, QUESTIONS, LINGOQA] {
            let folder = outputs.join(&checkpoint).join(dataset);
            if !folder.join("predictions.jsonl").is_file() {
                continue;
            }
            let score = match dataset {
                CAPTIONS => caption_score(args, &folder, &checkpoint)?,
                QUESTIONS => question_score(args, &folder, &checkpoint)?,
                _ => {
                    if judge.is_none() {
                        eprintln!("{LICENCE_NOTICE}");
                        judge = Some(judge::open(args.judge.as_deref())?);
                    }
                    let Some(judge) = judge.as_mut() else { continue };
                    lingoqa_score(args, judge.as_mut(), &folder, &checkpoint)?
                }
            };
            write_score(&folder.join(format!("{}.json", score.metric)), &score)?;
            say!("{checkpoint:<24} {:<14} {}  n={}", score.metric, with_interval(&score), score.items_scored);
            scored += 1;
        }
    }
    if scored == 0 {
        let wanted = outputs.join("CHECKPOINT").join("AV_VQA").join("predictions.jsonl");
        return Err(format!("no predictions; files such as {} are expected", wanted.display()).into());
    }
    Ok(ExitCode::SUCCESS)
}

/// Names of the folders in a folder, sorted.
fn folders(dir: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(|e| format!("{}: {e}", dir.display()))? {
        let entry = entry?;
        if entry.path().is_dir() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn label(answers: &Answers, dataset: &str, checkpoint: &str) -> Label {
    Label {
        dataset: dataset.to_owned(),
        model_name: answers.model_name.clone().unwrap_or_else(|| checkpoint.to_owned()),
        checkpoint: checkpoint.to_owned(),
        step: step_of(checkpoint),
        weight_hash: answers.weight_hash.clone(),
    }
}

fn caption_score(args: &Args, folder: &Path, checkpoint: &str) -> Result<Score, Box<dyn Error>> {
    let path = args.run.join("benchmark/references.jsonl");
    let references = captions::References::read(&path)?;
    tell(&path, &references.rejects, "rejected");
    let answers = Answers::read(&folder.join("predictions.jsonl"), &["clip", "id"])?;
    let label = label(&answers, CAPTIONS, checkpoint);
    let (score, answers) = captions::score(args.bleu.definition()?, &references, answers, &label);
    tell_answers(&answers);
    answers.check_rejects(args.max_rejects)?;
    Ok(score)
}

fn question_score(args: &Args, folder: &Path, checkpoint: &str) -> Result<Score, Box<dyn Error>> {
    let (items, references_hash) = read_items(&args.run.join("benchmark/items.jsonl"))?;
    let answers = Answers::read(&folder.join("predictions.jsonl"), &["id"])?;
    let blind = folder.with_file_name(BLIND).join("predictions.jsonl");
    let blind = if blind.is_file() { Some(Answers::read(&blind, &["id"])?) } else { None };
    let label = label(&answers, QUESTIONS, checkpoint);
    let (score, answers) = mcq::score(McqInput { items: &items, references_hash, answers, blind }, &label);
    tell_answers(&answers);
    answers.check_rejects(args.max_rejects)?;
    Ok(score)
}

fn lingoqa_score(args: &Args, judge: &mut dyn Judge, folder: &Path, checkpoint: &str) -> Result<Score, Box<dyn Error>> {
    let references = lingoqa::References::read(&args.run.join("benchmark/val.parquet"))?;
    let (answers, doubtful_lines) = read_predictions(&folder.join("predictions.jsonl"))?;
    let label = label(&answers, LINGOQA, checkpoint);
    let input = LingoInput { references: &references, answers, doubtful_lines, subset: args.subset };
    let (score, answers) = lingoqa::score(input, judge, &label, &mut |_, _| {})?;
    tell_answers(&answers);
    Ok(score)
}
