//! `roadscribe benchmark`: draws questions for clips, attaches answers, freezes the set, looks at it.

use crate::Outcome;
use ::benchmark::{AnswerFile, DrawSettings, Pool, PromptForm, Reject};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Flags of `roadscribe benchmark`.
#[derive(clap::Args, Debug)]
#[command(
    long_about = "A multiple-choice benchmark about driving clips, in three steps: draw, answer, freeze. All of them work \
                  on one folder. Reconciling two answerers and reviewing in a browser are not in this version."
)]
pub struct Args {
    #[command(subcommand)]
    step: Step,
}

#[derive(clap::Subcommand, Debug)]
enum Step {
    /// Draw questions for clips: DIR/draft.jsonl
    Draw(DrawArgs),
    /// Say which choice is right: DIR/answered.jsonl
    Answer(AnswerArgs),
    /// Make the set that scores refer to: DIR/items.jsonl and DIR/benchmark.json
    Freeze(FreezeArgs),
    /// Check a frozen set and say what it is made of
    Stats(StatsArgs),
}

#[derive(clap::Args, Debug)]
struct DrawArgs {
    /// Folder of the benchmark
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Lines {"clip": name, "video": path}, paths relative to the list; or a folder of videos
    #[arg(long, value_name = "FILE.jsonl|FOLDER")]
    clips: PathBuf,
    /// Questions a clip gets, required ones included
    #[arg(long, value_name = "N", default_value_t = 12)]
    per_clip: usize,
    /// Key of the draw
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Form of the prompts: mcq/1 shows `(A) Rain` and asks for a letter, mcq_words/1 shows `- Rain` and asks for words
    #[arg(long, value_name = "FORM", default_value = "mcq/1", value_parser = prompt_form)]
    prompt: PromptForm,
    /// Pool of questions [default: the built-in one]
    #[arg(long, value_name = "FILE.toml")]
    pool: Option<PathBuf>,
    /// Share of unusable lines at which the draw stops
    #[arg(long, value_name = "SHARE", default_value_t = 0.05)]
    reject_budget: f64,
}

#[derive(clap::Args, Debug)]
struct AnswerArgs {
    /// Folder of the benchmark
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Lines {"clip", "question_id", "answer"}: a letter as shown, the text of a choice, its number in the pool, or null
    #[arg(long, value_name = "FILE.jsonl")]
    answers: PathBuf,
    /// Where the answers come from, as it is to stand in the records
    #[arg(long, value_name = "NAME")]
    source: String,
}

#[derive(clap::Args, Debug)]
struct FreezeArgs {
    /// Folder of the benchmark
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Name of the data set
    #[arg(long, value_name = "NAME", default_value = "AV_VQA")]
    name: String,
}

#[derive(clap::Args, Debug)]
struct StatsArgs {
    /// Folder of the benchmark
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Print JSON, questions included
    #[arg(long)]
    json: bool,
    /// Read all videos too and check that they are those that were frozen
    #[arg(long)]
    media: bool,
}

/// Runs the verb.
pub fn run(args: &Args) -> Outcome {
    match &args.step {
        Step::Draw(args) => draw(args),
        Step::Answer(args) => answer(args),
        Step::Freeze(args) => freeze(args),
        Step::Stats(args) => stats(args),
    }
}

fn prompt_form(name: &str) -> Result<PromptForm, String> {
    let names = || PromptForm::ALL.map(PromptForm::name).join(" and ");
    PromptForm::ALL.into_iter().find(|form| form.name() == name).ok_or_else(|| format!("there are {}", names()))
}

fn draw(args: &DrawArgs) -> Outcome {
    let pool = args.pool.as_deref().map_or_else(Pool::built_in, Pool::read)?;
    let list = ::benchmark::read_clips(&args.clips)?;
    tell_rejects(&list.rejects);
    let share = list.rejects.len() as f64 / (list.rejects.len() + list.clips.len()) as f64;
    if share > args.reject_budget {
        return Err(format!(
            "{}: {} of {} lines are no usable clips, more than --reject-budget {}",
            args.clips.display(),
            list.rejects.len(),
            list.rejects.len() + list.clips.len(),
            args.reject_budget
        )
        .into());
    }
    let settings = DrawSettings { per_clip: args.per_clip, seed: args.seed, prompt: args.prompt };
    let summary = ::benchmark::write_draft(&args.dir, &pool, &list, &settings)?;
    say!(
        "{}: {} questions about {} clips, from pool {} {}",
        args.dir.join("draft.jsonl").display(),
        summary.items,
        summary.clips,
        pool.name,
        pool.version
    );
    Ok(ExitCode::SUCCESS)
}

fn answer(args: &AnswerArgs) -> Outcome {
    let answers = AnswerFile::read(&args.answers)?;
    tell_rejects(&answers.rejects);
    let summary = ::benchmark::attach_answers(&args.dir, &answers, &args.source)?;
    say!("{}: {} answered", args.dir.join("answered.jsonl").display(), summary.answered);
    for (reason, count) in &summary.dropped {
        say!("  left out, {reason}: {count}");
    }
    if summary.answered == 0 {
        return Err(format!("{}: none of its answers is about a question of the draft", args.answers.display()).into());
    }
    Ok(ExitCode::SUCCESS)
}

fn freeze(args: &FreezeArgs) -> Outcome {
    let manifest = ::benchmark::freeze(&args.dir, &args.name)?;
    say!("{}: {}", args.dir.join("benchmark.json").display(), manifest.short_name());
    print_stats(&args.dir)
}

fn stats(args: &StatsArgs) -> Outcome {
    let frozen = ::benchmark::verify(&args.dir)?;
    if args.media {
        ::benchmark::verify_media(&args.dir, &frozen)?;
    }
    if args.json {
        say!("{}", serde_json::to_string_pretty(&::benchmark::stats(&frozen.items))?);
        return Ok(ExitCode::SUCCESS);
    }
    say!("{}", frozen.manifest.short_name());
    print_stats(&args.dir)
}

fn print_stats(dir: &Path) -> Outcome {
    say!("{}", ::benchmark::stats(&::benchmark::verify(dir)?.items));
    Ok(ExitCode::SUCCESS)
}

/// The first few rejects, and how many there are.
fn tell_rejects(rejects: &[Reject]) {
    for reject in rejects.iter().take(5) {
        eprintln!("warning: {}:{}: {}", reject.file, reject.line, reject.reason);
    }
    if rejects.len() > 5 {
        eprintln!("warning: and {} more", rejects.len() - 5);
    }
}
